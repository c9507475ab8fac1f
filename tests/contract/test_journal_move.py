"""A journal moves from its file into PostgreSQL: everything, once, whatever happens on the way."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.access import Kind, new_key
from gateway.adapters import moving
from gateway.adapters.journal import SqlJournal
from gateway.adapters.moving import NotTheSame, move
from gateway.adapters.postgres import PostgresJournal
from gateway.adapters.sql import JournalUnusable, migrations
from gateway.adapters.sqlite_file import JournalInUse
from gateway.ports import Accepted, TargetChange, TargetState
from gateway.seal import Sealer, verify
from gateway.submission import DeadClass, Event
from tests.clock import EPOCH
from tests.contract.examples import LEASE, acceptance, change, order_of_a_new_one
from tests.contract.journals import PostgresPlace, SqlitePlace


class Power(Exception):
    """Fails."""


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[SqlitePlace]:
    place = SqlitePlace(tmp_path)
    yield place
    await place.aclose()


@pytest.fixture
async def new(tmp_path: Path) -> AsyncIterator[PostgresPlace]:
    place = PostgresPlace(tmp_path)
    place.execute("drop table if exists journal_move")
    yield place
    await place.aclose()
    place.execute("drop table if exists journal_move")


async def a_life(journal: SqlJournal, count: int = 9) -> list[str]:
    """Something in every table; large and small, open, done, dead, erased."""
    ids = []
    for n in range(count):
        bodies = [b"<antrag/>", bytes([n]) * (5 << 20)] if n == 3 else [b"<antrag>%d</antrag>" % n]
        first = {"dead": DeadClass.REFUSED} if n % 3 == 0 else {}
        one = acceptance(key=str(n), bodies=bodies, content=str(n), deliveries=[first])
        accepted = await journal.accept(one)
        assert isinstance(accepted, Accepted)
        ids.append(one.submission.id)
        if n % 3 == 0:
            await journal.advance(change(one.deliveries[0], Event.CLOSE, private={"reason": "Grund"}))
        elif n % 3 == 1:
            claimed = await journal.claim(one.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="worker-1")
            assert claimed is not None
            await journal.put_step(claimed.id, "upload", b"42", at=EPOCH)
            if n == 4:
                await journal.advance(change(claimed, Event.CONFIRM))
    before, after = TargetState("steuer-hn"), TargetState("steuer-hn", paused_at=EPOCH, paused_reason="Wartung", revision=1)
    assert await journal.advance_target(TargetChange(before, after, "pause", EPOCH, "anna"))
    _, credential = new_key("service-bw", Kind.PORTAL_KEY, ("*",), journal._clock)
    await journal.put_credential(credential, actor="anna", at=EPOCH)
    await Sealer(journal, journal._clock).once()
    return ids


async def all_bodies(journal: SqlJournal, submission_id: str) -> list[bytes]:
    dossier = await journal.dossier(submission_id)
    assert dossier is not None
    return [await journal.body(submission_id, document.no) for document in dossier.documents]


async def test_all_of_it_is_there_afterwards_and_goes_on_where_it_was(old: SqlitePlace, new: PostgresPlace) -> None:
    before = await old.open()
    ids = await a_life(before)
    dossiers = [await before.dossier(id_) for id_ in ids]
    bodies = [await all_bodies(before, id_) for id_ in ids]
    history, targets, keys = await before.history(), await before.target_states(), await before.credentials()
    await before.aclose()

    done = await move(old.path, new.database.url)

    assert not old.path.exists()
    assert done.set_aside.exists()
    after = await new.open(may_migrate=False)
    assert [await after.dossier(id_) for id_ in ids] == dossiers
    assert [await all_bodies(after, id_) for id_ in ids] == bodies
    assert await after.history() == history
    assert (await after.target_states(), await after.credentials()) == (targets, keys)
    again = await after.accept(acceptance(key="4", content="4"))
    assert isinstance(again, Accepted)
    assert (again.replayed, again.submission.id) == (True, ids[4])
    assert await order_of_a_new_one(after) > max(dossier.submission.order for dossier in dossiers if dossier)
    await Sealer(after, new.clock).once()
    verdict = await verify(after)
    assert verdict.broken is None, verdict
    assert verdict.lines == len(history) + 1


@pytest.mark.parametrize("when", [0, 1, 2, 5, 9])
async def test_broken_off_anywhere_it_goes_on_where_it_was(
    old: SqlitePlace, new: PostgresPlace, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    monkeypatch.setattr(moving, "_ROWS", 2)
    await a_life(journal := await old.open())
    await journal.aclose()
    steps: list[tuple[str, int]] = []

    def report(table: str, done: int, total: int) -> None:
        steps.append((table, done))
        if len(steps) == when + 1:
            raise Power

    with pytest.raises(Power):
        await move(old.path, new.database.url, progress=report)
    assert old.path.exists()
    with pytest.raises(JournalUnusable, match="journal move"):
        await PostgresJournal.open(new.database.url, vault=new.vault, clock=new.clock)

    steps, before = [], steps
    await move(old.path, new.database.url, progress=lambda *said: steps.append(said[:2]))
    assert not set(before) & {step for step in steps if step[0] != "compare"}, "what was done was done again"
    after = await new.open()
    assert (await verify(after)).broken is None


async def test_a_copy_that_differs_is_found_and_the_file_stays(old: SqlitePlace, new: PostgresPlace) -> None:
    await a_life(journal := await old.open())
    await journal.aclose()

    def report(table: str, done: int, total: int) -> None:
        if (table, done) == ("compare", 0):
            new.execute("update document set size = size + 1 where submission = 2")

    with pytest.raises(NotTheSame, match="document"):
        await move(old.path, new.database.url, progress=report)
    assert old.path.exists()


async def test_a_file_that_was_worked_on_meanwhile_is_another(old: SqlitePlace, new: PostgresPlace) -> None:
    await a_life(journal := await old.open(), 2)
    await journal.aclose()

    def report(table: str, done: int, total: int) -> None:
        raise Power

    with pytest.raises(Power):
        await move(old.path, new.database.url, progress=report)
    await (journal := await old.open()).accept(acceptance())
    await journal.aclose()

    with pytest.raises(JournalUnusable, match="worked on since"):
        await move(old.path, new.database.url)


async def test_neither_a_journal_in_use_nor_one_that_is_there_is_touched(old: SqlitePlace, new: PostgresPlace) -> None:
    await a_life(journal := await old.open(), 2)
    with pytest.raises(JournalInUse):
        await move(old.path, new.database.url)
    await journal.aclose()
    await a_life(await new.open(), 1)

    with pytest.raises(JournalUnusable, match="holds a journal already"):
        await move(old.path, new.database.url)
    with pytest.raises(JournalUnusable, match="does not exist"):
        await move(old.path.with_name("other.db"), new.database.url)


def test_every_table_and_every_time_of_the_migrations_is_known_here() -> None:
    text = "\n".join(migration.sql for migration in migrations())
    tables = set(re.findall(r"create table (\w+)", text))
    assert tables - set(moving._KEYS) == {"migration", "counter"}
    assert set(re.findall(r"(\w+) moment", text)) == moving._TIMES
