"""Machines whose clocks differ agree on the time of the journal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.clocks import SharedClock, SystemClock, steady

SECOND = timedelta(seconds=1)


def about(at: datetime) -> object:
    return pytest.approx(at.timestamp(), abs=5)


def test_until_it_is_told_it_shows_the_time_of_this_machine() -> None:
    assert SharedClock().now().timestamp() == about(SystemClock().now())


def test_from_then_on_it_goes_by_what_it_was_told_wherever_this_machines_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = SharedClock(), datetime(2026, 3, 2, 9, tzinfo=UTC)

    clock.tell(told, asked=steady(), answered=steady())
    monkeypatch.setattr(SystemClock, "now", lambda self: datetime(1999, 1, 1, tzinfo=UTC))

    assert clock.now().timestamp() == about(told)


def test_what_may_have_been_right_is_not_moved_and_what_was_wrong_no_further_than_it_must() -> None:
    clock, now = SharedClock(), steady()
    told = datetime(2026, 3, 2, 9, tzinfo=UTC)
    clock.tell(told, asked=now, answered=now)

    assert clock.tell(told + 3 * SECOND, asked=now + 2, answered=now + 4) == timedelta()
    assert clock.tell(told + 10 * SECOND, asked=now + 5, answered=now + 6) == 4 * SECOND
    assert clock.tell(told + 10 * SECOND, asked=now + 7, answered=now + 8) == -SECOND


def test_the_first_time_it_says_how_far_this_machine_is_off() -> None:
    moved = SharedClock().tell(SystemClock().now() + 30 * SECOND, asked=steady(), answered=steady())

    assert moved.total_seconds() == pytest.approx(30, abs=5)
