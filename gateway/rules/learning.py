"""Reads the table of code uses out of a schema compiled by xmlschema. Runs when a package is installed, never per message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from xmlschema import XMLSchemaBase
from xmlschema.validators import XsdAnyElement, XsdComplexType, XsdElement

from gateway.rules.codeuse import CodeTable, CodeUse, TypeEntry

_URI: Final = "listURI"
_VERSION: Final = "listVersionID"
_KEYS: Final = ("code", "listenwert")


def learn(schema: XMLSchemaBase) -> CodeTable:
    """schema: compiled, with all it imports."""
    graph = _Graph(schema)
    roots = {str(element.name): graph.number(element.type) for element in _globals(schema)}
    named = {
        str(one.name): graph.number(one) for one in schema.maps.types.values()
        if isinstance(one, XsdComplexType) and one.name
    }
    graph.grow()
    return _pruned(graph.entries, roots, named)


class _Graph:
    """Every complex type that can be reached, with a number. Grown from a list, because schemas are deeper than stacks."""

    def __init__(self, schema: XMLSchemaBase) -> None:
        self._substitutes = schema.maps.substitution_groups
        self._numbers: dict[int, int] = {}
        self._types: list[Any] = []
        self.entries: list[TypeEntry] = []

    def number(self, xsd_type: Any) -> int:
        found = self._numbers.get(id(xsd_type))
        if found is None:
            found = self._numbers[id(xsd_type)] = len(self._types)
            self._types.append(xsd_type)
        return found

    def grow(self) -> None:
        while len(self.entries) < len(self._types):
            self.entries.append(self._entry(self._types[len(self.entries)]))

    def _entry(self, xsd_type: Any) -> TypeEntry:
        if not isinstance(xsd_type, XsdComplexType):
            return TypeEntry({})
        children: dict[str, int] = {}
        is_open = False
        if xsd_type.has_complex_content() or xsd_type.is_empty():
            for element in _elements(xsd_type):
                if isinstance(element, XsdAnyElement):
                    is_open = is_open or element.process_contents != "skip"
                    continue
                for one in (element, *self._instead_of(element)):
                    if one.name:
                        children[str(one.name)] = self.number(one.type)
        return TypeEntry(children, _code_use(xsd_type), is_open)

    def _instead_of(self, element: Any) -> Iterator[Any]:
        waiting, seen = [element.name], set[str]()
        while waiting:
            for one in self._substitutes.get(waiting.pop(), ()):
                if one.name not in seen:
                    seen.add(one.name)
                    waiting.append(one.name)
                    yield one


def _globals(schema: XMLSchemaBase) -> Iterable[XsdElement]:
    return schema.maps.elements.values()


def _elements(xsd_type: XsdComplexType) -> Iterable[Any]:
    content: Any = xsd_type.content
    return content.iter_elements() if hasattr(content, "iter_elements") else ()


def _code_use(xsd_type: XsdComplexType) -> CodeUse | None:
    """By shape, as the XÖV handbook describes it: a child ``code`` and the attributes that name the list."""
    uri, version = xsd_type.attributes.get(_URI), xsd_type.attributes.get(_VERSION)
    if uri is None:
        return None
    for element in _elements(xsd_type):
        name = str(getattr(element, "local_name", ""))
        if name in _KEYS and not element.type.has_complex_content():
            if element.type.enumeration:
                return None
            return CodeUse(str(element.name), _said(uri), _said(version))
    return None


def _said(attribute: Any) -> str | None:
    if attribute is None:
        return None
    value = attribute.fixed if attribute.fixed is not None else attribute.default
    return None if value is None else str(value)


def _pruned(entries: list[TypeEntry], roots: dict[str, int], named: dict[str, int]) -> CodeTable:
    """Only types from which a code can be reached."""
    leading = {number for number, entry in enumerate(entries) if entry.code is not None}
    grown = True
    while grown:
        anywhere = any(number in leading for number in roots.values())
        more = {
            number for number, entry in enumerate(entries)
            if number not in leading and ((entry.open and anywhere) or any(child in leading for child in entry.children.values()))
        }
        leading |= more
        grown = bool(more)
    order = {number: place for place, number in enumerate(sorted(leading))}

    def kept(children: Iterable[tuple[str, int]]) -> dict[str, int]:
        return {tag: order[number] for tag, number in children if number in order}

    return CodeTable(
        tuple(TypeEntry(kept(entries[number].children.items()), entries[number].code, entries[number].open) for number in order),
        kept(roots.items()), kept(named.items()),
    )
