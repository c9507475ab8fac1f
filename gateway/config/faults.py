"""What is wrong with a configuration, said so that a person can repair it: where, what, and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from gateway.config.toml_lines import Place


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to repair. file: as the person named it. line: 1-based, 0 where there is none (a whole file, an argument)."""

    file: str
    line: int
    de: str
    en: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.de} / {self.en}"


class Faults(Exception):
    """A configuration cannot be used. Every fault at once; none holds a secret.

    remainder: the value without what is faulty, where that is possible: lets a reader go on and find the other faults.
    """

    def __init__(self, faults: Iterable[Fault], *, remainder: object = None) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.file, fault.line, fault.en)))
        self.remainder = remainder
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file: what faults are reported against."""

    file: str
    lines: Mapping[Place, int] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    place: Place = ()

    def at(self, *keys: str | int) -> Where:
        return Where(self.file, self.lines, (*self.place, *keys))

    @property
    def line(self) -> int:
        """Of this place, or of the nearest one around it that has a line."""
        place = self.place
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 0)

    def fault(self, de: str, en: str) -> Fault:
        return Fault(self.file, self.line, de, en)


def nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def did_you_mean(word: str, known: Iterable[str]) -> tuple[str, str]:
    """German and English end of a sentence about an unknown name: the nearest one, or all there are."""
    names = sorted(known)
    if near := nearest(word, names):
        return f"; gemeint ist wohl „{near}“", f'; did you mean "{near}"?'
    if not names:
        return "; es gibt noch keine", "; there are none yet"
    listed = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
    return f"; bekannt sind: {listed}", f"; known: {listed}"


def translated(detail: Mapping[str, Any], where: Where, written: Mapping[str, str]) -> Fault:
    """Our words for one of pydantic's error details. written: how a field is called where people write it. The value
    stays out, but for what a field's own check chose to say."""
    place = tuple(written.get(str(key), key) if n == 0 else key for n, key in enumerate(detail["loc"]))
    name = ".".join(key for key in place if isinstance(key, str))
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _SENTENCES:
        de, en = _SENTENCES[kind]
    elif kind in ("enum", "literal_error"):
        allowed = str(context.get("expected", "")).replace("'", '"')
        de, en = f"darf nur {allowed.replace(' or ', ' oder ')} sein", f"may only be {allowed}"
    elif kind == "value_error":
        german, _, english = str(context.get("error", "")).partition(" / ")
        if not place:  # about several keys at once; the text names them
            return where.fault(german, english or german)
        de, en = f"ist falsch: {german}", f"is wrong: {english or german}"
    elif limits := [f"{sign} {context[key]}" for key, sign in _LIMITS.items() if key in context]:
        de, en = f"muss {' und '.join(limits)} sein", f"must be {' and '.join(limits)}"
    else:
        de, en = f"ist falsch: {detail['msg']}", f"is wrong: {detail['msg']}"
    return where.at(*place).fault(f"„{name}“ {de}", f'"{name}" {en}')


_SENTENCES = {
    "string_pattern_mismatch": ("hat nicht die erlaubte Form", "does not have the allowed form"),
    "missing": ("fehlt", "is missing"),
    "string_type": ("muss Text in Anführungszeichen sein", "must be text in quotes"),
    "bool_type": ("muss true oder false sein", "must be true or false"),
    "bool_parsing": ("muss true oder false sein", "must be true or false"),
    "int_type": ("muss eine ganze Zahl sein", "must be a whole number"),
    "int_parsing": ("muss eine ganze Zahl sein", "must be a whole number"),
    "int_from_float": ("muss eine ganze Zahl sein", "must be a whole number"),
    "float_type": ("muss eine Zahl sein", "must be a number"),
    "float_parsing": ("muss eine Zahl sein", "must be a number"),
    "date_type": ("muss ein Datum sein, z. B. 2026-01-01", "must be a date, e.g. 2026-01-01"),
    "date_from_datetime_parsing": ("muss ein Datum sein, z. B. 2026-01-01", "must be a date, e.g. 2026-01-01"),
    "time_delta_type": ("muss eine Dauer sein, z. B. \"60s\"", "must be a duration, e.g. \"60s\""),
    "time_delta_parsing": ("muss eine Dauer sein, z. B. \"60s\"", "must be a duration, e.g. \"60s\""),
    "tuple_type": ("muss eine Liste in eckigen Klammern sein", "must be a list in square brackets"),
    "list_type": ("muss eine Liste in eckigen Klammern sein", "must be a list in square brackets"),
    "dict_type": ("muss eine Tabelle sein", "must be a table"),
    "mapping_type": ("muss eine Tabelle sein", "must be a table"),
    "dataclass_type": ("muss eine Tabelle sein", "must be a table"),
    "path_type": ("muss ein Pfad in Anführungszeichen sein", "must be a path in quotes"),
    "string_too_short": ("darf nicht leer sein", "must not be empty"),
    "too_short": ("darf nicht leer sein", "must not be empty"),
    "unexpected_keyword_argument": ("ist hier unbekannt", "is unknown here"),
}


_LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
