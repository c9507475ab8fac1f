"""The figures that a scrape shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from gateway.metrics import Metrics
from gateway.ports import Backlog, Breaker, JournalUnavailable, TargetState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Stopped:
    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


class Shelf:
    """What a journal would say."""

    def __init__(self) -> None:
        self.away = False
        self.waiting = timedelta(0)

    async def backlog(self) -> list[Backlog]:
        if self.away:
            raise JournalUnavailable("gone")
        return [Backlog("sozial", {"pending": 3, "dead": 2}, in_doubt=1, oldest=NOW - timedelta(hours=2))]

    async def target_states(self) -> Mapping[str, TargetState]:
        return {"sozial": TargetState("sozial", breaker=Breaker.OPEN, paused_at=NOW)}

    def oldest_waiting(self) -> timedelta:
        return self.waiting


def metrics(shelf: Shelf) -> Metrics:
    made = Metrics(Stopped())
    made.watch(
        targets=["sozial", "e-akte"], backlog=shelf.backlog, states=shelf.target_states, oldest_waiting=shelf.oldest_waiting,
    )
    return made


def value(text: bytes, name: str) -> float | None:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text.decode(), re.MULTILINE)
    return float(found[1]) if found else None


async def test_the_number_that_operators_page_on_is_there_for_every_target() -> None:
    text = await metrics(Shelf()).exposition()
    assert value(text, 'nahtlos_oldest_undelivered_age_seconds{target="sozial"}') == 7200
    assert value(text, 'nahtlos_oldest_undelivered_age_seconds{target="e-akte"}') == 0
    assert value(text, 'nahtlos_in_doubt{target="sozial"}') == 1
    assert value(text, 'nahtlos_deliveries{state="dead",target="sozial"}') == 2
    assert value(text, 'nahtlos_target_breaker_open{target="sozial"}') == 1
    assert value(text, 'nahtlos_target_paused{target="e-akte"}') == 0


async def test_what_happens_is_counted() -> None:
    made = Metrics(Stopped())
    made.submission("wohngeld", "accepted", 0.003)
    made.submission(None, "rejected", 0.001)
    made.attempt("sozial", "delivered", 0.2)
    made.dead_letter("sozial", "refused")
    made.commit(32, 0.004)
    text = await made.exposition()
    assert value(text, 'nahtlos_submissions_total{leistung="wohngeld",outcome="accepted"}') == 1
    assert value(text, 'nahtlos_submissions_total{leistung="unknown",outcome="rejected"}') == 1
    assert value(text, 'nahtlos_deliveries_total{outcome="delivered",target="sozial"}') == 1
    assert value(text, 'nahtlos_dead_letters_total{class="refused",target="sozial"}') == 1
    assert value(text, "nahtlos_journal_commits_total") == 1
    assert value(text, 'nahtlos_journal_group_size_bucket{le="32.0"}') == 1


async def test_while_the_journal_is_away_the_other_figures_are_there() -> None:
    shelf = Shelf()
    made = metrics(shelf)
    await made.exposition()
    shelf.away = True
    made.attempt("sozial", "unavailable", 1.0)
    text = await made.exposition()
    assert value(text, 'nahtlos_oldest_undelivered_age_seconds{target="sozial"}') is None
    assert value(text, 'nahtlos_deliveries_total{outcome="unavailable",target="sozial"}') == 1
    assert value(text, "nahtlos_scrape_failures_total") == 1


async def test_figures_are_read_at_the_time_of_the_scrape() -> None:
    shelf = Shelf()
    made = metrics(shelf)
    shelf.waiting = timedelta(seconds=3)
    made.gauge("in_flight_bytes", "Bytes of all requests at once", lambda: 42.0)
    text = await made.exposition()
    assert value(text, "nahtlos_journal_waiting_commit_age_seconds") == 3
    assert value(text, "nahtlos_in_flight_bytes") == 42


async def test_no_sender_can_fill_the_memory_with_names() -> None:
    made = Metrics(Stopped())
    for n in range(3000):
        made.attempt(f"target-{n}", "delivered", 0.1)
    text = await made.exposition()
    assert value(text, 'nahtlos_deliveries_total{outcome="delivered",target="other"}') == 1000
