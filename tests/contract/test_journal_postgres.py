"""What only PostgreSQL has to show: several processes on one journal, which never do twice what must be done once."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters import accepting, keeping, postgres_server, postgres_session
from gateway.adapters.journal import STAGED_FROM
from gateway.adapters.postgres import PostgresJournal
from gateway.adapters.postgres_server import Server, Use
from gateway.adapters.postgres_texts import Texts
from gateway.adapters.postgres_upkeep import verified
from gateway.adapters.sql import JournalUnusable
from gateway.ports import Accepted, JournalUnavailable, TargetChange, TargetState
from gateway.seal import verify
from gateway.submission import DeadClass, Event
from gateway.vault import Vault
from tests.clock import EPOCH
from tests.contract.examples import LEASE, acceptance, change, order_of_a_new_one
from tests.contract.journals import PostgresPlace
from tests.contract.test_journal_sqlite import open_work


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[PostgresPlace]:
    place = PostgresPlace(tmp_path)
    yield place
    await place.aclose()


@pytest.fixture
async def one(place: PostgresPlace) -> PostgresJournal:
    return await place.open(instance="one")


@pytest.fixture
async def other(place: PostgresPlace, one: PostgresJournal) -> PostgresJournal:
    """Another process, as far as the journal can tell."""
    return await place.open(instance="other", vault=Vault.open(place.folder / "keys"))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.02)


# --- two at once


async def test_of_all_that_send_one_key_to_two_processes_one_is_accepted(
    place: PostgresPlace, one: PostgresJournal, other: PostgresJournal
) -> None:
    for n in range(15):
        given = [acceptance(key=f"k{n}", bodies=[b"x" * 300]) for _ in range(16)]

        answers = await asyncio.gather(*[(one, other)[i % 2].accept(a) for i, a in enumerate(given)])

        assert len({a.submission.id for a in answers if isinstance(a, Accepted)}) == 1
        assert sum(isinstance(a, Accepted) and not a.replayed for a in answers) == 1
    assert place.execute("select count(*) from submission") == [(15,)]


async def test_of_all_that_claim_in_two_processes_one_has_it(one: PostgresJournal, other: PostgresJournal) -> None:
    given = [acceptance() for _ in range(40)]
    await asyncio.gather(*[one.accept(a) for a in given])

    answers = await asyncio.gather(*[
        journal.claim(a.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by=name)
        for a in given for journal, name in ((one, "one"), (other, "other"), (one, "one again"))])

    claimed = [answer.id for answer in answers if answer is not None]
    assert sorted(claimed) == sorted(a.deliveries[0].id for a in given)
    assert {(await other.delivery(a.deliveries[0].id)).attempts for a in given} == {1}  # type: ignore[union-attr]


async def test_of_two_processes_that_change_one_delivery_one_succeeds(one: PostgresJournal, other: PostgresJournal) -> None:
    for _ in range(10):
        given = acceptance(deliveries=[{"dead": DeadClass.REFUSED}])
        await one.accept(given)
        before = given.deliveries[0]

        answers = await asyncio.gather(
            one.advance(change(before, Event.REPLAY)), other.advance(change(before, Event.CLOSE)),
            one.advance(change(before, Event.RETURN)))

        assert sorted(answers) == [False, False, True]


async def test_two_sealers_make_one_chain_without_gaps_while_others_write(
    place: PostgresPlace, one: PostgresJournal, other: PostgresJournal
) -> None:
    async def write(journal: PostgresJournal) -> None:
        for n in range(60):
            await journal.note(at=EPOCH, actor="a", subject="s", event="e", facts={"n": n})

    async def seal(journal: PostgresJournal) -> int:
        return sum([await journal.seal(at=EPOCH, limit=7) for _ in range(40)])

    *_, first, second = await asyncio.gather(
        *(write(journal) for journal in (one, other, one, other)), seal(one), seal(other))
    while await one.seal(at=EPOCH):
        pass

    verdict = await verify(one)
    assert (verdict.broken, verdict.lines, verdict.sealed) == (None, 240, 240)
    assert first + second <= 240
    assert place.execute("select count(*), min(sealed_no), max(sealed_no) from chain") == [(240, 1, 240)]


async def test_who_seals_does_not_wait_for_who_seals_already(place: PostgresPlace, one: PostgresJournal) -> None:
    await one.note(at=EPOCH, actor="a", subject="s", event="e", facts={})
    elsewhere = await Server(place.database.url).connect(Use.WATCH)
    try:
        await elsewhere.begin()
        await elsewhere.connection.execute(Texts().one["turn_to_seal"])

        assert await one.seal(at=EPOCH) == 0
        await elsewhere.rollback()
        assert await one.seal(at=EPOCH) == 1
    finally:
        await elsewhere.aclose()


async def test_lines_and_submissions_are_numbered_in_the_order_of_their_commits(
    place: PostgresPlace, one: PostgresJournal, other: PostgresJournal
) -> None:
    seen: list[int] = []

    async def send(journal: PostgresJournal) -> None:
        for _ in range(25):
            order = await order_of_a_new_one(journal)
            assert place.execute("select count(*) from submission where seq <= ?", order) == [(order,)], "one came later"
            seen.append(order)

    await asyncio.gather(send(one), send(other), send(other))

    assert sorted(seen) == list(range(1, 76))
    assert [no for (no,) in place.execute("select no from history order by no")] == list(range(1, 76))
    in_order = place.execute("select s.seq from history h join submission s on s.seq = h.submission order by h.no")
    assert in_order == sorted(in_order)


async def test_a_history_is_verified_as_it_was_at_one_moment(place: PostgresPlace, one: PostgresJournal) -> None:
    await asyncio.gather(*(one.note(at=EPOCH, actor="a", subject="s", event="e", facts={}) for _ in range(1_001)))

    def meanwhile(lines: int) -> None:
        assert lines in (1_000, 1_001)
        place.execute("update history set event = 'edited' where no = 1001")

    assert (await verified(Server(place.database.url), vault=place.vault, progress=meanwhile)).broken is None
    assert (await verified(Server(place.database.url), vault=place.vault)).broken is not None


async def test_connections_that_were_quiet_are_asked_first_and_work(
    place: PostgresPlace, one: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_session, "_QUIET", -1.0)
    given = acceptance()

    await one.accept(given)

    assert await one.body(given.submission.id, 0) == given.parts[0].body
    assert await one.seal(at=EPOCH) == 1


async def test_a_journal_that_has_lost_what_was_stored_is_not_worked_on(
    place: PostgresPlace, one: PostgresJournal, other: PostgresJournal
) -> None:
    """A failover to a standby that was behind looks like this to a process that goes on."""
    given = [acceptance() for _ in range(2)]
    for each in given:
        await one.accept(each)
    place.tamper("delete from history where no = 2")

    for work in (one.accept(acceptance()), one.claim(given[0].deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")):
        with pytest.raises(JournalUnavailable, match="restore --doubt"):
            await work

    assert "beenden" in one.trouble()[0]  # type: ignore[index]
    assert (await one.delivery(given[0].deliveries[0].id)).attempts == 0  # type: ignore[union-attr]
    assert other.trouble() is None


# --- what is being uploaded


async def begun(journal: PostgresJournal) -> int:
    """A large upload that has not come to its end."""
    given = acceptance(bodies=[bytes(STAGED_FROM + 1)])
    prepared, seq = await journal._begin_staging(given, 0)
    await journal._write(keeping.stage, [(seq, *row) for row in accepting.chunks(0, given.parts[0], prepared.key, 0, 1)])
    return seq


async def test_a_start_leaves_alone_what_a_living_process_is_storing_and_clears_away_what_a_dead_one_left(
    place: PostgresPlace, one: PostgresJournal
) -> None:
    seq = await begun(one)

    later = await place.open(instance="later")
    assert place.execute("select seq from submission where staged > 0") == [(seq,)]
    await one.aclose()
    await later.aclose()
    await place.open(instance="last")

    assert place.execute("select (select count(*) from submission), (select count(*) from chunk)") == [(0, 0)]


async def test_an_upload_that_was_cleared_away_meanwhile_is_refused_and_leaves_nothing(
    place: PostgresPlace, one: PostgresJournal
) -> None:
    given = acceptance(key="k", bodies=[os.urandom(STAGED_FROM + 1)])
    accepting_it = asyncio.create_task(one.accept(given))
    while place.execute("select count(*) from submission where staged > 0") == [(0,)]:
        await asyncio.sleep(0.001)
    place.execute("delete from submission where staged > 0")

    with pytest.raises(JournalUnavailable, match="cleared away"):
        await accepting_it

    assert place.execute("select (select count(*) from chunk), (select count(*) from claim)") == [(0, 0)]
    assert isinstance(await one.accept(acceptance(key="k")), Accepted)


# --- what is told to others


async def test_others_hear_what_was_committed(one: PostgresJournal, other: PostgresJournal) -> None:
    submissions: set[str] = set()
    targets: set[str] = set()
    other.hear(lambda s, t: (submissions.update(s), targets.update(t)))  # type: ignore[func-returns-value]
    given = acceptance(deliveries=[{"target": "steuer"}, {"target": "akte"}])
    await one.accept(given)
    await until(lambda: targets == {"steuer", "akte"})

    await one.claim(given.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")
    await until(lambda: submissions == {given.submission.id})
    submissions.clear(), targets.clear()
    await one.advance(change(given.deliveries[1], Event.WITHDRAW))
    await until(lambda: submissions == {given.submission.id} and "akte" in targets)
    before = TargetState("bau")
    await one.advance_target(TargetChange(before, TargetState("bau", revision=1), "streak", EPOCH, "w"))
    await until(lambda: "bau" in targets)


async def test_nobody_hears_of_what_he_wrote_himself_and_more_news_than_fit_are_all_heard(
    one: PostgresJournal, other: PostgresJournal
) -> None:
    own: set[str] = set()
    heard: set[str] = set()
    one.hear(lambda submissions, targets: own.update(submissions))
    other.hear(lambda submissions, targets: heard.update(submissions))
    ids = {f"{n:08d}-0000-7000-8000-000000000000" for n in range(1_000)}

    one._watch.tell(submissions=ids)

    await until(lambda: heard == ids)
    assert own == set()


async def test_a_key_that_was_erased_by_one_process_is_forgotten_by_the_others(
    one: PostgresJournal, other: PostgresJournal
) -> None:
    given = acceptance(erase_after=EPOCH, deliveries=[{"dead": DeadClass.REFUSED}])
    await one.accept(given)
    await one.advance(change(given.deliveries[0], Event.CLOSE))
    await other.body(given.submission.id, 0)
    assert other._keyring.known(given.submission.id) is not None

    await one.erase(at=EPOCH)

    await until(lambda: other._keyring.known(given.submission.id) is None)


async def test_a_process_that_cannot_hear_keeps_no_keys_and_hears_again(
    place: PostgresPlace, one: PostgresJournal, other: PostgresJournal
) -> None:
    given = acceptance()
    await one.accept(given)
    await other.body(given.submission.id, 0)
    watching = ("select pid from pg_stat_activity where application_name = 'nahtlos watch other' "
                "and datname = current_database()")
    ((before,),) = place.execute(watching)

    place.execute("select pg_terminate_backend(?)", before)

    await until(lambda: other._keyring.known(given.submission.id) is None)
    await until(lambda: place.execute(watching) not in ([], [(before,)]))
    heard: set[str] = set()
    other.hear(lambda submissions, targets: heard.update(targets))
    async with asyncio.timeout(30):
        while "late" not in heard:
            await one.accept(acceptance(deliveries=[{"target": "late"}]))
            await asyncio.sleep(0.05)


# --- keys


async def test_a_key_that_one_process_made_is_used_by_all_and_nothing_is_left_under_the_old_one(
    place: PostgresPlace, one: PostgresJournal, other: PostgresJournal
) -> None:
    old = place.vault.newest
    stop = asyncio.Event()

    async def send() -> list[str]:
        ids = []
        while not stop.is_set():
            given = acceptance()
            await other.accept(given)
            ids.append(given.submission.id)
        return ids

    sending = asyncio.create_task(send())
    await asyncio.sleep(0.1)
    new = place.vault.rotate()
    await one.rewrap()
    for _ in range(5):
        await other.accept(acceptance())
    stop.set()
    ids = await sending

    assert place.execute("select distinct key_id from submission") == [(new,)]
    (place.folder / "keys" / f"site-{old}.key").unlink()
    late = await place.open(vault=Vault.open(place.folder / "keys"))
    for submission_id in ids[:3] + ids[-3:]:
        await late.body(submission_id, 0)


@pytest.mark.parametrize("size", [300, STAGED_FROM + 1])
async def test_what_was_prepared_under_a_key_that_another_process_has_retired_is_prepared_anew(
    place: PostgresPlace, one: PostgresJournal, other: PostgresJournal, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Else it would be the only one left under a key that is thrown away after ``keys rotate``."""
    keys, prepare = [], accepting.prepare

    def between(*given: Any, **more: Any) -> accepting.Prepared:
        prepared = prepare(*given, **more)
        if not keys:
            place.execute("update counter set key_id = ?", place.vault.rotate())
        keys.append(prepared.key_id)
        return prepared

    monkeypatch.setattr(accepting, "prepare", between)
    given = acceptance(bodies=[b"x" * size])
    await other.accept(given)

    assert keys[1:] == [place.vault.newest] != keys[:1]
    assert place.execute("select key_id from submission") == [(place.vault.newest,)]
    assert await one.body(given.submission.id, 0) == b"x" * size


