"""An outcome of the right type that no journal could hold ends where a person sees it, and is not sent for ever."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from connectors import sdk
from gateway.submission import DeadClass, State
from tests.clock import TurnableClock
from tests.story.engine import AskableSystem, live, running

HALF = "4711\ud83d"  # half of a pair, as it comes out of somebody's JSON


@pytest.mark.parametrize("answer", [
    sdk.Acknowledgement(cast(Any, 4711)), sdk.Acknowledgement(HALF), sdk.Acknowledgement("1", {"at": timedelta(1)}),
    sdk.HandedOver(cast(Any, b"token")), sdk.Refused(HALF), sdk.Refused("x", code=cast(Any, 17)),
    sdk.Refused("x", xpath=cast(Any, ["/a"])), sdk.Unavailable(cast(Any, ValueError("x"))), sdk.Blocked(cast(Any, 503)),
], ids=lambda answer: type(answer).__name__)  # fmt: skip
async def test_it_becomes_a_dead_letter_after_three(tmp_path: Path, clock: TurnableClock, answer: Any) -> None:
    system = AskableSystem()
    system.script.extend([answer if isinstance(answer, BaseException) else lambda envelope: answer] * 50)
    async with running(tmp_path, clock, [live(connector=system)]) as engine:
        delivery = await engine.accept()
        for _ in range(12):
            await engine.turn(timedelta(minutes=5))
        dead = await engine.until_state(delivery, State.DEAD)

    assert dead.dead_class is DeadClass.DEFECT
    assert (dead.code or "").startswith("WrongAnswer:")
    assert system.sent(delivery) == 3
