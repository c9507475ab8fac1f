"""What libxml2 passes over: references to identifiers that are not there, and base64 with foreign characters in it.

Both are part of XML Schema (cvc-id, the lexical space of base64Binary); a document that breaks them is refused by other
validators further down the road, or arrives as a damaged file.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from lxml import etree

from gateway.document import Document
from gateway.findings import Finding
from gateway.packages.declarations import Declarations, Place
from gateway.vocabulary import say
from gateway.xml.nodes import Paths, line_of

_ALPHABET = (string.ascii_letters + string.digits + "+/").encode()
_WHITE = b" \t\r\n"


def dangling_references(document: Document, declared: Declarations, *, most: int) -> tuple[Finding, ...]:
    """A finding for each IDREF whose ID does not occur."""
    if not declared.references:
        return ()
    root = document.root
    missing = _unresolved(root, declared)
    if missing:
        missing.difference_update(_identifiers(root, declared))
    if not missing:
        return ()
    paths = Paths(declared.names)
    dangling = ((node, attribute) for node, attribute, value in _values(root, declared.references)
                if not missing.isdisjoint(value.split()))
    return tuple(
        say("dangling-reference", line=line_of(node), path=paths.of(node) + (f"/@{attribute}" if attribute else ""))
        for node, attribute in islice(dangling, most)
    )


def _unresolved(root: etree._Element, declared: Declarations) -> set[str]:
    """What is referred to and stands in none of the places that are always IDs, found in one walk: nothing, nearly always."""
    wanted: set[str] = set()
    known: set[str] = set()
    places = _references_and_identifiers(declared.references, declared.identifiers)
    for node in root.iter(*places):
        for attribute, into in places[node.tag]:
            values = known if into else wanted
            if not attribute:
                values.add(node.text or "")
            elif (value := node.get(attribute)) is not None:
                values.add(value)
            elif node.attrib:
                values.update(_namespaced(node, attribute))
    return {part for value in wanted for part in value.split()}.difference(value.strip() for value in known)


def _identifiers(root: etree._Element, declared: Declarations) -> Iterator[str]:
    """Every value that may be an ID: rather too many, because a type chosen by xsi:type can have one where its element's
    own type has none."""
    for node in root.iter(etree.Element):
        for name, value in node.attrib.items():
            if str(name).rpartition("}")[2] in declared.id_attributes:
                yield str(value).strip()
        if node.text and node.tag in declared.id_elements:
            yield node.text.strip()


def damaged_base64(document: Document, declared: Declarations, *, most: int) -> tuple[Finding, ...]:
    """A finding for each base64 value with characters that do not belong in it; libxml2 skips them."""
    damaged = [
        (node, attribute) for node, attribute, value in _values(document.root, declared.base64) if not _is_base64(value)
    ]
    if not damaged:
        return ()
    paths = Paths(declared.names)
    return tuple(
        say("type#base64", line=line_of(node), path=paths.of(node) + (f"/@{attribute}" if attribute else ""),
            expected=("xs:base64Binary",))
        for node, attribute in damaged[:most]
    )


def _is_base64(value: str) -> bool:
    """Has it none but the characters of base64? What libxml2 takes besides is right in its length and padding."""
    return value.isascii() and not value.encode().translate(None, _ALPHABET).translate(None, _WHITE).rstrip(b"=")


def _values(root: etree._Element, places: frozenset[Place]) -> Iterator[tuple[etree._Element, str, str]]:
    """Of each of these places in the document: element, name of the attribute or "", value."""
    if not places:
        return
    wanted = _by_element(places)
    for node in root.iter(*wanted):
        for attribute in wanted[node.tag]:
            if not attribute:
                if node.text is not None:
                    yield node, "", node.text
            elif (value := node.get(attribute)) is not None:
                yield node, attribute, value
            else:
                yield from ((node, attribute, value) for value in _namespaced(node, attribute))


def _namespaced(node: etree._Element, attribute: str) -> Iterator[str]:
    return (str(value) for name, value in node.attrib.items() if str(name).rpartition("}")[2] == attribute)


@lru_cache(256)
def _by_element(places: frozenset[Place]) -> dict[str, tuple[str, ...]]:
    wanted: dict[str, tuple[str, ...]] = {}
    for element, attribute in sorted(places):
        wanted[element] = (*wanted.get(element, ()), attribute)
    return wanted


@lru_cache(256)
def _references_and_identifiers(
    references: frozenset[Place], identifiers: frozenset[Place]
) -> dict[str, tuple[tuple[str, bool], ...]]:
    """Element → each attribute, or "" for its text, and whether that is an ID."""
    found: dict[str, tuple[tuple[str, bool], ...]] = {}
    for places, identify in ((references, False), (identifiers, True)):
        for element, attributes in _by_element(places).items():
            found[element] = (*found.get(element, ()), *((attribute, identify) for attribute in attributes))
    return found
