"""A package is added to a running gateway: taken up without a restart, by every process, whole or not at all."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from gateway import releases
from tests.story.conftest import House, house, sample
from tests.unit.minirelease import PLAIN, message
from tests.unit.test_headers import A_MESSAGE, release

AT = datetime(2026, 11, 1, tzinfo=UTC)


def add(packages: Path, tmp: Path, files: dict[str, bytes] | None = None, **wish: object) -> str:
    """As ``nahtlos schemas add`` does, in its own process or not."""
    folder = tmp / "herunter"
    folder.mkdir(exist_ok=True)
    for name, body in (files or PLAIN).items():
        (folder / name).write_bytes(body)
    wished = releases.Wish(**wish)  # type: ignore[arg-type]
    return releases.add(folder, packages, roots=(packages.parent,), at=AT, wish=wished)[0].id


async def check(api: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await api.post("/v1/validations", content=body, headers={"content-type": "application/xml"})


async def until(condition: Callable[[], Awaitable[bool]], within: float = 15) -> None:
    end = asyncio.get_running_loop().time() + within
    while not await condition():
        assert asyncio.get_running_loop().time() < end, "not taken up in time"
        await asyncio.sleep(0.1)


async def known(up: House, body: bytes) -> bool:
    return (await check(up.client("portal"), body)).json()["package"] == "probe@1.0"


async def test_a_package_is_taken_up_changed_and_dropped_while_messages_go_on(tmp_path: Path) -> None:
    async with house(tmp_path) as up:
        packages = tmp_path / "state" / "schemas" / "packages"
        api = up.client("portal")
        assert "unknown-message" in (await check(api, message())).text
        refused: list[int] = []
        stop = asyncio.Event()

        async def going_on() -> None:
            """Ordinary submissions, all through the changes."""
            while not stop.is_set():
                answer = await api.post("/v1/submissions", content=sample("minimal"), headers={"content-type": "application/xml"})
                if answer.status_code != 202:
                    refused.append(answer.status_code)
                await asyncio.sleep(0.05)

        traffic = asyncio.create_task(going_on())
        await asyncio.to_thread(add, packages, tmp_path)
        await until(lambda: known(up, message()))
        changed = {"probe.xsd": PLAIN["probe.xsd"].replace(b"xs:int", b"xs:date")}
        await asyncio.to_thread(lambda: add(packages, tmp_path, changed, replace=True))

        async def dates_count() -> bool:
            said = (await check(api, message("2026-01-01"))).json()
            return said["package"] == "probe@1.0" and not any(one["code"].startswith("X") for one in said["findings"])

        await until(dates_count)
        await asyncio.to_thread(releases.remove, "probe", packages, roots=())

        async def gone() -> bool:
            return not await known(up, message())

        await until(gone)
        stop.set()
        await traffic
        assert refused == []


async def test_a_damaged_package_changes_nothing_and_the_log_says_why(tmp_path: Path, log: io.BytesIO) -> None:
    async with house(tmp_path) as up:
        packages = tmp_path / "state" / "schemas" / "packages"
        await asyncio.to_thread(add, packages, tmp_path)
        await until(lambda: known(up, message()))
        by_hand = packages / "von-hand"
        by_hand.mkdir()
        broken = 'name = "x"\nversion = "1"\nnamespace = "urn:x"\nentry = ["fehlt.xsd"]\n'
        (by_hand / "manifest.toml").write_text(broken, encoding="utf-8")

        async def told() -> bool:
            return b"packages.refused" in log.getvalue()

        await until(told)
        assert await known(up, message())
        (by_hand / "manifest.toml").unlink()
        by_hand.rmdir()
        assert (await up.client("betrieb").get("/readyz")).status_code == 200


async def test_two_processes_over_the_same_folder_agree(tmp_path: Path) -> None:
    shared = tmp_path / "gemeinsam"
    (shared / "packages").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with house(tmp_path / "a", schemas=(shared,)) as one, house(tmp_path / "b", schemas=(shared,)) as two:
        await asyncio.to_thread(add, shared / "packages", tmp_path)
        await until(lambda: known(one, message()))
        await until(lambda: known(two, message()))
        digests = {up.gateway.registry.packages["probe@1.0"].digest for up in (one, two)}
        assert len(digests) == 1


LEISTUNG = """
slug = "probeleistung"
version = "1"
package = "probe@1.0"
kind = "antrag"
place = "ort"
names = { de = "Probe", en = "Probe" }
level = { "*" = "gemeinde" }
"""
ROUTE = """
[[route]]
leistung = "probeleistung"
ars = "08121"
to = [ { target = "stadt-fach" } ]
"""


def a_standard_with_its_service(state: Path, tmp: Path) -> None:
    """A package of family A and a Leistung whose message it is: that it names the package is all there is to say."""
    packages = state / "schemas" / "packages"
    folder = packages.parent / "leistungen" / "probeleistung"
    folder.mkdir(parents=True)
    add(packages, tmp, release("A"))
    (folder / "leistung.toml").write_text(LEISTUNG, encoding="utf-8")


async def post(api: httpx.AsyncClient, body: str) -> httpx.Response:
    return await api.post("/v1/submissions?ars=081210000000", content=body.encode(), headers={"content-type": "application/xml"})


async def test_author_and_number_of_a_standard_message_are_its_natural_key(tmp_path: Path) -> None:
    a_standard_with_its_service(tmp_path / "state", tmp_path)
    async with house(tmp_path, more=ROUTE) as up:
        api = up.client("portal")
        first = await post(api, A_MESSAGE)
        assert first.status_code == 202, first.text
        again = await post(api, A_MESSAGE)
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        other = await post(api, A_MESSAGE.replace("12:00:00", "13:00:00"))
        assert other.status_code == 422
        assert (await post(api, A_MESSAGE.replace("psw:01003110", "psw:01003111"))).json()["id"] != first.json()["id"]
        said = await up.settled(first.json()["id"])
        assert said["deliveries"][0]["state"] == "delivered"
        assert said["leistung"] == "probeleistung", "nobody asked for it"


async def test_a_message_marked_as_test_never_reaches_a_productive_target(tmp_path: Path) -> None:
    a_standard_with_its_service(tmp_path / "state", tmp_path)
    async with house(tmp_path, more=ROUTE) as up:
        marked = A_MESSAGE.replace(' version="1.0"', ' version="1.0" test="nein"')
        answer = await post(up.client("portal"), marked)
        await asyncio.sleep(1)
        assert answer.status_code == 202, answer.text
        assert answer.json()["test"] is True
        assert up.city.requests == 0


async def test_a_differing_type_code_is_a_warning_and_no_reason_to_refuse(tmp_path: Path) -> None:
    a_standard_with_its_service(tmp_path / "state", tmp_path)
    async with house(tmp_path, more=ROUTE) as up:
        odd = A_MESSAGE.replace("<code>0001</code>", "<code>0815</code>")
        said = (await up.client("portal").post("/v1/validations?ars=081210000000", content=odd.encode(),
                                               headers={"content-type": "application/xml"})).json()
        assert said["valid"] is True
        assert [(one["rule"], one["severity"]) for one in said["findings"]] == [("type-code-differs", "warning")]
        assert "0815" not in str(said)
