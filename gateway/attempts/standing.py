"""How targets stand (pause, breaker), as last read, and changed by compare-and-swap. I/O only; ``breaker`` decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

from gateway.ports import Clock, Journal, TargetChange, TargetState

ATTEMPTS = 8


class Contended(Exception):
    """Others change this target all the time. Names it."""


class Standing:
    """A view that is at most ``fresh_for`` old, so that a delivery does not cost a query for the state of its target.

    One for all that work in a process: what the worker finds out, the dispatcher then knows at once.
    """

    def __init__(self, *, journal: Journal, clock: Clock, fresh_for: timedelta = timedelta(milliseconds=500)) -> None:
        self._journal, self._clock, self._fresh_for = journal, clock, fresh_for
        self._states: dict[str, TargetState] = {}
        self._stale_at = clock.now()
        self._written: dict[str, TargetState] = {}  # since the journal was last asked
        self._forgotten = False
        self._reading: asyncio.Task[None] | None = None

    async def of(self, name: str) -> TargetState:
        return (await self.all()).get(name) or TargetState(name)

    async def all(self) -> Mapping[str, TargetState]:
        if self._clock.now() >= self._stale_at:
            await self._shared()
        return self._states

    def forget(self) -> None:
        """Something has changed: read it again before the next answer."""
        self._stale_at, self._forgotten = self._clock.now(), True

    async def reload(self) -> None:
        if self._reading is not None:  # it was asked before us
            await asyncio.wait([self._reading])
        await self._shared()

    async def _shared(self) -> None:
        """A hundred tasks wait for one answer, or for one failure."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="standing")
            self._reading.add_done_callback(self._over)
        await asyncio.shield(self._reading)

    def _over(self, reading: asyncio.Task[None]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # is for whoever still waits

    async def _read(self) -> None:
        """The answer is of the moment of the question: what we wrote since then is newer."""
        asked_at, self._forgotten = self._clock.now(), False
        self._written.clear()
        states = dict(await self._journal.target_states())
        for name, ours in self._written.items():
            if name not in states or states[name].revision < ours.revision:
                states[name] = ours
        self._states = states
        if not self._forgotten:
            self._stale_at = asked_at + self._fresh_for

    async def change(self, name: str, decide: Callable[[TargetState], TargetChange | None]) -> TargetChange | None:
        """Write what ``decide`` makes of the present state; asked again while others are faster. The change, if one was
        made; ``None`` if ``decide`` wants none. Raises ``Contended`` after a few rounds."""
        state = await self.of(name)
        for _ in range(ATTEMPTS):
            change = decide(state)
            if change is None:
                return None
            if await self._journal.advance_target(change):
                self._states[name] = self._written[name] = change.after
                return change
            await self.reload()
            state = await self.of(name)
        raise Contended(name)
