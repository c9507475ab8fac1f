"""RabbitMQ away, frozen, cut off, forgotten: a late ring, one alarm, and a connection that comes back by itself.

The network between the two is a proxy that breaks on demand; a broker that is killed or frozen itself: ``tests/chaos``.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from yarl import URL

from gateway import telemetry
from gateway.adapters import rabbitmq, rabbitmq_address, rabbitmq_session
from gateway.adapters.rabbitmq import BrokerAway, RabbitBroker
from gateway.adapters.rabbitmq_address import Address
from gateway.ports import Ticket
from tests.chaos.proxy import Proxy
from tests.contract.brokers import AMQP, LANE, Yard, ids, listening, until, yard


@pytest.fixture(autouse=True)
def log() -> io.BytesIO:
    lines = io.BytesIO()
    telemetry.configure(stream=lines, strict=True)
    return lines


def told(log: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.fixture
async def place() -> AsyncIterator[Yard]:
    async with yard() as made:
        yield made


@pytest.fixture
def network() -> Iterator[Proxy]:
    with Proxy(URL(AMQP).port or 5672, host=URL(AMQP).host or "127.0.0.1") as proxy:
        yield proxy


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "RING_SECONDS", 0.5)


def through(network: Proxy) -> str:
    return str(URL(AMQP).with_host("127.0.0.1").with_port(network.port))


async def rings(broker: RabbitBroker, delivery_id: str) -> bool:
    try:
        await broker.ring(Ticket(delivery_id, LANE))
    except BrokerAway:
        return False
    return True


BREAKS = {
    "cut": Proxy.cut, "torn": Proxy.reset, "forgotten": Proxy.half_open, "swallowed": Proxy.black_hole,
}  # fmt: skip


@pytest.mark.parametrize("breaks", BREAKS.values(), ids=BREAKS.keys())
@pytest.mark.usefixtures("quick")
async def test_whatever_becomes_of_the_connection_it_rings_and_hears_again_by_itself(
    place: Yard, network: Proxy, breaks: Callable[[Proxy], None], log: io.BytesIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_address, "HEARTBEAT", 1)  # after two of which the broker no longer rings who is out of reach
    [before, after] = ids(2)
    broker = place.broker(url=through(network))
    async with listening(broker) as heard:
        await broker.ring(Ticket(before, LANE))
        await until(lambda: heard == [before])

        breaks(network)
        lost = ids(1)[0]
        await until(lambda: _fails(broker, lost), what="a ring that is refused")
        network.heal()

        await until(lambda: rings(broker, after), what="it rings again")
        await until(lambda: after in heard, what="it hears again")
        assert broker.connected
    assert [line["event"] for line in told(log)] == ["broker.away", "broker.back"]


async def _fails(broker: RabbitBroker, delivery_id: str) -> bool:
    return not await rings(broker, delivery_id)


@pytest.mark.parametrize("breaks", [Proxy.cut, Proxy.reset, Proxy.half_open])
async def test_a_connection_that_ends_while_it_is_used_is_not_taken_for_being_told_to_stop(
    place: Yard, network: Proxy, breaks: Callable[[Proxy], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The libraries cancel whoever waits for a connection that they give up. A dispatcher that believed it would never ring
    again."""
    monkeypatch.setattr(rabbitmq_address, "HEARTBEAT", 1)
    monkeypatch.setattr(rabbitmq, "RING_SECONDS", 30.0)  # so that it is the silence that ends it
    broker = place.broker(url=through(network))
    await broker.prepare(LANE)
    network.black_hole()
    ringing = [asyncio.create_task(rings(broker, each)) for each in ids(20)]
    await asyncio.sleep(0.1)
    breaks(network)
    network.heal()

    done = await asyncio.gather(*ringing, return_exceptions=True)

    assert all(isinstance(each, bool) for each in done), done
    await until(lambda: rings(broker, ids(1)[0]))


@pytest.mark.usefixtures("quick")
async def test_one_outage_is_one_alarm_however_many_rings_and_lanes(place: Yard, network: Proxy, log: io.BytesIO) -> None:
    broker = place.broker(url=through(network), retry_seconds=0.05)
    async with listening(broker), listening(broker, "folder"), listening(broker, "mail"):
        await broker.prepare(LANE)
        network.reset()
        refused = 0
        async with asyncio.timeout(30):
            while network.refused < 10:
                refused += not await rings(broker, ids(1)[0])
                await asyncio.sleep(0.01)

        [away, *more] = told(log)
        assert not more
        assert (away["event"], away["level"], away["reason"]) == ("broker.away", "error", "lost")
        assert broker.figures["up"][1]() == 0
        assert broker.figures["rings_refused"][1]() == refused > 5
        network.heal()
        await until(lambda: broker.connected)
        [_, back] = told(log)
        assert (back["event"], back["count"]) == ("broker.back", refused)
        assert broker.figures["up"][1]() == 1
    await place.delete(place.queues.of("folder"), place.queues.of("mail"))


