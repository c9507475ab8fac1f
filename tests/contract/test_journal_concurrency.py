"""A target's hands are full when so many of its deliveries are under way, however many processes there are."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.adapters.journal import SqlJournal
from gateway.submission import Delivery, Event, State, WaitingFor
from tests.clock import EPOCH
from tests.contract.examples import LEASE, acceptance, change
from tests.contract.journals import PostgresPlace

TWO = {"steuer-hn": 2}


async def test_no_more_are_claimed_at_once_than_a_target_takes(journal: SqlJournal) -> None:
    pending = [await _given(journal) for _ in range(12)]

    mine = [one for one in await asyncio.gather(*(_claim(journal, one) for one in pending)) if one is not None]

    assert len(mine) == 2
    await journal.advance(change(
        mine[0], Event.POSTPONE, state=State.PENDING, waiting_for=WaitingFor.BACKOFF, next_attempt_at=EPOCH + LEASE,
        lease_until=None, claimed_by=None,
    ))
    again = [one for one in await asyncio.gather(*(_claim(journal, one) for one in pending)) if one is not None]
    assert len(again) == 1


async def test_a_claim_that_comes_to_nothing_takes_no_place(journal: SqlJournal) -> None:
    first, second = await _given(journal), await _given(journal)

    answers = await asyncio.gather(*(_claim(journal, first) for _ in range(8)), _claim(journal, second))

    assert sum(answer is not None for answer in answers) == 2
    assert answers[-1] is not None


async def test_one_target_with_its_hands_full_keeps_no_other_from_its_own(journal: SqlJournal) -> None:
    for _ in range(2):
        assert await _claim(journal, await _given(journal)) is not None

    assert await _claim(journal, await _given(journal)) is None
    assert await _claim(journal, await _given(journal, "bau-hn")) is not None


async def test_processes_count_together(tmp_path: Path) -> None:
    place = PostgresPlace(tmp_path)
    try:
        processes = [await place.open() for _ in range(3)]
        pending = [await _given(processes[0]) for _ in range(12)]

        answers = await asyncio.gather(*(_claim(processes[n % 3], each) for n, each in enumerate(pending)))

        assert sum(answer is not None for answer in answers) == 2
    finally:
        await place.aclose()


async def _given(journal: SqlJournal, target: str = "steuer-hn") -> Delivery:
    one = acceptance(deliveries=({"target": target},))
    await journal.accept(one)
    return one.deliveries[0]


async def _claim(journal: SqlJournal, delivery: Delivery) -> Delivery | None:
    return await journal.claim(delivery.id, at=EPOCH, lease_until=EPOCH + LEASE, by="w", at_most=TWO)
