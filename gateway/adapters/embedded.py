"""The doorbell within one process. It need not be durable: the journal makes up for whatever it forgets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from gateway.ports import Broker, NotRung, Ticket

CAPACITY = 100_000


class EmbeddedBroker(Broker):
    """Implements ``ports.Broker`` with one queue per lane. Belongs to one event loop."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lanes: dict[str, _Lane] = {}
        self._closed = False

    async def prepare(self, *lanes: str) -> None:
        """Nothing has to be: a queue is made when it is first needed."""

    async def ring(self, ticket: Ticket) -> None:
        """Raises ``Full`` when nobody takes tickets any more; the dispatcher rings again later."""
        lane = self._lane(ticket.lane)
        if self._closed or len(lane.waiting) >= self._capacity:
            raise Full(ticket.lane)
        lane.waiting.append(ticket)
        lane.filled.set()

    async def tickets(self, lane: str) -> AsyncIterator[AbstractAsyncContextManager[Ticket]]:
        """Ends only when the broker is closed."""
        own = self._lane(lane)
        while not self._closed:
            if own.waiting:
                yield _Rung(own.waiting.popleft())
            else:
                own.filled.clear()
                await own.filled.wait()

    async def aclose(self) -> None:
        self._closed = True
        for lane in self._lanes.values():
            lane.waiting.clear()
            lane.filled.set()

    def _lane(self, name: str) -> _Lane:
        return self._lanes.get(name) or self._lanes.setdefault(name, _Lane())


class Full(NotRung):
    """The lane takes no more tickets. Names the lane."""


class _Lane:
    __slots__ = ("filled", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Ticket] = deque()
        self.filled = asyncio.Event()


class _Rung(AbstractAsyncContextManager[Ticket]):
    """A ticket that was taken out of its queue is done with from the start: nothing is left to acknowledge."""

    __slots__ = ("_ticket",)

    def __init__(self, ticket: Ticket) -> None:
        self._ticket = ticket

    async def __aenter__(self) -> Ticket:
        return self._ticket

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
