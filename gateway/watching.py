"""A journal that tells who waits for news, after every commit that changed a submission. Else it is the journal itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from gateway.ports import NO_LIMITS, Change, Journal
from gateway.submission import Delivery


class Watched:
    """Implements ``ports.Journal`` by handing everything on."""

    def __init__(self, journal: Journal, tell: Callable[[str], None]) -> None:
        self._journal, self._tell = journal, tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def advance(self, *changes: Change) -> bool:
        written = await self._journal.advance(*changes)
        if written:
            for change in changes:
                self._tell(change.after.submission_id)
        return written

    async def claim(
        self, delivery_id: str, *, at: datetime, lease_until: datetime, by: str, at_most: Mapping[str, int] = NO_LIMITS
    ) -> Delivery | None:
        delivery = await self._journal.claim(delivery_id, at=at, lease_until=lease_until, by=by, at_most=at_most)
        if delivery is not None:
            self._tell(delivery.submission_id)
        return delivery
