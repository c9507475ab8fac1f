"""The journal and its server: what is refused at start, and what is said when nobody knows whether it was stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters import postgres_lane, postgres_watch
from gateway.adapters.postgres import PostgresJournal
from gateway.adapters.postgres_server import Server, State, Use, refusals, warnings
from gateway.adapters.sql import JournalUnusable
from gateway.ports import Accepted, JournalUnavailable
from gateway.seal import verify
from gateway.vault import Vault
from tests.certificates import Authority
from tests.chaos.proxy import Proxy
from tests.clock import TurnableClock
from tests.contract.examples import acceptance
from tests.postgres import PostgresServer, Shell

SAFE = State(150_000, "on", True, True, "", "UTF8", encrypted=True, near=True)


# --- what a server must promise


@pytest.mark.parametrize(("state", "code"), [
    (replace(SAFE, version=130_012), "version"),
    (replace(SAFE, encoding="SQL_ASCII"), "encoding"),
    (replace(SAFE, synchronous_commit="off"), "synchronous-commit-off"),
    (replace(SAFE, synchronous_commit="local", standby_names="a"), "synchronous-commit-local"),
    (replace(SAFE, fsync=False), "fsync-off"),
    (replace(SAFE, full_page_writes=False), "full-page-writes-off"),
])
def test_what_could_lose_an_acknowledged_submission_is_refused_in_both_languages(state: State, code: str) -> None:
    (found,) = refusals(state)

    assert found.code == code
    assert found.de != found.en


@pytest.mark.parametrize("state", [
    SAFE, replace(SAFE, synchronous_commit="remote_apply", standby_names="a", standbys=("sync",)),
    replace(SAFE, synchronous_commit="local"), replace(SAFE, synchronous_commit="remote_write"),
    replace(SAFE, standbys=("async", "quorum")),
])
def test_what_is_safe_is_neither_refused_nor_warned_of(state: State) -> None:
    assert refusals(state) == warnings(state) == []


@pytest.mark.parametrize(("state", "code"), [
    (replace(SAFE, synchronous_commit="remote_write", standby_names="a", standbys=("sync",)), "synchronous-commit-remote-write"),
    (replace(SAFE, standbys=("async",)), "standby-not-synchronous"),
    (replace(SAFE, standbys=("async", "potential")), "standby-not-synchronous"),
    (replace(SAFE, standbys=(None,)), "standby-not-visible"),
    (replace(SAFE, encrypted=False, near=False), "connection-not-encrypted"),
])
def test_what_a_failover_or_an_eavesdropper_could_take_is_warned_of(state: State, code: str) -> None:
    (found,) = warnings(state)

    assert refusals(state) == []
    assert found.code == code
    assert found.de != found.en


# --- a server of our own


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def shell(server: PostgresServer) -> Iterator[Shell]:
    shell = Shell(server.url)
    yield shell
    shell.close()


class OwnPlace:
    """A journal on a server that may be tormented."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.server, self.vault, self.clock = server, Vault.open(folder / "keys"), TurnableClock()
        self._open: list[PostgresJournal] = []

    async def open(self, address: str = "", **settings: Any) -> PostgresJournal:
        usual = {"may_migrate": True, "wait": 0.0}
        address = address or self.server.url
        journal = await PostgresJournal.open(address, vault=self.vault, clock=self.clock, **(usual | settings))
        self._open.append(journal)
        return journal

    async def aclose(self) -> None:
        for journal in self._open:
            await journal.aclose()


@pytest.fixture
async def place(server: PostgresServer, shell: Shell, tmp_path: Path) -> AsyncIterator[OwnPlace]:
    shell.execute("drop schema public cascade; create schema public;")
    place = OwnPlace(server, tmp_path)
    yield place
    await place.aclose()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not holds():
            await asyncio.sleep(0.02)


