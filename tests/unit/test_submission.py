"""The heart: every transition of the table and no other, and what a submission looks like from outside."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from gateway.submission import (
    TRANSITIONS,
    ClosedAs,
    DeadClass,
    Delivery,
    Event,
    NotAllowed,
    PublicState,
    Purpose,
    State,
    WaitingFor,
    advance,
    faults_of,
    public_state,
)
from tests.clock import EPOCH
from tests.deliveries import a_delivery

LATER = EPOCH + timedelta(minutes=1)

NEEDED: dict[State, dict[str, Any]] = {
    State.PENDING: {"waiting_for": WaitingFor.BACKOFF, "next_attempt_at": LATER},
    State.DELIVERING: {"lease_until": LATER, "claimed_by": "gateway-1"},
    State.DEAD: {"dead_class": DeadClass.REFUSED},
    State.CLOSED: {"closed_as": ClosedAs.BY_HAND},
}


def delivery_in(state: State, **changes: Any) -> Delivery:
    blank = {"waiting_for": None, "next_attempt_at": None}
    return a_delivery(**(blank | {"state": state} | NEEDED.get(state, {}) | changes))


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_an_event_leads_where_the_table_says_or_is_refused(state: State, event: Event) -> None:
    before = delivery_in(state)
    following = TRANSITIONS[state].get(event)

    if following is None:
        with pytest.raises(NotAllowed) as refused:
            advance(before, event, at=LATER)
        assert (refused.value.state, refused.value.event) == (state, event)
    else:
        after = advance(before, event, at=LATER, **NEEDED.get(following, {}))
        assert (after.state, after.revision, after.changed_at) == (following, before.revision + 1, LATER)
        assert faults_of(after) == []


def test_nothing_of_the_state_before_is_left_over() -> None:
    dead = delivery_in(State.DEAD)

    pending = advance(dead, Event.REPLAY, at=LATER, waiting_for=WaitingFor.TURN, next_attempt_at=LATER)
    running = advance(pending, Event.CLAIM, at=LATER, lease_until=LATER, claimed_by="gateway-1")
    done = advance(running, Event.CONFIRM, at=LATER)

    assert pending.dead_class is None
    assert (running.waiting_for, running.next_attempt_at) == (None, None)
    assert (done.lease_until, done.claimed_by) == (None, None)


@pytest.mark.parametrize("missing", [State.PENDING, State.DELIVERING, State.DEAD, State.CLOSED])
def test_a_state_without_what_belongs_to_it_is_a_defect_of_the_caller(missing: State) -> None:
    before, event = next(
        (state, event) for state, row in TRANSITIONS.items() if state for event, to in row.items() if to is missing
    )

    with pytest.raises(ValueError, match=str(event)):
        advance(delivery_in(before), event, at=LATER)


def test_what_is_in_doubt_is_neither_withdrawn_nor_redirected() -> None:
    doubtful = delivery_in(State.DEAD, in_doubt=True)

    with pytest.raises(ValueError, match="in doubt"):
        advance(doubtful, Event.WITHDRAW, at=LATER)
    with pytest.raises(ValueError, match="in doubt"):
        advance(doubtful, Event.CLOSE, at=LATER, closed_as=ClosedAs.REDIRECTED)


def test_only_what_could_not_be_routed_has_no_target() -> None:
    assert faults_of(delivery_in(State.PENDING, target=None))
    assert not faults_of(delivery_in(State.DEAD, target=None, dead_class=DeadClass.UNROUTABLE))
    assert not faults_of(delivery_in(State.RETURNED, target=None))


@pytest.mark.parametrize(
    ("states", "public"),
    [
        ([State.PENDING], PublicState.RECEIVED),
        ([State.DELIVERED, State.DELIVERING], PublicState.RECEIVED),
        ([State.DELIVERED, State.DELIVERED], PublicState.DELIVERED),
        ([State.DELIVERED, State.DEAD], PublicState.NEEDS_ATTENTION),
        ([State.PENDING, State.DEAD], PublicState.NEEDS_ATTENTION),
        ([State.RETURNED], PublicState.RETURNED),
        ([State.WITHDRAWN], PublicState.WITHDRAWN),
        ([State.CLOSED, State.DELIVERED], PublicState.COMPLETED_BY_HAND),
        ([], PublicState.RECEIVED),
    ],
)
def test_a_submission_shows_the_worst_of_its_cases(states: list[State], public: PublicState) -> None:
    assert public_state([delivery_in(state) for state in states]) is public


def test_copies_notices_and_what_was_replaced_do_not_count() -> None:
    deliveries = [
        delivery_in(State.CLOSED, closed_as=ClosedAs.REDIRECTED),
        delivery_in(State.DELIVERED),
        delivery_in(State.DEAD, purpose=Purpose.COPY),
        delivery_in(State.DEAD, purpose=Purpose.NOTICE),
    ]

    assert public_state(deliveries) is PublicState.DELIVERED
