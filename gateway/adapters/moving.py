"""A whole journal from an SQLite file into an empty PostgreSQL database: ``nahtlos journal move``.

Both have the same tables, so rows are copied as they are, in batches of one transaction each, and what is done is written
down in the target in that same transaction: who breaks off goes on where it was. Submissions move with all that hangs on
them; then the history, and what people set. At the end every table is counted and hashed on both sides; only then is the
mark that keeps every gateway off the target taken away, and the file is renamed, so that nobody goes on with the old one.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.adapters import sqlite_file
from gateway.adapters.postgres_migrating import migrate
from gateway.adapters.postgres_server import PASSING, Server, Use, refusals, state_of_server, unreachable, unusable
from gateway.adapters.sql import JournalUnusable, as_text

MARK = "journal_move"
"""A table of the target while it is not complete."""

_BY_SUBMISSION = {
    "submission": "seq > ? and seq <= ? order by seq",
    "document": "submission > ? and submission <= ? order by submission, no",
    "chunk": "submission > ? and submission <= ? order by submission, document, no",
    "delivery": "submission > ? and submission <= ? order by submission, seq",
    "step": "delivery in (select seq from delivery where submission > ? and submission <= ?) order by delivery, name",
}
"""They move together, some submissions at a time: a delivery may name another of the same submission."""

_BY_KEY = {
    "history": ("no",), "private": ("history",), "chain": ("sealed_no",), "seal": ("sealed_no",),
    "claim": ("portal", "kind", "key_hash"), "target": ("name",), "credential": ("id",),
    "tally": ("day", "authority", "leistung", "portal", "outcome", "within"),
}
_KEYS = {
    "submission": ("seq",), "document": ("submission", "no"), "chunk": ("submission", "document", "no"),
    "delivery": ("seq",), "step": ("delivery", "name"), **_BY_KEY,
}  # fmt: skip
_ROWS, _BYTES = 2_000, 32 << 20  # in one transaction
_CHUNKS = 16  # of a mebibyte, sent at a time

Progress = Callable[[str, int, int], None]
"""Of a table: rows done, all rows."""


@dataclass(frozen=True, slots=True)
class Moved:
    """rows: of each table, equal on both sides. set_aside: where the file is now."""

    rows: dict[str, int]
    set_aside: Path


class NotTheSame(Exception):
    """The copy differs from what it was made of; nothing was renamed. The text names the tables."""


async def move(source: Path, address: str, *, progress: Progress | None = None) -> Moved:
    """No gateway may run on either. Can be broken off at any time and called again.

    Raises ``JournalUnusable`` (with what to do), ``sqlite_file.JournalInUse``, ``NotTheSame``.
    """
    lock = _held(source)
    try:
        with closing(_opened(source)) as old:
            rows = await _moved(old, address, progress or (lambda _table, _done, _total: None))
        return Moved(rows, _set_aside(source))
    finally:
        lock.release()


def _aside(source: Path) -> Path:
    return source.with_name(source.name + ".moved")


def _held(source: Path) -> sqlite_file.FileLock:
    if not source.exists():
        there = _aside(source).exists()
        raise JournalUnusable(
            f"{source} does not exist" + (f"; it was moved already ({_aside(source)})" if there else ""),
            f"{source} gibt es nicht" + (f"; es ist schon umgezogen ({_aside(source)})" if there else ""),
        )
    return sqlite_file.FileLock(source)


def _set_aside(source: Path) -> Path:
    source.rename(_aside(source))
    sqlite_file.sync_folder(source.parent)
    return _aside(source)


def _opened(source: Path) -> sqlite3.Connection:
    session = sqlite_file.opened(source)
    sqlite_file.migrate(session)
    session.begin()
    session.connection.execute("delete from chunk where submission in (select seq from submission where staged > 0)")
    session.connection.execute("delete from submission where staged > 0")  # uploads that never ended
    session.commit()
    session.checkpoint("truncate")
    return session.connection


async def _moved(old: sqlite3.Connection, address: str, progress: Progress) -> dict[str, int]:
    server = Server(address, "move")
    try:
        session = await server.connect(Use.WATCH)
    except PASSING as failure:
        raise unreachable(failure) from None
    new = session.connection
    try:
        if found := refusals(await state_of_server(new)):
            raise unusable(found)
        await migrate(new)
        await _begin(old, new)
        await _copy_submissions(old, new, progress)
        for table, key in _BY_KEY.items():
            await _copy_table(old, new, table, key, progress)
        rows = await _compared(old, new, progress)
        await _finish(old, new)
        return rows
    finally:
        await session.aclose()


async def _begin(old: sqlite3.Connection, new: Any) -> None:
    """Mark the target, or find the mark of this very move. A source that was worked on meanwhile is another one."""
    state = repr([
        old.execute("select * from counter").fetchone(), old.execute("select max(no), count(*) from history").fetchone(),
        old.execute("select entry_hash from history order by no limit 1").fetchone(),
        old.execute("select entry_hash from history order by no desc limit 1").fetchone(),
    ])
    source = hashlib.sha256(state.encode()).hexdigest()
    if await new.fetchval(f"select to_regclass('{MARK}') is not null"):
        if await new.fetchval(f"select value from {MARK} where name = 'source'") == source:  # noqa: S608
            return
        raise JournalUnusable(
            "the database holds the beginning of another move, or the file was worked on since: empty the database and "
            "begin anew",
            "die Datenbank enthält den Anfang eines anderen Umzugs, oder mit der Datei wurde seither gearbeitet: Datenbank "
            "leeren und neu beginnen",
        )
    for table in _KEYS:
        if await new.fetchval(f"select exists (select 1 from {table})"):  # noqa: S608
            raise JournalUnusable(
                "the database holds a journal already: move into an empty one",
                "die Datenbank enthält schon ein Journal: in eine leere umziehen",
            )
    async with new.transaction():
        await new.execute(f'create table {MARK} (name text collate "C" primary key, value text not null)')
        await new.execute(f"insert into {MARK} values ('source', $1)", source)  # noqa: S608


# --- copying ----------------------------------------------------------------------------------------------------------


async def _copy_submissions(old: sqlite3.Connection, new: Any, progress: Progress) -> None:
    last = int(await _done(new, "submission") or 0)
    total = old.execute("select count(*) from submission").fetchone()[0]
    done = old.execute("select count(*) from submission where seq <= ?", (last,)).fetchone()[0]
    while batch := _some_submissions(old, last):
        upto = batch[-1]
        async with new.transaction():
            for table, condition in _BY_SUBMISSION.items():
                await _send(old, new, table, condition, (last, upto))
            await _note(new, "submission", str(upto))
        last, done = upto, done + len(batch)
        progress("submission", done, total)


def _some_submissions(old: sqlite3.Connection, after: int) -> list[int]:
    """The next numbers, within reason in number and size."""
    found: list[int] = []
    size = 0
    for seq, one in old.execute("select seq, size from submission where seq > ? order by seq limit ?", (after, _ROWS)):
        if found and size + one > _BYTES:
            break
        found.append(seq)
        size += one
    return found


async def _copy_table(old: sqlite3.Connection, new: Any, table: str, key: Sequence[str], progress: Progress) -> None:
    last = int(await _done(new, table) or 0)
    total = old.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608
    # Numbered by their place in the order of the key: the file is locked, so that nothing moves under the count.
    condition = f"1 order by {', '.join(key)} limit -1 offset ?"
    rows = _typed(old, table, old.execute(f"select {_list(old, table)} from {table} where {condition}", (last,)))  # noqa: S608
    while batch := list(islice(rows, _ROWS)):
        async with new.transaction():
            await new.copy_records_to_table(table, records=batch, columns=_columns(old, table))
            await _note(new, table, str(last + len(batch)))
        last += len(batch)
        progress(table, last, total)
        await asyncio.sleep(0)


async def _send(old: sqlite3.Connection, new: Any, table: str, condition: str, parameters: tuple[int, int]) -> None:
    text = f"select {_list(old, table)} from {table} where {condition}"  # noqa: S608
    rows = _typed(old, table, old.execute(text, parameters))
    at_once = _CHUNKS if table == "chunk" else _ROWS
    while batch := list(islice(rows, at_once)):
        await new.copy_records_to_table(table, records=batch, columns=_columns(old, table))


async def _done(new: Any, table: str) -> str | None:
    said: str | None = await new.fetchval(f"select value from {MARK} where name = $1", table)  # noqa: S608
    return said


async def _note(new: Any, table: str, value: str) -> None:
    await new.execute(
        f"insert into {MARK} values ($1, $2) on conflict (name) do update set value = excluded.value", table, value  # noqa: S608
    )


# --- comparing, ending ------------------------------------------------------------------------------------------------


async def _compared(old: sqlite3.Connection, new: Any, progress: Progress) -> dict[str, int]:
    """Raises ``NotTheSame``."""
    rows, different = {}, []
    for done, (table, key) in enumerate(_KEYS.items()):
        progress("compare", done, len(_KEYS))
        text = f"select {_list(old, table)} from {table} order by {', '.join(key)}"  # noqa: S608
        here = await asyncio.to_thread(_digest, _typed(old, table, old.execute(text)))
        there = await _digest_of(_stream(new, text))
        rows[table] = here[0]
        if here != there:
            different.append(f"{table} ({here[0]} rows, {there[0]} in the copy)")
    progress("compare", len(_KEYS), len(_KEYS))
    if different:
        raise NotTheSame(", ".join(different))
    return rows


async def _stream(new: Any, text: str) -> AsyncIterator[Sequence[Any]]:
    async with new.transaction(readonly=True):
        async for row in new.cursor(text, prefetch=_CHUNKS * 4):
            yield row


def _digest(rows: Iterable[Sequence[Any]]) -> tuple[int, bytes]:
    count, digest = 0, hashlib.sha256()
    for row in rows:
        digest.update(_canonical(row))
        count += 1
    return count, digest.digest()


async def _digest_of(rows: AsyncIterator[Sequence[Any]]) -> tuple[int, bytes]:
    count, digest = 0, hashlib.sha256()
    async for row in rows:
        digest.update(_canonical(row))
        count += 1
    return count, digest.digest()


def _canonical(row: Sequence[Any]) -> bytes:
    parts = []
    for value in row:
        said = value if isinstance(value, bytes) else as_text(value) if isinstance(value, datetime) else repr(value)
        raw = said if isinstance(said, bytes) else said.encode()
        parts.append(b"%d:%b" % (len(raw), raw))
    return b"".join(parts) + b"\n"


async def _finish(old: sqlite3.Connection, new: Any) -> None:
    """The numbers go on where they were; the mark goes in the same transaction."""
    submission, delivery, history, key_id = old.execute("select submission, delivery, history, key_id from counter").fetchone()
    async with new.transaction():
        await new.execute("select setval('submission_no', $1), setval('delivery_no', $2)", submission, delivery)
        await new.execute("update counter set history = $1, key_id = $2 where one = 1", history, key_id)
        await new.execute(f"drop table {MARK}")
    await new.execute("analyze")


# --- rows -------------------------------------------------------------------------------------------------------------


def _columns(old: sqlite3.Connection, table: str) -> list[str]:
    return [name for _, name, *_ in old.execute(f"pragma table_info({table})")]


def _list(old: sqlite3.Connection, table: str) -> str:
    return ", ".join(_columns(old, table))


_TIMES = frozenset({
    "at", "received_at", "erase_after", "erased_at", "expires_at", "created_at", "next_attempt_at", "lease_until",
    "failing_since", "give_up_at", "changed_at", "exported_at", "paused_at", "paused_until", "breaker_since", "probe_at",
    "revoked_at",
})
"""Columns of type moment: a text in SQLite. A test compares with the tables."""


def _typed(old: sqlite3.Connection, table: str, rows: Iterable[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    times = [place for place, name in enumerate(_columns(old, table)) if name in _TIMES]
    for row in rows:
        values = list(row)
        for place in times:
            if values[place] is not None:
                values[place] = datetime.fromisoformat(values[place])
        yield tuple(values)
