"""The functions that stylesheets may call, under ``urn:nahtlos:mapping:1``, and what one run of them finds out.

libxslt calls them with a context and XPath values: a node-set (list), text, number or truth. A value that a function cannot
read becomes a finding with its place in the form and an empty result; no exception ever passes through libxslt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lxml import etree

from gateway.findings import Finding
from gateway.forms.formvalues import FUNCTIONS, Unfit, measured, unescaped
from gateway.forms.portalform import FIELDS, FILE_PARTS, LIST_VALUE, ROOTS, instance_number, is_empty, is_instance
from gateway.vocabulary import say

OURS = "urn:nahtlos:mapping:1"
MOST_FINDINGS = 50
_TWICE = frozenset((LIST_VALUE, *FILE_PARTS))
NAMES = frozenset(FUNCTIONS) | {"raw", "unescape", "code", "join", "first", "given", "sha256", "size"}


@dataclass(frozen=True, slots=True)
class Codes:
    """A code list: what the form writes → what the message wants. known: the message's own codes, taken as they are;
    otherwise: for everything else; "=" takes it as it is, ``None`` makes it a fault."""

    entries: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    known: frozenset[str] = frozenset()
    otherwise: str | None = None


class Functions:
    """The functions and what they found in this run. One per compiled stylesheet, and so one per thread."""

    def __init__(self, codes: Mapping[str, Codes]) -> None:
        self.codes = codes
        self.begin(False)

    def begin(self, unescape: bool) -> None:
        self.unescape = unescape
        self.findings: list[Finding] = []
        self.files = 0
        self._undone: set[etree._Element] = set()  # the elements themselves: a value may be read more than once
        self.at: etree._Element | None = None
        self._returned: object = None
        self._file: tuple[etree._Element, tuple[int, str]] | None = None

    @property
    def unescaped(self) -> int:
        """How many values were escaped twice and are now escaped once."""
        return len(self._undone)

    def extensions(self) -> dict[tuple[str, str], Callable[..., Any]]:
        own: dict[str, Callable[..., Any]] = {name: self._converter(function) for name, function in FUNCTIONS.items()}
        own |= {"raw": self._raw, "unescape": self._unescape, "code": self._code, "join": self._join, "first": _first,
                "given": _given, "sha256": self._sha256, "size": self._size}
        return {(OURS, name): self._remembered(function) for name, function in own.items()}

    def _remembered(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Functions are nested: what one returned to be read by the next still belongs to the element it came from."""
        def call(context: object, *values: object) -> Any:
            if list not in map(type, values) and self._returned not in values:
                self.at = None
            self._returned = function(context, *values)
            return self._returned
        return call

    def _converter(self, function: Callable[[str], str]) -> Callable[..., str]:
        def convert(_: object, value: object) -> str:
            text = self._text(value).strip()
            try:
                return function(text) if text else ""
            except Unfit as unfit:
                return self._fault("mapping-value", unfit.de, unfit.en)
        return convert

    def _raw(self, _: object, value: object) -> str:
        return self._text(value)

    def _unescape(self, _: object, value: object) -> str:
        text = self._text(value)
        done = unescaped(text) if self.at is None or not (self.unescape and escaped_twice(self.at)) else text
        if done != text and self.at is not None:
            self._undone.add(self.at)
        return done

    def _code(self, _: object, value: object, name: object) -> str:
        text = self._text(value).strip()
        codes = self.codes.get(self._text(name))
        if not text or codes is None:
            return ""
        found = codes.entries.get(text, text if text in codes.known else codes.otherwise)
        if found == "=":
            return text
        if found is None:
            expected = sorted({*codes.entries, *codes.known})
            return self._fault("mapping-code", "ein Eintrag der Codeliste", "an entry of the code list", expected)
        return found

    def _join(self, _: object, separator: object, *values: object) -> str:
        return self._text(separator).join(filter(None, (self._text(value).strip() for value in values)))

    def _sha256(self, _: object, value: object) -> str:
        content = self._measured(value)
        return content[1] if content else ""

    def _size(self, _: object, value: object) -> str:
        content = self._measured(value)
        return str(content[0]) if content else ""

    def _measured(self, value: object) -> tuple[int, str] | None:
        """Size and digest of a file are asked one after the other, so the last answer is kept."""
        node = value[0] if isinstance(value, list) and value and isinstance(value[0], etree._Element) else None
        if node is not None and self._file is not None and self._file[0] is node:
            return self._file[1]
        text = self._text(value)
        try:
            if not text.strip():
                raise Unfit("eine Datei mit Inhalt", "a file that is not empty")
            content = measured(text)
        except Unfit as unfit:
            self._fault("mapping-file", unfit.de, unfit.en)
            return None
        self.files += 1
        if node is not None:
            self._file = (node, content)
        return content

    def _text(self, value: object) -> str:
        if isinstance(value, list):
            return self._node_text(value[0]) if value else ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            return format(value, ".15g")
        return str(value)

    def _node_text(self, node: object) -> str:
        if not isinstance(node, etree._Element):
            return str(node)
        self.at = node
        if len(node):
            given = [child for child in node if not is_empty(child)]
            if not given:
                return ""
            if len(given) > 1 or given[0].tag != LIST_VALUE or len(given[0]):
                return self._fault("mapping-structure", "ein einzelner Wert, keine Liste und keine Datei",
                                   "a single value, not a list and not a file")
            self.at = node = given[0]
        text = node.text or ""
        if self.unescape and escaped_twice(node):
            done = unescaped(text)
            if done != text:
                self._undone.add(node)
            return done
        return text

    def _fault(self, rule: str, de: str, en: str, expected: Sequence[str] = ()) -> str:
        if len(self.findings) >= MOST_FINDINGS:
            return ""
        node = self.at
        path = place(node) if node is not None else None
        name = field_of(path) if path else "?"
        finding = say(
            rule, {"field": name, "what": (de, en)}, line=getattr(node, "sourceline", None), path=path,
            expected=tuple(expected)[:40],
        )
        if finding not in self.findings:
            self.findings.append(finding)
        return ""


