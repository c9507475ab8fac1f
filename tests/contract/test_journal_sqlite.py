"""What only SQLite has: the file, its lock, its pragmas, its errors, and queries that never scan what is done."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters import accepting, group, keeping, sqlite_file
from gateway.adapters.backup import restore
from gateway.adapters.journal import STAGED_FROM
from gateway.adapters.sql import JournalUnusable, SchemaMismatch, migrations, statements
from gateway.adapters.sqlite import SqliteJournal
from gateway.adapters.sqlite_file import DIALECT, JournalInUse
from gateway.ports import Accepted, JournalUnavailable
from gateway.seal import verify
from gateway.submission import DeadClass, Event, State, WaitingFor
from gateway.vault import Vault
from tests.clock import EPOCH
from tests.contract.examples import LEASE, acceptance, change
from tests.contract.journals import SqlitePlace


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    return SqlitePlace(tmp_path)


@pytest.fixture
async def journal(place: SqlitePlace) -> Any:
    yield await place.open()
    await place.aclose()


# --- the file


async def test_directory_and_files_are_for_the_gateway_alone(place: SqlitePlace, journal: SqliteJournal) -> None:
    await journal.accept(acceptance())

    modes = {path.name: path.stat().st_mode & 0o777 for path in place.path.parent.iterdir()}

    assert set(modes) == {"journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"}
    assert set(modes.values()) == {0o600}
    assert place.path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_journal_that_others_may_read_is_refused(place: SqlitePlace, journal: SqliteJournal) -> None:
    await journal.aclose()
    place.path.chmod(0o644)

    with pytest.raises(JournalUnusable, match="chmod 600"):
        await place.open()


async def test_the_same_file_cannot_be_opened_twice(place: SqlitePlace, journal: SqliteJournal) -> None:
    with pytest.raises(JournalInUse, match="this process"):
        await place.open()
    await journal.aclose()
    await (await place.open()).aclose()


async def test_a_second_process_is_told_who_holds_the_journal(place: SqlitePlace, journal: SqliteJournal) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom gateway.adapters.sqlite_file import FileLock, JournalInUse\n"
        "try:\n    FileLock(Path(sys.argv[1]))\nexcept JournalInUse as held:\n    print(held)\n"
    )

    answer = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, str(place.path)], capture_output=True, text=True, check=True)

    assert f"held by process {os.getpid()}" in answer.stdout


async def test_the_lock_of_a_dead_process_is_no_obstacle(place: SqlitePlace) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom gateway.adapters.sqlite_file import FileLock\n"
        "FileLock(Path(sys.argv[1]))\nos.abort()\n"
    )
    place.path.parent.mkdir(parents=True)
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program, str(place.path)], capture_output=True, check=False)

    journal = await place.open()

    await journal.aclose()


async def test_every_connection_asks_for_full_durability(place: SqlitePlace, journal: SqliteJournal) -> None:
    session = sqlite_file.opened(place.path)
    found = {name: session.connection.execute(f"pragma {name}").fetchone()[0]
             for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")}
    session.close()

    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


async def test_a_pragma_that_does_not_take_is_an_error_at_start(place: SqlitePlace) -> None:
    class Stubborn(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            return super().execute(sql.replace("synchronous = 2", "synchronous = 1"), *args)

    with pytest.raises(JournalUnusable, match="synchronous = 2"):
        await place.open(connect=lambda path: sqlite3.connect(path, isolation_level=None, factory=Stubborn))
    await (await place.open()).aclose()


async def test_a_journal_of_a_newer_version_is_refused_and_untouched(place: SqlitePlace, journal: SqliteJournal) -> None:
    await journal.aclose()
    place.execute("insert into migration (no, name, digest, at) values (999, 'future', x'00', '2030')")

    with pytest.raises(SchemaMismatch, match=r"newer version of Nahtlos.*999"):
        await place.open()


async def test_a_migration_that_was_changed_afterwards_is_found_out(place: SqlitePlace, journal: SqliteJournal) -> None:
    await journal.aclose()
    place.execute("update migration set digest = x'00' where no = 1")

    with pytest.raises(SchemaMismatch, match="0001_journal"):
        await place.open()


async def test_some_other_sqlite_file_is_not_taken_for_a_journal(place: SqlitePlace) -> None:
    place.path.parent.mkdir(parents=True, mode=0o700)
    place.execute("create table photos (id integer)")
    place.path.chmod(0o600)

    with pytest.raises(SchemaMismatch, match="not a journal"):
        await place.open()


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.no for migration in migrations()] == list(range(1, len(migrations()) + 1))


# --- queries


def open_work() -> list[tuple[str, tuple[Any, ...]]]:
    at = "2026-03-02T08:00:00.000000+00:00"
    return [
        ("due", ("steuer-hn", at, 10)), ("next_due", ()), ("in_flight", ("t",)), ("lapsed", (at, 10)),
        ("overdue", (at, 10, "/t/")),
        ("backlog", ()), ("dead_letters", (None, None, None, None, None, None, None, None, 10)), ("not_final", (0, 10)),
        ("something_stands_before", ("t", b"k", 9, "id")), ("claim_delivery", (1, 1, at, "w", at)), ("clocks_running", ("t",)),
        ("delivery", ("id",)), ("deliveries_of", ("id",)), ("erase_submission", ("id", at)), ("unsealed", (5, 10)),
        ("history_of_submission", (0, 9, "id")), ("heads", ()), ("since", (5, 10)), ("erasable", (at, 10)),
        ("standing_claim", ("p", "key", b"", at)),
        ("delete_expired_claims", (at, 10)), ("keys_to_rewrap", ("k", 10)), ("erase_private", (1,)), ("erase_steps", (1,)),
        ("erase_texts", (1,)), ("wait_for_successor", (1, 2)), ("next_document", (1,)), ("staged_submissions", ()),
    ]


@pytest.mark.parametrize(("name", "parameters"), open_work())
async def test_no_query_of_the_daily_work_scans_a_table(
    place: SqlitePlace, journal: SqliteJournal, name: str, parameters: tuple[Any, ...]
) -> None:
    """A scan of an index that holds only open rows is fine: that is what the partial indexes are for."""
    plan = [row[3] for row in place.execute(f"explain query plan {statements(DIALECT)[name]}", *parameters)]

    partial = ("delivery_due", "delivery_overdue", "delivery_leased", "delivery_dead", "submission_staged")
    small = ("SCAN w", "SCAN waiting", "SCAN u", "SCAN used", "SCAN CONSTANT ROW", "SCAN c", "SCAN counter")
    in_order = {"unsealed", "since", "dead_letters", "heads"}  # walks an index or the key from a given place, up to a limit
    for step in plan:
        if step.startswith("SCAN") and not step.startswith(small):
            assert any(index in step for index in partial) or name in in_order, plan


async def test_a_hundred_thousand_delivered_rows_do_not_slow_the_sweep(place: SqlitePlace, journal: SqliteJournal) -> None:
    """Counted in steps of SQLite's machine, not in seconds."""
    await journal.accept(acceptance(deliveries=[{"order_key": b"k", "give_up_at": EPOCH + timedelta(days=3)}]))
    before = steps_of_a_sweep(place)
    place.tamper(
        "with recursive n (i) as (select 2 union all select i + 1 from n where i < 100001) insert into submission select i, "
        "'s' || i, 'r' || i, portal, authority, leistung, ars, package, message_type, message_uuid, origin, test, digest, "
        "fingerprint, size, traceparent, received_at, key_id, wrapped_key, staged, erase_after, erased_at "
        "from n, submission s where s.seq = 1")
    place.tamper(
        "insert into delivery select s.seq, 'd' || s.seq, s.seq, 'case', d.authority, d.leistung, d.target, 0, null, null, "
        "d.order_key, 'delivered', 3, null, null, null, null, 1, 0, 0, null, d.give_up_at, null, null, null, null, null, null, "
        "null, d.received_at, d.changed_at from submission s, delivery d where s.seq > 1 and d.seq = 1")

    after = steps_of_a_sweep(place)

    assert place.execute("select count(*) from delivery where state = 'delivered'") == [(100_000,)]
    assert after == before


