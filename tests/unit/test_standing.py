"""The view of how targets stand: never older than it says, never "all is well" before it has been read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import cast

import pytest

from gateway.attempts import breaker
from gateway.attempts.standing import Standing
from gateway.ports import Journal, JournalUnavailable, TargetChange, TargetState
from tests.clock import EPOCH, TurnableClock

NAME = "register"
PAUSED = breaker.pause(TargetState(NAME), at=EPOCH, actor="anna", reason="Wartung", until=None).after


class SlowJournal:
    """Answers what was so when it was asked, once ``answer`` is set."""

    def __init__(self, *states: TargetState) -> None:
        self.states = {state.name: state for state in states}
        self.answer = asyncio.Event()
        self.answer.set()
        self.asked = 0
        self.away = False

    async def target_states(self) -> Mapping[str, TargetState]:
        self.asked += 1
        if self.away:
            raise JournalUnavailable("away")
        found = dict(self.states)
        await self.answer.wait()
        return found

    async def advance_target(self, change: TargetChange) -> bool:
        if self.states.get(change.before.name, TargetState(NAME)).revision != change.before.revision:
            return False
        self.states[change.after.name] = change.after
        return True


class View:
    def __init__(self, *states: TargetState) -> None:
        self.journal, self.clock = SlowJournal(*states), TurnableClock()
        self.standing = Standing(journal=cast(Journal, self.journal), clock=self.clock)

    async def is_paused(self) -> bool:
        return breaker.is_paused(await self.standing.of(NAME), self.clock.now())


async def passes() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_hundred_who_ask_before_the_first_answer_all_hear_it_and_the_journal_is_asked_once() -> None:
    view = View(PAUSED)
    view.journal.answer.clear()
    asking = [asyncio.create_task(view.is_paused()) for _ in range(100)]
    await passes()
    view.journal.answer.set()

    assert set(await asyncio.gather(*asking)) == {True}
    assert view.journal.asked == 1


async def test_a_journal_that_gave_no_answer_is_asked_again_and_nobody_is_told_that_all_is_well() -> None:
    view = View(PAUSED)
    view.journal.away = True
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            await view.is_paused()
    view.journal.away = False

    assert await view.is_paused()


async def test_what_is_written_while_the_journal_is_read_stays_known() -> None:
    view = View()
    assert not await view.is_paused()
    view.journal.answer.clear()
    reading = asyncio.create_task(view.standing.reload())
    await passes()
    change = await view.standing.change(NAME, lambda now: breaker.pause(now, at=EPOCH, actor="anna", reason="x", until=None))
    view.journal.answer.set()
    await reading

    assert change is not None
    assert await view.is_paused()


async def test_what_others_wrote_is_read_again_also_while_it_is_being_read() -> None:
    view = View()
    view.journal.answer.clear()
    reading = asyncio.create_task(view.standing.reload())
    await passes()
    view.journal.states[NAME] = PAUSED
    view.standing.forget()
    view.journal.answer.set()
    await reading

    assert await view.is_paused()


async def test_a_view_is_read_again_when_it_is_half_a_second_old_and_not_before() -> None:
    view = View()
    assert not await view.is_paused()
    view.journal.states[NAME] = PAUSED
    view.clock.turn(timedelta(seconds=0.4))
    assert not await view.is_paused()
    view.clock.turn(timedelta(seconds=0.1))
    assert await view.is_paused()
    assert view.journal.asked == 2


async def test_a_journal_that_hangs_and_fails_holds_a_hundred_up_once_and_not_one_after_the_other() -> None:
    view = View(PAUSED)
    view.journal.answer.clear()
    asking = [asyncio.create_task(view.standing.reload() if n % 2 else view.is_paused()) for n in range(100)]
    await passes()
    asking[0].cancel()  # which is nobody else's affair
    view.journal.away = True
    view.journal.answer.set()
    await asyncio.wait(asking, timeout=1)

    assert all(task.done() for task in asking)
    assert view.journal.asked <= 2
