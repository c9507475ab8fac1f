"""A target that closes idle connections must never cause doubt; one that keeps them is used at full speed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from connectors import reuse
from connectors.sdk import Unavailable
from connectors.simulator import Simulator
from connectors.wire import Wire

HEADERS = {"Authorization": "Bearer simulator", "Content-Type": "application/xml"}


async def post(line: Wire, system: Simulator, number: int) -> None:
    answer = await line.send("POST", f"{system.url}/cases", headers={**HEADERS, "Idempotency-Key": f"d-{number}"}, body=b"<a/>")
    assert answer.status == 201


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rule, a quarter as long."""
    monkeypatch.setattr(reuse, "PATIENCE", 0.25)
    monkeypatch.setattr(reuse, "REUSE_WITHIN", 0.0625)


PATIENCE_OF_SERVERS: dict[str, Callable[[random.Random], Callable[[], float]]] = {
    "closes right after the answer": lambda chance: lambda: 0.0,
    "closes at random within 20 ms": lambda chance: lambda: chance.uniform(0, 0.02),
    "closes at random within 100 ms": lambda chance: lambda: chance.uniform(0, 0.1),
    "closes after 60 ms": lambda chance: lambda: 0.06,
    "now closes at once, now after 2 s": lambda chance: lambda: chance.choice([0.0, 2.0]),
    "closes after 300 ms": lambda chance: lambda: 0.3,
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("manner", PATIENCE_OF_SERVERS)
async def test_a_server_that_closes_idle_connections_causes_no_doubt_in_200_posts(manner: str) -> None:
    chance = random.Random(7)
    async with Simulator(fsync=False, close_idle_after=PATIENCE_OF_SERVERS[manner](chance)) as system:
        line = Wire(limit=5)
        try:
            for number in range(200):
                await post(line, system, number)  # InDoubt would be raised here
                await asyncio.sleep(chance.choice([0, 0, chance.uniform(0, 0.03), chance.uniform(0, 0.12)]))
        finally:
            await line.aclose()
        assert (system.register.cases, system.register.duplicates) == (200, 0)


@pytest.mark.usefixtures("quick")
async def test_many_senders_at_once_meet_no_doubt_either() -> None:
    chance = random.Random(7)
    async with Simulator(fsync=False, close_idle_after=lambda: chance.uniform(0, 0.03)) as system:
        line = Wire(limit=5)

        async def sender(first: int) -> None:
            for number in range(first, first + 40):
                await post(line, system, number)
                await asyncio.sleep(random.uniform(0, 0.03))

        try:
            await asyncio.gather(*(sender(40 * each) for each in range(10)))
        finally:
            await line.aclose()
        assert (system.register.cases, system.register.duplicates) == (400, 0)


async def connections_for(line: Wire, system: Simulator, posts: range) -> int:
    """How many connections these POSTs, one after the other, opened."""
    seen: set[int] = set()
    genuine = system._listener.answer

    def look(connection: object, request: object) -> object:
        seen.add(id(connection))
        kept.append(connection)
        return genuine(connection, request)  # type: ignore[arg-type]

    kept: list[object] = []  # so that no id is given twice
    system._listener.answer = look  # type: ignore[assignment]
    for number in posts:
        await post(line, system, number)
    system._listener.answer = genuine
    return len(seen)


@pytest.mark.usefixtures("quick")
async def test_reuse_is_earned_by_keeping_connections_open() -> None:
    async with Simulator(fsync=False) as system:
        line = Wire(limit=5)
        try:
            assert await connections_for(line, system, range(5)) == 5
            await asyncio.sleep(0.4)
            assert await connections_for(line, system, range(5, 25)) == 1
            await asyncio.sleep(0.1)  # longer than REUSE_WITHIN
            assert await connections_for(line, system, range(25, 26)) == 1
        finally:
            await line.aclose()


@pytest.mark.usefixtures("quick")
async def test_a_target_that_changes_its_manners_loses_the_trust() -> None:
    async with Simulator(fsync=False) as system:
        line = Wire(limit=5)
        try:
            await connections_for(line, system, range(5))
            await asyncio.sleep(0.4)
            assert line._reuse.trusted()
            line._reuse._ask_from = 0  # time for new witnesses
            system._listener.close_idle_after = 0.1
            await connections_for(line, system, range(5, 8))
            await asyncio.sleep(0.4)
            assert not line._reuse.trusted()
            assert await connections_for(line, system, range(8, 13)) == 5
        finally:
            await line.aclose()


async def test_an_outage_teaches_nothing_about_manners() -> None:
    async with Simulator(fsync=False) as system:
        line = Wire(limit=2)
        try:
            await system.stop()
            with pytest.raises(Unavailable):
                await post(line, system, 1)
            await asyncio.sleep(0.05)
            assert line._reuse.wants_witness()
        finally:
            await line.aclose()


async def test_nothing_stays_open_after_closing() -> None:
    async with Simulator(fsync=False) as system:
        line = Wire(limit=2)
        for number in range(10):
            await post(line, system, number)
        await line.aclose()
        await asyncio.sleep(0.05)
        assert not system._listener.connections
