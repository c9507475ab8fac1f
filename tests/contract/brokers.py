"""What the tests of the doorbells share: queues of their own in whatever RabbitMQ there is, and what happens in them."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel

from gateway.adapters.rabbitmq import RabbitBroker
from gateway.adapters.rabbitmq_address import Address
from gateway.adapters.rabbitmq_queues import Queues
from gateway.ports import Broker, Ticket

AMQP = os.environ["NAHTLOS_TEST_AMQP"]
LANE = "rest"


def ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


async def take(broker: Broker, lane: str, count: int) -> list[str]:
    """The next tickets of a lane, each done with at once."""
    taken: list[str] = []
    async with asyncio.timeout(30):
        async for rung in broker.tickets(lane):
            async with rung as ticket:
                taken.append(ticket.delivery_id)
            if len(taken) == count:
                break
    return taken


Rung = AbstractAsyncContextManager[Ticket]


@asynccontextmanager
async def listening(broker: Broker, lane: str = LANE, *, done: bool = True) -> AsyncIterator[list[Any]]:
    """What is heard meanwhile: ids, or with ``done=False`` the tickets' contexts, not yet entered."""
    heard: list[Any] = []

    async def listen() -> None:
        async for rung in broker.tickets(lane):
            if not done:
                heard.append(rung)
                continue
            async with rung as ticket:
                heard.append(ticket.delivery_id)

    task = asyncio.create_task(listen())
    yield heard
    if task.done():
        await task  # it must not end by itself, unless the broker was closed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[bool] | bool], *, within: float = 30, what: str = "") -> None:
    end = asyncio.get_running_loop().time() + within
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert asyncio.get_running_loop().time() < end, f"not within {within} s: {what or condition}"
        await asyncio.sleep(0.05)


@dataclass
class Yard:
    """Queues under a prefix that nobody else has, deleted at the end. url: of the broker."""

    url: str
    stack: AsyncExitStack = field(repr=False)
    queues: Queues = field(default_factory=lambda: Queues(f"test-{uuid.uuid4()}"))

    def broker(self, *, url: str | None = None, **given: Any) -> RabbitBroker:
        """Closed at the end. url: another way to the same broker."""
        options: dict[str, Any] = {"address": Address(url or self.url), "retry_seconds": 0.2, "queues": self.queues}
        made = RabbitBroker(**(options | given))
        self.stack.push_async_callback(made.aclose)
        return made

    async def ring(self, broker: Broker, *delivery_ids: str, lane: str = LANE) -> None:
        for delivery_id in delivery_ids:
            await broker.ring(Ticket(delivery_id, lane))

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """As somebody else, beside the adapter."""
        connection = await aio_pika.connect(self.url)
        async with connection:
            yield await connection.channel()

    async def count(self, queue: str) -> int:
        """Messages that are ready in it."""
        async with self.channel() as channel:
            return (await channel.declare_queue(queue, passive=True)).declaration_result.message_count or 0

    async def put(self, body: bytes, *, lane: str = LANE) -> None:
        async with self.channel() as channel:
            await channel.default_exchange.publish(aio_pika.Message(body), routing_key=self.queues.of(lane))

    async def delete(self, *queues: str) -> None:
        async with self.channel() as channel:
            for queue in queues:
                await channel.queue_delete(queue)


@asynccontextmanager
async def yard(url: str = AMQP, *lanes: str) -> AsyncIterator[Yard]:
    async with AsyncExitStack() as stack:
        made = Yard(url, stack)
        yield made
        await stack.aclose()
        await made.delete(*(made.queues.of(lane) for lane in {LANE, *lanes}), made.queues.dead)
