"""A connection that is made again when it was lost, and one transaction on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import asyncpg

from gateway.adapters.postgres_errors import CUT, as_answer, code_of, is_cut
from gateway.adapters.postgres_session import Session
from gateway.adapters.rows import RowMapping
from gateway.adapters.sql import Dialogue, JournalUnusable
from gateway.adapters.work import Work, each
from gateway.ports import JournalUnavailable

Connect = Callable[[], Awaitable[Session]]
Operation = Callable[[Work, Sequence[Any]], Dialogue[list[Any]]]

PATIENCE = 10.0
"""Seconds after which a server that has not answered a writer is taken for gone; all of its statements take milliseconds."""
_RETRY = 0.5


class Lane:
    """One connection, used by one task at a time."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._session: Session | None = None
        self._tried = -_RETRY

    async def session(self) -> Session:
        """Raises ``JournalUnavailable``; at once, when it was tried a moment ago."""
        if self._session is not None and not self._session.is_closed():
            return self._session
        self._session = None
        if time.monotonic() - self._tried < _RETRY:
            raise JournalUnavailable("the journal cannot be reached")
        try:
            self._session = await self._connect()
        except JournalUnusable as unusable:
            raise JournalUnavailable(unusable.en) from None
        except (asyncpg.PostgresError, *CUT) as failure:
            raise JournalUnavailable(f"the journal cannot be reached ({code_of(failure)})") from None
        finally:
            self._tried = time.monotonic()
        return self._session

    def drop(self) -> None:
        if self._session is not None:
            self._session.drop()
            self._session = None

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.aclose()
            self._session = None


class Unsure(Exception):
    """Nobody knows whether it was committed: the connection was cut, or the standby was not waited for."""


async def transaction(session: Session, rows: RowMapping, work: Callable[[Session, Work], Awaitable[Any]]) -> Any:
    """Begun already. What ``work`` returns, committed. Raises what it or the database raises, rolled back if the connection
    lives; ``Unsure``. The connection must not be used again unless a plain error of a statement was raised."""
    try:
        async with asyncio.timeout(PATIENCE) as limit:
            session.patience = limit, PATIENCE
            collected = Work(rows)
            answer = await work(session, collected)
            await session.run(collected.finish())
    except BaseException as surprise:
        if is_cut(surprise) or isinstance(surprise, asyncio.CancelledError):
            session.drop()
        else:
            await rolled_back(session)
        raise
    finally:
        session.patience = None
    await committed(session)
    return answer


async def committed(session: Session) -> None:
    """Returns when it is on stable storage, and on that of the standby where one is waited for. Raises ``Unsure``.

    It is not cancelled by our own timeout: that would ask the server to stop waiting for its standby, and whoever then reads
    would see as stored what a failover takes away.
    """
    committing = asyncio.ensure_future(session.commit())
    done, _ = await asyncio.wait({committing}, timeout=PATIENCE)
    if not done:
        session.drop()
        with suppress(Exception):
            await committing
        raise Unsure("no answer to the commit")
    try:
        if committing.result():
            return
    except (asyncpg.PostgresError, *CUT) as failure:
        session.drop()
        raise Unsure(f"the commit failed ({code_of(failure)})") from failure
    session.drop()
    raise Unsure("the server did not confirm the commit")


async def rolled_back(session: Session) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await session.rollback()
    except (asyncpg.PostgresError, *CUT):
        session.drop()


class Beside:
    """Operations that take no numbers and write no history: they need not wait their turn and do not keep others from theirs.
    One at a time, each committed by itself."""

    def __init__(self, connect: Connect, rows: RowMapping) -> None:
        self._lane, self._rows, self._one = Lane(connect), rows, asyncio.Lock()

    async def start(self) -> None:
        await self._lane.session()

    async def do(self, operation: Operation, argument: Any) -> Any:
        """Done also when the caller goes away meanwhile. Raises ``JournalUnavailable``, ``ValueError``."""
        return await asyncio.shield(self._do(operation, argument))

    async def _do(self, operation: Operation, argument: Any) -> Any:
        async def run(session: Session, work: Work) -> Any:
            return (await session.run(operation(work, [argument])))[0]

        async with self._one:
            session = await self._lane.session()
            try:
                async with asyncio.timeout(PATIENCE):
                    await session.awake()
                    await session.begin()
                return await transaction(session, self._rows, run)
            except Unsure as unsure:
                raise JournalUnavailable(str(unsure)) from None
            except (asyncpg.PostgresError, *CUT) as failure:
                if is_cut(failure):
                    self._lane.drop()
                raise as_answer(failure) from None

    async def aclose(self) -> None:
        async with self._one:
            await self._lane.aclose()


async def run_kind(session: Session, work: Work, operation: Operation, arguments: Sequence[Any]) -> list[Any]:
    """Operations of one kind, side by side where that may be."""
    if not isinstance(operation, each):
        return await session.run(operation(work, arguments))
    side_by_side = [place for place, argument in enumerate(arguments) if operation.abreast(argument)]
    answers: list[Any] = [None] * len(arguments)
    found = await session.abreast([operation.single(work, arguments[place]) for place in side_by_side])
    for place, answer in zip(side_by_side, found, strict=True):
        if isinstance(answer, Exception):
            raise answer
        answers[place] = answer
    for place in range(len(arguments)):
        if not operation.abreast(arguments[place]):
            answers[place] = await session.run(operation.single(work, arguments[place]))
    return answers
