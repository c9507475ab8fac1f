"""The heart: a Submission never changes, a Delivery is the only thing with state.

No I/O, no clock, no imports of ours. ``TRANSITIONS`` is the whole state machine; the diagram in the README is
generated from it and the database CHECKs mirror it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class State(StrEnum):
    PENDING = "pending"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    DEAD = "dead"
    RETURNED = "returned"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


class Event(StrEnum):
    ACCEPT = "accept"
    HOLD = "hold"
    CLAIM = "claim"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    CONFIRM = "confirm"
    POSTPONE = "postpone"
    HAND_OVER = "hand_over"
    LAPSE = "lapse"
    GIVE_UP = "give_up"
    REDELIVER = "redeliver"
    REFUSE_LATE = "refuse_late"
    REPLAY = "replay"
    RETURN = "return"
    CLOSE = "close"
    REOPEN = "reopen"


TRANSITIONS: Mapping[State | None, Mapping[Event, State]] = MappingProxyType({
    None: {Event.ACCEPT: State.PENDING, Event.HOLD: State.DEAD},
    State.PENDING: {
        Event.CLAIM: State.DELIVERING,
        Event.EXPIRE: State.DEAD,
        Event.WITHDRAW: State.WITHDRAWN,
    },
    State.DELIVERING: {
        Event.CONFIRM: State.DELIVERED,
        Event.POSTPONE: State.PENDING,
        Event.HAND_OVER: State.PENDING,
        Event.LAPSE: State.PENDING,
        Event.GIVE_UP: State.DEAD,
    },
    State.DELIVERED: {Event.REDELIVER: State.PENDING, Event.REFUSE_LATE: State.DEAD},
    State.DEAD: {
        Event.REPLAY: State.PENDING,
        Event.RETURN: State.RETURNED,
        Event.CLOSE: State.CLOSED,
        Event.WITHDRAW: State.WITHDRAWN,
    },
    State.CLOSED: {Event.REOPEN: State.DEAD},
    State.RETURNED: {},
    State.WITHDRAWN: {},
})

FINAL = frozenset({State.DELIVERED, State.RETURNED, State.CLOSED, State.WITHDRAWN})


class WaitingFor(StrEnum):
    """Why a pending delivery is not being delivered now.

    Stored: turn, backoff, lookup, confirmation, snooze. Derived when shown, because they belong to the target and
    not to ten thousand rows: window, breaker, paused, order.
    """

    TURN = "turn"
    BACKOFF = "backoff"
    LOOKUP = "lookup"
    CONFIRMATION = "confirmation"
    WINDOW = "window"
    BREAKER = "breaker"
    PAUSED = "paused"
    ORDER = "order"
    SNOOZE = "snooze"


class DeadClass(StrEnum):
    REFUSED = "refused"
    EXHAUSTED = "exhausted"
    IN_DOUBT = "in_doubt"
    UNCONFIRMED = "unconfirmed"
    UNROUTABLE = "unroutable"
    INVALID = "invalid"
    DEFECT = "defect"
    POISON = "poison"


class ClosedAs(StrEnum):
    BY_HAND = "by_hand"
    DUPLICATE = "duplicate"
    REDIRECTED = "redirected"
    FORWARDED = "forwarded"


class Purpose(StrEnum):
    CASE = "case"
    COPY = "copy"
    NOTICE = "notice"


class Origin(StrEnum):
    MESSAGE = "message"
    FORM = "form"


@dataclass(frozen=True, slots=True)
class Submission:
    """What a portal handed in and we promised to carry. Immutable after the 202.

    id: UUIDv7 text. reference: the Eingangsnummer people read out on the telephone. digest: SHA-256 of the received
    message bytes. fingerprint: SHA-256 over leistung, ars and every part (see ``intake.fingerprint``).
    received_at: UTC, fixed at the 202 (P9). order: commit order within this journal, known once it is read from there.
    """

    id: str
    reference: str
    portal: str
    authority: str
    leistung: str
    ars: str
    package: str
    message_type: str
    message_uuid: str | None
    origin: Origin
    test: bool
    digest: bytes
    fingerprint: bytes
    size: int
    received_at: datetime
    traceparent: str | None = None
    order: int = 0
    erase_after: datetime | None = None
    erased_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What we owe one target. Every transition makes a new value with ``revision + 1``: the fence against stale workers.

    document: number of the document to deliver. outcome: what the connector said (hand-over token, acknowledgement facts).
    cause_text: why it waits or is dead, in German and English, made by us or said by the target: encrypted at rest.
    """

    id: str
    submission_id: str
    purpose: Purpose
    authority: str
    leistung: str
    target: str | None
    document: int
    state: State
    revision: int
    received_at: datetime
    changed_at: datetime
    replaces: str | None = None
    after: str | None = None
    order_key: bytes | None = None
    waiting_for: WaitingFor | None = None
    next_attempt_at: datetime | None = None
    lease_until: datetime | None = None
    claimed_by: str | None = None
    attempts: int = 0
    crashes: int = 0
    in_doubt: bool = False
    failing_since: datetime | None = None
    give_up_at: datetime | None = None
    dead_class: DeadClass | None = None
    closed_as: ClosedAs | None = None
    code: str | None = None
    cause: bytes | None = None
    cause_text: Mapping[str, str] | None = field(default=None, repr=False)
    case_number: str | None = field(default=None, repr=False)
    outcome: Mapping[str, Any] | None = field(default=None, repr=False)


