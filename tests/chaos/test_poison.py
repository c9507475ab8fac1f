"""P6: one poison message, one slow or dead case system, one bad connector blocks only itself."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.checker import judge
from tests.chaos.processes import PLACES, CaseSystem, Gateway, case_systems, gateway, site_of, until
from tests.portal import SAMPLE_ARS, message_of

pytestmark = pytest.mark.timeout(240)

POISONED = """
[authority.amt-2]
ars = "{ars}"
name = "Amt 2"
[target.fach-2]
connector = "poison"
authority = "amt-2"
options = {{ cases = "{cases}", worst = "{worst}" }}
[[route]]
leistung = "hundesteuer"
ars = "{prefix}"
to = [ {{ target = "fach-2" }} ]
"""


class Poisoned:
    """A gateway with a good case system behind place 0 and a poisonous connector behind place 1."""

    def __init__(self, folder: Path, gw: Gateway, city: CaseSystem) -> None:
        self.gw, self.city = gw, city
        self.log, self.cases = folder / "client.jsonl", folder / "cases.jsonl"

    def send(self, *, good: int, innocent: int, memory: int | None = None) -> None:
        """Among the innocent, one that is poison. Begins the gateway anew whenever it has died, as a service manager does,
        until all are acknowledged and all but the poison have arrived."""
        message = message_of()
        there = message().replace(SAMPLE_ARS, PLACES[1].encode()).replace(b"Bello", b"Gift")
        messages = [message() for _ in range(good)]
        messages += [message().replace(SAMPLE_ARS, PLACES[1].encode()) for _ in range(innocent)]
        messages = sorted(messages, key=hash)
        messages.insert(len(messages) // 2, there)
        portal = self.gw.portal(log=self.log)

        async def send() -> None:
            assert await portal.send_all(messages, senders=8, seconds=60) == len(messages)
            portal.close()
            await asyncio.sleep(0.05)

        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(asyncio.run, send())
            until(lambda: self._alive(memory) and sending.done(), within=60, what="all acknowledged")
            sending.result()
        until(lambda: self._alive(memory) and self.city.cases() == good, within=30, what="the other target's cases")
        until(lambda: self._alive(memory) and self._taken() == innocent, within=30,
              what=lambda: f"the innocent of the same target; {self.gw.what_is_open()}")  # fmt: skip

    def ends_dead(self) -> dict[str, Any]:
        """The one dead letter there is in the end."""
        until(lambda: self._alive() and self.gw.open_deliveries() == {"dead": 1}, within=30, what="the poison is a dead letter")
        (dead,) = self.gw.dead_letters()
        return dead

    def lost(self) -> list[str]:
        verdict = judge(self.log, [self.city.log, self.cases])
        assert replace(verdict, lost=[]).kept, verdict
        return verdict.lost

    def _alive(self, memory: int | None = None) -> bool:
        if not self.gw.is_alive():
            self.gw.start(memory=memory)
        return self.gw.is_alive()

    def _taken(self) -> int:
        if not self.cases.exists():
            return 0
        return len({json.loads(line)["delivery_id"] for line in self.cases.read_text(encoding="utf-8").splitlines()})


@contextmanager
def poisoned(folder: Path, worst: str) -> Iterator[Poisoned]:
    connectors = folder / "connectors"
    connectors.mkdir()
    shutil.copy(Path(__file__).with_name("poison.py"), connectors)
    more = POISONED.format(ars=PLACES[1], prefix=PLACES[1][:5], cases=folder / "cases.jsonl", worst=worst)
    with (
        case_systems(folder, "stadt") as (city,),
        gateway(folder / "gateway", site_of(city, more=more), connectors=str(connectors)) as gw,
    ):
        gw.start()
        yield Poisoned(folder, gw, city)


def test_what_kills_the_process_three_times_is_poison_and_all_others_arrive(tmp_path: Path) -> None:
    with poisoned(tmp_path, "crash") as house:
        house.send(good=60, innocent=40)

        dead = house.ends_dead()

        assert (dead["class"], dead["crashes"], dead["target"]) == ("poison", 3, "fach-2")
        assert "abstürzen" in dead["cause_de"]
        assert "crashed" in dead["cause_en"]
        assert house.gw.lives == 4
        assert len(house.lost()) == 1


@pytest.mark.parametrize(("worst", "cause"), [("block", "hält das ganze Programm an"), ("eat", "Programmfehler")])
def test_what_halts_the_program_or_eats_its_memory_blocks_only_itself(tmp_path: Path, worst: str, cause: str) -> None:
    memory = 300 << 20 if worst == "eat" else None
    with poisoned(tmp_path, worst) as house:
        house.gw.kill()
        house.gw.start(memory=memory)
        house.send(good=60, innocent=40, memory=memory)

        dead = house.ends_dead()

        assert dead["class"] == "defect"
        assert cause in dead["cause_de"]
        assert house.gw.lives == 2, "nobody else went down with it"
        assert len(house.lost()) == 1


def test_what_hangs_waits_and_blocks_only_itself(tmp_path: Path) -> None:
    with poisoned(tmp_path, "hang") as house:
        house.send(good=60, innocent=40)

        assert sum(house.gw.open_deliveries().values()) == 1
        assert house.gw.lives == 1
        assert len(house.lost()) == 1
        assert house.gw.target("fach-2")["breaker"] == "closed"


def test_a_restart_in_backoff_changes_neither_attempts_nor_due_time(tmp_path: Path) -> None:
    with case_systems(tmp_path, "stadt") as (city,), gateway(tmp_path / "gateway", site_of(city)) as gw:
        city.break_with("429:12")  # not before twelve seconds
        gw.start(hurry=False)
        (delivery,) = _post(gw, 1)
        until(lambda: _delivery(gw, delivery)["attempts"] == 1 and _delivery(gw, delivery)["waiting_for"] == "backoff",
              within=5, what="the first attempt has failed")  # fmt: skip
        before = _delivery(gw, delivery)

        due, restarts = datetime.fromisoformat(before["next_attempt_at"]), 0
        while restarts < 3 and datetime.now(UTC) < due - timedelta(seconds=5):
            gw.kill()
            gw.start(hurry=False)
            restarts += 1
            assert _delivery(gw, delivery) == before
        assert restarts
        assert city.stats()["requests"] == 1, "a restart is no reason to try again"

        until(lambda: city.cases() == 1, within=20, what="tried again when it was due")
        until(lambda: not gw.open_deliveries(), within=5, what="delivered")
        case = httpx.get(f"{city.url}/_cases", trust_env=False).json()[0]
        assert case["at"] >= before["next_attempt_at"]
        assert _delivery(gw, delivery)["attempts"] == 2


def test_a_slow_target_delays_nobody_else(tmp_path: Path) -> None:
    """It takes everything and never answers. As long as it is silent, all that is meant for others gets there."""
    with (
        case_systems(tmp_path, "stadt", "kreis") as (city, district),
        gateway(tmp_path / "gateway", site_of(city, district)) as gw,
    ):
        district.break_with("hang_before*")
        gw.start()
        slow = _post(gw, 40, place=PLACES[1])
        others = _post(gw, 200)

        until(lambda: city.cases() == len(others), within=20, what="the others' cases")

        assert district.cases() == 0
        assert gw.target("fach-2")["counts"].get("delivering", 0) <= 4, "never more at once than it may have"
        district.break_with("")
        until(lambda: district.cases() == len(slow), within=30, what="delivered once it speaks again")
        until(lambda: not gw.open_deliveries(), within=10, what="written down")
        assert (city.stats()["duplicates"], district.stats()["duplicates"]) == (0, 0)


def test_a_dead_target_is_one_alarm_and_no_dead_letter(tmp_path: Path) -> None:
    with case_systems(tmp_path, "stadt") as (city,), gateway(tmp_path / "gateway", site_of(city, "http://127.0.0.1:9")) as gw:
        gw.start()
        _post(gw, 60, place=PLACES[1])
        others = _post(gw, 60)

        until(lambda: city.cases() == len(others), within=20, what="the others' cases")
        until(lambda: gw.target("fach-2")["breaker"] != "closed", within=10, what="the alarm")
        time.sleep(1.5)

        counts = gw.target("fach-2")["counts"]
        assert counts.get("pending", 0) + counts.get("delivering", 0) == 60
        assert counts.get("delivering", 0) <= 1, "one at a time looks whether it is back"
        assert gw.dead_letters() == []
        opened = [line for line in _history(gw) if line["subject"] == "target fach-2" and line["event"] == "open"]
        assert sum("probe" not in line["facts"] for line in opened) == 1
        assert gw.target("fach-1")["breaker"] == "closed"


def _post(gw: Gateway, count: int, *, place: str = PLACES[0]) -> list[str]:
    """Ids of the deliveries."""
    portal, message = gw.portal(), message_of()
    ids: list[str] = []

    async def post() -> None:
        for _ in range(count):
            answer = await portal.post(message().replace(SAMPLE_ARS, place.encode()))
            assert answer.status == 202, answer.body
            ids.extend(delivery["id"] for delivery in answer.json()["deliveries"])
        portal.close()
        await asyncio.sleep(0)

    asyncio.run(post())
    return ids


def _delivery(gw: Gateway, delivery_id: str) -> dict[str, Any]:
    found = gw.call("GET", f"/v1/dead-letters/{delivery_id}")
    names: Sequence[str] = ("state", "attempts", "crashes", "waiting_for", "next_attempt_at", "revision")
    return {name: found[name] for name in names}


def _history(gw: Gateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gw.call("GET", "/v1/audit?limit=500")["entries"]
    return found
