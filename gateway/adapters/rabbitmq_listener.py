"""One listener at one lane, on a channel of his own."""

from __future__ import annotations

import asyncio
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from gateway.adapters.rabbitmq_queues import Queues

SILENCE_SECONDS = 30.0


class Silence(Exception):
    """Nothing was heard for ``SILENCE_SECONDS``, and nothing is at work: time for another listener on a new channel.

    RabbitMQ 3.10 does not tell him that his queue was deleted when it is there again some milliseconds later. It then hands
    tickets to him and never sends them, nor to anybody else who listens on that channel; closing it gives them back."""


class Listener:
    """``begin`` first, ``end`` last; ``hang_up`` at any time. Raises whatever the libraries raise."""

    _queue: AbstractQueue
    _consumer: str

    def __init__(self, queues: Queues, channel: AbstractChannel, lane: str, prefetch: int) -> None:
        self._queues, self._channel, self._lane, self._prefetch = queues, channel, lane, prefetch
        self._heard: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._held: list[AbstractIncomingMessage] = []

    async def begin(self) -> None:
        await self._channel.set_qos(prefetch_count=self._prefetch)
        self._queue = await self._queues.declare(self._channel, self._lane)
        self._channel.close_callbacks.add(self.hang_up)
        (await self._channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(self.hang_up)
        self._consumer = await self._queue.consume(self._heard.put)

    async def next(self) -> AbstractIncomingMessage | None:
        """``None`` when nothing more will come: the channel is closed, or a person has deleted the queue. Raises
        ``Silence``."""
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    message = await self._heard.get()
            except TimeoutError:
                if not self._at_work():
                    raise Silence from None
                continue
            if message is not None:
                self._held.append(message)
                if len(self._held) > 2 * self._prefetch:
                    self._held = self._at_work()
            return message

    def hang_up(self, *_: Any) -> None:
        self._heard.put_nowait(None)

    async def end(self) -> None:
        """What was heard and not asked for goes back. What is at work can still be acknowledged."""
        if self._channel.is_closed:
            return
        await self._queue.cancel(self._consumer)  # whose answer comes after everything that was still on its way
        while not self._heard.empty():
            if (unread := self._heard.get_nowait()) is not None:
                await unread.nack(requeue=True)

    async def close(self) -> None:
        """With the channel: all that is not acknowledged goes back."""
        await self._channel.close()

    def _at_work(self) -> list[AbstractIncomingMessage]:
        """What is neither acknowledged nor given back."""
        return [message for message in self._held if not message.processed]
