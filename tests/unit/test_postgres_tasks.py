"""The tasks that everybody on PostgreSQL waits for or relies on outlive what nobody thought of."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, cast

import pytest

from gateway.adapters import postgres_lane, postgres_watch, postgres_writer
from gateway.adapters.keyring import Keyring
from gateway.adapters.postgres_server import Server
from gateway.adapters.postgres_watch import Watch
from gateway.adapters.postgres_writer import Writers
from gateway.adapters.rows import RowMapping
from gateway.ports import JournalUnavailable
from tests.clock import TurnableClock


class Line:
    """A session, and a server with it, that fails as it is told to."""

    instance = "a"
    ill = False

    def __init__(self) -> None:
        self.connection = self
        self.dropped = False
        self.told: list[dict[str, Any]] = []

    async def connect(self, use: object = None) -> Line:
        self.dropped = False
        return self

    def is_closed(self) -> bool:
        return self.dropped

    def drop(self) -> None:
        self.dropped = True

    async def awake(self) -> None:
        if self.ill:
            raise ConnectionResetError

    async def begin(self) -> None:
        if self.ill:
            raise RuntimeError("unable to perform operation on a transport that is closed")  # as uvloop does

    async def execute(self, text: str, *parameters: Any) -> None:
        if text.startswith("select pg_notify"):
            if self.ill:
                self.ill = False
                raise ConnectionResetError
            self.told.append(json.loads(parameters[1]))

    async def fetchval(self, *_: Any) -> bool:
        return True

    async def add_listener(self, *_: Any) -> None:
        return

    def add_termination_listener(self, *_: Any) -> None:
        return

    async def nothing(self, *_: Any) -> None:
        return

    turn = aclose = nothing


async def test_lanes_that_meet_something_unexpected_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    monkeypatch.setattr(postgres_writer, "transaction", line.nothing)
    monkeypatch.setattr(postgres_writer, "_RETRY", 0.05)
    monkeypatch.setattr(postgres_lane, "_RETRY", 0.01)
    writers = Writers(cast(Any, line.connect), cast(RowMapping, None))
    await writers.start()
    line.ill = True
    while writers.ailing is None:  # until the last of them has failed
        with pytest.raises(JournalUnavailable):
            await writers.do(cast(Any, None), None)
    await asyncio.sleep(0.2)
    line.ill = False

    async with asyncio.timeout(10):
        while writers.ailing is not None:
            await asyncio.sleep(0.02)
    await writers.stop()


async def test_what_was_erased_is_told_also_when_the_connection_breaks_just_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """All else that is told is a hint; the others keep the key in memory until they hear of this."""

    async def look(self: Watch, session: object) -> None:
        self._looked_at = time.monotonic()

    monkeypatch.setattr(Watch, "_look", look)
    monkeypatch.setattr(postgres_watch, "_RETRY", 0.05)
    line = Line()
    watch = Watch(cast(Server, line), Keyring(cast(Any, None)), TurnableClock())
    await watch.start(cast(Any, line))
    line.ill = True
    watch.tell(erased=["a-submission"])

    async with asyncio.timeout(10):
        while not [told for told in line.told if told.get("e") == ["a-submission"]]:
            await asyncio.sleep(0.02)
    await watch.stop()
