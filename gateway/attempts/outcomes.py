"""What follows from an outcome: one function for each. Pure; the worker writes what it answers.

Three rules stand over it. What may have been sent stays *in doubt* until an outcome proves that nothing was taken or a
question is answered. What is in doubt is never sent again without asking, except to a target that honours the delivery
id itself. And only an attempt that failed at the target burns patience (``give_up_at``), so that windows, breakers,
pauses and our own restarts cost nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from connectors import sdk
from gateway.causes import Cause, cause_of, text_of
from gateway.retry import RetryPolicy
from gateway.submission import DeadClass, Delivery, Event, WaitingFor, advance

EQUAL_DEFECTS = 3
BLOCKED = "blocked"
BLOCKS_LOOP = "blocks-the-loop"


@dataclass(frozen=True, slots=True)
class Defect:
    """A connector raised what it never promised. fingerprint: hex, of its frames, no text. kind: the exception's class.

    code: where we know more than the class, e.g. ``BLOCKS_LOOP``.
    """

    fingerprint: str
    kind: str
    code: str | None = None


Outcome: TypeAlias = (
    sdk.Acknowledgement
    | sdk.HandedOver
    | sdk.NotThere
    | sdk.StillOpen
    | sdk.Unavailable
    | sdk.InDoubt
    | sdk.Refused
    | sdk.Blocked
    | Defect
)


class Said(StrEnum):
    """An outcome in one word, for history, log and metrics."""

    ACKNOWLEDGED = "acknowledged"
    HANDED_OVER = "handed_over"
    STILL_OPEN = "still_open"
    UNAVAILABLE = "unavailable"
    IN_DOUBT = "in_doubt"
    REFUSED = "refused"
    BLOCKED = "blocked"
    DEFECT = "defect"
    PUT_BACK = "put_back"
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a decision needs to know of the target. policy: with this target's ``give_up_after``.

    after_open_time: moment, span → the moment when so much time has passed, maintenance windows not counted.
    """

    policy: RetryPolicy
    settle: timedelta
    confirm_within: timedelta
    idempotent: bool
    can_find: bool
    after_open_time: Callable[[datetime, timedelta], datetime] = operator.add


@dataclass(frozen=True, slots=True)
class Decision:
    """A transition that is decided and not yet written. private: what the target said, to be encrypted."""

    event: Event
    after: Delivery
    said: Said
    private: Mapping[str, str] | None = field(default=None, repr=False)


def decide(
    delivery: Delivery, outcome: Outcome, terms: Terms, *, asked: bool, targets_fault: bool, at: datetime, chance: float
) -> Decision:
    """The row of the table for this outcome.

    delivery: as claimed (``in_doubt`` as it was before the claim), or as ``not_there`` left it. asked: it is the answer
    of ``find``, nothing was sent. targets_fault: the breaker says that this refusal or block is not about the document.
    """
    match outcome:
        case sdk.Acknowledgement():
            return _confirm(delivery, outcome, at)
        case sdk.HandedOver():
            return _hand_over(delivery, outcome, terms, at)
        case sdk.NotThere():
            raise ValueError("NotThere is followed by sending, not by a decision")
        case sdk.StillOpen():
            return still_open(delivery, terms, at=at, next_at=at + outcome.ask_after)
        case sdk.Refused():
            kind = "held" if targets_fault else DeadClass.REFUSED
            why = Why(Said.REFUSED, kind, outcome.code, outcome.xpath, outcome.reason)
            refused = not_there(delivery)
            if targets_fault:
                return try_later(refused, why, terms, at, chance)
            return give_up(refused, DeadClass.REFUSED, why, at=at)
        case sdk.Blocked():
            why = Why(Said.BLOCKED, BLOCKED, BLOCKED, reason=outcome.reason)
            if targets_fault or asked:
                return try_later(delivery, why, terms, at, chance)
            return give_up(delivery, DeadClass.REFUSED, why, at=at)
        case sdk.Unavailable():
            why = Why(Said.UNAVAILABLE, "asked" if asked else "unavailable", reason=outcome.reason)
            return try_later(delivery, why, terms, at, chance, retry_after=outcome.after)
        case sdk.InDoubt():
            why = Why(Said.IN_DOUBT, "asked" if asked else "doubtful", reason=outcome.reason)
            return try_later(delivery, why, terms, at, chance) if asked else _doubt(delivery, why, terms, at, chance)
        case Defect():
            return _defect(delivery, outcome, terms, asked, at, chance)
    raise TypeError(type(outcome).__name__)