def escaped_twice(node: etree._Element) -> bool:
    """Whether the portal's dumper escapes this kind of element twice: list values, parts of a file, metadata."""
    parent = node.getparent()
    if parent is None or len(node):
        return False
    if node.tag in _TWICE:
        return not is_instance(str(parent.tag))  # a field may bear such a name itself
    return parent.tag == "metadata" and (grand := parent.getparent()) is not None and grand.tag == ROOTS[0]


def place(node: etree._Element) -> str:
    """"/serviceportal/serviceportal-fields/hunde/instance_1/merkmale/selectedValue[2]": local names only."""
    steps: list[str] = []
    step: etree._Element | None = node
    while step is not None:
        before = sum(1 for _ in step.itersiblings(str(step.tag), preceding=True))
        after = next(step.itersiblings(str(step.tag)), None) if not before else step
        steps.append(etree.QName(step).localname + (f"[{before + 1}]" if before or after is not None else ""))
        step = step.getparent()
    return "/" + "/".join(reversed(steps))


def field_of(path: str) -> str:
    """The part of a place that a clerk knows: "hunde/rufname"."""
    inner = path.partition(f"/{FIELDS}/")[2] or path.lstrip("/")
    return "/".join(step for step in inner.split("/") if not is_instance(step))


def _first(_: object, instances: list[etree._Element]) -> list[etree._Element]:
    """The instance with the lowest number."""
    numbered = [instance for instance in instances if is_instance(str(instance.tag))]
    return [min(numbered, key=lambda instance: instance_number(str(instance.tag)))] if numbered else []


def _given(_: object, *alternatives: list[etree._Element]) -> list[etree._Element]:
    """The first of several fields that holds something."""
    return next(([node] for nodes in alternatives for node in nodes[:1] if not is_empty(node)), [])