async def accepted_again(journal: PostgresJournal) -> Accepted:
    async with asyncio.timeout(40):
        while True:
            with suppress(JournalUnavailable):
                answer = await journal.accept(acceptance())
                assert isinstance(answer, Accepted)
                return answer
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("setting", "reason"), [
    ("fsync", "Stromausfall"), ("full_page_writes", "zerreißt"), ("synchronous_commit", "schon bestätigt"),
])
async def test_a_server_that_does_not_sync_is_refused_at_start_and_taken_when_it_does(
    place: OwnPlace, server: PostgresServer, shell: Shell, setting: str, reason: str
) -> None:
    server.configure(**{setting: "off"})
    server.reload()
    try:
        await until(lambda: shell.execute(f"show {setting}") == [("off",)])
        with pytest.raises(JournalUnusable, match=f"{setting} is off.*Set {setting} = on") as refusal:
            await place.open()
        assert reason in refusal.value.de
        assert shell.execute("select count(*) from pg_tables where schemaname = 'public'") == [(0,)]
    finally:
        server.configure(**{setting: "on"})
        server.reload()
        await until(lambda: shell.execute(f"show {setting}") == [("on",)])
    assert isinstance(await (await place.open()).accept(acceptance()), Accepted)


async def test_a_running_gateway_acknowledges_nothing_while_the_server_does_not_sync(
    place: OwnPlace, server: PostgresServer, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_watch, "_LOOK", 0.05)
    journal = await place.open()
    server.configure(fsync="off", synchronous_commit="off")
    server.reload()
    try:
        await until(lambda: journal._watch.weak is not None)
        with pytest.raises(JournalUnavailable, match="fsync is off"):
            await journal.accept(acceptance())
        assert "Stromausfall" in journal.trouble()[0]  # type: ignore[index]
        assert [await _setting(lane._session, "synchronous_commit") for lane in journal._writers._lanes] == ["on", "on"]
    finally:
        server.configure(fsync="on", synchronous_commit="on")
        server.reload()
    await until(lambda: journal._watch.weak is None)
    assert isinstance(await journal.accept(acceptance()), Accepted)


async def _setting(session: Any, name: str) -> str:
    return str(await session.connection.fetchval("select current_setting($1)", name))


# --- a commit of which nobody knows whether it happened

SLOW_COMMITS = """
create or replace function dawdle() returns trigger language plpgsql as $$
begin if new.event = 'accept' then perform pg_sleep(0.7); end if; return null; end $$;
create constraint trigger dawdle after insert on history deferrable initially deferred for each row execute function dawdle();
"""
COMMITTING = "select pid from pg_stat_activity where application_name like 'nahtlos writer%' and wait_event = 'PgSleep'"


async def test_a_commit_whose_connection_is_cut_is_not_acknowledged_and_a_repeat_finds_what_was_stored(
    place: OwnPlace, server: PostgresServer, shell: Shell
) -> None:
    with Proxy(server.port) as network:
        journal = await place.open(server.url.replace(str(server.port), str(network.port)))
        shell.execute(SLOW_COMMITS)
        accepting = asyncio.create_task(journal.accept(acceptance(key="k")))
        await until(lambda: shell.execute(COMMITTING) != [])

        network.reset()

        with pytest.raises(JournalUnavailable):
            await accepting
        await until(lambda: shell.execute(COMMITTING) == [])
        shell.execute("drop trigger dawdle on history;")
        network.heal()
        again = acceptance(key="k")
        async with asyncio.timeout(40):
            while True:
                with suppress(JournalUnavailable):
                    answer = await journal.accept(again)
                    break
                await asyncio.sleep(0.05)
        assert isinstance(answer, Accepted)
        assert answer.replayed, "the server had committed"
        assert shell.execute("select count(*) from submission") == [(1,)]


async def test_a_commit_whose_backend_dies_is_not_acknowledged_and_leaves_nothing(
    place: OwnPlace, shell: Shell
) -> None:
    journal = await place.open()
    shell.execute(SLOW_COMMITS)
    accepting = asyncio.create_task(journal.accept(acceptance(key="k")))
    await until(lambda: shell.execute(COMMITTING) != [])

    shell.execute(COMMITTING.replace("select pid", "select pg_terminate_backend(pid)"))

    with pytest.raises(JournalUnavailable):
        await accepting
    shell.execute("drop trigger dawdle on history;")
    assert shell.execute("select count(*) from submission") == [(0,)]
    answer = await journal.accept(acceptance(key="k"))
    assert isinstance(answer, Accepted)
    assert not answer.replayed


