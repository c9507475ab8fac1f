"""What all parts of a benchmark share: where they measure, what they found, and how it is shown."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.child import Child, NotMeasured, child
from tests.bench.database import Databases
from tests.bench.load import Door, Load
from tests.rabbitmq import NoServer, RabbitServer

SENDERS = 32
DEAD = "http://127.0.0.1:9"
"""A case system that nobody answers for."""


@dataclass(slots=True)
class Gateway:
    """One that runs, in a process of its own."""

    child: Child

    @property
    def door(self) -> Door:
        return Door(self.child.hello["port"], self.child.hello["key"])

    def cpu(self) -> float:
        """Seconds, so far; nothing is left to be chained when this returns."""
        return float(self.child.ask("settle")["cpu"])

    def pause(self) -> None:
        self.child.ask("pause")

    def resume(self) -> None:
        self.child.ask("resume")

    def undelivered(self) -> int:
        counts = self.child.ask()["backlog"].get("fach", {})
        return int(counts.get("pending", 0) + counts.get("delivering", 0))


@dataclass(slots=True)
class Bench:
    """seconds: of one measurement. rounds: of those that take turns. quick: as little as shows that it works."""

    folder: Path
    quick: bool
    numbers: dict[str, Any] = field(default_factory=dict)
    rows: list[tuple[str, float, str, float, bool]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    stage_sum: float = 0.0
    _stack: ExitStack = field(default_factory=ExitStack)
    _databases: Databases | None = None
    _rabbitmq: RabbitServer | None = None
    _folders: int = 0

    @property
    def seconds(self) -> float:
        return 2.0 if self.quick else 6.0

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 5

    # --- what was found

    def bar(self, name: str, value: float, relation: str, bound: float) -> None:
        self.rows.append((name, value, relation, bound, value >= bound if relation == "≥" else value <= bound))

    def information(self, name: str, value: float) -> None:
        """A ratio without a bar."""
        self.rows.append((name, value, "", 0, True))

    def note(self, name: str, value: Any) -> None:
        self.numbers[name] = {"rate": value.rate, "p50_ms": value.p50, "p99_ms": value.p99} if isinstance(value, Load) else value
        self.say(f"{name}: {_short(value)}")

    def say(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    def only(self, load: Load, status: int) -> None:
        if set(load.statuses) != {status}:
            raise SystemExit(f"expected {status}, got {dict(load.statuses)}")

    # --- where it is measured

    @contextmanager
    def gateway(self, name: str, target: str, *, mode: str = "whole", lane: str = "fach", **settings: str) -> Iterator[Gateway]:
        """name: of its folder, which may be there already. lane: of its target, none that others on the same broker have.
        settings: ``journal="postgresql://…"`` and so on."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        environment = {f"NAHTLOS_{setting.upper()}": value for setting, value in settings.items()} | {"BENCH_LANE": lane}
        with child("tests.bench.server", str(folder), mode, target, environment=environment) as running:
            yield Gateway(running)

    @contextmanager
    def distributed(self, name: str, target: str) -> Iterator[tuple[Gateway, Gateway]]:
        """An intake and a worker, each a process, on PostgreSQL and RabbitMQ."""
        shared = self.shared(name) | {"broker": self.rabbitmq.url}
        with (
            self.gateway(f"{name}-worker", target, lane=name, role="worker", **shared) as worker,
            self.gateway(f"{name}-intake", target, lane=name, role="intake", **shared) as intake,
        ):
            yield intake, worker

    def shared(self, name: str) -> dict[str, str]:
        """Settings for any number of processes on one new PostgreSQL journal."""
        return {"journal": self.databases.new(), "keys": str(self.folder / f"{name}-keys"), "migrate": "yes"}

    @property
    def databases(self) -> Databases:
        if self._databases is None:
            with _or_not_measured():
                self._databases = self._stack.enter_context(Databases())
            self.note("PostgreSQL", self._databases.described)
        return self._databases

    @property
    def rabbitmq(self) -> RabbitServer:
        if self._rabbitmq is None:
            with _or_not_measured():
                self._rabbitmq = self._stack.enter_context(RabbitServer())
        return self._rabbitmq

    def close(self) -> None:
        self._stack.close()

    # --- how it is shown

    def show(self) -> bool:
        for table in self.tables:
            Console(width=190).print(table)
        table = Table("measure", "value", "bar", "", box=None, pad_edge=False)
        for name, value, relation, bound, held in self.rows:
            table.add_row(name, f"{value:.3g}", *((f"{relation} {bound:g}", "✓" if held else "✗") if relation else ()))
        for text in self.missing:
            table.add_row(text, "", "", "✗")
        Console(width=130).print(table)
        return not self.missing and all(held for *_, held in self.rows)


@dataclass(frozen=True, slots=True)
class Beside:
    """ratios: of each measurement to the mean of its two neighbours. rate, neighbours: medians."""

    rate: float
    neighbours: float
    ratios: Sequence[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def take_turns(base: Callable[[], float], others: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Beside]:
    """base, one, base, another, base …: whatever else goes on here then meets both sides of a ratio alike."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in others}
    before = base()
    for _ in range(rounds):
        for name, other in others.items():
            measured, after = other(), base()
            found[name].append((measured, (before + after) / 2))
            before = after
    return {
        name: Beside(
            statistics.median(m for m, _ in pairs), statistics.median(b for _, b in pairs), [m / b for m, b in pairs],
        )
        for name, pairs in found.items()
    }


@contextmanager
def _or_not_measured() -> Iterator[None]:
    try:
        yield
    except NoServer as reason:
        raise NotMeasured(str(reason)) from None


def _short(value: Any) -> str:
    if isinstance(value, Load):
        return f"{value.rate:,.0f}/s  p50 {value.p50:.1f} ms  p99 {value.p99:.1f} ms"
    return f"{value:,}" if isinstance(value, int) else str(value)
