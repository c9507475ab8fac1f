"""Connectors that misbehave, and troubles of our own, block only themselves (P6)."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors import sdk
from gateway.ports import Breaker, Change, JournalUnavailable
from gateway.submission import DeadClass, State, WaitingFor
from tests.clock import TurnableClock
from tests.deliveries import a_delivery, a_submission
from tests.deployments import ON_ALL
from tests.story.engine import AskableSystem, Engine, live, running

pytestmark = ON_ALL

SECONDS, MINUTES, HOURS = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


# --- poison connectors


class Quits(BaseException):
    pass


async def _cancelled(envelope: sdk.Envelope) -> None:
    raise asyncio.CancelledError


async def _group(envelope: sdk.Envelope) -> None:
    raise BaseExceptionGroup("two", [KeyError("a"), SystemExit(3)])


ERRORS = [SystemExit(1), KeyboardInterrupt(), Quits(), GeneratorExit(), MemoryError(), RecursionError()]


@pytest.mark.parametrize(
    "poison", [*ERRORS, _cancelled, _group, None, "201"], ids=lambda value: getattr(value, "__name__", type(value).__name__)
)
async def test_whatever_a_connector_raises_or_returns_blocks_only_itself(
    tmp_path: Path, clock: TurnableClock, poison: Any
) -> None:
    bad, good = AskableSystem(), AskableSystem()
    bad.script.extend([poison if callable(poison) or isinstance(poison, BaseException) else lambda envelope: poison] * 3)
    async with running(tmp_path, clock, [live("bad", bad), live("good", good)]) as engine:
        doomed = await engine.accept(target="bad")
        others = [await engine.accept(target="good") for _ in range(20)]
        for delivery in others:
            await engine.until_state(delivery, State.DELIVERED)
        for attempt in range(1, 3):
            waiting = await engine.until_tried(doomed, attempt)
            assert (waiting.state, waiting.in_doubt) == (State.PENDING, True)
            await engine.turn(3 * MINUTES)
        dead = await engine.until_state(doomed, State.DEAD)

    assert (dead.dead_class, dead.in_doubt, dead.attempts) == (DeadClass.DEFECT, True, 3)
    assert bad.log == [("send", doomed.id), ("find", doomed.id), ("send", doomed.id), ("find", doomed.id), ("send", doomed.id)]


async def test_a_connector_that_hangs_blocks_only_itself(tmp_path: Path, clock: TurnableClock) -> None:
    async def hang(envelope: sdk.Envelope) -> None:
        await asyncio.Event().wait()

    bad, good = AskableSystem(timeout=0.2), AskableSystem()
    bad.script.append(hang)
    async with running(tmp_path, clock, [live("bad", bad, concurrency=1), live("good", good)]) as engine:
        stuck = await engine.accept(target="bad")
        for delivery in [await engine.accept(target="good") for _ in range(20)]:
            await engine.until_state(delivery, State.DELIVERED)

        waiting = await engine.until_tried(stuck, 1)
        assert (waiting.waiting_for, waiting.in_doubt) == (WaitingFor.LOOKUP, True)


@pytest.mark.parametrize("how", ["sleeps", "spins"])
async def test_a_connector_that_halts_the_program_is_interrupted_and_left_alone(
    tmp_path: Path, clock: TurnableClock, how: str
) -> None:
    async def halt(envelope: sdk.Envelope) -> None:
        if how == "sleeps":
            time.sleep(30)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            pass

    bad, good = AskableSystem(), AskableSystem()
    bad.script.extend([halt] * 10)
    async with running(tmp_path, clock, [live("bad", bad), live("good", good)], blocked_after=0.2) as engine:
        began = time.monotonic()
        stuck = await engine.accept(target="bad")
        waiting = await engine.until_tried(stuck, 1)
        await engine.accept(target="bad")
        for delivery in [await engine.accept(target="good") for _ in range(20)]:
            await engine.until_state(delivery, State.DELIVERED)

        assert time.monotonic() - began < 5
        assert (waiting.state, waiting.code, waiting.in_doubt) == (State.PENDING, "blocks-the-loop", True)
        assert (await engine.journal.target_states())["bad"].breaker is Breaker.OPEN
        assert len(bad.log) == 1


# --- our own troubles


async def test_an_outcome_is_remembered_while_the_journal_is_away(
    engine: Engine, register: AskableSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance_really, refusals = engine.journal.advance, iter(range(3))

    async def away_at_first(*changes: Change) -> bool:
        if next(refusals, None) is not None:
            raise JournalUnavailable("disk full", full=True)
        return await advance_really(*changes)

    monkeypatch.setattr(engine.journal, "advance", away_at_first)
    delivery = await engine.accept()
    for _ in range(4):
        await engine.turn(SECONDS)

    assert (await engine.until_state(delivery, State.DELIVERED)).case_number == "2026/1"
    assert register.log == [("send", delivery.id)]


async def test_a_document_that_cannot_be_read_is_not_sent_and_stops_nobody_else(
    engine: Engine, register: AskableSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = a_delivery(submission := a_submission())
    body_really = engine.journal.body

    async def unreadable(submission_id: str, no: int) -> bytes:
        if submission_id == submission.id:
            raise LookupError
        return await body_really(submission_id, no)

    monkeypatch.setattr(engine.journal, "body", unreadable)
    await engine.accept_all(submission, damaged)
    waiting = await engine.until_tried(damaged, 1)
    await engine.until_state(await engine.accept(), State.DELIVERED)

    assert (waiting.state, waiting.code, waiting.in_doubt) == (State.PENDING, "unreadable", False)
    assert register.sent(damaged) == 0
