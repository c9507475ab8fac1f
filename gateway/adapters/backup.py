"""Copies of an SQLite journal: made while it works, and put back."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.keeping import Doubted, give_up_key, put_in_doubt
from gateway.adapters.keyring import Keyring
from gateway.adapters.reading import Reading
from gateway.adapters.rows import RowMapping
from gateway.adapters.sql import JournalUnusable
from gateway.adapters.sqlite_file import DIALECT, FileLock, Session, connect, make_place, migrate, opened, sync_folder
from gateway.adapters.work import Work
from gateway.ports import Clock
from gateway.seal import Link, SignedHead, Verdict, head_message, verify
from gateway.vault import Vault

_PAGES = 1_024  # copied between two reports

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """open_deliveries, dead_letters: now in doubt, each is looked up before it is sent. lost_keys: site key → submissions."""

    verdict: Verdict
    open_deliveries: int
    dead_letters: int
    lost_keys: dict[str, int]


def copy(path: Path, to: Path, progress: Progress | None = None) -> None:
    """One consistent copy of a journal that may be in use; appears under its name only when it is complete and synced.

    Raises ``FileExistsError``. The source is read in one snapshot, so that writers never make it start again.
    """
    if to.exists():
        raise FileExistsError(errno.EEXIST, "exists already", str(to))
    draft = to.with_name(f".{to.name}.draft")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    source, target = connect(path), connect(draft)
    try:
        source.execute("begin")
        source.execute("select 1 from counter").fetchone()
        source.backup(target, pages=_PAGES, sleep=0, progress=_reporting(progress))
        source.execute("commit")
        target.execute("pragma journal_mode = delete")
        target.close()
        _sync(draft)
        draft.rename(to)
        sync_folder(to.parent)
    finally:
        source.close()
        target.close()
        draft.unlink(missing_ok=True)


async def restore(backup: Path, to: Path, *, vault: Vault, clock: Clock, progress: Progress | None = None) -> Restored:
    """Make a journal of a backup. Raises ``JournalUnusable`` (damaged, or its history was changed) and leaves nothing then.

    Whatever was open when the backup was made may have been delivered since: it is in doubt, and looked up before
    anything is sent. So is every dead letter, a refused one too: it may have been replayed since. It stays a dead letter until a
    person replays it.
    """
    return await asyncio.to_thread(_restore, backup, to, vault, clock, progress)


async def put_in_doubt_there(path: Path, *, vault: Vault, clock: Clock) -> Restored:
    """As ``restore``, for a journal that came back by other means, with the machine or its disk. Raises ``JournalUnusable``,
    ``FileNotFoundError``, ``sqlite_file.JournalInUse``."""
    return await asyncio.to_thread(_put_in_doubt_there, path, vault, clock)


async def verified(path: Path, *, vault: Vault, progress: Callable[[int], None] | None = None) -> Verdict:
    """Recompute the history of a journal that may be in use. Raises ``FileNotFoundError``."""
    return await asyncio.to_thread(_verified, path, vault, progress)


def _verified(path: Path, vault: Vault, progress: Callable[[int], None] | None) -> Verdict:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    session = Session(connect(path))
    try:
        session.connection.execute("begin")  # one snapshot: what is written meanwhile is not half seen
        return asyncio.run(verify(_Ledger(session, RowMapping(DIALECT, Keyring(vault)), vault), progress))
    except sqlite3.DatabaseError as failure:
        raise JournalUnusable(f"{path} is damaged ({failure})", f"{path} ist beschädigt ({failure})") from None
    finally:
        session.close()


def _put_in_doubt_there(path: Path, vault: Vault, clock: Clock) -> Restored:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    lock = FileLock(path)
    try:
        session = opened(path)
        try:
            return _checked(session, path, vault, clock)
        finally:
            session.close()
    except sqlite3.DatabaseError as failure:
        raise JournalUnusable(f"{path} is damaged ({failure})", f"{path} ist beschädigt ({failure})") from None
    finally:
        lock.release()


def _restore(backup: Path, to: Path, vault: Vault, clock: Clock, progress: Progress | None) -> Restored:
    if to.exists():
        raise FileExistsError(errno.EEXIST, "exists already", str(to))
    if not backup.is_file():
        raise FileNotFoundError(errno.ENOENT, "is not there", str(backup))
    draft = to.with_name(f".{to.name}.restoring")
    draft.unlink(missing_ok=True)
    make_place(draft)
    try:
        _copy_file(backup, draft, progress)
        session = opened(draft)
        try:
            restored = _checked(session, draft, vault, clock)
            session.checkpoint("truncate")
            session.connection.execute("pragma journal_mode = delete")
        finally:
            session.close()
        _sync(draft)
        draft.rename(to)
        sync_folder(to.parent)
    except sqlite3.DatabaseError as failure:
        raise JournalUnusable(
            f"{backup} is not a usable backup ({failure})", f"{backup} ist keine brauchbare Sicherung ({failure})"
        ) from None
    finally:
        for leftover in (draft, *(draft.with_name(draft.name + end) for end in ("-wal", "-shm"))):
            leftover.unlink(missing_ok=True)
    return restored


def _copy_file(backup: Path, draft: Path, progress: Progress | None) -> None:
    source, target = sqlite3.connect(f"file:{backup}?mode=ro", uri=True), connect(draft)
    try:
        source.backup(target, pages=_PAGES, sleep=0, progress=_reporting(progress))
    finally:
        source.close()
        target.close()


def _checked(session: Session, path: Path, vault: Vault, clock: Clock) -> Restored:
    answer = session.connection.execute("pragma integrity_check(1)").fetchone()[0]
    if answer != "ok":
        raise JournalUnusable(f"the backup is damaged: {answer}", f"Die Sicherung ist beschädigt: {answer}")
    migrate(session)
    rows = RowMapping(DIALECT, Keyring(vault))
    verdict = asyncio.run(verify(_Ledger(session, rows, vault)))
    if verdict.broken is not None:
        raise JournalUnusable(
            f"the backup's history is not whole: {verdict.broken.en}",
            f"Das Protokoll der Sicherung ist nicht unversehrt: {verdict.broken.de}",
        )
    doubted = _put_in_doubt(session, rows, clock)
    in_use = session.run(Reading(rows).keys_in_use())
    lost = {key_id: n for key_id, n in in_use.items() if key_id not in vault.key_ids}
    return Restored(verdict, doubted.open_deliveries, doubted.dead_letters, lost)


def _put_in_doubt(session: Session, rows: RowMapping, clock: Clock) -> Doubted:
    """In one transaction: a copy that is half in doubt would look like a whole one."""
    session.begin()
    session.run(give_up_key(rows.keyring.vault))
    work, after, waiting, dead = Work(rows), 0, 0, 0
    session.run(work.begin())
    while True:
        (found,) = session.run(put_in_doubt(work, [(after, clock.now(), 1_000)]))
        if found.last is None:
            break
        after, waiting, dead = found.last, waiting + found.open_deliveries, dead + found.dead_letters
    session.run(work.finish())
    session.commit()
    return Doubted(None, waiting, dead)


class _Ledger:
    """What ``seal.verify`` reads, of a file that nobody else works on."""

    def __init__(self, session: Session, rows: RowMapping, vault: Vault) -> None:
        self._session, self._reading, self._vault = session, Reading(rows), vault

    async def links(self, after: int, limit: int) -> list[Link]:
        return self._session.run(self._reading.links(after, limit))

    async def signed_heads(self) -> list[SignedHead]:
        return [head for head in self._session.run(self._reading.signed_heads()) if self._vault.can_check(head.key_id)]

    async def last_line(self) -> int:
        return self._session.run(self._reading.last_line())

    def signed_by_us(self, head: SignedHead) -> bool:
        return self._vault.signed(head.key_id, head_message(head.sealed_no, head.chain_hash, head.at), head.signature)


def _reporting(progress: Progress | None) -> Callable[[int, int, int], None] | None:
    if progress is None:
        return None
    return lambda _status, remaining, total: progress(total - remaining, total)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
