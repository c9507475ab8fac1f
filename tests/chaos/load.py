"""A portal's traffic that goes on while everything else breaks, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.chaos.processes import PLACES
from tests.portal import SAMPLE_ARS, Portal, message_of


class Reachable(Protocol):
    """A gateway, or several of them."""

    def portal(self, name: str = "portal", *, log: Path | None = None) -> Portal: ...


class Load:
    """Posts message after message, each under its own key until it is acknowledged; every seventh is large enough to be
    staged by a gateway in a hurry. Use with ``with``.

    log: what ``checker.judge`` reads. places: ARS that the messages are for, in turn. pause: seconds between two messages
    of one sender. begun, acknowledged: messages so far; the number of one is the end of its key.
    portal: that sends them.
    """

    def __init__(
        self, gateway: Reachable, log: Path, *, places: Sequence[str] = PLACES[:1], senders: int = 8, pause: float = 0.05,
    ) -> None:
        self.portal = gateway.portal(log=log)
        self._places, self._senders, self._pause = places, senders, pause
        self._enough: int | None = None
        self._stopped = threading.Event()
        self.begun = self.acknowledged = 0
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough = 0
        self._stopped.set()
        self._thread.join()

    def finish(self, minimum: int, *, within: float) -> None:
        """Go on until this many are acknowledged, leave none unanswered, stop. The gateway must be up."""
        self._enough = minimum
        self._thread.join(within)
        if self._failed is not None:
            raise self._failed
        if self._thread.is_alive():
            raise AssertionError(f"only {self.acknowledged} of {self.begun} acknowledged after {within} s more")

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as failed:
            self._failed = failed

    async def _send(self) -> None:
        small, large, begun = message_of(), message_of(30_000), time.time_ns()
        ready = [place.encode() for place in self._places]

        async def sender() -> None:
            while self._enough is None or self.begun < self._enough:
                self.begun += 1
                number = self.begun
                body = (small if number % 7 else large)().replace(SAMPLE_ARS, ready[number % len(ready)])
                insisting = asyncio.ensure_future(self.portal.insist(body, key=f"{begun}-{number}", until=float("inf")))
                while not insisting.done():
                    await asyncio.wait([insisting], timeout=0.2)
                    if self._stopped.is_set():
                        insisting.cancel()
                        return
                await insisting
                self.acknowledged += 1
                await asyncio.sleep(self._pause)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._senders):
                    tasks.create_task(sender())
        finally:
            self.portal.close()
            await asyncio.sleep(0.05)  # for the connections to close
