"""A replay goes where the operator saw it going, whatever the site file says meanwhile, and makes no second case."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from connectors.simulator import Simulator
from tests.story.conftest import House, house, sample
from tests.story.test_api import XML, problem
from tests.story.test_site_live import until, write

SPARE = """
[target.ersatz]
connector = "rest"
authority = "kreis"
productive = true
settle = "1s"
options = {{ url = "{url}", token = "env:PROBE_SECRET" }}
"""


async def spoil(system: Simulator) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.put(f"{system.url}/_faults", content=b"400x1")).is_success


async def the_letter(up: House) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    async def one() -> bool:
        found[:] = (await up.client("betrieb").get("/v1/dead-letters")).json()["dead_letters"]
        return len(found) == 1

    await until(one)
    return found[0]


async def a_form(up: House) -> str:
    answer = await up.client("formulare").post("/v1/submissions", content=sample("form-minimal"), headers=XML)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def rename(up: House, folder: Path, old: str, new: str) -> None:
    site = folder / "nahtlos.toml"
    write(site, site.read_text("utf-8").replace(old, new))

    async def taken() -> bool:
        return new in up.gateway.site.targets

    await until(taken)


async def replay(up: House, letter: dict[str, Any]) -> httpx.Response:
    wanted = {"reason": "repariert", "revision": letter["revision"]}
    return await up.client("betrieb").post(f"/v1/dead-letters/{letter['id']}/replay", json=wanted)


async def test_a_copy_whose_target_has_another_name_now_stays_a_copy(tmp_path: Path) -> None:
    async with house(tmp_path) as up:
        await spoil(up.district)
        submission = await a_form(up)
        letter = await the_letter(up)
        assert (letter["purpose"], letter["target"], up.city.register.cases) == ("copy", "kreis-fach", 1)
        await rename(up, tmp_path, "kreis-fach", "e-akte")
        assert (await replay(up, letter)).status_code == 200
        await up.settled(submission)
        assert (up.city.register.cases, up.district.register.cases) == (1, 1)


async def test_a_copy_is_replayed_alone_when_the_case_system_has_another_name_now(tmp_path: Path) -> None:
    """It has the case already, under the old one."""
    async with house(tmp_path) as up:
        await spoil(up.district)
        submission = await a_form(up)
        letter = await the_letter(up)
        await rename(up, tmp_path, "stadt-fach", "stadt-steueramt")
        assert (await replay(up, letter)).status_code == 200
        await up.settled(submission)
        await asyncio.sleep(1)
        assert (up.city.register.cases, up.district.register.cases) == (1, 1)


async def test_what_was_redirected_is_replayed_where_it_was_redirected_to(tmp_path: Path) -> None:
    async with Simulator("fallakte") as spare, house(tmp_path, more=SPARE.format(url=spare.url)) as up:
        await spoil(up.city)
        await a_form(up)
        letter = await the_letter(up)
        await spoil(spare)
        moved = await up.client("betrieb").post(
            f"/v1/dead-letters/{letter['id']}/redirect", json={"reason": "nicht zuständig", "target": "ersatz"}
        )
        assert moved.status_code == 200, moved.text
        letter = await the_letter(up)
        assert letter["target"] == "ersatz"
        assert (await replay(up, letter)).status_code == 200

        async def there() -> bool:
            return spare.register.cases == 1

        await until(there)
        assert up.city.register.cases == 0


async def test_what_was_on_its_way_stays_there_when_the_route_leads_elsewhere_now(tmp_path: Path) -> None:
    """Who wants it elsewhere redirects it."""
    async with Simulator("fallakte") as spare, house(tmp_path, more=SPARE.format(url=spare.url)) as up:
        await spoil(up.city)
        submission = await a_form(up)
        letter = await the_letter(up)
        site = tmp_path / "nahtlos.toml"
        write(site, site.read_text("utf-8").replace('{ target = "stadt-fach" }', '{ target = "ersatz" }').replace(
            'after = "stadt-fach"', 'after = "ersatz"'))
        before = up.gateway.site.digest

        async def taken() -> bool:
            return up.gateway.site.digest != before

        await until(taken)
        assert (await replay(up, letter)).status_code == 200
        await up.settled(submission)
        assert (up.city.register.cases, spare.register.cases) == (1, 0)


async def test_nothing_is_replayed_to_a_target_that_nobody_has_entered(tmp_path: Path) -> None:
    """It would be neither a dead letter nor anybody's backlog any more."""
    async with house(tmp_path) as up:
        await spoil(up.city)
        posted = await up.client("portal").post("/v1/submissions", content=sample("minimal", "wohngeld"), headers=XML)
        await up.settled(posted.json()["id"], state="needs_attention")
        letter = await the_letter(up)
        await rename(up, tmp_path, "stadt-fach", "stadt-neu")
        refused = problem(await replay(up, letter), 409, "conflict")
        assert "stadt-fach" in refused["detail_de"]
        assert (await the_letter(up))["id"] == letter["id"]
