"""What every SQL journal shares: the named statements, the words that differ between databases, and how to talk.

A *dialogue* is a generator that yields what it wants to ask and is sent the answer. It holds all the logic of an operation
and does no I/O, so that one text serves a driver with threads (SQLite) and one with coroutines (PostgreSQL)::

    def seq_of(delivery_id: str) -> Dialogue[int | None]:
        rows = yield Rows("delivery_seq", (delivery_id,))
        return rows[0][0] if rows else None
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")


class Rows(NamedTuple):
    """Answer: the list of rows."""

    name: str
    parameters: Sequence[Any] = ()


class Count(NamedTuple):
    """Answer: how many rows it touched."""

    name: str
    parameters: Sequence[Any] = ()


class Many(NamedTuple):
    """Insert all of these rows. Answer: how many were inserted."""

    name: str
    rows: Sequence[Sequence[Any]]


class Each(NamedTuple):
    """Do it once with each of these rows of parameters; no two of them touch the same row. Answer: how many rows were
    touched."""

    name: str
    rows: Sequence[Sequence[Any]]


class Together(NamedTuple):
    """Insert all of these; none may look at what another of them inserts. then: done with them. Answer: nothing."""

    inserts: Sequence[Many]
    then: Count


Ask: TypeAlias = Rows | Count | Many | Each | Together
Dialogue: TypeAlias = Generator[Ask, Any, T]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between databases. words: regular expression → replacement, applied in this order; table_words: those
    of the migrations, applied before."""

    name: str
    words: Mapping[str, str]
    table_words: Mapping[str, str]
    store_time: Callable[[datetime], Any]
    load_time: Callable[[Any], datetime]

    def text(self, sql: str) -> str:
        return _replaced(sql, self.words)

    def tables(self, sql: str) -> str:
        """A migration. A line that begins with "--name:" is there for the database of that name alone."""
        sql = re.sub(rf"^--{self.name}: ?", "", sql, flags=re.MULTILINE)
        return self.text(_replaced(sql, self.table_words))


@dataclass(frozen=True, slots=True)
class Migration:
    """digest: of the text as it is in the file, so that a changed one is found out. needs: the last migration that a
    program must know to work with the tables as this one leaves them; the header of the file says "-- needs: 7". Whoever
    only adds (expand) writes the number of an earlier one, so that the version before works on beside this one; whoever
    takes away (contract) writes its own."""

    no: int
    name: str
    sql: str
    digest: bytes
    needs: int


class Applied(NamedTuple):
    """A migration as a journal remembers it."""

    no: int
    digest: bytes
    needs: int


class JournalUnusable(Exception):
    """What is there cannot keep what a journal promises; the text says why and what to do. de: the same in German."""

    def __init__(self, en: str, de: str = "") -> None:
        super().__init__(en)
        self.en, self.de = en, de or en


class SchemaMismatch(JournalUnusable):
    """The stored journal and this program do not belong together; the text says which one to change."""


SUBMISSION = (
    "seq, id, reference, portal, authority, leistung, ars, package, message_type, message_uuid, origin, test, digest, "
    "fingerprint, size, traceparent, received_at, erase_after, erased_at"
)
DELIVERY = (
    "id, purpose, authority, leistung, target, document, order_key, state, revision, waiting_for, next_attempt_at, "
    "lease_until, claimed_by, attempts, crashes, in_doubt, failing_since, give_up_at, class, closed_as, code, cause, "
    "cause_text, case_number, outcome, received_at, changed_at"
)
DOCUMENT = "no, role, made_from, made_by, name, media_type, size, digest, chunks, created_at"
_LISTS = {"submission": SUBMISSION, "delivery": DELIVERY, "document": DOCUMENT}
_PHRASES = {
    ":delivery_row:": "d.seq, s.id, r.id, a.id, s.key_id, s.wrapped_key, :d.delivery:",
    ":delivery_from:": (
        "from delivery d join submission s on s.seq = d.submission "
        "left join delivery r on r.seq = d.replaces left join delivery a on a.seq = d.after"
    ),
}


