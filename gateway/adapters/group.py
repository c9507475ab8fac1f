"""Group commit: whoever waits for a commit shares it with all who wait at the same time.

One thread writes. It takes what has queued up while the last group was being synced, runs it in one transaction, commits
once and answers all at once. Nothing in a group raises by design; if something does all the same, the group is rolled back
and each is run alone, so that only the bad one fails.

After a failed commit nothing is known about what the disk holds, and a second sync would say "fine" about pages the system
has already dropped. So the commit is not repeated: whoever waited is told no, the connection is thrown away, and intake
stays shut until a new connection has committed something. The reader's connection stays open meanwhile: with it lives the
index of the log, which has never heard of the failed group, so that the next commit is written over its remains.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.adapters.rows import RowMapping
from gateway.adapters.sql import Dialogue, JournalUnusable
from gateway.adapters.sqlite_errors import as_answer, code_of, is_full, is_ill, is_locked
from gateway.adapters.sqlite_file import Session
from gateway.adapters.work import Work
from gateway.ports import JournalUnavailable

_GROUP = 128  # operations: enough for one sync, and the next group can be prepared meanwhile
_GROUP_BYTES = 16 << 20
WORTH_WAITING = 24  # operations: from here on, another one in the group saves next to nothing
GATHER = 0.03  # seconds at most; only while many are on their way, who then wait for the processor longer than that
_SLICE = 0.002
_LOG_BYTES = 16 << 20  # checkpoint after about this much
_EMPTY_AGAIN = 30.0  # seconds: it waits for readers, and everybody for it
_RETRY = 1.0  # seconds between attempts to open a journal anew

Operation = Callable[[Work, Sequence[Any]], Dialogue[list[Any]]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Since start. syncs: of commits, and three for each checkpoint. sizes: group size rounded up to a power of two →
    how often."""

    operations: int
    commits: int
    checkpoints: int
    syncs: int
    alone: int
    failed_commits: int
    sizes: dict[int, int]
    seconds: float


@dataclass(slots=True, eq=False)
class Waiting:
    """An operation on its way."""

    operation: Operation
    argument: Any
    answer: asyncio.Future[Any]
    weight: int
    may_drop: bool
    since: float = field(default_factory=time.monotonic)


