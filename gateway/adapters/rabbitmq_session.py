"""One working life of the connection to RabbitMQ: made, used, and given up as a whole when any part of it fails.

Two connections, because a broker that is short of memory or disk stops listening to those that publish; the other one
still hears tickets and acknowledges them. Where it says "raises whatever the libraries raise", that is meant: when a
connection goes down they raise ``Exception`` itself into whoever waits, or cancel him.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.exceptions import ChannelPreconditionFailed, PublishError

from gateway.adapters.rabbitmq_address import Address, Connection
from gateway.adapters.rabbitmq_listener import Listener, Silence
from gateway.adapters.rabbitmq_queues import Queues

CONNECT_SECONDS = 5.0
ACK_SECONDS = 2.0
CLOSE_SECONDS = 2.0
REMAKE_SECONDS = 1.0
"""After which a deleted queue is made again by a ring, so that who listened has heard that it is gone."""


class Gone(Exception):
    """What we waited for went down with its connection."""


class NoQueue(Exception):
    """A person has deleted it. A ring makes it again, ``REMAKE_SECONDS`` later."""


class Session:
    """``open`` first, ``aclose`` last, also when ``open`` failed. lost: set once it is of no more use. why: by which error
    we knew."""

    _ringing: Connection
    _hearing: Connection
    _publishing: AbstractChannel

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._connections: list[Connection] = []
        self._declared: set[str] = set()
        self._deleted: dict[str, float] = {}
        self._listeners: set[Listener] = set()
        self.lost, self.why = asyncio.Event(), ""

    async def open(self, address: Address, name: str, lanes: Iterable[str]) -> None:
        """Ready to ring, every lane declared. Raises ``QueueDiffers``, else whatever the libraries raise."""
        with cancelled_by_us_alone():
            self._ringing = await self._connected(address, f"{name} ringing")
            self._hearing = await self._connected(address, f"{name} hearing")
            self._publishing = await self._ringing.channel(publisher_confirms=True, on_return_raises=True)
            for lane in lanes:
                await self.declare(lane)

    async def _connected(self, address: Address, name: str) -> Connection:
        connection = await address.connect(name, seconds=CONNECT_SECONDS)
        self._connections.append(connection)
        connection.close_callbacks.add(self._closed)
        return connection

    async def declare(self, lane: str) -> None:
        """Raises ``QueueDiffers``, and the session is given up then; else whatever the libraries raise."""
        try:
            await self._queues.declare(self._publishing, lane)
        except ChannelPreconditionFailed as refused:
            differs = await self._queues.differing(lane, self._hearing.channel)
            self.give_up(refused)
            raise differs or refused from refused
        self._declared.add(lane)

    async def ring(self, lane: str, body: bytes) -> None:
        """Returns once the quorum has it. Raises ``NoQueue``, ``DeliveryError`` when the lane takes no more, else as
        ``declare``."""
        if lane not in self._declared:
            if asyncio.get_running_loop().time() < self._deleted.get(lane, 0.0) + REMAKE_SECONDS:
                raise NoQueue(lane)
            await self.declare(lane)
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        try:
            await self._publishing.default_exchange.publish(message, routing_key=self._queues.of(lane), mandatory=True)
        except PublishError as returned:
            # Made again by a later ring and not at once, so that who listens is told (see ``Silence``).
            self._declared.discard(lane)
            self._deleted[lane] = asyncio.get_running_loop().time()
            raise NoQueue(lane) from returned

    async def hear(self, lane: str, prefetch: int) -> AsyncGenerator[AbstractIncomingMessage, None]:
        """Ends when nothing more will come: the session is lost, or a person has deleted the queue; ``hear`` again then.
        Raises whatever the libraries raise. Who stops listening can still acknowledge what he has; the rest goes back."""
        listener = await self._listener(lane, prefetch)
        try:
            while not self.lost.is_set():
                try:
                    message = await listener.next()
                except Silence:
                    silent, listener = listener, await self._listener(lane, prefetch)
                    self._listeners.discard(silent)
                    await _within(silent.close())
                    continue
                if message is None:
                    break
                yield message
            await _within(listener.close())
        finally:
            self._listeners.discard(listener)
            await _within(listener.end())

    async def _listener(self, lane: str, prefetch: int) -> Listener:
        with cancelled_by_us_alone():
            async with asyncio.timeout(CONNECT_SECONDS):
                listener = Listener(self._queues, await self._hearing.channel(publisher_confirms=False), lane, prefetch)
                await listener.begin()
        self._listeners.add(listener)
        return listener

    async def is_blocked(self) -> bool:
        """The broker is short of memory or disk and takes nothing at present."""
        try:
            async with asyncio.timeout(0):
                await self.unblocked()
        except TimeoutError:
            return True
        return False

    async def unblocked(self) -> None:
        if (transport := self._ringing.transport) is not None:
            await transport.ready()

    def give_up(self, error: BaseException | None) -> None:
        """Something about it has failed, or hangs: nobody is to wait for the rest of it."""
        if not self.lost.is_set():
            self.why = type(error).__name__ if error is not None else "closed"
            self.lost.set()
            for listener in self._listeners:
                listener.hang_up()
            if isinstance(error, TimeoutError):  # frozen or out of reach: no goodbye would come back
                self._abort()

    async def aclose(self) -> None:
        """What was heard and not acknowledged goes back to its lane. Takes ``CLOSE_SECONDS`` at most."""
        self.give_up(None)
        closing = asyncio.gather(*(connection.close() for connection in self._connections), return_exceptions=True)
        patience = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._abort)
        await closing
        patience.cancel()

    def _abort(self) -> None:
        for connection in self._connections:
            connection.abort()

    def _closed(self, _: Any, error: BaseException | None) -> None:
        self.give_up(error)


@contextmanager
def cancelled_by_us_alone() -> Iterator[None]:
    """A connection that goes down cancels whoever waits for it; that is its failure, and nobody told us to stop.

    Raises ``Gone`` then. Without it the loss of a connection would end our tasks for good, in silence."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    except asyncio.CancelledError as cancelled:
        if task is None or task.cancelling() > before:
            raise
        raise Gone from cancelled


async def _within(goodbye: Any) -> None:
    """Politeness towards a broker that may be gone: what is not taken back now goes back with the connection."""
    with suppress(Exception), cancelled_by_us_alone():
        async with asyncio.timeout(ACK_SECONDS):
            await goodbye
