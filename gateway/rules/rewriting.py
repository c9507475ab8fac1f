"""A whole message for a system that knows fewer characters than Unicode: every text and attribute, transliterated.

Names of elements and attributes stay as they are, the standards write them in ASCII. See ``transliteration`` for the letters.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from lxml import etree

from gateway.document import Document
from gateway.rules.transliteration import Change, Transliteration, transliterate


@dataclass(frozen=True, slots=True)
class Rewritten:
    """One place where characters were replaced, or could not be. node: in the rewritten tree. attribute: local name, "" for
    text. changes: empty where only the normal form changed. unmapped: indexes of characters that nothing stands for."""

    node: etree._Element = field(repr=False)
    attribute: str
    changes: tuple[Change, ...] = ()
    unmapped: tuple[int, ...] = ()


def fits(document: Document, encoding: str) -> bool:
    """Can every character of it be held, so that there is nothing to rewrite?"""
    body = document.body
    if b"&#" in body:  # what is written by its number does not show in the bytes
        return all(_holds(text, encoding) for text in _texts(document.root))
    return body.isascii() or _holds(body.decode(), encoding)


def rewrite(root: etree._Element, encoding: str) -> tuple[etree._Element, list[Rewritten]]:
    """A copy in which everything that has a substitute is replaced, and the places in document order."""
    root, places = copy.deepcopy(root), []

    def note(done: Transliteration, node: etree._Element, attribute: str = "") -> str:
        places.append(Rewritten(node, attribute, done.changes, done.unmapped))
        return done.text

    for node in root.iter(etree.Element):
        if node.text and not _holds(node.text, encoding):
            node.text = note(transliterate(node.text, encoding=encoding), node)
        for name, value in node.attrib.items():
            if not _holds(str(value), encoding):
                local = str(name).rpartition("}")[2]
                node.set(name, note(transliterate(str(value), encoding=encoding), node, local))
        parent = node.getparent()
        if node.tail and parent is not None and not _holds(node.tail, encoding):
            node.tail = note(transliterate(node.tail, encoding=encoding), parent)
    return root, places


def _texts(root: etree._Element) -> list[str]:
    return [*map(str, root.itertext()), *map(str, _attributes(root))]  # type: ignore[arg-type]


_attributes = etree.XPath("//@*", smart_strings=False)


def _holds(text: str, encoding: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
