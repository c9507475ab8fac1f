"""Reading beside the writers: what has been asked meanwhile is read together, each step of it in one statement.

Every statement has a snapshot of its own. That is enough, because a dialogue that asks several times asks for more details of
what it has found, and what is committed in between only adds to them or erases them, which a reader has to bear anyway.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import asyncpg

from gateway.adapters.group import settle
from gateway.adapters.postgres_errors import CUT, as_answer, code_of, is_cut
from gateway.adapters.postgres_lane import PATIENCE, Connect, Lane
from gateway.adapters.sql import Dialogue
from gateway.ports import JournalUnavailable

_AT_ONCE = 64
SEARCH_PATIENCE = 30.0  # seconds: a filter over very many dead letters may take a while

Asked = tuple[Dialogue[Any], asyncio.Future[Any]]


class Readers:
    """patience: seconds after which a server that has not answered is taken for gone."""

    def __init__(self, connect: Connect, *, count: int = 2, patience: float = PATIENCE) -> None:
        self._lanes, self._patience = [Lane(connect) for _ in range(count)], patience
        self._queue: deque[Asked] = deque()
        self._wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        """Raises ``JournalUnavailable``."""
        await asyncio.gather(*(lane.session() for lane in self._lanes))
        self._tasks = [asyncio.create_task(self._run(lane), name="journal-reader") for lane in self._lanes]

    async def ask(self, dialogue: Dialogue[Any]) -> Any:
        """Raises ``JournalUnavailable`` and what the dialogue raises."""
        answer = asyncio.get_running_loop().create_future()
        self._queue.append((dialogue, answer))
        self._wanted.set()
        return await answer

    async def stop(self) -> None:
        self._closing = True
        self._wanted.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._lanes:
            await lane.aclose()

    async def _run(self, lane: Lane) -> None:
        while True:
            while not self._queue:
                if self._closing:
                    return
                self._wanted.clear()
                await self._wanted.wait()
            group = [self._queue.popleft() for _ in range(min(_AT_ONCE, len(self._queue)))]
            group = [asked for asked in group if not asked[1].cancelled()]
            answers = await self._read(lane, [dialogue for dialogue, _ in group])
            for (_, future), answer in zip(group, answers, strict=True):
                settle(future, answer)

    async def _read(self, lane: Lane, dialogues: list[Dialogue[Any]]) -> list[Any]:
        try:
            session = await lane.session()
            async with asyncio.timeout(self._patience):
                await session.awake()
                return await session.abreast(dialogues)
        except JournalUnavailable as unavailable:
            return [unavailable] * len(dialogues)
        except (asyncpg.PostgresError, *CUT) as failure:
            if is_cut(failure):
                lane.drop()
            return [_unreadable(failure)] * len(dialogues)
        except Exception as defect:
            return [defect] * len(dialogues)


def _unreadable(failure: BaseException) -> Exception:
    answer = as_answer(failure)
    return answer if isinstance(answer, ValueError) else JournalUnavailable(f"the journal could not be read ({code_of(failure)})")
