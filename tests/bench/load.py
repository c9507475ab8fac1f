"""Senders for the benchmark: how many a second, how long they waited, what they were told."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import uvloop

from tests.bench.stages import percentile
from tests.portal import Portal, Unanswered


@dataclass(frozen=True, slots=True)
class Load:
    """seconds: that it took."""

    rate: float
    p50: float
    p99: float
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0


class Door(NamedTuple):
    """Where submissions are taken."""

    port: int
    key: str


def send(doors: Door | Sequence[Door], make: Callable[[], bytes], *, senders: int, seconds: float = 600, count: int = 0) -> Load:
    """Closed loop: every sender posts the next message as soon as the last was answered. Bodies are made beforehand.

    senders: at each door. Ends after so many seconds, or when so many were sent.
    """
    doors = [doors] if isinstance(doors, Door) else doors
    bodies = [make() for _ in range(count or min(40_000, int(12_000 * seconds)))]
    return uvloop.run(_send(doors, bodies, senders=senders, seconds=seconds))


async def _send(doors: Sequence[Door], bodies: list[bytes], *, senders: int, seconds: float) -> Load:
    waits: list[float] = []
    statuses: Counter[int] = Counter()
    portals = [Portal("127.0.0.1", door.port, door.key) for door in doors]
    begun = time.perf_counter()

    async def sender(portal: Portal) -> None:
        while bodies and time.perf_counter() - begun < seconds:
            try:
                answer = await portal.post(bodies.pop())
            except Unanswered:
                statuses[0] += 1
                continue
            statuses[answer.status] += 1
            waits.append(answer.seconds)

    await asyncio.gather(*(sender(portal) for portal in portals for _ in range(senders)))
    elapsed = time.perf_counter() - begun
    for portal in portals:
        portal.close()
    return Load(len(waits) / elapsed, percentile(waits, 0.5) * 1000, percentile(waits, 0.99) * 1000, statuses, elapsed)
