"""The SQLite file: who holds it, how it is opened, and what is checked before it is trusted."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from gateway.adapters.sql import (
    Applied,
    Ask,
    Dialect,
    Dialogue,
    Each,
    JournalUnusable,
    Many,
    Rows,
    SchemaMismatch,
    Together,
    as_text,
    missing_migrations,
    statements,
)

T = TypeVar("T")

DIALECT = Dialect(
    "sqlite",
    {r"\bmoment\b": "text", r"\$(\d+)": r"?\1", r" \{not_locked\}": ""},
    {},
    store_time=as_text,
    load_time=datetime.fromisoformat,
)
_APPLIED = "select no, digest, coalesce(needs, no) from migration"
_OLDEST = (3, 37, 0)  # strict tables, returning
_AT_ONCE = 32  # rows at most in one insert: every statement has to wait for the interpreter's lock, every row need not
_PROMISES = {
    "journal_mode": "wal",
    "synchronous": 2,  # FULL: a commit is synced before it returns (P1)
    "foreign_keys": 1,
    "secure_delete": 1,  # what is deleted is overwritten with zeros
}
_COMFORTS = {
    "busy_timeout": 2_000,
    "cache_size": -65_536,  # KiB
    "temp_store": "memory",
    "trusted_schema": 0,
    "fullfsync": 1,  # macOS only: sync means sync
    "checkpoint_fullfsync": 1,
    "wal_autocheckpoint": 0,  # the writer does it between groups
    "journal_size_limit": 64 << 20,
}


class JournalInUse(Exception):
    """Another process holds the journal; the text says which and what to do. de: the same in German."""

    def __init__(self, en: str, de: str) -> None:
        super().__init__(en)
        self.en, self.de = en, de


class FileLock:
    """Held as long as the process lives. POSIX record lock: a child process does not inherit it."""

    _held: ClassVar[set[Path]] = set()

    def __init__(self, journal: Path) -> None:
        """Raises ``JournalInUse``, naming the process that holds it."""
        self._path = journal.resolve().with_name(journal.name + ".lock")
        if self._path in FileLock._held:
            raise JournalInUse(f"this process has {journal} open already", f"dieser Prozess hat {journal} schon geöffnet")
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 20).decode("ascii", "replace").strip() or "?"
            os.close(self._file)
            raise JournalInUse(
                f"{journal} is held by process {holder}: only one gateway may work on an SQLite journal; stop that one, or "
                "talk to it",
                f"{journal} gehört gerade dem Prozess {holder}: An einem SQLite-Journal arbeitet nur ein Gateway; jenes beenden "
                "oder mit ihm arbeiten",
            ) from None
        FileLock._held.add(self._path)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        FileLock._held.discard(self._path)
        os.close(self._file)


class Session:
    """One connection that speaks in dialogues. Belongs to one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._texts = statements(DIALECT)
        self._many: dict[tuple[str, int], str] = {}

    def run(self, dialogue: Dialogue[T]) -> T:
        """To its end; what the database raises is raised here, and the dialogue is over."""
        answer: Any = None
        while True:
            try:
                ask = dialogue.send(answer)
            except StopIteration as done:
                value: T = done.value
                return value
            answer = self._answer(ask)

    def begin(self, *, write: bool = True) -> None:
        self.connection.execute("begin immediate" if write else "begin")

    def commit(self) -> None:
        self.connection.execute("commit")

    def rollback(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("rollback")

    def checkpoint(self, mode: str = "passive") -> bool:
        """Move what is committed from the log into the file. False: somebody reads, and it could not be done to the end."""
        busy, log, moved = self.connection.execute(f"pragma wal_checkpoint({mode})").fetchone()
        return not busy and log == moved

    def close(self) -> None:
        self.connection.close()

    def _answer(self, ask: Ask) -> Any:
        if isinstance(ask, Rows):
            return self.connection.execute(self._texts[ask.name], ask.parameters).fetchall()
        if isinstance(ask, Many):
            return self._insert(ask.name, ask.rows)
        if isinstance(ask, Each):
            return self.connection.executemany(self._texts[ask.name], ask.rows).rowcount if ask.rows else 0
        if isinstance(ask, Together):
            for insert in ask.inserts:
                self._insert(*insert)
            return self._answer(ask.then)
        return self.connection.execute(self._texts[ask.name], ask.parameters).rowcount

    def _insert(self, name: str, rows: Sequence[Sequence[Any]]) -> int:
        inserted = 0
        for first in range(0, len(rows), _AT_ONCE):
            some = rows[first:first + _AT_ONCE]
            text = self._many.get((name, len(some)))
            if text is None:
                text = self._many[name, len(some)] = _for_rows(self._texts[name], len(some))
            inserted += self.connection.execute(text, list(chain.from_iterable(some))).rowcount
        return inserted


Connect = Callable[[Path], sqlite3.Connection]


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)


