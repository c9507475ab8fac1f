"""The doorbell within one process: it may forget, but it must not block and not lose its temper."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.embedded import EmbeddedBroker, Full
from gateway.ports import Ticket


async def take(broker: EmbeddedBroker, lane: str, count: int) -> list[str]:
    taken = []
    async for rung in broker.tickets(lane):
        async with rung as ticket:
            taken.append(ticket.delivery_id)
        if len(taken) == count:
            break
    return taken


async def test_lanes_do_not_hear_each_other() -> None:
    broker = EmbeddedBroker()
    await broker.ring(Ticket("a", "slow"))
    await broker.ring(Ticket("b", "fast"))

    assert await take(broker, "fast", 1) == ["b"]
    assert await take(broker, "slow", 1) == ["a"]


async def test_a_ring_wakes_who_listens() -> None:
    broker = EmbeddedBroker()
    listening = asyncio.create_task(take(broker, "default", 2))
    await asyncio.sleep(0)

    await broker.ring(Ticket("a", "default"))
    await broker.ring(Ticket("b", "default"))

    assert await listening == ["a", "b"]


async def test_two_listeners_share_the_tickets() -> None:
    broker = EmbeddedBroker()
    listening = [asyncio.create_task(take(broker, "default", 5)) for _ in range(2)]
    await asyncio.sleep(0)

    for n in range(10):
        await broker.ring(Ticket(str(n), "default"))
    taken = await asyncio.gather(*listening)

    assert sorted((one for some in taken for one in some), key=int) == [str(n) for n in range(10)]


async def test_a_lane_nobody_listens_to_is_bounded() -> None:
    broker = EmbeddedBroker(capacity=3)
    for n in range(3):
        await broker.ring(Ticket(str(n), "default"))

    with pytest.raises(Full, match="default"):
        await broker.ring(Ticket("4", "default"))
    await broker.ring(Ticket("5", "other"))


async def test_an_error_in_the_work_does_not_reach_the_doorbell() -> None:
    broker = EmbeddedBroker()
    await broker.ring(Ticket("a", "default"))
    await broker.ring(Ticket("b", "default"))

    with pytest.raises(RuntimeError):
        async for rung in broker.tickets("default"):
            async with rung:
                raise RuntimeError
    assert await take(broker, "default", 1) == ["b"]


async def test_closing_ends_every_listener() -> None:
    broker = EmbeddedBroker()
    listening = asyncio.create_task(take(broker, "default", 99))
    await asyncio.sleep(0)

    await broker.aclose()

    assert await asyncio.wait_for(listening, 1) == []
    with pytest.raises(Full):
        await broker.ring(Ticket("a", "default"))
