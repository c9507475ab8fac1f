"""One fault after another against a cluster under load; then peace until nothing is open; then the verdict.

What a fault did is told apart by the numbers of the messages: those begun between it and the moment when everything works
again are its own.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from gateway.submission import State
from tests.chaos.checker import Verdict, judge
from tests.chaos.cluster import Cluster
from tests.chaos.inspection import Inspected, inspect
from tests.chaos.load import Load
from tests.chaos.matrix import Row
from tests.chaos.processes import PLACES, Gateway, until
from tests.chaos.roaming import RoamingPortal

WELL_AGAIN = 8
"""Cases made after a fault before it counts as over."""


@dataclass(slots=True)
class _Phase:
    component: str
    fault: str
    times: int
    first: int
    last: int = 0
    replayed: int = 0


@dataclass(slots=True)
class Campaign:
    """Use with ``under_load``. within: seconds until everything must work again after a fault."""

    cluster: Cluster
    folder: Path
    load: Load
    form: str = "PostgreSQL + RabbitMQ"
    within: float = 90.0
    phases: list[_Phase] = field(default_factory=list)
    verdict: Verdict | None = None
    found: Inspected | None = None
    faults: list[str] = field(default_factory=list)

    def strike(self, component: str, fault: str, how: Callable[[], object], *, times: int = 1, deaths: int = 1) -> None:
        """``how`` breaks something and repairs it, ``deaths`` times each; ``times`` times."""
        phase = _Phase(component, fault, times * deaths, self.load.begun + 1)
        began = time.monotonic()
        for _ in range(times):
            how()
        self.await_recovery(f"{fault} of {component}")
        phase.last = self.load.begun
        self.phases.append(phase)
        print(f"{component}: {fault}: {time.monotonic() - began:.1f} s", flush=True)

    def await_recovery(self, after: str) -> None:
        """Until every intake takes, small and large, and every worker delivers, what comes after the fault."""
        before, cases = self._signs(), self.cluster.cases()

        def well() -> bool:
            now = self._signs()
            return all(now[sign] > before[sign] for sign in before) and self.cluster.cases() >= cases + WELL_AGAIN

        def missing() -> str:
            now = self._signs()
            return f"after {after} everything works again, but not {[sign for sign in before if now[sign] <= before[sign]]}"

        until(well, within=self.within, what=lambda: f"{missing()}; {self.cluster.what_is_open()}", every=0.1)

    def _signs(self) -> dict[str, float]:
        portal = self.load.portal
        assert isinstance(portal, RoamingPortal)
        signs: dict[str, float] = {}
        for n in range(len(self.cluster.intakes)):
            signs |= {f"intake-{n + 1} {size}": portal.acknowledged[n, size == "large"] for size in ("small", "large")}
        return signs | {f"worker-{n}": _attempts(worker) for n, worker in enumerate(self.cluster.workers, 1)}

    def finish(self, minimum: int = 0) -> None:
        """The load ends, nothing is left open, all processes stop, and everything is compared."""
        self.load.finish(max(minimum, self.load.begun), within=60)
        classes: set[str] = set()

        def settled() -> bool:
            try:
                still = self.cluster.open_deliveries()
                if still.keys() == {"dead"}:
                    dead = self.cluster.replay_dead_letters()
                    classes.update(each["class"] for each in dead)
                    self.phases[-1].replayed += len(dead)
            except httpx.HTTPError:
                return False
            return not still

        until(settled, within=self.within, what=lambda: f"everything delivered; {self.cluster.what_is_open()}", every=0.2)
        self.cluster.stop()
        systems, log = self.cluster.systems, self.folder / "client.jsonl"
        self.verdict = judge(log, [system.log for system in systems])
        self.found = asyncio.run(inspect(self.cluster.database.url, self.cluster.keys))
        self.faults = [f"a dead letter for another reason: {each}" for each in classes - {"poison"}]
        answers = {json.loads(line)["status"] for line in log.read_text(encoding="utf-8").splitlines()}
        self.faults += [f"answered with {status}" for status in answers - {202, 429, 503, 507, None}]
        self.faults += self.found.faults + list(self._differences(self.found))

    def rows(self) -> Iterator[Row]:
        assert self.verdict is not None
        told = [json.loads(line) for line in (self.folder / "client.jsonl").read_text("utf-8").splitlines()]
        number = {line["key"]: int(line["key"].rpartition("-")[2]) for line in told}
        of_delivery = {delivery: number[line["key"]] for line in told for delivery in line["deliveries"]}
        acknowledged = {number[line["key"]] for line in told if line["status"] == 202}
        lost = [number[key] for key in self.verdict.lost]
        doubled = [of_delivery.get(delivery, 0) for delivery in self.verdict.doubled]
        for phase in self.phases:
            own = range(phase.first, phase.last + 1)
            yield Row(
                self.form, phase.component, phase.fault, phase.times, len(own), sum(n in own for n in acknowledged),
                sum(n in own for n in lost), sum(n in own for n in doubled), phase.replayed,
            )

    def _differences(self, found: Inspected) -> Iterator[str]:
        """The journal must know each case by the number that its case system gave it."""
        lines = [
            json.loads(line) for system in self.cluster.systems for line in system.log.read_text(encoding="utf-8").splitlines()
        ]
        numbers = {case["delivery_id"]: case["case_number"] for case in lines}
        for delivery in found.deliveries.values():
            if delivery.state is not State.DELIVERED or delivery.case_number != numbers.get(delivery.id, "none at all"):
                yield f"delivery {delivery.id} is {delivery.state} in the journal; the case systems say otherwise"


@contextmanager
def under_load(
    cluster: Cluster, folder: Path, *, senders: int = 4, places: Sequence[str] = PLACES[:2], form: str = "PostgreSQL + RabbitMQ",
) -> Iterator[Campaign]:
    """The cluster is started already."""
    with Load(cluster, folder / "client.jsonl", places=places, senders=senders) as load:
        yield Campaign(cluster, folder, load, form=form)


class Moments:
    """Random, but the same in every run with the same seed. mean: seconds."""

    def __init__(self, seed: int, mean: float = 0.3) -> None:
        self._chance, self._mean = random.Random(seed), mean

    def wait(self) -> None:
        time.sleep(self._chance.expovariate(1 / self._mean))


def _attempts(worker: Gateway) -> float:
    """How many it has made since it was started; none while it does not say."""
    try:
        figures = httpx.get(f"http://127.0.0.1:{worker.port}/metrics", timeout=5, trust_env=False).text
    except httpx.HTTPError:
        return 0.0
    return sum(float(line.rpartition(" ")[2]) for line in figures.splitlines() if line.startswith("nahtlos_deliveries_total{"))
