"""Many at once go through a step together: what the hot path's speed rests on (``make bench`` measures it)."""

from __future__ import annotations

import asyncio

from gateway.cohort import in_step


async def test_nobody_begins_the_second_step_before_all_have_done_the_first() -> None:
    seen: list[tuple[str, int]] = []

    async def one(number: int) -> None:
        await in_step()
        seen.append(("first", number))
        await in_step()
        seen.append(("second", number))

    await asyncio.gather(*(one(number) for number in range(3)))

    assert seen == [("first", 0), ("first", 1), ("first", 2), ("second", 0), ("second", 1), ("second", 2)]
