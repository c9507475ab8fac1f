"""A lane is heard for as long as the broker is open, whatever becomes of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from gateway.adapters import rabbitmq
from gateway.adapters.rabbitmq import RabbitBroker
from gateway.adapters.rabbitmq_address import Address
from gateway.adapters.rabbitmq_queues import Queues


class LostWhileItOpens:
    """The first one: a broker that stops closes one connection while the lanes are still declared on the other."""

    opened = 0

    def __init__(self, queues: Queues) -> None:
        self.lost, self.why = asyncio.Event(), ""

    async def open(self, address: Address, name: str, lanes: Iterable[str]) -> None:
        LostWhileItOpens.opened += 1
        await asyncio.sleep(0.01)
        if LostWhileItOpens.opened == 1:
            self.give_up(ConnectionResetError())

    def give_up(self, error: BaseException | None) -> None:
        self.why = type(error).__name__
        self.lost.set()

    async def hear(self, lane: str, prefetch: int) -> AsyncIterator[object]:
        await self.lost.wait()
        return
        yield

    async def aclose(self) -> None:
        self.give_up(None)


async def test_a_connection_that_is_lost_while_it_is_made_leaves_no_lane_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "Session", LostWhileItOpens)
    broker = RabbitBroker(Address("amqp://127.0.0.1:1/"), retry_seconds=0.02)

    async def hear() -> None:
        async for _ in broker.tickets("rest"):
            pass

    hearing = asyncio.create_task(hear())
    async with asyncio.timeout(10):
        while LostWhileItOpens.opened < 2 or not broker.connected:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert not hearing.done()

    await broker.aclose()
    await asyncio.wait_for(hearing, 10)
