"""For a case system that knows only Latin-1: letters outside it become the basic letters that DIN 91379 assigns to them.

The norm maps every letter to A–Z (extending ICAO Doc 9303): an umlaut with its e, Å as AA, everything else without its
marks. Only what the target cannot hold is changed, with its case kept, and every change is told: the original stays with
the submission, and nothing is replaced in silence or dropped.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Change:
    """at: index in the original. length: of what was replaced there. normative: the norm says so; otherwise a usual
    substitute for a sign (’ as ', € as EUR)."""

    at: int
    length: int
    normative: bool


@dataclass(frozen=True, slots=True)
class Transliteration:
    """text: fits the target unless ``unmapped`` names places for which there is no substitute; those are left as they were."""

    text: str = field(repr=False)
    changes: tuple[Change, ...] = ()
    unmapped: tuple[int, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.unmapped


def transliterate(text: str, *, encoding: str = "latin-1") -> Transliteration:
    """encoding: what the target can hold, e.g. "latin-1", "cp1252", "ascii"."""
    text = unicodedata.normalize("NFC", text)
    if _fits(text, encoding):
        return Transliteration(text)
    parts: list[str] = []
    changes: list[Change] = []
    unmapped: list[int] = []
    at = 0
    while at < len(text):
        end = at + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        cluster = text[at:end]
        if _fits(cluster, encoding):
            parts.append(cluster)
        elif (letters := basic_letters(cluster)) is not None:
            if len(letters) > 1 and cluster[0].isupper() and text[end:end + 1].islower():
                letters = letters.capitalize()
            parts.append(letters)
            changes.append(Change(at, end - at, normative=True))
        elif (sign := _SIGNS.get(cluster)) is not None and _fits(sign, encoding):
            parts.append(sign)
            changes.append(Change(at, end - at, normative=False))
        else:
            parts.append(cluster)
            unmapped.append(at)
        at = end
    return Transliteration("".join(parts), tuple(changes), tuple(unmapped))


def basic_letters(letter: str) -> str | None:
    """The basic letters of DIN 91379 for one Latin letter with all its marks, case kept; ``None`` for anything else."""
    parts = unicodedata.normalize("NFD", letter)
    base, marks = parts[0], parts[1:]
    if not all(map(unicodedata.combining, marks)):
        return None
    plain = _LETTERS.get(base.lower()) or (base.lower() if base.isascii() and base.isalpha() else None)
    if plain is None:
        return None
    if "\u0308" in marks and plain in ("a", "o", "u"):
        plain += "e"
    elif "\u030a" in marks and plain == "a":
        plain = "aa"
    return plain.upper() if base.isupper() else plain


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


_LETTERS: Final = {
    "æ": "ae", "ð": "d", "ø": "oe", "þ": "th", "ß": "ss", "đ": "d", "ħ": "h", "ı": "i", "ĳ": "ij", "ĸ": "k", "ŀ": "l", "ł": "l",
    "ŉ": "n", "ŋ": "n", "œ": "oe", "ŧ": "t", "ƈ": "c", "ə": "e", "ɨ": "i", "ʒ": "z", "ǥ": "g",
}
_SIGNS: Final = {
    "’": "'", "‘": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "‹": "'", "›": "'", "ʹ": "'", "ʺ": '"', "ʾ": "'", "ʿ": "'",
    "ˈ": "'", "′": "'", "″": '"', "–": "-", "—": "-", "…": "...", "€": "EUR", "™": "TM", "\u202f": " ", "\u2009": " ",
}
