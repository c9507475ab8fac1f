"""Any number of intakes and workers, and no leader: what they agree on, and what is left of each when it goes.

Eight processes on one PostgreSQL. The clock of one worker is half a minute ahead, that of one intake half a minute behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.chaos.checker import judge
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.conftest import emptied
from tests.chaos.inspection import inspect, most_in_flight
from tests.chaos.load import Load
from tests.chaos.processes import PLACES, Gateway, until
from tests.postgres import PostgresServer, Shell

pytestmark = [pytest.mark.xdist_group("cluster"), pytest.mark.timeout(240)]

AT_ONCE = 2
WRONG = 30.0
"""Seconds by which two clocks are wrong."""
SETTLE = timedelta(seconds=1)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all portals of this module were told."""
    return tmp_path_factory.mktemp("cluster") / "client.jsonl"


@pytest.fixture(scope="module")
def several(shared_postgres: PostgresServer, log: Path) -> Iterator[Cluster]:
    emptied(shared_postgres)
    with cluster(log.parent, shared_postgres, workers=6, target=f"concurrency = {AT_ONCE}", drain="2s") as made:
        made.intakes[1].usual["ahead"] = -WRONG
        made.workers[0].usual["ahead"] = WRONG
        made.start(margin=3.0)
        yield made
        made.stop()
        found = asyncio.run(inspect(made.database.url, made.keys))
        assert not found.faults


@pytest.fixture
def shell(shared_postgres: PostgresServer) -> Iterator[Shell]:
    made = Shell(shared_postgres.url)
    yield made
    made.close()


def test_six_workers_try_each_once_and_no_target_gets_more_at_once_than_it_takes(
    several: Cluster, log: Path, shell: Shell,
) -> None:
    with _answering(several, "late*:0.1"):
        _send(several, log, 150)
        _await_delivered(several)

    assert shell.execute("select distinct attempts, crashes from delivery") == [(1, 0)]
    assert set(most_in_flight(shell).values()) == {AT_ONCE}
    hands = {actor for (actor,) in shell.execute("select distinct actor from history where event = 'claim'")}
    assert hands <= {f"worker-{n}" for n in range(1, 7)}, "an intake has delivered"
    assert len(hands) > 1
    _kept(several, log)


def test_clocks_that_differ_by_half_a_minute_do_no_harm(several: Cluster, log: Path, shell: Shell) -> None:
    before, first = _now(shell), _last_line(shell)
    with _answering(several, "hang_afterx4"):  # each is a case, and in doubt
        _send(several, log, 40)
        _await_delivered(several)
    after = _now(shell)

    for (received,) in shell.execute(f"select received_at::text from submission where received_at > '{before}'"):
        assert before <= datetime.fromisoformat(received) <= after
    lines = [(datetime.fromisoformat(at), delivery, outcome) for at, delivery, outcome in shell.execute(
        "select at::text, delivery, outcome from history where no > $1 order by no", first)]
    assert len(lines) > 120
    for (earlier, *_), (later, *_) in pairwise(lines):  # a busy machine may need seconds from the decision to the commit
        assert later - earlier > timedelta(seconds=-WRONG / 3), "a line of the history that is older than the one before it"
    _asked_only_when_settled(lines)
    for one in (several.intakes[1], several.workers[0]):
        told = [line["seconds"] for line in one.logged("journal.warning") if line["reason"] == "clock-differs"]
        assert any(abs(seconds) > WRONG / 2 for seconds in told)
    _kept(several, log)


def test_a_worker_that_is_stopped_gives_its_leases_back_at_once(several: Cluster, log: Path, shell: Shell) -> None:
    with _answering(several, "hang_before*"):
        _send(several, log, 12)
        worker = _one_at_work(several, shell)
        held = shell.execute("select id from delivery where claimed_by = $1", _name(several, worker))

        assert worker.stop() == 0, worker.last_words()

        assert held
        assert shell.execute("select id from delivery where claimed_by = $1", _name(several, worker)) == []
    _await_delivered(several)
    assert worker.start()
    _kept(several, log)