async def test_a_process_with_another_key_directory_does_not_start(
    place: PostgresPlace, one: PostgresJournal, tmp_path: Path
) -> None:
    await one.accept(acceptance())

    with pytest.raises(JournalUnusable, match="same key directory") as refusal:
        await place.open(vault=Vault.open(tmp_path / "elsewhere"))

    assert "Schlüsselverzeichnis" in refusal.value.de


# --- statements


async def test_no_query_of_the_daily_work_scans_a_table(place: PostgresPlace, one: PostgresJournal) -> None:
    """As the sessions plan: by an index wherever there is one."""
    place.execute("set enable_seqscan = off; set jit = off;")

    for name, parameters in open_work():
        plan = "\n".join(step for (step,) in place.execute(f"explain {Texts().one[name]}", *parameters))
        assert "Seq Scan" not in plan or "Seq Scan on counter" in plan, (name, plan)


async def test_what_is_due_next_is_found_without_going_through_all_that_is_open(
    place: PostgresPlace, one: PostgresJournal
) -> None:
    """Also when a backlog has piled up since the server last counted what is open."""
    await one.accept(acceptance())
    columns = [name for (name,) in place.execute(
        "select column_name::text from information_schema.columns where table_name = 'delivery' order by ordinal_position")]
    instead = {
        "seq": "n", "id": "'d' || n", "purpose": "'notice'", "state": "'pending'", "waiting_for": "'turn'",
        "next_attempt_at": "d.received_at",
    }
    listed = ", ".join(instead.get(name, f"d.{name}") for name in columns)
    for numbers in ("100, 3100", "4000, 7000"):
        place.execute(f"insert into delivery select {listed} from delivery d, generate_series({numbers}) n where d.seq = 1")
        if numbers == "100, 3100":
            place.execute("update delivery set state = 'delivered', waiting_for = null, next_attempt_at = null")
            place.execute("vacuum analyze delivery")

    async def explained(connection: Any) -> dict[str, str]:
        async with connection.transaction():
            for setting, value in postgres_server._SETTINGS[Use.READER].items():
                await connection.execute(f"set local {setting} = '{value}'")
            return {name: (await connection.fetchval(f"explain (analyze, format json) {Texts().one[name]}", *parameters))
                    for name, parameters in (("next_due", ()), ("overdue", (str(EPOCH), 10, "//")))}

    for name, plan in place.database.shell.do(explained).items():
        assert max(touched(json.loads(plan)[0]["Plan"])) < 10, (name, plan)