def steps_of_a_sweep(place: SqlitePlace) -> Counter[str]:
    connection = sqlite3.connect(place.path)
    steps: Counter[str] = Counter()
    texts = statements(DIALECT)
    for name, parameters in open_work()[:6]:
        connection.set_progress_handler(lambda name=name: steps.update([name]), 5)  # type: ignore[misc]
        connection.execute(texts[name], parameters).fetchall()
        connection.set_progress_handler(None, 0)
    connection.close()
    return steps


# --- when the disk is in trouble


class Faulty(sqlite3.Connection):
    """A connection whose commits fail while ``ill`` is set, after the fashion of a disk that returns EIO."""

    ill = threading.Event()
    synced_twice = 0

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if Faulty.ill.is_set() and sql == "commit" and self.in_transaction and self.total_changes:
            failure = sqlite3.OperationalError("disk I/O error")
            failure.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            failure.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise failure
        return super().execute(sql, *args)


def faulty(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Faulty)


async def eventually(journal: SqliteJournal) -> Any:
    for _ in range(100):
        try:
            return await journal.accept(acceptance())
        except JournalUnavailable:
            await asyncio.sleep(0.1)
    raise AssertionError("never recovered")


async def test_a_failed_commit_shuts_intake_tells_everybody_and_opens_again_by_itself(place: SqlitePlace) -> None:
    journal = await place.open(connect=faulty)
    kept = acceptance()
    await journal.accept(kept)
    Faulty.ill.set()
    try:
        given = [acceptance() for _ in range(10)]
        answers = await asyncio.gather(*[journal.accept(one) for one in given], return_exceptions=True)
        assert all(isinstance(answer, JournalUnavailable) for answer in answers)
        with pytest.raises(JournalUnavailable, match="SQLITE_IOERR_FSYNC"):
            await journal.accept(acceptance())
        failed = journal.figures().failed_commits
    finally:
        Faulty.ill.clear()

    after = await eventually(journal)

    assert isinstance(after, Accepted)
    assert failed == 1, "a commit that failed was tried again"
    assert await journal.dossier(kept.submission.id) is not None
    assert [await journal.dossier(one.submission.id) for one in given] == [None] * 10
    await journal.aclose()
    assert place.execute("pragma integrity_check") == [("ok",)]


