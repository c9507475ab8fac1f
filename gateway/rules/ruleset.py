"""The Schematron rules of one package, and which of them can apply to a document at all."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from lxml import etree

from gateway.document import Document
from gateway.rules import MOST
from gateway.rules.schematronfile import Schematron
from gateway.rules.stylesheet import Sheet, write

FORMAT: Final = 1
_SHEETS: Final = 64


@dataclass(frozen=True)
class RuleSet:
    """What a package demands, ready to be asked. Made by ``prepare``; kept as JSON beside the package, so that nothing has to
    be compiled again to be trusted. Safe in any thread."""

    schematron: Schematron = field(default_factory=Schematron)
    _sheets: OrderedDict[frozenset[str], Sheet | None] = field(default_factory=OrderedDict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **self.schematron.to_json()}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> RuleSet:
        """Raises ``ValueError`` for rules of another format: then they have to be prepared again."""
        if said.get("format") != FORMAT:
            raise ValueError(f"rules of format {FORMAT} are needed")
        return cls(Schematron.from_json(said))

    @property
    def assertions(self) -> int:
        return sum(len(rule.assertions) for rules in self.schematron.patterns for rule in rules)

    @cached_property
    def heads(self) -> tuple[tuple[frozenset[str] | None, ...], ...]:
        """For each rule of each pattern, the elements of which one must be in the document; ``None`` where any may do."""
        spaces = self.schematron.namespaces
        return tuple(tuple(_heads(rule.context, spaces) for rule in rules) for rules in self.schematron.patterns)

    @cached_property
    def named(self) -> frozenset[str]:
        return frozenset().union(*(heads for pattern in self.heads for heads in pattern if heads is not None))

    def sheet_for(self, document: Document) -> Sheet | None:
        """``None`` when no rule can apply."""
        named = self.named
        present = frozenset(named.intersection({str(node.tag) for node in document.root.iter(etree.Element)})) if named else named
        with self._lock:
            if present in self._sheets:
                self._sheets.move_to_end(present)
                return self._sheets[present]
        sheet = self._write(present)
        with self._lock:
            self._sheets[present] = sheet
            while len(self._sheets) > _SHEETS:
                self._sheets.popitem(last=False)
        return sheet

    def _write(self, present: frozenset[str]) -> Sheet | None:
        patterns = [
            tuple(rule for rule, needed in zip(rules, heads, strict=True) if needed is None or needed & present)
            for rules, heads in zip(self.schematron.patterns, self.heads, strict=True)
        ]
        wanted = [rules for rules in patterns if rules]
        return write(self.schematron, wanted, most=MOST + 1) if wanted else None


_HEAD: Final = re.compile(r"\s*/{0,2}\s*(?:(?P<prefix>[^\W\d][\w.-]*):)?(?P<name>[^\W\d][\w.-]*)\s*(?=[/\[]|\Z)")


def _heads(context: str, namespaces: Mapping[str, str]) -> frozenset[str] | None:
    """The first element of each alternative of a context: without it in the document, that alternative matches nothing."""
    found = set()
    for part in _alternatives(context):
        head = _HEAD.match(part)
        if head is None or (head["prefix"] and head["prefix"] not in namespaces):
            return None
        found.add(f"{{{namespaces[head['prefix']]}}}{head['name']}" if head["prefix"] else head["name"])
    return frozenset(found)


def _alternatives(context: str) -> list[str]:
    """Split at each "|" and "union" outside brackets and quotes; in doubt not at all, which then names no head."""
    parts, depth, quote, begun = [], 0, "", 0
    for at, sign in enumerate(context):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "([":
            depth += 1
        elif sign in ")]":
            depth -= 1
        elif sign == "|" and depth == 0:
            parts.append(context[begun:at])
            begun = at + 1
    return [*parts, context[begun:]]
