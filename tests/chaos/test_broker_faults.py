"""P2, P3 with the broker failing in every way it can: what was acknowledged becomes one case, and nobody who posts notices.

Gateways on PostgreSQL and a RabbitMQ of our own; judged from outside by ``checker``. What other parts do when they fail:
``test_cluster_faults``; what the adapter does about one fault: ``tests/contract/test_broker_troubles.py``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import aio_pika
import pytest
from aiormq.exceptions import ChannelNotFoundEntity

from gateway.adapters.rabbitmq_queues import Queues
from tests.chaos.campaign import Campaign, Moments, under_load
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.matrix import note
from tests.chaos.proxy import Proxy
from tests.postgres import PostgresServer
from tests.rabbitmq import Own

pytestmark = [pytest.mark.xdist_group("rabbitmq")]

PREFIX = "test-broker-faults"
LANE = Queues(PREFIX).of("rest")


def killed(several: Cluster, moments: Moments) -> None:
    """SIGKILL, and started again with what it had on its disk."""
    assert several.broker is not None
    moments.wait()
    several.broker.kill()
    several.broker.start()


def frozen(several: Cluster, moments: Moments, *, seconds: float = 2) -> None:
    assert several.broker is not None
    moments.wait()
    several.broker.freeze()
    time.sleep(seconds)
    several.broker.thaw()


def purged(several: Cluster, moments: Moments) -> None:
    moments.wait()
    asyncio.run(_people_do(several, delete=False))


def deleted(several: Cluster, moments: Moments) -> None:
    moments.wait()
    asyncio.run(_people_do(several, delete=True))


async def _people_do(several: Cluster, *, delete: bool) -> None:
    assert several.broker is not None
    async with await aio_pika.connect(several.broker.url) as connection:
        channel = await connection.channel()
        if delete:
            await channel.queue_delete(LANE)
        else:
            with suppress(ChannelNotFoundEntity):
                await (await channel.declare_queue(LANE, passive=True)).purge()


def network(how: Callable[[Proxy], None], several: Cluster, moments: Moments, *, seconds: float = 1) -> None:
    """Between the workers and the broker."""
    assert several.brokers is not None
    moments.wait()
    how(several.brokers)
    time.sleep(seconds)
    several.brokers.heal()


FAULTS: Mapping[str, Callable[[Cluster, Moments], None]] = {
    "Warteschlange geleert": purged,
    "Warteschlange gelöscht": deleted,
    "Netz getrennt": partial(network, Proxy.cut),
    "Netz: Verbindung abgerissen": partial(network, Proxy.reset),
    "Netz: halb offen": partial(network, Proxy.half_open),
    "Netz: schwarzes Loch": partial(network, Proxy.black_hole),
    "Netz: 0,2 s verzögert": partial(network, lambda proxy: proxy.delay(0.2), seconds=2),
    "eingefroren": frozen,
    "SIGKILL": killed,
}


@pytest.mark.timeout(240)
def test_a_failing_broker_loses_and_doubles_nothing_and_no_portal_notices(own_rabbitmq: Own, tmp_path: Path) -> None:
    _campaign(own_rabbitmq, tmp_path, rounds=1, workers=1)


@pytest.mark.long
def test_a_broker_that_fails_for_a_long_time(own_rabbitmq: Own, tmp_path: Path, long: int) -> None:
    campaign = _campaign(own_rabbitmq, tmp_path, rounds=long, workers=3, times=3)
    note(campaign.rows())


def _campaign(broker: Own, folder: Path, *, rounds: int, workers: int, times: int = 1, seed: int = 20_261_122) -> Campaign:
    moments = Moments(seed)
    with PostgresServer() as database, cluster(
        folder, database, broker=broker, broker_prefix=PREFIX, intakes=1, workers=workers,
    ) as several:
        several.start()
        with under_load(several, folder) as campaign:
            for _ in range(rounds):
                for name, fault in FAULTS.items():
                    campaign.strike("RabbitMQ", name, partial(fault, several, moments), times=times)
            campaign.finish()
    assert campaign.verdict is not None
    assert campaign.verdict.kept, f"seed {seed}: {campaign.verdict}"
    assert not campaign.faults, f"seed {seed}: {campaign.faults}"
    answers = [json.loads(line)["status"] for line in (folder / "client.jsonl").read_text("utf-8").splitlines()]
    assert set(answers) == {202}, "a portal noticed"
    for worker in several.workers:
        told = [json.loads(line) for line in worker.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        events = [line["event"] for line in told if line["event"] in ("broker.away", "broker.back")]
        assert 0 < len(events) <= 2 * len(FAULTS) * rounds * times
        assert events == ["broker.away", "broker.back"] * (len(events) // 2), "one alarm for one outage"
        assert not [line for line in told if line["event"] in ("task.failed", "foreign", "ticket.failed")]
        # A queue that is deleted while it is rung at may say no before it is gone, as one that is full would.
        assert {(line.get("reason"), line["lane"]) for line in told if line["event"] == "broker"} <= {("lane-full", "rest")}
    return campaign
