"""A whole gateway and its broker: intake never waits for it, a load balancer leaves us in, operators are told once."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from typer.testing import CliRunner
from yarl import URL

from gateway import app as composition
from gateway.__main__ import app as command_line
from gateway.adapters.rabbitmq_queues import Queues
from gateway.app import build
from gateway.ports import Broker, BrokerUnusable, Ticket
from gateway.settings import Role, Settings
from tests.chaos.proxy import Proxy
from tests.contract.brokers import AMQP, until
from tests.deployments import RABBITMQ
from tests.story.conftest import House, house, log  # noqa: F401  a fixture
from tests.story.test_api import XML, sample

NOISY = """
[target.laut]
connector = "rest"
authority = "stadt"
lane = "laut"
options = { url = "http://127.0.0.1:9", token = "env:PROBE_SECRET" }
"""


class Hanging(Broker):
    """A broker that never returns from anything, as one that is frozen would not without timeouts."""

    async def prepare(self, *lanes: str) -> None:
        await asyncio.sleep(3600)

    async def ring(self, ticket: Ticket) -> None:
        await asyncio.sleep(3600)

    async def tickets(self, lane: str) -> AsyncIterator[AbstractAsyncContextManager[Ticket]]:
        await asyncio.sleep(3600)
        yield None  # type: ignore[misc]

    async def aclose(self) -> None:
        return


@pytest.fixture
def network() -> Iterator[Proxy]:
    with Proxy(URL(AMQP).port or 5672, host=URL(AMQP).host or "127.0.0.1") as proxy:
        yield proxy


@pytest.fixture
async def distributed(tmp_path: Path, network: Proxy) -> AsyncIterator[dict[str, Any]]:
    """Settings of a gateway on PostgreSQL and RabbitMQ, the latter behind ``network``."""
    through = str(URL(AMQP).with_host("127.0.0.1").with_port(network.port))
    async with RABBITMQ.prefix("rest", "laut") as prefix:
        yield {"journal": RABBITMQ.address(tmp_path), "migrate": True, "broker": through, "broker_prefix": prefix}


async def submitted(up: House, name: str = "minimal", portal: str = "portal") -> dict[str, Any]:
    answer = await up.client(portal).post("/v1/submissions", content=sample(name), headers=XML)
    assert answer.status_code == 202, answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt


async def readiness(up: House) -> tuple[int, str, list[str]]:
    answer = await up.client(None).get("/readyz")
    said = answer.json()
    return answer.status_code, said["status"], [each["code"] for each in said["wrong"]]


async def test_nothing_that_anybody_asks_us_waits_for_the_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hanging(*_: object) -> Hanging:
        return Hanging()

    monkeypatch.setattr(composition, "open_broker", hanging)
    async with asyncio.timeout(50), house(tmp_path) as up:
        waiting, other = await submitted(up), await submitted(up, "vollstaendig")
        dead = await submitted(up, "broken-ermaessigungsgrund", "sammler")
        portal, operator = up.client("portal"), up.client("betrieb")
        [letter] = (await operator.get("/v1/dead-letters")).json()["dead_letters"]
        reason = {"reason": "Probe"}
        answers = [
            await portal.get(f"/v1/submissions/{waiting['id']}"),
            await portal.delete(f"/v1/submissions/{waiting['id']}"),
            await portal.post("/v1/validations", content=sample("minimal"), headers=XML),
            await operator.post("/v1/targets/stadt-fach/pause", json=reason),
            await operator.post("/v1/targets/stadt-fach/resume", json=reason),
            await operator.post(f"/v1/dead-letters/{letter['id']}/close", json=reason),
            await operator.post(f"/v1/dead-letters/{letter['id']}/reopen", json=reason),
            await operator.get("/v1/audit"),
            await up.client(None).get("/readyz"),
            await up.client(None).get("/metrics"),
        ]
        assert [answer.status_code for answer in answers] == [200] * len(answers)
        assert dead["id"] != other["id"]
        up.gateway.dispatcher.nudge()


async def test_without_a_broker_everything_is_taken_and_delivered_once_it_is_there(
    tmp_path: Path, network: Proxy, distributed: dict[str, Any], log: io.BytesIO  # noqa: F811
) -> None:
    network.cut()
    async with house(tmp_path, more=NOISY, **distributed) as up:
        receipts = [await submitted(up) for _ in range(3)]

        assert await readiness(up) == (200, "degraded", ["broker"])
        assert "nahtlos_broker_up 0.0" in (await up.client(None).get("/metrics")).text
        await until(lambda: _is_refused(up), what="a ring was refused")

        network.heal()
        for receipt in receipts:
            await up.settled(receipt["id"], within=30)
        assert await readiness(up) == (200, "ok", [])
        assert "nahtlos_broker_up 1.0" in (await up.client(None).get("/metrics")).text
        await _has_queues(distributed["broker_prefix"], "rest", "laut")
    told = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["event"] for line in told if "broker" in line["event"]] == ["broker.away", "broker.back"]
    assert [line["event"] for line in told if line["level"] in ("warning", "error")] == ["broker.away"]


async def _is_refused(up: House) -> bool:
    return "nahtlos_broker_rings_refused 0.0" not in (await up.client(None).get("/metrics")).text


async def _has_queues(prefix: str, *lanes: str) -> None:
    async with await aio_pika.connect(AMQP) as connection:
        channel = await connection.channel()
        for lane in lanes:
            await channel.declare_queue(Queues(prefix).of(lane), passive=True)


async def test_who_only_accepts_needs_no_broker_and_asks_for_none(
    tmp_path: Path, network: Proxy, distributed: dict[str, Any]
) -> None:
    async with house(tmp_path, **distributed, role=Role.INTAKE) as up:
        await submitted(up)
        assert await readiness(up) == (200, "ok", [])
    assert (network.connections, network.carried) == (0, 0)


async def test_a_queue_with_other_arguments_stops_the_start_and_says_why_in_both_languages(
    tmp_path: Path, distributed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = distributed["broker_prefix"]
    async with await aio_pika.connect(AMQP) as connection:
        await (await connection.channel()).declare_queue(Queues(prefix).of("rest"), durable=True)
    async with house(tmp_path):
        pass  # makes a site file
    settings = {"site": tmp_path / "nahtlos.toml", "state": tmp_path / "other"} | distributed

    with pytest.raises(BrokerUnusable, match='x-queue-type: – ≠ "quorum"'):
        await build(Settings(**settings)).start()

    for name, value in settings.items():
        monkeypatch.setenv(f"NAHTLOS_{name.upper()}", "yes" if value is True else str(value))
    said = await asyncio.to_thread(CliRunner().invoke, command_line, ["serve"])
    assert said.exit_code == 1
    words = " ".join(said.output.split())
    assert f"Die Warteschlange {prefix}.lane.rest besteht mit anderen Einstellungen" in words
    assert f"The queue {prefix}.lane.rest exists with other arguments" in words
    assert words.count('x-queue-type: – ≠ "quorum"') == 2
