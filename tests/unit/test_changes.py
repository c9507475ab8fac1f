from __future__ import annotations

import asyncio

from gateway.changes import Changes


async def test_who_listens_before_reading_misses_nothing() -> None:
    changes = Changes()
    event = changes.listen("a")
    changes.tell("a")
    assert await changes.wait(event, timeout=0.01)
    assert not await changes.wait(event, timeout=0.01), "news is told once"


async def test_news_of_another_wakes_nobody() -> None:
    changes = Changes()
    event = changes.listen("a")
    changes.tell("b")
    assert not await changes.wait(event, timeout=0.01)


async def test_everybody_who_listens_is_told_and_who_has_left_is_forgotten() -> None:
    changes = Changes()
    one, two = changes.listen("a"), changes.listen("a")
    waiting = asyncio.gather(changes.wait(one, timeout=1), changes.wait(two, timeout=1))
    await asyncio.sleep(0)
    changes.tell("a")
    assert await waiting == [True, True]
    changes.leave("a", one)
    changes.leave("a", two)
    changes.tell("a")
    assert not changes._waiting


async def test_the_end_wakes_everybody_at_once() -> None:
    changes = Changes()
    event = changes.listen("a")
    waiting = asyncio.create_task(changes.wait(event, timeout=60))
    await asyncio.sleep(0)
    changes.close()
    assert not await asyncio.wait_for(waiting, 1)
    assert not await changes.wait(event, timeout=60)
