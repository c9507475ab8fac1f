"""What can be told from the bytes alone, before any parser sees them: encoding, size, and whether a document is ordinary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.xml.limits import Limits, doctype_forbidden, not_utf8, refused, too_large

_BOM = b"\xef\xbb\xbf"
_DECLARATION = re.compile(rb"<\?xml\s([^?>]*)\?>")
_DECLARED_ENCODING = re.compile(rb"""\bencoding\s*=\s*["']([^"']*)["']""")
_DECLARED_VERSION = re.compile(rb"""\bversion\s*=\s*["']([^"']*)["']""")
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00<", b"<\x00", b"\x00\x00")
_USUAL = tuple(
    b"<?xml version=%b1.0%b encoding=%b%b%b?>" % (quote, quote, quote, name, quote)
    for name in (b"UTF-8", b"utf-8") for quote in (b'"', b"'")
)


def check_bytes(body: bytes, limits: Limits) -> None:
    if len(body) > limits.bytes:
        raise too_large(limits)
    if len(body) < 64 and not body.strip():
        raise refused("empty")
    if body.startswith(_WIDE):
        raise not_utf8(400, "Die Nachricht ist nicht in UTF-8 kodiert.", "The message is not encoded in UTF-8.")
    if len(body) > _ASIDE:
        _check_asides(body)
    if body.startswith(_USUAL):
        return
    declaration = _DECLARATION.match(body, len(_BOM) if body.startswith(_BOM) else 0)
    if declaration is None:
        return
    encoding = _DECLARED_ENCODING.search(declaration[1])
    if encoding is not None and encoding[1].lower() not in (b"utf-8", b"utf8"):
        raise not_utf8(415, "Die XML-Deklaration nennt eine andere Kodierung als UTF-8.",
                        "The XML declaration names another encoding than UTF-8.")
    version = _DECLARED_VERSION.search(declaration[1])
    if version is not None and version[1] != b"1.0":
        raise refused("xml-version", line=1)


_ASIDE: Final = 1024 * 1024
_MOST_ASIDES: Final = 100_000
_CLOSING: Final = {b"<!--": b"-->", b"<![C": b"]]>"}
_OPENING = re.compile(rb"<[!?]")


def _check_asides(body: bytes) -> None:
    """No comment and no processing instruction of more than 1 MiB, which a parser would gather whole before dropping it."""
    for passed, (at, opening, end) in enumerate(_asides(body)):
        if opening == b"<!DO":
            raise doctype_forbidden(_line(body, at))
        if end - at > _ASIDE and opening != b"<![C":
            raise refused("aside-too-long")
        if passed >= _MOST_ASIDES:
            raise refused("too-many-asides")


def doctype_line(body: bytes) -> int | None:
    """The line of the DOCTYPE that a parser has met."""
    return next((_line(body, at) for at, opening, _ in _asides(body) if opening == b"<!DO"), None)


def _asides(body: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Where each comment, CDATA section, processing instruction and DOCTYPE begins, with which bytes, and where it ends.

    Outside of the others "<!" stands in well-formed XML for nothing but a DOCTYPE. What has no end is left to the parser.
    """
    at = 0
    while (found := _OPENING.search(body, at)) is not None:
        at = found.start()
        opening = body[at:at + 4]
        end = body.find(_CLOSING.get(opening, b"?>" if opening.startswith(b"<?") else b">"), at + 4)
        if end >= 0 or opening == b"<!DO":
            yield at, opening, end
        if end < 0:
            return
        at = end


def _line(body: bytes, at: int) -> int:
    return body.count(b"\n", 0, at) + 1


_ORDINARY_MARKS: Final = 100_000
_SHORTEST_MARK: Final = len("<a>")
_SHORTEST_ATTRIBUTE: Final = len(' a=""')
_TAG = re.compile(rb"""<[^>"']*(?:"[^"]*"[^>"']*|'[^']*'[^>"']*)*>?""")
_VALUE = re.compile(rb""""[^"]*"|'[^']*'""")


def looks_ordinary(body: bytes, limits: Limits) -> bool:
    """True only if no tag can break the limits on names and attributes and the tree cannot grow large.

    May say False of a harmless document (markup inside CDATA, for one): the guard then decides. Every message goes through
    here, so each question is asked only of a body long enough to fail it.
    """
    if not _is_bounded(body, limits) or (len(body) <= _ASIDE and _may_have_doctype(body)):  # larger ones have been looked through
        return False
    if limits.attributes * _SHORTEST_ATTRIBUTE < limits.name:  # below, a short tag is a harmless tag
        return False
    return not any(
        tag.count(b"=") > limits.attributes or _has_name_above(limits.name, _VALUE.sub(b'""', tag))
        for tag in _long_tags(body, limits.name)
    )


def _has_name_above(length: int, tag: bytes) -> bool:
    return len(tag) > length and re.search(rb"""[^\s"'=]{%d}""" % (length + 1), tag) is not None


def _is_bounded(body: bytes, limits: Limits) -> bool:
    """Is the tree small, or at least no larger than one that is taken? Whatever else looks like an element counts as one."""
    most = max(_ORDINARY_MARKS, limits.elements)
    if len(body) > most * _SHORTEST_ATTRIBUTE and body.count(b"=") > most:
        return False
    return len(body) <= _ORDINARY_MARKS * _SHORTEST_MARK or body.count(b"<") - body.count(b"</") <= most


def _may_have_doctype(body: bytes) -> bool:
    """It can only stand before the first element. In UTF-8 it is these very bytes."""
    at = 0
    for _ in range(16):
        at = body.find(b"<", at)
        if not body.startswith((b"<?", b"<!--"), at):
            return body.startswith(b"<!", at)
        at = body.find(b"?>", at + 2) if body.startswith(b"<?", at) else body.find(b"-->", at + 4)
        if at < 0:
            return False  # not well-formed, as the parser will find
    return b"<!DOCTYPE" in body


def _long_tags(body: bytes, longer_than: int) -> Iterator[bytes]:
    at = body.find(b"<")
    while at >= 0:
        near = body.rfind(b"<", at + 1, at + 1 + longer_than)
        if near >= 0:  # every tag up to there is shorter
            at = near
            continue
        following = body.find(b"<", at + 1)
        tag = _TAG.match(body, at, following if following >= 0 else len(body))
        if tag is not None and tag.end() - at > longer_than and body[at + 1:at + 2] not in (b"!", b"?"):
            yield tag[0]
        at = following
