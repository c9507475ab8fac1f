"""What a release holds: its XSDs with what they link to, its code lists, its Schematron, its example messages.

Files are known by their content, never by their name: some releases name them by hash. Only the beginning of a file is read
where that is enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from lxml import etree

from gateway.config.faults import Fault
from gateway.packages.schemafiles import XS, SchemaFaults, read_schema
from gateway.releases.refusing import Refused
from gateway.xml.nodes import line_of, local_name

GENERICODE: Final = "{http://docs.oasis-open.org/codelist/ns/genericode/1.0/}CodeList"
SCHEMATRON: Final = "{http://purl.oclc.org/dsdl/schematron}schema"
CATALOG: Final = "{urn:oasis:names:tc:entity:xmlns:xml:catalog}catalog"
_SAME_NAMESPACE: Final = (XS + "include", XS + "redefine", XS + "override")


@dataclass(frozen=True, slots=True)
class Link:
    """location: as written, "" where there is none. namespace: of an import. inner: include, redefine, override."""

    location: str
    namespace: str
    line: int
    inner: bool


@dataclass(frozen=True, slots=True)
class Xsd:
    """One schema file. elements: global ones that a message can begin with. standard, version: as XÖV writes them into every
    file of a standard ("xbau", "2.6"), "" where nobody did. stated: the version attribute of the schema itself."""

    path: str
    namespace: str
    links: tuple[Link, ...]
    elements: tuple[str, ...]
    standard: str
    title: str
    version: str
    stated: str
    digest: str


@dataclass(frozen=True, slots=True)
class Survey:
    """Paths are relative to ``root``. messages: documents that may be examples, with namespace and root name."""

    root: Path
    xsds: Mapping[str, Xsd]
    codelists: tuple[str, ...] = ()
    schematron: tuple[str, ...] = ()
    catalogs: tuple[str, ...] = ()
    messages: tuple[tuple[str, str, str], ...] = ()
    others: tuple[str, ...] = field(default=())

    def of(self, namespace: str) -> dict[str, Xsd]:
        return {path: xsd for path, xsd in self.xsds.items() if xsd.namespace == namespace}


def survey(root: Path, files: Iterable[str]) -> Survey:
    """Raises ``Refused`` when a schema, a code list or Schematron among them is damaged."""
    faults: list[Fault] = []
    found: dict[str, list[str]] = {"codelists": [], "schematron": [], "catalogs": [], "others": []}
    xsds: dict[str, Xsd] = {}
    messages: list[tuple[str, str, str]] = []
    for name in sorted(files):
        try:
            tag = _root_of(root / name)
        except etree.XMLSyntaxError as error:
            if _matters(root / name):
                faults.append(_damaged(name, error))
            else:
                found["others"].append(name)
            continue
        if tag == XS + "schema":
            try:
                xsds[name] = _xsd(root, name)
            except SchemaFaults as broken:
                faults += [Fault(name, fault.line, fault.de, fault.en) for fault in broken.faults]
        elif tag in _KINDS:
            found[_KINDS[tag]].append(name)
        elif tag is not None and not name.endswith((".html", ".xhtml", ".xmi", ".wsdl", ".svg")):
            namespace, _, local = tag[1:].rpartition("}") if tag[0] == "{" else ("", "", tag)
            messages.append((name, namespace, local))
        else:
            found["others"].append(name)
    if faults:
        raise Refused(faults)
    return Survey(root, xsds, tuple(found["codelists"]), tuple(found["schematron"]), tuple(found["catalogs"]), tuple(messages),
                  tuple(found["others"]))


_KINDS: Final = {GENERICODE: "codelists", SCHEMATRON: "schematron", CATALOG: "catalogs"}


def _root_of(path: Path) -> str | None:
    """The first element; reads no further. ``None`` for a text that is no XML at all."""
    parser = etree.XMLPullParser(events=("start",), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    with path.open("rb") as file:
        while piece := file.read(4096):
            parser.feed(piece)
            event = next(iter(parser.read_events()), None)
            if event is not None:
                return str(cast(etree._Element, event[1]).tag)
    parser.close()
    return None


def _matters(path: Path) -> bool:
    """A damaged file refuses the release only if it was meant to be part of it, and not an example of what is wrong."""
    if path.suffix.lower() in (".xsd", ".sch"):
        return True
    with path.open("rb") as file:
        head = file.read(4096)
    return any(word in head for word in (b"XMLSchema\"", b"genericode/1.0", b"purl.oclc.org/dsdl/schematron"))


def _xsd(root: Path, name: str) -> Xsd:
    body, schema = read_schema(root / name)
    standard, version = schema.find(f"{XS}annotation/{XS}appinfo/standard"), schema.find(
        f"{XS}annotation/{XS}appinfo/versionStandard")
    return Xsd(
        path=name, namespace=str(schema.get("targetNamespace", "")),
        links=tuple(
            Link(str(node.get("schemaLocation", "")).strip(), str(node.get("namespace", "")), line_of(node),
                 node.tag in _SAME_NAMESPACE)
            for node in schema.iterchildren(*_SAME_NAMESPACE, XS + "import")
        ),
        elements=tuple(
            str(node.get("name")) for node in schema.iterchildren(XS + "element")
            if node.get("abstract") not in ("true", "1") and node.get("name")
        ),
        standard=_text(standard, "nameTechnisch"), title=_text(standard, "nameKurz"), version=_text(version, "version"),
        stated=str(schema.get("version", "")), digest=hashlib.sha256(body).hexdigest(),
    )


def _text(node: etree._Element | None, name: str) -> str:
    if node is None:
        return ""
    return next(((child.text or "").strip() for child in node.iterchildren() if local_name(child) == name), "")


def _damaged(name: str, error: etree.XMLSyntaxError) -> Fault:
    return Fault(name, error.lineno or 1, f"kein wohlgeformtes XML: {error.msg}", f"not well-formed XML: {error.msg}")