class GroupCommit:
    """The writing thread. Everything public is called on the event loop; everything else runs in the thread."""

    def __init__(self, connect: Callable[[], Session], rows: RowMapping, loop: asyncio.AbstractEventLoop) -> None:
        self._connect, self._rows, self._loop = connect, rows, loop
        self.expecting: Callable[[], int] = lambda: 0  # submissions being worked on, which will come here soon
        self._session: Session | None = connect()
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._outstanding: deque[Waiting] = deque()
        self._log_bytes = 0
        self._to_empty = False
        self._ailing: str | None = None
        self._tried = self._empty_at = 0.0
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[int] = Counter()
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    async def do(self, operation: Operation, argument: Any, *, weight: int = 0, may_drop: bool = False) -> Any:
        """Returns after the synced commit. If the caller goes away, the operation is done all the same, unless it
        ``may_drop`` and has not begun."""
        waiting = Waiting(operation, argument, self._loop.create_future(), weight, may_drop)
        self._outstanding.append(waiting)
        self._queue.put(waiting)
        return await waiting.answer

    def oldest_waiting(self) -> float:
        """Seconds."""
        return time.monotonic() - self._outstanding[0].since if self._outstanding else 0.0

    @property
    def ailing(self) -> str | None:
        """Why nothing can be written now."""
        return self._ailing

    def figures(self) -> Figures:
        c = self._counts
        return Figures(
            c["operations"], c["commits"], c["checkpoints"], c["commits"] + 3 * c["checkpoints"], c["alone"], c["failed"],
            dict(sorted(self._sizes.items())), self._seconds,
        )

    def empty_log(self) -> None:
        """After the next group: what was deleted must not live on in the log."""
        self._to_empty = True

    def stop(self) -> None:
        """Returns when all that was queued is committed; blocks, so call it off the event loop."""
        self._queue.put(None)
        self._thread.join()

    # --- in the thread

    def _run(self) -> None:
        while (group := self._next()) is not None:
            if group:
                self._answer(group, self._guarded(group))
            self._keep_log_short()
        if self._session is not None:
            self._session.close()

    def _next(self) -> list[Waiting] | None:
        """All that has queued up, within reason; ``None``: stop. Blocks; while ailing it looks after the patient, also when it
        is asked all the time."""
        if self._ailing is not None and time.monotonic() - self._tried >= _RETRY:
            self._tried = time.monotonic()
            self._recover()
        try:
            first = self._queue.get(timeout=_RETRY if self._ailing else _EMPTY_AGAIN if self._to_empty else None)
        except queue.Empty:
            return []
        if first is None:
            return None
        self._gather()
        group, weight = [first], first.weight
        while len(group) < _GROUP and weight < _GROUP_BYTES:
            try:
                another = self._queue.get_nowait()
            except queue.Empty:
                break
            if another is None:
                self._queue.put(None)  # stop after this group
                break
            group.append(another)
            weight += another.weight
        return group

    def _gather(self) -> None:
        """Where many are on their way, one sync for half of them serves all sooner than many syncs for a few each, in which this
        thread keeps taking the interpreter's lock from them (measured with 32 senders: a fifth more)."""
        end = time.monotonic() + GATHER
        while 1 + self._queue.qsize() < min(WORTH_WAITING, self.expecting() // 2) and time.monotonic() < end:
            time.sleep(_SLICE)

    def _guarded(self, group: list[Waiting]) -> list[Any]:
        """The thread must outlive even a defect in itself: everybody waits for it."""
        try:
            return self._settle(group)
        except Exception as defect:
            if self._session is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._session.rollback()
            return [defect] * len(group)

    def _settle(self, group: list[Waiting]) -> list[Any]:
        """An answer or an exception for each."""
        if self._ailing is not None:
            return [self._unavailable()] * len(group)
        gone = [waiting.may_drop and waiting.answer.cancelled() for waiting in group]
        wanted = [waiting for waiting, dropped in zip(group, gone, strict=True) if not dropped]
        answers = iter(self._commit(wanted) if wanted else [])
        return [None if dropped else next(answers) for dropped in gone]

    def _commit(self, group: list[Waiting]) -> list[Any]:
        session, begun = self._session, time.perf_counter()
        assert session is not None
        try:
            session.begin()
            answers = self._work(session, group)
        except Exception as surprise:
            return self._after(surprise, group)
        try:
            session.commit()
        except sqlite3.Error as failure:
            if is_full(failure):
                return self._after(failure, group)
            self._break_off(failure)
            return [self._unavailable()] * len(group)
        self._counts["commits"] += 1
        self._counts["operations"] += len(group)
        self._sizes[1 << (len(group) - 1).bit_length()] += 1
        self._seconds += time.perf_counter() - begun
        self._log_bytes += sum(4_096 + 2 * waiting.weight for waiting in group)
        return answers

    def _work(self, session: Session, group: list[Waiting]) -> list[Any]:
        """Operations of a kind are run together."""
        work = Work(self._rows)
        session.run(work.begin())
        kinds: dict[Operation, list[int]] = {}
        for place, waiting in enumerate(group):
            kinds.setdefault(waiting.operation, []).append(place)
        answers: list[Any] = [None] * len(group)
        for operation, places in kinds.items():
            found = session.run(operation(work, [group[place].argument for place in places]))
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
        session.run(work.finish())
        return answers

    def _after(self, surprise: Exception, group: list[Waiting]) -> list[Any]:
        """The transaction is undone; each tries alone, unless the disk itself is at fault."""
        if isinstance(surprise, sqlite3.Error) and is_ill(surprise):
            self._break_off(surprise)
            return [self._unavailable()] * len(group)
        try:
            assert self._session is not None
            self._session.rollback()
        except sqlite3.Error as failure:
            self._break_off(failure)
            return [self._unavailable()] * len(group)
        if len(group) == 1 or is_locked(surprise):
            return [as_answer(surprise) for _ in group]
        self._counts["alone"] += len(group)
        answers: list[Any] = []
        for waiting in group:
            answers += self._commit([waiting]) if self._ailing is None else [self._unavailable()]
        return answers

    def _break_off(self, failure: sqlite3.Error) -> None:
        self._counts["failed"] += 1
        self._ailing = f"the journal could not be written ({code_of(failure)})"
        self._tried = time.monotonic()
        if self._session is not None:
            with contextlib.suppress(sqlite3.Error):
                self._session.close()
            self._session = None

    def _recover(self) -> None:
        try:
            session = self._connect()
        except (sqlite3.Error, OSError, JournalUnusable):
            return
        try:
            session.begin()
            session.connection.execute("update counter set history = history where one = 1")
            session.commit()
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                session.close()
            return
        self._session, self._ailing = session, None

    def _keep_log_short(self) -> None:
        """After the answers: nobody waits for a checkpoint but who comes next."""
        to_empty = self._to_empty and time.monotonic() >= self._empty_at
        if self._session is None or (self._log_bytes < _LOG_BYTES and not to_empty):
            return
        self._log_bytes = 0
        if to_empty:
            self._to_empty = False  # before it is done: what is erased meanwhile asks again
        try:
            done = self._session.checkpoint("truncate" if to_empty else "passive")
            if to_empty and not done:  # somebody reads, a backup for example
                self._to_empty, self._empty_at = True, time.monotonic() + _EMPTY_AGAIN
            self._counts["checkpoints"] += 1
        except sqlite3.Error as failure:
            if is_ill(failure):
                self._break_off(failure)

    def _unavailable(self) -> JournalUnavailable:
        return JournalUnavailable(self._ailing or "the journal is closed")

    def _answer(self, group: list[Waiting], answers: list[Any]) -> None:
        # the loop may be closed already when a process ends in a hurry
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._resolve, group, answers)

    # --- on the event loop again

    def _resolve(self, group: list[Waiting], answers: list[Any]) -> None:
        for waiting, answer in zip(group, answers, strict=True):
            self._outstanding.popleft()
            settle(waiting.answer, answer)


def settle(future: asyncio.Future[Any], answer: Any) -> None:
    """A caller that has gone is nobody's error."""
    if future.done():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
