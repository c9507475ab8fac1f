"""Leases, crashes and stopping: what was in flight when a process died (P3)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors import sdk
from gateway.ports import Change
from gateway.submission import DeadClass, Event, State, WaitingFor, advance
from tests.clock import TurnableClock
from tests.deployments import ON_ALL
from tests.story.engine import AskableSystem, CaseSystem, Engine, live, running

pytestmark = ON_ALL

SECONDS, MINUTES, HOURS = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


# --- leases, crashes, stopping


async def test_a_worker_that_lost_its_lease_cannot_overwrite(
    engine: Engine, clock: TurnableClock, register: AskableSystem
) -> None:
    gate = asyncio.Event()

    async def late(envelope: sdk.Envelope) -> sdk.Acknowledgement:
        await gate.wait()
        return sdk.Acknowledgement("late")

    register.script.append(late)
    delivery = await engine.accept()
    running_now = await engine.until_state(delivery, State.DELIVERING)
    taken_over = advance(
        running_now, Event.LAPSE, at=clock.now(), in_doubt=True,
        waiting_for=WaitingFor.LOOKUP, next_attempt_at=clock.now() + HOURS,
    )  # fmt: skip
    assert await engine.journal.advance(Change(running_now, taken_over, Event.LAPSE, clock.now(), "gateway-9"))

    gate.set()
    async with asyncio.timeout(5):
        while not engine.reports:
            await asyncio.sleep(0.005)

    assert (engine.reports[0].outcome, engine.reports[0].state) == ("late", None)
    assert await engine.now(delivery) == taken_over


async def test_after_a_crash_what_was_in_flight_is_looked_up_and_what_waited_is_sent_once(
    engine: Engine, register: AskableSystem
) -> None:
    async def taken_but_never_answered(envelope: sdk.Envelope) -> None:
        register.take(envelope)
        await asyncio.Event().wait()

    register.script.extend([taken_but_never_answered] * 4)
    deliveries = [await engine.accept() for _ in range(10)]
    async with asyncio.timeout(5):
        while len(register.log) < 4:
            await asyncio.sleep(0.005)

    await engine.kill()
    await engine.start()
    for _ in range(10):
        await engine.turn(61 * SECONDS)
    for delivery in deliveries:
        await engine.until_state(delivery, State.DELIVERED)

    assert register.doubled == []
    assert len(register.kept) == 10
    assert [(await engine.now(one)).crashes for one in deliveries].count(1) == 4


async def test_the_third_crash_of_one_delivery_is_poison_and_the_innocent_get_through(
    engine: Engine, register: AskableSystem
) -> None:
    deliveries = [await engine.accept() for _ in range(3)]
    guilty = deliveries[1]
    crashed = asyncio.Event()

    async def crash(envelope: sdk.Envelope) -> sdk.Acknowledgement:
        if envelope.delivery_id == guilty.id:
            crashed.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0.05)
        return register.take(envelope)

    register.script.extend([crash] * 1000)
    for _ in range(3):
        for _ in range(4):
            if not await _set_within(crashed, 0.5):
                await engine.turn(61 * SECONDS)
        await engine.kill()
        crashed.clear()
        await engine.start()
    if not engine.deployment.alone:  # it could be another process that holds the lease: it has to run out
        await engine.turn(61 * SECONDS)
    dead = await engine.until_state(guilty, State.DEAD)
    for _ in range(4):
        await engine.turn(61 * SECONDS)

    assert dead.dead_class is DeadClass.POISON
    for delivery in (deliveries[0], deliveries[2]):
        await engine.until_state(delivery, State.DELIVERED)
    assert register.doubled == []


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


async def test_what_has_crashed_once_runs_alone(tmp_path: Path, clock: TurnableClock) -> None:
    systems = {name: AskableSystem() for name in ("register", "wohngeld")}
    seen: list[tuple[bool, int]] = []

    def watching(system: AskableSystem) -> Any:
        async def deliver(envelope: sdk.Envelope) -> sdk.Acknowledgement:
            crashed = envelope.delivery_id in suspects
            suspects_running.update({envelope.delivery_id} if crashed else ())
            seen.append((crashed, system.running if crashed else 0))
            assert len(suspects_running) <= 1
            await asyncio.sleep(0.01)
            suspects_running.discard(envelope.delivery_id)
            return system.take(envelope)

        return deliver

    suspects: set[str] = set()
    suspects_running: set[str] = set()
    targets = [live(name, system, concurrency=8) for name, system in systems.items()]
    for system in systems.values():
        system.script.extend([watching(system)] * 100)
    async with running(tmp_path, clock, targets) as engine:
        for name in systems:
            await engine.operator.pause(name, actor="operator:anna", reason="Aufbau")
        await engine.turn(SECONDS)
        deliveries = [await engine.accept(target=name, crashes=n % 2) for name in systems for n in range(12)]
        suspects |= {delivery.id for delivery in deliveries if delivery.crashes}
        for name in systems:
            await engine.operator.resume(name, actor="operator:anna", reason="los")
        await engine.turn(2 * SECONDS)
        for delivery in deliveries:
            await engine.until_state(delivery, State.DELIVERED)

    assert [running for crashed, running in seen if crashed] == [1] * 12


async def test_stopping_lets_running_attempts_finish(engine: Engine, register: AskableSystem) -> None:
    async def slowly(envelope: sdk.Envelope) -> sdk.Acknowledgement:
        await asyncio.sleep(0.1)
        return register.take(envelope)

    register.script.append(slowly)
    delivery = await engine.accept()
    await engine.until_state(delivery, State.DELIVERING)

    await engine.stop(grace=5)

    assert (await engine.now(delivery)).state is State.DELIVERED
    await engine.start()


async def test_stopping_gives_leases_back_and_leaves_doubt_not_crashes(engine: Engine, register: AskableSystem) -> None:
    async def forever(envelope: sdk.Envelope) -> None:
        await asyncio.Event().wait()

    register.script.append(forever)
    delivery = await engine.accept()
    await engine.until_state(delivery, State.DELIVERING)

    began = time.monotonic()
    await engine.stop(grace=0.05)
    stopped = await engine.now(delivery)

    assert time.monotonic() - began < 2
    assert (stopped.state, stopped.in_doubt, stopped.crashes) == (State.PENDING, True, 0)
    assert stopped.waiting_for is WaitingFor.LOOKUP
    await engine.start()
    await engine.turn(61 * SECONDS)
    await engine.until_state(delivery, State.DELIVERED)
    assert register.log == [("send", delivery.id), ("find", delivery.id), ("send", delivery.id)]


async def test_what_a_case_system_has_said_is_written_also_when_we_stop_just_then(
    tmp_path: Path, clock: TurnableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be asked again: the answer that has come is all there will ever be."""
    system = CaseSystem()
    async with running(tmp_path, clock, [live(connector=system)]) as engine:
        reckoning = asyncio.Event()

        async def slow() -> Any:
            reckoning.set()
            await asyncio.Event().wait()

        def answer(envelope: sdk.Envelope) -> sdk.Acknowledgement:
            clock.turn(SECONDS)  # so that how the targets stand is read again, for the breaker
            monkeypatch.setattr(engine.journal, "target_states", slow)
            return system.take(envelope)

        system.script.append(answer)
        delivery = await engine.accept()
        await asyncio.wait_for(reckoning.wait(), 10)
        await engine.stop(grace=0.1)
        monkeypatch.undo()

        now = await engine.now(delivery)
        assert (now.state, now.case_number) == (State.DELIVERED, "2026/1")


async def test_what_was_claimed_while_we_stopped_is_given_back_without_doubt(
    tmp_path: Path, clock: TurnableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit was on its way when the grace was over."""
    system = CaseSystem()
    async with running(tmp_path, clock, [live(connector=system)]) as engine:
        genuine, asked = engine.journal.claim, asyncio.Event()

        async def slow(*wanted: Any, **named: Any) -> Any:
            claimed = await genuine(*wanted, **named)
            asked.set()
            await asyncio.sleep(0.5)
            return claimed

        monkeypatch.setattr(engine.journal, "claim", slow)
        delivery = await engine.accept()
        await asyncio.wait_for(asked.wait(), 10)
        await engine.stop(grace=0.1)
        monkeypatch.undo()

        now = await engine.now(delivery)
        assert (now.state, now.in_doubt, now.crashes, now.attempts) == (State.PENDING, False, 0, 0)
        assert system.log == []
