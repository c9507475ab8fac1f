"""The connection that watches: it tells other processes what was committed here and hears what was committed there, shows
that this process lives, and sees whether the server still keeps its promises.

News are hints. They are sent after the commit, on this connection, so that no commit waits for them; they may be lost, and
whoever hears one reads the journal. What is read from time to time anyway finds the rest.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from gateway.adapters.keyring import Keyring
from gateway.adapters.postgres_server import PASSING, Server, Use, refusals, state_of_server, unusable, warnings
from gateway.adapters.postgres_session import Session
from gateway.adapters.postgres_texts import STAGING, WORKING
from gateway.adapters.sql import JournalUnusable
from gateway.clocks import SharedClock, steady
from gateway.logfields import LogEvent
from gateway.ports import Clock

log = structlog.get_logger("nahtlos.journal")

_CHANNEL = "nahtlos"
_MOST = 7_800  # bytes of one notification
_GATHER = 0.02  # seconds: what is committed within them is told at once
_LOOK = 15.0
_ANSWER = 5.0
_RETRY = 1.0
_WRONG = 1.0  # seconds between two clocks that somebody should look after


@dataclass(slots=True)
class News:
    """submissions: ids of those that changed. targets: names of those for which something may be due or that changed
    themselves; "*": all. erased: submissions whose keys must be forgotten."""

    submissions: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.submissions or self.targets or self.erased)


class Watch:
    """number: of this process, while it lives; a positive 31-bit number that no other has. clock: told the server's time, where
    it can be told."""

    def __init__(self, server: Server, keyring: Keyring, clock: Clock) -> None:
        self.number = secrets.randbelow(2**31 - 1) + 1
        self.weak: JournalUnusable | None = None
        self.heard: Callable[[Set[str], Set[str]], None] = lambda submissions, targets: None
        self._server, self._keyring = server, keyring
        self._clock = clock if isinstance(clock, SharedClock) else None
        self._looked_at = 0.0
        self._session: Session | None = None
        self._unsent = News()
        self._something = asyncio.Event()
        self._warned: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self, session: Session) -> None:
        """Take over this connection. Raises ``JournalUnusable`` while the journal is being put in doubt."""
        await self._take(session)
        self._task = asyncio.create_task(self._run(), name="journal-watch")

    def tell(self, *, submissions: Iterable[str] = (), targets: Iterable[str] = (), erased: Iterable[str] = ()) -> None:
        """Something was committed. Cheap; it is sent soon."""
        self._unsent.submissions.update(submissions)
        self._unsent.targets.update(targets)
        self._unsent.erased.update(erased)
        self._something.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._session is not None:
            await self._session.aclose()

    async def _run(self) -> None:
        while True:
            try:
                if self._session is None:
                    await self._take(await self._server.connect(Use.WATCH))
                    log.info(LogEvent.JOURNAL_REOPENED, instance=self._server.instance)
                await self._send_and_look()
            except (JournalUnusable, *PASSING) as failure:
                log.warning(LogEvent.JOURNAL_UNAVAILABLE, error=type(failure).__name__)
                self._lost()
                await asyncio.sleep(_RETRY)

    async def _take(self, session: Session) -> None:
        connection = session.connection
        async with asyncio.timeout(_ANSWER):
            if not await connection.fetchval(f"select pg_try_advisory_lock_shared({WORKING})"):
                session.drop()
                raise JournalUnusable(
                    "the journal is being put in doubt after a restore (nahtlos restore --doubt): start when that is done",
                    "das Journal wird gerade nach einer Wiederherstellung für ungeklärt erklärt (nahtlos restore --doubt): "
                    "danach starten",
                )
            await connection.execute(f"select pg_advisory_lock({STAGING}, {self.number})")
            await connection.add_listener(_CHANNEL, self._hear)
        connection.add_termination_listener(lambda _: self._something.set())
        self._session = session
        self._keyring.clear()  # what was erased while nobody listened
        await self._look(session)

    async def _send_and_look(self) -> None:
        assert self._session is not None
        if (rest := self._looked_at + _LOOK - time.monotonic()) <= 0:  # also when there is something to be told all the time
            await self._look(self._session)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(rest):
                await self._something.wait()
        if not self._something.is_set():
            return
        if self._session.is_closed():
            raise ConnectionResetError
        await asyncio.sleep(_GATHER)
        self._something.clear()
        news, self._unsent = self._unsent, News()
        try:
            for text in _texts(self.number, news):
                async with asyncio.timeout(_ANSWER):
                    await self._session.connection.execute("select pg_notify($1, $2)", _CHANNEL, text)
        except BaseException:
            self.tell(erased=news.erased)  # no hint: nobody finds it out otherwise
            raise

    async def _look(self, session: Session) -> None:
        """Settings can be changed under a running server; then nothing new is acknowledged until they are right again."""
        async with asyncio.timeout(_ANSWER):
            state = await state_of_server(session.connection)
            await self._look_at_the_time(session)
        self._looked_at = time.monotonic()
        found = [one for one in refusals(state) if one.code != "synchronous-commit-off"]  # the writers have theirs
        if found and self.weak is None:
            log.error(LogEvent.JOURNAL_WARNING, reason=found[0].code)
        self.weak = unusable(found) if found else None
        for warning in warnings(state):
            if warning.code not in self._warned:
                self._warned.add(warning.code)
                log.warning(LogEvent.JOURNAL_WARNING, reason=warning.code)

    async def _look_at_the_time(self, session: Session) -> None:
        if self._clock is not None:
            asked = steady()
            at = await session.connection.fetchval("select clock_timestamp()")
            moved = self._clock.tell(at, asked=asked, answered=steady()).total_seconds()
            if abs(moved) > _WRONG:
                log.warning(LogEvent.JOURNAL_WARNING, reason="clock-differs", seconds=round(moved, 3))

    def _lost(self) -> None:
        if self._session is not None:
            self._session.drop()
            self._session = None
        self._keyring.clear()

    def _hear(self, _connection: Any, _pid: int, _channel: str, text: str) -> None:
        try:
            said = json.loads(text)
            if said["from"] == self.number:
                return
            news = News(set(said.get("s", ())), set(said.get("t", ())), set(said.get("e", ())))
        except (ValueError, KeyError, TypeError):
            return  # somebody with a shell
        for submission_id in news.erased:
            self._keyring.forget(submission_id)
        self.heard(news.submissions, news.targets)


def _texts(number: int, news: News) -> list[str]:
    """As few as they go into."""
    texts, some, size = [], {"t": sorted(news.targets), "s": [], "e": []}, 64 + sum(len(name) + 8 for name in news.targets)
    if size > _MOST // 2:
        some["t"], size = ["*"], 64
    for kind, ids in (("s", news.submissions), ("e", news.erased)):
        for submission_id in sorted(ids):
            if size + len(submission_id) + 4 > _MOST:
                texts.append(some)
                some, size = {"t": [], "s": [], "e": []}, 64
            some[kind].append(submission_id)
            size += len(submission_id) + 4
    return [json.dumps({"from": number, **{kind: names for kind, names in one.items() if names}}) for one in (*texts, some)]