def not_there(delivery: Delivery) -> Delivery:
    """The target has nothing of it, by its own word: the doubt is over, a hand-over void, and it may be sent."""
    memory = Memory.of(delivery)
    cleared = replace(delivery, in_doubt=False, outcome=replace(memory, token=None).written())
    return cleared if memory.token is None else replace(cleared, failing_since=None, give_up_at=None)


def still_open(delivery: Delivery, terms: Terms, *, at: datetime, next_at: datetime) -> Decision:
    """The target has not decided. Only the time to wait for it runs; asking is no failure."""
    handed_over = token_of(delivery) is not None
    span = terms.confirm_within if handed_over else terms.policy.give_up_after
    give_up_at = delivery.give_up_at or terms.after_open_time(at, span)
    why = Why(Said.STILL_OPEN, "open")
    if at >= give_up_at:
        return give_up(delivery, class_at_the_end(delivery), why, at=at)
    return _postpone(delivery, why, at, next_at=min(next_at, give_up_at), give_up_at=give_up_at, memory=Memory.of(delivery))


def token_of(delivery: Delivery) -> str | None:
    """What an earlier ``HandedOver`` left for ``find``."""
    return Memory.of(delivery).token


@dataclass(frozen=True, slots=True)
class Why:
    """Why it waits or is dead. kind: word of ``causes``. The rest is what the target said."""

    said: Said
    kind: str
    code: str | None = None
    place: str | None = field(default=None, repr=False)
    reason: str | None = field(default=None, repr=False)

    def cause(self, target: str | None) -> Cause:
        return cause_of(self.kind, target=target, code=self.code, place=self.place, reason=self.reason)


def give_up(delivery: Delivery, dead_class: DeadClass, why: Why, *, at: datetime, **changes: Any) -> Decision:
    """A dead letter. What was in doubt stays so, whatever the class: nobody may send it elsewhere meanwhile."""
    kind = dead_class if why.kind in _WAITING_WORDS else why.kind
    cause = replace(why, kind=kind).cause(delivery.target)
    after = advance(
        delivery, Event.GIVE_UP, at=at, dead_class=dead_class, code=cause.code, cause=cause.hash,
        cause_text=text_of(cause, reason=why.reason, place=why.place), **changes,
    )  # fmt: skip
    return Decision(Event.GIVE_UP, after, why.said, _private(why))


def class_at_the_end(delivery: Delivery) -> DeadClass:
    """What it is called when patience ends."""
    if token_of(delivery) is not None:
        return DeadClass.UNCONFIRMED
    return DeadClass.IN_DOUBT if delivery.in_doubt else DeadClass.EXHAUSTED


def waits_for(delivery: Delivery, *, idempotent: bool, otherwise: WaitingFor = WaitingFor.TURN) -> WaitingFor:
    if token_of(delivery) is not None:
        return WaitingFor.CONFIRMATION
    return WaitingFor.LOOKUP if delivery.in_doubt and not idempotent else otherwise


def try_later(
    delivery: Delivery, why: Why, terms: Terms, at: datetime, chance: float, *,
    retry_after: timedelta | None = None, at_least: timedelta = timedelta(), memory: Memory | None = None,
) -> Decision:  # fmt: skip
    """Backoff, or the end of patience. The last attempt is made when patience ends, not an hour later and not never."""
    give_up_at = delivery.give_up_at or terms.after_open_time(at, terms.policy.give_up_after)
    if at >= give_up_at:
        return give_up(delivery, class_at_the_end(delivery), why, at=at)
    memory = memory or Memory.of(delivery)
    memory = replace(memory, failures=memory.failures + 1)
    next_at = terms.policy.next_attempt(memory.failures, now=at, chance=chance, retry_after=retry_after)
    if retry_after is None:
        next_at = min(next_at, give_up_at)
    next_at = max(next_at, at + at_least)
    waits = waits_for(delivery, idempotent=terms.idempotent, otherwise=WaitingFor.BACKOFF)
    return _postpone(delivery, why, at, next_at=next_at, give_up_at=give_up_at, memory=memory, waits=waits)


# --- rows of the table -----------------------------------------------------------------------------------------------


