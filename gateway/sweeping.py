"""What is left over: leases that ran out, patience that ended, pauses that are over. Writes what ``unfinished`` decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from gateway.attempts import breaker, unfinished
from gateway.attempts.outcomes import Decision
from gateway.attempts.standing import Standing
from gateway.logfields import LogEvent
from gateway.ports import Change, Clock, Journal, JournalUnavailable, TargetChange, TargetState
from gateway.site import TargetConfig
from gateway.submission import Delivery
from gateway.telemetry import place_of

log = structlog.get_logger("nahtlos.dispatch")

AT_ONCE = 200
LINES = 1_000
DOWNTIME = timedelta(minutes=5)
LAST_CHANCE = timedelta(minutes=10)
"""How long a delivery whose patience has ended may still have its last attempt, before it is expired."""


class Sweeper:
    """Of one dispatcher; any number may sweep, because whoever is second at the compare-and-swap changes nothing."""

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        targets: Mapping[str, TargetConfig],
        instance: str,
        alone: bool,
        idempotent: frozenset[str],
        standing: Standing,
    ) -> None:
        self._journal, self._clock, self._targets, self._standing = journal, clock, targets, standing
        self._instance, self._actor, self._alone = instance, f"gateway:{instance}", alone
        self._idempotent = idempotent
        self._started_at = clock.now()
        self._overdue: dict[str, datetime] = {}

    def take(self, idempotent: frozenset[str]) -> None:
        """The targets may be others from now on."""
        self._idempotent = idempotent

    async def begin(self) -> None:
        """On SQLite nobody else can hold a lease or probe: what is leased was in flight when the last process ended."""
        await self._make_up_for_downtime()
        if self._alone:
            await self._take_back_probes()
        while self._alone:
            leased = await self._journal.lapsed(at=self._clock.now() + timedelta(days=365), limit=AT_ONCE)
            left = [delivery for delivery in leased if self._is_left_by_the_dead(delivery)]
            if not left:
                return
            await self._lapse(left)

    async def _take_back_probes(self) -> None:
        at = self._clock.now()
        for name in tuple(await self._standing.all()):
            await self._standing.change(name, lambda now: breaker.probe_lost(now, at=at, actor=self._actor))

    async def _make_up_for_downtime(self) -> None:
        """Nobody's patience ran while nobody worked: a data centre may be down for a weekend, too."""
        try:
            last = await self._last_sign_of_life()
            if last is not None and self._started_at - last[1] >= DOWNTIME:
                await self._make_up_for_all(*last)
        except JournalUnavailable:
            raise
        except Exception as error:  # a line that cannot be read (key lost) must not keep anything from being delivered
            log.warning(LogEvent.DISPATCHER, **place_of(error))

    async def _make_up_for_all(self, line: int, since: datetime) -> None:
        """Once for each, however many gateways begin at a time, and however often one of them has to begin again."""
        left = set(self._targets)
        while left:
            await self._standing.reload()
            seen = {name: (await self._standing.of(name)).revision for name in left}
            left -= await self._made_up_for(line)
            for name in tuple(left):
                if await self._make_up(name, seen[name], since):
                    left.remove(name)

    async def _make_up(self, name: str, seen: int, since: datetime) -> bool:
        """False: somebody was faster, perhaps with just this."""
        moved = False

        def decide(now: TargetState) -> TargetChange | None:
            nonlocal moved
            moved = now.revision != seen
            return None if moved else breaker.was_down(now, since=since, at=self._started_at, actor=self._actor)

        await self._standing.change(name, decide)
        return not moved

    async def _made_up_for(self, line: int) -> set[str]:
        """Names of targets of which it is told after this line of the history."""
        found: set[str] = set()
        while lines := await self._journal.history(after=line, limit=LINES):
            found |= {each.subject.removeprefix("target ") for each in lines if each.event == "restart"}
            line = lines[-1].no
        return found

    async def _last_sign_of_life(self) -> tuple[int, datetime] | None:
        """When the history was last written before this process began; found by halving, in some thirty short looks."""
        last, low, high = await self._written_after(0), 0, 1
        if last is None:
            return None
        while (at := await self._written_after(high)) is not None:
            last, low, high = at, high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            if (at := await self._written_after(middle)) is not None:
                last, low = at, middle
            else:
                high = middle
        return high, last

    async def _written_after(self, no: int) -> datetime | None:
        entries = await self._journal.history(after=no, limit=1)
        return entries[0].at if entries and entries[0].at < self._started_at else None

    async def sweep(self) -> None:
        at = self._clock.now()
        await self._lapse(await self._journal.lapsed(at=at, limit=AT_ONCE))
        await self._expire(at)
        await self._resume(at)

    async def _lapse(self, left: list[Delivery]) -> None:
        for delivery in left:
            at, target = self._clock.now(), delivery.target or ""
            decision = unfinished.lapsed(
                delivery, at=at, died=self._is_left_by_the_dead(delivery), idempotent=target in self._idempotent,
                settle=self._targets[target].settle if target in self._targets else timedelta(seconds=60),
            )  # fmt: skip
            await self._write(delivery, decision)
            log.warning(LogEvent.LEASE_LAPSED, delivery=delivery.id, target=target, crashes=decision.after.crashes)

    async def _expire(self, at: datetime) -> None:
        """Only what we have seen overdue for a while, so that it had its last attempt even if we were asleep when patience
        ended; and nothing whose clock stands still."""
        states, seen = await self._standing.all(), {}
        still = {name for name in {*self._targets, *states} if not self._is_running(name, states, at)}
        for delivery in await self._journal.overdue(at=at, limit=AT_ONCE, besides=still):
            seen[delivery.id] = self._overdue.get(delivery.id, at)
            if at - seen[delivery.id] >= LAST_CHANCE:
                await self._write(delivery, unfinished.expired(delivery, at=at))
        self._overdue = seen

    async def _resume(self, at: datetime) -> None:
        """Pauses that were to last until now."""
        for name, state in tuple((await self._standing.all()).items()):
            if state.paused_at is not None and not breaker.is_paused(state, at):
                await self._standing.change(name, lambda now: _resumed(now, at, self._actor))

    async def _write(self, before: Delivery, decision: Decision) -> None:
        """If somebody was faster, theirs stands."""
        await self._journal.advance(
            Change(
                before=before, after=decision.after, event=decision.event, at=decision.after.changed_at, actor=self._actor,
                outcome=decision.said, facts={"claimed_by": before.claimed_by} if before.claimed_by else {},
            )
        )  # fmt: skip

    def _is_left_by_the_dead(self, delivery: Delivery) -> bool:
        """Names of instances may come again (a container's process is always number 1); moments do not."""
        return delivery.claimed_by != self._instance or delivery.changed_at < self._started_at

    def _is_running(self, target: str, states: Mapping[str, TargetState], at: datetime) -> bool:
        config = self._targets.get(target)
        closed = config is not None and config.is_closed(at)
        return breaker.held_by(states.get(target) or TargetState(target), closed=closed, at=at) is None


def _resumed(state: TargetState, at: datetime, actor: str) -> TargetChange | None:
    return None if breaker.is_paused(state, at) else breaker.resume(state, at=at, actor=actor)
