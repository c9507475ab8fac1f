"""Who is rung, when, and what it costs. A journal made of a list; a worker made of a test."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from gateway.attempts import breaker
from gateway.dispatch import PAGE, Dispatcher
from gateway.ports import Broker, Due, HistoryEntry, Journal, JournalUnavailable, TargetChange, TargetState, Ticket
from gateway.site import TargetConfig
from gateway.submission import Delivery
from tests.clock import EPOCH, TurnableClock

SECONDS = timedelta(seconds=1)


class ListJournal:
    """As much of a journal as a dispatcher reads; counts the questions."""

    def __init__(self) -> None:
        self.waiting: dict[str, tuple[str, datetime, int]] = {}
        self.flying: dict[str, str] = {}
        self.states: dict[str, TargetState] = {}
        self.asked: Counter[str] = Counter()
        self.away = False

    def put(self, target: str, *ids: str, at: datetime = EPOCH, crashes: int = 0) -> None:
        self.waiting |= dict.fromkeys(ids, (target, at, crashes))

    async def due(self, target: str, *, at: datetime, limit: int) -> list[Due]:
        self._ask("due")
        found = [(t, one, c) for one, (name, t, c) in self.waiting.items() if name == target and t <= at]
        return [Due(one, target, crashes) for _, one, crashes in sorted(found, key=lambda row: row[0])[:limit]]

    async def next_due(self) -> datetime | None:
        self._ask("next_due")
        return min((at for _, at, _ in self.waiting.values()), default=None)

    def claim(self, *ids: str) -> None:
        self.flying |= {one: self.waiting.pop(one)[0] for one in ids}

    def others(self, target: str, count: int) -> None:
        """So many are being delivered by other processes."""
        self.flying = {f"other{n}": target for n in range(count)}

    async def in_flight(self, target: str) -> frozenset[str]:
        self._ask("in_flight")
        return frozenset(one for one, name in self.flying.items() if name == target)

    async def target_states(self) -> dict[str, TargetState]:
        self._ask("target_states")
        return self.states

    async def advance_target(self, change: TargetChange) -> bool:
        self.states[change.after.name] = change.after
        return True

    async def lapsed(self, *, at: datetime, limit: int) -> list[Delivery]:
        self._ask("lapsed")
        return []

    async def history(self, *, after: int, limit: int) -> list[HistoryEntry]:
        return []

    async def overdue(self, *, at: datetime, limit: int, besides: Collection[str]) -> list[Delivery]:
        self._ask("overdue")
        return []

    def _ask(self, what: str) -> None:
        if self.away:
            raise JournalUnavailable("away")
        self.asked[what] += 1


class Bell:
    """A broker that writes down who was rung."""

    def __init__(self) -> None:
        self.rung: list[Ticket] = []
        self.away = False

    async def ring(self, ticket: Ticket) -> None:
        if self.away:
            raise ConnectionError
        self.rung.append(ticket)

    @property
    def ids(self) -> list[str]:
        return [ticket.delivery_id for ticket in self.rung]


class Rig:
    def __init__(self, *configs: TargetConfig, alone: bool = True) -> None:
        self.journal, self.bell, self.clock = ListJournal(), Bell(), TurnableClock()
        self.dispatcher = Dispatcher(
            journal=cast(Journal, self.journal), broker=cast(Broker, self.bell), clock=self.clock,
            targets={config.name: config for config in configs}, instance="gateway-1", alone=alone,
        )  # fmt: skip

    async def turn(self, by: timedelta = timedelta()) -> None:
        for step in (timedelta(), by):
            self.clock.turn(step)
            for _ in range(50):
                await asyncio.sleep(0)

    async def finish(self, *ids: str) -> None:
        """The worker has claimed and delivered them."""
        for one in ids:
            self.journal.waiting.pop(one, None)
            self.journal.flying.pop(one, None)
            self.dispatcher.done(one)
        await self.turn()


@asynccontextmanager
async def rig(*configs: TargetConfig, **options: Any) -> AsyncIterator[Rig]:
    made = Rig(*(configs or (target(),)), **options)
    task = asyncio.create_task(made.dispatcher.run())
    try:
        await made.turn()
        yield made
    finally:
        task.cancel()


def target(name: str = "register", **changes: Any) -> TargetConfig:
    return TargetConfig(name=name, connector="rest", authority="lk", **({"concurrency": 4} | changes))


def ids(count: int, prefix: str = "d") -> list[str]:
    return [f"{prefix}{n}" for n in range(count)]


async def test_no_more_are_rung_than_the_target_takes_at_once() -> None:
    async with rig() as r:
        r.journal.put("register", *ids(10))
        r.dispatcher.nudge("register")
        await r.turn()
        assert r.bell.ids == ids(4)

        await r.finish("d0", "d2")

        assert r.bell.ids == ids(6)


async def test_rings_do_not_wait_for_each_other() -> None:
    """A quorum takes its time over each, and hardly more over many."""
    async with rig() as r:
        answered, asked = asyncio.Event(), []

        async def slow(ticket: Ticket) -> None:
            asked.append(ticket.delivery_id)
            await answered.wait()

        r.bell.ring = slow  # type: ignore[method-assign]
        r.journal.put("register", *ids(10))
        r.dispatcher.nudge("register")
        await r.turn()
        assert asked == ids(4)

        answered.set()
        await r.finish("d0", "d1")
        assert asked == ids(6)


async def test_a_full_target_starves_nobody() -> None:
    async with rig(target("slow", concurrency=1), target("fast", concurrency=2)) as r:
        r.journal.put("slow", *ids(1000, "s"))
        r.journal.put("fast", *ids(2, "f"))
        r.dispatcher.nudge()
        await r.turn()

        assert sorted(r.bell.ids) == ["f0", "f1", "s0"]
        assert {ticket.lane for ticket in r.bell.rung} == {"rest"}


async def test_the_oldest_are_rung_first() -> None:
    async with rig(target(concurrency=1)) as r:
        r.journal.put("register", "new", at=EPOCH)
        r.journal.put("register", "old", at=EPOCH - SECONDS)
        r.dispatcher.nudge("register")
        await r.turn()
        await r.finish("old")

        assert r.bell.ids == ["old", "new"]


async def test_a_page_serves_many_deliveries() -> None:
    async with rig() as r:
        count = 4 * PAGE
        r.journal.put("register", *ids(count))
        r.dispatcher.nudge("register")
        await r.turn()
        for n in range(count):
            await r.finish(f"d{n}")

        assert sorted(r.bell.ids) == sorted(ids(count))
        assert r.journal.asked["due"] <= 6


async def test_a_thousand_nudges_cost_one_look() -> None:
    async with rig() as r:
        before = r.journal.asked.total()
        for n in range(1000):
            r.journal.put("register", f"d{n}")
            r.dispatcher.nudge("register")
        await r.turn()

        assert r.journal.asked.total() - before <= 3
        assert r.bell.ids == ids(4)


async def test_doing_nothing_costs_one_question_in_five_seconds() -> None:
    async with rig(*(target(f"t{n}") for n in range(50))) as r:
        await r.turn(10 * SECONDS)
        before = r.journal.asked.total()
        for _ in range(60):
            await r.turn(1 * SECONDS)

        assert r.journal.asked.total() - before <= 12


async def test_a_retry_is_rung_when_it_is_due_and_not_before() -> None:
    async with rig() as r:
        r.journal.put("register", "later", at=EPOCH + 30 * SECONDS)
        for _ in range(29):
            await r.turn(1 * SECONDS)
        assert r.bell.ids == []
        await r.turn(1 * SECONDS)

        assert r.bell.ids == ["later"]


async def test_a_lost_ticket_is_rung_again_after_a_minute() -> None:
    async with rig() as r:
        r.journal.put("register", "lost")
        r.dispatcher.nudge("register")
        for _ in range(60):
            await r.turn(1 * SECONDS)
        assert r.bell.ids == ["lost"]
        for _ in range(3):
            await r.turn(1 * SECONDS)

        assert r.bell.ids == ["lost", "lost"]


async def test_lost_tickets_do_not_use_up_a_target_for_ever() -> None:
    async with rig(target(concurrency=1)) as r:
        r.journal.put("register", "lost", "next")
        r.dispatcher.nudge("register")
        await r.turn()
        r.journal.waiting.pop("lost")
        r.journal.put("register", "lost", at=EPOCH + 30 * SECONDS)
        for _ in range(70):
            await r.turn(1 * SECONDS)

        assert "next" in r.bell.ids


async def test_a_long_attempt_is_not_rung_a_second_time() -> None:
    async with rig(target(concurrency=1)) as r:
        r.journal.put("register", "long", "next")
        r.dispatcher.nudge("register")
        await r.turn()
        r.journal.waiting.pop("long")  # claimed
        for _ in range(200):
            await r.turn(1 * SECONDS)
        assert r.bell.ids == ["long"]

        await r.finish("long")
        assert r.bell.ids == ["long", "next"]


async def test_a_nudge_while_the_journal_is_being_read_is_not_lost() -> None:
    async with rig() as r:
        read = r.journal.due

        async def slow(name: str, *, at: datetime, limit: int) -> list[Due]:
            page = await read(name, at=at, limit=limit)
            if "second" not in r.journal.waiting:
                r.journal.put("register", "second")
                r.dispatcher.nudge("register")
                await asyncio.sleep(0)
            return page

        r.journal.due = slow  # type: ignore[method-assign]
        r.journal.put("register", "first")
        r.dispatcher.nudge("register")
        await r.turn()

        assert r.bell.ids == ["first", "second"]


async def test_a_broker_that_is_away_costs_a_late_ring_and_nothing_else() -> None:
    async with rig() as r:
        r.bell.away = True
        r.journal.put("register", *ids(3))
        r.dispatcher.nudge("register")
        await r.turn(5 * SECONDS)
        r.bell.away = False
        await r.turn(2 * SECONDS)

        assert sorted(r.bell.ids) == ids(3)


async def test_a_journal_that_is_away_stops_nothing_for_good() -> None:
    async with rig() as r:
        r.journal.away = True
        r.journal.put("register", *ids(3))
        r.dispatcher.nudge("register")
        await r.turn(5 * SECONDS)
        r.journal.away = False
        await r.turn(2 * SECONDS)

        assert sorted(r.bell.ids) == ids(3)


async def test_a_paused_target_is_left_alone_and_costs_little() -> None:
    async with rig() as r:
        paused = breaker.pause(TargetState("register"), at=EPOCH, actor="anna", reason="Update", until=None)
        await r.journal.advance_target(paused)
        await r.turn(2 * SECONDS)
        r.journal.put("register", *ids(3))
        r.dispatcher.nudge("register")
        before = r.journal.asked["due"]
        for _ in range(30):
            await r.turn(1 * SECONDS)
        assert (r.bell.ids, r.journal.asked["due"]) == ([], before)

        resumed = breaker.resume(r.journal.states["register"], at=r.clock.now(), actor="anna")
        assert resumed is not None
        await r.journal.advance_target(resumed)
        r.dispatcher.nudge("register")
        await r.turn(1 * SECONDS)
        assert r.bell.ids == ids(3)


async def test_behind_an_open_breaker_one_goes_first() -> None:
    async with rig() as r:
        r.journal.states["register"] = _broken()
        r.journal.put("register", *ids(5))
        await r.turn(29 * SECONDS)
        assert r.bell.ids == []
        await r.turn(2 * SECONDS)
        assert r.bell.ids == ["d0"]

        closed = breaker.after_success(r.journal.states["register"], at=r.clock.now(), actor="gateway")
        assert closed is not None
        await r.journal.advance_target(closed)
        await r.finish("d0")
        await r.turn(1 * SECONDS)
        assert r.bell.ids == ids(5)


def _broken() -> TargetState:
    state = TargetState("register")
    for n in range(breaker.OPENS_AT):
        change = breaker.after_failure(
            state, breaker.Failure(breaker.Kind.DOWN, str(n), "unavailable"), at=EPOCH, actor="gateway"
        )
        assert change is not None
        state = change.after
    return state


async def test_what_has_crashed_a_process_waits_until_its_target_is_empty_and_then_runs_alone() -> None:
    async with rig(target(concurrency=3), target("other")) as r:
        r.journal.put("register", "a", "b")
        r.dispatcher.nudge("register")
        await r.turn()
        r.journal.put("register", "suspect", crashes=1)
        r.journal.put("register", "c")
        r.journal.put("other", "innocent", crashes=1)
        r.journal.put("other", "x")
        r.dispatcher.nudge()
        await r.turn()
        assert r.bell.ids == ["a", "b", "innocent"]

        await r.finish("a", "b")
        assert r.bell.ids == ["a", "b", "innocent", "c"]  # another target's suspect is running
        await r.finish("innocent")
        assert sorted(r.bell.ids[4:]) == ["x"]
        await r.finish("c")
        assert r.bell.ids[5:] == ["suspect"]


async def test_others_work_counts_against_the_target_where_there_are_several_processes() -> None:
    async with rig(alone=False) as r:
        r.journal.others("register", 3)
        r.journal.put("register", *ids(5))
        r.dispatcher.nudge("register")
        await r.turn()
        assert r.bell.ids == ["d0"]

        r.journal.waiting.pop("d0")  # claimed by somebody else
        await r.turn(2 * SECONDS)
        r.journal.others("register", 1)
        await r.turn(2 * SECONDS)
        assert len(set(r.bell.ids)) == 4


async def test_what_was_heard_while_the_target_had_its_hands_full_is_rung_again_once_it_has_not() -> None:
    async with rig(alone=False) as r:
        r.journal.put("register", *ids(4))
        r.dispatcher.nudge("register")
        await r.turn()
        r.journal.others("register", 4)  # of others; the claims of ours came to nothing, in another process
        for _ in range(6):
            await r.turn(2 * SECONDS)
        assert r.bell.ids == ids(4)

        r.journal.others("register", 2)
        await r.turn(2 * SECONDS)

        assert r.bell.ids[4:] == ids(2)

async def test_what_ends_while_the_journal_is_asked_what_is_in_flight_leaves_room_at_once() -> None:
    """The answer is of a moment ago, and time stands still here: nobody looks again."""
    async with rig(target(concurrency=1), alone=False) as r:
        asked, answer = r.journal.in_flight, asyncio.Event()

        async def slow(name: str) -> frozenset[str]:
            r.journal.claim("d0")  # since it was asked what is due
            found = await asked(name)
            await answer.wait()
            return found

        r.journal.put("register", *ids(2))
        r.dispatcher.nudge("register")
        await r.turn()
        r.journal.in_flight = slow  # type: ignore[method-assign]
        r.dispatcher.done("never-heard-of")  # whatever makes it ask
        await r.turn()
        await r.finish("d0")
        answer.set()
        await r.turn()

        assert r.bell.ids == ids(2)


async def test_what_ends_while_the_journal_is_asked_what_is_due_is_not_rung_again() -> None:
    async with rig(target(concurrency=2)) as r:
        asked = r.journal.due

        async def slow(name: str, *, at: datetime, limit: int) -> list[Due]:
            page = await asked(name, at=at, limit=limit)
            if "d0" in r.bell.ids and "d0" in r.journal.waiting:
                r.journal.waiting.pop("d0")
                r.dispatcher.done("d0")
            return page

        r.journal.due = slow  # type: ignore[method-assign]
        r.journal.put("register", "d0")
        r.dispatcher.nudge("register")
        await r.turn()
        r.journal.put("register", "d1")
        r.dispatcher.nudge("register")
        await r.turn()

        assert r.bell.ids == ids(2)


async def test_what_we_rang_ourselves_is_counted_once_and_not_asked_for_again() -> None:
    async with rig(alone=False) as r:
        r.journal.put("register", *ids(20))
        r.dispatcher.nudge("register")
        await r.turn()
        r.journal.claim(*ids(4))
        await r.turn(2 * SECONDS)  # the journal is asked and says that they are in flight
        before = r.journal.asked["in_flight"]
        await r.finish(*ids(4))

        assert r.bell.ids == ids(8)
        assert r.journal.asked["in_flight"] == before


async def test_unknown_targets_and_unknown_ids_are_nobodys_error() -> None:
    async with rig() as r:
        r.dispatcher.nudge("abolished")
        r.dispatcher.done("never-heard-of")
        await r.turn(1 * SECONDS)

        assert r.bell.ids == []
