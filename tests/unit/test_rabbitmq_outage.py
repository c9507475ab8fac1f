"""What operators are told of a broker in trouble: an outage is one line, and one more where a person has to see to it."""

from __future__ import annotations

import io
import json

from aiormq.exceptions import AMQPConnectionError, ConnectionNotAllowed

from gateway import telemetry
from gateway.adapters.rabbitmq_outage import Outage, reason_of


async def told(*reasons: str) -> list[tuple[str, str]]:
    lines = io.BytesIO()
    telemetry.configure(stream=lines, strict=True)
    outage = Outage()
    for reason in reasons:
        if reason:
            outage.begin(reason, reason)
        else:
            outage.end(0)
    return [(line["event"], line["reason"]) for line in map(json.loads, lines.getvalue().splitlines())]


async def test_an_outage_is_told_once_however_long_it_lasts() -> None:
    assert await told("lost", "unreachable", "unreachable", "") == [("broker.away", "lost"), ("broker.back", "unreachable")]


async def test_a_broker_that_refuses_for_a_moment_while_it_starts_is_no_second_alarm() -> None:
    assert await told("lost", "unreachable", "refused", "unreachable", "refused", "") == [
        ("broker.away", "lost"), ("broker.back", "refused"),
    ]


async def test_what_will_not_pass_by_itself_is_told_once_more() -> None:
    said = await told("lost", "credentials", "credentials", "credentials")
    assert said == [("broker.away", "lost"), ("broker.away", "credentials")]


async def test_what_is_wrong_from_the_start_is_told_at_once() -> None:
    assert await told("credentials", "credentials") == [("broker.away", "credentials")]


async def test_the_next_outage_is_a_new_one() -> None:
    events = [event for event, _ in await told("lost", "", "lost", "", "credentials", "credentials")]
    assert events == ["broker.away", "broker.back"] * 2 + ["broker.away"]


def test_a_broker_that_starts_and_has_no_virtual_host_yet_refuses() -> None:
    assert reason_of(ConnectionNotAllowed()) == "refused"
    assert reason_of(AMQPConnectionError()) == "unreachable"
