from __future__ import annotations

import asyncio

from gateway.supervisor import Supervisor


async def test_a_task_that_fails_is_begun_again_and_counted() -> None:
    supervisor, begun, steady = Supervisor(pause=0.01), 0, asyncio.Event()

    async def shaky() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise RuntimeError("secret")
        steady.set()
        await asyncio.sleep(60)

    supervisor.watch("shaky", shaky)
    await asyncio.wait_for(steady.wait(), 5)
    assert (begun, supervisor.restarts, supervisor.failing) == (3, 2, ("shaky",))
    await supervisor.stop()


async def test_one_failing_task_does_not_touch_the_others() -> None:
    supervisor, ticks = Supervisor(pause=0.01), 0

    async def fails() -> None:
        raise RuntimeError

    async def ticking() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    supervisor.watch("fails", fails)
    supervisor.watch("ticking", ticking)
    await asyncio.sleep(0.2)
    assert ticks > 5
    assert supervisor.restarts >= 2
    await supervisor.stop()


async def test_a_task_that_is_done_is_done() -> None:
    supervisor, begun = Supervisor(pause=0), 0

    async def once() -> None:
        nonlocal begun
        begun += 1

    supervisor.watch("once", once)
    await asyncio.sleep(0.05)
    await supervisor.stop()
    assert (begun, supervisor.restarts) == (1, 0)


async def test_a_task_that_is_cancelled_by_nobody_is_begun_again() -> None:
    """As by a library whose connection goes down under whoever waits for it."""
    supervisor, begun, steady = Supervisor(pause=0.01), 0, asyncio.Event()

    async def struck() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise asyncio.CancelledError
        steady.set()
        await asyncio.sleep(60)

    supervisor.watch("struck", struck)
    await asyncio.wait_for(steady.wait(), 5)
    await supervisor.stop()
