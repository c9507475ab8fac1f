"""A log that cannot be written, because its disk is full or its pipe is closed, keeps nobody from anything."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import telemetry
from gateway.ports import JournalUnavailable
from tests.story.conftest import House, house, sample

XML = {"content-type": "application/xml"}


class FullDisk(io.BytesIO):
    """As a file on /dev/full: what was written is told when it is to be written out."""

    full = False

    def flush(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def disk() -> Iterator[FullDisk]:
    disk = FullDisk()
    telemetry.configure(stream=disk, strict=True)
    yield disk
    disk.full = False


async def delivered(up: House) -> None:
    answer = await up.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)
    assert answer.status_code == 202
    await up.settled(answer.json()["id"])


async def test_what_fails_meanwhile_is_begun_again(tmp_path: Path, disk: FullDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(tmp_path) as up:
        restarts = up.gateway.supervisor.restarts
        disk.full = True
        asked = []

        async def away(**_: object) -> None:
            asked.append(1)
            raise JournalUnavailable("the same disk")

        with monkeypatch.context() as patch:
            patch.setattr(up.gateway.journal, "next_due", away)
            while len(asked) < 2:
                up.gateway.dispatcher.nudge()
                await up.client(None).get("/livez")
        await delivered(up)
        assert up.gateway.supervisor.restarts == restarts


async def test_who_is_turned_away_hears_it_in_our_words(
    tmp_path: Path, disk: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as up:
        disk.full = True
        monkeypatch.setattr(up.gateway.admission, "disk_is_short", lambda: True)
        answer = await up.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)
        assert answer.status_code == 507
        assert "retry-after" in answer.headers
