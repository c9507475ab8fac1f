"""Group commit on PostgreSQL: whoever waits for a commit shares it with all who wait at the same time.

One writer at a time in the whole database. A group takes its turn (an advisory lock, until its transaction ends) before it
reads or writes anything; all the reasoning of the dialogues therefore holds as on SQLite, where one thread writes. Isolation
is READ COMMITTED on purpose: every statement sees all that was committed before it began, and since the turn was taken
before, that is all there is. Numbers follow the order of commits, without gaps in the history, because nobody else can take
one before this transaction has ended; a sealer never meets a line that appears late. What is paid for it: commits follow
each other. So a group is formed only once it has its turn, from all that has queued up by then, and needs few round trips;
two connections take turns, so that the next group is already at the door while one is being synced.

A server does not wait long for a process that fell asleep within its turn (``idle_in_transaction_session_timeout``), and
none waits long for its turn (``lock_timeout``).

A commit without an answer may have happened or not. Whoever waited is told no, the connection is thrown away; a repeat finds
by its key, or by the revision, what was stored after all.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg

from gateway.adapters.group import GATHER, WORTH_WAITING, Figures, Waiting, settle
from gateway.adapters.postgres_errors import CUT, as_answer, code_of, is_cut, is_for_all
from gateway.adapters.postgres_footing import Footing
from gateway.adapters.postgres_lane import PATIENCE, Connect, Lane, Operation, Unsure, rolled_back, run_kind, transaction
from gateway.adapters.postgres_session import Session
from gateway.adapters.rows import RowMapping
from gateway.adapters.work import Work
from gateway.ports import JournalUnavailable

_GROUP = 256  # operations: those of several processes wait for one another, so more of them share a turn than on SQLite
_GROUP_BYTES = 4 << 20
_RETRY = 0.5


class Writers:
    """Everything runs on the event loop."""

    def __init__(self, connect: Connect, rows: RowMapping, *, count: int = 2) -> None:
        self.expecting: Callable[[], int] = lambda: 0
        self._rows = rows
        self._lanes = [Lane(connect) for _ in range(count)]
        self._tasks: list[asyncio.Task[None]] = []
        self._queue: deque[Waiting] = deque()
        self._outstanding: dict[Waiting, None] = {}
        self._wanted, self._door = asyncio.Event(), asyncio.Lock()
        self._working = 0
        self._ailing: str | None = None
        self.footing = Footing()
        self._closing = False
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[int] = Counter()
        self._seconds = 0.0

    async def start(self) -> None:
        """Raises ``JournalUnavailable``."""
        await asyncio.gather(*(lane.session() for lane in self._lanes))
        self._tasks = [asyncio.create_task(self._run(lane), name="journal-writer") for lane in self._lanes]
        self._working = len(self._lanes)

    async def do(self, operation: Operation, argument: Any, *, weight: int = 0, may_drop: bool = False) -> Any:
        """Returns after the synced commit. If the caller goes away, the operation is done all the same, unless it
        ``may_drop`` and has not begun."""
        self.footing.refuse()
        if self._ailing is not None:
            raise JournalUnavailable(self._ailing)
        waiting = Waiting(operation, argument, asyncio.get_running_loop().create_future(), weight, may_drop)
        self._outstanding[waiting] = None
        self._queue.append(waiting)
        self._wanted.set()
        return await waiting.answer

    def oldest_waiting(self) -> float:
        """Seconds."""
        return time.monotonic() - next(iter(self._outstanding)).since if self._outstanding else 0.0

    @property
    def ailing(self) -> str | None:
        """Why nothing can be written now."""
        return self._ailing

    def figures(self) -> Figures:
        c = self._counts
        return Figures(
            c["operations"], c["commits"], 0, c["commits"], c["alone"], c["failed"], dict(sorted(self._sizes.items())),
            self._seconds,
        )

    async def stop(self) -> None:
        """Returns when all that was queued is committed."""
        self._closing = True
        self._wanted.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._refuse("the journal is closed")
        for lane in self._lanes:
            await lane.aclose()

    # --- one lane

    async def _run(self, lane: Lane) -> None:
        while not (self._closing and (not self._queue or self._ailing)):
            try:
                await self._one_group(await lane.session())
            except JournalUnavailable as unavailable:
                await self._without(lane, unavailable.reason)
            except Exception as surprise:  # a task that everybody waits for must outlive even a defect in itself
                await self._without(lane, code_of(surprise))

    async def _without(self, lane: Lane, reason: str) -> None:
        """This lane has no connection. The last of them takes the journal out of service, and only a new connection that has
        committed something puts it back."""
        lane.drop()
        self._working -= 1
        while not self._closing:
            if not self._working:
                self._ailing = reason
                self._refuse(reason)
            try:
                await self._prove(await lane.session())
                break
            except Exception:  # whatever it is: everybody waits for this task
                lane.drop()
            await asyncio.sleep(_RETRY)
        self._working += 1
        if not self._closing:
            self._ailing = None

    async def _prove(self, session: Session) -> None:
        async def write(_: Session, __: Work) -> None:
            await session.connection.execute("update counter set history = history where one = 1")

        async with asyncio.timeout(PATIENCE):
            await session.begin()
        await transaction(session, self._rows, write)

    # --- one group

    async def _one_group(self, session: Session) -> None:
        """Raises ``JournalUnavailable`` when the connection is gone; all that belonged to it have their answer then."""
        async with self._door:
            await self._something_to_do()
            await self._gather()
            if not self._queue or not await self._has_turn(session):
                return
            group = self._next()
        if group:
            self._answer(group, await self._commit(session, group))
        else:
            await rolled_back(session)
        if session.is_closed():
            raise JournalUnavailable("the journal was cut off")

    async def _something_to_do(self) -> None:
        while not self._queue and not self._closing:
            self._wanted.clear()
            await self._wanted.wait()

    async def _gather(self) -> None:
        """Where many are on their way, one commit for half of them serves all sooner than many commits for a few each."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER):
                while len(self._queue) < min(WORTH_WAITING, self.expecting() // 2) and not self._closing:
                    self._wanted.clear()
                    await self._wanted.wait()

    async def _has_turn(self, session: Session) -> bool:
        """False: it did not come within reason, and whoever waits is told so. Raises ``JournalUnavailable``: cut off."""
        try:
            async with asyncio.timeout(PATIENCE):
                await session.awake()
                await session.turn()
        except (asyncpg.PostgresError, *CUT) as failure:
            if is_cut(failure):
                raise JournalUnavailable(f"the journal was cut off ({code_of(failure)})") from None
            await rolled_back(session)
            self._refuse(f"others have been writing to the journal for too long ({code_of(failure)})")
            return False
        return True

    def _next(self) -> list[Waiting]:
        """All that has queued up, within reason, but for those whose caller has gone."""
        group: list[Waiting] = []
        weight = 0
        while self._queue and len(group) < _GROUP and (not group or weight < _GROUP_BYTES):
            waiting = self._queue.popleft()
            if waiting.may_drop and waiting.answer.cancelled():
                self._outstanding.pop(waiting, None)
                continue
            group.append(waiting)
            weight += waiting.weight
        return group

    async def _commit(self, session: Session, group: list[Waiting]) -> list[Any]:
        """An answer or an exception for each. The turn was taken."""
        async def run(session: Session, work: Work) -> tuple[list[Any], list[int]]:
            return await self._work(session, work, group), work.numbers

        begun = time.perf_counter()
        try:
            answers, numbers = await transaction(session, self._rows, run)
        except Unsure as unsure:
            self._counts["failed"] += 1
            return [JournalUnavailable(f"the journal could not be written ({unsure})")] * len(group)
        except Exception as surprise:
            return await self._after(session, surprise, group)
        self._counts["commits"] += 1
        self._counts["operations"] += len(group)
        self._sizes[1 << (len(group) - 1).bit_length()] += 1
        self._seconds += time.perf_counter() - begun
        self.footing.committed(numbers[2])
        return answers  # type: ignore[no-any-return]

    async def _work(self, session: Session, work: Work, group: list[Waiting]) -> list[Any]:
        await session.run(work.begin())
        self.footing.check(work.numbers[2])
        kinds: dict[Operation, list[int]] = {}
        for place, waiting in enumerate(group):
            kinds.setdefault(waiting.operation, []).append(place)
        answers: list[Any] = [None] * len(group)
        for operation, places in kinds.items():
            found = await run_kind(session, work, operation, [group[place].argument for place in places])
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
        return answers

    async def _after(self, session: Session, surprise: Exception, group: list[Waiting]) -> list[Any]:
        """It is undone; each tries alone, unless all would meet the same."""
        if session.is_closed() or is_cut(surprise) or is_for_all(surprise) or len(group) == 1:
            return [as_answer(surprise)] * len(group)
        self._counts["alone"] += len(group)
        answers: list[Any] = []
        for waiting in group:
            if session.is_closed():
                answers.append(JournalUnavailable("the journal was cut off"))
                continue
            try:
                async with asyncio.timeout(PATIENCE):
                    await session.turn()
            except (asyncpg.PostgresError, *CUT) as failure:
                session.drop()
                answers.append(as_answer(failure))
            else:
                answers += await self._commit(session, [waiting])
        return answers

    # --- answers

    def _answer(self, group: list[Waiting], answers: list[Any]) -> None:
        for waiting, answer in zip(group, answers, strict=True):
            self._outstanding.pop(waiting, None)
            settle(waiting.answer, answer)

    def _refuse(self, reason: str) -> None:
        """All that is queued."""
        refused, self._queue = list(self._queue), deque()
        self._answer(refused, [JournalUnavailable(reason) for _ in refused])
