"""What can only be tried on a RabbitMQ of our own: TLS on both sides, a password with every odd character, no memory left."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway import settings, telemetry
from gateway.adapters import rabbitmq
from gateway.adapters.rabbitmq import BrokerAway
from gateway.adapters.rabbitmq_address import Address
from gateway.ports import BrokerUnusable, Ticket
from tests.certificates import Authority
from tests.contract.brokers import LANE, Yard, ids, listening, take, until, yard
from tests.rabbitmq import USER, Own

pytestmark = [pytest.mark.xdist_group("rabbitmq"), pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def log() -> io.BytesIO:
    lines = io.BytesIO()
    telemetry.configure(stream=lines, strict=True)
    return lines


@pytest.fixture
async def place(own_rabbitmq: Own) -> AsyncIterator[Yard]:
    async with yard(own_rabbitmq.url) as made:
        yield made


def _tls(own: Own, **changes: Path | None) -> Address:
    papers = {"ca": own.authority.certificate, "cert": own.client.certificate, "key": own.client.key} | changes
    url = f"amqps://{USER}@127.0.0.1:{own.tls_port}/"
    return Address(url, SecretStr(own.password), **papers)


async def test_with_its_authority_our_certificate_and_our_password_it_rings_and_hears(place: Yard, own_rabbitmq: Own) -> None:
    broker, rung = place.broker(address=_tls(own_rabbitmq)), ids(3)

    await place.ring(broker, *rung)

    assert await take(broker, LANE, 3) == rung


async def test_a_broker_that_nobody_vouches_for_is_not_trusted(
    place: Yard, own_rabbitmq: Own, tmp_path: Path, log: io.BytesIO
) -> None:
    strangers = Authority(tmp_path, "strangers").certificate
    for address in (_tls(own_rabbitmq, ca=strangers), _tls(own_rabbitmq, ca=None)):
        with pytest.raises(BrokerAway):
            await place.broker(address=address).prepare(LANE)
    assert [json.loads(line)["reason"] for line in log.getvalue().splitlines()] == ["certificate"] * 2


async def test_a_broker_that_does_not_know_our_certificate_is_told_by_that_name(
    place: Yard, own_rabbitmq: Own, tmp_path: Path, log: io.BytesIO
) -> None:
    unknown = Authority(tmp_path, "unknown").issue("gateway")
    broker = place.broker(address=_tls(own_rabbitmq, cert=unknown.certificate, key=unknown.key))
    with pytest.raises(BrokerAway):
        await broker.prepare(LANE)

    # Its refusal may be overtaken by the end of the connection; then it is told with one of the next attempts.
    await until(lambda: "certificate" in [json.loads(line)["reason"] for line in log.getvalue().splitlines()])


async def test_a_renewed_certificate_is_in_force_with_the_next_connection(
    place: Yard, own_rabbitmq: Own, tmp_path: Path
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    run_out = own_rabbitmq.authority.issue("run-out", days=-1)
    cert.write_bytes(run_out.certificate.read_bytes())
    key.write_bytes(run_out.key.read_bytes())
    broker = place.broker(address=_tls(own_rabbitmq, cert=cert, key=key))
    with pytest.raises(BrokerAway):
        await broker.prepare(LANE)

    cert.write_bytes(own_rabbitmq.client.certificate.read_bytes())
    key.write_bytes(own_rabbitmq.client.key.read_bytes())

    await until(lambda: broker.connected)


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
async def test_certificates_that_cannot_be_read_stop_the_start(own_rabbitmq: Own, tmp_path: Path, name: str) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (tmp_path / "missing.pem", empty):
        with pytest.raises(BrokerUnusable, match=str(path)):
            _tls(own_rabbitmq, **{name: path}).check()


async def test_address_password_and_certificates_come_from_files_that_the_environment_names(
    place: Yard, own_rabbitmq: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, address = tmp_path / "password", tmp_path / "address"
    secret.write_text(own_rabbitmq.password + "\n", encoding="utf-8")
    address.write_text(f"amqps://{USER}@localhost:{own_rabbitmq.tls_port}/\n", encoding="utf-8")
    for file in (secret, address):
        file.chmod(0o600)
    for name, value in {
        "JOURNAL": "postgresql://nowhere/", "BROKER_FILE": address, "BROKER_PASSWORD_FILE": secret,
        "BROKER_CA": own_rabbitmq.authority.certificate, "BROKER_CERT": own_rabbitmq.client.certificate,
        "BROKER_KEY": own_rabbitmq.client.key,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"NAHTLOS_{name}", str(value))

    found = settings.read()
    given = Address(
        found.broker.get_secret_value(), found.broker_password, found.broker_ca, found.broker_cert, found.broker_key
    )
    await place.broker(address=given).prepare(LANE)

    assert own_rabbitmq.password not in repr(found) + repr(given)


async def test_a_broker_without_memory_is_one_alarm_and_goes_on_being_heard(
    place: Yard, own_rabbitmq: Own, log: io.BytesIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops reading from those that publish. Whoever waited for it each time would stand still."""
    monkeypatch.setattr(rabbitmq, "RING_SECONDS", 2.0)
    [before, late, after] = ids(3)
    broker = place.broker()
    async with listening(broker, done=False) as heard:
        await place.ring(broker, before)
        await until(lambda: len(heard) == 1)
        await asyncio.to_thread(own_rabbitmq.ctl, "set_vm_memory_high_watermark", "0")
        try:
            with pytest.raises(BrokerAway):
                await broker.ring(Ticket(late, LANE))
            assert not broker.connected
            async with asyncio.timeout(5):
                for delivery_id in ids(200):
                    with pytest.raises(BrokerAway):
                        await broker.ring(Ticket(delivery_id, LANE))
            async with heard[0]:
                pass  # what is acknowledged now goes through
        finally:
            await asyncio.to_thread(own_rabbitmq.ctl, "set_vm_memory_high_watermark", "0.6")
        await until(lambda: broker.connected)
        await place.ring(broker, after)
        await until(lambda: len(heard) == 3)  # the late one as well: it was only held up
    told = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["event"], line["reason"]) for line in told] == [("broker.away", "blocked"), ("broker.back", "blocked")]
    assert told[1]["count"] == 201


async def test_a_dead_ticket_waits_in_its_lane_until_there_is_a_place_for_it(place: Yard) -> None:
    """At least once: the broker gives a dead ticket up only when the queue for dead tickets has it."""
    broker, [before, after] = place.broker(), ids(2)
    async with listening(broker) as heard:
        await place.ring(broker, before)
        await until(lambda: heard == [before])
        await place.delete(place.queues.dead)
        await place.put(b"not a delivery id")
        await place.ring(broker, after)
        await until(lambda: heard == [before, after])
    assert broker.unreadable == 1

    await place.broker().prepare(LANE)  # makes the place

    async def is_there() -> bool:
        return await place.count(place.queues.dead) == 1

    await until(is_there, what="the ticket was kept")
