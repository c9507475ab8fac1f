from __future__ import annotations

import time
import uuid

from hypothesis import given
from hypothesis import strategies as st

from gateway.ids import new_reference, parse_reference, uuid7

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_a_uuid7_says_its_version_and_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(uuid7())
    after = time.time_ns() // 1_000_000
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before <= made.int >> 80 <= after


def test_uuid7s_do_not_repeat() -> None:
    assert len({uuid7() for _ in range(10_000)}) == 10_000


def test_a_reference_is_read_back_however_it_was_typed() -> None:
    for _ in range(200):
        reference = new_reference()
        assert len(reference) == 11
        typed = f" {reference[:5].lower()}-{reference[5:]} ".replace("1", "l").replace("0", "o")
        assert parse_reference(typed) == reference


@given(st.integers(0, 10), st.integers(1, 31))
def test_one_wrong_character_is_always_found(place: int, shift: int) -> None:
    reference = new_reference()
    wrong = ALPHABET[(ALPHABET.index(reference[place]) + shift) % 32]
    assert parse_reference(reference[:place] + wrong + reference[place + 1:]) is None


@given(st.integers(0, 10), st.integers(0, 10))
def test_two_swapped_characters_are_always_found(one: int, other: int) -> None:
    reference = new_reference()
    letters = list(reference)
    letters[one], letters[other] = letters[other], letters[one]
    swapped = "".join(letters)
    assert parse_reference(swapped) == (reference if swapped == reference else None)


def test_what_citizens_were_told_before_stays_valid() -> None:
    """Its check characters come from the code as it was first written: another code would be as good, and wrong."""
    for told in ("YV1SMXEDDM4", "P0ZP87P93CN", "HDPGM8RTTY0"):
        assert parse_reference(told) == told


def test_what_is_no_reference_is_none() -> None:
    assert parse_reference("") is None
    assert parse_reference("ABC") is None
    assert parse_reference("U" * 11) is None
    assert parse_reference("ß" * 11) is None
