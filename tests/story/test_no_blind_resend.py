"""P3 against chance: whatever case systems, crashes and restarts do, nothing is lost and nothing is sent blindly."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path

import pytest

from connectors import sdk
from gateway.attempts import unfinished
from gateway.submission import Delivery, State
from tests.clock import TurnableClock
from tests.story.engine import AskableSystem, Engine, live, running


class Unreliable(AskableSystem):
    """Takes what it is sent, or not, and says so, or not. Its log tells for every send whether it was told the truth."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(timeout=0.2)
        self.chance = chance
        self.calm = False
        self.doubtful: set[str] = set()
        self.blind: list[str] = []

    async def deliver(self, envelope: sdk.Envelope, target: sdk.Target) -> sdk.Acknowledgement | sdk.HandedOver:
        one = envelope.delivery_id
        if one in self.doubtful:
            self.blind.append(one)
        self.log.append(("send", one))
        self.doubtful.add(one)  # until it has answered
        what = 0 if self.calm else self.chance.randrange(10)
        await asyncio.sleep(self.chance.random() * 0.005)
        if what in (1, 2):
            self.doubtful.discard(one)
            raise sdk.Unavailable("503") if what == 1 else sdk.Blocked("403")
        if what == 3:
            raise sdk.InDoubt("reset before it was taken")
        if what == 4:
            await asyncio.sleep(60)
        answer = self.take(envelope)
        if what == 5:
            raise sdk.InDoubt("reset after it was taken")
        if what == 6:
            raise KeyError("no such field in the answer")
        if what == 7:
            await asyncio.sleep(60)
        self.doubtful.discard(one)
        if what == 8:
            return sdk.HandedOver("token", ask_after=timedelta(seconds=30))
        return answer

    async def find(self, envelope: sdk.Envelope, target: sdk.Target) -> sdk.Acknowledgement | sdk.NotThere | sdk.StillOpen:
        self.log.append(("find", envelope.delivery_id))
        what = 0 if self.calm else self.chance.randrange(6)
        if what == 1:
            raise sdk.Unavailable("503")
        if what == 2:
            raise sdk.InDoubt("timeout")
        if what == 3:
            return sdk.StillOpen(timedelta(minutes=1))
        self.doubtful.discard(envelope.delivery_id)
        number = self.kept.get(envelope.delivery_id)
        return sdk.Acknowledgement(number) if number else sdk.NotThere()


@pytest.mark.parametrize("seed", range(4))
async def test_every_case_is_there_once_after_any_mixture_of_faults_crashes_and_restarts(tmp_path: Path, seed: int) -> None:
    system, deliveries = await _a_bad_day(tmp_path, seed)

    assert system.blind == []
    assert system.doubled == []
    for delivery in deliveries:
        # A dead letter is a person's; what is neither there nor dead would be lost.
        assert delivery.state in (State.DELIVERED, State.DEAD)
        assert delivery.state is State.DEAD or delivery.id in system.kept
        assert delivery.received_at == deliveries[0].received_at
    assert sum(delivery.state is State.DELIVERED for delivery in deliveries) >= 12


async def test_the_same_day_shows_it_when_doubt_is_not_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "first_step", lambda *arguments, **named: unfinished.Step.SEND)

    system, _ = await _a_bad_day(tmp_path, seed=0)

    assert system.blind != []
    assert system.doubled != []


async def _a_bad_day(folder: Path, seed: int) -> tuple[Unreliable, list[Delivery]]:
    chance = random.Random(seed)
    system = Unreliable(chance)
    async with running(folder, TurnableClock(), [live(connector=system, concurrency=6)]) as engine:
        deliveries = [await engine.accept() for _ in range(25)]
        for _ in range(12):
            await engine.turn(timedelta(seconds=chance.choice([1, 31, 61, 601])))
            await asyncio.sleep(0.05)
            match chance.randrange(6):
                case 0:
                    await engine.kill()
                    await engine.start()
                case 1:
                    await engine.stop(grace=0.01)
                    await engine.start()
        system.calm = True
        await _let_it_finish(engine)
        return system, [await engine.now(one) for one in deliveries]


async def _let_it_finish(engine: Engine) -> None:
    for _ in range(60):
        await engine.turn(timedelta(minutes=31))
        backlog = await engine.journal.backlog()
        if not any(row.counts.get(State.PENDING, 0) or row.counts.get(State.DELIVERING, 0) for row in backlog):
            return
