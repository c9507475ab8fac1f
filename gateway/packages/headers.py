"""Where messages of the XÖV standards say who sent them, when and what they are: the header families A to F.

A family is a table field → path, as ``Package.header`` reads it: local names below the root, "@name" for an attribute, "*"
for any element; alternatives with "|" between them, where the first that holds something counts; "a+b" is both with a colon
between them, as in "ags:08125000". A manifest names its family and changes single lines.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import Final

from lxml import etree

from gateway.findings import Finding
from gateway.vocabulary import say
from gateway.xml.nodes import Paths, line_of

FIELDS: Final = frozenset({
    "uuid", "type", "created", "author", "reader", "product", "reference", "leistung", "ars", "version", "test",
})


def _basic(head: str, party: str) -> dict[str, str]:
    said = f"{head}/identifikation.nachricht"
    return {
        "uuid": f"{said}/nachrichtenUUID",
        "type": f"{said}/nachrichtentyp/code",
        "created": f"{said}/erstellungszeitpunkt",
        "author": _each(party, f"{head}/autor"),
        "reader": _each(party, f"{head}/leser"),
        "reference": f"{head}/referenzUUID|bezug/referenz|rueckweisung/idNachricht/nachrichtenUUID"
                     "|rueckweisungDaten/idNachricht/nachrichtenUUID|ursprungsnachricht/nachrichtenUUID",
        "product": "@produkt",
        "test": "@test",
        "version": "@version",
    }


def _each(paths: str, above: str) -> str:
    """Every path of an expression, below ``above``."""
    return "|".join("+".join(f"{above}/{path}" for path in one.split("+")) for one in paths.split("|"))


_DIRECTORY: Final = "kennung|verzeichnisdienst/code"
_KEYS: Final = "behoerdenkennung/praefix/code+behoerdenkennung/kennung/code|behoerdenkennung/kennung"
_XDOMEA: Final = ("Behoerdenkennung/Praefix/code+Behoerdenkennung/Behoerdenschluessel/code"
                  "|Behoerdenkennung/Praefix/code+Behoerdenkennung/Kennung/code")  # since 3.0, before

FAMILIES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({
    "A": MappingProxyType(_basic("nachrichtenkopf.g2g", _DIRECTORY)),
    "B": MappingProxyType(_basic("nachrichtenkopf.g2g", _DIRECTORY)),
    "C": MappingProxyType(_basic("nachrichtenkopf", f"{_KEYS}|{_DIRECTORY}")),
    "D": MappingProxyType({
        "type": "Kopf/Nachrichtentyp/code",
        "created": "Kopf/Erstellungszeitpunkt",
        "author": _each(_XDOMEA, "Kopf/Absender"),
        "reader": _each(_XDOMEA, "Kopf/Empfaenger"),
        "reference": "Kopf/ProzessID",
        "product": "Kopf/SendendesSystem/Produktname",
    }),
    "E": MappingProxyType({
        "uuid": "nachrichtenkopf/eigeneNachrichtenID",
        "created": "nachrichtenkopf/erstellungszeitpunkt",
        "author": "nachrichtenkopf/auswahl_absender/*/code|nachrichtenkopf/auswahl_absender/*",
        "reader": "nachrichtenkopf/auswahl_empfaenger/*/code|nachrichtenkopf/auswahl_empfaenger/*",
        "reference": "nachrichtenkopf/fremdeNachrichtenID",
        "product": "nachrichtenkopf/herstellerinformation/nameDesProdukts",
        "version": "nachrichtenkopf/@xjustizVersion",
    }),
    "F": MappingProxyType({}),
})
"""A: XÖV-Basisnachricht, header without a namespace. B: the same, qualified. C: XInneres 3 and 4. D: xdomea (it numbers the
process, not the message: that is a reference). E: XJustiz. F: no header; what a message is for comes from the transport."""

DESCRIPTIONS: Final[Mapping[str, str]] = MappingProxyType({
    "A": "XÖV-Basisnachricht, unqualifiziert", "B": "XÖV-Basisnachricht, qualifiziert", "C": "XInneres 3/4", "D": "xdomea",
    "E": "XJustiz", "F": "ohne Nachrichtenkopf",
})

VERSION_AT: Final[Mapping[str, str]] = MappingProxyType({"E": "nachrichtenkopf/@xjustizVersion"})
"""Families whose namespace does not say the version, and where it is said instead."""

_NUMBERED: Final = re.compile(r"(?:^|\.)(\d{4,7})$")


def contradicts(root_name: str, code: str | None) -> str | None:
    """The number that the root element has, where the type code in the header says another."""
    if not code or code == root_name:
        return None
    numbered = _NUMBERED.search(root_name)
    return None if numbered is None or code in (numbered[1], numbered[1].lstrip("0")) else numbered[1]


def contradiction(number: str, code: etree._Element | None, *, names: Container[str]) -> Finding:
    """A warning when the type code in the header is not that of the root element. The root element decides: half of the
    published examples of some standards disagree with themselves. The code is the sender's word and not quoted.

    number: of the root element. code: where the other one stands. names: words of the schema, which a path may show."""
    place = (None, None) if code is None else (line_of(code), Paths(names).of(code))
    return say("type-code-differs", {"number": number}, line=place[0], path=place[1], expected=(number,))
