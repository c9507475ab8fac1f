"""A portal that knows several intakes: whatever one of them leaves unanswered is sent again, with its key, to the next."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.portal import Answer, Portal, Unanswered

LARGE = 20_000
"""Bytes from which a gateway in a hurry stages a message."""


class RoamingPortal(Portal):
    """portals: one for each intake, without a log of its own. patience: seconds for one answer, as a portal would have.

    acknowledged: how many by which intake, small and large. slowest: answer so far, in seconds.
    """

    def __init__(self, portals: Sequence[Portal], *, log: Path | None = None, patience: float = 5.0) -> None:
        super().__init__("", 0, "", log=log)
        self._portals, self._patience = portals, patience
        self._tries: Counter[str] = Counter()
        self._keys: dict[str, int] = {}
        self.acknowledged: Counter[tuple[int, bool]] = Counter()
        self.slowest = 0.0

    async def post(self, message: bytes, *, key: str | None = None) -> Answer:
        assert key is not None
        first = self._keys.setdefault(key, len(self._keys))
        number = (first + self._tries[key]) % len(self._portals)
        self._tries[key] += 1
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._portals[number].post(message, key=key)
        except TimeoutError:
            raise Unanswered("no answer in time") from None
        self.slowest = max(self.slowest, answer.seconds)
        if answer.status == 202:
            self.acknowledged[number, len(message) > LARGE] += 1
        return answer

    def close(self) -> None:
        super().close()
        for portal in self._portals:
            portal.close()
