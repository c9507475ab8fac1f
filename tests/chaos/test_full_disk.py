"""P5: when the disk is full the answer is "no, try again later", at once. Nothing that was taken is lost, what was taken
goes on as far as the reserve carries, and when there is space again everything goes on by itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from gateway.adapters import group
from gateway.adapters.sqlite import SqliteJournal
from gateway.ports import Accepted, Change, JournalUnavailable
from gateway.submission import Delivery, Event, advance
from gateway.vault import Vault
from tests.chaos.checker import judge
from tests.chaos.inspection import inspect
from tests.chaos.load import Load
from tests.chaos.processes import PLACES, case_systems, gateway, site_of, until
from tests.chaos.small_disk import SmallDisk, small_disk
from tests.clock import TurnableClock
from tests.deliveries import a_delivery, a_submission, an_acceptance
from tests.portal import message_of

pytestmark = pytest.mark.timeout(240)

MIB = 1 << 20
QUICKLY = 6.0
"""Seconds in which an answer must come, however full the disk is (and however busy this machine)."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", size=24 * MIB) as mounted:
        yield mounted


async def test_a_journal_without_space_says_so_and_goes_on_when_there_is_some(disk: SmallDisk) -> None:
    vault = Vault.open(disk.folder / "keys")
    journal = await SqliteJournal.open(disk.folder / "journal.db", vault=vault, clock=TurnableClock(), reserve=lambda total: 0)
    accepted = [await _accept(journal, size) for size in (2_000, 300_000)]
    disk.leave(2 * MIB)

    refused = await _fill(journal, accepted)

    assert refused.full
    assert refused.retry_after > 0
    for _ in range(20):  # again and again, one by one and together
        with pytest.raises(JournalUnavailable):
            await _accept(journal, 300_000)
    disk.leave(0)
    answers = await asyncio.gather(*(_accept(journal, 60_000) for _ in range(40)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {JournalUnavailable}
    assert (await journal.delivery(accepted[0].id)) == accepted[0], "reading goes on"

    disk.give_back()

    await _until_it_takes(journal, accepted)
    await journal.aclose()
    found = await inspect(disk.folder / "journal.db", disk.folder / "keys")
    assert not found.faults
    assert found.deliveries.keys() >= {delivery.id for delivery in accepted}


async def test_the_reserve_is_kept_for_finishing_what_was_accepted(disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "_LOG_BYTES", MIB // 2)  # log and reserve in the proportion that they have on a real disk
    clock = TurnableClock()
    vault = Vault.open(disk.folder / "keys")
    journal = await SqliteJournal.open(disk.folder / "journal.db", vault=vault, clock=clock, reserve=lambda total: total // 10)
    accepted = [await _accept(journal, 20_000) for _ in range(100)]
    disk.leave(2 * MIB)
    await asyncio.sleep(1.1)  # the journal looks once a second

    with pytest.raises(JournalUnavailable) as refused:
        await _accept(journal, 100)
    assert refused.value.full

    for delivery in accepted:
        claimed = await journal.claim(delivery.id, at=clock.now(), lease_until=clock.now() + timedelta(minutes=1), by="me")
        assert claimed is not None
        after = advance(claimed, Event.CONFIRM, at=clock.now(), in_doubt=False, case_number="4711")
        assert await journal.advance(Change(claimed, after, Event.CONFIRM, clock.now(), "me"))
    await journal.aclose()
    assert not (await inspect(disk.folder / "journal.db", disk.folder / "keys")).faults


@pytest.mark.parametrize("reserve", ["10%", "0%"])
def test_a_gateway_on_a_full_disk_refuses_quickly_loses_nothing_and_recovers_by_itself(
    tmp_path: Path, disk: SmallDisk, reserve: str, long: int
) -> None:
    log, state = tmp_path / "client.jsonl", disk.folder / "state"
    with (
        case_systems(tmp_path, "stadt", "kreis") as systems,
        gateway(tmp_path / "gateway", site_of(*systems), state=state, disk_reserve=reserve) as gw,
    ):
        gw.start()
        with Load(gw, log, places=PLACES[:2]) as load:
            for _ in range(2 * long):
                time.sleep(0.7)
                disk.leave(0)
                time.sleep(2.5)
                refusal = _post(gw.port, gw.key_of("portal"))
                assert refusal.status_code in (503, 507), refusal.text
                assert int(refusal.headers["retry-after"]) > 0
                assert refusal.elapsed.total_seconds() < QUICKLY
                disk.give_back()
                taken = load.acknowledged
                until(lambda taken=taken: load.acknowledged > taken + 20, within=15, what="taken again")  # type: ignore[misc]
            load.finish(100 * long, within=20)
        until(lambda: not gw.open_deliveries(), within=30, what="everything delivered")
        assert gw.lives == 1
        gw.stop()

        verdict = judge(log, [system.log for system in systems])
    assert verdict.kept, verdict
    answers = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert Counter(each["status"] for each in answers).keys() <= {202, 503, 507}, "no 500, no broken connection"
    assert max(each["seconds"] for each in answers) < QUICKLY
    assert not asyncio.run(inspect(state / "journal.db", state / "keys")).faults


def test_what_was_accepted_is_delivered_while_nothing_more_is_taken(tmp_path: Path, disk: SmallDisk) -> None:
    log = tmp_path / "client.jsonl"
    with (
        case_systems(tmp_path, "stadt") as (city,),
        gateway(tmp_path / "gateway", site_of(city), state=disk.folder / "state") as gw,
    ):
        city.break_with("503*")
        gw.start()
        with Load(gw, log) as load:
            load.finish(60, within=20)
        disk.leave(2 * MIB)  # less than the reserve of a tenth
        until(lambda: _post(gw.port, gw.key_of("portal")).status_code == 507, within=5, what="refused")
        assert city.cases() == 0

        city.break_with("")

        until(lambda: city.cases() >= 60, within=30, what="delivered from the reserve")
        until(lambda: not gw.open_deliveries(), within=10, what="written down as delivered")
        assert _post(gw.port, gw.key_of("portal")).status_code == 507
        assert judge(log, [city.log]).lost == []
        disk.give_back()
        until(lambda: _post(gw.port, gw.key_of("portal")).status_code == 202, within=5, what="taken again")


def _post(port: int, key: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/xml"}
    return httpx.post(f"http://127.0.0.1:{port}/v1/submissions", content=message_of()(), headers=headers, timeout=20,
                      trust_env=False)  # fmt: skip


async def _accept(journal: SqliteJournal, size: int) -> Delivery:
    submission = a_submission()
    delivery = a_delivery(submission)
    async with asyncio.timeout(QUICKLY):
        answer = await journal.accept(an_acceptance(submission, delivery, body=bytes(size)))
    assert isinstance(answer, Accepted)
    return delivery


async def _fill(journal: SqliteJournal, accepted: list[Delivery]) -> JournalUnavailable:
    """Until it is full; several at once, so that a group meets the end of the disk."""
    while True:
        answers = await asyncio.gather(*(_accept(journal, 50_000) for _ in range(8)), return_exceptions=True)
        accepted += [answer for answer in answers if isinstance(answer, Delivery)]
        for answer in answers:
            if isinstance(answer, JournalUnavailable):
                return answer
            assert isinstance(answer, Delivery), answer


async def _until_it_takes(journal: SqliteJournal, accepted: list[Delivery]) -> None:
    async with asyncio.timeout(10):
        while True:
            with suppress(JournalUnavailable):
                accepted.append(await _accept(journal, 300_000))
                return
            await asyncio.sleep(0.1)
