"""What follows from each outcome, and what becomes of a delivery that never had one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import sdk
from gateway.attempts.outcomes import BLOCKS_LOOP, Decision, Defect, Outcome, Said, decide, not_there, token_of
from gateway.attempts.unfinished import TEST_TO_PRODUCTIVE, Step, expired, first_step, interrupted, lapsed, put_back, unreadable
from gateway.submission import DeadClass, Delivery, Event, State, WaitingFor, faults_of
from tests.clock import EPOCH
from tests.deliveries import NO_JITTER, a_delivery, claimed, terms

MINUTE = timedelta(minutes=1)
HOURS_72 = timedelta(hours=72)


def after(
    outcome: Outcome, delivery: Delivery | None = None, *,
    asked: bool = False, fault: bool = False, at: datetime = EPOCH, **of_target: Any,
) -> Decision:
    return decide(
        delivery or claimed(), outcome, terms(**of_target), asked=asked, targets_fault=fault, at=at, chance=NO_JITTER
    )


# --- taken


def test_acknowledged_is_delivered_and_nothing_is_left_of_earlier_failures() -> None:
    failed = claimed(in_doubt=True, failing_since=EPOCH, give_up_at=EPOCH, code="503", outcome={"failures": 3})

    done = after(sdk.Acknowledgement("2026/4711", {"status": "201"}), failed).after

    assert done.state is State.DELIVERED
    assert (done.case_number, done.outcome, done.in_doubt) == ("2026/4711", {"status": "201"}, False)
    assert (done.failing_since, done.give_up_at, done.code, done.cause_text) == (None, None, None, None)


def test_handed_over_waits_for_the_confirmation_and_is_only_asked_from_now_on() -> None:
    decision = after(sdk.HandedOver("message-7", ask_after=timedelta(minutes=5)))
    waiting = decision.after

    assert (decision.event, waiting.state, waiting.waiting_for) == (Event.HAND_OVER, State.PENDING, WaitingFor.CONFIRMATION)
    assert waiting.next_attempt_at == EPOCH + timedelta(minutes=5)
    assert waiting.give_up_at == EPOCH + timedelta(days=7)
    assert waiting.in_doubt
    assert token_of(waiting) == "message-7"
    assert first_step(claimed(waiting), terms(), test=False, productive=True, at=EPOCH) is Step.ASK


def test_what_is_still_open_is_asked_again_when_the_target_said_and_keeps_its_deadline() -> None:
    handed_over = claimed(after(sdk.HandedOver("t")).after)

    waiting = after(sdk.StillOpen(timedelta(minutes=10)), handed_over, asked=True, at=EPOCH + MINUTE).after

    assert (waiting.waiting_for, waiting.next_attempt_at) == (WaitingFor.CONFIRMATION, EPOCH + timedelta(minutes=11))
    assert waiting.give_up_at == handed_over.give_up_at
    assert token_of(waiting) == "t"


def test_what_is_never_confirmed_is_a_dead_letter_after_confirm_within() -> None:
    handed_over = claimed(after(sdk.HandedOver("t")).after)

    dead = after(sdk.StillOpen(), handed_over, asked=True, at=EPOCH + timedelta(days=7)).after

    assert (dead.state, dead.dead_class, dead.in_doubt) == (State.DEAD, DeadClass.UNCONFIRMED, True)


def test_a_question_without_an_answer_does_not_void_a_hand_over() -> None:
    handed_over = claimed(after(sdk.HandedOver("t")).after)

    for outcome in (sdk.Unavailable(), sdk.InDoubt(), Defect("f", "KeyError")):
        waiting = after(outcome, handed_over, asked=True).after
        assert (waiting.waiting_for, token_of(waiting), waiting.in_doubt) == (WaitingFor.CONFIRMATION, "t", True)


def test_taken_and_then_rejected_is_refused_and_no_longer_in_doubt() -> None:
    handed_over = claimed(after(sdk.HandedOver("t")).after)

    dead = after(sdk.Refused("Halter unbekannt", code="R1"), handed_over, asked=True).after

    assert (dead.state, dead.dead_class, dead.in_doubt, token_of(dead)) == (State.DEAD, DeadClass.REFUSED, False, None)


def test_a_hand_over_that_came_to_nothing_may_be_sent_again_with_fresh_patience() -> None:
    handed_over = claimed(after(sdk.HandedOver("t")).after)

    lost = not_there(handed_over)

    assert (lost.in_doubt, token_of(lost), lost.give_up_at) == (False, None, None)


# --- proven not taken


def test_unavailable_backs_off_and_is_not_in_doubt() -> None:
    decision = after(sdk.Unavailable("no route to host"))
    waiting = decision.after

    assert (waiting.state, waiting.waiting_for, waiting.in_doubt) == (State.PENDING, WaitingFor.BACKOFF, False)
    assert waiting.next_attempt_at == EPOCH + timedelta(seconds=5)
    assert (waiting.failing_since, waiting.give_up_at) == (EPOCH, EPOCH + HOURS_72)
    assert decision.private == {"said": "no route to host"}


def test_the_wait_grows_with_every_failure_in_a_row() -> None:
    delivery, waits = a_delivery(), []
    for _ in range(7):
        delivery = after(sdk.Unavailable(), claimed(delivery)).after
        assert delivery.next_attempt_at is not None
        waits.append(int((delivery.next_attempt_at - EPOCH).total_seconds()))

    assert waits == [5, 30, 120, 600, 1800, 3600, 3600]
    assert delivery.attempts == 7


def test_retry_after_is_honoured() -> None:
    waiting = after(sdk.Unavailable(after=timedelta(minutes=20))).after

    assert waiting.next_attempt_at == EPOCH + timedelta(minutes=20)


def test_patience_begins_with_the_first_failure_and_ends_as_exhausted() -> None:
    first = after(sdk.Unavailable()).after
    later = after(sdk.Unavailable(), claimed(first), at=EPOCH + timedelta(hours=71)).after
    last = after(sdk.Unavailable(), claimed(later), at=EPOCH + HOURS_72).after

    assert later.give_up_at == EPOCH + HOURS_72
    assert (last.state, last.dead_class, last.in_doubt) == (State.DEAD, DeadClass.EXHAUSTED, False)


def test_the_last_attempt_is_made_when_patience_ends() -> None:
    waiting = claimed(give_up_at=EPOCH + 20 * MINUTE, failing_since=EPOCH, outcome={"failures": 9})

    assert after(sdk.Unavailable(), waiting).after.next_attempt_at == EPOCH + 20 * MINUTE


def test_the_clock_stands_still_in_maintenance_windows() -> None:
    def half_of_every_day(at: datetime, span: timedelta) -> datetime:
        return at + 2 * span

    assert after(sdk.Unavailable(), after_open_time=half_of_every_day).after.give_up_at == EPOCH + 2 * HOURS_72
    handed = after(sdk.HandedOver("t"), after_open_time=half_of_every_day).after
    assert handed.give_up_at == EPOCH + 2 * terms().confirm_within


def test_what_was_handed_over_is_asked_for_before_the_time_to_confirm_is_over() -> None:
    """Whatever it says about when to ask."""
    waiting = after(sdk.HandedOver("202", ask_after=timedelta(days=400))).after

    assert waiting.next_attempt_at is not None
    assert waiting.give_up_at is not None
    assert waiting.next_attempt_at <= waiting.give_up_at


# --- in doubt


def test_in_doubt_is_looked_up_and_not_before_the_target_has_settled() -> None:
    waiting = after(sdk.InDoubt("timeout")).after

    assert (waiting.state, waiting.waiting_for, waiting.in_doubt) == (State.PENDING, WaitingFor.LOOKUP, True)
    assert waiting.next_attempt_at == EPOCH + MINUTE
    assert first_step(claimed(waiting), terms(), test=False, productive=True, at=EPOCH) is Step.ASK


def test_a_target_that_cannot_be_asked_leaves_the_doubt_to_a_person() -> None:
    dead = after(sdk.InDoubt("timeout"), can_find=False).after

    assert (dead.state, dead.dead_class, dead.in_doubt) == (State.DEAD, DeadClass.IN_DOUBT, True)


def test_what_is_claimed_in_doubt_and_cannot_be_asked_is_never_sent() -> None:
    step = first_step(claimed(in_doubt=True), terms(can_find=False), test=False, productive=True, at=EPOCH)

    assert isinstance(step, Decision)
    assert (step.after.state, step.after.dead_class, step.after.in_doubt) == (State.DEAD, DeadClass.IN_DOUBT, True)


def test_an_idempotent_target_is_simply_tried_again() -> None:
    waiting = after(sdk.InDoubt("timeout"), idempotent=True).after

    assert (waiting.waiting_for, waiting.next_attempt_at) == (WaitingFor.BACKOFF, EPOCH + timedelta(seconds=5))
    assert first_step(claimed(waiting), terms(idempotent=True), test=False, productive=True, at=EPOCH) is Step.SEND


def test_a_failed_question_leaves_it_in_doubt() -> None:
    doubtful = claimed(in_doubt=True)

    for outcome in (sdk.Unavailable(), sdk.InDoubt(), sdk.Blocked("401"), Defect("f", "KeyError")):
        waiting = after(outcome, doubtful, asked=True).after
        assert (waiting.state, waiting.waiting_for, waiting.in_doubt) == (State.PENDING, WaitingFor.LOOKUP, True)


def test_patience_that_ends_in_doubt_says_so() -> None:
    doubtful = claimed(in_doubt=True, give_up_at=EPOCH, failing_since=EPOCH)

    assert after(sdk.Unavailable(), doubtful, asked=True).after.dead_class is DeadClass.IN_DOUBT


# --- refused and blocked


def test_refused_is_not_tried_again() -> None:
    decision = after(sdk.Refused("Chip 276098 unbekannt", code="E17", xpath="/antrag/hund[1]/chip"))
    dead = decision.after

    assert (dead.state, dead.dead_class, dead.code, dead.in_doubt) == (State.DEAD, DeadClass.REFUSED, "E17", False)
    assert dead.cause_text is not None
    assert dead.cause_text["said"] == "Chip 276098 unbekannt"
    assert dead.cause_text["place"] == "/antrag/hund[1]/chip"
    assert "276098" not in dead.cause_text["de"]
    assert decision.private == {"said": "Chip 276098 unbekannt"}


def test_a_refusal_like_those_that_opened_the_breaker_waits() -> None:
    waiting = after(sdk.Refused("Mandant gesperrt", code="E99"), fault=True).after

    assert (waiting.state, waiting.waiting_for, waiting.in_doubt) == (State.PENDING, WaitingFor.BACKOFF, False)


def test_blocked_waits_if_the_target_is_at_fault_and_is_a_dead_letter_if_not() -> None:
    assert after(sdk.Blocked("401"), fault=True).after.state is State.PENDING

    dead = after(sdk.Blocked("401"), fault=False).after
    assert (dead.state, dead.dead_class, dead.code) == (State.DEAD, DeadClass.REFUSED, "blocked")


# --- defects


def test_a_defect_leaves_doubt_and_the_third_equal_one_is_a_dead_letter() -> None:
    first = after(Defect("aaaa", "KeyError")).after
    second = after(Defect("aaaa", "KeyError"), claimed(first)).after
    third = after(Defect("aaaa", "KeyError"), claimed(second)).after

    assert [one.state for one in (first, second, third)] == [State.PENDING, State.PENDING, State.DEAD]
    assert (first.waiting_for, first.in_doubt) == (WaitingFor.LOOKUP, True)
    assert (third.dead_class, third.in_doubt, third.code) == (DeadClass.DEFECT, True, "KeyError:aaaa")


def test_different_defects_do_not_add_up() -> None:
    delivery = a_delivery()
    for fingerprint in ("aaaa", "bbbb", "aaaa", "bbbb"):
        delivery = after(Defect(fingerprint, "KeyError"), claimed(delivery)).after

    assert delivery.state is State.PENDING


def test_a_connector_that_halts_the_program_is_named() -> None:
    waiting = after(Defect(BLOCKS_LOOP, "LoopBlocked", BLOCKS_LOOP)).after

    assert waiting.code == BLOCKS_LOOP
    assert waiting.cause_text is not None
    assert "hält das ganze Programm an" in waiting.cause_text["de"]


# --- without an outcome


def test_a_test_submission_never_reaches_a_productive_target() -> None:
    step = first_step(claimed(), terms(), test=True, productive=True, at=EPOCH)

    assert isinstance(step, Decision)
    assert (step.after.dead_class, step.after.code) == (DeadClass.REFUSED, TEST_TO_PRODUCTIVE)
    assert step.after.cause_text is not None
    assert "Testeinreichung" in step.after.cause_text["de"]
    assert first_step(claimed(), terms(), test=True, productive=False, at=EPOCH) is Step.SEND
    assert first_step(claimed(), terms(), test=False, productive=True, at=EPOCH) is Step.SEND


def test_what_was_put_back_has_burnt_neither_attempt_nor_patience_nor_doubt() -> None:
    before = a_delivery(attempts=4, give_up_at=EPOCH + MINUTE, failing_since=EPOCH)

    for doubt, waits in ((False, WaitingFor.TURN), (True, WaitingFor.LOOKUP)):
        back = put_back(claimed(before, in_doubt=doubt), at=EPOCH, next_at=EPOCH + MINUTE).after
        assert (back.attempts, back.give_up_at, back.in_doubt, back.waiting_for) == (4, before.give_up_at, doubt, waits)


def test_stopping_in_the_middle_of_a_delivery_leaves_doubt_but_burns_no_patience() -> None:
    sent = interrupted(claimed(), terms(), sent=True, at=EPOCH).after
    unsent = interrupted(claimed(), terms(), sent=False, at=EPOCH).after

    assert (sent.in_doubt, sent.waiting_for, sent.next_attempt_at) == (True, WaitingFor.LOOKUP, EPOCH + MINUTE)
    assert (unsent.in_doubt, unsent.waiting_for, unsent.next_attempt_at) == (False, WaitingFor.TURN, EPOCH)
    assert sent.give_up_at is None


def test_a_lapsed_lease_stays_in_doubt_and_counts_a_crash_only_if_its_process_died() -> None:
    leased = claimed(in_doubt=True)

    alive = lapsed(leased, settle=MINUTE, idempotent=False, died=False, at=EPOCH).after
    dead = lapsed(leased, settle=MINUTE, idempotent=False, died=True, at=EPOCH).after

    assert (alive.state, alive.in_doubt, alive.crashes) == (State.PENDING, True, 0)
    assert (dead.crashes, dead.waiting_for, dead.next_attempt_at) == (1, WaitingFor.LOOKUP, EPOCH + MINUTE)


def test_the_third_crash_is_poison() -> None:
    dead = lapsed(claimed(crashes=2), settle=MINUTE, idempotent=True, died=True, at=EPOCH).after

    assert (dead.state, dead.dead_class, dead.crashes, dead.in_doubt) == (State.DEAD, DeadClass.POISON, 3, True)


@pytest.mark.parametrize(
    ("waiting", "dead_class"),
    [
        (a_delivery(), DeadClass.EXHAUSTED),
        (a_delivery(in_doubt=True, waiting_for=WaitingFor.LOOKUP), DeadClass.IN_DOUBT),
        (a_delivery(in_doubt=True, outcome={"token": "t"}), DeadClass.UNCONFIRMED),
    ],
)
def test_what_expires_is_called_by_what_it_waited_for(waiting: Delivery, dead_class: DeadClass) -> None:
    assert expired(waiting, at=EPOCH).after.dead_class is dead_class


def test_a_document_that_cannot_be_read_waits_like_a_target_that_is_away() -> None:
    waiting = unreadable(claimed(), terms(), at=EPOCH, chance=NO_JITTER).after

    assert (waiting.state, waiting.in_doubt, waiting.code) == (State.PENDING, False, "unreadable")


# --- whatever happens


OUTCOMES: list[Outcome] = [
    sdk.Acknowledgement("1"),
    sdk.HandedOver("t"),
    sdk.StillOpen(),
    sdk.Unavailable("x", after=timedelta(hours=2)),
    sdk.InDoubt("x"),
    sdk.Refused("x"),
    sdk.Blocked("x"),
    Defect("aaaa", "KeyError"),
]
TAKES_NOTHING = (sdk.Unavailable, sdk.Refused, sdk.Blocked)


@given(
    steps=st.lists(st.tuples(st.sampled_from(OUTCOMES), st.booleans(), st.booleans(), st.integers(0, 90)), max_size=30),
    idempotent=st.booleans(),
    can_find=st.booleans(),
)
def test_any_sequence_of_outcomes_keeps_the_rules(
    steps: list[tuple[Outcome, bool, bool, int]], idempotent: bool, can_find: bool
) -> None:
    of_target = terms(idempotent=idempotent, can_find=can_find)
    delivery, at = a_delivery(), EPOCH
    for outcome, fault, lost, hours in steps:
        if delivery.state is not State.PENDING:
            break
        at += timedelta(hours=hours)
        taken = claimed(delivery)
        step = first_step(taken, of_target, test=False, productive=True, at=at)
        if step is Step.SEND:  # nothing is sent that may have arrived
            assert not taken.in_doubt or idempotent
            assert token_of(taken) is None
        if isinstance(step, Decision):
            decision = step
        else:
            if step is Step.ASK and lost:
                taken, step = not_there(taken), Step.SEND
            if (step is Step.SEND) == isinstance(outcome, sdk.StillOpen) or (
                step is Step.ASK and isinstance(outcome, sdk.HandedOver)
            ):
                continue  # not an answer to this question
            asked = step is Step.ASK
            decision = decide(taken, outcome, of_target, asked=asked, targets_fault=fault, at=at, chance=0.9)
            now = decision.after
            if not asked and not isinstance(outcome, (*TAKES_NOTHING, sdk.Acknowledgement)):
                assert now.in_doubt
            if not asked and isinstance(outcome, TAKES_NOTHING) and not taken.in_doubt:
                assert not now.in_doubt
        before, delivery = delivery, decision.after
        assert faults_of(delivery) == []
        assert delivery.revision == before.revision + 2
        assert delivery.received_at == before.received_at
        if delivery.state is State.PENDING:
            assert delivery.next_attempt_at is not None
            assert at <= delivery.next_attempt_at <= at + timedelta(days=8)
            assert delivery.give_up_at is not None
        if delivery.state is State.DEAD:
            assert delivery.cause is not None
            assert delivery.cause_text is not None
            assert decision.said in Said


def test_not_there_is_no_outcome_to_end_with() -> None:
    with pytest.raises(ValueError, match="sending"):
        after(sdk.NotThere(), replace(claimed(), in_doubt=True), asked=True)
