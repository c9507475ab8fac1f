"""What only RabbitMQ promises: queues that last and are bounded, tickets that cannot be read, tickets that come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

import pytest
from pamqp.common import FieldTable

from gateway.adapters import rabbitmq_listener, rabbitmq_queues
from gateway.adapters.rabbitmq import BrokerAway, LaneFull
from gateway.adapters.rabbitmq_queues import QueueDiffers, Queues
from gateway.ports import Broker, BrokerUnusable, GivenBack, Ticket
from tests.contract.brokers import LANE, Rung, Yard, ids, listening, take, until, yard


@pytest.fixture
async def place() -> AsyncIterator[Yard]:
    async with yard() as made:
        yield made


# --- the queues --------------------------------------------------------------------------------------------------------


async def test_a_lane_is_a_durable_quorum_queue_with_everything_said_aloud(place: Yard) -> None:
    """Declared again with these very arguments, it is the same queue; with any other the broker would refuse."""
    await place.broker().prepare(LANE)

    async with place.channel() as channel:
        await channel.declare_queue(place.queues.of(LANE), durable=True, arguments={
            "x-queue-type": "quorum", "x-delivery-limit": 20, "x-max-length": 100_000, "x-overflow": "reject-publish",
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": place.queues.dead,
            "x-dead-letter-strategy": "at-least-once",
        })  # fmt: skip
        await channel.declare_queue(place.queues.dead, durable=True, arguments={
            "x-queue-type": "quorum", "x-max-length": 10_000, "x-overflow": "drop-head",
        })  # fmt: skip


async def test_names_say_whose_queues_they_are() -> None:
    assert (Queues().of("rest"), Queues().dead) == ("nahtlos.lane.rest", "nahtlos.dead-tickets")


async def test_a_full_lane_says_so_and_takes_more_once_there_is_room(place: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq_queues, "LANE_LENGTH", 5)
    broker = place.broker()
    rung = 0
    with pytest.raises(LaneFull):
        for delivery_id in ids(50):  # the broker lets some more in before it has counted
            await broker.ring(Ticket(delivery_id, LANE))
            rung += 1
    assert broker.connected
    assert broker.refused == 1

    await take(broker, LANE, rung)
    await until(lambda: _takes(place, broker), what="room again")


async def _takes(place: Yard, broker: Broker) -> bool:
    try:
        await place.ring(broker, *ids(1))
    except LaneFull:
        return False
    return True


@pytest.mark.parametrize(("arguments", "differences"), [
    ({"x-queue-type": "quorum", "x-max-length": 5}, {
        "x-delivery-limit": (None, 20), "x-max-length": (5, 100_000), "x-overflow": (None, "reject-publish"),
        "x-dead-letter-exchange": (None, ""), "x-dead-letter-strategy": (None, "at-least-once"),
    }),
    ({"x-queue-type": "quorum", "x-max-length": 100_000, "x-overflow": "drop-head", "x-expires": 3_600_000}, {
        "x-delivery-limit": (None, 20), "x-overflow": ("drop-head", "reject-publish"), "x-expires": (3_600_000, None),
    }),
    ({}, {"x-queue-type": (None, "quorum"), "x-max-length": (None, 100_000)}),
])  # fmt: skip
async def test_a_queue_with_other_arguments_is_named_with_every_difference(
    place: Yard, arguments: FieldTable, differences: dict[str, tuple[object, object]]
) -> None:
    async with place.channel() as channel:
        await channel.declare_queue(place.queues.of(LANE), durable=True, arguments=arguments)

    with pytest.raises(QueueDiffers) as refused:
        await place.broker().prepare(LANE)

    assert differences.items() <= refused.value.differences.items()
    assert all(found != wanted for found, wanted in refused.value.differences.values())
    for text in (refused.value.de, refused.value.en):
        assert place.queues.of(LANE) in text
        assert all(name in text for name in differences)
    async with place.channel() as channel:  # looking has not changed it
        await channel.declare_queue(place.queues.of(LANE), durable=True, arguments=arguments)


async def test_a_transient_queue_is_named_as_one(place: Yard) -> None:
    async with place.channel() as channel:
        await channel.declare_queue(place.queues.of(LANE), durable=False)

    with pytest.raises(BrokerUnusable, match="durable: false ≠ true"):
        await place.broker().prepare(LANE)


async def test_a_queue_for_dead_tickets_with_other_arguments_is_named_too(place: Yard) -> None:
    async with place.channel() as channel:
        await channel.declare_queue(place.queues.dead, durable=True)

    with pytest.raises(BrokerUnusable, match=r"dead-tickets .*x-queue-type: – ≠ .quorum"):
        await place.broker().prepare(LANE)


async def test_a_queue_that_differs_while_we_run_is_told_and_used_once_it_is_right(place: Yard) -> None:
    broker = place.broker()
    async with listening(broker) as heard:
        await broker.prepare(LANE)
        await place.delete(place.queues.of(LANE), place.queues.dead)
        async with place.channel() as channel:
            await channel.declare_queue(place.queues.dead, durable=True)
        await until(lambda: not broker.connected)
        assert not await _rings(place, broker)
        await place.delete(place.queues.dead)

        await until(lambda: _rings(place, broker), what="it rings again")
        assert broker.connected
        await until(lambda: len(heard) == 1)


async def _rings(place: Yard, broker: Broker, *delivery_ids: str) -> bool:
    try:
        await place.ring(broker, *(delivery_ids or ids(1)))
    except BrokerAway:
        return False
    return True


# --- tickets -----------------------------------------------------------------------------------------------------------


async def test_a_ticket_holds_the_id_and_nothing_else(place: Yard) -> None:
    [delivery_id] = ids(1)
    await place.ring(place.broker(), delivery_id)

    async with place.channel() as channel:
        queue = await channel.declare_queue(place.queues.of(LANE), passive=True)
        message = await queue.get()
        assert message.body == delivery_id.encode()
        assert not message.headers.keys() - {"x-delivery-count"}  # which the broker counts
        assert (message.user_id, message.reply_to, message.type, message.app_id) == (None, None, None, None)
        await message.ack()


async def test_a_ticket_outlives_the_process_that_rang_it(place: Yard) -> None:
    rung = ids(1)
    ringing = place.broker()
    await place.ring(ringing, *rung)
    await ringing.aclose()

    assert await take(place.broker(), LANE, 1) == rung


@pytest.mark.parametrize("body", [b"\xff\xfe", b"not a delivery id", b"", b"0" * 36, "ä".encode() * 18])
async def test_an_unreadable_ticket_is_put_aside_and_blocks_nobody(place: Yard, body: bytes) -> None:
    broker = place.broker()
    await broker.prepare(LANE)
    await place.put(body)
    rung = ids(1)
    await place.ring(broker, *rung)

    assert await take(broker, LANE, 1) == rung

    await until(lambda: _holds(place, place.queues.dead, 1), what="the ticket is among the dead")
    assert broker.unreadable == 1


async def test_the_queue_for_dead_tickets_is_bounded_and_takes_the_newest(
    place: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_queues, "DEAD_LENGTH", 3)
    broker = place.broker()
    await broker.prepare(LANE)
    for n in range(10):
        await place.put(b"bad %d" % n)
    rung = ids(1)
    await place.ring(broker, *rung)

    assert await take(broker, LANE, 1) == rung

    async def newest_first() -> bool:
        async with place.channel() as channel:
            queue = await channel.declare_queue(place.queues.dead, passive=True)
            found = [message.body for _ in range(4) if (message := await queue.get(fail=False)) is not None]
            return found == [b"bad 7", b"bad 8", b"bad 9"]

    await until(newest_first)


async def _holds(place: Yard, queue: str, count: int) -> bool:
    return await place.count(queue) == count


# --- tickets that come back --------------------------------------------------------------------------------------------


async def test_what_is_given_back_is_heard_by_another_at_once(place: Yard) -> None:
    rung = ids(1)
    first, second = place.broker(), place.broker()
    await place.ring(first, *rung)

    async for one in first.tickets(LANE):
        with pytest.raises(GivenBack):
            async with one:
                raise GivenBack
        break
    await first.aclose()

    assert await take(second, LANE, 1) == rung


async def test_a_listener_that_is_told_to_stop_gives_back_what_it_has_not_begun(place: Yard) -> None:
    """Its connection stays, so that what it has begun can still be acknowledged."""
    rung = ids(10)
    first, second = place.broker(), place.broker()
    await place.ring(first, *rung)
    begun: list[Rung] = []
    tickets = first.tickets(LANE)
    async for one in tickets:
        begun.append(one)
        if len(begun) == 3:
            break
    await cast(AsyncGenerator[Rung, None], tickets).aclose()  # what the loop does when nobody holds it any more

    assert sorted(await take(second, LANE, 7)) == sorted(rung[3:])
    for one in begun:
        async with one:
            pass
    await until(lambda: _holds(place, place.queues.of(LANE), 0))
    await first.aclose()
    await second.aclose()
    assert await place.count(place.queues.of(LANE)) == 0


async def test_closing_gives_back_what_was_not_acknowledged(place: Yard) -> None:
    rung = ids(5)
    first, second = place.broker(), place.broker()
    await place.ring(first, *rung)
    async with listening(first, done=False) as held:
        await until(lambda: len(held) == 5)

        await first.aclose()

        assert sorted(await take(second, LANE, 5)) == sorted(rung)


async def test_a_listener_has_no_more_than_its_prefetch(place: Yard) -> None:
    broker = place.broker(prefetch={LANE: 3})
    await place.ring(broker, *ids(10))
    async with listening(broker, done=False) as held:
        await until(lambda: len(held) == 3)
        await until(lambda: _holds(place, place.queues.of(LANE), 7), what="the others are free for other processes")
        assert len(held) == 3
        async with held[0]:
            pass
        await until(lambda: len(held) == 4)


# --- queues that people delete -----------------------------------------------------------------------------------------


async def test_a_deleted_queue_is_made_again_and_rung(place: Yard) -> None:
    broker, rung = place.broker(), ids(2)
    await place.ring(broker, rung[0])
    await place.delete(place.queues.of(LANE))

    for _ in range(2):  # not at once: who listened has to hear first that it is gone
        with pytest.raises(BrokerAway):
            await place.ring(broker, rung[1])
    assert broker.connected
    await until(lambda: _rings(place, broker, rung[1]))

    assert await take(place.broker(), LANE, 1) == [rung[1]]


async def test_a_listener_whose_queue_is_deleted_hears_what_is_rung_afterwards(place: Yard) -> None:
    broker, [before, after] = place.broker(), ids(2)
    async with listening(broker) as heard:
        await place.ring(broker, before)
        await until(lambda: heard == [before])

        await place.delete(place.queues.of(LANE))

        await until(lambda: _rings(place, broker, after))
        await until(lambda: heard == [before, after])
        assert broker.connected


async def test_who_is_not_told_that_his_queue_was_deleted_listens_anew_after_a_while(
    place: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ 3.10 never tells it of a queue that is there again at once."""
    monkeypatch.setattr(rabbitmq_listener, "SILENCE_SECONDS", 0.5)
    broker, [before, after] = place.broker(), ids(2)
    async with listening(broker) as heard:
        await place.ring(broker, before)
        await until(lambda: heard == [before])

        async with place.channel() as channel:
            await channel.queue_delete(place.queues.of(LANE))
            await place.queues.declare(channel, LANE)

        await until(lambda: _rings(place, broker, after))
        await until(lambda: heard == [before, after])


async def test_who_is_at_work_does_not_listen_anew(place: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq_listener, "SILENCE_SECONDS", 0.1)
    broker = place.broker(prefetch={LANE: 3})
    await place.ring(broker, *ids(10))
    async with listening(broker, done=False) as held:
        await until(lambda: len(held) == 3)
        await asyncio.sleep(1)
        assert len(held) == 3, "another listener would have had three more, and what is at work would have gone back"
        for rung in held[:3]:
            async with rung:
                pass
        await until(lambda: len(held) == 6)
