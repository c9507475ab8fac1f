"""A journal of any size in minutes: real submissions, delivered and chained, copied past the journal.

Every copy is what the gateway would have written: its own numbers, ids, Eingangsnummer, idempotency key, data key, texts
encrypted with it, history with its hashes, chain with signed heads. Only its document is that of the original.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from gateway.adapters.rows import chunk_place, private_place
from gateway.adapters.sql import Dialect, as_text, migrations
from gateway.ids import new_reference
from gateway.seal import SIGN_EVERY, chain_hash, entry_hash, head_message
from gateway.vault import DataKey, Vault

Row = dict[str, Any]
Rows = Mapping[str, Sequence[tuple[Any, ...]]]

TABLES = ("submission", "claim", "document", "chunk", "delivery", "history", "private", "chain", "seal")
BATCH = 2_000
APART = timedelta(seconds=1)
_TIMES = frozenset(itertools.chain.from_iterable(re.findall(r"(\w+) moment\b", each.sql) for each in migrations()))
_SEALED = {"cause_text": "cause", "case_number": "case", "outcome": "outcome"}


class Store(Protocol):
    """A journal that nobody else has open."""

    dialect: Dialect

    def query(self, sql: str) -> list[Row]: ...

    def write(self, rows: Rows, last: Last) -> None:
        """All in one transaction. rows: the values of every column, in its order."""

    def finish(self) -> None:
        """As after a while of work: statistics are there, and nothing is waiting to be written."""

    def close(self) -> None: ...


@dataclass(slots=True)
class Last:
    """The last numbers given out, and the last link."""

    submission: int
    delivery: int
    history: int
    sealed: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class Original:
    """A submission with all its rows; times are times. texts: table, place of the row, column → the plain text, and what it is
    bound to, with the delivery's id left open."""

    submission: Row
    rows: Mapping[str, list[Row]]
    texts: Mapping[tuple[str, int, str], tuple[bytes, str]] = field(repr=False)


def fill(store: Store, keys: Path, to: int) -> None:
    """Copy what is there until there are ``to`` submissions. The first 200 serve as originals; all there is must be delivered
    and chained."""
    vault = Vault.open(keys)
    ((there,),) = _values(store, "select count(*) from submission")
    last = _last(store)
    originals = itertools.cycle(list(_originals(store, vault)))
    copier = _Copier(vault, store.dialect, last, datetime.now(UTC) - APART * (to - there + 3600))
    for first in range(there, to, BATCH):
        store.write(copier.copies(itertools.islice(originals, min(BATCH, to - first))), last)
    store.finish()


def _values(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in store.query(sql)]


def _last(store: Store) -> Last:
    ((submission, delivery, line, chained),) = _values(store, """select (select max(seq) from submission) as s,
        (select max(seq) from delivery) as d, (select max(no) from history) as l, (select max(history) from chain) as c""")
    assert line == chained, "not all of the history is chained"
    ((sealed, chain),) = _values(store, "select sealed_no, chain_hash from chain order by sealed_no desc limit 1")
    return Last(submission, delivery, line, sealed, chain)


def _originals(store: Store, vault: Vault) -> Iterator[Original]:
    some = store.query("select * from submission order by seq limit 200")
    listed = ", ".join(str(row["seq"]) for row in some)
    by_submission: dict[str, dict[int, list[Row]]] = {}
    for table in ("claim", "document", "chunk", "delivery", "history", "private"):
        found = by_submission.setdefault(table, {})
        order = {"history": "no", "private": "history", "document": "no", "chunk": "document, no"}.get(table, "submission")
        for row in store.query(f"select * from {table} where submission in ({listed}) order by {order}"):
            found.setdefault(row["submission"], []).append(_timed(row, store.dialect))
    for row in some:
        rows = {table: found.get(row["seq"], []) for table, found in by_submission.items()}
        (delivery,) = rows["delivery"]
        assert delivery["state"] == "delivered"
        assert [line["event"] for line in rows["history"]] == ["accept", "claim", "confirm"]
        assert all(delivery[column] is None for column in ("replaces", "after", "order_key"))
        key = vault.data_key(row["id"], row["key_id"], row["wrapped_key"])
        yield Original(_timed(row, store.dialect), rows, dict(_texts(rows, key, delivery["id"])))


def _timed(row: Row, dialect: Dialect) -> Row:
    return {
        name: dialect.load_time(value) if name in _TIMES and value is not None else value for name, value in row.items()
    }


