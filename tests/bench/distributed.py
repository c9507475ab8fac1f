"""The journal on PostgreSQL beside the one on SQLite, and two intakes beside one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tests.bench.bench import DEAD, SENDERS, Bench, Gateway, take_turns
from tests.bench.load import Load, send
from tests.portal import message_of


def databases(bench: Bench) -> None:
    """Accepted per second by one process, on PostgreSQL beside SQLite."""
    make = message_of(5_000)
    with (
        bench.gateway("sqlite", DEAD) as sqlite,
        bench.gateway("postgres", DEAD, **bench.shared("postgres")) as postgres,
    ):
        def measured(name: str, gateway: Gateway) -> float:
            load = send(gateway.door, make, senders=SENDERS, seconds=bench.seconds)
            bench.only(load, 202)
            bench.say(f"accepted on {name}: {load.rate:,.0f}/s")
            return load.rate

        for gateway in (sqlite, postgres):
            send(gateway.door, make, senders=SENDERS, seconds=1)
        found = take_turns(
            lambda: measured("SQLite", sqlite), {"PostgreSQL": lambda: measured("PostgreSQL", postgres)}, bench.rounds,
        )["PostgreSQL"]
    bench.note("accepted on SQLite, one process /s", round(found.neighbours))
    bench.note("accepted on PostgreSQL, one process /s", round(found.rate))
    bench.bar("accepted on PostgreSQL / on SQLite, one process", found.ratio, "≥", 0.8)


def intakes(bench: Bench) -> None:
    """Accepted per CPU second by two intake processes beside one of them, on one PostgreSQL."""
    make, shared = message_of(5_000), bench.shared("intakes")
    totals: list[float] = []
    with (
        bench.gateway("intake-1", DEAD, role="intake", **shared) as first,
        bench.gateway("intake-2", DEAD, role="intake", **shared) as second,
    ):
        def measured(gateways: Sequence[Gateway]) -> float:
            before = [gateway.cpu() for gateway in gateways], bench.databases.cpu_seconds()
            load = send([gateway.door for gateway in gateways], make, senders=SENDERS, seconds=bench.seconds)
            bench.only(load, 202)
            used = sum(gateway.cpu() for gateway in gateways) - sum(before[0])
            totals.append(load.statuses[202] / (used + bench.databases.cpu_seconds() - before[1]))
            return _said(bench, load, len(gateways), used)

        send([first.door, second.door], make, senders=SENDERS, seconds=2)
        found = take_turns(lambda: measured([first]), {"two": lambda: measured([first, second])}, bench.rounds)["two"]
    turns = zip(totals[::2], totals[1::2], totals[2::2], strict=False)
    with_server = [two * 2 / (before + after) for before, two, after in turns]
    bench.note("accepted per CPU second, one intake", round(found.neighbours))
    bench.note("accepted per CPU second, two intakes", round(found.rate))
    bench.bar("accepted per CPU second, two intakes / one", found.ratio, "≥", 0.9)
    bench.information("the same with the CPU of PostgreSQL", statistics.median(with_server))


def _said(bench: Bench, load: Load, intakes: int, used: float) -> float:
    found = load.statuses[202] / used
    bench.say(f"{intakes} intake(s): {load.rate:,.0f}/s, {found:,.0f} per CPU second of theirs")
    return found
