"""Both journals, for writing past them as fast as the database takes it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg

from gateway.adapters import postgres_texts, sqlite_file
from tests.bench.filling import Last, Row, Rows


class SqliteStore:
    """Implements ``filling.Store``. Nothing is synced before ``finish``."""

    dialect = sqlite_file.DIALECT

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        for pragma in ("journal_mode = delete", "synchronous = off", "cache_size = -2000000", "locking_mode = exclusive"):
            self._database.execute(f"pragma {pragma}").fetchall()

    def query(self, sql: str) -> list[Row]:
        return [dict(row) for row in self._database.execute(sql)]

    def write(self, rows: Rows, last: Last) -> None:
        self._database.execute("begin")
        for table, some in rows.items():
            if some:
                self._database.executemany(f"insert into {table} values ({', '.join('?' * len(some[0]))})", some)
        self._database.execute(
            "update counter set submission = ?, delivery = ?, history = ?", (last.submission, last.delivery, last.history),
        )
        self._database.execute("commit")

    def finish(self) -> None:
        os.sync()

    def size(self) -> int:
        return self._path.stat().st_size

    def close(self) -> None:
        self._database.close()


class PostgresStore:
    """Implements ``filling.Store``."""

    dialect = postgres_texts.DIALECT

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._connection: Any = self._runner.run(asyncpg.connect(url))
        self._runner.run(self._connection.execute("set session_replication_role = replica"))  # no foreign keys are looked up

    def query(self, sql: str) -> list[Row]:
        return [dict(row) for row in self._runner.run(self._connection.fetch(sql))]

    def write(self, rows: Rows, last: Last) -> None:
        async def work() -> None:
            async with self._connection.transaction():
                for table, some in rows.items():
                    await self._connection.copy_records_to_table(table, records=some)
                await self._connection.execute(
                    "select setval('submission_no', $1), setval('delivery_no', $2)", last.submission, last.delivery)
                await self._connection.execute("update counter set history = $1", last.history)

        self._runner.run(work())

    def finish(self) -> None:
        for statement in ("vacuum (analyze)", "checkpoint"):
            self._runner.run(self._connection.execute(statement, timeout=1_800))
        os.sync()

    def size(self) -> int:
        ((size,),) = [row.values() for row in self.query("select pg_database_size(current_database()) as size")]
        return int(size)

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()
