"""When to try again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.retry import RetryPolicy
from tests.clock import EPOCH

POLICY = RetryPolicy()


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 5), (2, 30), (3, 120), (4, 600), (5, 1800), (6, 3600), (7, 3600), (500, 3600)]
)
def test_waits_grow_from_seconds_to_an_hour_and_stay_there(failures: int, seconds: int) -> None:
    assert POLICY.next_attempt(failures, now=EPOCH, chance=0.5) == EPOCH + timedelta(seconds=seconds)


def test_jitter_is_a_fifth_to_either_side() -> None:
    assert POLICY.next_attempt(3, now=EPOCH, chance=0.0) == EPOCH + timedelta(seconds=96)
    assert POLICY.next_attempt(3, now=EPOCH, chance=0.999999) < EPOCH + timedelta(seconds=144)


def test_what_the_target_asks_for_is_not_undercut() -> None:
    asked = timedelta(minutes=20)

    assert POLICY.next_attempt(1, now=EPOCH, chance=0.0, retry_after=asked) == EPOCH + asked


def test_a_wrong_header_cannot_park_an_application_for_a_year() -> None:
    assert POLICY.next_attempt(1, now=EPOCH, chance=0.5, retry_after=timedelta(days=365)) == EPOCH + timedelta(days=1)


@given(
    failures=st.integers(1, 10_000),
    chance=st.floats(0, 1, exclude_max=True),
    after=st.none() | st.timedeltas(timedelta(0), timedelta(days=3)),
)
def test_every_answer_lies_in_the_future_and_within_a_day(failures: int, chance: float, after: timedelta | None) -> None:
    wait = POLICY.next_attempt(failures, now=EPOCH, chance=chance, retry_after=after) - EPOCH

    assert timedelta(seconds=4) <= wait <= timedelta(days=1)
