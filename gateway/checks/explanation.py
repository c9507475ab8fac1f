"""Turns what libxml2 says of a document into findings for people, and into nothing that the document said.

libxml2's messages quote values, names and namespaces of the sender. Only the *kind* of error decides the sentence; the
words put into it are taken from the end of the message, where libxml2 names the schema's side, and only if they stand in
the schema (``Declarations``). What the schema does not know is called "ein Element", its step in the path "*".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from gateway.findings import Finding
from gateway.packages.compiled import SchemaError
from gateway.packages.declarations import Declarations
from gateway.packages.typewords import WORDS
from gateway.vocabulary import Words, say
from gateway.xml.nodes import Paths, local_name, node_at

MOST_EXPECTED: Final = 20


def explain(errors: Iterable[SchemaError], root: etree._Element, declared: Declarations) -> tuple[Finding, ...]:
    """One finding for each fault, in the order of the document; a value that breaks several rules is named once."""
    findings: dict[tuple[str | None, int | None, str], Finding] = {}
    paths = Paths(declared.names)
    for error in errors:
        finding = _finding(error, node_at(root, error.path), paths, declared)
        about = "value" if finding.rule in _ABOUT_VALUES else finding.rule
        findings.setdefault((finding.path, finding.line, about), finding)
    return tuple(findings.values())


_ABOUT_VALUES: Final = frozenset({"type", "enumeration", "pattern", "length", "range", "fixed-value"})


@dataclass(frozen=True, slots=True)
class _Subject:
    """What an error is about. name: element or attribute, if the schema knows it. kind: its built-in type."""

    error: SchemaError
    name: str | None
    attribute: bool
    kind: str | None
    declared: Declarations

    @property
    def de(self) -> str:
        if self.attribute:
            return f"des Attributs „{self.name}“" if self.name else "eines Attributs"
        return f"des Elements „{self.name}“" if self.name else "eines Elements"

    @property
    def en(self) -> str:
        kind = "attribute" if self.attribute else "element"
        return f"the {kind} “{self.name}”" if self.name else f"an {kind}"

    def last(self, before: str, after: str) -> str | None:
        """The schema's constant between two marks at the very end of the message."""
        _, found, rest = self.error.message.rstrip().rpartition(before)
        word = rest.removesuffix(after)
        return word if found and word != rest and word in self.declared.constants else None


@dataclass(frozen=True, slots=True)
class _Saying:
    """key: of ``vocabulary.RULES``. words: what fills its sentences besides the place."""

    key: str
    expected: tuple[str, ...] = ()
    words: Mapping[str, Words] = field(default_factory=dict)


def _finding(error: SchemaError, node: etree._Element | None, paths: Paths, declared: Declarations) -> Finding:
    attribute, is_attribute = _attribute(error.message)
    name = attribute if is_attribute else local_name(node) if node is not None else None
    kind = declared.kinds.get((str(node.tag), name or "" if is_attribute else "")) if node is not None else None
    subject = _Subject(error, name if name in declared.names else None, is_attribute, kind, declared)
    saying = _SAYINGS.get(error.kind, _something)(subject)
    path = paths.of(node) if node is not None else None
    if path is not None and subject.attribute and subject.name:
        path += f"/@{subject.name}"
    return say(saying.key, {"place": (subject.de, subject.en), **saying.words}, line=error.line or None, path=path,
               expected=saying.expected[:MOST_EXPECTED])


_ABOUT_ATTRIBUTE: Final = re.compile(r"Element '[^']*', attribute '(?:\{[^}']*\})?([^']*)': ")


def _attribute(message: str) -> tuple[str | None, bool]:
    found = _ABOUT_ATTRIBUTE.match(message)
    return (found[1], True) if found is not None else (None, False)


# --- one function for each kind ------------------------------------------------------------------------------------------


def _content(subject: _Subject) -> _Saying:
    expected = _expected_elements(subject)
    listed = _listed(expected)
    if "Missing child element(s)" in subject.error.message:
        return _Saying("missing-element", expected, {"listed": f": {listed}" if listed else ""})
    which = (f"Das Element „{subject.name}“", f"The element “{subject.name}”") if subject.name else (
        "Ein Element, das das Schema nicht kennt,", "An element that the schema does not know")
    waiting = (f"; erwartet: {listed}", f"; expected: {listed}") if listed else ""
    return _Saying("unexpected-element", expected, {"which": which, "listed": waiting})


