"""The journal on SQLite: one file, one process, nothing to install. Group commit makes it fast, FULL sync makes it true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

from gateway.adapters import backup as backups
from gateway.adapters import keeping
from gateway.adapters.disk import DiskReserve, tenth
from gateway.adapters.group import Figures, GroupCommit
from gateway.adapters.journal import SqlJournal
from gateway.adapters.keyneeds import require_keys
from gateway.adapters.keyring import Keyring
from gateway.adapters.reader import ReadingThread
from gateway.adapters.rows import RowMapping
from gateway.adapters.sql import Dialogue
from gateway.adapters.sqlite_file import DIALECT, Connect, FileLock, Session, connect, make_place, migrate, opened
from gateway.adapters.work import Work
from gateway.ports import Clock, JournalUnavailable
from gateway.vault import Vault

A = TypeVar("A")
R = TypeVar("R")


class SqliteJournal(SqlJournal):
    """Implements ``ports.Journal``. ``await SqliteJournal.open(…)`` makes one; it belongs to the event loop it was made on."""

    def __init__(
        self, path: Path, *, vault: Vault, clock: Clock, rows: RowMapping, lock: FileLock, writer: GroupCommit,
        reader: ReadingThread, disk: DiskReserve, patience: float, budget: int,
    ) -> None:
        super().__init__(vault=vault, clock=clock, rows=rows, patience=patience, budget=budget)
        self.path = path
        self._lock, self._writer, self._reader, self._disk = lock, writer, reader, disk
        self._closed = False

    @classmethod
    async def open(
        cls, path: Path, *, vault: Vault, clock: Clock, reserve: Callable[[int], int] = tenth, patience: float = 2.0,
        budget: int = 256 << 20, connect: Connect = connect, lost_keys: Collection[str] | None = None,
    ) -> SqliteJournal:
        """Make or open the file, bring its tables up to date, clear away what an interrupted upload left.

        reserve: size of the disk → bytes kept free for finishing work. lost_keys: see ``keyneeds.require_keys``.
        Raises ``JournalInUse``, ``JournalUnusable``, ``SchemaMismatch``.
        """
        rows = RowMapping(DIALECT, Keyring(vault))
        lock, migrated, writing, reading = await asyncio.to_thread(_prepare, path, connect, vault, lost_keys)
        loop, first = asyncio.get_running_loop(), [writing]

        def anew() -> Session:
            return first.pop() if first else opened(path, connect=connect)

        journal = cls(
            path, vault=vault, clock=clock, rows=rows, lock=lock, writer=GroupCommit(anew, rows, loop),
            reader=ReadingThread(reading, loop), disk=DiskReserve(path.parent, reserve), patience=patience, budget=budget,
        )
        journal.migrated = tuple(migrated)
        for seq in await journal._read(keeping.staged()):
            await journal._write(keeping.unstage, seq)
        return journal

    async def backup(self, to: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """A complete, synced copy (0600) while work goes on; ``to`` must not exist. ``progress(pages done, pages)`` is called
        from another thread. The keys are not in it: keep a copy of the key directory elsewhere."""
        await asyncio.to_thread(backups.copy, self.path, to, progress)

    def figures(self) -> Figures:
        """Commits, syncs and group sizes since start, for metrics and benchmarks."""
        return self._writer.figures()

    def oldest_waiting(self) -> timedelta:
        return timedelta(seconds=self._writer.oldest_waiting())

    def expect(self, on_their_way: Callable[[], int]) -> None:
        self._writer.expecting = on_their_way

    def trouble(self) -> tuple[str, str] | None:
        reason = self._writer.ailing
        return None if reason is None else (f"Das Journal kann nicht geschrieben werden ({reason}).", f"{reason}.")

    async def aclose(self) -> None:
        """Commit what is queued, let go of file and lock. May be called twice."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._reader.stop)
        await asyncio.to_thread(self._writer.stop)
        self._lock.release()

    async def _write(
        self, operation: Callable[[Work, Sequence[A]], Dialogue[list[R]]], argument: A, *,
        weight: int = 0, may_drop: bool = False,
    ) -> R:
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        return cast("R", await self._writer.do(operation, argument, weight=weight, may_drop=may_drop))

    async def _read(self, dialogue: Dialogue[R]) -> R:
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        return cast("R", await self._reader.ask(dialogue))

    def _has_erased(self, submission_ids: Sequence[str]) -> None:
        self._writer.empty_log()

    def _admit(self, size: int) -> None:
        super()._admit(size)
        if not self._disk.enough():
            raise JournalUnavailable("the disk is nearly full", full=True, retry_after=60)


def _prepare(
    path: Path, connect: Connect, vault: Vault, lost_keys: Collection[str] | None
) -> tuple[FileLock, list[str], Session, Session]:
    make_place(path)
    lock = FileLock(path)
    sessions: list[Session] = []
    try:
        sessions.append(opened(path, connect=connect))
        migrated = migrate(sessions[0])
        sessions[0].run(require_keys(vault, lost_keys))
        sessions[0].begin()
        sessions[0].run(keeping.give_up_key(vault))  # what is lost says so by itself; the rest goes on
        sessions[0].commit()
        sessions.append(opened(path, connect=connect, read_only=True))
    except BaseException:
        for session in sessions:
            session.close()
        lock.release()
        raise
    return lock, migrated, sessions[0], sessions[1]
