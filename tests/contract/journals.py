"""Where journals under test live. One entry in ``PLACES`` and a journal runs the whole contract."""

from __future__ import annotations

import atexit
import functools
import os
import re
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from gateway.adapters.journal import SqlJournal
from gateway.adapters.postgres import PostgresJournal
from gateway.adapters.sqlite import SqliteJournal
from gateway.vault import Vault
from tests.clock import TurnableClock
from tests.postgres import Database
from tests.servers import POSTGRES

_NAME = "nahtlos_test_"  # and the number of a process


class SqlitePlace:
    """A file of its own for every test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "state" / "journal.db"
        self.clock = TurnableClock()
        self.vault = Vault.open(folder / "keys")
        self._open: list[SqliteJournal] = []

    async def open(self, **settings: Any) -> SqliteJournal:
        settings = {"reserve": lambda total: 0} | settings
        journal = await SqliteJournal.open(self.path, vault=self.vault, clock=self.clock, **settings)
        self._open.append(journal)
        return journal

    async def reopen(self, journal: SqlJournal, **settings: Any) -> SqliteJournal:
        assert isinstance(journal, SqliteJournal)
        await journal.aclose()
        return await self.open(**settings)

    def stored(self) -> bytes:
        """Everything that lies on the disk."""
        return b"".join(file.read_bytes() for file in self.path.parent.iterdir())

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Past the journal, as somebody with a shell would. Raises ``sqlite3.Error``."""
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        try:
            connection.execute("pragma foreign_keys = on")
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def allows(self, sql: str, attempts: Iterable[Sequence[Any]]) -> list[bool]:
        """Which of these the database's own checks let through; none of them stays."""
        connection, found = sqlite3.connect(self.path, isolation_level=None, timeout=10), []
        connection.execute("begin immediate")
        for parameters in attempts:
            connection.execute("savepoint attempt")
            try:
                connection.execute(sql, parameters)
                found.append(True)
            except sqlite3.IntegrityError:
                found.append(False)
            connection.execute("rollback to attempt")
        connection.close()
        return found

    def tamper(self, sql: str, *parameters: Any) -> None:
        """As ``execute``, with every check switched off: somebody who knows the file format."""
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        try:
            connection.execute("pragma ignore_check_constraints = on")
            connection.execute(sql, parameters)
        finally:
            connection.close()

    async def aclose(self) -> None:
        for journal in self._open:
            await journal.aclose()


class PostgresPlace:
    """One database for all tests of a process, emptied before each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = database()
        self.clock = TurnableClock()
        self.vault = Vault.open(folder / "keys")
        self._open: list[PostgresJournal] = []
        empty(self.database)

    async def open(self, **settings: Any) -> PostgresJournal:
        usual = {"may_migrate": True, "instance": "test", "vault": self.vault}
        journal = await PostgresJournal.open(self.database.url, clock=self.clock, **(usual | settings))
        self._open.append(journal)
        return journal

    async def reopen(self, journal: SqlJournal, **settings: Any) -> PostgresJournal:
        assert isinstance(journal, PostgresJournal)
        await journal.aclose()
        return await self.open(**settings)

    def stored(self) -> bytes:
        """Every value of every table; what lies on the disk is this and no more."""
        found = []
        for (table,) in self.execute("select tablename from pg_tables where schemaname = 'public'"):
            for row in self.execute(f'select * from "{table}"'):
                found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
        return b"\0".join(found)

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Past the journal, as somebody with a shell would. Raises what asyncpg raises."""
        return self.database.shell.execute(_translated(sql), *parameters)

    def allows(self, sql: str, attempts: Iterable[Sequence[Any]]) -> list[bool]:
        """Which of these the database's own checks let through; none of them stays."""

        async def attempt(connection: Any) -> list[bool]:
            found = []
            await connection.execute("begin")
            for parameters in attempts:
                await connection.execute("savepoint attempt")
                try:
                    await connection.execute(_translated(sql), *parameters)
                    found.append(True)
                except asyncpg.IntegrityConstraintViolationError:
                    found.append(False)
                await connection.execute("rollback to attempt")
            await connection.execute("rollback")
            return found

        return self.database.shell.do(attempt)  # type: ignore[no-any-return]

    def tamper(self, sql: str, *parameters: Any) -> None:
        """As ``execute``, with every check switched off that an administrator can switch off."""

        async def change(connection: Any) -> None:
            await connection.execute("set session_replication_role = replica")
            try:
                await connection.execute(_translated(sql), *parameters)
            finally:
                await connection.execute("reset session_replication_role")

        self.database.shell.do(change)

    async def aclose(self) -> None:
        for journal in self._open:
            await journal.aclose()


def empty(database: Database) -> None:
    """As after the migrations; quicker than making it anew."""
    database.shell.execute("""
        do $$
        begin
          if to_regclass('submission') is not null then
            delete from seal; delete from chain; delete from private; delete from history; delete from step; delete from chunk;
            delete from claim; update delivery set replaces = null, after = null; delete from delivery; delete from document;
            delete from submission; delete from target; delete from credential; delete from tally;
            update counter set history = 0, key_id = null;
            perform setval('submission_no', 0), setval('delivery_no', 0);
          end if;
        end $$;""")


@functools.cache
def database() -> Database:
    """Of this process. What others of this machine that were killed have left is dropped."""
    made = Database(os.environ[POSTGRES], f"{_NAME}{os.getpid()}")
    atexit.register(made.close)
    if "@127.0.0.1" in os.environ[POSTGRES]:
        for (name,) in made.shell.execute("select datname from pg_database where datname like $1", _NAME + "%"):
            if not Path(f"/proc/{name.removeprefix(_NAME)}").exists():
                made.shell.execute(f'drop database if exists "{name}" with (force)')
    return made


def _translated(sql: str) -> str:
    """The tests are written in SQLite's words."""
    places = iter(range(1, 100))
    sql = re.sub(r"\?", lambda _: f"${next(places)}", sql)
    sql = re.sub(r"x'([0-9a-f]*)'", r"'\\x\1'::bytea", sql)
    sql = re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", sql)
    return sql.replace("as blob", "as bytea")


Place: TypeAlias = SqlitePlace | PostgresPlace
PLACES: dict[str, type[SqlitePlace] | type[PostgresPlace]] = {"sqlite": SqlitePlace, "postgres": PostgresPlace}