def _confirm(delivery: Delivery, acknowledgement: sdk.Acknowledgement, at: datetime) -> Decision:
    after = advance(
        delivery, Event.CONFIRM, at=at, in_doubt=False, case_number=acknowledgement.case_number,
        outcome=dict(acknowledgement.facts) or None, failing_since=None, give_up_at=None, code=None, cause=None, cause_text=None,
    )  # fmt: skip
    return Decision(Event.CONFIRM, after, Said.ACKNOWLEDGED)


def _hand_over(delivery: Delivery, handed: sdk.HandedOver, terms: Terms, at: datetime) -> Decision:
    """Still in doubt: the transport has it, and nothing proves that the case system does not."""
    cause = cause_of("handed_over", target=delivery.target)
    give_up_at = terms.after_open_time(at, terms.confirm_within)
    asked_at = at + min(handed.ask_after, terms.confirm_within)  # whatever it says: at least once before patience ends
    after = advance(
        delivery, Event.HAND_OVER, at=at, in_doubt=True,
        waiting_for=WaitingFor.CONFIRMATION, next_attempt_at=asked_at,
        outcome=Memory(token=handed.token).written(), failing_since=None, give_up_at=give_up_at,
        code=None, cause=None, cause_text=text_of(cause),
    )  # fmt: skip
    return Decision(Event.HAND_OVER, after, Said.HANDED_OVER)


def _doubt(
    delivery: Delivery, why: Why, terms: Terms, at: datetime, chance: float, *, memory: Memory | None = None
) -> Decision:
    """Something may have arrived. Asked not sooner than ``settle``: the target may still be working on it."""
    doubtful = replace(delivery, in_doubt=True)
    if terms.idempotent:
        return try_later(doubtful, why, terms, at, chance, memory=memory)
    if terms.can_find:
        return try_later(doubtful, why, terms, at, chance, memory=memory, at_least=terms.settle)
    return give_up(doubtful, DeadClass.IN_DOUBT, why, at=at)


def _defect(delivery: Delivery, defect: Defect, terms: Terms, asked: bool, at: datetime, chance: float) -> Decision:
    memory = Memory.of(delivery)
    equal = memory.defects + 1 if memory.defect == defect.fingerprint else 1
    memory = replace(memory, defect=defect.fingerprint, defects=equal)
    why = Why(Said.DEFECT, defect.code or "defective", defect.code or f"{defect.kind}:{defect.fingerprint[:4]}")
    if equal >= EQUAL_DEFECTS:
        return give_up(replace(delivery, in_doubt=delivery.in_doubt or not asked), DeadClass.DEFECT, why, at=at)
    if asked:
        return try_later(delivery, why, terms, at, chance, memory=memory)
    return _doubt(delivery, why, terms, at, chance, memory=memory)


def _postpone(
    delivery: Delivery, why: Why, at: datetime, *, next_at: datetime, give_up_at: datetime, memory: Memory,
    waits: WaitingFor | None = None,
) -> Decision:  # fmt: skip
    cause = why.cause(delivery.target)
    after = advance(
        delivery, Event.POSTPONE, at=at, waiting_for=waits or waits_for(delivery, idempotent=False), next_attempt_at=next_at,
        failing_since=delivery.failing_since or at, give_up_at=give_up_at, outcome=memory.written(),
        code=cause.code, cause=None, cause_text=text_of(cause, reason=why.reason, place=why.place),
    )  # fmt: skip
    return Decision(Event.POSTPONE, after, why.said, _private(why))


def _private(why: Why) -> Mapping[str, str] | None:
    return {"said": why.reason} if why.reason else None


_WAITING_WORDS = frozenset({"unavailable", "doubtful", "asked", "open", "held", "defective"})


@dataclass(frozen=True, slots=True)
class Memory:
    """What ``Delivery.outcome`` holds while a delivery is not delivered.

    token: of a hand-over. failures: in a row, for the backoff. defect, defects: fingerprint of the last defect and how
    often it came in a row.
    """

    token: str | None = field(default=None, repr=False)
    failures: int = 0
    defect: str | None = None
    defects: int = 0

    @classmethod
    def of(cls, delivery: Delivery) -> Memory:
        known = delivery.outcome or {}
        return cls(known.get("token"), known.get("failures", 0), known.get("defect"), known.get("defects", 0))

    def written(self) -> Mapping[str, Any] | None:
        pairs = {"token": self.token, "failures": self.failures, "defect": self.defect, "defects": self.defects}
        return {name: value for name, value in pairs.items() if value} or None