async def test_it_opens_again_by_itself_also_when_it_is_asked_all_the_time(place: SqlitePlace) -> None:
    """As by attempts that want to write what a case system has said."""
    journal = await place.open(connect=faulty)

    async def written() -> bool:
        try:
            await journal.note(at=EPOCH, actor="a", subject="s", event="e", facts={})
        except JournalUnavailable:
            return False
        return True

    Faulty.ill.set()
    assert not await written()
    Faulty.ill.clear()
    async with asyncio.timeout(15):
        while not await written():
            await asyncio.sleep(0.3)
    await journal.aclose()


async def test_it_goes_on_trying_when_it_cannot_be_opened_as_it_must_be(place: SqlitePlace) -> None:
    """The volume has come back as one on which no log can be kept: a defect of the writing thread would be a wait for ever."""

    class Stubborn(Faulty):
        refuses = False

        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if Stubborn.refuses and sql.startswith("pragma journal_mode"):
                return super().execute("select 'delete'")
            return super().execute(sql, *args)

    def stubborn(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Stubborn)

    journal = await place.open(connect=stubborn)
    Faulty.ill.set()
    with pytest.raises(JournalUnavailable):
        await journal.note(at=EPOCH, actor="a", subject="s", event="e", facts={})
    Stubborn.refuses = True
    Faulty.ill.clear()
    await asyncio.sleep(1.3)
    Stubborn.refuses = False

    async with asyncio.timeout(15):
        assert isinstance(await eventually(journal), Accepted)
    await journal.aclose()


async def test_a_repeat_is_not_answered_by_what_is_cleared_away_in_its_group(
    place: SqlitePlace, journal: SqliteJournal
) -> None:
    """An upload that took too long, and the same once more: the first is cleared away, and the second has nobody to repeat."""
    first, second = (acceptance(key="k", bodies=[bytes(STAGED_FROM + 1)]) for _ in range(2))
    (one, seq), (two, _) = [await journal._begin_staging(each, STAGED_FROM + 1) for each in (first, second)]
    await journal._write(keeping.unstage, seq)
    shell = sqlite3.connect(place.path, isolation_level=None)
    shell.execute("begin immediate")  # stands for a slow disk, so that both come into one group
    before = asyncio.create_task(journal.note(at=EPOCH, actor="a", subject="s", event="e", facts={}))
    await asyncio.sleep(0.1)
    answers = asyncio.gather(*(journal._write(accepting.accept, each) for each in (one, two)), return_exceptions=True)
    await asyncio.sleep(0.1)
    shell.execute("rollback")
    shell.close()
    await before

    assert [type(answer) for answer in await answers] == [JournalUnavailable, JournalUnavailable]