def statements(dialect: Dialect) -> dict[str, str]:
    """The statements of queries.sql by name, in this dialect. "values (…)" has one place for each column."""
    text = resources.files(__package__).joinpath("queries.sql").read_text("utf-8")
    found: dict[str, str] = {}
    for block in re.split(r"^-- name: ", text, flags=re.MULTILINE)[1:]:
        title, _, sql = block.partition("\n")
        name, _, only = title.strip().partition(" on ")
        if only in ("", dialect.name):
            found[name] = dialect.text(_completed(sql))
    return found


def migrations() -> list[Migration]:
    """The numbered files, in order."""
    files = sorted(resources.files(__package__).joinpath("migrations").iterdir(), key=lambda file: file.name)
    found = [(re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name), file) for file in files]
    return [_migration(int(name[1]), name[2], file.read_text("utf-8")) for name, file in found if name]


def _migration(no: int, name: str, sql: str) -> Migration:
    needs = re.search(r"^-- needs: (\d+)$", sql, flags=re.MULTILINE)
    return Migration(no, name, sql, hashlib.sha256(sql.encode()).digest(), int(needs[1]) if needs else no)


def missing_migrations(applied: Sequence[Applied], known: Sequence[Migration] | None = None) -> list[Migration]:
    """Those that a journal with these still needs. Raises ``SchemaMismatch``: the tables are newer than this program, and
    not marked as such that it may work with."""
    known = migrations() if known is None else known
    last = known[-1].no
    newer = [one for one in applied if one.no > last]
    if newer and max(one.needs for one in newer) > last:
        newest = max(one.no for one in newer)
        raise SchemaMismatch(
            f"this journal was written by a newer version of Nahtlos (its tables are at {newest}, this program knows "
            f"{last}): start the newer version, or restore a backup from before",
            f"Dieses Journal hat eine neuere Version von Nahtlos geschrieben (Tabellen auf Stand {newest}, dieses Programm "
            f"kennt {last}): die neuere Version starten oder eine Sicherung von vorher einspielen",
        )
    digests = {one.no: one.digest for one in applied}
    for migration in known:
        if digests.get(migration.no, migration.digest) != migration.digest:
            raise SchemaMismatch(
                f"migration {migration.no:04d}_{migration.name} is not the one this journal was made with: "
                "this program is not a released version",
                f"Migration {migration.no:04d}_{migration.name} ist nicht die, mit der dieses Journal angelegt wurde: "
                "dieses Programm ist keine freigegebene Version",
            )
    return [migration for migration in known if migration.no not in digests]


@functools.lru_cache(maxsize=1024)  # one time of receipt is written into half a dozen places
def as_text(at: datetime) -> str:
    """UTC, microseconds, always the same length, so that texts sort as times do."""
    if at.tzinfo is not UTC:
        if at.tzinfo is None:
            raise ValueError("a time without a zone")
        at = at.astimezone(UTC)
    return at.isoformat(timespec="microseconds")


def _replaced(sql: str, words: Mapping[str, str]) -> str:
    for pattern, replacement in words.items():
        sql = re.sub(pattern, replacement, sql)
    return sql


def _completed(sql: str) -> str:
    sql = "\n".join(line for line in sql.splitlines() if not line.startswith("--")).strip().rstrip(";")
    for token, phrase in _PHRASES.items():
        sql = sql.replace(token, phrase)
    sql = re.sub(r":(\w+\.)?(\w+):", _columns, sql)
    if "(…)" in sql:
        columns = sql[sql.index("(") + 1:sql.index(")")].count(",") + 1
        sql = sql.replace("(…)", "(" + ", ".join(f"${n}" for n in range(1, columns + 1)) + ")")
    return sql


def _columns(found: re.Match[str]) -> str:
    prefix = found[1] or ""
    return ", ".join(prefix + column for column in _LISTS[found[2]].split(", "))
