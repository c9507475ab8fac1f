"""Refuses XPath that could look beyond the message, before any engine sees it.

Settings of the engine alone are not enough: with ``allowedProtocols`` empty, SaxonC 13.1 still fetches what a DOCTYPE inside
``parse-xml()`` names, and ``saxon:doc()`` reads any file. So a rule may call functions of the XPath standard (and of
``math``, ``map``, ``array``, ``xs``) and of those only what cannot read, run or reveal anything.
"""

from __future__ import annotations

import re
from typing import Final

_FORBIDDEN: Final = frozenset({
    # reads what is not the message
    "doc", "doc-available", "document", "collection", "uri-collection", "unparsed-text", "unparsed-text-lines",
    "unparsed-text-available", "unparsed-binary", "json-doc", "csv-doc", "stream-available",
    # parses text, which may hold a DOCTYPE
    "parse-xml", "parse-xml-fragment", "parse-html", "invisible-xml",
    # tells of the machine
    "environment-variable", "available-environment-variables", "system-property", "available-system-properties",
    # runs or finds other code
    "transform", "load-xquery-module", "function-lookup", "evaluate", "xsd-validator",
})
_PREFIXES: Final = frozenset({"fn", "xs", "math", "map", "array", "xsd"})

_TOKEN: Final = re.compile(r"""
    (?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')
  | (?P<comment>\(:)
  | (?P<braced>Q\{)
  | (?P<name>[^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?)(?=\s*(?:\(|\#))
  | (?P<other>[^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?|.)
""", re.VERBOSE | re.DOTALL)


def forbidden_in(expression: str) -> str | None:
    """The first thing in it that is not allowed, as written; ``None`` where all is harmless. Too careful rather than too
    trusting: comments are refused, because a name and its bracket could be told apart by one."""
    for token in _TOKEN.finditer(expression):
        if token["comment"] or token["braced"]:
            return token[0]
        name = token["name"]
        if name is None:
            continue
        prefix, _, local = name.rpartition(":")
        if (prefix and prefix not in _PREFIXES) or local in _FORBIDDEN:
            return f"{name}()"
    return None
