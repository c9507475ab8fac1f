"""The characters and sequences of DIN 91379:2022-08 as facts: which code points each data type allows.

A: names of people · B: other names, e.g. of streets and places · C: all normative characters · D: names of companies and
products, with Greek · E: all normative and extended characters, with Greek and Cyrillic. C and E are for running text.
Every letter of the norm is one code point in NFC or one of the sequences below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class DataType(StrEnum):
    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"


@dataclass(frozen=True, slots=True)
class Repertoire:
    """points: allowed alone. foreign: finds the first character that is not. sequences: removes the allowed sequences."""

    points: frozenset[int]
    foreign: re.Pattern[str]

    def first_foreign(self, text: str) -> int | None:
        """Index of the first character that the data type does not allow there; ``None`` where all is well."""
        if self.foreign.search(text) is None:
            return None
        # Blanks of the same length keep the index right; a blank is allowed everywhere and joins with nothing.
        found = self.foreign.search(_SEQUENCE.sub(lambda match: " " * len(match[0]), text))
        return None if found is None else found.start()


def _spread(ranges: str) -> frozenset[int]:
    """"41-5A 7E" → the code points."""
    points: set[int] = set()
    for item in ranges.split():
        first, _, last = item.partition("-")
        points.update(range(int(first, 16), int(last or first, 16) + 1))
    return frozenset(points)


_PEOPLE = _spread(
    "20 27 2C-2E 41-5A 60-7A 7E A8 B4 B7 C0-D6 D8-F6 F8-17E 187-188 18F 197 1A0-1A1 1AF-1B0 1B7 1CD-1DC 1DE-1DF 1E2-1F0 "
    "1F4-1F5 1F8-1FF 212-213 218-21B 21E-21F 227-233 259 268 292 2B9-2BA 2BE-2BF 2C8 2CC 1E02-1E03 1E06-1E07 1E0A-1E11 1E17 "
    "1E1C-1E2B 1E2F-1E37 1E3A-1E3B 1E40-1E49 1E52-1E5B 1E5E-1E63 1E6A-1E6F 1E80-1E87 1E8C-1E97 1E9E 1EA0-1EF9 2019 2021"
)
_OTHER_NAMES = _PEOPLE | _spread("21-26 28-2B 2F-40 5B-5F 7B-7D A1-A3 A5 A7 A9-AC AE-B3 B5-B6 B9-BB BF D7 F7 20AC")
_NORMATIVE = _OTHER_NAMES | _spread("9-A D A0 A4 A6 B8 BC-BE")
_COMPANIES = _OTHER_NAMES | _spread(
    "A4 A6 B8 BC-BE 192 2B0 2B3 2C6 2DC 2E2 386 388-38A 38C 38E-3A1 3A3-3CE 1D48 1D57 2018 201A 201C-201E 2020 2026 2030 "
    "2032-2033 2039-203A 2070 2074-2079 207F-2089 2122 221E 2264-2265"
)
_ALL = _NORMATIVE | _COMPANIES | _spread("40D 410-42A 42C 42E-44A 44C 44E-44F 45D")

_MARKS: Final = {  # combining characters → letters that they follow in an allowed sequence
    "0300": "CFGKMPSTZcfgkmpstz", "0301": "JjÿĪī", "0302": "DKLMNdklmn", "0304": "CFHKNPSTZcfhknpstzÛûḲḳṢṣṬṭỤụ",
    "0306": "CMNRZcmnrzÇç", "0307": "KUku", "0308": "CTZczẠạỌọỤụ", "030B": "Aa", "030C": "J", "030D": "ēō", "0310": "Mm",
    "0315": "CKPTckptČč", "031B": "KTkt", "031B 0304": "Ss", "0323": "CPcpČč", "0325": "LRlr", "0325 0304": "LRlr",
    "0326": "CHKLNchklnŽž", "0327": "ZzŽž", "0328 0306": "Cc", "0331": "HSs", "035F 0048": "K", "035F 0068": "Kk",
}
SEQUENCES: Final = frozenset(
    letter + "".join(chr(int(point, 16)) for point in marks.split()) for marks, letters in _MARKS.items() for letter in letters
)
_SEQUENCE: Final = re.compile("|".join(sorted(map(re.escape, SEQUENCES), key=len, reverse=True)))


def _repertoire(points: frozenset[int]) -> Repertoire:
    return Repertoire(points, re.compile("[^" + "".join(re.escape(chr(point)) for point in sorted(points)) + "]"))


REPERTOIRES: Final = {
    DataType.A: _repertoire(_PEOPLE), DataType.B: _repertoire(_OTHER_NAMES), DataType.C: _repertoire(_NORMATIVE),
    DataType.D: _repertoire(_COMPANIES), DataType.E: _repertoire(_ALL),
}
