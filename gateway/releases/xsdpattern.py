"""The regular expressions of XSD as a tree: enough to see what is in one, and to make texts that just fit or just do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

_CANDIDATES: Final = "aA50zZäßÉ-.,_@/:(+1xФ "
_LONGEST: Final = 1200


@dataclass(frozen=True, slots=True)
class Atom:
    """text: one character, escape or class as written; or a group, with its branches. sample: a character that fits."""

    text: str
    branches: tuple[tuple[Piece, ...], ...] = ()
    sample: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """high: None for unbounded. counted: written with braces."""

    atom: Atom
    low: int
    high: int | None
    counted: bool


@dataclass(frozen=True, slots=True)
class Pattern:
    branches: tuple[tuple[Piece, ...], ...]

    def pieces(self) -> Iterator[Piece]:
        waiting = [self.branches]
        while waiting:
            for branch in waiting.pop():
                for piece in branch:
                    yield piece
                    if piece.atom.branches:
                        waiting.append(piece.atom.branches)

    @property
    def counts(self) -> list[int]:
        """Every bound that is written with braces."""
        return [bound for piece in self.pieces() if piece.counted for bound in (piece.low, piece.high) if bound is not None]

    def counting_alternatives(self) -> bool:
        """Two branches of one choice that both count: libxml2 confuses their counters."""
        def counts(branch: tuple[Piece, ...]) -> bool:
            return any(piece.counted or any(map(counts, piece.atom.branches)) for piece in branch)

        choices = [self.branches, *(piece.atom.branches for piece in self.pieces())]
        return any(sum(map(counts, branches)) > 1 for branches in choices)

    def texts(self, most: int) -> list[str]:
        """Texts of every length around the bounds of the pattern, each branch in turn; some fit and some do not."""
        bounds = sorted({0, 1, *self.counts})
        lengths = sorted({
            n for a in bounds for b in bounds for n in (a - 1, a, a + 1, a + b - 1, a + b, a + b + 1) if 0 <= n <= _LONGEST
        })
        made: dict[str, None] = {}
        for branch in self.branches:
            for text in islice(_variants(branch, lengths), most):
                if len(text) <= _LONGEST:
                    made[text] = None
        return list(made)[:most]


def parse(text: str, samples: dict[str, str]) -> Pattern | None:
    """``None`` for what is not understood here. samples: atom → a character that fits it, filled by the caller's ``fits``."""
    try:
        reader = _Reader(text, samples)
        branches = reader.branches()
        return Pattern(branches) if reader.at == len(text) else None
    except (ValueError, IndexError, RecursionError):
        return None


def atoms_of(text: str) -> list[str]:
    """Every class and escape of a pattern, as written."""
    seen: dict[str, str] = {}
    parse(text, _Collecting(seen))
    return list(seen)


def sample_of(fits: Iterator[bool]) -> str:
    """The first candidate that fits; ``fits`` in the order of ``candidates``."""
    return next((character for character, good in zip(_CANDIDATES, fits, strict=False) if good), "")


def candidates() -> list[str]:
    return list(_CANDIDATES)


class _Collecting(dict[str, str]):
    def __init__(self, seen: dict[str, str]) -> None:
        super().__init__()
        self._seen = seen

    def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
        self._seen[key] = ""
        return default


class _Reader:
    def __init__(self, text: str, samples: dict[str, str]) -> None:
        self._text, self._samples, self.at = text, samples, 0

    def branches(self) -> tuple[tuple[Piece, ...], ...]:
        found = [self._branch()]
        while self._peek() == "|":
            self.at += 1
            found.append(self._branch())
        return tuple(found)

    def _branch(self) -> tuple[Piece, ...]:
        pieces = []
        while self._peek() not in ("", "|", ")"):
            atom = self._atom()
            pieces.append(Piece(atom, *self._quantity()))
        return tuple(pieces)

    def _atom(self) -> Atom:
        sign = self._text[self.at]
        if sign == "(":
            self.at += 1
            branches = self.branches()
            if self._peek() != ")":
                raise ValueError
            self.at += 1
            return Atom("()", branches)
        if sign in "*+?{}":
            raise ValueError
        begun = self.at
        if sign == "[":
            self._skip_class()
        elif sign == "\\":
            self._skip_escape()
        elif sign == ".":
            self.at += 1
        else:
            self.at += 1
            return Atom(sign, sample=sign)
        text = self._text[begun:self.at]
        return Atom(text, sample=self._samples.get(text, ""))

    def _skip_escape(self) -> None:
        self.at += 2
        if self._text[self.at - 1] in "pP":
            self.at = self._text.index("}", self.at) + 1

    def _skip_class(self) -> None:
        self.at += 1
        while self._text[self.at] != "]":
            if self._text[self.at] == "\\":
                self._skip_escape()
            elif self._text[self.at] == "[":
                self._skip_class()
            else:
                self.at += 1
        self.at += 1

    def _quantity(self) -> tuple[int, int | None, bool]:
        sign = self._peek()
        if sign in ("?", "*", "+"):
            self.at += 1
            return {"?": (0, 1, False), "*": (0, None, False), "+": (1, None, False)}[sign]
        if sign != "{":
            return 1, 1, False
        end = self._text.index("}", self.at)
        low, comma, high = self._text[self.at + 1:end].partition(",")
        self.at = end + 1
        return int(low), (int(high) if high else None) if comma else int(low), True

    def _peek(self) -> str:
        return self._text[self.at:self.at + 1]


def _variants(branch: tuple[Piece, ...], lengths: list[int]) -> Iterator[str]:
    """The branch at its least, and with each piece in turn repeated as often as each of the lengths says."""
    least = [_repeated(piece.atom, piece.low) for piece in branch]
    yield "".join(least)
    for at, piece in enumerate(branch):
        for inner in piece.atom.branches:
            for text in islice(_variants(inner, lengths), 60):
                yield "".join((*least[:at], text * max(1, piece.low), *least[at + 1:]))
        for length in lengths:
            if length * max(1, len(_repeated(piece.atom, 1))) <= _LONGEST:
                yield "".join((*least[:at], _repeated(piece.atom, length), *least[at + 1:]))


def _repeated(atom: Atom, times: int) -> str:
    if times * 1 > _LONGEST:
        return ""
    one = atom.sample if not atom.branches else "".join(_repeated(piece.atom, piece.low) for piece in atom.branches[0])
    return one * times if len(one) * times <= _LONGEST else ""
