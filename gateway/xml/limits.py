"""What a document may at most be, and what is said to one that is more. No sentence quotes the document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.findings import Unacceptable
from gateway.vocabulary import Words, say


@dataclass(frozen=True, slots=True)
class Limits:
    """What a document may at most be.

    bytes: of the body. depth: of elements. name: characters of a name or prefix. attributes: per element, namespace
    declarations counted too. elements: in the whole document, which may hold as many attributes again.
    """

    bytes: int = 16 * 1024 * 1024
    depth: int = 100
    name: int = 256
    attributes: int = 256
    elements: int = 300_000


USUAL: Final = Limits()


def refused(rule: str, *, status: int = 400, line: int | None = None, **words: Words) -> Unacceptable:
    return Unacceptable(status, say(rule, words, line=line))


def not_utf8(status: int, de: str, en: str) -> Unacceptable:
    return refused("not-utf-8#encoding", status=status, what=(de, en))


def too_large(limits: Limits) -> Unacceptable:
    return refused("too-large", status=413, most=limits.bytes)


def too_many(limits: Limits) -> Unacceptable:
    return refused("too-many-elements", status=413, most=limits.elements)


def too_deep(limits: Limits) -> Unacceptable:
    return refused("too-deep", most=limits.depth)


def doctype_forbidden(line: int | None) -> Unacceptable:
    return refused("doctype-forbidden", line=line)
