"""What a submission and a delivery cost in a journal that holds a thousand, a hundred thousand, a million others already."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway.adapters.postgres import PostgresJournal
from gateway.adapters.sqlite import SqliteJournal
from gateway.clocks import SystemClock
from gateway.seal import SIGN_EVERY, verify
from gateway.vault import Vault
from tests.bench.bench import SENDERS, Bench, Gateway
from tests.bench.child import CaseSystem, NotMeasured, case_system
from tests.bench.filling import fill
from tests.bench.load import send
from tests.bench.single import drained
from tests.bench.stores import PostgresStore, SqliteStore
from tests.conftest import ROOT
from tests.portal import message_of

SIZES: Final = (1_000, 100_000, 1_000_000)
SIZES_QUICK: Final = (1_000, 20_000)
ORIGINALS: Final = 300
PER_SUBMISSION: Final = 20_000
"""Bytes on the disk, with room to spare: tables, indexes, logs."""
BOUND: Final = 1.3
"""Of a cost in a full journal to the same in an empty one."""

make = message_of()


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds for one: CPU of the gateway, and of the database's server where it has one; and on the clock, 32 at once."""

    post_cpu: float
    post: float
    delivery_cpu: float
    delivery: float


@dataclass(frozen=True, slots=True)
class Grown:
    """size: bytes on the disk. start: seconds until a gateway on it listens. ratios: to the empty journal, medians."""

    postgres: bool
    submissions: int
    size: int
    start: float
    cost: Cost
    ratios: Cost


def growth(bench: Bench) -> None:
    """Fill, measure, fill on; every measurement between two of a journal that was empty a moment ago."""
    sizes = SIZES_QUICK if bench.quick else SIZES
    if (free := shutil.disk_usage(bench.folder).free) < (needed := sizes[-1] * PER_SUBMISSION):
        raise NotMeasured(f"{needed >> 30} GiB are needed in {bench.folder.parent}, {free >> 30} are free")
    grown: list[Grown] = []
    with case_system() as system:
        for postgres in (False, True):
            filled = _Journal(bench, "filled", postgres=postgres)
            with filled.gateway(system) as gateway:
                _deliver(gateway, system, ORIGINALS)
            for size in sizes:
                filled.fill(size)
                if size == sizes[0]:
                    filled.check()
                grown.append(_measured(bench, filled, system, size, postgres=postgres))
            filled.drop()
    for each in grown:
        _show(bench, each)
    _write(bench, grown)


def _measured(bench: Bench, filled: _Journal, system: CaseSystem, size: int, *, postgres: bool) -> Grown:
    def cost(one: _Journal) -> Cost:
        found = _cost(bench, one, system)
        bench.say(f"{one.name}: " + ", ".join(f"{seconds * 1e6:,.0f}" for seconds in astuple(found)) + " µs")
        return found

    def of_empty() -> Cost:
        empty = _Journal(bench, "empty", postgres=postgres)
        try:
            return cost(empty)
        finally:
            empty.drop()

    costs: list[Cost] = []
    ratios: list[Cost] = []
    before = of_empty()
    for _ in range(bench.rounds):
        full, after = cost(filled), of_empty()
        costs.append(full)
        ratios.append(Cost(*(f * 2 / (b + a) for f, b, a in zip(*map(astuple, (full, before, after)), strict=True))))
        before = after
    begun = time.perf_counter()
    with filled.gateway(system):
        start = time.perf_counter() - begun
    return Grown(postgres, size, filled.size(), start, _median(costs), _median(ratios))


def _cost(bench: Bench, journal: _Journal, system: CaseSystem) -> Cost:
    count = 1_000 if bench.quick else 4_000
    with journal.gateway(system) as gateway:
        _deliver(gateway, system, 500)
        gateway.pause()
        before = gateway.cpu() + journal.server_cpu()
        load = send(gateway.door, make, senders=SENDERS, count=count)
        bench.only(load, 202)
        accepted = gateway.cpu() + journal.server_cpu()
        begun, wanted = time.perf_counter(), system.cases() + count
        gateway.resume()
        _await(system, wanted)
        drained(gateway)
        delivered = time.perf_counter() - begun
        after = gateway.cpu() + journal.server_cpu()
    return Cost((accepted - before) / count, load.seconds / count, (after - accepted) / count, delivered / count)


def _deliver(gateway: Gateway, system: CaseSystem, count: int) -> None:
    wanted = system.cases() + count
    send(gateway.door, make, senders=SENDERS, count=count)
    _await(system, wanted)
    drained(gateway)
    gateway.cpu()


def _await(system: CaseSystem, wanted: int, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while system.cases() < wanted:
        if time.monotonic() > end:
            raise SystemExit(f"{wanted - system.cases()} were not delivered in {seconds:g} s")
        time.sleep(0.02)


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(each) for each in zip(*map(astuple, costs), strict=True)))


