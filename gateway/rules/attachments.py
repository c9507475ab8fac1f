"""Every file that a message names came with it, nothing else came, and each is what the message says it is.

Where a standard names its files is a ``Shape``. The shapes known here are those of our own messages, XBau, xdomea and
XJustiz; a package of another standard gives its own.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final
from unicodedata import normalize

from lxml import etree

from gateway.document import Document
from gateway.findings import Finding
from gateway.rules import MOST
from gateway.vocabulary import say
from gateway.xml.nodes import Paths, line_of, local_name


@dataclass(frozen=True, slots=True)
class Attached:
    """A file beside the message, as it came. size: bytes. digest: SHA-256."""

    name: str = field(repr=False)
    size: int
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a standard names a file. namespace: how that of the name element begins. holder, name, id: local names.

    size, digest: where the size in bytes and the SHA-256 in hexadecimal stand, as child or "@attribute", "" for nowhere.
    content: child that holds the file itself in base64. unique: the standard forbids naming a file twice.
    """

    namespace: str
    holder: str
    name: str
    id: str = ""
    size: str = ""
    digest: str = ""
    content: str = ""
    unique: bool = False


KNOWN: Final = (
    Shape("urn:nahtlos:basis:", "*", "dateiname", size="groesse", digest="sha256", content="inhalt", unique=True),
    Shape("http://www.xleitstelle.de/xbau/kernmodul/", "anhang", "dateiname", id="dokumentid", size="@filesize",
          digest="@hashValue", unique=True),
    Shape("urn:xoev-de:xdomea:schema:", "Primaerdokument", "Dateiname"),
    Shape("http://www.xjustiz.de", "datei", "dateiname"),
)


def shapes_among(tags: Iterable[str]) -> tuple[Shape, ...]:
    """Those of ``KNOWN`` that a schema with these elements ("{namespace}name") can have."""
    declared = [tag[1:].partition("}") for tag in tags if tag.startswith("{")]
    return tuple(
        shape for shape in KNOWN
        if any(name == shape.name and namespace.startswith(shape.namespace) for namespace, _, name in declared)
    )


def check(
    document: Document, shapes: Sequence[Shape], attached: Sequence[Attached], *, names: Container[str], most: int = MOST
) -> list[Finding]:
    """shapes: of the document's package; with none, its messages name no files and nothing is said. attached: in the order
    they came. names: words of the schema, which a path may show. File names are compared in NFC, because some systems send
    them decomposed."""
    return list(islice(_Comparison(document.root, attached, names).run(shapes), most)) if shapes else []


class _Comparison:
    def __init__(self, root: etree._Element, attached: Sequence[Attached], names: Container[str]) -> None:
        self._root, self._attached, self._paths = root, attached, Paths(names)
        self._places: dict[str, int] = {}
        self._twice: list[int] = []
        for place, one in enumerate(attached):
            if self._places.setdefault(normalize("NFC", one.name), place) != place:
                self._twice.append(place)
        self._named: set[str] = set()

    def run(self, shapes: Sequence[Shape]) -> Iterator[Finding]:
        wanted: set[int] = set()
        for shape in shapes:
            for node in self._root.iter("{*}" + shape.name):
                holder = node.getparent()
                if holder is None or not node.tag.startswith("{" + shape.namespace):
                    continue
                if shape.holder not in ("*", local_name(holder)):
                    continue
                yield from self._one(shape, node, holder, wanted)
        for place in range(len(self._attached)):
            if place in self._twice:
                yield _beside(place, "attachment-twice")
            elif place not in wanted:
                yield _beside(place, "attachment-unexpected")

    def _one(self, shape: Shape, node: etree._Element, holder: etree._Element, wanted: set[int]) -> Iterator[Finding]:
        name = normalize("NFC", (node.text or "").strip())
        if shape.unique and name in self._named:
            yield self._at(node, "attachment-named-twice")
            return
        self._named.add(name)
        content = _value(holder, shape.content)
        if content is not None:
            yield from self._inside(shape, node, holder, content)
            return
        place = self._places.get(name)
        if place is None and shape.id:
            identifier = (_value(holder, shape.id) or "").strip()
            place = self._places.get(normalize("NFC", identifier.removeprefix("cid:")))
        if place is None:
            yield self._at(node, "attachment-missing")
            return
        wanted.add(place)
        one = self._attached[place]
        yield from self._same(shape, node, holder, one.size, one.digest)

    def _inside(self, shape: Shape, node: etree._Element, holder: etree._Element, content: str) -> Iterator[Finding]:
        try:
            data = binascii.a2b_base64(content)
        except (binascii.Error, ValueError):
            return  # said by the schema
        yield from self._same(shape, node, holder, len(data), hashlib.sha256(data).digest())

    def _same(self, shape: Shape, node: etree._Element, holder: etree._Element, size: int, digest: bytes) -> Iterator[Finding]:
        said = (_value(holder, shape.size) or "").strip()
        if said and (said.lstrip("+0") or "0") != str(size):
            yield self._at(node, "attachment-size")
            return
        said = (_value(holder, shape.digest) or "").strip().lower()
        if said and said != digest.hex():
            yield self._at(node, "attachment-digest")

    def _at(self, node: etree._Element, rule: str) -> Finding:
        return say(rule, line=line_of(node), path=self._paths.of(node))


def _beside(place: int, rule: str) -> Finding:
    return say(rule, {"number": place + 1})


def _value(holder: etree._Element, where: str) -> str | None:
    if not where:
        return None
    if where.startswith("@"):
        value = holder.get(where[1:])
        return None if value is None else str(value)
    child = next(holder.iterchildren("{*}" + where), None)
    return None if child is None else child.text or ""
