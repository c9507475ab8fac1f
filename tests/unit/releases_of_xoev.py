"""The schema sets beside the project, compiled for tests that look at real standards."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import xmlschema

from gateway.packages.compiled import CompiledSchema
from gateway.packages.declarations import declared_in
from gateway.packages.schemafiles import Catalog, gather
from gateway.rules.codeuse import CodeTable
from gateway.rules.learning import learn
from tests.conftest import corpus

SETS = {
    "xbau-2.6": "xsd/xsd/*.xsd", "xbau-kernmodul-1.3.0": "xsd/*.xsd", "xdomea-3.0.0": "xsd/xdomea/xdomea.xsd",
    "xdomea-2.4.0": "xsd/xdomea/xdomea-Nachrichten-AussonderungDurchfuehren.xsd", "xbildung-1.2": "xsd/xbildung.xsd",
    "xschule-1.2": "xsd/xschule.xsd", "xhochschule": "xsd/*.xsd", "xjustiz-3.5.1": "xsd/xjustiz_*_*_*.xsd",
}


def folder(name: str) -> Path:
    return corpus("xoev") / name


def messages(name: str) -> list[Path]:
    return sorted((folder(name) / "instances").glob("**/*.xml"))


@cache
def compiled(name: str) -> tuple[CompiledSchema, xmlschema.XMLSchema10]:
    inside = corpus("xoev")
    files, roots = gather(*sorted(folder(name).glob(SETS[name])), inside=inside,
                          catalog=Catalog.load(inside / "_library" / "catalog.xml", inside=inside))
    with TemporaryDirectory() as scratch:
        for key, text in files.texts.items():
            (Path(scratch) / key).write_bytes(text)
        includes = "".join(f'<xs:include schemaLocation="{key}"/>' for key in files.entry)
        second = xmlschema.XMLSchema10(
            f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{files.namespace}">{includes}</xs:schema>',
            base_url=scratch, validation="lax")
    return CompiledSchema(files, declared_in(roots)), second


@cache
def code_table(name: str) -> CodeTable:
    return learn(compiled(name)[1])
