"""When a target is left alone, and for how long. Pure: state in, change out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.attempts.breaker import (
    OPENS_AT,
    Failure,
    Kind,
    after_failure,
    after_success,
    held_by,
    is_targets_fault,
    pause,
    probe,
    probe_lost,
    resume,
)
from gateway.ports import Breaker, TargetChange, TargetState
from gateway.submission import WaitingFor
from tests.clock import EPOCH

SECONDS, MINUTES, HOURS = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
FRESH = TargetState("register")


def down(delivery_id: str) -> Failure:
    return Failure(Kind.DOWN, delivery_id, "unavailable")


def refused(delivery_id: str, cause: bytes = b"E17") -> Failure:
    return Failure(Kind.REFUSED, delivery_id, "E17", cause)


def blocked(delivery_id: str, *, at_once: bool = False) -> Failure:
    return Failure(Kind.BLOCKED, delivery_id, "blocked", at_once=at_once)


def run(state: TargetState, *failures: Failure, at: datetime = EPOCH) -> TargetState:
    for failure in failures:
        change = after_failure(state, failure, at=at, actor="gateway")
        state = change.after if change else state
    return state


def success(state: TargetState, at: datetime) -> TargetChange:
    change = after_success(state, at=at, actor="gateway")
    assert change is not None
    return change


def opened(at: datetime = EPOCH) -> TargetState:
    return run(FRESH, *(down(str(n)) for n in range(OPENS_AT)), at=at)


def test_five_different_deliveries_that_fail_in_a_row_open_it() -> None:
    four = run(FRESH, *(down(str(n)) for n in range(4)))
    assert (four.breaker, four.streak) == (Breaker.CLOSED, 4)

    five = run(four, down("5"))

    assert (five.breaker, five.breaker_cause, five.breaker_since) == (Breaker.OPEN, "unavailable", EPOCH)
    assert five.probe_at == EPOCH + 30 * SECONDS


def test_one_delivery_that_fails_for_ever_opens_nothing() -> None:
    state = run(FRESH, *[down("poison")] * 100)

    assert (state.breaker, state.streak) == (Breaker.CLOSED, 1)
    assert after_failure(state, down("poison"), at=EPOCH, actor="gateway") is None  # nor does it write anything


def test_a_success_begins_the_count_anew() -> None:
    four = run(FRESH, *(down(str(n)) for n in range(4)))

    again = run(success(four, EPOCH).after, *(down(str(n)) for n in range(4)))

    assert again.breaker is Breaker.CLOSED
    assert after_success(FRESH, at=EPOCH, actor="gateway") is None  # the usual case costs nothing


def test_only_equal_refusals_add_up() -> None:
    mixed = run(FRESH, *(refused(str(n), cause=bytes([n % 2])) for n in range(20)))
    equal = run(FRESH, *(refused(str(n)) for n in range(5)))

    assert mixed.breaker is Breaker.CLOSED
    assert equal.breaker is Breaker.OPEN


def test_the_fifth_refusal_is_still_about_its_document_and_the_next_ones_wait() -> None:
    four = run(FRESH, *(refused(str(n)) for n in range(4)))
    assert not is_targets_fault(four, refused("5"))

    opened_by_refusals = run(four, refused("5"))

    assert is_targets_fault(opened_by_refusals, refused("6"))
    assert not is_targets_fault(opened_by_refusals, refused("6", cause=b"E18"))


def test_blocked_needs_a_second_delivery_or_a_failing_check() -> None:
    assert not is_targets_fault(FRESH, blocked("1"))
    assert is_targets_fault(FRESH, blocked("1", at_once=True))
    once = run(FRESH, blocked("1"))
    assert not is_targets_fault(once, blocked("1"))
    assert is_targets_fault(once, blocked("2"))
    assert run(once, blocked("2")).breaker is Breaker.OPEN


def test_what_was_sent_before_it_opened_changes_nothing_when_it_fails() -> None:
    assert after_failure(opened(), down("99"), at=EPOCH, actor="gateway") is None


def test_probes_become_rarer_up_to_five_minutes() -> None:
    state, at, waits = opened(), EPOCH, []
    for n in range(6):
        assert state.probe_at is not None
        waits.append((state.probe_at - at).total_seconds())
        at = state.probe_at
        assert probe(state, at=at - SECONDS, actor="gateway") is None
        change = probe(state, at=at, actor="gateway")
        assert change is not None
        assert change.after.breaker is Breaker.PROBING
        assert probe(change.after, at=at, actor="gateway") is None  # one at a time
        state = run(change.after, down(f"probe-{n}"), at=at)
        assert state.breaker is Breaker.OPEN

    assert waits == [30, 60, 120, 240, 300, 300]
    assert state.breaker_since == EPOCH


def test_a_probe_without_a_verdict_lets_another_one_through() -> None:
    probing = probe(opened(), at=EPOCH + HOURS, actor="gateway")
    assert probing is not None

    assert probe(probing.after, at=EPOCH + HOURS + 2 * MINUTES, actor="gateway") is not None


def test_a_probe_whose_process_died_makes_nobody_wait_for_its_verdict() -> None:
    probing = probe(opened(), at=EPOCH + HOURS, actor="gateway")
    assert probing is not None

    lost = probe_lost(probing.after, at=EPOCH + HOURS + SECONDS, actor="gateway")

    assert lost is not None
    assert probe(lost.after, at=EPOCH + HOURS + SECONDS, actor="gateway") is not None
    assert lost.after.breaker_since == probing.after.breaker_since
    assert probe_lost(opened(), at=EPOCH + HOURS, actor="gateway") is None
    assert probe_lost(FRESH, at=EPOCH, actor="gateway") is None


def test_a_success_closes_it_and_says_how_long_everybody_waited() -> None:
    change = success(opened(), EPOCH + 3 * HOURS)

    assert (change.event, change.after.breaker, change.after.streak) == ("close", Breaker.CLOSED, 0)
    assert change.stood_still == 3 * HOURS


def test_a_refusal_proves_that_a_dead_target_is_back() -> None:
    probing = probe(opened(), at=EPOCH + HOURS, actor="gateway")
    assert probing is not None

    change = after_failure(probing.after, refused("x"), at=EPOCH + HOURS, actor="gateway")

    assert change is not None
    assert (change.event, change.after.breaker, change.after.streak) == ("close", Breaker.CLOSED, 1)


def test_time_that_pause_and_breaker_share_is_counted_once() -> None:
    broken = opened()  # 0 h
    paused = pause(broken, at=EPOCH + HOURS, actor="anna", reason="Update", until=None).after
    resumed = resume(paused, at=EPOCH + 5 * HOURS, actor="anna")
    assert resumed is not None
    assert resumed.stood_still is None
    assert success(resumed.after, EPOCH + 6 * HOURS).stood_still == 6 * HOURS

    closed = success(paused, EPOCH + 2 * HOURS)
    assert closed.stood_still is None
    late = resume(closed.after, at=EPOCH + 5 * HOURS, actor="anna")
    assert late is not None
    assert late.stood_still == 5 * HOURS


def test_resuming_by_hand_probes_at_once() -> None:
    change = resume(opened(), at=EPOCH + SECONDS, actor="anna", reason="repariert", probe_now=True)

    assert change is not None
    assert probe(change.after, at=EPOCH + SECONDS, actor="gateway") is not None
    assert resume(FRESH, at=EPOCH, actor="anna", probe_now=True) is None


def test_why_nothing_is_sent_is_said_in_the_order_of_who_can_help() -> None:
    paused = pause(opened(), at=EPOCH, actor="anna", reason="Update", until=EPOCH + HOURS).after

    assert held_by(paused, closed=True, at=EPOCH) is WaitingFor.PAUSED
    assert held_by(paused, closed=True, at=EPOCH + HOURS) is WaitingFor.WINDOW
    assert held_by(opened(), closed=False, at=EPOCH) is WaitingFor.BREAKER
    assert held_by(FRESH, closed=False, at=EPOCH) is None


def test_no_text_of_a_person_gets_into_what_everyone_may_read() -> None:
    change = pause(FRESH, at=EPOCH, actor="anna", reason="Frau Meier ist im Urlaub", until=None)

    assert "Meier" not in str(change.facts)
    assert change.private == {"reason": "Frau Meier ist im Urlaub"}


FAILURES = st.builds(
    Failure,
    kind=st.sampled_from(Kind),
    delivery_id=st.sampled_from([str(n) for n in range(8)]),
    code=st.just("x"),
    cause=st.sampled_from([b"a", b"b"]),
    at_once=st.booleans(),
)
STEPS = st.lists(st.one_of(FAILURES, st.sampled_from(["success", "probe", "lost", "pause", "resume"])), max_size=60)


@given(steps=STEPS)
def test_whatever_happens_the_state_makes_sense_and_no_time_is_counted_twice(steps: list[Failure | str]) -> None:
    state, at, counted = replace(FRESH), EPOCH, timedelta()
    for step in steps:
        at += MINUTES
        if isinstance(step, Failure):
            change = after_failure(state, step, at=at, actor="gateway")
        elif step == "success":
            change = after_success(state, at=at, actor="gateway")
        elif step == "probe":
            change = probe(state, at=at, actor="gateway")
        elif step == "lost":
            change = probe_lost(state, at=at, actor="gateway")
        elif step == "pause":
            change = pause(state, at=at, actor="anna", reason="x", until=None)
        else:
            change = resume(state, at=at, actor="anna", reason="x")
        if change is None:
            continue
        assert change.before == state
        assert change.after.revision == state.revision + 1
        state = change.after
        counted += change.stood_still or timedelta()
        assert (state.breaker is Breaker.CLOSED) == (state.probe_at is None)
        assert (state.breaker is Breaker.CLOSED) == (state.breaker_since is None)
        assert (state.breaker is Breaker.CLOSED) == (state.breaker_cause is None)
        assert (state.paused_at is None) == (state.paused_reason is None)
        assert (state.streak == 0) == (state.streak_cause is None)
        assert len(state.streak_cause or b"") <= 8 + 4 * OPENS_AT
    assert counted <= at - EPOCH
