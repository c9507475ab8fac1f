"""Every journal runs the same contract; see ``journals.PLACES``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.adapters.journal import SqlJournal
from tests.clock import TurnableClock
from tests.contract.journals import PLACES, Place


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    place = PLACES[request.param](tmp_path)
    yield place
    await place.aclose()


@pytest.fixture
async def journal(place: Place) -> SqlJournal:
    return await place.open()


@pytest.fixture
def clock(place: Place) -> TurnableClock:
    return place.clock
