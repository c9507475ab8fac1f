"""The tables, brought up to date one numbered migration at a time; of several processes that try, one does it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import asyncpg

from gateway.adapters.postgres_texts import DIALECT, MIGRATING
from gateway.adapters.sql import Applied, JournalUnusable, Migration, SchemaMismatch, missing_migrations

_TRIES, _LOCK = 5, "2s"


async def migrate(connection: Any) -> list[str]:
    """The names of the migrations that were missing, each committed by itself. Raises ``SchemaMismatch``.

    Others may be working on the journal meanwhile (one version beside the next). A change of a table therefore waits for its
    lock only for moments, and tries again: who waits for such a lock keeps all others from the table.
    """
    await connection.execute(f"select pg_advisory_lock({MIGRATING})")
    try:
        done = []
        for migration in await missing(connection):
            await _patiently(connection, migration)
            done.append(f"{migration.no:04d}_{migration.name}")
        return done
    finally:
        if not connection.is_closed():
            await connection.execute(f"select pg_advisory_unlock({MIGRATING})")


async def missing(connection: Any) -> list[Migration]:
    """What this program needs and is not there. Raises ``SchemaMismatch``."""
    if not await connection.fetchval("select to_regclass('migration') is not null"):
        if await connection.fetchval("select to_regclass('submission') is not null"):
            raise SchemaMismatch(
                "this database has a table submission, but is not a journal: give the journal one of its own",
                "diese Datenbank hat eine Tabelle submission, ist aber kein Journal: dem Journal eine eigene geben",
            )
        return missing_migrations([])
    rows = await connection.fetch("select no, digest, coalesce(needs, no) from migration order by no")
    return missing_migrations([Applied(*row) for row in rows])


async def _patiently(connection: Any, migration: Migration) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = '{_LOCK}'; set local statement_timeout = 0")
                await connection.execute(DIALECT.tables(migration.sql))
                await connection.execute(
                    "insert into migration (no, name, digest, at, needs) values ($1, $2, $3, $4, $5)",
                    migration.no, migration.name, migration.digest, datetime.now(UTC), migration.needs,
                )
            return
        except asyncpg.LockNotAvailableError:
            if not tries_left:
                raise JournalUnusable(
                    f"migration {migration.no:04d}_{migration.name}: others have the tables locked; try again",
                    f"Migration {migration.no:04d}_{migration.name}: andere halten die Tabellen gesperrt; noch einmal versuchen",
                ) from None
        except asyncpg.InsufficientPrivilegeError as refused:
            raise JournalUnusable(
                f"migration {migration.no:04d}_{migration.name}: this user may not change the tables ({refused.sqlstate}); "
                "run nahtlos migrate as the owner of the database",
                f"Migration {migration.no:04d}_{migration.name}: dieser Benutzer darf die Tabellen nicht ändern "
                f"({refused.sqlstate}); nahtlos migrate als Eigentümer der Datenbank ausführen",
            ) from None