@pytest.mark.parametrize("use", [Use.READER, Use.SEARCHER])
async def test_what_belongs_to_one_submission_is_found_without_going_through_those_of_others(
    place: PostgresPlace, one: PostgresJournal, use: Use
) -> None:
    for _ in range(3):
        await asyncio.gather(*(one.accept(acceptance()) for _ in range(400)))
    place.execute("vacuum analyze")
    ((own,),) = place.execute("select id from submission order by seq desc limit 1")
    asked = {
        "submission": (own,), "deliveries_of": (own,), "documents": (own,), "chunk_count": (own, 0), "chunk": (own, 0, 0),
        "latest_of_submission": (50, own), "history_of_submission": (0, 50, own),
    }

    async def explained(connection: Any) -> dict[str, str]:
        async with connection.transaction():
            for setting, value in postgres_server._SETTINGS[use].items():
                await connection.execute(f"set local {setting} = '{value}'")
            texts = Texts()
            return {name: await connection.fetchval(f"explain (analyze, format json) {texts.one[name]}", *parameters)
                    for name, parameters in asked.items()}

    for name, plan in place.database.shell.do(explained).items():
        assert max(touched(json.loads(plan)[0]["Plan"])) < 10, (name, plan)


def touched(plan: dict[str, Any]) -> Iterator[float]:
    """Rows that each step of an explained plan has had in its hand."""
    yield (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    for step in plan.get("Plans", ()):
        yield from touched(step)


async def test_what_many_ask_at_once_is_found_by_an_index_too(place: PostgresPlace, one: PostgresJournal) -> None:
    async def explained(connection: Any) -> dict[str, str]:
        await connection.execute("set enable_seqscan = off; set jit = off;")
        texts, plans = Texts(), {}
        for name in (
            "delivery", "claim_delivery", "update_delivery", "something_stands_before", "submission", "deliveries_of",
            "documents", "chunk_count", "chunk", "key_of_submission", "steps", "standing_claim", "rewrap_key", "set_clock",
            "delete_claim",
        ):
            text = await texts.many(connection, name)
            types = await texts._types_of(connection, name)
            plans[name] = "\n".join(row[0] for row in await connection.fetch(f"explain {text}", *([] for _ in types)))
        return plans

    plans = place.database.shell.do(explained)

    assert not {name: plan for name, plan in plans.items() if "Seq Scan" in plan}


async def test_a_process_that_falls_asleep_in_its_turn_holds_nobody_up_for_long(
    place: PostgresPlace, one: PostgresJournal
) -> None:
    """With both of its connections: one has the turn, the other comes next and sleeps on it as well. Nobody hears a no."""
    server = Server(place.database.url)
    having, next_ = await server.connect(Use.WRITER), await server.connect(Use.WRITER)
    await having.turn()
    coming = asyncio.create_task(next_.turn())
    async with asyncio.timeout(10):
        while not await having.connection.fetchval(_WAITING):
            await asyncio.sleep(0.01)

    assert isinstance(await one.accept(acceptance()), Accepted)

    await coming
    assert await _is_dead(having)
    assert await _is_dead(next_)
    having.drop()
    next_.drop()


_WAITING = """select count(*) from pg_locks where not granted and locktype = 'advisory'
              and database = (select oid from pg_database where datname = current_database())"""


async def _is_dead(session: Any) -> bool:
    try:
        await session.connection.execute("select 1")
    except Exception:
        return True
    return False


async def test_who_does_not_get_his_turn_is_told_so(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = dict(postgres_server._SETTINGS[Use.WRITER]) | {"lock_timeout": "200ms"}
    monkeypatch.setitem(postgres_server._SETTINGS, Use.WRITER, impatient)  # type: ignore[arg-type]
    journal = await place.open(patience=timedelta(minutes=1).total_seconds())
    holding = await Server(place.database.url).connect(Use.WATCH)
    await holding.turn()

    answers = await asyncio.gather(*[journal.accept(acceptance()) for _ in range(20)], return_exceptions=True)

    assert all(isinstance(answer, JournalUnavailable) for answer in answers)
    await holding.rollback()
    assert isinstance(await journal.accept(acceptance()), Accepted)
    await holding.aclose()
