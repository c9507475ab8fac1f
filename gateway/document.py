"""The one guarded parse path: the only place in the project that parses bytes from a portal.

UTF-8 only, no DOCTYPE, nothing ever fetched, bounded in every direction. ``huge_tree`` lifts libxml2's own limits, because
a legal PDF of 8 MiB is one text node of 11 MiB; ``Limits`` takes their place. Ordinary documents are checked as bytes,
parsed and measured; what looks large or suspicious goes through a parser first that builds nothing and stops early.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from lxml import etree

from gateway.findings import Unacceptable
from gateway.xml.bytecheck import check_bytes, doctype_line, looks_ordinary
from gateway.xml.limits import USUAL, Limits, doctype_forbidden, refused, too_deep, too_many
from gateway.xml.wellformed import syntax_fault

__all__ = ["USUAL", "CheckingReader", "Document", "Limits", "elements_begun", "read", "read_again"]


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A well-formed, harmless document: the bytes as received and a read view of them.

    root: the read view, without comments and processing instructions, so that ``.text`` is always whole; readers leave it
    as it is. namespace, name: of the root element ("" for none). elements: how many. Never shows its content in ``repr``.
    """

    body: bytes = field(repr=False)
    root: etree._Element = field(repr=False)
    namespace: str
    name: str
    elements: int

    @property
    def weight(self) -> int:
        """Elements and (at least) attributes: how many places there are in which a fault can be."""
        if len(self.body) > _LARGE:
            return self.elements + int(_tools.count_attributes(self.root))  # type: ignore[arg-type]
        return self.elements + self.body.count(b"=")

    def text(self, path: str) -> str | None:
        """The stripped text at a path of local names below the root, e.g. "kopf/nachrichtId" or "kopf/@version",
        with "*" for any element: whatever the namespaces, first match; ``None`` where there is nothing or only white space."""
        return self.texts((path,)).get(path)

    def element(self, path: str) -> etree._Element | None:
        """The element that ``text`` takes the text of, or its attribute."""
        nodes, attribute = [self.root], ""
        for step in path.split("/"):
            if step.startswith("@"):
                attribute = step[1:]
            else:
                nodes = [child for node in nodes for child in node.iterchildren("{*}" + step)]
        return next((node for node in nodes if attribute or (node.text and node.text.strip())), None)

    def texts(self, paths: tuple[str, ...]) -> dict[str, str]:
        """``text`` for many paths in one walk, because intake asks for a dozen of every message; only what is there."""
        found: dict[str, str] = {}
        for step, below in _tree(paths).items():
            nodes = (self.root,) if step.startswith("@") else self.root.iterchildren("{*}" + step)
            for node in nodes:
                _gather(node, {step: below} if step.startswith("@") else below, found)
        return found


def read(body: bytes, *, limits: Limits = USUAL) -> Document:
    """Parse what a portal sent. Safe in any thread. Raises ``findings.Unacceptable`` (400, 413, 415); nothing else."""
    check_bytes(body, limits)
    if limits.depth <= _XPATH_DEPTH and looks_ordinary(body, limits):
        document = read_again(body)
        _measure(document, limits)
        return document
    _guard(body, limits)
    return read_again(body)


def read_again(body: bytes) -> Document:
    """The document of a body that ``read`` has taken before, in another process for one. Nothing is checked again."""
    root = _parse(body)
    tag = root.tag
    namespace, _, name = tag[1:].rpartition("}") if tag[0] == "{" else ("", "", tag)
    elements = int(_tools.count_elements(root))  # type: ignore[arg-type]
    return Document(body=body, root=root, namespace=namespace, name=name, elements=elements)


class CheckingReader:
    """Parses a body against a compiled schema piece by piece, so that a flood of faults ends after a few of them.

    The verdict of a document too large to count its faults. Not shared between threads.
    """

    __slots__ = ("_parser",)

    def __init__(self, schema: etree.XMLSchema) -> None:
        self._parser = etree.XMLParser(schema=schema, **_OPTIONS)

    def faults(self, body: bytes, *, enough: int) -> tuple[int, int]:
        """How many faults were seen, and how many bytes it took to see them: it ends soon after the first ``enough``.

        ``body`` has been through ``read``. Raises ``etree.XMLSchemaError`` when libxml2 gives up.
        """
        seen = upto = 0
        try:
            for piece in _pieces(body):
                self._parser.feed(piece)
                upto += len(piece)
                seen = len(self._parser.feed_error_log)
                if seen >= enough:
                    break
            self._parser.close()
        except etree.XMLSyntaxError:  # that is how it reports faults of content, counted below, and a body cut short
            seen = max(seen, len(self._parser.feed_error_log))
        return seen, upto


# --- parsing -----------------------------------------------------------------------------------------------------------

_OPTIONS: Final[dict[str, Any]] = {
    "encoding": "utf-8",  # no guessing: a byte order mark or declaration of something else is an error, not another reading
    "huge_tree": True,
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "attribute_defaults": False,
    "collect_ids": False,
    "remove_comments": True,
    "remove_pis": True,
    "recover": False,
}


_LARGE: Final = 256 * 1024
_XPATH_DEPTH: Final = 200  # libxml2 follows a path of some hundred steps and no more


