"""What a schema declares and libxml2 does not tell: the names, values and patterns that a finding may quote, the code
lists by type, and which places hold an ID, a reference or base64.

Read from the XSD sources once per package. Everything a finding says of a document passes ``Declarations``: a word that
stands in no schema is never repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from gateway.packages.schemafiles import XS
from gateway.xml.nodes import Names

Place = tuple[str, str]  # (element as "{namespace}name", attribute name or "" for its text)


@dataclass(frozen=True, slots=True, repr=False)
class Declarations:
    """names: of elements, attributes and types, local, with the schema's prefixes. constants: enumerations, bounds, fixed
    values, patterns. codes: "{namespace}Type" → values; local_codes: element or attribute name → each list that it can have.
    kinds: place → built-in type its value comes from ("date|gYear" for a union), where all declarations of that name agree.
    references, identifiers, base64: the places of these kinds. id_attributes, id_elements: names of all that hold an ID
    anywhere."""

    names: Names
    constants: frozenset[str]
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    local_codes: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    kinds: Mapping[Place, str] = field(default_factory=dict)
    id_attributes: frozenset[str] = frozenset()
    id_elements: frozenset[str] = frozenset()
    references: frozenset[Place] = frozenset()
    identifiers: frozenset[Place] = frozenset()
    base64: frozenset[Place] = frozenset()


def declared_in(roots: Mapping[str, etree._Element]) -> Declarations:
    """roots: the parsed files of one package, as ``schemafiles.gather`` gives them."""
    names: set[str] = set()
    constants: set[str] = set()
    codes: dict[str, tuple[str, ...]] = {}
    local_codes: dict[str, set[tuple[str, ...]]] = {}
    for root in roots.values():
        namespace = str(root.get("targetNamespace", ""))
        for node in root.iter(*_NAMED):
            if (name := node.get("name")) is not None:
                names.add(str(name))
            if (fixed := node.get("fixed")) is not None:
                constants.add(str(fixed))
        for facet in root.iter(*_FACETS):
            constants.add(str(facet.get("value", "")))
        for simple in root.iter(XS + "simpleType"):
            values = tuple(str(value.get("value", "")) for value in simple.iterfind(f"{XS}restriction/{XS}enumeration"))
            owner = simple.getparent()
            if values and simple.get("name") is not None:
                codes[f"{{{namespace}}}{simple.get('name')}"] = values
            elif values and owner is not None and owner.get("name") is not None:
                local_codes.setdefault(str(owner.get("name")), set()).add(values)
    places = _Kinds(roots)
    kinds = places.agreed()
    ids = places.ever("ID")
    return Declarations(
        names=Names.of(names, _prefixes(roots)), constants=frozenset(constants), codes=codes,
        local_codes={name: tuple(lists) for name, lists in local_codes.items()},
        kinds=kinds, id_attributes=frozenset(attribute for _, attribute in ids if attribute),
        id_elements=frozenset(element for element, attribute in ids if not attribute), references=_of(kinds, "IDREF", "IDREFS"),
        identifiers=_of(kinds, "ID"), base64=_of(kinds, "base64Binary"),
    )


def _prefixes(roots: Mapping[str, etree._Element]) -> dict[str, str]:
    """Namespace → prefix, as the first file that has one writes it; no prefix for two namespaces. The entry files come
    first. Only namespaces that these files declare elements in."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    spaces = {str(root.get("targetNamespace", "")) for root in roots.values()} - {""}
    for root in roots.values():
        for prefix, namespace in root.nsmap.items():
            if prefix and namespace in spaces and namespace not in found and prefix not in taken:
                found[namespace] = prefix
                taken.add(prefix)
    return found


def _of(kinds: Mapping[Place, str], *wanted: str) -> frozenset[Place]:
    return frozenset(place for place, kind in kinds.items() if kind in wanted)


_NAMED: Final = tuple(XS + kind for kind in ("element", "attribute", "simpleType", "complexType"))
_FACETS: Final = tuple(XS + kind for kind in (
    "enumeration", "pattern", "length", "minLength", "maxLength", "totalDigits", "fractionDigits",
    "minInclusive", "maxInclusive", "minExclusive", "maxExclusive",
))


