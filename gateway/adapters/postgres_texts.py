"""The statements in PostgreSQL's dialect, and each of them for many rows of parameters at once.

Every statement costs a round trip, which is a hundred times what it costs inside SQLite. So what many dialogues ask at the
same time is asked in one statement: the parameters come as arrays, one for each place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from gateway.adapters.sql import Dialect, statements

STAGING, SEALING, TURN, MIGRATING, WORKING = 0x4E61_0001, 0x4E61_0002, 0x4E61_0003, 0x4E61_0004, 0x4E61_0005
"""Advisory locks, of one database. STAGING: with the number of a process, held while it lives. SEALING, TURN: until the end
of a transaction. MIGRATING, WORKING: of a session; WORKING is shared by all that serve."""


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at


def _same(at: Any) -> datetime:
    return at  # type: ignore[no-any-return]


DIALECT = Dialect(
    "postgres",
    {
        r"\bblob\b": "bytea", r"\bmoment\b": "timestamptz", r"\binteger\b": "bigint",
        r"\{not_locked\}": "for update skip locked", r"\{staging\}": str(STAGING), r"\{sealing\}": str(SEALING),
    },
    # Sorted by code point: quick, and no index is spoilt when the system's rules of a language change.
    {r"\btext\b": 'text collate "C"', r"\)(\s+)strict(, without rowid)?;": ");"},
    store_time=_aware,
    load_time=_same,
)


class Prepares(Protocol):
    """What is needed of a connection: the types of a statement's parameters."""

    async def prepare(self, query: str) -> Any: ...


class Texts:
    """Shared by all connections of a process: which types a statement takes is asked once."""

    def __init__(self) -> None:
        self.one = statements(DIALECT)
        self._types: dict[str, list[str]] = {}
        self._many: dict[str, str] = {}
        self._together: dict[tuple[str, ...], str] = {}

    def takes_many(self, name: str) -> bool:
        """A limit cannot be another for each row."""
        text = self.one[name]
        return "limit $" not in text and text.startswith(("select", "update", "delete"))

    def reads_only(self, name: str) -> bool:
        return self.one[name].startswith("select")

    async def many(self, connection: Prepares, name: str) -> str:
        """Takes an array for each parameter. Answers, but for inserts, in each row first the number, from 1, of the row of
        parameters it belongs to."""
        if name not in self._many:
            types = await self._types_of(connection, name)
            self._many[name] = _for_many(self.one[name], types)
        return self._many[name]

    async def together(self, connection: Prepares, names: Sequence[str], then: str) -> str:
        """All these inserts, each with an array for every parameter, and a last statement, in one."""
        key = (*names, then)
        if key not in self._together:
            texts, places = [], 0
            for name in names:
                texts.append(_shifted(await self.many(connection, name), places))
                places += len(await self._types_of(connection, name))
            inserts = ", ".join(f"i{no} as ({text})" for no, text in enumerate(texts))
            last = _shifted(self.one[then], places)
            self._together[key] = f"with {inserts} {last}" if texts else last
        return self._together[key]

    async def _types_of(self, connection: Prepares, name: str) -> list[str]:
        if name not in self._types:
            prepared = await connection.prepare(self.one[name])
            self._types[name] = [parameter.name for parameter in prepared.get_parameters()]
        return self._types[name]


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows of parameters as one array for each place."""
    return [list(column) for column in zip(*rows, strict=True)]


def _for_many(text: str, types: Sequence[str]) -> str:
    arrays = ", ".join(f"${no}::{name}[]" for no, name in enumerate(types, 1))
    if text.startswith("insert"):
        return re.sub(r"values \([^)]*\)", f"select * from unnest({arrays})", text, count=1)  # noqa: S608 - our own texts
    rows = f"unnest({arrays}) with ordinality as q ({', '.join(f'p{no}' for no in range(1, len(types) + 1))}, n)"
    text = re.sub(r"\$(\d+)", r"q.p\1", text)
    if text.startswith("update"):
        change, condition, returned = _parts(text)
        return f"{change} from {rows} where {condition} returning q.n{returned}"
    if text.startswith("delete"):
        change, condition, returned = _parts(text)
        return f"{change} using {rows} where {condition} returning q.n{returned}"
    return f"select q.n, r.* from {rows} cross join lateral ({text}) r"  # noqa: S608


def _parts(text: str) -> tuple[str, str, str]:
    change, _, rest = text.partition("where ")
    condition, _, returned = rest.partition("returning ")
    return change, condition, f", {returned}" if returned else ""


def _shifted(text: str, by: int) -> str:
    return re.sub(r"\$(\d+)", lambda place: f"${int(place[1]) + by}", text)