# --- where they are ---------------------------------------------------------------------------------------------------


class _Journal:
    """A new one, on SQLite or PostgreSQL. Gateways may be put on it, one at a time."""

    def __init__(self, bench: Bench, name: str, *, postgres: bool) -> None:
        self.name, self._bench = f"{name} on {_NAMES[postgres]}", bench
        self._folder = bench.folder / f"{name}-{_NAMES[postgres]}"
        self._keys = bench.folder / f"{self._folder.name}-keys"
        self._url = bench.databases.new() if postgres else None

    @contextmanager
    def gateway(self, system: CaseSystem) -> Iterator[Gateway]:
        settings = {"keys": str(self._keys)} | ({"journal": self._url, "migrate": "yes"} if self._url else {})
        with self._bench.gateway(self._folder.name, system.url, **settings) as gateway:
            yield gateway

    def fill(self, to: int) -> None:
        begun = time.perf_counter()
        with closing(self._store()) as store:
            fill(store, self._keys, to)
        self._bench.say(f"{self.name}: filled up to {to:,} in {time.perf_counter() - begun:,.0f} s")

    def check(self) -> None:
        """Copies are as good as what the gateway wrote: every hash, every link, every signature."""
        async def walk() -> None:
            vault, clock = Vault.open(self._keys), SystemClock()
            opened = PostgresJournal.open(self._url, vault=vault, clock=clock) if self._url else SqliteJournal.open(
                self._file, vault=vault, clock=clock)
            journal = await opened
            verdict = await verify(journal)
            await journal.aclose()
            if verdict.broken is not None or verdict.signed < verdict.lines - SIGN_EVERY:
                raise SystemExit(f"the copies are not what the gateway writes: {verdict}")

        asyncio.run(walk())

    def size(self) -> int:
        with closing(self._store()) as store:
            return store.size()

    def server_cpu(self) -> float:
        return self._bench.databases.cpu_seconds() if self._url else 0.0

    def drop(self) -> None:
        if self._url:
            self._bench.databases.drop(self._url)
        for folder in (self._folder, self._keys):
            shutil.rmtree(folder)

    @property
    def _file(self) -> Path:
        return self._folder / "state" / "journal.db"

    def _store(self) -> PostgresStore | SqliteStore:
        return PostgresStore(self._url) if self._url else SqliteStore(self._file)


# --- what is said -----------------------------------------------------------------------------------------------------


def _show(bench: Bench, grown: Grown) -> None:
    where, ratios = f"{grown.submissions:,} on {_NAMES[grown.postgres]}", grown.ratios
    bench.numbers[f"growth, {where}"] = asdict(grown)
    for what, cpu, clock in (("POST", ratios.post_cpu, ratios.post), ("delivery", ratios.delivery_cpu, ratios.delivery)):
        bench.bar(f"cost of a {what}, {where} / empty: CPU", cpu, "≤", BOUND)
        bench.bar(f"cost of a {what}, {where} / empty: time", clock, "≤", BOUND)


def _write(bench: Bench, grown: list[Grown]) -> None:
    """For the handbook."""
    cores, memory = os.cpu_count(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    databases = f"SQLite {sqlite3.sqlite_version}, PostgreSQL {bench.databases.version}"
    lines = [
        f"Gemessen am {datetime.now(UTC):%d.%m.%Y} auf {cores} Kernen mit {_number(memory / 2**30)} GiB, {databases}.",
        _CONDITIONS.format(size=_number(len(make())), senders=SENDERS),
        "",
        "| Journal | Einreichungen | Größe | Start | POST: CPU | POST: Zeit | Zustellung: CPU | Zustellung: Zeit |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for each in grown:
        shown = [
            f"{_number(seconds * 1e6)} µs (× {_decimal(ratio, 2)})"
            for seconds, ratio in zip(astuple(each.cost), astuple(each.ratios), strict=True)
        ]
        cells = (
            _NAMES[each.postgres], f"{each.submissions:,}".replace(",", "."), f"{_number(each.size / 2**20)} MiB",
            f"{_decimal(each.start, 1)} s", *shown,
        )
        lines.append(f"| {' | '.join(cells)} |")
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    (cache / "growth.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", ".")


def _decimal(value: float, places: int) -> str:
    return f"{value:.{places}f}".replace(".", ",")


_CONDITIONS: Final = (
    "Nachrichten von {size} Byte, {senders} Absender zugleich. Lastgenerator, Fachverfahren, Gateway und Datenbank teilen sich "
    "die Kerne. CPU: die des Gateways, bei PostgreSQL mit der des Servers. Zeit: bei so vielen zugleich, durch ihre Anzahl "
    "geteilt. In Klammern das Verhältnis zum leeren Journal im selben Lauf."
)
_NAMES: Final = {False: "SQLite", True: "PostgreSQL"}