def opened(path: Path, *, connect: Connect = connect, read_only: bool = False) -> Session:
    """A session with every promise of durability asked for and looked at. Raises ``JournalUnusable``."""
    connection = connect(path)
    for name, value in (_COMFORTS | _PROMISES).items():
        connection.execute(f"pragma {name} = {value}")
    for name, value in _PROMISES.items():
        found = connection.execute(f"pragma {name}").fetchone()[0]
        if found != value:
            connection.close()
            raise JournalUnusable(f"{path}: SQLite did not take {name} = {value} (it says {found})")
    if read_only:
        connection.execute("pragma query_only = 1")
    return Session(connection)


def make_place(path: Path) -> None:
    """Directory 0700, file 0600, durable. Existing ones are left as they are, but must not be open to others."""
    if sqlite3.sqlite_version_info < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise JournalUnusable(
            f"SQLite {sqlite3.sqlite_version} is too old: at least {oldest}",
            f"SQLite {sqlite3.sqlite_version} ist zu alt: mindestens {oldest}",
        )
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True)
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        sync_folder(path.parent)
    elif path.stat().st_mode & 0o007:
        raise JournalUnusable(
            f"{path} can be read or changed by others: chmod 600 {path}",
            f"{path} ist für andere lesbar oder änderbar: chmod 600 {path}",
        )


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def migrate(session: Session) -> list[str]:
    """Bring the tables up to date, one transaction a migration; their names. Raises ``SchemaMismatch``."""
    connection, done = session.connection, []
    with_table = connection.execute("select 1 from sqlite_master where name = 'migration'").fetchone()
    if not with_table and connection.execute("select 1 from sqlite_master").fetchone():
        raise SchemaMismatch("this is an SQLite file, but not a journal")
    applied = [Applied(*row) for row in connection.execute(_APPLIED)] if with_table else []
    for migration in missing_migrations(applied):
        session.begin()
        try:
            for statement in split(DIALECT.tables(migration.sql)):
                connection.execute(statement)
            connection.execute(
                "insert into migration (no, name, digest, at, needs) values (?, ?, ?, ?, ?)",
                (migration.no, migration.name, migration.digest, as_text(datetime.now(UTC)), migration.needs),
            )
        except BaseException:
            session.rollback()
            raise
        session.commit()
        done.append(f"{migration.no:04d}_{migration.name}")
    return done


def split(sql: str) -> list[str]:
    """The statements of a text, one by one: executing them together would commit in between."""
    found, so_far = [], ""
    for line in sql.splitlines(keepends=True):
        so_far += line
        if so_far.rstrip().endswith(";") and sqlite3.complete_statement(so_far):
            found.append(so_far)
            so_far = ""
    return found


def _for_rows(text: str, count: int) -> str:
    """An insert of one row, with ?1, ?2 …, as one of ``count`` rows."""
    if count == 1:
        return text
    start = text.index("(", text.index(" values ")) if " values " in text else -1
    one = text[start:text.index(")", start) + 1]
    places = "(" + ", ".join("?" for _ in one.split(",")) + ")"
    return text.replace(one, ", ".join([places] * count), 1)
