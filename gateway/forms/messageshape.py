"""What elements a message has, in which order and of which kind: read from its XSD, for those who write messages.

This is no validator and knows no more of XML Schema than that takes: elements, their order, what must be there, simple
kinds and enumerations. Whatever it does not understand (wildcards, substitution groups) it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lxml import etree

XS = "{http://www.w3.org/2001/XMLSchema}"


class Kind(StrEnum):
    """How a simple value is written in the message."""

    TEXT = "text"
    LINE = "line"  # xs:token and its kin: no line breaks
    DATE = "date"
    PARTIAL_DATE = "partial_date"
    TIME = "time"
    DATETIME = "datetime"
    BOOLEAN = "boolean"
    MONEY = "money"
    NUMBER = "number"
    INTEGER = "integer"
    BINARY = "binary"


_BUILT_IN = {
    "date": Kind.DATE, "time": Kind.TIME, "dateTime": Kind.DATETIME, "boolean": Kind.BOOLEAN, "decimal": Kind.NUMBER,
    "base64Binary": Kind.BINARY, "token": Kind.LINE, "normalizedString": Kind.LINE, "language": Kind.LINE, "NMTOKEN": Kind.LINE,
    "anyURI": Kind.LINE, "NCName": Kind.LINE, "Name": Kind.LINE, "ID": Kind.LINE, "gYear": Kind.LINE, "gYearMonth": Kind.LINE,
} | dict.fromkeys(("integer", "nonNegativeInteger", "positiveInteger", "int", "long", "short", "unsignedInt"), Kind.INTEGER)


class ShapeFault(Exception):
    """The XSD cannot be read, or has no such root element."""


@dataclass(frozen=True, slots=True)
class Simple:
    """kind and, where there is an enumeration, its values."""

    kind: Kind
    values: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class Shape:
    """One element of a message.

    namespace: "" for none. required: must be there whenever its parent is. repeats: may occur more than once. simple:
    ``None`` when it has child elements. fixed: attributes that must be there and have only one value.
    """

    name: str
    namespace: str
    required: bool
    repeats: bool
    simple: Simple | None
    fixed: MappingProxyType[str, str]
    _type: _Type | None = field(repr=False)
    _children: dict[str, Shape] | None = field(default=None, repr=False)

    @property
    def children(self) -> dict[str, Shape]:
        """By local name, in the order they must have; read on demand, because types may hold themselves."""
        if self._children is None:
            self._children = {} if self._type is None or self.simple else {
                shape.name: shape for shape in self._type.files.particles(self._type)
            }
        return self._children

    @property
    def code(self) -> Shape | None:
        """The element that holds the key when this is a code in the XÖV way (``<geschlecht><code>w</code></geschlecht>``)."""
        return self.children.get("code") if len(self.children) <= 2 else None

    @property
    def prefixes(self) -> dict[str, str]:
        """Namespace → prefix, as the author of the XSD wrote them."""
        declared = self._type.declared.node.nsmap if self._type is not None else {}
        return {uri: prefix for prefix, uri in declared.items() if prefix and uri != XS[1:-1]}

    def at(self, *path: str) -> Shape | None:
        found: Shape | None = self
        for step in path:
            found = found.children.get(step) if found is not None else None
        return found


def read(xsd: Path, root: str | None = None) -> Shape:
    """The shape of a message. root: name of its root element, where the XSD declares several. Raises ``ShapeFault``."""
    files = _Files(xsd.resolve())
    roots = {name: declared for (namespace, name), declared in files.elements.items() if namespace == files.target}
    if root is None and len(roots) == 1:
        root = next(iter(roots))
    if root is None or root not in roots:
        raise ShapeFault(f"root element {root or 'not named'}; there are: {', '.join(sorted(roots)) or 'none'}")
    return files.shape(roots[root], required=True, repeats=False)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A component of a schema file and the namespace its names stand in."""

    node: etree._Element
    target: str


@dataclass(frozen=True, slots=True)
class _Type:
    declared: _Declared
    files: _Files


