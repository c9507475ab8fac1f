"""Tables from one version to the next while both are at work, and what a restored journal must not forget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.adapters import postgres_migrating, postgres_upkeep, sql
from gateway.adapters.postgres_server import Server
from gateway.adapters.postgres_texts import DIALECT
from gateway.adapters.sql import Applied, JournalUnusable, Migration, SchemaMismatch, migrations, missing_migrations
from gateway.ports import Accepted
from gateway.seal import verify
from gateway.submission import DeadClass, Event, State, WaitingFor
from gateway.vault import Vault
from tests.contract.examples import LEASE, acceptance, change
from tests.contract.journals import PostgresPlace

EXPAND = Migration(99, "probe", "alter table tally add column probe integer;", b"99", needs=1)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[PostgresPlace]:
    place = PostgresPlace(tmp_path)
    yield place
    await place.aclose()
    place.execute("drop schema public cascade; create schema public;")


# --- tables


async def test_a_start_that_may_not_touch_the_tables_names_the_command_and_touches_nothing(place: PostgresPlace) -> None:
    place.execute("drop schema public cascade; create schema public;")

    with pytest.raises(SchemaMismatch, match=r"0001_journal: run nahtlos migrate.*NAHTLOS_MIGRATE") as refusal:
        await place.open(may_migrate=False)

    assert "nahtlos migrate ausführen" in refusal.value.de
    assert place.execute("select count(*) from pg_tables where schemaname = 'public'") == [(0,)]


async def test_of_several_processes_that_start_at_once_one_makes_the_tables(place: PostgresPlace) -> None:
    place.execute("drop schema public cascade; create schema public;")

    journals = await asyncio.gather(*[place.open(instance=f"n{n}") for n in range(3)])

    every = tuple(f"{one.no:04d}_{one.name}" for one in migrations())
    assert sorted(journal.migrated for journal in journals) == [(), (), every]
    assert all([isinstance(await journal.accept(acceptance()), Accepted) for journal in journals])


async def test_the_version_before_works_on_beside_tables_that_were_only_added_to(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await place.open()
    await before.accept(acceptance())
    with monkeypatch.context() as newer:
        newer.setattr(sql, "migrations", lambda: [*migrations(), EXPAND])
        after = await place.open(instance="newer")
        assert after.migrated == ("0099_probe",)

    assert isinstance(await before.accept(acceptance()), Accepted)
    assert isinstance(await after.accept(acceptance()), Accepted)
    again = await place.open(instance="before, started anew")
    assert isinstance(await again.accept(acceptance()), Accepted)


async def test_tables_that_a_newer_version_has_taken_from_are_refused(place: PostgresPlace) -> None:
    await (await place.open()).aclose()
    place.execute("insert into migration (no, name, digest, at, needs) values (99, 'contract', x'00', now(), 99)")

    with pytest.raises(SchemaMismatch, match=r"newer version of Nahtlos.*99") as refusal:
        await place.open()

    assert "neuere Version" in refusal.value.de


async def test_a_migration_waits_for_tables_that_are_in_use_and_keeps_nobody_from_them(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await place.open()).aclose()
    monkeypatch.setattr(sql, "migrations", lambda: [*migrations(), EXPAND])
    monkeypatch.setattr(postgres_migrating, "_LOCK", "100ms")
    place.execute("begin; lock table tally in access share mode;")

    with pytest.raises(JournalUnusable, match="try again"):
        await place.open()

    place.execute("rollback;")
    assert (await place.open()).migrated == ("0099_probe",)


async def test_a_database_of_something_else_is_not_taken_for_a_journal(place: PostgresPlace) -> None:
    place.execute("drop schema public cascade; create schema public; create table submission (id integer);")

    with pytest.raises(SchemaMismatch, match="not a journal"):
        await place.open()


def test_a_migration_says_which_programs_may_go_on_without_it() -> None:
    known = [Migration(1, "a", "", b"1", 1), Migration(2, "b", "", b"2", 2)]
    same = [Applied(1, b"1", 1), Applied(2, b"2", 2)]

    assert missing_migrations([*same, Applied(3, b"3", 2)], known) == []
    assert missing_migrations([same[0]], known) == [known[1]]
    with pytest.raises(SchemaMismatch, match="newer"):
        missing_migrations([*same, Applied(3, b"3", 1), Applied(4, b"4", 3)], known)
    with pytest.raises(SchemaMismatch, match="0002_b"):
        missing_migrations([same[0], Applied(2, b"x", 2)], known)
    assert sql._migration(7, "x", "-- needs: 5\nselect 1;").needs == 5
    assert sql._migration(7, "x", "select 1;").needs == 7


def test_no_word_of_sqlite_is_left_in_the_tables() -> None:
    for migration in migrations():
        lines = [line.partition("--")[0] for line in DIALECT.tables(migration.sql).splitlines()]
        assert not [line for line in lines for word in ("strict", "rowid", "moment", "blob") if word in line.split()]


# --- after a restore


async def test_what_was_open_in_a_restored_journal_is_in_doubt(place: PostgresPlace) -> None:
    journal = await place.open()
    given = [acceptance(deliveries=[fields]) for fields in (
        {}, {}, {"dead": DeadClass.REFUSED}, {}, {"dead": DeadClass.UNROUTABLE, "target": None},
        {"waiting_for": WaitingFor.CONFIRMATION, "next_attempt_at": place.clock.now() + LEASE})]
    for one in given:
        await journal.accept(one)
    fresh, running, dead, done, unroutable, handed_over = [one.deliveries[0] for one in given]
    at = place.clock.now()
    await journal.claim(running.id, at=at, lease_until=at + LEASE, by="w")
    mine = await journal.claim(done.id, at=at, lease_until=at + LEASE, by="w")
    assert mine is not None
    await journal.advance(change(mine, Event.CONFIRM))
    await journal.seal(at=at)
    await journal.aclose()
    place.clock.turn(timedelta(hours=6))

    restored = await postgres_upkeep.put_in_doubt(Server(place.database.url), vault=place.vault, clock=place.clock)

    assert (restored.open_deliveries, restored.dead_letters, restored.lost_keys) == (3, 1, {})
    journal = await place.open()
    found = {d.id: d for d in [await journal.delivery(one.deliveries[0].id) for one in given] if d is not None}
    for delivery, waits in ((fresh, WaitingFor.LOOKUP), (running, WaitingFor.LOOKUP), (handed_over, WaitingFor.CONFIRMATION)):
        now = found[delivery.id]
        assert (now.state, now.in_doubt, now.lease_until, now.waiting_for) == (State.PENDING, True, None, waits)
        assert (await journal.history(submission_id=delivery.submission_id))[-1].event == "restore"
    assert (found[dead.id].state, found[dead.id].in_doubt) == (State.DEAD, True)
    assert (found[done.id].in_doubt, found[unroutable.id].in_doubt) == (False, False)
    await journal.seal(at=place.clock.now())
    assert (await verify(journal)).broken is None


async def test_a_journal_is_put_in_doubt_only_while_nobody_works_on_it_and_nobody_starts_meanwhile(
    place: PostgresPlace,
) -> None:
    journal = await place.open(instance="rathaus-1")
    for _ in range(3):
        await journal.accept(acceptance())
    server = Server(place.database.url)

    with pytest.raises(JournalUnusable, match=r"\(rathaus-1\): stop them first"):
        await postgres_upkeep.put_in_doubt(server, vault=place.vault, clock=place.clock)
    await journal.aclose()
    refused: list[str] = []

    async def start(_: object) -> None:
        with pytest.raises(JournalUnusable) as refusal:
            await place.open()
        refused.append(refusal.value.en)

    original = postgres_upkeep._page
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(postgres_upkeep, "_page", lambda *a: _first(start(a), original(*a)))  # type: ignore[arg-type]
        await postgres_upkeep.put_in_doubt(server, vault=place.vault, clock=place.clock)

    assert refused
    await place.open()


async def _first(one: object, then: object) -> object:
    await one  # type: ignore[misc]
    return await then  # type: ignore[misc]


async def test_who_broke_off_has_to_go_on_before_anybody_may_start(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await place.open()
    given = [acceptance() for _ in range(5)]
    for one in given:
        await journal.accept(one)
    await journal.aclose()
    server = Server(place.database.url)
    monkeypatch.setattr(postgres_upkeep, "_PAGE", 2)

    class BrokenOff(Exception):
        pass

    def break_off(done: int, total: int) -> None:
        assert total == 5
        if done == 4:
            raise BrokenOff

    with pytest.raises(BrokenOff):
        await postgres_upkeep.put_in_doubt(server, vault=place.vault, clock=place.clock, progress=break_off)
    with pytest.raises(JournalUnusable, match="restore --doubt again"):
        await place.open()
    rest = await postgres_upkeep.put_in_doubt(server, vault=place.vault, clock=place.clock)

    assert rest.open_deliveries == 1
    journal = await place.open()
    found = [await journal.delivery(one.deliveries[0].id) for one in given]
    assert [(d.in_doubt, d.revision) for d in found if d is not None] == [(True, 2)] * 5


async def test_a_restored_journal_whose_history_was_changed_is_not_put_to_work(place: PostgresPlace) -> None:
    journal = await place.open()
    await journal.accept(acceptance())
    await journal.seal(at=place.clock.now())
    await journal.aclose()
    place.tamper("update history set actor = 'somebody' where no = 1")

    with pytest.raises(JournalUnusable, match="not whole"):
        await postgres_upkeep.put_in_doubt(Server(place.database.url), vault=place.vault, clock=place.clock)


async def test_a_journal_whose_keys_are_lost_for_good_goes_on_with_new_ones(place: PostgresPlace, tmp_path: Path) -> None:
    journal = await place.open()
    await journal.accept(acceptance())
    lost = place.vault.newest
    await journal.aclose()
    place.vault = Vault.open(tmp_path / "new keys")

    restored = await postgres_upkeep.put_in_doubt(Server(place.database.url), vault=place.vault, clock=place.clock)

    assert restored.lost_keys == {lost: 1}
    journal = await place.open()
    given = acceptance()
    await journal.accept(given)
    assert await journal.body(given.submission.id, 0) == given.parts[0].body