class _Tools(threading.local):
    """Per thread: libxml2 keeps its errors in these objects, and one thread must never see another's."""

    def __init__(self) -> None:
        self.parser = etree.XMLParser(**_OPTIONS)
        self.count_elements = etree.XPath("count(//*)")
        self.count_attributes = etree.XPath("count(//@*)")
        self._deeper_than: dict[int, etree.XPath] = {}

    def deeper_than(self, depth: int) -> etree.XPath:
        found = self._deeper_than.get(depth)
        if found is None:
            found = self._deeper_than[depth] = etree.XPath(f"boolean({'/*' * (depth + 1)})")
        return found


_tools = _Tools()


def _parse(body: bytes) -> etree._Element:
    try:
        return etree.fromstring(body, _tools.parser)
    except etree.XMLSyntaxError as error:
        fault = syntax_fault(error)
    # Raised here and not above: the error of libxml2 quotes the document and must not travel along as context.
    raise Unacceptable(400, fault)


def _measure(document: Document, limits: Limits) -> None:
    root, elements = document.root, document.elements
    # counted only where there can be so many: an attribute takes five bytes, a level an element
    if elements > limits.elements or (
        len(document.body) > 5 * limits.elements and _tools.count_attributes(root) > limits.elements  # type: ignore[operator]
    ):
        raise too_many(limits)
    if elements > limits.depth and _tools.deeper_than(limits.depth)(root):
        raise too_deep(limits)


class _Guard:
    """A parser target that builds nothing, counts, and stops at the first thing that must not be."""

    def __init__(self, limits: Limits, body: bytes) -> None:
        self._limits, self._body = limits, body
        self.elements = self._attributes = self._depth = 0

    def start(self, tag: str, attributes: dict[str, str], declared: dict[str | None, str]) -> None:
        limits = self._limits
        self.elements += 1
        self._depth += 1
        here = len(attributes)
        self._attributes += here
        if self.elements > limits.elements or self._attributes > limits.elements:
            raise too_many(limits)
        if self._depth > limits.depth:
            raise too_deep(limits)
        if here + len(declared) > limits.attributes:
            raise refused("too-many-attributes", most=limits.attributes)
        if any(_long(name, limits) for name in (tag, *attributes, *declared)):
            raise refused("name-too-long", most=limits.name)

    def end(self, tag: str) -> None:
        self._depth -= 1

    def doctype(self, *_: object) -> None:
        raise doctype_forbidden(doctype_line(self._body))

    def close(self) -> None:
        return None


def _long(name: str | None, limits: Limits) -> bool:
    return name is not None and len(name) > limits.name and len(name.rpartition("}")[2]) > limits.name


def _guard(body: bytes, limits: Limits) -> None:
    guard = _Guard(limits, body)
    parser = etree.XMLParser(target=guard, **_OPTIONS)  # type: ignore[arg-type]
    try:
        for piece in _pieces(body):
            parser.feed(piece)
        parser.close()
        return
    except etree.XMLSyntaxError as error:
        fault = syntax_fault(error)
    raise Unacceptable(400, fault)


def elements_begun(body: bytes, upto: int) -> int:
    """How many start tags lie in the first ``upto`` bytes of a body that has been through ``read``."""
    marks = body.count(b"<", 0, upto) - body.count(b"</", 0, upto)
    if body.find(b"<!", 0, upto) < 0 and body.find(b"<?", 5, upto) < 0:
        return marks - body.count(b"<?xml", 0, 8)
    guard = _Guard(Limits(depth=1 << 30, name=1 << 30, attributes=1 << 30, elements=1 << 30), body)
    parser = etree.XMLParser(target=guard, **_OPTIONS)  # type: ignore[arg-type]
    parser.feed(body[:upto])
    return guard.elements


def _pieces(body: bytes) -> Iterator[bytes]:
    """The body in order: 64 KiB at a time, 4 KiB where it is dense. Small pieces stop early; one long text in small pieces
    would cost the square of its length."""
    for start in range(0, len(body), 65536):
        piece = body[start:start + 65536]
        step = 65536 if piece.count(b"<") + piece.count(b"=") < 400 else 4096
        for at in range(0, len(piece), step):
            yield piece[at:at + step]


# --- reading values ----------------------------------------------------------------------------------------------------


_HERE = ""  # key of a tree at which a wanted path ends


@lru_cache(256)
def _tree(paths: tuple[str, ...]) -> dict[str, Any]:
    """The paths as a tree of steps."""
    tree: dict[str, Any] = {}
    for path in paths:
        below = tree
        for step in path.split("/"):
            below = below.setdefault(step, {})
        below[_HERE] = path
    return tree


def _gather(node: etree._Element, tree: dict[str, Any], found: dict[str, str]) -> None:
    """First match in the order of the document."""
    elements = False
    for step, below in tree.items():
        if step == _HERE:
            _note(below, node.text, found)
        elif step.startswith("@"):
            for name, value in node.attrib.items():
                if str(name).rpartition("}")[2] == step[1:]:
                    _note(below[_HERE], str(value), found)
        else:
            elements = True
    if elements:
        any_of_them = tree.get("*")
        for child in node:
            tag = child.tag
            if (below := tree.get(tag[tag.rfind("}") + 1:])) is not None:
                _gather(child, below, found)
            if any_of_them is not None:
                _gather(child, any_of_them, found)


def _note(path: str, text: str | None, found: dict[str, str]) -> None:
    if path not in found and text and (plain := text.strip()):
        found[path] = plain
