"""What ``test_cluster_faults`` looks at turns red, and for the right reason, when a promise between processes is broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.checker import Verdict, judge
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.load import Load
from tests.chaos.processes import PLACES, until
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.xdist_group("cluster"), pytest.mark.timeout(240)]


def test_a_202_before_the_commit_is_found_as_lost(own_postgres: PostgresServer, tmp_path: Path) -> None:
    def an_intake_dies(several: Cluster) -> None:
        several.intakes[0].kill()
        several.intakes[0].start(breaks="says_202_before_the_commit", dies="after 202", nth=5)
        assert several.intakes[0].await_end(within=30)
        several.intakes[0].start()

    assert _verdict(own_postgres, tmp_path, "says_202_before_the_commit", an_intake_dies).lost


def test_claims_without_compare_and_swap_are_found_as_doubling(own_postgres: PostgresServer, tmp_path: Path) -> None:
    def they_ring_for_the_same(several: Cluster) -> None:
        for system in several.systems:
            system.break_with("late*:0.2")
        until(lambda: any(system.stats()["duplicates"] for system in several.systems), within=90, what="a doubled case")

    assert _verdict(own_postgres, tmp_path, "overlooks_who_has_it", they_ring_for_the_same).doubled


def test_a_sweep_that_forgets_the_doubt_is_found_as_doubling(own_postgres: PostgresServer, tmp_path: Path) -> None:
    def a_worker_dies(several: Cluster) -> None:
        for _ in range(2):
            several.workers[0].kill()
            several.workers[0].start(dies="after the answer", nth=3)
            assert several.workers[0].await_end(within=30)
        several.workers[0].start()

    assert _verdict(own_postgres, tmp_path, "forgets_the_doubt_of_the_dead", a_worker_dies).doubled


def _verdict(database: PostgresServer, folder: Path, breaks: str, trouble: Callable[[Cluster], None]) -> Verdict:
    """Of two intakes and two workers, every one with this defect, once nothing is open any more."""
    with cluster(folder, database) as several:
        several.start(breaks=breaks, margin=0.5)
        with Load(several, folder / "client.jsonl", places=PLACES[:2], senders=4) as load:
            trouble(several)
            for system in several.systems:
                system.break_with("")
            load.finish(load.begun, within=60)
        until(lambda: not several.open_deliveries(), within=60, what=several.what_is_open, every=0.2)
        return judge(folder / "client.jsonl", [system.log for system in several.systems])
