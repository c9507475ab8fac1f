"""What time it is. Where several machines share a journal, their own clocks may differ: then the one of the database counts.

Leases, due times, the time before a doubtful attempt is looked up and the time of receipt are set by one process and read by
another. Were each to go by its own machine, a lease would end early, and a target be asked before it has settled.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

BERLIN: Final = ZoneInfo("Europe/Berlin")
"""What the clocks of the offices show, and the day on which something arrived, by law."""


class SystemClock:
    """Implements ``ports.Clock``: this machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SharedClock(SystemClock):
    """Implements ``ports.Clock``: the time that it was last told, carried on by the steady clock of this machine, which nobody
    sets. Until it was told, this machine's own."""

    def __init__(self) -> None:
        self._told: datetime | None = None
        self._steady = 0.0

    def now(self) -> datetime:
        return super().now() if self._told is None else self._at(steady())

    def tell(self, at: datetime, *, asked: float, answered: float) -> timedelta:
        """It was ``at`` at some moment between ``asked`` and ``answered`` (both ``steady()``). How far the clock had to be
        moved: not at all while what it showed may have been right."""
        if self._told is None:
            moved = at - super().now()
            self._told, self._steady = at, (asked + answered) / 2
            return moved
        moved = timedelta()
        if at < self._at(asked):
            moved = at - self._at(asked)
        elif at > self._at(answered):
            moved = at - self._at(answered)
        self._told += moved
        return moved

    def _at(self, moment: float) -> datetime:
        assert self._told is not None
        return self._told + timedelta(seconds=moment - self._steady)


def steady() -> float:
    """Seconds since some moment; goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
