"""What attempts say about their target, added up for the breaker. ``verdict`` is pure; ``Reckoning`` writes."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

import structlog

from connectors import sdk
from gateway.attempts import breaker
from gateway.attempts.breaker import Failure, Kind
from gateway.attempts.outcomes import BLOCKED, BLOCKS_LOOP, Defect, Outcome
from gateway.attempts.standing import Standing
from gateway.causes import cause_of
from gateway.logfields import LogEvent
from gateway.ports import Breaker, Clock, TargetChange, TargetState
from gateway.site import TargetConfig
from gateway.submission import DeadClass, Delivery

log = structlog.get_logger("nahtlos.delivery")

RECHECK = timedelta(seconds=1)


class Good(Enum):
    """TAKEN: it has taken a delivery. ANSWERS: it could be asked, which ends a probe but not a streak of timeouts."""

    TAKEN = "taken"
    ANSWERS = "answers"


def verdict(delivery: Delivery, outcome: Outcome, *, asked: bool, check_fails: bool) -> Failure | Good:
    match outcome:
        case sdk.Acknowledgement() | sdk.HandedOver():
            return Good.TAKEN
        case sdk.StillOpen() | sdk.NotThere():
            return Good.ANSWERS
        case sdk.Refused():
            if asked:
                return Good.ANSWERS
            cause = cause_of(
                DeadClass.REFUSED, target=delivery.target, code=outcome.code, place=outcome.xpath, reason=outcome.reason
            )
            return Failure(Kind.REFUSED, delivery.id, cause.code or "refused", cause.hash)
        case sdk.Blocked():
            return Failure(Kind.BLOCKED, delivery.id, BLOCKED, at_once=check_fails)
        case sdk.Unavailable():
            return Failure(Kind.DOWN, delivery.id, "unavailable")
        case sdk.InDoubt():
            return Failure(Kind.DOWN, delivery.id, "in_doubt")
        case Defect():
            return Failure(Kind.DOWN, delivery.id, outcome.code or outcome.kind, at_once=outcome.code == BLOCKS_LOOP)


class Reckoning:
    """Of one worker."""

    def __init__(self, *, standing: Standing, clock: Clock, actor: str) -> None:
        self._clock, self._actor, self._standing = clock, actor, standing

    async def held_until(self, config: TargetConfig) -> datetime | None:
        """Not now: the target is paused, in a maintenance window, or its breaker is open. ``None``: go on."""
        at = self._clock.now()
        if config.closed and config.is_closed(at):
            return config.opens_at(at) or at + timedelta(hours=1)
        if not _holds(await self._standing.of(config.name), at):
            return None
        await self._standing.reload()  # the dispatcher knew better a moment ago
        state = await self._standing.of(config.name)
        return at + RECHECK if _holds(state, at) else None

    async def is_probing(self, name: str) -> bool:
        return (await self._standing.of(name)).breaker is Breaker.PROBING

    async def count(self, name: str, found: Failure | Good) -> bool:
        """Adds it up; True if the fault is the target's and the delivery has to wait rather than to be given up."""
        at, fault = self._clock.now(), False

        def decide(state: TargetState) -> TargetChange | None:
            nonlocal fault
            if isinstance(found, Failure):
                fault = breaker.is_targets_fault(state, found)
                return breaker.after_failure(state, found, at=at, actor=self._actor)
            if found is Good.ANSWERS and state.breaker is not Breaker.PROBING:
                return None
            return breaker.after_success(state, at=at, actor=self._actor)

        change = await self._standing.change(name, decide)
        if change is not None and change.event in ("open", "close"):
            log.warning(LogEvent.BREAKER, target=name, change=change.event, code=change.after.breaker_cause)
        return fault


def _holds(state: TargetState, at: datetime) -> bool:
    return breaker.is_paused(state, at) or state.breaker is Breaker.OPEN
