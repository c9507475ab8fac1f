"""Names for things: UUIDv7 for machines, the Eingangsnummer for people on the telephone."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gateway.randomness import random_bytes

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base 32: no I, L, O, U
_VALUE = {character: value for value, character in enumerate(_ALPHABET)} | {"I": 1, "L": 1, "O": 0}
_LENGTH = 10


def uuid7() -> str:
    """RFC 9562 version 7: 48 bits of Unix milliseconds, 74 random bits. Sorts by time of making, to the millisecond."""
    value = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random_bytes(10))
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_reference() -> str:
    """Ten random Crockford characters (50 bits) and a check character."""
    number = int.from_bytes(random_bytes(7)) >> 6
    body = "".join([_ALPHABET[number >> shift & 31] for shift in range(0, 5 * _LENGTH, 5)])
    return body + _check(body)


def parse_reference(written: str) -> str | None:
    """The reference somebody typed, in its one spelling: case, blanks and hyphens do not count, O is 0, I and L are 1.

    ``None`` when the check character does not fit: every single wrong character and every swap of two is found.
    """
    plain = "".join(written.split()).replace("-", "").upper()
    if len(plain) != _LENGTH + 1 or any(character not in _VALUE for character in plain):
        return None
    plain = "".join(_ALPHABET[_VALUE[character]] for character in plain)
    return plain if _check(plain[:-1]) == plain[-1] else None


def _check(body: str) -> str:
    """A linear code over GF(32), x^5 + x^2 + 1: every place has a weight of its own and no weight is zero or one, so that
    the check character may be swapped with its neighbour no more than the others."""
    total = 0
    for weighted, character in zip(_WEIGHTED, body, strict=True):
        total ^= weighted[character]
    return _ALPHABET[total]


def _double(value: int) -> int:
    value <<= 1
    return value ^ 0b100101 if value & 32 else value


def _weighted() -> Iterator[dict[str, int]]:
    """What each character is worth at each place: doubled once at the first, once more at every place after it."""
    worth = {character: _VALUE[character] for character in _ALPHABET}
    for _ in range(_LENGTH):
        worth = {character: _double(value) for character, value in worth.items()}
        yield worth


_WEIGHTED = tuple(_weighted())
