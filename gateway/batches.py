"""Work that is done in small steps, so that others get their turn between, and looked for again after a while."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from gateway.ports import Clock, JournalUnavailable


class Step(Protocol):
    async def __call__(self, *, at: datetime, limit: int) -> int:
        """How many were done; fewer than ``limit``: no more are left."""


class Batches:
    """every: seconds between two looks."""

    def __init__(self, step: Step, clock: Clock, *, every: float, limit: int) -> None:
        self._step, self._clock, self._every, self._limit = step, clock, every, limit

    async def run(self) -> None:
        """Endless; ends by cancellation. A journal that cannot write now is asked again."""
        while True:
            await self.once()
            await self._clock.sleep(self._every)

    async def once(self) -> int:
        """All there is; how many."""
        total = 0
        try:
            while done := await self._step(at=self._clock.now(), limit=self._limit):
                total += done
                if done < self._limit:
                    break
        except JournalUnavailable:
            return total
        return total
