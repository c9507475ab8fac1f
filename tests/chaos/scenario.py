"""A gateway and two case systems under load, killed again and again, then left in peace until nothing is open; the verdict."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.submission import State
from tests.chaos.checker import Verdict, judge
from tests.chaos.inspection import inspect
from tests.chaos.load import Load
from tests.chaos.matrix import Row
from tests.chaos.processes import PLACES, CaseSystem, Gateway, case_systems, gateway, site_of, until

TROUBLE = (
    "503x3, 429:1", "hang_after", "resetx2", "close_before, close_after", "500, 504", "hang_before", "latex4:0.3",
    "garbage, drip", "wrong_type", "",
)
"""Fault scripts of the case systems, one after the other."""


@dataclass(slots=True)
class Outcome:
    """journal: what is wrong with the journal that is left, or differs from what the case systems have, or no portal
    should have been answered. missed: steps at
    which nothing died, because they never came. poisoned: how many a person had to replay."""

    verdict: Verdict
    journal: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    poisoned: int = 0

    @property
    def kept(self) -> bool:
        return self.verdict.kept and not self.journal

    def row(self, fault: str, *, times: int) -> Row:
        """Of the kill matrix; all that was begun was acknowledged in the end."""
        verdict, n = self.verdict, self.verdict.acknowledged
        return Row(
            "ein Prozess (SQLite)", "Gateway", fault, times, n, n, len(verdict.lost), len(verdict.doubled), self.poisoned,
        )


def kill_at_random(folder: Path, *, kills: int, submissions: int, seed: int, mean: float = 0.3) -> Outcome:
    """``kills`` times SIGKILL after an exponential time under load, with ``TROUBLE`` at the case systems; and in every
    fifth life before that a stop as it should be."""
    chance = random.Random(seed)
    with case_systems(folder, "stadt", "kreis") as systems, gateway(folder / "gateway", site_of(*systems)) as gw:
        gw.start()
        with Load(gw, folder / "client.jsonl", places=PLACES[:2]) as load:
            for n in range(kills):
                systems[n % 2].break_with(TROUBLE[n // 2 % len(TROUBLE)])
                time.sleep(chance.expovariate(1 / mean))
                gw.kill()
                gw.start()
                if n % 5 == 4:
                    time.sleep(chance.expovariate(1 / mean))
                    assert gw.stop() == 0, gw.last_words()
                    gw.start()
            _repair(systems)
            load.finish(submissions, within=60)
        return _end(gw, systems, folder)


def kill_at_steps(
    folder: Path, steps: Sequence[tuple[str, int]], *, submissions: int, breaks: str = "", within: float = 60
) -> Outcome:
    """One life for each (step of ``launcher.STEPS``, how many times it is let pass). breaks: in every life."""
    missed = []
    with case_systems(folder, "stadt", "kreis") as systems, gateway(folder / "gateway", site_of(*systems)) as gw:
        gw.start(breaks=breaks)
        with Load(gw, folder / "client.jsonl", places=PLACES[:2], senders=4) as load:
            for step, nth in steps:
                gw.kill()
                systems[0].break_with(trouble_for(step))
                systems[1].break_with("503x2")
                gw.start(dies=step, nth=1 if comes_once(step) else nth, breaks=breaks)
                if step.endswith("stop"):
                    time.sleep(0.3)
                    gw.stop()
                if not gw.await_end(within=10):
                    missed.append(step)
            gw.kill()
            _repair(systems)
            gw.start(breaks=breaks)
            load.finish(submissions, within=60)
        outcome = _end(gw, systems, folder, within=within)
        outcome.missed = missed
        return outcome


def trouble_for(step: str) -> str:
    """What the case system must do so that the step comes at all."""
    if "answer" in step:
        return "late*:0.3"
    if "probe" in step:
        return "503*"  # five open the breaker, and no success may close it before the probe that is meant
    return "close_afterx3" if "find" in step else ""


def comes_once(step: str) -> bool:
    return step.endswith(("stop", "the dead"))


def _repair(systems: list[CaseSystem]) -> None:
    for system in systems:
        system.break_with("")


def _end(gw: Gateway, systems: list[CaseSystem], folder: Path, *, within: float = 60) -> Outcome:
    """Until nothing is open; then stop and judge. What was in flight at three deaths is poison until a person has looked
    at it: that person is played here."""
    poisoned = 0
    classes: set[str] = set()

    def settled() -> bool:
        nonlocal poisoned
        still = gw.open_deliveries()
        if still.keys() == {"dead"}:
            replayed = gw.replay_dead_letters()
            poisoned += len(replayed)
            classes.update(each["class"] for each in replayed)
        return not still

    until(settled, within=within, what=lambda: f"everything delivered; {gw.what_is_open()}", every=0.2)
    assert gw.stop() == 0, gw.last_words()
    verdict = judge(folder / "client.jsonl", [system.log for system in systems])
    journal = [f"a dead letter for another reason: {each}" for each in classes - {"poison"}]
    answers = (json.loads(line)["status"] for line in (folder / "client.jsonl").read_text(encoding="utf-8").splitlines())
    journal += [f"answered with {status}" for status in set(answers) - {202, 429, 503, None}]
    return Outcome(verdict, journal + _compared(gw.state, systems), poisoned=poisoned)


def _compared(state: Path, systems: list[CaseSystem]) -> list[str]:
    """The journal must be whole, and know each case by the number that its case system gave it."""
    found = asyncio.run(inspect(state / "journal.db", state / "keys"))
    lines = [json.loads(line) for system in systems for line in system.log.read_text(encoding="utf-8").splitlines()]
    numbers = {case["delivery_id"]: case["case_number"] for case in lines}
    return found.faults + [
        f"delivery {delivery.id} is {delivery.state} in the journal; the case systems say otherwise"
        for delivery in found.deliveries.values()
        if delivery.state is not State.DELIVERED or delivery.case_number != numbers.get(delivery.id, "none at all")
    ]
