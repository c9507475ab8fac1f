"""May another submission come in now? Decided before its body is read (P5, P6): one portal, one slow disk or one flood of
broken documents must not take the gateway from everybody else."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path


class Reason(StrEnum):
    """Why not: the portal's own cap or budget (429), or ours (503, 507)."""

    TOO_MANY = "too_many"
    TOO_MANY_INVALID = "too_many_invalid"
    STOPPING = "stopping"
    JOURNAL_SLOW = "journal_slow"
    DISK_FULL = "disk_full"


@dataclass(slots=True, eq=False)
class TurnedAway(Exception):
    """Not now. Nothing was read and nothing stored. retry_after: seconds."""

    reason: Reason
    retry_after: int

    def __str__(self) -> str:
        return self.reason.value


class Admission:
    """Counts per portal and looks at the journal and its disk.

    oldest_waiting: how long the oldest write waits for its commit. disk: folder of the journal. reserve: size of a disk →
    bytes that must stay free on it for finishing what was accepted.
    """

    def __init__(
        self,
        oldest_waiting: Callable[[], timedelta],
        disk: Path | None,
        *,
        reserve: Callable[[int], int] = lambda total: total // 10,
        max_wait: timedelta = timedelta(seconds=2),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._oldest_waiting, self._disk, self._max_wait, self._clock = oldest_waiting, disk, max_wait, clock
        self._reserve = reserve
        self._inside: defaultdict[str, int] = defaultdict(int)
        self._invalid: defaultdict[str, deque[float]] = defaultdict(deque)
        self._disk_checked, self._disk_short = float("-inf"), False
        self.stopping = False

    @contextmanager
    def enter(self, portal: str, *, cap: int, invalid_per_minute: int) -> Iterator[None]:
        """Held while a submission of this portal is being worked on. Raises ``TurnedAway``."""
        self.check()
        if self._inside[portal] >= cap:
            raise TurnedAway(Reason.TOO_MANY, 1)
        if wait := self._invalid_wait(portal, invalid_per_minute):
            raise TurnedAway(Reason.TOO_MANY_INVALID, wait)
        self._inside[portal] += 1
        try:
            yield
        finally:
            self._inside[portal] -= 1

    def check(self) -> None:
        """Is the gateway itself able to take anything? Raises ``TurnedAway``."""
        if self.stopping:
            raise TurnedAway(Reason.STOPPING, 5)
        if self._oldest_waiting() > self._max_wait:
            raise TurnedAway(Reason.JOURNAL_SLOW, 5)
        if self.disk_is_short():
            raise TurnedAway(Reason.DISK_FULL, 60)

    def count_invalid(self, portal: str) -> None:
        self._invalid[portal].append(self._clock())

    def in_flight(self) -> int:
        return sum(self._inside.values())

    def disk_is_short(self) -> bool:
        """Looked at once a second at most."""
        now = self._clock()
        if self._disk is not None and now - self._disk_checked >= 1:
            self._disk_checked = now
            total, _, free = shutil.disk_usage(self._disk)
            self._disk_short = free < self._reserve(total)
        return self._disk_short

    def _invalid_wait(self, portal: str, per_minute: int) -> int:
        """Seconds until this portal's budget has room again; 0 if it has."""
        times = self._invalid.get(portal)
        if not times:
            return 0
        now = self._clock()
        while times and now - times[0] > 60:
            times.popleft()
        return max(1, int(61 - (now - times[0]))) if len(times) >= per_minute else 0