async def test_what_was_erased_leaves_the_log_also_when_a_backup_was_reading(
    place: SqlitePlace, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "_EMPTY_AGAIN", 0.5)
    given = acceptance(erase_after=EPOCH + timedelta(days=1))
    await journal.accept(given)
    claimed = await journal.claim(given.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")
    assert claimed is not None
    assert await journal.advance(change(claimed, Event.CONFIRM))
    ((wrapped,),) = place.execute("select wrapped_key from submission where id = ?", given.submission.id)
    assert wrapped in place.stored()
    backup = sqlite3.connect(place.path, isolation_level=None)
    backup.execute("begin")
    backup.execute("select 1 from counter").fetchone()

    assert await journal.erase(at=EPOCH + timedelta(days=2)) == 1
    async with asyncio.timeout(10):
        while journal.figures().checkpoints == 0:  # it waits for the reader, in vain
            await asyncio.sleep(0.05)
    assert wrapped in place.stored()
    backup.close()

    async with asyncio.timeout(10):
        while wrapped in place.stored():
            await asyncio.sleep(0.05)


async def test_a_full_disk_is_said_to_be_full_and_nothing_is_lost_when_there_is_room_again(
    place: SqlitePlace, journal: SqliteJournal
) -> None:
    kept = [acceptance() for _ in range(5)]
    for one in kept:
        await journal.accept(one)
    connection = journal._writer._session.connection  # type: ignore[union-attr]
    connection.execute(f"pragma max_page_count = {connection.execute('pragma page_count').fetchone()[0] + 2}")
    given = [acceptance(bodies=[os.urandom(20_000)]) for _ in range(20)]

    answers = await asyncio.gather(*[journal.accept(one) for one in given], return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, JournalUnavailable)]
    assert refused
    assert all(refusal.full for refusal in refused)
    connection.execute("pragma max_page_count = 1000000")
    assert isinstance(await journal.accept(acceptance()), Accepted)
    for one, answer in zip(given, answers, strict=True):
        assert (await journal.dossier(one.submission.id) is not None) == isinstance(answer, Accepted)
    assert all([await journal.dossier(one.submission.id) for one in kept])


