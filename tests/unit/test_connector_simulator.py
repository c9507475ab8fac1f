"""The simulator: what tests and demos believe must itself be true."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.contract import sample_envelope
from connectors.faults import Fault, FaultScript, Kind, On, parse
from connectors.register import CaseRegister
from connectors.rest import RestConnector, RestOptions
from connectors.sdk import Acknowledgement, Target, Unavailable
from connectors.simulator import Simulator


async def deliver(options: dict[str, Any], **envelope: Any) -> object:
    connector = RestConnector()
    try:
        return await connector.deliver(sample_envelope(**envelope), Target("s", "lk", RestOptions(**options), timeout=5))
    finally:
        await connector.aclose()


async def test_a_doubled_case_is_counted_as_one() -> None:
    """If this one is wrong, every test of "no duplicates" is worthless."""
    async with Simulator(idempotent=False) as system:
        for _ in range(3):
            await deliver(system.options, delivery_id="d-1")
        await deliver(system.options, delivery_id="d-2")
        assert system.stats() == {"product": "fallakte", "cases": 4, "duplicates": 2, "deliveries": 2, "repeats": 0,
                                  "requests": 4, "lookups": 0, "faults": 0}  # fmt: skip


async def test_an_idempotent_system_gives_the_same_number_again() -> None:
    async with Simulator() as system:
        first, second = [await deliver(system.options, delivery_id="d-1") for _ in range(2)]
        assert isinstance(first, Acknowledgement)
        assert isinstance(second, Acknowledgement)
        assert (first.case_number, first.facts["status"]) == (second.case_number, "201")
        assert second.facts["status"] == "200"
        assert (system.register.cases, system.register.duplicates, system.stats()["repeats"]) == (1, 0, 1)
        assert [entry.attempt for entry in system.register.entries] == [1, 2]


async def test_two_products_have_nothing_in_common_but_the_service() -> None:
    async with Simulator("fallakte") as one, Simulator("amtsregister") as other:
        for system, form in ((one, "HN-"), (other, "50.3/")):
            said = await deliver(system.options)
            assert isinstance(said, Acknowledgement)
            assert said.case_number is not None
            assert said.case_number.startswith(form)
        async with aiohttp.ClientSession(other.url) as client, client.post("/cases", data=b"<a/>") as answer:
            assert (answer.status, answer.content_type) == (404, "application/xml")


async def test_the_register_survives_and_cuts_off_a_torn_line(tmp_path: Path) -> None:
    async with Simulator(data=tmp_path) as system:
        await deliver(system.options, delivery_id="d-1")
        await deliver(system.options, delivery_id="d-1")
    file = tmp_path / "cases.jsonl"
    with file.open("ab") as torn:
        torn.write(b'{"delivery_id": "d-9", "dig')
    async with Simulator(data=tmp_path) as system:
        assert (system.register.cases, system.stats()["repeats"]) == (1, 1)
        said = await deliver(system.options, delivery_id="d-2")
        assert isinstance(said, Acknowledgement)
        assert said.case_number is not None
        assert said.case_number.endswith("-000002")
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [(line["delivery_id"], line["repeat"]) for line in lines] == [("d-1", False), ("d-1", True), ("d-2", False)]
    assert set(lines[0]) >= {"delivery_id", "digest", "received_at", "at", "case_number", "attempt"}


async def test_many_cases_share_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = 0
    genuine = os.fsync

    def count(file: int) -> None:
        nonlocal syncs
        syncs += 1
        genuine(file)

    monkeypatch.setattr(os, "fsync", count)
    register = CaseRegister(tmp_path, numbers="{n}")

    async def one(number: int) -> None:
        register.take(f"d-{number}", "", 0)
        await register.synced()

    await asyncio.gather(*(one(number) for number in range(50)))
    register.close()
    assert 1 <= syncs <= 3


@pytest.mark.parametrize("product", ["fallakte", "amtsregister"])
async def test_it_is_broken_and_repaired_while_it_runs(product: str) -> None:
    async with Simulator(product) as system, aiohttp.ClientSession(system.url) as client:
        async with client.put("/_faults", data="503*, 400x2:Nein") as answer:
            assert [each["times"] for each in await answer.json()] == [None, 2]
        for _ in range(2):
            with pytest.raises(Unavailable):
                await deliver(system.options)
        async with client.put("/_faults", data="503,, nonsense") as answer:
            assert answer.status == 400
        async with client.get("/_faults") as answer:
            assert len(await answer.json()) == 2
        async with client.delete("/_faults") as answer:
            assert await answer.json(content_type=None) == []
        await deliver(system.options, delivery_id="d-1")
        async with client.get("/_cases") as answer:
            assert [case["delivery_id"] for case in await answer.json()] == ["d-1"]
        async with client.get("/_stats") as answer:
            stats = await answer.json()
            assert (stats["cases"], stats["duplicates"], stats["requests"], stats["faults"]) == (1, 0, 3, 2)
        async with client.get("/_nothing") as answer:
            assert answer.status == 404


async def test_an_outage_keeps_port_and_cases() -> None:
    async with Simulator() as system:
        url = system.url
        await deliver(system.options)
        await system.stop()
        with pytest.raises(Unavailable):
            await deliver(system.options)
        await system.start()
        assert system.url == url
        await deliver(system.options)
        assert system.register.cases == 2


def test_the_short_form_says_what_the_long_form_says() -> None:
    assert parse("503x3") == [Fault(Kind.STATUS, times=3)]
    assert parse("429:30") == [Fault(Kind.STATUS, status=429, retry_after="30")]
    assert parse("400:Aktenplan fehlt, reset*") == [
        Fault(Kind.STATUS, status=400, reason="Aktenplan fehlt"),
        Fault(Kind.RESET, times=None),
    ]
    assert parse("500!@any, late:0.5") == [
        Fault(Kind.STATUS, status=500, commit=True, on=On.ANY),
        Fault(Kind.LATE, seconds=0.5),
    ]
    assert parse('[{"kind": "status", "status": 503, "times": null, "leistung": "wohngeld"}, "huge"]') == [
        Fault(Kind.STATUS, times=None, leistung="wohngeld"),
        Fault(Kind.HUGE),
    ]


@pytest.mark.parametrize("text", ["nonsense", "50", "99x2", "503x0", "[1]", '{"kind": "x"}', '{"colour": 1}', "503@moon", "[{"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_a_fault_for_one_service_leaves_the_others_alone() -> None:
    script = FaultScript([Fault(Kind.RESET, times=2, leistung="wohngeld"), Fault(Kind.HUGE)])
    assert script.next(On.DELIVER, leistung="hundesteuer") == Fault(Kind.HUGE)
    assert script.next(On.DELIVER, leistung="hundesteuer") is None
    assert script.next(On.FIND) is None
    for _ in range(2):
        fault = script.next(On.DELIVER, leistung="wohngeld")
        assert fault is not None
        assert fault.kind is Kind.RESET
    assert not script
    assert script.used == 3


@pytest.mark.parametrize("body", [b"--x\r\n", b"", b"--x--\r\n", b"nonsense"])
async def test_a_multipart_without_its_end_makes_no_case(body: bytes) -> None:
    async with Simulator() as system, aiohttp.ClientSession(system.url) as client:
        headers = {"Authorization": "Bearer simulator", "Idempotency-Key": "d", "Content-Type": "multipart/form-data; boundary=x"}
        async with client.post("/cases", data=body, headers=headers) as answer:
            assert answer.status == 400
        assert system.register.cases == 0


def test_as_a_process_it_says_where_it_listens_and_its_file_outlives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "connectors.simulator", "rest", "--data", str(tmp_path), "--product", "amtsregister"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        options = Simulator("amtsregister").product.options(said["url"], "simulator")
        asyncio.run(deliver(options, delivery_id="d-1"))
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    assert [json.loads(line)["delivery_id"] for line in (tmp_path / "cases.jsonl").read_bytes().splitlines()] == ["d-1"]