class _Files:
    """The components of an XSD and of all it includes and imports from beside it."""

    def __init__(self, entry: Path) -> None:
        self.elements: dict[tuple[str, str], _Declared] = {}
        self.types: dict[tuple[str, str], _Declared] = {}
        self.groups: dict[tuple[str, str], _Declared] = {}
        self.target = _parsed(entry).get("targetNamespace", "")
        self._read(entry, self.target, set())

    def _read(self, path: Path, target: str, seen: set[tuple[Path, str]]) -> None:
        if (path, target) in seen:
            return
        seen.add((path, target))
        kinds = {"element": self.elements, "complexType": self.types, "simpleType": self.types, "group": self.groups}
        for node in _parsed(path):
            local, location = _local(node), node.get("schemaLocation")
            if local in ("include", "import") and location and "://" not in location:
                other = (path.parent / location).resolve()
                own = _parsed(other).get("targetNamespace", "")
                self._read(other, own or (target if local == "include" else ""), seen)
            elif local in kinds and (name := node.get("name")):
                kinds[local].setdefault((target, name), _Declared(node, target))

    def shape(self, declared: _Declared, *, required: bool, repeats: bool) -> Shape:
        node, target = declared.node, declared.target
        top = node.getparent()
        qualified = top is not None and (
            _local(top) == "schema" or node.get("form", _schema(node).get("elementFormDefault", "unqualified")) == "qualified"
        )
        kind = self._type_of(declared)
        simple = self._simple(kind, node)
        attributes = self._fixed(kind) if kind else {}
        return Shape(node.get("name", ""), target if qualified else "", required, repeats, simple,
                     MappingProxyType(attributes), kind)

    def particles(self, kind: _Type) -> Iterator[Shape]:
        """The child elements of a complex type, those of its base first."""
        node, target = kind.declared.node, kind.declared.target
        content = node.find(f"{XS}complexContent")
        body = content[-1] if content is not None and len(content) else node
        if _local(body) == "extension" and (base := self._named(body, "base", target)):
            yield from self.particles(base)
        for part in body:
            yield from self._in_group(part, target, required=True, repeats=False)

    def _in_group(self, node: etree._Element, target: str, *, required: bool, repeats: bool) -> Iterator[Shape]:
        local = _local(node)
        required = required and node.get("minOccurs") != "0"
        repeats = repeats or node.get("maxOccurs", "1") not in ("0", "1")
        if local == "element":
            declared = _Declared(node, target)
            if (ref := node.get("ref")) is not None:
                found = self.elements.get(_resolved(ref, node, target))
                if found is None:
                    return
                declared = found
            yield self.shape(declared, required=required, repeats=repeats)
        elif local == "group" and (ref := node.get("ref")) is not None:
            if (group := self.groups.get(_resolved(ref, node, target))) is not None:
                for part in group.node:
                    yield from self._in_group(part, group.target, required=required, repeats=repeats)
        elif local in ("sequence", "choice", "all"):
            for part in node:
                yield from self._in_group(part, target, required=required and local != "choice", repeats=repeats)

    def _type_of(self, declared: _Declared) -> _Type | None:
        for child in declared.node:
            if _local(child) in ("complexType", "simpleType"):
                return _Type(_Declared(child, declared.target), self)
        return self._named(declared.node, "type", declared.target)

    def _named(self, node: etree._Element, attribute: str, target: str) -> _Type | None:
        found = self.types.get(_resolved(node.get(attribute, ""), node, target))
        return _Type(found, self) if found is not None else None

    def _simple(self, kind: _Type | None, node: etree._Element, depth: int = 0) -> Simple | None:
        """What may stand in it; ``None`` for element content. Follows restrictions down to the built-in type."""
        if kind is None or depth > 20:
            return Simple(_BUILT_IN.get(node.get("type", "").rpartition(":")[2], Kind.TEXT))
        own, target = kind.declared.node, kind.declared.target
        if _local(own) == "complexType":
            content = own.find(f"{XS}simpleContent")
            return self._derived(content[-1], target, depth) if content is not None and len(content) else None
        if (union := own.find(f"{XS}union")) is not None:
            members = [self.types.get(_resolved(name, union, target)) for name in union.get("memberTypes", "").split()]
            kinds = {simple.kind for found in members if found and (simple := self._simple(_Type(found, self), own, depth + 1))}
            return Simple(Kind.PARTIAL_DATE if Kind.DATE in kinds else Kind.LINE)
        restriction = own.find(f"{XS}restriction")
        return self._derived(restriction, target, depth) if restriction is not None else Simple(Kind.LINE)

    def _derived(self, node: etree._Element, target: str, depth: int) -> Simple:
        base = self._named(node, "base", target)
        inherited = self._simple(base, node, depth + 1) if base else None
        kind = inherited.kind if inherited else _BUILT_IN.get(node.get("base", "").rpartition(":")[2], Kind.TEXT)
        digits = node.find(f"{XS}fractionDigits")
        if kind is Kind.NUMBER and digits is not None and digits.get("value") == "2":
            kind = Kind.MONEY
        values = frozenset(entry.get("value", "") for entry in node.iter(f"{XS}enumeration"))
        return Simple(kind, values or (inherited.values if inherited else frozenset()))

    def _fixed(self, kind: _Type) -> dict[str, str]:
        return {
            entry.get("name", ""): entry.get("fixed", "") for entry in kind.declared.node.iter(f"{XS}attribute")
            if entry.get("use") == "required" and entry.get("fixed") is not None and _owner(entry) is kind.declared.node
        }


def _parsed(path: Path) -> etree._Element:
    try:
        return _parsed_as_of(path, path.stat().st_mtime_ns)
    except (OSError, etree.XMLSyntaxError) as error:
        raise ShapeFault(f"{path.name}: {error.__class__.__name__}") from error


@lru_cache(maxsize=256)
def _parsed_as_of(path: Path, _: int) -> etree._Element:
    """Shared files (the basis of every message) are read once; nobody changes the tree."""
    parser: Any = etree.XMLParser(no_network=True, resolve_entities=False, load_dtd=False, remove_comments=True, remove_pis=True)
    root: etree._Element = etree.fromstring(path.read_bytes(), parser)
    return root


def _local(node: etree._Element) -> str:
    return etree.QName(node).localname


def _schema(node: etree._Element) -> etree._Element:
    return node.getroottree().getroot()


def _owner(attribute: etree._Element) -> etree._Element | None:
    """The complex type an attribute declaration belongs to."""
    node = attribute.getparent()
    while node is not None and _local(node) not in ("complexType", "element"):
        node = node.getparent()
    return node


def _resolved(name: str, node: etree._Element, target: str) -> tuple[str, str]:
    prefix, _, local = name.rpartition(":")
    namespace = node.nsmap.get(prefix or None)
    return (namespace if namespace is not None else ("" if prefix else target), local)
