"""What is left over, on a real journal: downtime is made up for once, and one target's patience is not in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.sqlite import SqliteJournal
from gateway.attempts import breaker
from gateway.attempts.standing import Standing
from gateway.ports import JournalUnavailable, TargetState
from gateway.site import TargetConfig
from gateway.submission import Event, State
from gateway.sweeping import AT_ONCE, Sweeper
from tests.clock import EPOCH
from tests.contract.examples import LEASE, acceptance, change
from tests.contract.journals import SqlitePlace

HOURS = timedelta(hours=1)
WEEKEND = 60 * HOURS
PATIENCE = 72 * HOURS


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    return SqlitePlace(tmp_path)


@pytest.fixture
async def journal(place: SqlitePlace) -> AsyncIterator[SqliteJournal]:
    yield await place.open()
    await place.aclose()


def sweeper(place: SqlitePlace, journal: SqliteJournal, *targets: str, instance: str = "gateway", alone: bool = True) -> Sweeper:
    configs = {name: TargetConfig(name=name, connector="rest", authority="lk", productive=True) for name in targets}
    return Sweeper(
        journal=journal, clock=place.clock, targets=configs, instance=instance, alone=alone, idempotent=frozenset(),
        standing=Standing(journal=journal, clock=place.clock),
    )  # fmt: skip


async def failing(journal: SqliteJournal, target: str, *, give_up_at: datetime) -> str:
    """The id of a delivery whose patience is running."""
    given = acceptance(deliveries=({"target": target},))
    await journal.accept(given)
    claimed = await journal.claim(given.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")
    assert claimed is not None
    assert await journal.advance(change(claimed, Event.POSTPONE, failing_since=EPOCH, give_up_at=give_up_at))
    return claimed.id


async def put_off(journal: SqliteJournal, delivery_id: str) -> timedelta:
    found = await journal.delivery(delivery_id)
    assert found is not None
    assert found.give_up_at is not None
    return found.give_up_at - EPOCH - PATIENCE


async def test_gateways_that_begin_together_make_up_for_their_downtime_once(place: SqlitePlace, journal: SqliteJournal) -> None:
    waiting = [await failing(journal, name, give_up_at=EPOCH + PATIENCE) for name in ("a", "b")]
    place.clock.turn(WEEKEND)
    beginning = [sweeper(place, journal, "a", "b", instance=f"gateway-{n}", alone=False) for n in range(4)]
    await asyncio.gather(*(each.begin() for each in beginning))

    assert [await put_off(journal, each) for each in waiting] == [WEEKEND, WEEKEND]


async def test_who_has_to_begin_again_does_not_make_up_again(
    place: SqlitePlace, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = await failing(journal, "a", give_up_at=EPOCH + PATIENCE)
    place.clock.turn(WEEKEND)
    genuine, fails = journal.lapsed, [True, True]

    async def lapsed(**asked: Any) -> Any:
        if fails:
            fails.pop()
            raise JournalUnavailable("a moment's trouble")
        return await genuine(**asked)

    monkeypatch.setattr(journal, "lapsed", lapsed)
    beginning = sweeper(place, journal, "a")
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            await beginning.begin()
        place.clock.turn(timedelta(seconds=1))
    await beginning.begin()

    assert await put_off(journal, waiting) == WEEKEND


async def test_the_patience_of_a_paused_target_is_not_in_the_way_of_others(place: SqlitePlace, journal: SqliteJournal) -> None:
    for _ in range(AT_ONCE):
        await failing(journal, "paused", give_up_at=EPOCH + HOURS)
    overdue = await failing(journal, "taken-out-of-the-site", give_up_at=EPOCH + 2 * HOURS)
    paused = breaker.pause(TargetState("paused"), at=EPOCH, actor="anna", reason="Umbau", until=None)
    assert await journal.advance_target(paused)
    sweeping = sweeper(place, journal, "paused")
    for _ in range(4):
        place.clock.turn(HOURS)
        await sweeping.sweep()

    found = await journal.delivery(overdue)
    assert found is not None
    assert found.state is State.DEAD
