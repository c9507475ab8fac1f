"""Which elements of a standard carry a code, and from which list: a small table per package, made once, kept as JSON.

XÖV knows four code types: list and version may be fixed in the schema or stand in the message (field by field). A fixed
attribute is usually left out of the message, so only the schema can tell which list is meant. The table follows the types
of the schema, not names: the same element name may stand for different lists in different places. Types whose values are
enumerated in the XSD are left out: the schema has already decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from lxml import etree

FORMAT: Final = 1
XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"


@dataclass(frozen=True, slots=True)
class CodeUse:
    """A type that holds a code. key: tag of the child with the code. uri, version: fixed or default value of ``listURI``
    and ``listVersionID``; None where the message has to say it."""

    key: str
    uri: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class TypeEntry:
    """children: tag → number of its type, for those that lead to a code. open: foreign elements may stand here."""

    children: Mapping[str, int]
    code: CodeUse | None = None
    open: bool = False


@dataclass(frozen=True)
class CodeTable:
    """types by number; roots: global elements; named: "{namespace}Type" for ``xsi:type``. Only what leads to a code."""

    types: tuple[TypeEntry, ...] = ()
    roots: Mapping[str, int] | None = None
    named: Mapping[str, int] | None = None

    @cached_property
    def keys(self) -> frozenset[str]:
        """Tags of the elements that may hold a code."""
        return frozenset(entry.code.key for entry in self.types if entry.code is not None)

    @cached_property
    def holders(self) -> frozenset[str]:
        """Tags of the elements around them, where no ``xsi:type`` says otherwise."""
        ways = [*(entry.children for entry in self.types), self.roots or {}]
        return frozenset(tag for way in ways for tag, number in way.items() if self.types[number].code is not None)

    @cached_property
    def names(self) -> frozenset[str]:
        """Local names that a path in a finding may show."""
        tags = {tag for entry in self.types for tag in entry.children} | set(self.roots or ()) | self.keys
        return frozenset(tag.rpartition("}")[2] for tag in tags)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "roots": dict(self.roots or {}), "named": dict(self.named or {}),
            "types": [_written(entry) for entry in self.types],
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> CodeTable:
        """Raises ``ValueError`` for a table of another format: then it has to be made again."""
        if said.get("format") != FORMAT:
            raise ValueError(f"a code table of format {FORMAT} is needed")
        return cls(tuple(map(_read, said["types"])), dict(said["roots"]), dict(said["named"]))


class Typing:
    """Tells the type of an element of one document by the way that leads to it."""

    __slots__ = ("_found", "_named", "_roots", "_types")

    def __init__(self, table: CodeTable) -> None:
        self._types, self._roots, self._named = table.types, table.roots or {}, table.named or {}
        self._found: dict[etree._Element, TypeEntry | None] = {}

    def of(self, node: etree._Element) -> TypeEntry | None:
        """``None`` for a type from which no code can be reached."""
        try:
            return self._found[node]
        except KeyError:
            found = self._found[node] = self._look(node)
            return found

    def _look(self, node: etree._Element) -> TypeEntry | None:
        chosen = node.get(XSI_TYPE)
        if chosen is not None:
            prefix, _, name = str(chosen).strip().rpartition(":")
            return self._entry(self._named.get(f"{{{node.nsmap.get(prefix or None) or ''}}}{name}"))
        parent = node.getparent()
        if parent is None:
            return self._entry(self._roots.get(str(node.tag)))
        above = self.of(parent)
        if above is None:
            return None
        number = above.children.get(str(node.tag))
        if number is None and above.open:
            number = self._roots.get(str(node.tag))
        return self._entry(number)

    def _entry(self, number: int | None) -> TypeEntry | None:
        return None if number is None else self._types[number]


def _written(entry: TypeEntry) -> dict[str, Any]:
    said: dict[str, Any] = {"children": dict(entry.children)}
    if entry.open:
        said["open"] = True
    if entry.code is not None:
        said["code"] = [entry.code.key, entry.code.uri, entry.code.version]
    return said


def _read(said: Mapping[str, Any]) -> TypeEntry:
    code = said.get("code")
    return TypeEntry(dict(said["children"]), None if code is None else CodeUse(*code), bool(said.get("open")))
