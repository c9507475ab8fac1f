"""What becomes of a delivery without an outcome: not begun, put back, interrupted, left by a dead process, expired. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.attempts.outcomes import (
    Decision,
    Said,
    Terms,
    Why,
    class_at_the_end,
    give_up,
    still_open,
    token_of,
    try_later,
    waits_for,
)
from gateway.causes import cause_of, text_of
from gateway.submission import DeadClass, Delivery, Event, WaitingFor, advance

CRASHES = 3
TEST_TO_PRODUCTIVE = "test-to-productive"


class Step(StrEnum):
    ASK = "ask"
    SEND = "send"


def first_step(delivery: Delivery, terms: Terms, *, test: bool, productive: bool, at: datetime) -> Step | Decision:
    """Ask, send, or neither. delivery: as claimed, ``in_doubt`` being what it was *before* this claim."""
    if test and productive:
        return give_up(delivery, DeadClass.REFUSED, Why(Said.REFUSED, TEST_TO_PRODUCTIVE, TEST_TO_PRODUCTIVE), at=at)
    if token_of(delivery) is not None:
        if terms.can_find:
            return Step.ASK
        return still_open(delivery, terms, at=at, next_at=at + terms.confirm_within)
    if not delivery.in_doubt or terms.idempotent:
        return Step.SEND
    return Step.ASK if terms.can_find else give_up(delivery, DeadClass.IN_DOUBT, Why(Said.IN_DOUBT, DeadClass.IN_DOUBT), at=at)


def put_back(delivery: Delivery, *, at: datetime, next_at: datetime, idempotent: bool = False) -> Decision:
    """Nothing was done with it: the target is paused, closed or being probed. Burns no attempt and no patience."""
    waits = waits_for(delivery, idempotent=idempotent)
    after = advance(delivery, Event.POSTPONE, at=at, attempts=delivery.attempts - 1, waiting_for=waits, next_attempt_at=next_at)
    return Decision(Event.POSTPONE, after, Said.PUT_BACK)


def unreadable(delivery: Delivery, terms: Terms, *, at: datetime, chance: float) -> Decision:
    """Our own document cannot be read (key or disk). Nothing was sent; somebody may put it right."""
    return try_later(delivery, Why(Said.PUT_BACK, "unreadable", "unreadable"), terms, at, chance)


def interrupted(delivery: Delivery, terms: Terms, *, sent: bool, at: datetime) -> Decision:
    """The process is stopping. sent: the connector had been called to deliver, so that something may have arrived."""
    if not sent:
        return replace(put_back(delivery, at=at, next_at=at, idempotent=terms.idempotent), said=Said.INTERRUPTED)
    doubtful = replace(delivery, in_doubt=True)
    waits = waits_for(doubtful, idempotent=terms.idempotent)
    wait = timedelta() if terms.idempotent else terms.settle
    cause = cause_of("interrupted", target=delivery.target)
    after = advance(doubtful, Event.POSTPONE, at=at, waiting_for=waits, next_attempt_at=at + wait, cause_text=text_of(cause))
    return Decision(Event.POSTPONE, after, Said.INTERRUPTED)


def lapsed(delivery: Delivery, *, settle: timedelta, idempotent: bool, died: bool, at: datetime) -> Decision:
    """A lease ran out. It stays in doubt. died: its process is gone, so this document may have brought it down.

    A delivery with ``crashes`` ≥ 1 runs alone: a dispatcher rings one such delivery at a time, and nothing else of its
    target meanwhile; other targets go on. So the innocent that were in flight at a crash are cleared one after the
    other, and the guilty one, which crashes again, is poison at the third time.
    """
    crashes = delivery.crashes + died
    doubtful = replace(delivery, in_doubt=True)
    if crashes >= CRASHES:
        return give_up(doubtful, DeadClass.POISON, Why(Said.CRASHED, DeadClass.POISON), at=at, crashes=crashes)
    waits = waits_for(doubtful, idempotent=idempotent)
    wait = settle if waits is WaitingFor.LOOKUP else timedelta()
    cause = cause_of("crashed", target=delivery.target)
    after = advance(
        doubtful, Event.LAPSE, at=at, crashes=crashes, waiting_for=waits, next_attempt_at=at + wait, cause_text=text_of(cause)
    )
    return Decision(Event.LAPSE, after, Said.CRASHED)


def expired(delivery: Delivery, *, at: datetime) -> Decision:
    """Pending beyond ``give_up_at``, and nobody is left to try it."""
    dead_class = class_at_the_end(delivery)
    cause = cause_of(dead_class, target=delivery.target, code=delivery.code)
    after = advance(
        delivery, Event.EXPIRE, at=at, dead_class=dead_class, code=cause.code, cause=cause.hash, cause_text=text_of(cause)
    )
    return Decision(Event.EXPIRE, after, Said.EXPIRED)
