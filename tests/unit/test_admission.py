from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.admission import Admission, Reason, TurnedAway


def admission(**changes: object) -> Admission:
    return Admission(**({"oldest_waiting": lambda: timedelta(0), "disk": None} | changes))  # type: ignore[arg-type]


def test_a_portal_over_its_cap_is_turned_away_and_others_are_not() -> None:
    gate = admission()
    with gate.enter("a", cap=1, invalid_per_minute=10):
        with pytest.raises(TurnedAway) as turned, gate.enter("a", cap=1, invalid_per_minute=10):
            pass
        assert turned.value.reason is Reason.TOO_MANY
        with gate.enter("b", cap=1, invalid_per_minute=10):
            assert gate.in_flight() == 2
    with gate.enter("a", cap=1, invalid_per_minute=10):
        pass
    assert gate.in_flight() == 0


def test_an_error_inside_gives_the_place_back() -> None:
    gate = admission()
    with pytest.raises(ZeroDivisionError), gate.enter("a", cap=1, invalid_per_minute=10):
        raise ZeroDivisionError
    assert gate.in_flight() == 0


def test_the_budget_for_invalid_documents_refills_after_a_minute() -> None:
    now = 1000.0
    gate = admission(clock=lambda: now)
    for _ in range(3):
        gate.count_invalid("a")
    with pytest.raises(TurnedAway) as turned, gate.enter("a", cap=9, invalid_per_minute=3):
        pass
    assert turned.value.reason is Reason.TOO_MANY_INVALID
    assert 1 <= turned.value.retry_after <= 61
    with gate.enter("b", cap=9, invalid_per_minute=3):
        pass
    now += 61
    with gate.enter("a", cap=9, invalid_per_minute=3):
        pass


def test_a_journal_that_cannot_keep_up_closes_the_door() -> None:
    gate = admission(oldest_waiting=lambda: timedelta(seconds=2.1))
    with pytest.raises(TurnedAway) as turned:
        gate.check()
    assert turned.value.reason is Reason.JOURNAL_SLOW


def test_a_disk_without_reserve_closes_the_door(tmp_path: Path) -> None:
    gate = admission(disk=tmp_path, reserve=lambda total: total + 1)
    with pytest.raises(TurnedAway) as turned:
        gate.check()
    assert turned.value.reason is Reason.DISK_FULL
    admission(disk=tmp_path, reserve=lambda total: 0).check()


def test_a_gateway_that_stops_takes_nothing_more() -> None:
    gate = admission()
    gate.stopping = True
    with pytest.raises(TurnedAway) as turned:
        gate.check()
    assert turned.value.reason is Reason.STOPPING
