"""When to try again. Pure: the answer depends on nothing but the arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

_STEPS = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """5 s, 30 s, 2 min, 10 min, 30 min, 1 h, then hourly, each ±20 %, until ``give_up_after`` of counted time is over."""

    give_up_after: timedelta = timedelta(hours=72)
    steps: tuple[timedelta, ...] = _STEPS
    jitter: float = 0.2

    def next_attempt(
        self, failures: int, *, now: datetime, chance: float, retry_after: timedelta | None = None
    ) -> datetime:
        """When to try after the ``failures``-th failure in a row (1 = the first).

        chance: a number in [0, 1) that decides the jitter. retry_after: what the target asked for; it is never undercut,
        but capped at a day so that a wrong header cannot park an application for a year.
        """
        step = self.steps[min(failures, len(self.steps)) - 1]
        wait = step * (1 - self.jitter + 2 * self.jitter * chance)
        if retry_after is not None:
            wait = max(wait, min(retry_after, timedelta(days=1)))
        return now + wait
