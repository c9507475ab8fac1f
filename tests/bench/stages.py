"""The single stages, each measured alone: what a submission cannot cost less than."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import uvloop

from gateway.ids import new_reference, uuid7
from gateway.planning import schema_roots
from gateway.ports import Acceptance, Claim, Clock, Part, Role
from gateway.schemas import Registry
from gateway.settings import Settings
from gateway.submission import Delivery, Origin, Purpose, State, Submission, WaitingFor
from gateway.validation import Inspector


def acceptance_of(body: bytes, *, clock: Clock) -> Acceptance:
    """What intake would hand to the journal for this message."""
    at, own = clock.now(), uuid7()
    digest = hashlib.sha256(body).digest()
    submission = Submission(
        id=own, reference=new_reference(), portal="portal", authority="stadt", leistung="hundesteuer", ars="081210000000",
        package="hundesteuer@1.0", message_type="hundesteuer", message_uuid=None, origin=Origin.MESSAGE, test=False,
        digest=digest, fingerprint=digest, size=len(body), received_at=at,
    )
    delivery = Delivery(
        id=uuid7(), submission_id=own, purpose=Purpose.CASE, authority="stadt", leistung="hundesteuer", target="fach", document=0,
        state=State.PENDING, revision=1, received_at=at, changed_at=at, waiting_for=WaitingFor.TURN, next_attempt_at=at,
    )
    part = Part(Role.RECEIVED, "application/xml", body, digest)
    return Acceptance(submission, (part,), (delivery,), (Claim("message", os.urandom(32), at),), "portal:portal", {"parts": 1})


def inspections(make: Callable[[], bytes], *, seconds: float) -> float:
    """Guard, parse, detect and validate, per second, on one core, with nothing around it."""
    async def loop() -> float:
        inspector = Inspector(Registry.load(*schema_roots(Settings())), threads=1)
        bodies = [make() for _ in range(64)]
        await inspector.inspect(bodies[0])
        done, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < seconds:
            for body in bodies:
                await inspector.inspect(body)
            done += len(bodies)
        rate = done / (time.perf_counter() - begun)
        await inspector.aclose()
        return rate

    return uvloop.run(loop())


def raw_commits(journal: Path, to: Path, *, group: int, seconds: float) -> float:
    """Submissions per second when the rows of a real journal are written by plain SQLite, ``group`` in a synced commit."""
    source = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    made = source.execute("select sql from sqlite_master where sql is not null and name not like 'sqlite_%'")
    schema = [statement for (statement,) in made]
    tables = [t for t in ("submission", "document", "chunk", "delivery", "claim", "history", "private") if _has(source, t)]
    rows = {table: source.execute(f"select * from {table} limit {_MOST}").fetchall() for table in tables}
    submissions = len(rows["submission"])
    target = sqlite3.connect(to, isolation_level=None)
    for statement in ("pragma journal_mode=wal", "pragma synchronous=full", *schema):
        target.execute(statement)
    groups = submissions // group
    done, begun = 0, time.perf_counter()
    for n in range(groups):
        target.execute("begin immediate")
        for table, all_rows in rows.items():
            mine = all_rows[n * len(all_rows) // groups : (n + 1) * len(all_rows) // groups]
            if mine:
                target.executemany(f"insert or ignore into {table} values ({','.join('?' * len(mine[0]))})", mine)
        target.execute("commit")
        done += group
        if time.perf_counter() - begun > seconds:
            break
    rate = done / (time.perf_counter() - begun)
    target.close()
    source.close()
    return rate


_MOST = 60_000


def _has(database: sqlite3.Connection, table: str) -> bool:
    return database.execute("select 1 from sqlite_master where type = 'table' and name = ?", (table,)).fetchone() is not None


def posts(url: str, headers: dict[str, str], body: bytes, *, client: str, in_flight: int, seconds: float) -> float:
    """Bare POSTs per second to the same case system. client: ``httpx`` as it comes, or ``aiohttp``."""
    async def loop() -> float:
        done, end = 0, time.perf_counter() + seconds

        async def sender(post: Callable[[dict[str, str]], Any]) -> None:
            nonlocal done
            while time.perf_counter() < end:
                await post({**headers, "Idempotency-Key": uuid7()})
                done += 1

        if client == "httpx":
            limits = httpx.Limits(max_connections=in_flight)
            async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=60) as one:
                await asyncio.gather(*(sender(lambda h: one.post(url, headers=h, content=body)) for _ in range(in_flight)))
        else:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as other:

                async def post(h: dict[str, str]) -> None:
                    async with other.post(url, headers=h, data=body) as answer:
                        await answer.read()

                await asyncio.gather(*(sender(post) for _ in range(in_flight)))
        return done / seconds

    return uvloop.run(loop())


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
