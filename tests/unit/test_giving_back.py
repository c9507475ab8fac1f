"""A worker that is told to stop gives back what it has heard and not begun, so that nobody waits for it to be found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, cast

from gateway.delivery import Worker
from gateway.ports import Broker, GivenBack, Journal, Ticket
from tests.clock import TurnableClock


class Rung(AbstractAsyncContextManager[Ticket]):
    """Takes its time to open; remembers how it ended."""

    ended: object = None

    async def __aenter__(self) -> Ticket:
        for _ in range(10):
            await asyncio.sleep(0)
        return Ticket("d1", "rest")

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ended = error


class OneTicket:
    def __init__(self, rung: Rung) -> None:
        self._rung = rung

    async def tickets(self, lane: str) -> AsyncIterator[Rung]:
        yield self._rung
        await asyncio.sleep(3600)


class Untouched:
    """A journal that must not be asked for anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


async def test_what_was_heard_and_not_begun_goes_back_and_its_dispatcher_is_told() -> None:
    rung, done = Rung(), list[str]()
    worker = Worker(
        journal=cast(Journal, Untouched()), broker=cast(Broker, OneTicket(rung)), clock=TurnableClock(), targets={},
        instance="worker-1", on_done=done.append,
    )  # fmt: skip
    running = asyncio.create_task(worker.run("rest"))
    for _ in range(3):
        await asyncio.sleep(0)

    await worker.stop(5)
    await running

    assert isinstance(rung.ended, GivenBack)
    assert done == ["d1"]
