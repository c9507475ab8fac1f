"""Bytes from outside are parsed in one place only; every other parser in the project has its reason written beside it."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.conftest import ROOT

PARSERS = {"fromstring", "parse", "iterparse", "XML", "XMLParser", "HTMLParser", "XMLPullParser", "ETCompatXMLParser",
           "fromstringlist", "XMLID", "HTML", "xinclude"}
ALLOWED = {
    "gateway/document.py": "the guarded read itself",
    "gateway/packages/schemafiles.py": "XSD files from disk",
    "gateway/packages/compiled.py": "XSD texts that schemafiles has read",
    "gateway/packages/patterns.py": "a schema of its own making",
    "gateway/packages/terse.py": "XSD texts that schemafiles has read",
    "gateway/forms/messageshape.py": "XSD files from disk",
    "gateway/forms/transform.py": "stylesheets of the site",
    "gateway/mapping.py": "stylesheets of the site",
    "gateway/forms/mappingview.py": "what our own mapping has written, shown to its author",
    "gateway/rules/genericode.py": "code lists of packages, from disk",
    "gateway/rules/schematronfile.py": "rule files of packages, from disk",
    "gateway/checks/secondengine.py": "XSD texts that schemafiles has read",
    "gateway/releases/lint.py": "a schema of its own making",
    "gateway/releases/survey.py": "the first element of files of a release, to know what they are",
    "connectors/answers.py": "answers of a target, which connectors may not use the gateway for",
}


def _parsing(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    if not any(name in path.read_text() for name in ("lxml", "xml.etree", "xml.dom", "xml.sax", "expat")):
        return []
    return [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.func.attr}" for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PARSERS
        and isinstance(node.func.value, ast.Name) and node.func.value.id in ("etree", "ET", "ElementTree", "objectify")
    ] + [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.module}" for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("xml", "xmltodict", "defusedxml")
        and node.module != "xml.sax.saxutils"
    ]


def test_bytes_are_parsed_in_one_place_only() -> None:
    files = [path for folder in ("gateway", "connectors") for path in (ROOT / folder).rglob("*.py")]
    found = [place for path in files if str(path.relative_to(ROOT)) not in ALLOWED for place in _parsing(path)]
    assert not found, f"parse with gateway.document.read: {found}"


def test_the_search_for_parsers_would_find_one(tmp_path: Path) -> None:
    path = ROOT / "gateway" / "document.py"
    assert any("fromstring" in place for place in _parsing(path))
