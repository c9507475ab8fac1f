"""The only place that rings. Also expires what was given up and sweeps leases that ran out.

Per target it keeps a page of due ids and rings at most *concurrency − in flight − rung*, so that a shared lane cannot
starve anyone. What it knows is in memory and expendable: everything is read again from the journal, and a ticket that
nobody took within a minute is rung again. When nothing is due it asks the journal once in five seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

import structlog

from gateway.attempts import breaker
from gateway.attempts.standing import Standing
from gateway.logfields import LogEvent
from gateway.ports import Breaker, Broker, Clock, Due, Journal, NotRung, TargetState, Ticket
from gateway.site import TargetConfig
from gateway.sweeping import Sweeper
from gateway.telemetry import place_of

log = structlog.get_logger("nahtlos.dispatch")

PAGE = 256
LOST_AFTER = timedelta(seconds=60)
NOT_TAKEN_AFTER = timedelta(seconds=5)
"""The same where a target could take more: another process may have heard the ticket at a moment when it could not."""
RING_TIMEOUT = 10.0
AT_ONCE = 64
"""Rings on their way at once: a broker answers each when its quorum has it, and many together hardly later than one."""
IDLE = 5.0
"""Seconds between looks into the journal when nothing happens."""
BUSY = 1.0
"""Seconds between looks when something happened since the last one, or something due is held back."""


class Dispatcher:
    """One per process that works on the journal; any number may run, a double ring dies at the claim.

    targets: of the site file. idempotent: names of targets that honour the delivery id themselves.
    alone: no other process works on this journal (SQLite): leases of other instances were left by the dead, and what is
    in flight is known without asking. standing: the one that worker and operator of this process use too.

    passed_at: when it last went through all that is due and nothing failed.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        broker: Broker,
        clock: Clock,
        targets: Mapping[str, TargetConfig],
        instance: str,
        alone: bool = True,
        idempotent: frozenset[str] = frozenset(),
        standing: Standing | None = None,
    ) -> None:
        self._journal, self._broker, self._clock, self._targets = journal, broker, clock, targets
        self._actor, self._alone = f"gateway:{instance}", alone
        self._lanes = {name: _Lane(config) for name, config in targets.items()}
        self._where: dict[str, _Lane] = {}  # what we rang, until it is done
        self._ended: set[str] = set()  # since the journal was last asked
        self._suspect: str | None = None
        self._suspects_lane: _Lane | None = None
        self._standing = standing or Standing(journal=journal, clock=clock)
        self._sweeper = Sweeper(
            journal=journal, clock=clock, targets=targets, instance=instance, alone=alone,
            idempotent=idempotent, standing=self._standing,
        )  # fmt: skip
        self._woken = asyncio.Event()
        self._touched = True
        self._looked_at = self._look_at = self.passed_at = clock.now()

    def take(self, idempotent: frozenset[str]) -> None:
        """``targets`` shows others from now on. What is rung stays rung; a new dictionary, because the old may be walked."""
        lanes = {}
        for name, config in self._targets.items():
            lanes[name] = lane = self._lanes.get(name) or _Lane(config)
            lane.config = config
        self._lanes = lanes
        self._sweeper.take(idempotent)
        self.nudge()

    def nudge(self, target: str | None = None) -> None:
        """Something may be due: after accept, after an operator's action, after an attempt. Cheap; coalesced."""
        self._touched = True
        lanes = self._lanes.values() if target is None else [lane] if (lane := self._lanes.get(target)) else []
        for lane in lanes:
            lane.look = True
            if lane.room() > 0:
                self._woken.set()

    def done(self, delivery_id: str) -> None:
        """The worker of this process has finished with a ticket (``Worker(on_done=dispatcher.done)``). Cheap."""
        self._touched = True
        self._ended.add(delivery_id)
        lane = self._where.pop(delivery_id, None)
        if lane is not None:
            lane.rung.pop(delivery_id, None)
            lane.flying.discard(delivery_id)
            if lane.shut:  # it was the probe, or what was in flight before: the breaker may have closed
                self._standing.forget()
                self._woken.set()
        if self._suspect == delivery_id:
            self._suspect = self._suspects_lane = None
            self._woken.set()
        elif lane is None and not self._alone:  # rung by another dispatcher, whose work we may count as in flight
            for counted in self._lanes.values():
                counted.recount = True
            self._woken.set()
        elif lane is not None and (lane.look or lane.waiting or lane.suspects):
            self._woken.set()

    async def run(self) -> None:
        """Until cancelled. A journal or a broker that is away costs a late ring."""
        started = False
        while True:
            try:
                if not started:
                    await self._sweeper.begin()
                    started = True
                if self._clock.now() >= self._next_look():
                    await self._look()
                for lane in self._lanes.values():
                    if lane.look or lane.waiting or lane.suspects:
                        await self._fill(lane)
                self.passed_at = self._clock.now()
                rest = (self._next_look() - self._clock.now()).total_seconds()
            except Exception as error:
                log.warning(LogEvent.DISPATCHER, **place_of(error))
                self._look_at = self._clock.now()
                rest = BUSY
            await self._rest(rest)

    # --- what the journal says ---------------------------------------------------------------------------------------

    def _next_look(self) -> datetime:
        return min(self._look_at, self._looked_at + timedelta(seconds=BUSY)) if self._touched else self._look_at

    async def _look(self) -> None:
        at = self._clock.now()
        self._looked_at, self._touched = at, False
        next_due = await self._journal.next_due()
        if next_due is not None and next_due <= at:
            await self._sweeper.sweep()
            for lane in self._lanes.values():
                lane.look = lane.recount = True
                await self._forget_lost(lane, at)
            self._look_at = at + timedelta(seconds=BUSY)
            return
        longest = at + timedelta(seconds=IDLE)
        self._look_at = min(next_due, longest) if next_due is not None else longest

    # --- what is rung ------------------------------------------------------------------------------------------------

    async def _fill(self, lane: _Lane) -> None:
        """Ring as many as there is room for."""
        name, at = lane.config.name, self._clock.now()
        if lane.recount and not self._alone:
            await self._read(lane, at)
        if lane.room() <= 0:
            return
        state = await self._standing.of(name)
        gate = _gate(lane.config, state, at)
        lane.shut = gate is not _Gate.OPEN
        if gate is _Gate.SHUT:
            lane.look, lane.waiting, lane.suspects = True, deque(), deque()
            return
        if not (lane.waiting or lane.suspects) and lane.look:
            await self._read(lane, at)
        if gate is _Gate.PROBE and (lane.waiting or lane.suspects):
            change = await self._standing.change(name, lambda now: breaker.probe(now, at=at, actor=self._actor))
            if change is None:
                return
            await self._ring(lane, self._mark(lane, (lane.waiting or lane.suspects).popleft()))
            return
        while gate is _Gate.OPEN and (due := self._next(lane)) is not None:
            together = [due]
            while len(together) < AT_ONCE and (due := self._next(lane)) is not None:
                together.append(due)
            if not all(await asyncio.gather(*(self._ring(lane, due) for due in together))):
                return
            if not lane.waiting and lane.look:
                await self._read(lane, at)

    def _next(self, lane: _Lane) -> Due | None:
        """The oldest, if there is room for it; but a delivery that a process has died with runs alone (see
        ``unfinished.lapsed``)."""
        if lane.room() <= 0:
            return None
        if lane.suspects and self._suspect is None:
            if lane.rung or lane.flying:
                return None  # let the target run empty first
            due = lane.suspects.popleft()
            self._suspect, self._suspects_lane = due.delivery_id, lane
            return self._mark(lane, due)
        if self._suspects_lane is lane:
            return None
        return self._mark(lane, lane.waiting.popleft()) if lane.waiting else None

    def _mark(self, lane: _Lane, due: Due) -> Due:
        """As rung, before it is, so that nobody counts on the same room."""
        lane.rung[due.delivery_id] = self._clock.now()
        self._where[due.delivery_id] = lane
        return due

    async def _ring(self, lane: _Lane, due: Due) -> bool:
        try:
            async with asyncio.timeout(RING_TIMEOUT):
                await self._broker.ring(Ticket(due.delivery_id, lane.config.lane))
        except Exception as error:
            if not isinstance(error, NotRung):  # which the broker tells once, and not for every ring
                log.warning(LogEvent.BROKER, error=type(error).__name__, lane=lane.config.lane)
            lane.rung.pop(due.delivery_id, None)
            self._where.pop(due.delivery_id, None)
            if self._suspect == due.delivery_id:
                self._suspect = self._suspects_lane = None
            lane.look = True
            self._touched = True
            return False
        return True

    async def _read(self, lane: _Lane, at: datetime) -> None:
        """A page of due ids. Ours that are rung and still due have not been taken yet."""
        lane.look = lane.recount = False  # first: a nudge that comes while the journal is read must not be lost
        self._ended.clear()  # as what ends meanwhile, which the answers may not know yet
        page = await self._journal.due(lane.config.name, at=at, limit=max(PAGE, 4 * lane.config.concurrency))
        if not self._alone:
            for taken in lane.rung.keys() - {due.delivery_id for due in page}:
                lane.rung.pop(taken)
            flying = await self._journal.in_flight(lane.config.name)
            if len(flying) < lane.config.concurrency:
                # The target had its hands full when the claim came, and nobody is left who would ring: but now it has not.
                for refused in [one for one, rung_at in lane.rung.items() if at - rung_at > NOT_TAKEN_AFTER]:
                    lane.rung.pop(refused)
            lane.flying = set(flying - lane.rung.keys() - self._ended)
            for over in [one for one, where in self._where.items() if where is lane and not lane.holds(one)]:
                self._where.pop(over)
            if self._suspects_lane is lane and not lane.flying and self._suspect not in lane.rung:
                self._suspect = self._suspects_lane = None
        fresh = [due for due in page if due.delivery_id not in lane.rung and due.delivery_id not in self._ended]
        lane.look = lane.look or len(page) >= PAGE or any(due.delivery_id in self._ended for due in page)
        lane.waiting = deque(due for due in fresh if not due.crashes)
        lane.suspects = deque(due for due in fresh if due.crashes)

    async def _forget_lost(self, lane: _Lane, at: datetime) -> None:
        """Tickets rung a minute ago for deliveries that are still due: the broker lost them, or nobody listened."""
        old = {one for one, rung_at in lane.rung.items() if at - rung_at > LOST_AFTER}
        if old:
            page = await self._journal.due(lane.config.name, at=at, limit=max(PAGE, 4 * lane.config.concurrency))
            for lost in old & {due.delivery_id for due in page}:
                self.done(lost)

    async def _rest(self, seconds: float) -> None:
        if seconds > 0 and not self._woken.is_set():
            alarm = asyncio.create_task(self._wake_after(seconds))
            try:
                await self._woken.wait()
            finally:
                alarm.cancel()
        else:
            await asyncio.sleep(0)
        self._woken.clear()

    async def _wake_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._woken.set()


