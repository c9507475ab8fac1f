"""Who is waiting for news of a submission, inside this process. A hint and no truth: whoever wakes up reads the journal."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Changes:
    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._closed = False

    def tell(self, submission_id: str) -> None:
        """Something about this submission was committed. Cheap when nobody listens."""
        for event in self._waiting.get(submission_id, ()):
            event.set()

    async def wait(self, event: asyncio.Event, *, timeout: float) -> bool:
        """True once ``event`` was set, False after ``timeout`` seconds or when the process is stopping."""
        if not self._closed:
            try:
                async with asyncio.timeout(timeout):
                    await event.wait()
            except TimeoutError:
                return False
        changed = event.is_set() and not self._closed
        event.clear()
        return changed

    def listen(self, submission_id: str) -> asyncio.Event:
        """From now on nothing is missed: listen first, read the journal, then wait."""
        event = asyncio.Event()
        self._waiting[submission_id].add(event)
        return event

    def leave(self, submission_id: str, event: asyncio.Event) -> None:
        self._waiting[submission_id].discard(event)
        if not self._waiting[submission_id]:
            del self._waiting[submission_id]

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """The process stops: whoever waits is woken up and gets the answer of now."""
        self._closed = True
        for events in self._waiting.values():
            for event in events:
                event.set()
