"""P1, P2, P3 on many machines: whatever part of it dies, freezes or is cut off under load, every 202 becomes one case.

A portal that gets no answer sends again, with its key, to the other intake. Judged from outside by ``checker``.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from gateway.adapters.sql import migrations
from tests.chaos import faults
from tests.chaos.campaign import Campaign, Moments, under_load
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.faults import Fault
from tests.chaos.launcher import POSTGRES_STEPS
from tests.chaos.matrix import note
from tests.chaos.processes import Gateway
from tests.chaos.scenario import comes_once, trouble_for
from tests.postgres import PostgresServer
from tests.rabbitmq import Own

pytestmark = pytest.mark.xdist_group("rabbitmq")

SEED = 20_261_122
SHORT = {
    ("Annahme", "SIGKILL"), ("Übermittlung", "SIGKILL"), ("PostgreSQL", "SIGKILL"),
    ("Annahme–PostgreSQL", "Netz: schwarzes Loch"), ("Übermittlung–PostgreSQL", "Netz: Verbindung abgerissen"),
    ("Übermittlung–Zielsystem", "Netz: halb offen"),
}
"""What there is time for in every run of the tests; the long form has all of it, again and again."""

OF_INTAKE = ("before accept", "before commit", "after commit", "before 202", "after 202", "before seal", "after seal")
"""Steps at which an intake dies; at the others it is a worker."""

NOW = migrations()[-1].no
EXPAND = f"-- needs: {NOW}\nalter table submission add column channel text; create index channels on submission (channel);"
CONTRACT = f"-- needs: {NOW + 2}\nalter table submission drop column channel;"


@pytest.mark.timeout(300)
def test_no_fault_of_any_part_loses_or_doubles_anything(own_rabbitmq: Own, tmp_path: Path) -> None:
    with _pair() as (primary, standby), cluster(
        tmp_path, primary, standby, broker=own_rabbitmq, broker_prefix=f"test-{uuid.uuid4().hex[:8]}",
    ) as several:
        several.start(margin=3.0)
        _warned_of_the_standby(several)
        with under_load(several, tmp_path) as campaign:
            moments = Moments(SEED)
            for fault in _all(several, moments):
                if (fault.component, fault.name) in SHORT:
                    _strike(campaign, fault)
            campaign.strike("PostgreSQL", "Übernahme durch den Standby", partial(faults.failover, several, moments))
            campaign.strike("alle Prozesse", "neue Version neben der alten", partial(_upgrade, several, campaign))
            campaign.finish()
        _kept(campaign)
        _an_older_version_refuses_tables_that_it_cannot_work_with(several)


@pytest.mark.long
@pytest.mark.parametrize("ring", ["PostgreSQL", "PostgreSQL + RabbitMQ"])
def test_faults_of_every_part_again_and_again(own_rabbitmq: Own, tmp_path: Path, ring: str, long: int) -> None:
    broker = own_rabbitmq if "RabbitMQ" in ring else None
    chance = random.Random(SEED)
    with _pair() as (primary, standby), cluster(
        tmp_path, primary, standby, broker=broker, intakes=2, workers=3, broker_prefix=f"test-{uuid.uuid4().hex[:8]}",
    ) as several:
        several.start(margin=3.0)
        with under_load(several, tmp_path, form=ring) as campaign:
            moments = Moments(SEED)
            for _ in range(long):
                every = list(_all(several, moments))
                for fault in chance.sample(every, len(every)):
                    _strike(campaign, fault, times=6 if fault.name == "SIGKILL" and fault.component != "PostgreSQL" else 2)
                campaign.strike("PostgreSQL", "Übernahme durch den Standby", partial(faults.failover, several, moments))
                faults.new_standby(several)
                campaign.strike("alle Prozesse", "nacheinander neu gestartet", partial(faults.restarted_one_by_one, several))
            campaign.strike("alle Prozesse", "neue Version neben der alten", partial(_upgrade, several, campaign))
            campaign.finish()
        note(campaign.rows())
        _kept(campaign)


@pytest.mark.long
def test_killed_at_every_named_step_every_202_becomes_one_case(own_postgres: PostgresServer, tmp_path: Path, long: int) -> None:
    chance = random.Random(SEED)
    lives = [(step, chance.choice([1, 2, 5])) for step in POSTGRES_STEPS for _ in range(long)]
    chance.shuffle(lives)
    missed: list[str] = []
    with cluster(tmp_path, own_postgres, workers=1) as several:
        several.start(margin=3.0)
        with under_load(several, tmp_path, form="PostgreSQL") as campaign:
            for component, wanted in (("Annahme", True), ("Übermittlung", False)):
                own = [life for life in lives if (life[0] in OF_INTAKE) is wanted]
                how = partial(_killed_at, several, own, missed, several.intakes[0] if wanted else several.workers[0])
                campaign.strike(component, "SIGKILL bei jedem benannten Schritt", how, deaths=len(own))
            campaign.finish()
        note(campaign.rows())
    assert not missed, "these steps never came, so that nothing died there"
    _kept(campaign)


def _killed_at(several: Cluster, lives: list[tuple[str, int]], missed: list[str], one: Gateway) -> None:
    for step, nth in lives:
        one.kill()
        several.systems[0].break_with(trouble_for(step))
        one.start(dies=step, nth=1 if comes_once(step) else nth)
        if step.endswith("stop"):
            time.sleep(0.3)
            one.stop()
        if not one.await_end(within=30):
            missed.append(step)
    one.kill()
    several.systems[0].break_with("")
    one.start()


def _all(several: Cluster, moments: Moments) -> Iterator[Fault]:
    yield from faults.of_processes(several, moments)
    yield from faults.of_networks(several, moments)


def _strike(campaign: Campaign, fault: Fault, *, times: int = 1) -> None:
    campaign.strike(fault.component, fault.name, fault.strike, times=times)


def _upgrade(several: Cluster, campaign: Campaign) -> None:
    """The next version makes its tables while the present one works on beside it, and takes over; two are put back again."""
    several.intakes[0].stop()
    several.intakes[0].start(newer=(EXPAND,))
    campaign.await_recovery("one process of the next version")
    faults.restarted_one_by_one(several, newer=(EXPAND,))
    for one in (several.intakes[0], several.workers[0]):
        assert one.stop() == 0, one.last_words()
        one.start()


def _an_older_version_refuses_tables_that_it_cannot_work_with(several: Cluster) -> None:
    old, new = several.workers[0], several.intakes[0]
    new.start(newer=(EXPAND, CONTRACT))
    assert new.stop() == 0

    with pytest.raises(AssertionError, match="did not start"):
        old.start()

    assert "written by a newer version" in old.last_words()


def _warned_of_the_standby(several: Cluster) -> None:
    """The first process began while the standby was not waited for yet; it says so, and those that began later need not."""
    assert '"standby-not-synchronous"' in several.intakes[0].log.read_text("utf-8")
    faults.make_synchronous(several.database)


def _kept(campaign: Campaign) -> None:
    assert campaign.verdict is not None
    assert campaign.verdict.kept, f"seed {SEED}: {campaign.verdict}"
    assert not campaign.faults, f"seed {SEED}: {campaign.faults}"
    assert campaign.found is not None
    assert max(campaign.found.in_flight.values()) <= 4, "a target got more at once than it takes"


@contextmanager
def _pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary and a standby that follows it, not waited for yet."""
    with PostgresServer(**faults.PAIR) as primary, PostgresServer(
        standby_of=primary, synchronous_standby_names="", **faults.PAIR,
    ) as standby:
        yield primary, standby
