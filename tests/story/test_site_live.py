"""A changed site file is taken up without a restart, whole, or not at all; SIGHUP reads it at once and ends nothing."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.simulator import SECRET, Simulator
from gateway.access import Kind
from gateway.ports import JournalUnavailable
from tests.conftest import ROOT
from tests.deployments import ON_ALL
from tests.story.conftest import House, give_key, house, sample

XML = {"content-type": "application/xml"}
ELSEWHERE = "091620000000"
ROUTE = """
[[route]]
leistung = "hundesteuer"
ars = "09162"
to = [ {{ target = "{target}" }} ]
"""
TARGET = """
[target.neu]
connector = "rest"
authority = "stadt"
productive = true
settle = "1s"
lane = "neu"
options = {{ url = "{url}", token = "env:PROBE_SECRET" }}
"""

OWN = """
[target.neu]
connector = "{name}"
authority = "stadt"
productive = true
"""
CONNECTORS = """
import asyncio
from nahtlos_sdk import Acknowledgement, Connector

class Stuck(Connector):
    name = "stuck"
    async def deliver(self, envelope, target):
        return Acknowledgement("1")
    async def aclose(self):
        await asyncio.sleep(3600)

class Raising(Stuck):
    name = "raising"
    async def aclose(self):
        raise RuntimeError

class Fails(Stuck):
    name = "fails"
    def __init__(self):
        raise RuntimeError