async def test_a_commit_that_did_not_wait_for_its_standby_is_not_acknowledged(
    place: OwnPlace, server: PostgresServer, shell: Shell
) -> None:
    """The server says that it committed, and warns that the standby may not have it."""
    journal = await place.open()
    server.configure(synchronous_standby_names="nobody")
    server.reload()
    waiting = "select pid from pg_stat_activity where application_name like 'nahtlos writer%' and wait_event = 'SyncRep'"
    try:
        await until(lambda: shell.execute("show synchronous_standby_names") == [("nobody",)])
        accepting = asyncio.create_task(journal.accept(acceptance()))
        await until(lambda: shell.execute(waiting) != [])
        shell.execute(waiting.replace("select pid", "select pg_cancel_backend(pid)"))
        with pytest.raises(JournalUnavailable, match="did not confirm"):
            await accepting
    finally:
        server.configure(synchronous_standby_names="")
        server.reload()
    await accepted_again(journal)


async def test_who_gives_up_waiting_does_not_make_the_server_give_up_its_standby(
    place: OwnPlace, server: PostgresServer, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would commit without the standby, and whoever reads would see as stored what a failover takes away."""
    journal = await place.open()
    server.configure(synchronous_standby_names="nobody")
    server.reload()
    monkeypatch.setattr(postgres_lane, "PATIENCE", 1.0)
    given = acceptance()
    try:
        await until(lambda: shell.execute("show synchronous_standby_names") == [("nobody",)])
        with pytest.raises(JournalUnavailable, match="no answer to the commit"):
            await journal.accept(given)
        for _ in range(20):
            assert await journal.dossier(given.submission.id) is None
            await asyncio.sleep(0.02)
    finally:
        server.configure(synchronous_standby_names="")
        server.reload()
    await accepted_again(journal)


# --- a server that goes away


async def test_a_server_that_is_killed_loses_nothing_that_was_acknowledged_and_is_found_again(
    place: OwnPlace, server: PostgresServer
) -> None:
    journal = await place.open()
    acknowledged: list[str] = []

    async def send() -> None:
        while len(acknowledged) < 150:
            given = acceptance()
            with suppress(JournalUnavailable):
                await journal.accept(given)
                acknowledged.append(given.submission.id)
            await asyncio.sleep(0.002)

    sending = [asyncio.create_task(send()) for _ in range(8)]
    await until(lambda: len(acknowledged) > 50)
    await asyncio.to_thread(server.kill)
    with pytest.raises(JournalUnavailable):
        async with asyncio.timeout(20):
            while True:
                await journal.accept(acceptance())
    with pytest.raises(JournalUnavailable):
        await journal.dossier("x")
    await asyncio.to_thread(server.start)
    await asyncio.gather(*sending)

    assert all([await journal.dossier(submission_id) for submission_id in acknowledged])
    await journal.seal(at=place.clock.now())
    assert (await verify(journal)).broken is None


async def test_a_server_that_falls_silent_is_given_up_within_reason(
    place: OwnPlace, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await place.open(patience=timedelta(seconds=0.3).total_seconds())
    monkeypatch.setattr(postgres_lane, "PATIENCE", 1.0)
    monkeypatch.setattr("gateway.adapters.postgres_writer.PATIENCE", 1.0)
    server.freeze()
    try:
        waiting = asyncio.create_task(journal.accept(acceptance()))
        await asyncio.sleep(0.4)
        with pytest.raises(JournalUnavailable, match="oldest commit"):
            await asyncio.wait_for(journal.accept(acceptance()), 1)
        with pytest.raises(JournalUnavailable):
            await asyncio.wait_for(waiting, 20)
    finally:
        server.thaw()
    await accepted_again(journal)
    assert journal.oldest_waiting() == timedelta(0)


async def test_a_full_disk_is_said_to_be_full(place: OwnPlace, shell: Shell) -> None:
    journal = await place.open()
    shell.execute("""
        create function no_room() returns trigger language plpgsql as $$
        begin raise exception using errcode = '53100', message = 'could not extend file'; end $$;
        create trigger no_room before insert on chunk for each row execute function no_room();""")

    answers = await asyncio.gather(*[journal.accept(acceptance()) for _ in range(5)], return_exceptions=True)

    assert all(isinstance(answer, JournalUnavailable) and answer.full for answer in answers)
    shell.execute("drop trigger no_room on chunk;")
    assert isinstance(await journal.accept(acceptance()), Accepted)


# --- how it is reached


async def test_what_is_wrong_with_the_address_is_said_without_the_password(
    place: OwnPlace, server: PostgresServer, shell: Shell
) -> None:
    shell.execute("drop role if exists gate; create role gate login password 'Zaunkoenig';")
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("host all gate 127.0.0.1/32 scram-sha-256\n" + before)
    server.reload()
    address = server.url.replace("postgres@", "gate@")
    try:
        for wrong in (
            Server(address, password="Zaunkoenig-falsch"), Server(address.replace("gate@", "gate:Zaunkoenig-falsch@")),
            Server(server.url.replace("/postgres", "/nothing")), Server(server.url + "?sslmode=Zaunkoenig"),
            Server(server.url + "?zaunkoenig=1"), Server("postgresql://postgres@127.0.0.1:1/postgres"),
        ):
            with pytest.raises(JournalUnusable) as refusal:
                await place.open(wrong)  # type: ignore[arg-type]
            assert "Zaunkoenig" not in f"{refusal.value.en} {refusal.value.de} {wrong!r}"
            assert refusal.value.de != refusal.value.en
        shell.execute("grant all on schema public to gate;")
        journal = await place.open(Server(address, password="Zaunkoenig"))  # type: ignore[arg-type]
        assert isinstance(await journal.accept(acceptance()), Accepted)
    finally:
        rules.write_text(before)
        server.reload()


async def test_a_server_shows_a_certificate_that_somebody_vouches_for(
    place: OwnPlace, server: PostgresServer, shell: Shell, tmp_path: Path
) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    paper = authority.issue("postgres")
    server.secure(paper.certificate, paper.key)
    server.reload()
    try:
        await until(lambda: shell.execute("show ssl") == [("on",)])
        address = f"{server.url}?sslmode=verify-full&sslrootcert="
        with pytest.raises(JournalUnusable, match="certificate") as refusal:
            await place.open(address + str(stranger.certificate))
        assert "Zertifikat" in refusal.value.de

        journal = await place.open(address + str(authority.certificate))

        assert isinstance(await journal.accept(acceptance()), Accepted)
        ours = "from pg_stat_ssl join pg_stat_activity using (pid) where application_name like 'nahtlos %'"
        assert shell.execute(f"select bool_and(ssl) {ours}") == [(True,)]
    finally:
        server.configure(ssl="off")
        server.reload()


async def test_a_server_that_is_still_starting_is_waited_for(place: OwnPlace, server: PostgresServer) -> None:
    server.stop()
    opening = asyncio.create_task(place.open(wait=60.0))
    await asyncio.sleep(0.3)
    assert not opening.done()

    await asyncio.to_thread(server.start)

    assert isinstance(await (await opening).accept(acceptance()), Accepted)


async def test_a_standby_is_no_journal(place: OwnPlace, server: PostgresServer) -> None:
    with PostgresServer(standby_of=server) as standby:
        with pytest.raises(JournalUnusable):
            await place.open(standby.url)
        connection = (await Server(server.url).connect(Use.WATCH)).connection
        found = await postgres_watch.state_of_server(connection)
        assert [one.code for one in warnings(found)] == ["standby-not-synchronous"]
        await connection.close()
