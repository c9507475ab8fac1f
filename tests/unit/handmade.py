"""Schema packages written by hand into a folder, and what is wrong with them: what the tests of packages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.schemas import PackageFaults, Registry

XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'


def a_schema(inside: str = '<xs:element name="r"/>', namespace: str = "urn:t", attributes: str = "") -> str:
    return f'<xs:schema {XS} xmlns:t="{namespace}" targetNamespace="{namespace}" {attributes}>\n{inside}\n</xs:schema>'


def a_site(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def a_manifest(name: str = "probe", version: str = "1", more: str = "", entry: str = '"a.xsd"') -> str:
    return f'name = "{name}"\nversion = "{version}"\nnamespace = ""\nentry = [{entry}]\n{more}\n'


def faults_of(root: Path) -> list[str]:
    with pytest.raises(PackageFaults) as caught:
        Registry.load(root)
    return [str(fault) for fault in caught.value.faults]
