"""The same intake and the same POST with nothing between them: no queue, nothing durable, no worker. What no program built
of these parts can be faster than."""

from __future__ import annotations

import asyncio

from tests.bench.peers.job import AT_ONCE, Poster, intake

_posters: list[Poster] = []
_running: set[asyncio.Task[None]] = set()
_free = asyncio.Semaphore(AT_ONCE)


async def _deliver(own: str, body: str) -> None:
    if not _posters:
        _posters.append(Poster())
    async with _free:
        await _posters[0].post(own, body)


async def _begin(own: str, body: str) -> None:
    task = asyncio.create_task(_deliver(own, body))
    _running.add(task)
    task.add_done_callback(_running.discard)


web = intake(_begin)