def _expected_elements(subject: _Subject) -> tuple[str, ...]:
    _, found, rest = subject.error.message.rstrip().rpartition(" Expected is ")
    if not found:
        return ()
    inside = rest.removeprefix("one of ").removeprefix("( ").removesuffix(".").removesuffix(" )")
    names = (name.strip().rpartition("}")[2].rstrip("*") for name in inside.split(", "))
    return tuple(dict.fromkeys(name for name in names if name in subject.declared.names))


def _listed(words: tuple[str, ...], most: int = 5) -> str:
    return ", ".join(words[:most]) + (", …" if len(words) > most else "")


def _enumeration(subject: _Subject) -> _Saying:
    allowed = subject.error.allowed
    expected = tuple(filter(subject.declared.constants.__contains__, allowed[:MOST_EXPECTED]))
    return _Saying("enumeration", expected, {"count": len(allowed)})


def _type(subject: _Subject) -> _Saying:
    kinds = (subject.kind or subject.error.message.rstrip().rpartition(" type 'xs:")[2].removesuffix("'.")).split("|")
    if "ID" in kinds:
        return _Saying("type#id", ("xs:ID",))
    known = [kind for kind in kinds if kind in WORDS]
    what = (" oder ".join(WORDS[kind][0] for kind in known) or "ein gültiger Wert seines Typs",
            " or ".join(WORDS[kind][1] for kind in known) or "a valid value of its type")
    return _Saying("type", tuple(f"xs:{kind}" for kind in known), {"what": what})


def _pattern(subject: _Subject) -> _Saying:
    pattern = subject.last(" is not accepted by the pattern '", "'.")
    return _Saying("pattern", (pattern,) if pattern else ())


def _length(before: str, de: str, en: str) -> Callable[[_Subject], _Saying]:
    def read(subject: _Subject) -> _Saying:
        bound = subject.last(before, "'.")
        allowed = (f" (erlaubt: {bound})", f" (allowed: {bound})") if bound else ""
        return _Saying("length", (bound,) if bound else (), {"what": (de, en), "allowed": allowed})
    return read


def _bound(before: str, after: str, de: str, en: str) -> Callable[[_Subject], _Saying]:
    def read(subject: _Subject) -> _Saying:
        bound = subject.last(before, after)
        said = (f" (Grenze: {bound})", f" (bound: {bound})") if bound else ""
        return _Saying("range", (bound,) if bound else (), {"what": (de, en), "bound": said})
    return read


def _fixed(subject: _Subject) -> _Saying:
    value = subject.last(" does not match the fixed value constraint '", "'.")
    return _Saying("fixed-value", (value,) if value else ())


def _missing_attribute(subject: _Subject) -> _Saying:
    found = re.search(r"The attribute '(?:\{[^}']*\})?([^']*)' is required but missing\.\s*\Z", subject.error.message)
    name = found[1] if found is not None and found[1] in subject.declared.names else None
    named = (f" „{name}“", f" “{name}”") if name else ""
    return _Saying("missing-attribute", (name,) if name else (), {"named": named})


def _unexpected_attribute(subject: _Subject) -> _Saying:
    which = (f"Das Attribut „{subject.name}“", f"The attribute “{subject.name}”") if subject.name else (
        "Ein Attribut, das das Schema nicht kennt,", "An attribute that the schema does not know")
    return _Saying("unexpected-attribute", (), {"which": which})


def _key(subject: _Subject) -> _Saying:
    message = subject.error.message
    if ": Duplicate key-sequence [" in message:
        return _Saying("duplicate-key")
    return _Saying("unknown-key" if ": No match found for key-sequence [" in message else "incomplete-key")


def _plain(key: str) -> Callable[[_Subject], _Saying]:
    """A sentence about the place and nothing else."""
    return lambda subject: _Saying(key)