class _Kinds:
    """Which built-in type the value of an element or attribute comes from, through every derivation."""

    def __init__(self, roots: Mapping[str, etree._Element]) -> None:
        self._types: dict[str, etree._Element] = {}
        self._groups: dict[str, etree._Element] = {}
        self._attributes: dict[str, etree._Element] = {}
        self._namespace: dict[etree._Element, str] = {}
        self._found: dict[Place, set[str]] = {}
        self._derived: dict[str, str] = {}
        for root in roots.values():
            namespace = str(root.get("targetNamespace", ""))
            for node in root.iterchildren(XS + "simpleType", XS + "complexType"):
                self._types[f"{{{namespace}}}{node.get('name')}"] = node
            for node in root.iterchildren(XS + "attributeGroup"):
                self._groups[f"{{{namespace}}}{node.get('name')}"] = node
            for node in root.iterchildren(XS + "attribute"):
                self._attributes[f"{{{namespace}}}{node.get('name')}"] = node
        for root in roots.values():
            qualified = root.get("elementFormDefault") == "qualified"
            namespace = str(root.get("targetNamespace", ""))
            for node in root.iter(XS + "element"):
                if node.get("name") is not None:
                    top = node.getparent() is root
                    form = node.get("form", "qualified" if qualified or top else "unqualified")
                    self._element(f"{{{namespace}}}{node.get('name')}" if form == "qualified" and namespace
                                  else str(node.get("name")), node)

    def agreed(self) -> dict[Place, str]:
        return {place: next(iter(kinds)) for place, kinds in self._found.items() if len(kinds) == 1 and kinds != {""}}

    def ever(self, kind: str) -> frozenset[Place]:
        return frozenset(place for place, kinds in self._found.items() if kind in kinds)

    def _element(self, name: str, node: etree._Element) -> None:
        self._note((name, ""), self._value_kind(node))
        for attribute, kind in self._attribute_kinds(self._type_of(node), set()):
            self._note((name, attribute), kind)

    def _note(self, place: Place, kind: str) -> None:
        self._found.setdefault(place, set()).add(kind)

    def _type_of(self, node: etree._Element) -> etree._Element | None:
        inline = node.find(XS + "simpleType")
        if inline is None:
            inline = node.find(XS + "complexType")
        return inline if inline is not None else self._types.get(_resolved(node, node.get("type")))

    def _value_kind(self, node: etree._Element, depth: int = 0) -> str:
        """Name of the built-in type behind an element's, attribute's or type's value; "" for none or an unclear one."""
        reference = _resolved(node, node.get("type") or node.get("base"))
        if reference.startswith(XS):
            return reference[len(XS):]
        if depth > 32:
            return ""
        if reference:
            return self._kind_of_type(reference, depth)
        if node.tag == XS + "union":
            members = [self._kind_of_type(_resolved(node, name), depth) for name in str(node.get("memberTypes", "")).split()]
            members += [self._value_kind(child, depth + 1) for child in node.iterchildren(XS + "simpleType")]
            return "|".join(dict.fromkeys(members)) if all(members) else ""
        for child in node.iterchildren(*_INTO_VALUE):
            if kind := self._value_kind(child, depth + 1):
                return kind
        return ""

    def _kind_of_type(self, name: str, depth: int) -> str:
        if name.startswith(XS):
            return name[len(XS):]
        if name not in self._derived and name in self._types:
            self._derived[name] = ""
            self._derived[name] = self._value_kind(self._types[name], depth + 1)
        return self._derived.get(name, "")

    def _attribute_kinds(self, node: etree._Element | None, seen: set[etree._Element]) -> Iterator[tuple[str, str]]:
        """Name and kind of every attribute of a complex type, inherited ones and groups included."""
        if node is None or node in seen:
            return
        seen.add(node)
        for child in node.iterchildren(*_INTO_ATTRIBUTES):
            if child.tag == XS + "attribute":
                declared = self._attributes.get(_resolved(child, child.get("ref")), child)
                if (name := declared.get("name")) is not None:
                    yield str(name), self._value_kind(declared)
            elif child.tag == XS + "attributeGroup":
                yield from self._attribute_kinds(self._groups.get(_resolved(child, child.get("ref"))), seen)
            else:
                yield from self._attribute_kinds(self._types.get(_resolved(child, child.get("base"))), seen)
                yield from self._attribute_kinds(child, seen)


_INTO_VALUE: Final = tuple(XS + kind for kind in ("simpleType", "complexType", "simpleContent", "restriction", "extension",
                                                 "union"))
_INTO_ATTRIBUTES: Final = tuple(XS + kind for kind in (
    "attribute", "attributeGroup", "simpleContent", "complexContent", "restriction", "extension"
))


def _resolved(node: etree._Element, name: object) -> str:
    """A QName of the schema as "{namespace}local"; "" for none."""
    if not isinstance(name, str) or not name:
        return ""
    prefix, _, local = name.strip().rpartition(":")
    return f"{{{node.nsmap.get(prefix or None) or ''}}}{local}"