@dataclass(slots=True)
class _Lane:
    """What is known of one target. look: the journal may hold due ids that are not here. flying: what else the journal says
    is in flight, where other processes work too, recount: it may have changed; alone, ``rung`` holds a delivery until its
    worker is done with it."""

    config: TargetConfig
    look: bool = True
    shut: bool = False
    recount: bool = True
    waiting: deque[Due] = field(default_factory=deque)
    suspects: deque[Due] = field(default_factory=deque)
    rung: dict[str, datetime] = field(default_factory=dict)
    flying: set[str] = field(default_factory=set)

    def holds(self, delivery_id: str) -> bool:
        return delivery_id in self.rung or delivery_id in self.flying

    def room(self) -> int:
        return self.config.concurrency - len(self.rung) - len(self.flying)


class _Gate(Enum):
    SHUT = 0
    PROBE = 1
    OPEN = 2


def _gate(config: TargetConfig, state: TargetState, at: datetime) -> _Gate:
    closed = config.is_closed(at)
    if breaker.held_by(state, closed=closed, at=at) is None:
        return _Gate.OPEN
    if state.breaker is not Breaker.CLOSED and not breaker.is_paused(state, at) and not closed:
        return _Gate.PROBE if state.probe_at is not None and state.probe_at <= at else _Gate.SHUT
    return _Gate.SHUT