async def test_below_the_reserve_nothing_is_taken_in_but_what_is_in_goes_on(place: SqlitePlace, journal: SqliteJournal) -> None:
    one = acceptance()
    await journal.accept(one)
    journal = await place.reopen(journal, reserve=lambda total: total)

    with pytest.raises(JournalUnavailable) as refusal:
        await journal.accept(acceptance())
    mine = await journal.claim(one.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")

    assert refusal.value.full
    assert refusal.value.retry_after >= 5
    assert mine is not None
    assert await journal.advance(change(mine, Event.CONFIRM))


async def test_while_somebody_with_a_shell_holds_the_file_all_are_told_within_one_wait(
    place: SqlitePlace, journal: SqliteJournal
) -> None:
    other = sqlite3.connect(place.path, isolation_level=None)
    other.execute("begin immediate")

    answers = await asyncio.wait_for(
        asyncio.gather(*[journal.accept(acceptance()) for _ in range(20)], return_exceptions=True), 10)

    assert all(isinstance(answer, JournalUnavailable) for answer in answers)
    other.close()
    assert isinstance(await journal.accept(acceptance()), Accepted)


async def test_an_erased_key_is_in_no_file_any_more(place: SqlitePlace, journal: SqliteJournal) -> None:
    one = acceptance(erase_after=EPOCH, deliveries=[{"dead": DeadClass.REFUSED}])
    await journal.accept(one)
    await journal.advance(change(one.deliveries[0], Event.CLOSE))
    ((wrapped, body),) = place.execute("select s.wrapped_key, c.body from submission s, chunk c")

    def on_disk() -> bytes:
        return b"".join(file.read_bytes() for file in place.path.parent.iterdir())

    assert wrapped in on_disk()
    assert body in on_disk()

    assert await journal.erase(at=EPOCH) == 1
    await journal.note(at=EPOCH, actor="a", subject="s", event="e", facts={})

    assert wrapped not in on_disk()
    assert body not in on_disk()


# --- when it is too much


class Slow(sqlite3.Connection):
    """A connection whose commits wait for ``go``."""

    go = threading.Event()

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql == "commit" and self.in_transaction and self.total_changes:
            Slow.go.wait(10)
        return super().execute(sql, *args)


def slow(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Slow)


async def test_when_commits_take_too_long_intake_says_so_at_once(place: SqlitePlace) -> None:
    Slow.go.set()
    journal = await place.open(connect=slow, patience=0.05)
    Slow.go.clear()
    try:
        stuck = asyncio.create_task(journal.accept(acceptance()))
        await asyncio.sleep(0.1)
        assert journal.oldest_waiting() > timedelta(seconds=0.05)
        with pytest.raises(JournalUnavailable, match="oldest commit") as refusal:
            await asyncio.wait_for(journal.accept(acceptance()), 1)
        assert not refusal.value.full
    finally:
        Slow.go.set()
    assert isinstance(await stuck, Accepted)
    assert isinstance(await journal.accept(acceptance()), Accepted)
    assert journal.oldest_waiting() == timedelta(0)


async def test_no_more_bytes_wait_for_their_commit_than_the_budget_allows(place: SqlitePlace) -> None:
    Slow.go.set()
    journal = await place.open(connect=slow, budget=100_000)
    Slow.go.clear()
    try:
        first = asyncio.create_task(journal.accept(acceptance(bodies=[bytes(60_000)])))
        await asyncio.sleep(0.05)
        with pytest.raises(JournalUnavailable, match="too much"):
            await journal.accept(acceptance(bodies=[bytes(60_000)]))
        small = asyncio.create_task(journal.accept(acceptance(bodies=[bytes(30_000)])))
        await asyncio.sleep(0)
    finally:
        Slow.go.set()
    assert isinstance(await first, Accepted)
    assert isinstance(await small, Accepted)


async def test_a_worker_that_goes_away_after_its_outcome_was_queued_has_still_reported_it(place: SqlitePlace) -> None:
    Slow.go.set()
    journal = await place.open(connect=slow)
    one, other = acceptance(), acceptance()
    await journal.accept(one), await journal.accept(other)
    mine = await journal.claim(one.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")
    assert mine is not None
    Slow.go.clear()
    busy = asyncio.create_task(journal.accept(acceptance()))
    await asyncio.sleep(0.05)
    outcome = asyncio.create_task(journal.advance(change(mine, Event.CONFIRM)))
    claiming = asyncio.create_task(journal.claim(other.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="w"))
    await asyncio.sleep(0)
    outcome.cancel(), claiming.cancel()
    await asyncio.gather(outcome, claiming, return_exceptions=True)
    Slow.go.set()
    await busy

    await journal.note(at=EPOCH, actor="a", subject="s", event="e", facts={})
    reported, unclaimed = await journal.delivery(mine.id), await journal.delivery(other.deliveries[0].id)
    assert reported is not None
    assert reported.state is State.DELIVERED
    assert unclaimed is not None
    assert unclaimed.state is State.PENDING, "a claim nobody waits for would only leave a lease to lapse"


async def test_what_was_queued_before_closing_is_committed_and_nothing_after(place: SqlitePlace, journal: SqliteJournal) -> None:
    given = [acceptance() for _ in range(50)]
    accepting = [asyncio.create_task(journal.accept(one)) for one in given]
    for _ in range(3):  # begun, prepared, queued
        await asyncio.sleep(0)

    await journal.aclose()
    await journal.aclose()

    assert all(isinstance(answer, Accepted) for answer in await asyncio.gather(*accepting))
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.accept(acceptance())
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.dossier("x")


# --- backup


async def test_a_backup_made_under_load_is_whole_and_holds_all_that_was_accepted_before(
    place: SqlitePlace, journal: SqliteJournal
) -> None:
    before = [acceptance(bodies=[os.urandom(20_000)]) for _ in range(200)]
    for one in before:
        await journal.accept(one)
    seen: list[tuple[int, int]] = []
    backup = place.folder / "backup.db"
    copying = asyncio.create_task(journal.backup(backup, lambda done, total: seen.append((done, total))))
    while not copying.done():
        await journal.accept(acceptance())
    await copying
    await journal.seal(at=EPOCH)

    assert seen[-1][0] == seen[-1][1]
    assert backup.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        await journal.backup(backup)
    await restore(backup, place.folder / "restored" / "journal.db", vault=place.vault, clock=place.clock)
    to = place.folder / "restored" / "journal.db"
    restored = await SqliteJournal.open(to, vault=place.vault, clock=place.clock, reserve=lambda total: 0)
    for one in before:
        assert await restored.body(one.submission.id, 0) == one.parts[0].body
    await restored.aclose()


async def test_what_was_open_in_a_restored_backup_is_in_doubt(place: SqlitePlace, journal: SqliteJournal) -> None:
    given = [acceptance(deliveries=[fields]) for fields in (
        {}, {"waiting_for": WaitingFor.BACKOFF, "next_attempt_at": EPOCH + LEASE}, {}, {},
        {"dead": DeadClass.REFUSED, "cause_text": {"de": "x"}},
        {"waiting_for": WaitingFor.CONFIRMATION, "next_attempt_at": EPOCH + LEASE},
        {"dead": DeadClass.UNROUTABLE, "target": None})]
    for one in given:
        await journal.accept(one)
    fresh, backoff, running, done, dead, handed_over, unroutable = [one.deliveries[0] for one in given]
    await journal.claim(running.id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")
    mine = await journal.claim(done.id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")
    assert mine is not None
    await journal.advance(change(mine, Event.CONFIRM))
    await journal.seal(at=EPOCH)
    await journal.backup(place.folder / "backup.db")
    await journal.aclose()
    place.clock.turn(timedelta(hours=6))

    to = place.folder / "new" / "journal.db"
    restored = await restore(place.folder / "backup.db", to, vault=place.vault, clock=place.clock)

    assert (restored.open_deliveries, restored.dead_letters, restored.lost_keys, restored.verdict.broken) == (4, 1, {}, None)
    journal = await SqliteJournal.open(to, vault=place.vault, clock=place.clock, reserve=lambda total: 0)
    found = {d.id: d for d in [await journal.delivery(one.deliveries[0].id) for one in given] if d is not None}
    for delivery in (fresh, backoff, running, handed_over):
        now = found[delivery.id]
        assert (now.state, now.in_doubt, now.lease_until) == (State.PENDING, True, None)
        assert (await journal.history(submission_id=delivery.submission_id))[-1].event == "restore"
    assert {found[d.id].waiting_for for d in (fresh, backoff, running)} == {WaitingFor.LOOKUP}
    assert found[handed_over.id].waiting_for is WaitingFor.CONFIRMATION
    assert found[running.id].next_attempt_at == place.clock.now()
    now = found[dead.id]
    assert (now.state, now.dead_class, now.in_doubt) == (State.DEAD, DeadClass.REFUSED, True)
    assert (now.revision, now.cause_text) == (dead.revision + 1, {"de": "x"})
    line = (await journal.history(submission_id=dead.submission_id))[-1]
    assert (line.event, line.from_state, line.to_state) == ("restore", State.DEAD, State.DEAD)
    assert (found[done.id].state, found[unroutable.id].in_doubt) == (State.DELIVERED, False)
    assert (await verify(journal)).broken is None
    await journal.aclose()


@pytest.mark.parametrize("damage", ["bytes", "history"])
async def test_a_damaged_backup_is_not_restored(place: SqlitePlace, journal: SqliteJournal, damage: str) -> None:
    for _ in range(20):
        await journal.accept(acceptance())
    backup, to = place.folder / "backup.db", place.folder / "new" / "journal.db"
    await journal.backup(backup)
    if damage == "bytes":
        content = bytearray(backup.read_bytes())
        content[20_000:60_000] = os.urandom(40_000)
        backup.write_bytes(content)
    else:
        connection = sqlite3.connect(backup)
        connection.execute("update history set actor = 'somebody' where no = 3")
        connection.commit()
        connection.close()

    with pytest.raises(JournalUnusable):
        await restore(backup, to, vault=place.vault, clock=place.clock)

    assert not to.exists()
    assert list(to.parent.iterdir()) == []


async def test_a_backup_restored_without_its_keys_says_how_many_submissions_need_them(
    place: SqlitePlace, journal: SqliteJournal, tmp_path: Path
) -> None:
    await journal.accept(acceptance()), await journal.accept(acceptance())
    await journal.backup(place.folder / "backup.db")

    restored = await restore(
        place.folder / "backup.db", place.folder / "new" / "journal.db", vault=Vault.open(tmp_path / "other"), clock=place.clock)

    assert restored.lost_keys == {place.vault.newest: 2}
