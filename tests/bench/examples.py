"""Messages made from a schema alone, for standards that publish no examples: every element that is required, and as many
others as wished. Not for the eye: the values are the first that the types take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from lxml import etree
from xmlschema import XMLSchema10
from xmlschema.validators import XsdAnyElement, XsdElement, XsdGroup

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_DEEPEST: Final = 24
_VALUES: Final = (
    "1", "a", "Aa", "2026-01-01", "2026-01-01T12:00:00Z", "12:00:00", "2026", "2026-01", "true", "0.5", "QUJD", "A", "https://example.org/a",
    "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "psw:01003110", "08125000", "081250000000", "01", "001", "0100", "12345",
    "application/pdf", "a@example.org", "+49 7131 1", "DE02120300000000202051", "urn:a:b", "P1D", "de", "Nachname", "01.01.2026",
    "--01-01", "1:1", "",
)


class Unmade(Exception):
    """Nothing that is known here fits this place."""


def examples(schema: XMLSchema10, *, richness: int = 6) -> Iterator[bytes]:
    """A message for each global element of the schema's own namespace for which that is possible. richness: down to which
    level what need not be there is made as well; 0 for as little as possible."""
    for element in schema.elements.values():
        try:
            yield etree.tostring(_Maker(schema, richness).message(element), encoding="utf-8", xml_declaration=True)
        except Unmade:
            continue


class _Maker:

    def __init__(self, schema: XMLSchema10, richness: int) -> None:
        self._schema, self._richness, self._ids = schema, richness, 0
        self._making: list[Any] = []

    def message(self, element: XsdElement) -> etree._Element:
        if element.abstract:
            raise Unmade
        space = self._schema.target_namespace
        root = etree.Element(str(element.name), nsmap={"n": space} if space else None)
        self._fill(root, element.type, element)
        return root

    def _fill(self, node: etree._Element, kind: Any, declared: Any) -> None:
        if len(self._making) >= _DEEPEST:
            raise Unmade
        if kind.is_simple():
            node.text = declared.fixed or self._value(kind)
            return
        if kind.abstract:
            kind = next((one for one in self._schema.maps.types.values()
                         if one.is_complex() and not one.abstract and one.is_derived(kind, "extension")), None)
            if kind is None:
                raise Unmade
            space, _, name = str(kind.name)[1:].rpartition("}")
            etree.cleanup_namespaces(node, top_nsmap={"t": space}, keep_ns_prefixes=["t"])
            node.set(f"{{{_XSI}}}type", f"t:{name}")
        self._making.append(kind)
        try:
            for name, attribute in kind.attributes.items():
                if name is not None and attribute.use == "required":
                    node.set(str(name), attribute.fixed or self._value(attribute.type))
            if kind.has_simple_content():
                node.text = declared.fixed or self._value(kind.content)
            elif isinstance(kind.content, XsdGroup):
                self._group(node, kind.content)
        finally:
            self._making.pop()

    def _group(self, node: etree._Element, group: XsdGroup) -> None:
        if group.model == "choice":
            for particle in sorted(group, key=lambda particle: particle.min_occurs == 0):
                before = len(node)
                try:
                    self._particle(node, particle, times=max(1, particle.min_occurs))
                except Unmade:
                    del node[before:]
                    continue
                return
            raise Unmade
        for particle in group:
            if particle.min_occurs:
                self._particle(node, particle, times=particle.min_occurs)
            elif len(self._making) <= self._richness and particle.max_occurs != 0:
                before = len(node)
                try:
                    self._particle(node, particle, times=1)
                except Unmade:
                    del node[before:]

    def _particle(self, node: etree._Element, particle: Any, *, times: int) -> None:
        for _ in range(times):
            if isinstance(particle, XsdGroup):
                self._group(node, particle)
                continue
            if isinstance(particle, XsdAnyElement):
                raise Unmade
            declared = particle.ref or particle
            if declared.abstract:
                declared = next((one for one in self._schema.maps.substitution_groups.get(declared.name, ())
                                 if not one.abstract), None)
                if declared is None:
                    raise Unmade
            if any(kind is declared.type for kind in self._making):
                raise Unmade
            self._fill(etree.SubElement(node, str(declared.name)), declared.type, declared)

    def _value(self, kind: Any) -> str:
        if kind.enumeration:
            return str(kind.enumeration[0])
        if kind.is_key():
            self._ids += 1
            return f"i{self._ids}"
        for value in _VALUES:
            if kind.is_valid(value):
                return value
        for length in range(2, 40):
            if kind.is_valid("a" * length) or kind.is_valid("1" * length):
                return ("a" if kind.is_valid("a" * length) else "1") * length
        raise Unmade
