"""A key that was revoked does not hold again, whatever was under way at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.access import Kind, Unauthenticated, new_key
from gateway.adapters.sqlite import SqliteJournal
from gateway.keys import Keys
from gateway.ports import Credential, Journal
from gateway.site import parse
from tests.contract.journals import SqlitePlace


class Travelling:
    """A journal whose answers take their time: each list of keys waits to be let through. As on PostgreSQL, where one reader's
    answer may be overtaken by another's, or as another process sees it."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self.waiting: list[asyncio.Event] = []
        self.slow = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def credentials(self) -> list[Credential]:
        found = await self._journal.credentials()
        if self.slow:
            self.waiting.append(asyncio.Event())
            await self.waiting[-1].wait()
        return found

    async def asked(self, times: int) -> None:
        async with asyncio.timeout(10):
            while len(self.waiting) < times:
                await asyncio.sleep(0.01)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[SqlitePlace]:
    place = SqlitePlace(tmp_path)
    yield place
    await place.aclose()


SITE = parse(b'site = "probe"\n[portal.portal]\nleistungen = ["*"]\n', Path("nahtlos.toml"))


def revoked(credential: Credential, place: SqlitePlace) -> Credential:
    return replace(credential, revoked_at=place.clock.now())


async def test_an_older_answer_does_not_replace_a_newer_one(place: SqlitePlace) -> None:
    journal = Travelling(await place.open())
    keys = Keys(cast(Journal, journal), SITE, place.clock)
    plain, credential = new_key("portal", Kind.PORTAL_KEY, ("*",), place.clock)
    await keys.put(credential, actor="anna")
    journal.slow = True
    looking = asyncio.create_task(keys.reload())  # as every five seconds
    await journal.asked(1)
    journal.slow = False
    await keys.put(revoked(credential, place), actor="anna")
    journal.waiting[0].set()
    await looking

    with pytest.raises(Unauthenticated):
        keys.ring.by_key(plain, at=place.clock.now())


async def test_writing_down_when_a_key_was_last_used_does_not_undo_that_another_process_revoked_it(place: SqlitePlace) -> None:
    journal = await place.open()
    travelling = Travelling(journal)
    ours = Keys(journal, SITE, place.clock)
    theirs = Keys(cast(Journal, travelling), SITE, place.clock)
    plain, credential = new_key("portal", Kind.PORTAL_KEY, ("*",), place.clock)
    await ours.put(credential, actor="anna")
    await theirs.reload()
    theirs.ring.by_key(plain, at=place.clock.now())
    travelling.slow = True
    writing = asyncio.create_task(theirs.reload())
    await travelling.asked(1)
    travelling.waiting[0].set()
    await travelling.asked(2)  # they have read that it holds, and are about to write
    await ours.put(revoked(credential, place), actor="anna")
    travelling.waiting[1].set()
    await writing
    await ours.reload()

    with pytest.raises(Unauthenticated):
        ours.ring.by_key(plain, at=place.clock.now())
