"""When a target is left alone, and when it is tried again. Pure: state in, change out; the caller writes it.

A dead target is one alarm, not ten thousand dead letters (P6). The breaker opens when five *different* deliveries have
failed in a row, so that one poison message that always ends in a 500 never stops the others; it is durable, and it
is one for all instances. While it is open, one delivery at a time probes, after 30 s and then ever more rarely, up to
5 min. Pause and breaker may overlap: the time for which a target stood still is counted once, when the last of them ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from gateway.ports import Breaker, TargetChange, TargetState
from gateway.submission import WaitingFor

OPENS_AT = 5
FIRST_PROBE = timedelta(seconds=30)
RAREST_PROBE = timedelta(minutes=5)
PROBE_PATIENCE = timedelta(minutes=2)
"""If a probe has brought no verdict for this long, another may go."""


class Kind(StrEnum):
    DOWN = "down"
    BLOCKED = "blocked"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed delivery says about its target.

    cause: hash of the cause group; equal refusals are those with an equal cause. at_once: proven to be the target's
    fault, not the document's (``check`` failed too, the connector halts the process). code: for the alarm.
    """

    kind: Kind
    delivery_id: str
    code: str
    cause: bytes = b""
    at_once: bool = False


def after_failure(state: TargetState, failure: Failure, *, at: datetime, actor: str) -> TargetChange | None:
    """The change that this failure makes, if any."""
    if state.breaker is Breaker.CLOSED:
        members = _members(state, failure) | {_mark(failure.delivery_id)}
        if opens(state, failure):
            after = replace(
                state,
                breaker=Breaker.OPEN,
                breaker_cause=failure.code,
                breaker_since=at,
                probe_at=at + FIRST_PROBE,
                streak=max(len(members), OPENS_AT),
                streak_cause=_streak_cause(failure, members),
            )
            return _change(state, after, "open", at, actor, {"kind": failure.kind, "code": failure.code})
        if len(members) == state.streak and is_equal(state, failure):
            return None  # the same deliveries failing again prove nothing new
        return _change(
            state, replace(state, streak=len(members), streak_cause=_streak_cause(failure, members)), "streak", at, actor
        )
    if state.breaker is Breaker.OPEN:
        return None  # sent before it opened
    if failure.kind is Kind.REFUSED and not is_equal(state, failure):
        return _closed(state, at, actor, streak=1, streak_cause=_streak_cause(failure, {_mark(failure.delivery_id)}))
    wait = min(FIRST_PROBE * 2 ** min(state.streak + 1 - OPENS_AT, 10), RAREST_PROBE)
    after = replace(state, breaker=Breaker.OPEN, probe_at=at + wait, streak=state.streak + 1)
    return _change(
        state, after, "open", at, actor, {"kind": failure.kind, "code": failure.code, "probe": state.streak + 1 - OPENS_AT}
    )


def after_success(state: TargetState, *, at: datetime, actor: str) -> TargetChange | None:
    """The target has taken a delivery."""
    if state.breaker is not Breaker.CLOSED:
        return _closed(state, at, actor)
    if state.streak:
        return _change(state, replace(state, streak=0, streak_cause=None), "streak", at, actor)
    return None


def probe(state: TargetState, *, at: datetime, actor: str) -> TargetChange | None:
    """Let one delivery through, if it is time."""
    if state.breaker is Breaker.CLOSED or state.probe_at is None or state.probe_at > at:
        return None
    return _change(state, replace(state, breaker=Breaker.PROBING, probe_at=at + PROBE_PATIENCE), "probe", at, actor)


def probe_lost(state: TargetState, *, at: datetime, actor: str) -> TargetChange | None:
    """The process that probed is dead: nobody will bring a verdict, so another may go now."""
    if state.breaker is not Breaker.PROBING:
        return None
    return _change(state, replace(state, breaker=Breaker.OPEN, probe_at=at), "probe", at, actor, {"lost": True})


def pause(state: TargetState, *, at: datetime, actor: str, reason: str, until: datetime | None) -> TargetChange:
    """Paused by a person. Paused again: the new reason and end, the old beginning."""
    after = replace(state, paused_reason=reason, paused_at=state.paused_at or at, paused_until=until)
    return _change(state, after, "pause", at, actor, {"until": until.isoformat() if until else None}, private={"reason": reason})