@pytest.mark.long
@pytest.mark.parametrize("step", ["before the document is read", "before send"])
def test_a_worker_that_sleeps_through_its_lease_finds_that_others_have_delivered(
    several: Cluster, log: Path, step: str,
) -> None:
    sleeper = several.workers[-1]
    assert sleeper.stop() == 0
    assert sleeper.start(dies=step, freezes=True)
    with Load(several, log, places=PLACES[:2], senders=2) as load:
        sleeper.await_sleep(within=60)
        # It may sleep in its turn to write: each of its connections then holds up all others until PostgreSQL ends it.
        load.finish(load.begun, within=120)
    _await_delivered(several)

    late = len(_late(sleeper))
    sleeper.wake()

    until(
        lambda: len(_late(sleeper)) > late, within=60,
        what=lambda: f"it finds out; {sleeper.last_words()}",
    )
    _kept(several, log)


def test_a_changed_site_is_taken_up_by_all_processes(several: Cluster, log: Path) -> None:
    more = f"""
[target.fach-3]
connector = "rest"
authority = "amt-2"
settle = "1s"
timeout = 2
options = {{ url = "http://127.0.0.1:{several.targets[1].port}", token = "env:PROBE_SECRET" }}
[[route]]
leistung = "hundesteuer"
ars = "{PLACES[2][:5]}"
to = [ {{ target = "fach-3" }} ]
"""
    for one in several.gateways:
        draft = one.site.with_suffix(".draft")
        draft.write_text(one.site.read_text("utf-8") + more, encoding="utf-8")
        draft.rename(one.site)
    until(
        lambda: all(one.logged("site.loaded") for one in several.gateways), within=60,
        what=lambda: f"all have taken it up: {[one.last_words()[-300:] for one in several.gateways]}",
    )
    cases = several.systems[1].cases()

    _send(several, log, 10, places=PLACES[2:3])

    _await_delivered(several)
    assert several.systems[1].cases() >= cases + 10
    assert several.intakes[1].target("fach-3")["counts"].get("pending", 0) == 0
    _kept(several, log)


@contextmanager
def _answering(several: Cluster, faults: str) -> Iterator[None]:
    for system in several.systems:
        system.break_with(faults)
    yield
    for system in several.systems:
        system.break_with("")


def _send(several: Cluster, log: Path, count: int, *, places: tuple[str, ...] = PLACES[:2]) -> None:
    with Load(several, log, places=places, senders=6, pause=0.0) as load:
        load.finish(count, within=90)


def _await_delivered(several: Cluster) -> None:
    def delivered() -> bool:
        try:
            return not several.open_deliveries()
        except httpx.HTTPError:
            return False

    until(delivered, within=90, what=several.what_is_open, every=0.1)


def _kept(several: Cluster, log: Path) -> None:
    verdict = judge(log, [system.log for system in several.systems])
    assert verdict.kept, verdict


def _asked_only_when_settled(lines: list[tuple[datetime, int | None, str | None]]) -> None:
    doubtful: dict[int | None, datetime] = {}
    settled = 0
    for at, delivery, outcome in lines:
        if outcome == "in_doubt":
            doubtful[delivery] = at
        elif delivery in doubtful:
            settled += 1
            assert at - doubtful.pop(delivery) >= SETTLE
    assert settled


def _one_at_work(several: Cluster, shell: Shell) -> Gateway:
    found: list[tuple[str]] = []

    def at_work() -> bool:
        found[:] = shell.execute("select claimed_by from delivery where state = 'delivering'")
        return bool(found)

    until(at_work, within=30, what="somebody delivers")
    return several.workers[int(found[0][0].rpartition("-")[2]) - 1]


def _late(worker: Gateway) -> list[object]:
    """What it could not write down any more, because another had gone on."""
    return [line for line in worker.logged("attempt") if line["outcome"] == "late"]


def _name(several: Cluster, worker: Gateway) -> str:
    return f"worker-{several.workers.index(worker) + 1}"


def _now(shell: Shell) -> datetime:
    return datetime.fromisoformat(shell.execute("select clock_timestamp()::text")[0][0])


def _last_line(shell: Shell) -> int:
    return int(shell.execute("select max(no) from history")[0][0])
