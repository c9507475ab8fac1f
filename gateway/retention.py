"""Erases what is owed to nobody: submissions past their time whose deliveries are all at an end. Dead letters are kept.

The time counts from receipt: ``retention_days`` of the service, or ``intake.RETENTION`` where no service was recognised.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from gateway.batches import Batches
from gateway.ports import Clock


class Erases(Protocol):
    """What retention needs of the journal."""

    async def erase(self, *, at: datetime, limit: int = 100) -> int: ...


class Retention(Batches):
    """Looks once an hour and erases all there is."""

    def __init__(self, journal: Erases, clock: Clock, *, every: float = 3600.0, limit: int = 100) -> None:
        super().__init__(journal.erase, clock, every=every, limit=limit)
