"""A whole gateway, embedded: real journal, real server on a free port, real case systems beside it."""

from __future__ import annotations

import asyncio
import io
import os
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.simulator import SECRET, Simulator
from gateway import telemetry
from gateway.access import Kind, new_key
from gateway.app import Gateway, build
from gateway.process import Serving, serve
from gateway.settings import Settings
from tests import deployments
from tests.clock import TurnableClock
from tests.conftest import ROOT
from tests.deployments import EMBEDDED, Current, Deployment
from tests.story.engine import AskableSystem, Engine, live, running

LEISTUNGEN = ROOT / "schemas" / "leistungen"
ARS = "081210000000"

SITE = """
site = "probe"

[authority.stadt]
ars = "081210000000"
name = "Stadt Probe"
[authority.kreis]
ars = "081250000000"
name = "Landratsamt Probe"

[portal.portal]
leistungen = ["*"]
[portal.nachbar]
leistungen = ["*"]
[portal.eng]
leistungen = ["wohngeld"]
in_flight = 2
[portal.streng]
leistungen = ["*"]
invalid_per_minute = 3
[portal.sammler]
leistungen = ["*"]
on_invalid = "hold"
[portal.formulare]
leistungen = ["*"]

[[form]]
portal = "formulare"
form_id = "08125000:Heilbronn_Hundesteuer_*"
versions = ">=1.0,<2"
leistung = "hundesteuer"
ars = "081210000000"

[target.stadt-fach]
connector = "rest"
authority = "stadt"
productive = true
settle = "1s"
options = {{ url = "{city}", token = "env:PROBE_SECRET" }}
[target.kreis-fach]
connector = "rest"
authority = "kreis"
productive = true
settle = "1s"
options = {{ url = "{district}", token = "env:PROBE_SECRET" }}

[[route]]
leistung = "hundesteuer"
ars = "08121"
to = [ {{ target = "stadt-fach" }}, {{ target = "kreis-fach", purpose = "copy", after = "stadt-fach" }} ]
[[route]]
leistung = "wohngeld"
ars = "08121"
to = [ {{ target = "stadt-fach" }} ]
{more}
"""


@dataclass
class House:
    """The gateway with its surroundings. delivering: the process that delivers. keys: plain key by holder."""

    serving: Serving
    delivering: Gateway
    city: Simulator
    district: Simulator
    keys: dict[str, str]
    stack: AsyncExitStack = field(repr=False)

    @property
    def gateway(self) -> Gateway:
        return self.serving.gateway

    @property
    def url(self) -> str:
        return self.serving.url

    def client(self, holder: str | None, **changes: Any) -> httpx.AsyncClient:
        """As this portal or operator; ``None``: without a key. Closed with the house."""
        headers = {"authorization": f"Bearer {self.keys[holder]}"} if holder else {}
        client = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False, **changes)
        self.stack.push_async_callback(client.aclose)
        return client

    async def pause(self, target: str) -> None:
        """Nothing is sent there any more; a dispatcher may go by what it read half a second ago."""
        answer = await self.client("betrieb").post(f"/v1/targets/{target}/pause", json={"reason": "Wartung"})
        assert answer.status_code == 200, answer.text
        await asyncio.sleep(0.6)

    async def settled(self, submission_id: str, *, state: str = "delivered", within: float = 10) -> dict[str, Any]:
        """The status once it is ``state``; fails with what it is instead."""
        api = self.client("betrieb")
        end = asyncio.get_running_loop().time() + within
        while True:
            said: dict[str, Any] = (await api.get(f"/v1/submissions/{submission_id}")).json()
            moving = {d["state"] for d in said["deliveries"]} & {"pending", "delivering"}
            if said["state"] == state and (state != "delivered" or not moving):
                return said
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(f"not {state} after {within} s: {said}")
            await asyncio.sleep(0.02)


@asynccontextmanager
async def house(tmp: Path, *, more: str = "", **settings: Any) -> AsyncIterator[House]:
    """Everything up and listening; ``more`` goes into the site file, ``settings`` before the usual ones."""
    os.environ["PROBE_SECRET"] = SECRET
    async with AsyncExitStack() as stack:
        city = await stack.enter_async_context(Simulator("fallakte"))
        district = await stack.enter_async_context(Simulator("fallakte"))
        site = tmp / "nahtlos.toml"
        site.write_text(SITE.format(city=city.url, district=district.url, more=more), encoding="utf-8")
        chosen = {"site": site, "state": tmp / "state", "host": "127.0.0.1", "port": 0, "threads": 2, "log_level": "INFO"}
        chosen |= await stack.enter_async_context(Current.deployment.settings(tmp, "rest"))
        serving = await serve(build(Settings(**(chosen | settings))))
        stack.push_async_callback(serving.stop)
        delivering = serving.gateway
        if Current.deployment.rabbitmq:
            delivering = build(Settings(**(chosen | settings | {"role": "worker", "instance": "worker"})))
            await stack.enter_async_context(delivering)
        keys = {}
        for holder in serving.gateway.site.portals:
            keys[holder] = await give_key(serving.gateway, holder, Kind.PORTAL_KEY, ("*",))
        for holder, scope in {"betrieb": ("*",), "leser": ("viewer",), "kreisamt": ("operator@kreis",)}.items():
            keys[holder] = await give_key(serving.gateway, holder, Kind.OPERATOR_KEY, scope)
        yield House(serving, delivering, city, district, keys, stack)


async def give_key(gateway: Gateway, holder: str, kind: Kind, scope: tuple[str, ...]) -> str:
    plain, credential = new_key(holder, kind, scope, gateway.clock)
    await gateway.keys.put(credential, actor="test")
    return plain


@pytest.fixture(autouse=True)
def log() -> io.BytesIO:
    """What is logged meanwhile; a field that is not documented fails the test."""
    lines = io.BytesIO()
    telemetry.configure(stream=lines, strict=True)
    return lines


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as up:
        yield up


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    deployments.parametrize(metafunc)


@pytest.fixture(autouse=True)
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """The one the module asked for with ``ON_ALL``, else the embedded one."""
    chosen: Deployment = getattr(request, "param", EMBEDDED)
    Current.deployment = chosen
    yield chosen
    Current.deployment = EMBEDDED


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture
def register() -> AskableSystem:
    return AskableSystem()


@pytest.fixture
async def engine(tmp_path: Path, clock: TurnableClock, register: AskableSystem) -> AsyncIterator[Engine]:
    async with running(tmp_path, clock, [live(connector=register, concurrency=4)]) as engine:
        yield engine


def sample(name: str, leistung: str = "hundesteuer", *, fresh: bool = True) -> bytes:
    """A shipped sample; ``fresh`` gives it a message number of its own."""
    text = (LEISTUNGEN / leistung / "samples" / f"{name}.xml").read_bytes()
    return re.sub(rb"(nachrichtId>)[0-9a-f-]{36}", rb"\g<1>" + str(uuid.uuid4()).encode(), text) if fresh else text
