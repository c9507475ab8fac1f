"""Finds nodes by libxml2's own paths, and says a path so that a person can follow it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Self

from lxml import etree


def line_of(node: etree._Element) -> int:
    """1-based line in the bytes that were parsed; 1 for a node that was never in any."""
    line: object = node.sourceline
    return line if isinstance(line, int) else 1


def local_name(node: etree._Element) -> str:
    return node.tag.rpartition("}")[2]


def node_at(root: etree._Element, path: str | None) -> etree._Element | None:
    """The element at a path such as "/a:antrag/*[2]/a:ars[3]", as libxml2 counts: named steps among their like, "*" (a
    default namespace) among all. ``None`` where it does not lead to one."""
    if not path or not path.startswith("/"):
        return None
    node = root
    for step in path.split("/")[2:]:
        name, _, index = step.partition("[")
        found = _child(node, name, int(index[:-1]) if index else 1)
        if found is None:
            return None
        node = found
    return node


def _child(parent: etree._Element, name: str, number: int) -> etree._Element | None:
    if name == "*":
        return parent[number - 1] if number <= len(parent) else None
    prefix, _, local = name.rpartition(":")
    namespace = parent.nsmap.get(prefix) if prefix else ""
    if namespace is not None:
        found = next(islice(parent.iterchildren(f"{{{namespace}}}{local}"), number - 1, None), None)
        if found is not None and (found.prefix or "") == prefix:
            return found
    same = (child for child in parent.iterchildren("{*}" + local) if (child.prefix or "") == prefix)
    return next(islice(same, number - 1, None), None)


class Names(frozenset[str]):
    """The local names of a schema. prefixes: namespace → prefix as the schema writes it, "" for its default namespace."""

    prefixes: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def of(cls, names: Iterable[str], prefixes: Mapping[str, str]) -> Self:
        made = cls(names)
        made.prefixes = dict(prefixes)
        return made


class Paths:
    """Says where nodes of one document are. known: names that may be said; any other is the sender's word, shown as *."""

    def __init__(self, known: Container[str]) -> None:
        self._known = known
        self._prefixes = known.prefixes if isinstance(known, Names) else {}
        self._names: dict[str, str] = {}
        self._said: dict[etree._Element, str] = {}
        self._numbers: dict[etree._Element, int] = {}

    def of(self, node: etree._Element) -> str:
        """"/xbau:antrag.0200/bauvorhaben[2]": with the schema's prefix where it has one for the namespace, and [n] where
        several siblings share the name."""
        said = self._said.get(node)
        if said is None:
            name, parent = "/" + self.name(node), node.getparent()
            said = name if parent is None else self.of(parent) + name + self._number(node)
            self._said[node] = said
        return said

    def name(self, node: etree._Element) -> str:
        tag = str(node.tag)
        said = self._names.get(tag)
        if said is None:
            local = local_name(node)
            prefix = self._prefixes.get(tag[1:].rpartition("}")[0]) if tag[0] == "{" else None
            said = self._names[tag] = (f"{prefix}:{local}" if prefix else local) if local in self._known else "*"
        return said

    def _number(self, node: etree._Element) -> str:
        """Counts back to the last sibling that was counted, so that many findings in one list cost one walk."""
        passed = counted = 0
        for before in node.itersiblings(node.tag, preceding=True):
            passed += 1
            if counted := self._numbers.get(before, 0):
                break
        if not passed and next(node.itersiblings(node.tag), None) is None:
            return ""
        number = self._numbers[node] = counted + passed if counted else passed + 1
        return f"[{number}]"