"""
FORM = """
[[form]]
portal = "formulare"
form_id = "09162000:Neu_*"
versions = ">=1.0,<2"
leistung = "hundesteuer"
ars = "081210000000"
mapping = "neu.toml"
"""


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(40):
        while not await holds():
            await asyncio.sleep(0.05)


async def posted(up: House, ars: str = ELSEWHERE, *, portal: str = "portal", body: bytes = b"") -> httpx.Response:
    message = body or sample("minimal").replace(b"081210000000", ars.encode())
    return await up.client(portal).post("/v1/submissions", content=message, headers=XML)


async def wrong(up: House) -> list[str]:
    answer = await up.client(None).get("/readyz")
    assert answer.status_code == 200
    return [each["code"] for each in answer.json()["wrong"]]


def site_file(tmp_path: Path) -> Path:
    return tmp_path / "nahtlos.toml"


def write(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    draft.rename(path)


@ON_ALL
async def test_targets_routes_and_portals_come_and_go_without_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as up, Simulator("fallakte") as new:
        assert (await posted(up)).status_code == 422
        before = site_file(tmp_path).read_text("utf-8")
        more = TARGET.format(url=new.url) + ROUTE.format(target="neu") + '[portal.spaeter]\nleistungen = ["*"]\n'
        write(site_file(tmp_path), before + more)

        async def accepted() -> bool:
            return (await posted(up)).status_code == 202

        await until(accepted)
        up.keys["spaeter"] = await give_key(up.gateway, "spaeter", Kind.PORTAL_KEY, ("*",))
        late = await posted(up, portal="spaeter")
        assert late.status_code == 202, late.text
        await up.settled(late.json()["id"], within=40)
        assert new.register.cases >= 1

        write(site_file(tmp_path), before)

        async def refused() -> bool:
            return (await posted(up)).status_code == 422

        await until(refused)
        assert "neu" not in up.gateway.site.targets
        assert (await posted(up, portal="spaeter")).status_code == 403


async def test_a_faulty_file_is_refused_and_said_and_the_one_before_stays(tmp_path: Path, log: io.BytesIO) -> None:
    async with house(tmp_path) as up:
        before = site_file(tmp_path).read_text("utf-8")
        lines = before.count("\n")
        write(site_file(tmp_path), before + ROUTE.format(target="stadt-fahc"))

        async def said() -> bool:
            return await wrong(up) == ["site"]

        await until(said)
        refused = [line for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == "site.refused"]
        assert len(refused) == 1
        assert refused[0]["path"].startswith(f"{site_file(tmp_path)}:{lines + 5}")
        assert (await posted(up, "081210000000")).status_code == 202
        assert (await posted(up)).status_code == 422
        metrics = (await up.client("betrieb").get("/metrics")).text
        assert "nahtlos_site_refused 1.0" in metrics

        write(site_file(tmp_path), before + ROUTE.format(target="stadt-fach"))

        async def well() -> bool:
            return await wrong(up) == []

        await until(well)
        assert (await posted(up)).status_code == 202


async def test_only_what_changed_gets_another_connector_and_the_old_is_closed(tmp_path: Path) -> None:
    async with house(tmp_path) as up, Simulator("fallakte") as moved:
        live = up.gateway.in_force.live
        city, district = live["stadt-fach"].connector, live["kreis-fach"].connector
        closed: list[str] = []
        was = city.aclose

        async def closing() -> None:
            closed.append("stadt-fach")
            await was()

        city.aclose = closing  # type: ignore[method-assign]
        text = site_file(tmp_path).read_text("utf-8")
        write(site_file(tmp_path), text.replace(up.city.url, moved.url).replace("Landratsamt Probe", "Landratsamt Anders"))

        async def taken() -> bool:
            return bool(closed)

        await until(taken)
        assert live["stadt-fach"].connector is not city
        assert live["kreis-fach"].connector is district
        receipt = (await posted(up, "081210000000")).json()
        await up.settled(receipt["id"])
        assert moved.register.cases == 1
        assert up.city.register.cases == 0


async def test_a_target_that_does_not_let_us_in_is_blocked_and_not_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_WRONG", "falsch")
    async with house(tmp_path) as up:
        site = (tmp_path / "nahtlos.toml").read_text("utf-8").replace("env:PROBE_SECRET", "env:PROBE_WRONG")
        (tmp_path / "nahtlos.toml").write_text(site, encoding="utf-8")
        up.gateway.site_watch.ask()
        api, operator = up.client("portal"), up.client("betrieb")

        async with asyncio.timeout(40):
            health: list[str] = []
            while health[:1] != ["blocked"]:
                assert (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).status_code == 202
                route = await api.get("/v1/routes?leistung=hundesteuer&ars=081210000000")
                health = [step["health"] for step in route.json()["to"]]
        targets = {each["name"]: each for each in (await operator.get("/v1/targets")).json()["targets"]}
        assert (targets["stadt-fach"]["breaker"], targets["stadt-fach"]["breaker_kind"]) == ("open", "blocked")


async def test_a_field_table_that_only_the_refused_file_names_is_watched_too(tmp_path: Path) -> None:
    async with house(tmp_path) as up:
        before = site_file(tmp_path).read_text("utf-8")
        (tmp_path / "neu.toml").write_text("kaputt = [", encoding="utf-8")
        write(site_file(tmp_path), before + FORM)

        async def refused() -> bool:
            return await wrong(up) == ["site"]

        await until(refused)
        write(tmp_path / "neu.toml", (ROOT / "schemas/leistungen/hundesteuer/form.toml").read_text("utf-8"))

        async def well() -> bool:
            return await wrong(up) == []

        await until(well)


@pytest.fixture
def own_connectors(tmp_path: Path) -> Path:
    folder = tmp_path / "connectors"
    folder.mkdir()
    (folder / "own.py").write_text(CONNECTORS, encoding="utf-8")
    return folder


async def test_a_connector_that_cannot_be_made_is_a_refused_site(tmp_path: Path, own_connectors: Path) -> None:
    async with house(tmp_path, connectors=own_connectors) as up:
        write(site_file(tmp_path), site_file(tmp_path).read_text("utf-8") + OWN.format(name="fails"))

        async def said() -> bool:
            return "site" in await wrong(up)

        await until(said)
        assert (await posted(up, "081210000000")).status_code == 202


async def test_a_connector_whose_end_hangs_keeps_nobody_from_reading_the_file(tmp_path: Path, own_connectors: Path) -> None:
    async with house(tmp_path, more=OWN.format(name="stuck"), connectors=own_connectors) as up:
        without = site_file(tmp_path).read_text("utf-8").replace(OWN.format(name="stuck"), "")
        write(site_file(tmp_path), without)

        async def gone() -> bool:
            return "neu" not in up.gateway.site.targets

        await until(gone)
        write(site_file(tmp_path), without + ROUTE.format(target="stadt-fach"))

        async def routed() -> bool:
            return (await posted(up)).status_code == 202

        await until(routed)


async def test_a_connector_whose_end_fails_keeps_the_gateway_from_nothing(tmp_path: Path, own_connectors: Path) -> None:
    async with house(tmp_path, more=OWN.format(name="raising"), connectors=own_connectors) as up:
        await up.serving.stop()
        with pytest.raises(JournalUnavailable, match="closed"):
            await up.gateway.journal.next_due()


async def test_sighup_reads_the_file_at_once_and_ends_nothing(tmp_path: Path) -> None:
    os.environ["PROBE_SECRET"] = SECRET
    site = site_file(tmp_path)
    site.write_text('site = "probe"\n[authority.stadt]\nars = "081210000000"\nname = "Stadt"\n', encoding="utf-8")
    environment = os.environ | {
        "NAHTLOS_SITE": str(site), "NAHTLOS_STATE": str(tmp_path / "state"), "NAHTLOS_PORT": "0", "NAHTLOS_LOG_FORMAT": "json",
        "NAHTLOS_LOG_LEVEL": "INFO",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(50):
            await told(process.stdout, "started")
            process.send_signal(signal.SIGHUP)
            assert (await told(process.stdout, "site.loaded"))["digest"]
            site.write_text("site = 7", encoding="utf-8")
            process.send_signal(signal.SIGHUP)
            assert (await told(process.stdout, "site.refused"))["count"] == 1
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def told(lines: asyncio.StreamReader, event: str) -> dict[str, Any]:
    while line := await lines.readline():
        if line.startswith(b"{") and (said := json.loads(line))["event"] == event:
            return dict(said)
    raise AssertionError(f"ended without saying {event}")
