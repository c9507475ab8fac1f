"""What in a schema libxml2 is known to be weak at, so that an author hears of it before a message does.

None of this refuses a release: its author decided it, and most of it is harmless. Where a pattern is in doubt it is tried:
texts of all lengths around its bounds go through libxml2 and through the engine of Python, and where the two disagree, that
is said as a fact and not as a suspicion.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import Final
from xml.sax.saxutils import quoteattr

from elementpath.regex import RegexError, translate_pattern
from lxml import etree

from gateway.packages.schemafiles import XS
from gateway.releases.remarks import Remark
from gateway.releases.xsdpattern import Pattern, atoms_of, candidates, parse, sample_of
from gateway.xml.nodes import line_of

LARGE: Final = 1000
_TRIED: Final = 400
_SECONDS: Final = 0.5


def lint(roots: Mapping[str, etree._Element], names: Mapping[str, str]) -> list[Remark]:
    """roots: parsed files by key; names: key → name to show."""
    found: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    tried: dict[str, list[tuple[str, str, str]]] = {}
    for key, root in roots.items():
        for node in root.iter(etree.Element):
            for remark in _remarks(node, tried):
                found.setdefault(remark, []).append((names[key], line_of(node)))
    return [Remark(*said, *places[0], len(places)) for said, places in found.items()]


def _remarks(node: etree._Element, tried: dict[str, list[tuple[str, str, str]]]) -> Iterator[tuple[str, str, str]]:
    if node.tag == XS + "pattern":
        value = str(node.get("value", ""))
        if value not in tried:
            tried[value] = list(remarks_on(value))
        yield from tried[value]
        return
    for name in ("type", "base", "itemType"):
        kind = _built_in(node, node.get(name))
        if kind in ("IDREF", "IDREFS"):
            yield ("idref", "Verweise (xs:IDREF) prüft libxml2 nicht; das tut die Stufe „ids“ des Gateways.",
                   'References (xs:IDREF) are not checked by libxml2; the stage "ids" of the gateway does.')
        elif kind in ("NOTATION", "ENTITY", "ENTITIES"):
            yield ("notation", f"xs:{kind} setzt eine DTD voraus; eine solche Nachricht wird nie angenommen.",
                   f"xs:{kind} needs a DTD; such a message is never taken.")
    for name in ("minOccurs", "maxOccurs"):
        bound = str(node.get(name, ""))
        if bound.isdigit() and int(bound) > LARGE:
            yield ("bound", f"Eine Schranke über {LARGE} ({name}): libxml2 zählt sie einzeln, das kostet Speicher.",
                   f"A bound above {LARGE} ({name}): libxml2 counts it one by one, which costs memory.")
    if node.tag == XS + "notation":
        yield ("notation", "xs:notation wird nicht gebraucht und von Parsern verschieden behandelt.",
               "xs:notation is not needed, and parsers treat it differently.")


def _built_in(node: etree._Element, name: object) -> str:
    if not isinstance(name, str):
        return ""
    prefix, _, local = name.strip().rpartition(":")
    return local if node.nsmap.get(prefix or None) == XS[1:-1] else ""


def remarks_on(pattern: str) -> Iterator[tuple[str, str, str]]:
    """Rule, German, English for each weakness of one pattern."""
    classes = _classes(pattern)
    if any(re.search(r"(?<!\\)-\[", one) for one in classes):
        yield ("class-subtraction", "Eine Zeichenklasse zieht eine andere ab ([a-z-[aeiou]]); libxml2 versteht das nicht sicher.",
               "A character class subtracts another ([a-z-[aeiou]]); libxml2 does not understand that reliably.")
    if any("\\P" in one for one in classes):
        yield ("negated-property", "\\P{…} steht in einer Zeichenklasse; libxml2 liest das anders als die Norm.",
               "\\P{…} stands in a character class; libxml2 reads that differently from the standard.")
    tree = parse(pattern, _samples(pattern))
    if tree is None:
        return
    if any(count > LARGE for count in tree.counts):
        yield ("counter", f"Ein Muster zählt über {LARGE}; libxml2 braucht dafür viel Zeit und Speicher.",
               f"A pattern counts beyond {LARGE}; libxml2 needs much time and memory for that.")
    wrong = differing(pattern, tree)
    if wrong is not None:
        yield "engines-differ", *_told(pattern, *wrong)
    elif tree.counting_alternatives():
        de = ("Zwei Alternativen eines Musters zählen beide ([0-9]{5}|[0-9]{8}); libxml2 verwechselt solche Zähler leicht, hier "
              "wurde kein Fehler gefunden.")
        en = ("Two alternatives of a pattern both count ([0-9]{5}|[0-9]{8}); libxml2 easily confuses such counters, no error was "
              "found here.")
        yield "counting-alternatives", de, en


def _told(pattern: str, text: str, taken: bool) -> tuple[str, str]:
    shown = pattern if len(pattern) <= 60 else pattern[:57] + "…"
    de = "angenommen, obwohl er nicht passt" if taken else "abgelehnt, obwohl er passt"
    en = "taken although it does not fit" if taken else "refused although it fits"
    return (f"Das Muster {shown} versteht libxml2 falsch: Ein Text von {len(text)} Zeichen wird {de}.",
            f"libxml2 gets the pattern {shown} wrong: a text of {len(text)} characters is {en}.")


def differing(pattern: str, tree: Pattern) -> tuple[str, bool] | None:
    """A text on which libxml2 is wrong, and whether it takes it; ``None`` where none was found in reasonable time."""
    try:
        with _Hurry(_SECONDS):
            for one in (pattern, *(atom for atom in _classes(pattern) if "\\P" in atom or "-[" in atom)):
                wrong = _disagreement(one, tree.texts(_TRIED) if one == pattern else candidates())
                if wrong is not None:
                    return wrong
    except (_TooLong, etree.LxmlError):
        return None
    return None


def _disagreement(pattern: str, texts: Iterable[str]) -> tuple[str, bool] | None:
    translated = _translated(pattern)
    if translated is None:
        return None
    source = (
        f'<xs:schema xmlns:xs="{XS[1:-1]}"><xs:element name="r"><xs:simpleType><xs:restriction base="xs:string">'
        f"<xs:pattern value={quoteattr(pattern)}/></xs:restriction></xs:simpleType></xs:element></xs:schema>"
    )
    schema, probe = etree.XMLSchema(etree.fromstring(source)), etree.Element("r")
    for text in texts:
        probe.text = text
        taken = bool(schema.validate(probe))
        if taken != (translated.fullmatch(text) is not None):
            return text, taken
    return None


def _classes(pattern: str) -> list[str]:
    return [atom for atom in atoms_of(pattern) if atom.startswith("[")]


def _samples(pattern: str) -> dict[str, str]:
    samples = {}
    for atom in atoms_of(pattern):
        fitting = _translated(atom)
        if fitting is not None:
            samples[atom] = sample_of(iter([fitting.fullmatch(one) is not None for one in candidates()]))
    return samples


def _translated(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(translate_pattern(pattern, back_references=False, lazy_quantifiers=False, anchors=False))
    except (RegexError, re.error, OverflowError, RecursionError):
        return None


class _TooLong(Exception):
    pass


class _Hurry:
    """Ends what runs inside after some seconds. Only in the main thread of a process that has no other use for the alarm."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        def ring(number: int, frame: FrameType | None) -> None:
            raise _TooLong

        self._before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