@pytest.mark.usefixtures("quick")
async def test_a_frozen_broker_costs_one_late_ring_and_the_others_nothing(place: Yard, network: Proxy) -> None:
    broker = place.broker(url=through(network))
    await broker.prepare(LANE)
    network.black_hole()
    assert not await rings(broker, ids(1)[0])

    before = network.carried
    async with asyncio.timeout(5):
        for delivery_id in ids(1000):
            assert not await rings(broker, delivery_id)
    assert network.carried == before
    assert not broker.connected


async def test_nobody_there_is_said_at_once_and_whoever_comes_later_is_found(place: Yard, log: io.BytesIO) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        broker = place.broker(url=f"amqp://guest:guest@127.0.0.1:{taken.getsockname()[1]}/")

        with pytest.raises(BrokerAway):
            await broker.prepare(LANE)
        with pytest.raises(BrokerAway):
            await broker.ring(Ticket(ids(1)[0], LANE))
        assert not broker.connected
    assert [(line["event"], line["reason"]) for line in told(log)] == [("broker.away", "unreachable")]


async def test_a_broker_that_takes_the_connection_and_says_nothing_is_away(place: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes the connection, and that is all
        broker = place.broker(url=f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/")

        with pytest.raises(BrokerAway):
            await broker.prepare(LANE)

        await broker.aclose()


@pytest.mark.usefixtures("quick")
async def test_closing_takes_no_longer_than_promised_with_a_broker_that_is_frozen(
    place: Yard, network: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_session, "CLOSE_SECONDS", 0.3)
    broker = place.broker(url=through(network))
    async with listening(broker) as heard:
        await broker.ring(Ticket(ids(1)[0], LANE))
        await until(lambda: len(heard) == 1)
        network.black_hole()

        async with asyncio.timeout(10):
            await broker.aclose()
    network.heal()


async def test_a_half_open_connection_over_which_nothing_is_rung_is_noticed_by_its_silence(
    place: Yard, network: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_address, "HEARTBEAT", 1)
    broker = place.broker(url=through(network))
    await broker.prepare(LANE)
    network.half_open()

    await until(lambda: not broker.connected, what="the silence was noticed")
    await until(lambda: broker.connected)


# --- who we are --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "reason"), [
    (lambda url: url.with_password("falsch-geheim"), "credentials"),
    (lambda url: url.with_path("/no-such-host"), "refused"),
])  # fmt: skip
async def test_what_a_person_has_to_see_to_is_told_by_its_name(
    place: Yard, log: io.BytesIO, change: Callable[[URL], URL], reason: str
) -> None:
    broker = place.broker(url=str(change(URL(AMQP))))

    with pytest.raises(BrokerAway):
        await broker.prepare(LANE)

    [line] = told(log)
    assert (line["event"], line["reason"]) == ("broker.away", reason)


@pytest.mark.usefixtures("quick")
async def test_a_password_of_its_own_goes_before_the_one_in_the_address_and_is_shown_nowhere(
    place: Yard, log: io.BytesIO
) -> None:
    url = URL(AMQP)
    right = Address(str(url.with_password("falsch-geheim")), SecretStr(url.password or "guest"))
    await place.broker(address=right).prepare(LANE)

    wrong = Address(str(url), SecretStr("falsch-geheim"))
    broker = place.broker(address=wrong)
    logging.getLogger("aiormq").setLevel(logging.DEBUG)  # whatever level an operator chooses
    logging.getLogger("aio_pika").setLevel(logging.DEBUG)
    with pytest.raises(BrokerAway) as away:
        await broker.prepare(LANE)

    shown = [repr(away.value), repr(away.value.__cause__), repr(broker), repr(wrong), repr(vars(broker)), log.getvalue().decode()]
    assert "falsch-geheim" not in "".join(shown)


async def test_people_who_look_after_the_broker_see_who_is_connected() -> None:
    """By the name of our instance; read from what we say to it, since only its administrators can ask."""
    said = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(_connection_start())
        said.set_result(await reader.readuntil(b"\xce"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    broker = RabbitBroker(Address(f"amqp://u:p@127.0.0.1:{server.sockets[0].getsockname()[1]}/"), name="gateway-7")
    with pytest.raises(BrokerAway):
        await broker.prepare()
    await broker.aclose()
    server.close()

    assert b"gateway-7 ringing" in await said


def _connection_start() -> bytes:
    from pamqp import commands, frame

    return frame.marshal(commands.Connection.Start(mechanisms="PLAIN", server_properties={"capabilities": {}}), 0)
