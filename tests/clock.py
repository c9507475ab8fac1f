"""A clock that tests turn: nothing passes unless somebody turns it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Generator
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class TurnableClock:
    """Implements ``gateway.ports.Clock``.

    ``turn`` moves the time and wakes every sleeper whose time has come, in the order in which they were to wake. It works
    without ``await``; awaited, it also lets the woken tasks run until they wait for something else::

        clock.turn(timedelta(minutes=5))
        await clock.turn(timedelta(minutes=5))
    """

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), woken))
        await woken

    def turn(self, by: timedelta) -> Passes:
        """On by ``by``, which may be negative: clocks of machines are set back too; nobody wakes then."""
        self._now += by
        while self._sleepers and self._sleepers[0][0] <= self._now:
            *_, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
        return Passes()

    def turn_to(self, at: datetime) -> Passes:
        return self.turn(at - self._now)

    @property
    def sleepers(self) -> int:
        """How many tasks are asleep; lets a test wait until the task under test has gone to sleep."""
        return sum(not woken.done() for *_, woken in self._sleepers)


class Passes:
    """Awaited: a few passes of the event loop, so that what was woken runs. Not awaited: nothing."""

    def __await__(self) -> Generator[None, None, None]:
        for _ in range(20):
            yield