class NotAllowed(Exception):
    """This event cannot happen in this state. ``state`` and ``event`` say which."""

    def __init__(self, state: State | None, event: Event) -> None:
        super().__init__(f"{event} is not possible for a delivery that is {state or 'new'}")
        self.state, self.event = state, event


def advance(delivery: Delivery, event: Event, *, at: datetime, **changes: Any) -> Delivery:
    """The delivery after ``event``: the state by the table, one revision on, and no leftovers of the state before.

    ``changes`` are further fields. Promises every invariant that ``faults_of`` names; raises ``NotAllowed`` or
    ``ValueError`` (a defect in the caller).
    """
    following = TRANSITIONS[delivery.state].get(event)
    if following is None:
        raise NotAllowed(delivery.state, event)
    left: dict[str, Any] = {"waiting_for": None, "next_attempt_at": None, "lease_until": None, "claimed_by": None}
    if following is not State.DEAD:
        left |= {"dead_class": None}
    if following is not State.CLOSED:
        left |= {"closed_as": None}
    after = replace(delivery, **(left | changes | {
        "state": following, "revision": delivery.revision + 1, "changed_at": at,
    }))
    if faults := faults_of(after):
        raise ValueError(f"{event}: {'; '.join(faults)}")
    return after


def faults_of(delivery: Delivery) -> list[str]:
    """What contradicts itself in this delivery; the database CHECKs refuse the same."""
    d = delivery
    rules = {
        "pending has a due time": (d.state is State.PENDING) == (d.next_attempt_at is not None),
        "pending says what it waits for": (d.state is State.PENDING) == (d.waiting_for is not None),
        "delivering has a lease": (d.state is State.DELIVERING) == (d.lease_until is not None),
        "dead has a class": (d.state is State.DEAD) == (d.dead_class is not None),
        "closed says how": (d.state is State.CLOSED) == (d.closed_as is not None),
        "only unroutable or closed has no target": (
            d.target is not None or d.dead_class in (DeadClass.UNROUTABLE, DeadClass.INVALID)
            or d.state in (State.CLOSED, State.RETURNED, State.WITHDRAWN)
        ),
        "in doubt is neither withdrawn nor redirected": not (
            d.in_doubt and (d.state is State.WITHDRAWN or d.closed_as in (ClosedAs.REDIRECTED, ClosedAs.FORWARDED))
        ),
    }
    return [rule for rule, holds in rules.items() if not holds]


class PublicState(StrEnum):
    """What a portal is told of a submission: derived from its ``case`` deliveries, never stored."""

    RECEIVED = "received"
    DELIVERED = "delivered"
    NEEDS_ATTENTION = "needs_attention"
    COMPLETED_BY_HAND = "completed_by_hand"
    RETURNED = "returned"
    WITHDRAWN = "withdrawn"


def public_state(deliveries: Iterable[Delivery]) -> PublicState:
    """The state of a submission: the worst news first, and delivered only once every case has arrived.

    A delivery that was redirected or forwarded has a successor and does not count.
    """
    states = [
        d.state for d in deliveries
        if d.purpose is Purpose.CASE and d.closed_as not in (ClosedAs.REDIRECTED, ClosedAs.FORWARDED)
    ]
    if State.DEAD in states:
        return PublicState.NEEDS_ATTENTION
    if State.PENDING in states or State.DELIVERING in states:
        return PublicState.RECEIVED
    if State.RETURNED in states:
        return PublicState.RETURNED
    if State.WITHDRAWN in states:
        return PublicState.WITHDRAWN
    if State.CLOSED in states:
        return PublicState.COMPLETED_BY_HAND
    return PublicState.DELIVERED if states else PublicState.RECEIVED
