"""What an operator does to a target: pause and resume. Part of ``operate``."""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import datetime

from gateway.attempts import breaker, permits
from gateway.attempts.permits import Moved, NotAllowed, Unknown
from gateway.attempts.standing import Contended, Standing
from gateway.ports import Clock, TargetChange, TargetState


class Pausing:
    """targets: names of the site file."""

    def __init__(
        self, *, standing: Standing, clock: Clock, targets: Container[str], nudge: Callable[[str | None], None]
    ) -> None:
        self._standing, self._clock, self._targets, self._nudge = standing, clock, targets, nudge

    async def pause(
        self, target: str, *, actor: str, reason: str, until: datetime | None = None, seen_revision: int | None = None
    ) -> TargetState:
        """Nothing is sent until ``resume``, or ``until``. Burns no attempt and no patience; survives a restart."""
        at = self._clock.now()
        if until is not None and until <= at:
            raise NotAllowed(
                "until-is-past", "Das Ende der Pause liegt in der Vergangenheit.", "The end of the pause is in the past."
            )
        permits.must_have_reason(reason)
        return await self._set(
            target, seen_revision, lambda state: breaker.pause(state, at=at, actor=actor, reason=reason, until=until)
        )

    async def resume(self, target: str, *, actor: str, reason: str, seen_revision: int | None = None) -> TargetState:
        """Sent again from now on; a breaker that is open is probed at once. What is not paused or broken stays as it is."""
        permits.must_have_reason(reason)
        at = self._clock.now()
        return await self._set(
            target, seen_revision, lambda state: breaker.resume(state, at=at, actor=actor, reason=reason, probe_now=True)
        )

    async def _set(
        self, target: str, seen_revision: int | None, decide: Callable[[TargetState], TargetChange | None]
    ) -> TargetState:
        if target not in self._targets:
            raise Unknown(target)

        def seen(state: TargetState) -> TargetChange | None:
            if seen_revision is not None and state.revision != seen_revision:
                raise Moved(state)
            return decide(state)

        await self._standing.reload()
        try:
            change = await self._standing.change(target, seen)
        except Contended:
            raise Moved(await self._standing.of(target)) from None
        if change is None:
            return await self._standing.of(target)
        self._nudge(target)
        return change.after
