"""The doorbell between machines: RabbitMQ quorum queues, one per lane. Carries delivery ids, never documents.

A broker that is away, frozen, full or blocked costs a late ring and nothing else: a ring takes five seconds at most, and
nothing at all once we know; the dispatcher rings again from the journal. The connection is kept by a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from math import inf
from types import MappingProxyType, TracebackType

import structlog
from aio_pika.abc import AbstractIncomingMessage
from aiormq.exceptions import DeliveryError

from gateway.adapters.rabbitmq_address import Address
from gateway.adapters.rabbitmq_outage import Outage, reason_of
from gateway.adapters.rabbitmq_queues import QueueDiffers, Queues
from gateway.adapters.rabbitmq_session import (
    ACK_SECONDS,
    CONNECT_SECONDS,
    NoQueue,
    Session,
    cancelled_by_us_alone,
)
from gateway.logfields import LogEvent
from gateway.ports import Broker, GivenBack, NotRung, Ticket

RING_SECONDS = 5.0
PREFETCH = 64
MOST_PREFETCH = 65_535
ASIDE_SECONDS = 60.0
"""Between two lines about tickets that cannot be read, however many there are."""

_DELIVERY_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_LIBRARIES = ("aio_pika", "aiormq")

log = structlog.get_logger("nahtlos.broker")


class BrokerAway(NotRung):
    """Not reachable, frozen, blocked or closing. Ring again later."""


class LaneFull(NotRung):
    """The lane takes no more tickets (``reject-publish``). Ring again later."""


class RabbitBroker(Broker):
    """Implements ``ports.Broker``. Connects with ``prepare`` or when first used, and by itself whenever the connection is
    gone.

    name: shown to the people who look after the broker. prefetch: tickets at once, per lane. refused: rings that were not
    taken, unreadable: tickets put aside, both since the start.
    """

    def __init__(
        self, address: Address, *, name: str = "nahtlos", prefetch: Mapping[str, int] = MappingProxyType({}),
        queues: Queues = Queues(), retry_seconds: float = 2.0,  # noqa: B008  holds nothing but a prefix
    ) -> None:
        self._address, self._name, self._prefetch, self._queues = address, name, prefetch, queues
        self._retry_seconds = retry_seconds
        self._lanes: set[str] = set()
        self._session: Session | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._unblocking: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._tried, self._up, self._closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._differs: QueueDiffers | None = None
        self._outage = Outage()
        self._full: set[str] = set()
        self._told_aside = -inf
        self.refused = self.unreadable = 0
        for library in _LIBRARIES:  # they tell every attempt, and their addresses; we tell an outage, once
            logging.getLogger(library).setLevel(logging.CRITICAL)

    async def prepare(self, *lanes: str) -> None:
        """Connect and declare the lanes. Raises ``BrokerUnusable`` when a person has to see to it, and ``BrokerAway``, which
        need not stop anyone: we go on trying."""
        self._lanes |= set(lanes)
        self._begin()
        await self._tried.wait()
        if self._differs is not None:
            raise self._differs
        if self._session is None:
            raise BrokerAway(self._outage.reason)
        for lane in lanes:
            if (session := self._session) is None:
                raise BrokerAway(self._outage.reason)
            with cancelled_by_us_alone():
                await session.declare(lane)

    async def ring(self, ticket: Ticket) -> None:
        """Returns once the quorum has the ticket. Raises ``BrokerAway`` or ``LaneFull``: at once when that is known, within
        five seconds else."""
        try:
            self._begin()
            await self._ring(ticket)
        except NotRung:
            self.refused += 1
            raise
        self._full.discard(ticket.lane)

    async def tickets(self, lane: str) -> AsyncIterator[AbstractAsyncContextManager[Ticket]]:
        """Ends only when the broker is closed. Unreadable tickets are put aside, among the dead tickets."""
        self._lanes.add(lane)
        self._begin()
        while not self._closed.is_set():
            await self._up.wait()
            if (session := self._session) is None:
                continue  # lost again before we woke up, or closed
            try:
                async with aclosing(session.hear(lane, min(self._prefetch.get(lane, PREFETCH), MOST_PREFETCH))) as heard:
                    async for message in heard:
                        if ticket := _read(message, lane):
                            yield _Rung(ticket, message)
                        else:
                            await self._put_aside(message, lane)
            except Exception as error:
                session.give_up(error)
            if session is self._session:
                await self._pause()

    async def aclose(self) -> None:
        """What was heard and not acknowledged goes back to its lane at once. Takes some seconds, if the broker is frozen."""
        self._closed.set()
        begun = [task for task in (self._keeper, self._unblocking) if task is not None]
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        self._tried.set()
        self._up.set()
        await asyncio.gather(*self._closing)

    @property
    def connected(self) -> bool:
        """True as well while nobody has needed the broker yet."""
        return self._keeper is None or (self._session is not None and not self._outage.reason)

    @property
    def figures(self) -> Mapping[str, tuple[str, Callable[[], float]]]:
        return {
            "up": ("1 while the broker takes rings", lambda: float(self.connected)),
            "rings_refused": ("Rings the broker did not take, since the start", lambda: self.refused),
            "tickets_unreadable": ("Tickets put aside, since the start", lambda: self.unreadable),
        }

    # --- the connection --------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._keeper is None and not self._closed.is_set():
            self._keeper = asyncio.create_task(self._keep(), name="broker")

    async def _keep(self) -> None:
        while True:
            session = Session(self._queues)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await session.open(self._address, self._name, sorted(self._lanes))
                self._differs = None
                self._outage.end(self.refused)
                self._session = session
                self._up.set()
                self._tried.set()
                await session.lost.wait()
                self._outage.begin("lost", session.why)
            except Exception as error:  # whatever it is: the next attempt comes, and a person is told
                self._differs = error if isinstance(error, QueueDiffers) else None
                self._outage.begin(reason_of(error), error)
            finally:
                self._session = None
                self._up.clear()
                self._tried.set()
                self._put_away(session)
            await self._pause()

    def _put_away(self, session: Session) -> None:
        closing = asyncio.create_task(session.aclose(), name="broker-close")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _pause(self) -> None:
        """Never two gateways in step."""
        try:
            async with asyncio.timeout(self._retry_seconds * random.uniform(0.5, 1.0)):  # noqa: S311
                await self._closed.wait()
        except TimeoutError:
            return

    # --- ringing ---------------------------------------------------------------------------------------------------------

    async def _ring(self, ticket: Ticket) -> None:
        session: Session | None = None
        try:
            with cancelled_by_us_alone():
                async with asyncio.timeout(RING_SECONDS):
                    await self._tried.wait()
                    if (session := self._session) is None or not self.connected:
                        raise BrokerAway(self._outage.reason)
                    await session.ring(ticket.lane, ticket.delivery_id.encode("ascii"))
        except DeliveryError as refused:
            self._tell_full(ticket.lane)
            raise LaneFull(ticket.lane) from refused
        except NoQueue as deleted:
            raise BrokerAway("no-queue") from deleted
        except TimeoutError as late:
            if session is not None and await session.is_blocked():
                self._wait_for_unblocking(session)
            elif session is not None:
                session.give_up(late)
            raise BrokerAway("timeout") from late
        except NotRung:
            raise
        except Exception as away:
            if session is not None:
                session.give_up(away)
            raise BrokerAway(type(away).__name__) from away

    def _tell_full(self, lane: str) -> None:
        if lane not in self._full:
            self._full.add(lane)
            log.warning(LogEvent.BROKER, reason="lane-full", lane=lane)

    def _wait_for_unblocking(self, session: Session) -> None:
        async def wait() -> None:
            await session.unblocked()
            if session is self._session:
                self._outage.end(self.refused)

        self._outage.begin("blocked", "Blocked")
        if self._unblocking is not None:
            self._unblocking.cancel()
        self._unblocking = asyncio.create_task(wait(), name="broker-unblocking")

    # --- hearing ---------------------------------------------------------------------------------------------------------

    async def _put_aside(self, message: AbstractIncomingMessage, lane: str) -> None:
        self.unreadable += 1
        now = asyncio.get_running_loop().time()
        if now - self._told_aside > ASIDE_SECONDS:
            self._told_aside = now
            log.warning(LogEvent.TICKET_UNREADABLE, lane=lane, count=self.unreadable)
        await message.reject(requeue=False)


def _read(message: AbstractIncomingMessage, lane: str) -> Ticket | None:
    try:
        text = message.body.decode("ascii")
    except UnicodeDecodeError:
        return None
    return Ticket(text, lane) if _DELIVERY_ID.fullmatch(text) else None


class _Rung(AbstractAsyncContextManager[Ticket]):
    """Acknowledged when its work is over, however that ended: what is to happen next stands in the journal. What was given
    back, or broken off before anything was written, is for another process."""

    __slots__ = ("_message", "_ticket")

    def __init__(self, ticket: Ticket, message: AbstractIncomingMessage) -> None:
        self._ticket, self._message = ticket, message

    async def __aenter__(self) -> Ticket:
        return self._ticket

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with cancelled_by_us_alone():
                async with asyncio.timeout(ACK_SECONDS):
                    if isinstance(error, GivenBack | asyncio.CancelledError):
                        await self._message.nack(requeue=True)
                    else:
                        await self._message.ack()
        except Exception:
            return  # the connection is gone and the ticket comes again: it dies at the compare-and-swap
