"""Works a journal and says what it was told: ``python -m tests.chaos.journal_writer DIR N SEED [DEFECT]``.

Opens the real ``SqliteJournal`` in DIR/state, accepts N submissions in groups of random size, claims and confirms some, and
writes a line to DIR/acknowledged after each call that returned: ``accepted:<submission>:<delivery>:<digest>:<key>`` or
``at:<delivery>:<revision>:<state>``. Large and small, staged and not, with checkpoints in between.

What the journal refuses is not acknowledged and not tried again; the writer waits a moment and goes on.

DEFECT breaks a promise from outside: ``off`` and ``normal`` lie to the journal about ``synchronous``; ``early``
acknowledges before the commit; ``deaf`` takes a commit that failed for one that did not.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import sqlite3
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from gateway import claims
from gateway.adapters import group, journal, sqlite_file
from gateway.adapters.sqlite import SqliteJournal
from gateway.ids import uuid7
from gateway.ports import Acceptance, Accepted, Change, JournalUnavailable
from gateway.submission import Event, advance
from gateway.vault import Vault
from tests.clock import TurnableClock
from tests.deliveries import a_delivery, a_submission, an_acceptance

CLOCK = TurnableClock()


def lying(says: str) -> type[sqlite3.Connection]:
    """A connection that takes ``synchronous = FULL`` and does something else."""

    class Lying(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql.startswith("pragma synchronous"):
                sql = "select 2" if "=" not in sql else f"pragma synchronous = {says}"
            return super().execute(sql, *parameters)

    return Lying


class Early(SqliteJournal):
    """Says "accepted" and goes on committing."""

    _meanwhile: ClassVar[set[asyncio.Future[Any]]] = set()

    async def accept(self, acceptance: Acceptance) -> Accepted:
        self._meanwhile.add(asyncio.ensure_future(super().accept(acceptance)))
        await asyncio.sleep(0)
        return Accepted(acceptance.submission, replayed=False)


def be_deaf() -> None:
    commit = sqlite_file.Session.commit

    def deaf(self: sqlite_file.Session) -> None:
        with contextlib.suppress(sqlite3.OperationalError):
            commit(self)

    sqlite_file.Session.commit = deaf  # type: ignore[method-assign]


async def write(folder: Path, count: int, defect: str, seed: int) -> None:
    chance, written = random.Random(seed), os.open(folder / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(*words: object) -> None:
        os.write(written, (":".join(map(str, words)) + "\n").encode())

    def connect(path: Path) -> sqlite3.Connection:
        factory = lying(defect) if defect in ("off", "normal") else sqlite3.Connection
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=factory)

    async def try_to_accept() -> None:
        try:
            await accept()
        except (JournalUnavailable, ValueError):  # the second only where a defect has left half of something behind
            await asyncio.sleep(0.15)

    async def accept() -> None:
        submission = a_submission(received_at=CLOCK.now())
        delivery, body = a_delivery(submission), chance.randbytes(chance.choice([500, 2_000, 9_000, 30_000]))
        key = uuid7()
        acceptance = replace(an_acceptance(submission, delivery, body=body), claims=[claims.by_key(key.encode(), at=CLOCK.now())])
        assert isinstance(await book.accept(acceptance), Accepted)
        say("accepted", submission.id, delivery.id, hashlib.sha256(body).hexdigest(), key, submission.fingerprint.hex())
        if chance.random() < 0.5:
            await deliver(delivery.id)

    async def deliver(delivery_id: str) -> None:
        at = CLOCK.now()
        claimed = await book.claim(delivery_id, at=at, lease_until=at + timedelta(minutes=2), by="writer")
        if claimed is None:  # only where it was said too early
            return
        say("at", delivery_id, claimed.revision, claimed.state)
        after = advance(claimed, Event.CONFIRM, at=CLOCK.now(), in_doubt=False, case_number=f"2026/{chance.randrange(10**6)}")
        if await book.advance(Change(claimed, after, Event.CONFIRM, CLOCK.now(), "writer", private={"said": "x" * 200})):
            say("at", delivery_id, after.revision, after.state)

    made: type[SqliteJournal] = Early if defect == "early" else SqliteJournal
    state = folder / "state"
    book = await made.open(
        state / "journal.db", vault=Vault.open(state / "keys"), clock=CLOCK, reserve=lambda total: 0, connect=connect,
    )
    done = 0
    while done < count:
        together = min(chance.choice([1, 2, 5, 12, 24]), count - done)
        await asyncio.gather(*(try_to_accept() for _ in range(together)))
        done += together
        with contextlib.suppress(JournalUnavailable):
            await book.seal(at=CLOCK.now())
    await book.aclose()


def main() -> None:
    folder, count, seed, *defect = sys.argv[1:]
    assert min(journal.STAGED_FROM, group._LOG_BYTES) > 1 << 20
    assert group._RETRY >= 1
    journal.STAGED_FROM = 20_000  # so that a short run does all that a long one does
    group._LOG_BYTES, group._RETRY = 300_000, 0.05
    assert sqlite_file._PROMISES["synchronous"] == 2
    if defect == ["deaf"]:
        be_deaf()
    asyncio.run(write(Path(folder), int(count), "".join(defect), seed=int(seed)))


if __name__ == "__main__":
    main()
