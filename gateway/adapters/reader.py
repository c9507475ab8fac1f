"""Reading beside the writer: on a connection of its own, in one thread, many questions in one snapshot."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from typing import Any

from gateway.adapters.group import settle
from gateway.adapters.sql import Dialogue
from gateway.adapters.sqlite_errors import code_of
from gateway.adapters.sqlite_file import Session
from gateway.ports import JournalUnavailable

_AT_ONCE = 64


class ReadingThread:
    """What has queued up is read in one snapshot, begun after all of it was asked, and answered at once."""

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        self._session, self._loop = session, loop
        self._queue: queue.SimpleQueue[tuple[Dialogue[Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-reader", daemon=True)
        self._thread.start()

    async def ask(self, dialogue: Dialogue[Any]) -> Any:
        answer = self._loop.create_future()
        self._queue.put((dialogue, answer))
        return await answer

    def stop(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            with contextlib.suppress(queue.Empty):
                while len(group) < _AT_ONCE:
                    if (another := self._queue.get_nowait()) is None:
                        self._queue.put(None)
                        break
                    group.append(another)
            answers = self._read(group)
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_resolve_all, group, answers)
        self._session.close()

    def _read(self, group: list[tuple[Dialogue[Any], asyncio.Future[Any]]]) -> list[Any]:
        answers: list[Any] = []
        try:
            self._session.begin(write=False)
            for dialogue, answer in group:
                answers.append(None if answer.cancelled() else self._one(dialogue))
            self._session.commit()
        except sqlite3.Error as failure:
            with contextlib.suppress(sqlite3.Error):
                self._session.rollback()
            return [JournalUnavailable(f"the journal could not be read ({code_of(failure)})")] * len(group)
        return answers

    def _one(self, dialogue: Dialogue[Any]) -> Any:
        try:
            return self._session.run(dialogue)
        except sqlite3.Error:
            raise
        except Exception as raised:
            return raised


def _resolve_all(group: list[tuple[Dialogue[Any], asyncio.Future[Any]]], answers: list[Any]) -> None:
    for (_, future), answer in zip(group, answers, strict=True):
        settle(future, answer)
