"""One suite for every doorbell: in-process and RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.adapters.embedded import EmbeddedBroker
from gateway.ports import Broker, NotRung, Ticket
from tests.contract.brokers import AMQP, LANE, ids, take, yard

OTHER = "folder"


@pytest.fixture(params=["embedded", "rabbitmq"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "embedded":
        made = EmbeddedBroker()
        yield made
        await made.aclose()
    else:
        async with yard(AMQP, OTHER) as place:
            yield place.broker()


async def _ring(broker: Broker, *delivery_ids: str, lane: str = LANE) -> None:
    for delivery_id in delivery_ids:
        await broker.ring(Ticket(delivery_id, lane))


async def test_what_is_rung_is_heard_in_order(broker: Broker) -> None:
    rung = ids(50)

    await _ring(broker, *rung)

    assert await take(broker, LANE, 50) == rung


async def test_who_listens_first_hears_what_is_rung_later(broker: Broker) -> None:
    rung = ids(3)
    listening = asyncio.create_task(take(broker, LANE, 3))
    await asyncio.sleep(0)

    await _ring(broker, *rung)

    assert await listening == rung


async def test_lanes_do_not_hear_each_other(broker: Broker) -> None:
    first, second = ids(2)

    await _ring(broker, first, lane=LANE)
    await _ring(broker, second, lane=OTHER)

    assert await take(broker, OTHER, 1) == [second]
    assert await take(broker, LANE, 1) == [first]


async def test_listeners_share_the_tickets(broker: Broker) -> None:
    rung = ids(40)
    heard: list[str] = []

    async def listen() -> None:
        async for one in broker.tickets(LANE):
            async with one as ticket:
                heard.append(ticket.delivery_id)

    listening = [asyncio.create_task(listen()) for _ in range(3)]
    await _ring(broker, *rung)
    async with asyncio.timeout(30):
        while len(heard) < len(rung):
            await asyncio.sleep(0.01)
    for each in listening:
        each.cancel()
    await asyncio.gather(*listening, return_exceptions=True)

    assert sorted(heard) == sorted(rung)


async def test_a_ticket_is_done_with_even_if_its_work_failed(broker: Broker) -> None:
    first, second = ids(2)
    await _ring(broker, first, second)

    async for rung in broker.tickets(LANE):
        with pytest.raises(ZeroDivisionError):
            async with rung:
                raise ZeroDivisionError
        break

    assert await take(broker, LANE, 1) == [second]


async def test_closing_ends_every_listener(broker: Broker) -> None:
    listening = asyncio.create_task(take(broker, LANE, 99))
    await _ring(broker, *ids(1))

    await broker.aclose()

    async with asyncio.timeout(30):
        assert len(await listening) <= 1
    with pytest.raises(NotRung):
        await _ring(broker, *ids(1))
