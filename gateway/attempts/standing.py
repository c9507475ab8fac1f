"""How targets stand (pause, breaker), as last read, and changed by compare-and-swap. I/O only; ``breaker`` decides."""

from __future__ import annotations

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

    async def of(self, name: str) -> TargetState:
        if self._clock.now() >= self._stale_at:
            await self.reload()
        return self._states.get(name) or TargetState(name)

    async def all(self) -> Mapping[str, TargetState]:
        if self._clock.now() >= self._stale_at:
            await self.reload()
        return self._states

    def forget(self) -> None:
        """Something has changed: read it again before the next answer."""
        self._stale_at = self._clock.now()

    async def reload(self) -> None:
        self._stale_at = self._clock.now() + self._fresh_for  # first, so that a hundred tasks do not all read it
        self._states = dict(await self._journal.target_states())

    async def change(self, name: str, decide: Callable[[TargetState], TargetChange | None]) -> TargetChange | None:
        """Write what ``decide`` makes of the present state; asked again while others are faster. The change, if one was
        made; ``None`` if ``decide`` wants none. Raises ``Contended`` after a few rounds."""
        state = await self.of(name)
        for _ in range(ATTEMPTS):
            change = decide(state)
            if change is None:
                return None
            if await self._journal.advance_target(change):
                self._states[name] = change.after
                return change
            await self.reload()
            state = await self.of(name)
        raise Contended(name)
