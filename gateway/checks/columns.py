"""The line and column at which an element begins. libxml2 knows only the line on which its tag ends, and many systems send a
whole message on one line.

Found by counting start tags in the bytes as received; only for documents of ordinary size, because it is a walk through all
of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from lxml import etree

from gateway.document import Document
from gateway.findings import Finding
from gateway.xml.nodes import Names, Paths

MOST_BYTES: Final = 512 * 1024
_TAG: Final = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<(?![/!?])()", re.DOTALL)
_STEP: Final = re.compile(r"/([^/\[\]]+)(?:\[(\d+)\])?")


def with_columns(findings: Sequence[Finding], document: Document, names: Names) -> tuple[Finding, ...]:
    """The same findings; line and column are those of the element's "<" where its path leads to just one element."""
    if not findings or len(document.body) > MOST_BYTES:
        return tuple(findings)
    walk = _Walk(document.root, names)
    wanted = {finding.path: node for finding in findings if finding.column is None and finding.path
              and (node := walk.to(finding.path)) is not None}
    places = _places(document, set(wanted.values()))
    return tuple(
        replace(finding, line=places[wanted[finding.path]][0], column=places[wanted[finding.path]][1])
        if finding.path in wanted and wanted[finding.path] in places else finding
        for finding in findings
    )


class _Walk:
    """From a path as ``nodes.Paths`` says it back to its element."""

    def __init__(self, root: etree._Element, names: Names) -> None:
        self._root, self._paths = root, Paths(names)
        self._children: dict[etree._Element, dict[str, list[etree._Element]]] = {}

    def to(self, path: str) -> etree._Element | None:
        """``None`` where two different names are shown alike, as all unknown ones are."""
        steps = _STEP.findall(path.partition("/@")[0])
        if not steps or steps[0][0] != self._paths.name(self._root):
            return None
        node = self._root
        for name, number in steps[1:]:
            same, index = self._of(node).get(name, []), int(number or 1) - 1
            if index >= len(same) or any(child.tag != same[0].tag for child in same):
                return None
            node = same[index]
        return node

    def _of(self, node: etree._Element) -> dict[str, list[etree._Element]]:
        """Its children by name as shown."""
        found = self._children.get(node)
        if found is None:
            found = self._children[node] = {}
            for child in node.iterchildren(etree.Element):
                found.setdefault(self._paths.name(child), []).append(child)
        return found


def _places(document: Document, nodes: set[etree._Element]) -> dict[etree._Element, tuple[int, int]]:
    """Line and column, 1-based, in characters."""
    indexes = {index: node for index, node in enumerate(document.root.iter(etree.Element)) if node in nodes}
    if not indexes:
        return {}
    found: dict[etree._Element, tuple[int, int]] = {}
    line, begun, at = 1, 0, 0
    for index, offset in enumerate(_starts(document.body, max(indexes) + 1)):
        if index in indexes:
            line += document.body.count(b"\n", at, offset)
            begun = max(begun, document.body.rfind(b"\n", at, offset) + 1)
            at = offset
            found[indexes[index]] = (line, len(document.body[begun:offset].decode("utf-8", "replace").lstrip("\ufeff")) + 1)
    return found


def _starts(body: bytes, most: int) -> Iterable[int]:
    return islice((tag.start() for tag in _TAG.finditer(body) if tag.lastindex), most)