_something: Final = _plain("schema")
_text: Final = _plain("unexpected-text")
_child: Final = _plain("unexpected-element#in-value")
_nil: Final = _plain("nil")
_xsi_type: Final = _plain("xsi-type")

_E: Final = etree.ErrorTypes
_SAYINGS: Final[dict[int, Callable[[_Subject], _Saying]]] = {
    _E.SCHEMAV_ELEMENT_CONTENT: _content,
    _E.SCHEMAV_CVC_ENUMERATION_VALID: _enumeration,
    _E.SCHEMAV_CVC_DATATYPE_VALID_1_2_1: _type,
    _E.SCHEMAV_CVC_DATATYPE_VALID_1_2_2: _type,
    _E.SCHEMAV_CVC_DATATYPE_VALID_1_2_3: _type,
    _E.SCHEMAV_CVC_PATTERN_VALID: _pattern,
    _E.SCHEMAV_CVC_LENGTH_VALID: _length("; this differs from the allowed length of '", "nicht genau so lang wie verlangt",
                                         "not exactly as long as required"),
    _E.SCHEMAV_CVC_MINLENGTH_VALID: _length("; this underruns the allowed minimum length of '", "zu kurz", "too short"),
    _E.SCHEMAV_CVC_MAXLENGTH_VALID: _length("; this exceeds the allowed maximum length of '", "zu lang", "too long"),
    _E.SCHEMAV_CVC_TOTALDIGITS_VALID: _bound(" has more digits than are allowed ('", "').", "eine Zahl mit zu vielen Stellen",
                                             "a number with too many digits"),
    _E.SCHEMAV_CVC_FRACTIONDIGITS_VALID: _bound(" has more fractional digits than are allowed ('", "').",
                                                "eine Zahl mit zu vielen Nachkommastellen",
                                                "a number with too many decimal places"),
    _E.SCHEMAV_CVC_MININCLUSIVE_VALID: _bound(" is less than the minimum value allowed ('", "').", "zu klein", "too small"),
    _E.SCHEMAV_CVC_MAXINCLUSIVE_VALID: _bound(" is greater than the maximum value allowed ('", "').", "zu groß", "too large"),
    _E.SCHEMAV_CVC_MINEXCLUSIVE_VALID: _bound(" must be greater than '", "'.", "zu klein", "too small"),
    _E.SCHEMAV_CVC_MAXEXCLUSIVE_VALID: _bound(" must be less than '", "'.", "zu groß", "too large"),
    _E.SCHEMAV_CVC_AU: _fixed,
    _E.SCHEMAV_CVC_ELT_5_2_2_2_1: _fixed,
    _E.SCHEMAV_CVC_ELT_5_2_2_2_2: _fixed,
    _E.SCHEMAV_CVC_COMPLEX_TYPE_4: _missing_attribute,
    _E.SCHEMAV_CVC_COMPLEX_TYPE_3_2_1: _unexpected_attribute,
    _E.SCHEMAV_CVC_COMPLEX_TYPE_3_2_2: _unexpected_attribute,
    _E.SCHEMAV_CVC_COMPLEX_TYPE_2_1: _plain("not-empty"),
    _E.SCHEMAV_CVC_COMPLEX_TYPE_2_2: _child,
    _E.SCHEMAV_CVC_COMPLEX_TYPE_2_3: _text,
    _E.SCHEMAV_CVC_TYPE_3_1_1: _unexpected_attribute,
    _E.SCHEMAV_CVC_TYPE_3_1_2: _child,
    _E.SCHEMAV_CVC_IDC: _key,
    _E.SCHEMAV_CVC_ELT_3_1: _nil,
    _E.SCHEMAV_CVC_ELT_3_2_1: _nil,
    _E.SCHEMAV_CVC_ELT_3_2_2: _nil,
    _E.SCHEMAV_CVC_ELT_4_1: _xsi_type,
    _E.SCHEMAV_CVC_ELT_4_2: _xsi_type,
    _E.SCHEMAV_CVC_ELT_4_3: _xsi_type,
    _E.SCHEMAV_CVC_TYPE_2: _plain("abstract-type"),
    _E.SCHEMAV_CVC_ELT_1: _plain("unknown-element"),
}
