"""Is this journal whole? Looked at from outside, after whatever happened to it."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from gateway.adapters.journal import SqlJournal
from gateway.adapters.postgres import PostgresJournal
from gateway.adapters.sqlite import SqliteJournal
from gateway.seal import verify
from gateway.submission import Delivery, faults_of
from gateway.vault import Vault
from tests.clock import TurnableClock
from tests.postgres import Shell


@dataclass(slots=True)
class Inspected:
    """deliveries, digests (of the document that a delivery delivers): by delivery id. faults: what must not be; empty
    when all is well. in_flight: how many of a target's deliveries were being delivered at once, at most, at any time."""

    deliveries: dict[str, Delivery] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    submissions: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    in_flight: dict[str, int] = field(default_factory=dict)


async def inspect(journal: Path | str, keys: Path) -> Inspected:
    """Opens it as the gateway would, and reads everything in it. A journal that does not open is a fault. journal: a file,
    or the address of a PostgreSQL."""
    found = Inspected()
    try:
        opened = await _opened(journal, keys)
    except Exception as error:
        found.faults.append(f"does not open: {type(error).__name__}: {error}")
        return found
    try:
        if isinstance(journal, Path):
            _look_at_the_file(journal, found)
        else:
            _look_at_the_database(journal, found)
        if not found.faults:
            await _read_everything(opened, found)
        verdict = await verify(opened)
        if verdict.broken is not None:
            found.faults.append(f"history: {verdict.broken.en}")
    except Exception as error:
        found.faults.append(f"cannot be read: {type(error).__name__}: {error}")
    finally:
        await opened.aclose()
    return found


async def _opened(journal: Path | str, keys: Path) -> SqlJournal:
    vault = Vault.open(keys)
    if isinstance(journal, Path):
        return await SqliteJournal.open(journal, vault=vault, clock=TurnableClock(), reserve=lambda total: 0)
    return await PostgresJournal.open(journal, vault=vault, clock=TurnableClock(), instance="inspection")


def _look_at_the_file(journal: Path, found: Inspected) -> None:
    with closing(sqlite3.connect(journal)) as connection:
        found.faults += [f"integrity: {line}" for (line,) in connection.execute("pragma integrity_check") if line != "ok"]
        found.faults += [f"foreign key: {row}" for row in connection.execute("pragma foreign_key_check")]
        found.faults += [f"left over: {n} staged submissions" for (n,) in connection.execute(
            "select count(*) from submission where staged = 1 having count(*) > 0")]
        found.faults += [f"numbers: {table}" for table in ("submission", "delivery") if connection.execute(
            f"select count(*) from {table}, counter where seq > counter.{table}").fetchone()[0]]
        found.submissions = {id_ for (id_,) in connection.execute("select id from submission where staged = 0")}


def _look_at_the_database(address: str, found: Inspected) -> None:
    shell = Shell(address)
    try:
        (staged,) = shell.execute("select count(*) from submission where staged > 0")[0]
        found.faults += [f"left over: {staged} staged submissions"] if staged else []
        for table in ("submission", "delivery"):
            (above,) = shell.execute(f"select count(*) from {table} where seq > (select last_value from {table}_no)")[0]
            found.faults += [f"numbers: {table}"] if above else []
        (loose,) = shell.execute("select count(*) from claim where submission not in (select seq from submission)")[0]
        found.faults += [f"{loose} claims of nothing"] if loose else []
        found.submissions = {id_ for (id_,) in shell.execute("select id from submission where staged = 0")}
        found.in_flight = most_in_flight(shell)
    finally:
        shell.close()


def most_in_flight(shell: Shell) -> dict[str, int]:
    """By target; exact, because the lines of the history are numbered in the order of the commits."""
    now: dict[str, int] = {}
    most: dict[str, int] = {}
    lines = shell.execute(
        "select d.target, h.to_state = 'delivering' from history h join delivery d on d.seq = h.delivery "
        "where 'delivering' in (h.from_state, h.to_state) order by h.no")
    for target, begins in lines:
        now[target] = now.get(target, 0) + (1 if begins else -1)
        most[target] = max(most.get(target, 0), now[target])
    return most


async def _read_everything(journal: SqlJournal, found: Inspected) -> None:
    await asyncio.gather(*(_read(journal, submission_id, found) for submission_id in found.submissions))


async def _read(journal: SqlJournal, submission_id: str, found: Inspected) -> None:
    dossier = await journal.dossier(submission_id)
    if dossier is None or not dossier.deliveries:
        found.faults.append(f"submission {submission_id} without a delivery")
        return
    bodies = await asyncio.gather(*(journal.body(submission_id, document.no) for document in dossier.documents))
    for document, body in zip(dossier.documents, bodies, strict=True):
        if hashlib.sha256(body).digest() != document.digest:
            found.faults.append(f"submission {submission_id}, document {document.no}: other bytes")
    for delivery in dossier.deliveries:
        found.deliveries[delivery.id] = delivery
        found.digests[delivery.id] = dossier.documents[delivery.document].digest.hex()
        found.faults += [f"delivery {delivery.id}: {fault}" for fault in faults_of(delivery)]
