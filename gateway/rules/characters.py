"""Characters that the next system may not know: DIN 91379 and Unicode normalisation (NFC).

Standards that use the data types of the norm have them checked by their XSD. This stage is for all others: for the fields
that hold names, and on request for every text and attribute of a message.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Final

from lxml import etree

from gateway.document import Document
from gateway.findings import Finding
from gateway.rules import MOST
from gateway.rules.din91379 import REPERTOIRES, DataType
from gateway.vocabulary import say
from gateway.xml.nodes import Paths, line_of, local_name

NAME_FIELDS: Final[Mapping[str, DataType]] = MappingProxyType({
    **dict.fromkeys(("familienname", "vorname", "vornamen", "nachname", "rufname", "geburtsname", "nachnamen", "familiennamen",
                     "ordensname", "kuenstlername", "namenszusatz", "namensbestandteil"), DataType.A),
    **dict.fromkeys(("strasse", "ort", "wohnort", "ortsteil", "geburtsort", "gemeinde", "postfach", "hausnummer"), DataType.B),
    **dict.fromkeys(("firma", "firmenname", "organisationsname"), DataType.D),
})
"""Local names, small letters, as XÖV standards and our own messages call the fields of people, places and companies."""


@dataclass(frozen=True, slots=True)
class CharacterRules:
    """fields: local name in small letters (the first may be a capital in the message) → data type. whole: for all the rest of
    the message, or None to leave it."""

    fields: Mapping[str, DataType] = field(default_factory=lambda: NAME_FIELDS)
    whole: DataType | None = None


def check(document: Document, rules: CharacterRules, *, names: Container[str], most: int = MOST) -> list[Finding]:
    """At most one finding for each text. names: words of the schema, which a path may show."""
    root = document.root
    if _plain("".join(root.itertext())) and (rules.whole is None or _plain(" ".join(map(str, _attributes(root))))):  # type: ignore[arg-type]
        rules = CharacterRules({name: kind for name, kind in rules.fields.items() if kind not in _RUNNING},
                               None if rules.whole in _RUNNING else rules.whole)
    if not rules.fields and rules.whole is None:
        return []
    return list(islice(_faults(root, rules, Paths(names)), most))


_RUNNING: Final = frozenset({DataType.C, DataType.E})  # the others know no line break, A no digits

_attributes = etree.XPath("//@*", smart_strings=False)


def _plain(text: str) -> bool:
    """ASCII without control characters: in the types for running text, and nearly every message is nothing else."""
    return text.isascii() and "\x7f" not in text


def _faults(root: etree._Element, rules: CharacterRules, paths: Paths) -> Iterator[Finding]:
    wanted = () if rules.whole is not None else [
        "{*}" + spelt for name in rules.fields for spelt in (name, name[0].upper() + name[1:])
    ]
    for node in root.iter(*wanted):
        kind = rules.fields.get(local_name(node).lower(), rules.whole)
        if kind is not None and node.text:
            found = _fault(node.text, kind)
            if found is not None:
                yield _finding(*found, node, paths.of(node), kind)
        if rules.whole is None:
            continue
        if node.tail and not node.tail.isspace() and (found := _fault(node.tail, rules.whole)) is not None:
            parent = node.getparent()
            assert parent is not None
            yield _finding(*found, node, paths.of(parent), rules.whole)
        for name, value in node.attrib.items():
            if (found := _fault(str(value), rules.whole)) is not None:
                yield _finding(*found, node, paths.of(node) + f"/@{str(name).rpartition('}')[2]}", rules.whole)


def _fault(text: str, kind: DataType) -> tuple[int, str] | None:
    """Index (from 0) of the first character that must not be, and the character; "" where only normalisation is missing.

    A text within the norm is always in NFC, because every unit of the norm is and begins with a letter of its own.
    """
    stripped, repertoire = text.strip(" \t\r\n"), REPERTOIRES[kind]
    if not stripped or (kind is not DataType.A and stripped.isascii() and stripped.isprintable()):
        return None
    index = repertoire.first_foreign(stripped)
    if index is None:
        return None
    normal = unicodedata.normalize("NFC", stripped)
    if normal != stripped and repertoire.first_foreign(normal) is None:
        return 0, ""
    return index, stripped[index]


def _finding(index: int, character: str, node: etree._Element, path: str, kind: DataType) -> Finding:
    if not character:
        return say("not-normalised", line=line_of(node), path=path, expected=("Unicode NFC",))
    what = _KINDS.get(unicodedata.category(character)[0], ("ein Zeichen", "a character"))
    return say("character-not-allowed", {"position": index + 1, "what": what}, line=line_of(node), path=path,
               expected=(f"DIN 91379, Datentyp {kind}",))


_KINDS: Final = {
    "C": ("ein unsichtbares oder Steuerzeichen", "an invisible or control character"),
    "L": ("ein Schriftzeichen", "a letter"),
    "M": ("ein Akzent oder anderes Anfügezeichen", "an accent or other combining mark"),
    "N": ("ein Zahlzeichen", "a number sign"),
    "P": ("ein Satzzeichen", "a punctuation mark"),
    "S": ("ein Symbol", "a symbol"),
    "Z": ("ein besonderer Leerraum", "a special blank"),
}
