"""Finds patterns that libxml2 needs exponential time for, by trying those that look like it.

libxml2 walks back through every way a pattern could have matched. A repeated group that can match the same text in two
ways makes that 2^n; it gives up at some point, but a message can hold thousands of such values. A package with one of
these is checked in a child process only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from time import perf_counter
from typing import Final
from xml.sax.saxutils import quoteattr

from lxml import etree

from gateway.packages.schemafiles import XS

TOO_LONG: Final = 0.02
_REPEATED_GROUP: Final = re.compile(r"[|+*}][^()]*\)+[+*{]")
_PROBES: Final = 6


def explosive(roots: Mapping[str, etree._Element]) -> bool:
    """Does one of these schemas hold a pattern that takes longer than ``TOO_LONG`` seconds for a text of 30 characters?"""
    return any(map(_explodes, dict.fromkeys(_suspicious(roots.values()))))


def _suspicious(roots: Iterable[etree._Element]) -> Iterator[str]:
    for root in roots:
        for pattern in root.iter(XS + "pattern"):
            value = str(pattern.get("value", ""))
            if len(value) < 2000 and _REPEATED_GROUP.search(value):
                yield value


def _explodes(pattern: str) -> bool:
    source = (
        f'<xs:schema xmlns:xs="{XS[1:-1]}"><xs:element name="r"><xs:simpleType><xs:restriction base="xs:string">'
        f"<xs:pattern value={quoteattr(pattern)}/></xs:restriction></xs:simpleType></xs:element></xs:schema>"
    )
    try:
        schema = etree.XMLSchema(etree.fromstring(source))
    except etree.LxmlError:  # the package itself will say what is wrong with it
        return False
    return any(_takes_long(schema, letter * 30 + "\u2603") for letter in _letters(pattern))


def _letters(pattern: str) -> list[str]:
    """Letters and digits of the pattern, and one of each kind for its classes."""
    literal = [letter for letter in dict.fromkeys(pattern) if letter.isalnum()]
    return [*literal[:_PROBES], "a", "A", "0", " "]


def _takes_long(schema: etree.XMLSchema, text: str) -> bool:
    probe = etree.Element("r")
    probe.text = text
    began = perf_counter()
    try:
        schema.validate(probe)
    except etree.XMLSchemaError:
        return True
    return perf_counter() - began > TOO_LONG
