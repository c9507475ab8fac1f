"""What each status and each accident of a case system means, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from connectors.contract import sample_attachment, sample_envelope
from connectors.faults import Fault, Kind
from connectors.http import MEANING, Meaning, meaning
from connectors.rest import RestConnector, RestOptions
from connectors.sdk import Acknowledgement, Blocked, HandedOver, InDoubt, NotThere, Refused, StillOpen, Target, Unavailable
from connectors.simulator import Simulator

OUTCOME = {
    Meaning.BLOCKED: Blocked,
    Meaning.UNAVAILABLE: Unavailable,
    Meaning.IN_DOUBT: InDoubt,
    Meaning.REFUSED: Refused,
}


@asynccontextmanager
async def connected(
    system: Simulator, *, timeout: float = 5, **options: Any
) -> AsyncIterator[tuple[RestConnector, Target]]:
    connector = RestConnector()
    target = Target("system", "lk-heilbronn", RestOptions(**{**system.options, **options}), timeout=timeout)
    try:
        yield connector, target
    finally:
        await connector.aclose()


async def outcome_of(system: Simulator, *, timeout: float = 5, **options: Any) -> BaseException:
    async with connected(system, timeout=timeout, **options) as (connector, target):
        with pytest.raises((Unavailable, InDoubt, Refused, Blocked)) as raised:
            await connector.deliver(sample_envelope(), target)
        return raised.value


TABLE = {
    **dict.fromkeys((401, 403, 407, 300, 301, 302, 303, 307, 308), Blocked),
    **dict.fromkeys((408, 500, 501, 502, 504, 505, 507, 599), InDoubt),
    **dict.fromkeys((425, 429, 503), Unavailable),
    **dict.fromkeys((400, 402, 404, 405, 406, 410, 411, 412, 413, 414, 415, 422, 423, 451, 499), Refused),
}


@pytest.mark.parametrize(("status", "outcome"), sorted(TABLE.items(), key=lambda row: row[0]))
async def test_each_status_has_its_outcome(status: int, outcome: type[Exception]) -> None:
    async with Simulator(faults=[Fault(Kind.STATUS, status=status)]) as system:
        assert type(await outcome_of(system)) is outcome
        assert system.requests == 1  # neither followed nor repeated
        assert system.register.cases == 0


def test_the_table_speaks_of_every_status_there_can_be() -> None:
    assert {row for row in MEANING if isinstance(row, str)} == {"1xx", "2xx", "3xx", "4xx", "5xx"}
    assert meaning(299) is Meaning.TAKEN
    assert meaning(99) is meaning(999) is Meaning.IN_DOUBT
    assert all(OUTCOME[meaning(status)] is outcome for status, outcome in TABLE.items())


@pytest.mark.parametrize("kind", [Kind.HANG_BEFORE, Kind.HANG_AFTER])
async def test_sent_and_no_answer_is_in_doubt(kind: Kind) -> None:
    async with Simulator(faults=[Fault(kind)]) as system:
        assert isinstance(await outcome_of(system, timeout=0.4), InDoubt)
        assert system.register.cases == (kind is Kind.HANG_AFTER)


async def test_a_silent_case_system_is_given_up_after_the_read_timeout() -> None:
    async with Simulator(faults=["hang_after"]) as system:
        began = asyncio.get_running_loop().time()
        assert isinstance(await outcome_of(system, timeout=50, read_timeout=0.3), InDoubt)
        assert asyncio.get_running_loop().time() - began < 5


@pytest.mark.parametrize(
    "fault", ["close_before", "close_after", "reset", "garbage", "huge", "wrong_type", "login_page", "500!", "drip:0.1"]
)
async def test_what_is_no_clear_answer_is_in_doubt(fault: str) -> None:
    async with Simulator(faults=[fault]) as system:
        assert isinstance(await outcome_of(system, timeout=1), InDoubt)


@pytest.mark.parametrize("fault", ["close_after", "reset", "garbage", "huge", "wrong_type", "500!", "hang_after", "drip:0.1"])
async def test_doubt_is_settled_by_looking_up_and_never_by_a_second_case(fault: str) -> None:
    async with Simulator(faults=[fault], idempotent=False) as system, connected(system, timeout=1) as (connector, target):
        envelope = sample_envelope()
        with pytest.raises(InDoubt):
            await connector.deliver(envelope, target)
        found = await connector.find(replace(envelope, in_doubt=True), target)
        assert isinstance(found, Acknowledgement)
        assert found.case_number == system.register.number(envelope.delivery_id)
        assert (system.register.cases, system.register.duplicates) == (1, 0)


@pytest.mark.parametrize("fault", ["close_before", "hang_before", "login_page"])
async def test_what_did_not_arrive_is_not_found(fault: str) -> None:
    async with Simulator(faults=[fault]) as system, connected(system, timeout=0.5) as (connector, target):
        envelope = sample_envelope()
        with pytest.raises(InDoubt):
            await connector.deliver(envelope, target)
        assert isinstance(await connector.find(envelope, target), NotThere)


async def test_a_late_answer_within_the_time_is_an_answer() -> None:
    async with Simulator(faults=["late:0.3"]) as system, connected(system) as (connector, target):
        said = await connector.deliver(sample_envelope(), target)
        assert isinstance(said, Acknowledgement)
        assert said.case_number


async def test_nobody_listening_is_unavailable_and_tried_three_times_within_one_attempt() -> None:
    async with Simulator() as system:
        await system.stop()

        async def come_back() -> None:
            await asyncio.sleep(0.05)
            await system.start()

        async with connected(system) as (connector, target):
            comes_back = asyncio.create_task(come_back())
            await connector.deliver(sample_envelope(), target)
            await comes_back
        assert system.requests == 1


async def test_a_name_that_leads_nowhere_is_unavailable() -> None:
    async with Simulator() as system:
        said = await outcome_of(system, url="https://fachverfahren.invalid")
        assert isinstance(said, Unavailable)
        assert said.reason == "name not found"


async def test_a_connection_that_is_never_made_is_unavailable() -> None:
    """Its queue of waiting connections is full: the kernel drops what comes, as a firewall would."""
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0, backlog=1, start_serving=True)
    server.get_loop().remove_reader(server.sockets[0].fileno())
    port = server.sockets[0].getsockname()[1]
    fillers = [asyncio.create_task(asyncio.open_connection("127.0.0.1", port)) for _ in range(8)]
    await asyncio.sleep(0.2)
    try:
        async with Simulator() as system:
            said = await outcome_of(system, url=f"http://127.0.0.1:{port}", connect_timeout=0.2, timeout=2)
        assert isinstance(said, Unavailable)
        assert said.reason == "connecting took too long"
    finally:
        for filler in fillers:
            filler.cancel()
        for filled in await asyncio.gather(*fillers, return_exceptions=True):
            if isinstance(filled, tuple):
                filled[1].close()
        server.close()


async def test_retry_after_in_seconds_is_passed_on() -> None:
    async with Simulator(faults=["429:37"]) as system:
        said = await outcome_of(system)
        assert isinstance(said, Unavailable)
        assert said.after == timedelta(seconds=37)


async def test_retry_after_as_a_date_is_passed_on() -> None:
    until = datetime.now(UTC) + timedelta(minutes=5)
    async with Simulator(faults=[Fault(Kind.STATUS, retry_after=format_datetime(until, usegmt=True))]) as system:
        said = await outcome_of(system)
        assert isinstance(said, Unavailable)
        assert said.after is not None
        assert timedelta(minutes=4, seconds=50) < said.after <= timedelta(minutes=5)


@pytest.mark.parametrize("value", ["soon", "-5", "1.5", "Fri, 99 Xyz 2026", ""])
async def test_a_retry_after_that_says_nothing_is_ignored(value: str) -> None:
    async with Simulator(faults=[Fault(Kind.STATUS, retry_after=value)]) as system:
        said = await outcome_of(system)
        assert isinstance(said, Unavailable)
        assert said.after is None


async def test_a_refusal_gives_the_reason_of_the_case_system_but_not_a_novel() -> None:
    async with Simulator(faults=[Fault(Kind.STATUS, status=400, reason="Kassenzeichen fehlt. " * 100)]) as system:
        said = await outcome_of(system)
        assert isinstance(said, Refused)
        assert said.reason.startswith("Kassenzeichen fehlt.")
        assert len(said.reason) <= 500


async def test_a_refusal_in_xml_gives_its_text() -> None:
    async with Simulator("amtsregister", faults=[Fault(Kind.STATUS, status=422, reason="Gemeinde unbekannt")]) as system:
        said = await outcome_of(system)
        assert isinstance(said, Refused)
        assert said.reason == "Gemeinde unbekannt"


async def test_only_a_refusal_carries_what_the_target_wrote() -> None:
    for status in (401, 500, 503):
        async with Simulator(faults=[Fault(Kind.STATUS, status=status, reason="Erika Mustermann")]) as system:
            assert "Mustermann" not in str(await outcome_of(system))


async def test_a_wrong_password_is_blocked() -> None:
    async with Simulator() as system:
        assert isinstance(await outcome_of(system, token="wrong"), Blocked)
    async with Simulator("amtsregister") as system:
        assert isinstance(await outcome_of(system, password="wrong"), Blocked)


async def test_409_for_what_is_there_already_is_taken() -> None:
    async with Simulator(faults=["close_after", "409"]) as system, connected(system) as (connector, target):
        envelope = sample_envelope()
        with pytest.raises(InDoubt):
            await connector.deliver(envelope, target)
        said = await connector.deliver(envelope, target)
        assert isinstance(said, Acknowledgement)
        assert said.case_number == system.register.number(envelope.delivery_id)


async def test_409_for_what_is_still_being_made_is_taken_and_asked_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def find(self: RestConnector, envelope: Any, target: Target) -> StillOpen:
        return StillOpen(timedelta(minutes=7))

    monkeypatch.setattr(RestConnector, "find", find)
    async with Simulator(faults=[Fault(Kind.STATUS, status=409)]) as system, connected(system) as (connector, target):
        said = await connector.deliver(sample_envelope(), target)
    assert isinstance(said, HandedOver)
    assert said.ask_after == timedelta(minutes=7)


async def test_409_for_what_is_not_there_is_a_refusal() -> None:
    async with Simulator(faults=[Fault(Kind.STATUS, status=409, reason="Personenkonto gesperrt")]) as system:
        said = await outcome_of(system)
        assert isinstance(said, Refused)
        assert said.reason == "Personenkonto gesperrt"


async def test_202_without_a_number_is_handed_over_and_then_asked_for() -> None:
    faults = [Fault(Kind.STATUS, status=202, retry_after="90")]
    async with Simulator(faults=faults) as system, connected(system) as (connector, target):
        envelope = sample_envelope()
        said = await connector.deliver(envelope, target)
        assert isinstance(said, HandedOver)
        assert said.ask_after == timedelta(seconds=90)
        waiting = replace(envelope, token=said.token)
        assert isinstance(await connector.find(waiting, target), StillOpen)


async def test_without_a_place_for_the_number_2xx_is_enough() -> None:
    options = {"case_number": "", "find": "", "check": ""}
    system = Simulator(faults=[Fault(Kind.STATUS, status=204, commit=True)])
    async with system, connected(system, **options) as (connector, target):
        assert await connector.deliver(sample_envelope(), target) == Acknowledgement(facts={"status": "204"})
        assert not connector.can_find(target)
        await connector.check(target)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("500@find", Unavailable), ("hang_before@find", Unavailable), ("reset@find", Blocked), ("404@find", Blocked),
     ("401@find", Blocked), ("400@find", Blocked), ("503@find", Unavailable), ("login_page@find", Blocked),
     ("wrong_type@find", Blocked), ("close_before@find", NotThere)],
)  # fmt: skip
async def test_a_lookup_that_fails_never_says_not_there(fault: str, outcome: type[Any]) -> None:
    """Not there means: send once more. Only the case system itself may say it. (A closed connection is asked again.)"""
    async with Simulator(faults=[fault]) as system, connected(system, timeout=1) as (connector, target):
        if outcome is NotThere:
            assert isinstance(await connector.find(sample_envelope(), target), NotThere)
        else:
            with pytest.raises(outcome):
                await connector.find(sample_envelope(), target)


async def test_404_is_an_answer_only_where_the_delivery_id_is_in_the_path() -> None:
    async with Simulator("amtsregister") as system, connected(system) as (connector, target):
        assert isinstance(await connector.find(sample_envelope(), target), NotThere)
    async with Simulator() as system, connected(system, find="GET {url}/elsewhere?id={delivery_id}") as (connector, target):
        with pytest.raises(Blocked):
            await connector.find(sample_envelope(), target)


@pytest.mark.parametrize(("fault", "outcome"), [("401@check", Blocked), ("404@check", Blocked), ("503@check", Unavailable),
                                                ("500@check", Unavailable), ("hang_before@check", Unavailable)])  # fmt: skip
async def test_check_says_whether_the_target_is_there(fault: str, outcome: type[Exception]) -> None:
    async with Simulator(faults=[fault]) as system, connected(system, timeout=1) as (connector, target):
        with pytest.raises(outcome):
            await connector.check(target)
        await connector.check(target)


async def test_a_put_is_not_sent_a_second_time_behind_our_back() -> None:
    async with Simulator() as system:
        seen: list[str] = []

        def answer(connection: Any, request: Any) -> None:
            seen.append(request.method)
            connection.close()

        system._listener.answer = answer
        said = await outcome_of(system, deliver="PUT {url}/cases/{delivery_id}")
        assert isinstance(said, InDoubt)
        assert seen == ["PUT"]


async def test_headers_carry_what_the_case_system_must_know() -> None:
    seen: dict[str, str] = {}
    async with Simulator() as system:
        genuine = system._listener.answer

        def look(connection: Any, request: Any) -> Any:
            seen.update(request.headers)
            return genuine(connection, request)

        system._listener.answer = look
        renames = {"nahtlos-reference": "X-Eingangsnummer", "Nahtlos-ARS": ""}
        async with connected(system, rename_headers=renames) as (connector, target):
            envelope = sample_envelope(test=True, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
            envelope = replace(envelope, predecessor=Acknowledgement("HN-1"))
            await connector.deliver(envelope, target)
    assert seen["idempotency-key"] == envelope.delivery_id
    assert datetime.fromisoformat(seen["nahtlos-received-at"]) == envelope.received_at
    assert (seen["nahtlos-order"], seen["nahtlos-leistung"]) == ("17", "hundesteuer")
    assert (seen["nahtlos-test"], seen["nahtlos-predecessor"]) == ("1", "HN-1")
    assert seen["traceparent"] == envelope.traceparent
    assert seen["x-eingangsnummer"] == envelope.reference
    assert "nahtlos-ars" not in seen
    assert "nahtlos-reference" not in seen
    assert seen["content-digest"].startswith("sha-256=:")
    assert int(seen["content-length"]) == len(envelope.document)


async def test_a_large_document_and_large_attachments_arrive_whole() -> None:
    async with Simulator() as system, connected(system, timeout=30) as (connector, target):
        document = b"<a>" + b"x" * (5 << 20) + b"</a>"
        plain, laden = sample_envelope(document=document), sample_envelope(attachments=(sample_attachment(b"y" * (11 << 20)),))
        await connector.deliver(plain, target)
        await connector.deliver(laden, target)
        first, second = system.register
        assert first.digest == plain.digest
        assert second.attachments == [laden.attachments[0].digest]


async def test_an_attachment_that_is_shorter_than_it_said_never_makes_a_case() -> None:
    async with Simulator() as system, connected(system, timeout=2) as (connector, target):
        envelope = sample_envelope(attachments=(replace(sample_attachment(b"abc"), size=9),))
        with pytest.raises(InDoubt):
            await connector.deliver(envelope, target)
        assert system.register.cases == 0


async def test_a_target_that_does_not_read_cannot_hold_an_attempt_for_ever() -> None:
    over = asyncio.Event()

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()
        writer.transport.abort()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Simulator() as system, connected(system, timeout=0.6, url=url) as (connector, target):
        for size in (100, 32 << 20):
            with pytest.raises(InDoubt):
                await connector.deliver(sample_envelope(document=b"x" * size), target)
    over.set()
    server.close()
    await asyncio.sleep(0.1)