def _texts(
    rows: Mapping[str, list[Row]], key: DataKey, delivery: str
) -> Iterator[tuple[tuple[str, int, str], tuple[bytes, str]]]:
    for place, row in enumerate(rows["chunk"]):
        chunks = next(document["chunks"] for document in rows["document"] if document["no"] == row["document"])
        about = chunk_place(row["document"], row["no"], last=row["no"] == chunks - 1)
        yield ("chunk", place, "body"), (key.decrypt(row["body"], about), about)
    for place, row in enumerate(rows["document"]):
        if row["name"] is not None:
            about = f"document {row['no']} name"
            yield ("document", place, "name"), (key.decrypt(row["name"], about), about)
    for column, what in _SEALED.items():
        if (sealed := rows["delivery"][0][column]) is not None:
            yield ("delivery", 0, column), (key.decrypt(sealed, f"delivery {delivery} {what}"), f"delivery {{}} {what}")
    for place, row in enumerate(rows["private"]):
        about = private_place(None, delivery, "")
        yield ("private", place, "body"), (key.decrypt(row["body"], about), private_place(None, "{}", ""))


class _Copier:
    def __init__(self, vault: Vault, dialect: Dialect, last: Last, at: datetime) -> None:
        self._vault, self._store_time, self._last, self._at = vault, dialect.store_time, last, at
        self._time_columns: dict[str, list[str]] = {}

    def copies(self, originals: Iterator[Original]) -> Rows:
        made: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}
        for original in originals:
            self._copy(original, made)
        return made

    def _copy(self, original: Original, made: dict[str, list[tuple[Any, ...]]]) -> None:
        last, self._at = self._last, self._at + APART
        last.submission += 1
        last.delivery += 1
        old, number = original.submission, last.submission
        later = self._at - old["received_at"]
        own, delivery, reference = _id_at(self._at), _id_at(self._at), new_reference()
        key, key_id, wrapped = self._vault.new_key(own)
        texts: dict[tuple[str, int], Row] = {}
        for (table, place, column), (text, about) in original.texts.items():
            texts.setdefault((table, place), {})[column] = key.encrypt(text, about.format(delivery))

        def add(table: str, row: Row, **instead: Any) -> None:
            new = {**row, **instead}
            for name in self._times(table, row):
                if (value := row[name]) is not None:
                    new[name] = self._store_time(value + later)
            made[table].append(tuple(new.values()))

        add("submission", old, seq=number, id=own, reference=reference, key_id=key_id, wrapped_key=wrapped,
            message_uuid=_id_at(self._at))
        for row in original.rows["claim"]:
            add("claim", row, submission=number, key_hash=random.randbytes(32))
        for table in ("document", "chunk"):
            for place, row in enumerate(original.rows[table]):
                add(table, row, submission=number, **texts.get((table, place), {}))
        add("delivery", original.rows["delivery"][0], seq=last.delivery, id=delivery, submission=number, **texts[("delivery", 0)])
        self._lines(original, made, add, texts, (number, own, delivery, reference), later)

    def _lines(
        self, original: Original, made: dict[str, list[tuple[Any, ...]]], add: Any, texts: Mapping[tuple[str, int], Row],
        names: tuple[int, str, str, str], later: timedelta,
    ) -> None:
        number, own, delivery, reference = names
        private = {row["history"]: place for place, row in enumerate(original.rows["private"])}
        for row in original.rows["history"]:
            self._last.history += 1
            no, digest = self._last.history, None
            if (place := private.get(row["no"])) is not None:
                body = texts[("private", place)]["body"]
                digest = hashlib.sha256(body).digest()
                add("private", original.rows["private"][place], history=no, submission=number, body=body)
            facts = row["facts"].replace(original.submission["reference"], reference)
            entry = entry_hash((
                no, as_text(row["at"] + later), row["actor"], delivery, own, delivery, row["revision"], row["event"],
                row["from_state"], row["to_state"], row["attempt"], row["outcome"], row["code"], facts, digest and digest.hex(),
            ))
            add("history", row, no=no, subject=delivery, submission=number, delivery=self._last.delivery, facts=facts,
                private_digest=digest, entry_hash=entry)
            self._chain(made, no, entry, row["at"] + later)

    def _chain(self, made: dict[str, list[tuple[Any, ...]]], no: int, entry: bytes, at: datetime) -> None:
        last = self._last
        last.sealed += 1
        last.chain = chain_hash(last.chain, last.sealed, entry)
        made["chain"].append((last.sealed, no, last.chain))
        if last.sealed % SIGN_EVERY == 0:
            key_id, signature = self._vault.sign(head_message(last.sealed, last.chain, as_text(at)))
            made["seal"].append((last.sealed, last.chain, self._store_time(at), key_id, signature, None))

    def _times(self, table: str, row: Row) -> list[str]:
        if table not in self._time_columns:
            self._time_columns[table] = [name for name in row if name in _TIMES]
        return self._time_columns[table]


def _id_at(at: datetime) -> str:
    """As ``ids.uuid7`` makes them, at another time."""
    value = int(at.timestamp() * 1000) << 80 | random.getrandbits(80)
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