def resume(
    state: TargetState, *, at: datetime, actor: str, reason: str = "", probe_now: bool = False
) -> TargetChange | None:
    """``None`` if there is nothing to resume. A breaker that is still open goes on counting the time it stands still.

    probe_now: somebody has repaired the target; an open breaker need not wait for its next probe.
    """
    open_still = state.breaker is not Breaker.CLOSED
    if state.paused_at is None and not (open_still and probe_now):
        return None
    began = min(state.paused_at or at, state.breaker_since or at)
    after = replace(state, paused_reason=None, paused_at=None, paused_until=None)
    private = {"reason": reason} if reason else None
    if open_still:
        after = replace(after, breaker_since=began, probe_at=at if probe_now else state.probe_at)
        return _change(state, after, "resume", at, actor, private=private)
    return _change(state, after, "resume", at, actor, private=private, stood_still=at - began)


def was_down(state: TargetState, *, since: datetime, at: datetime, actor: str) -> TargetChange | None:
    """We were not running. Where a pause or an open breaker counts the time anyway, there is nothing to add."""
    if state.paused_at is not None or state.breaker is not Breaker.CLOSED:
        return None
    return _change(state, state, "restart", at, actor, {"since": since.isoformat()}, stood_still=at - since)


def opens(state: TargetState, failure: Failure) -> bool:
    """Would this failure open the breaker, or is it open already?"""
    if state.breaker is not Breaker.CLOSED:
        return True
    members = _members(state, failure) | {_mark(failure.delivery_id)}
    return failure.at_once or len(members) >= (2 if failure.kind is Kind.BLOCKED else OPENS_AT)


def is_equal(state: TargetState, failure: Failure) -> bool:
    """Is this the failure that the streak, or the open breaker, is made of?"""
    return (state.streak_cause or b"")[:8] == _tag(failure)


def kind_of(state: TargetState) -> Kind | None:
    """What opened the breaker; ``None`` while it is closed."""
    if state.breaker is Breaker.CLOSED:
        return None
    return next((kind for kind in (Kind.DOWN, Kind.BLOCKED) if is_equal(state, Failure(kind, "", ""))), Kind.REFUSED)


def is_targets_fault(state: TargetState, failure: Failure) -> bool:
    """Must this delivery wait instead of becoming a dead letter? Refusals equal to those that opened the breaker are not
    held against the document; the fifth in a row, which opens it, still is one."""
    if failure.kind is Kind.REFUSED:
        return state.breaker is not Breaker.CLOSED and is_equal(state, failure)
    return opens(state, failure)


def is_paused(state: TargetState, at: datetime) -> bool:
    return state.paused_at is not None and (state.paused_until is None or state.paused_until > at)


def held_by(state: TargetState, *, closed: bool, at: datetime) -> WaitingFor | None:
    """Why nothing goes to this target now."""
    if is_paused(state, at):
        return WaitingFor.PAUSED
    if closed:
        return WaitingFor.WINDOW
    return WaitingFor.BREAKER if state.breaker is not Breaker.CLOSED else None


def _closed(state: TargetState, at: datetime, actor: str, *, streak: int = 0, streak_cause: bytes | None = None) -> TargetChange:
    began = state.breaker_since or at
    after = replace(
        state,
        breaker=Breaker.CLOSED,
        breaker_cause=None,
        breaker_since=None,
        probe_at=None,
        streak=streak,
        streak_cause=streak_cause,
    )
    if state.paused_at is not None:
        return _change(state, replace(after, paused_at=min(state.paused_at, began)), "close", at, actor)
    return _change(state, after, "close", at, actor, stood_still=at - began)


def _change(
    before: TargetState,
    after: TargetState,
    event: str,
    at: datetime,
    actor: str,
    facts: Mapping[str, Any] | None = None,
    *,
    private: Mapping[str, str] | None = None,
    stood_still: timedelta | None = None,
) -> TargetChange:
    return TargetChange(
        before=before,
        after=replace(after, revision=before.revision + 1),
        event=event,
        at=at,
        actor=actor,
        facts=facts or {},
        private=private,
        stood_still=stood_still,
    )


# streak_cause: 8 bytes say what kind of failure, 4 more for each different delivery that had it. Durable, and no names.


def _tag(failure: Failure) -> bytes:
    cause = failure.cause if failure.kind is Kind.REFUSED else b""
    return hashlib.sha256(failure.kind.encode() + b"\0" + cause).digest()[:8]


def _mark(delivery_id: str) -> bytes:
    return hashlib.sha256(delivery_id.encode()).digest()[:4]


def _members(state: TargetState, failure: Failure) -> set[bytes]:
    if not is_equal(state, failure):
        return set()
    marks = (state.streak_cause or b"")[8:]
    return {marks[n : n + 4] for n in range(0, len(marks), 4)}


def _streak_cause(failure: Failure, members: set[bytes]) -> bytes:
    return _tag(failure) + b"".join(sorted(members)[:OPENS_AT])
