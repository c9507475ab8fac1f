"""One process with everything in it, as it is installed first."""

from __future__ import annotations

import base64
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import sets, stages
from tests.bench.bench import DEAD, SENDERS, Bench, Gateway
from tests.bench.child import CaseSystem, case_system
from tests.bench.load import send
from tests.conftest import ROOT
from tests.portal import SAMPLE, message_of

MIB = 1 << 20
MANY = 256
"""Senders that are always more than what is being committed."""


def accepting(bench: Bench) -> None:
    """Accepted per second, with a case system that takes nothing, against the sum of the stages, taking turns with them."""
    for size, label in ((5_000, "5 kB"), (50_000, "50 kB")):
        make = message_of(size)
        with bench.gateway(f"http-{size}", DEAD, mode="http") as http, bench.gateway(f"accept-{size}", DEAD) as gateway:
            for warmed in (http, gateway):
                send(warmed.door, make, senders=SENDERS, seconds=1)
            turns = [_turn(bench, http, gateway, size, SENDERS) for _ in range(bench.rounds)]
            crowded = [_turn(bench, http, gateway, size, MANY) for _ in range(bench.rounds)] if size == 5_000 else []
            for name, value in zip(turns[0]._fields, zip(*turns, strict=True), strict=True):
                bench.note(f"{label}: {name.replace('_', ' ')} /s", round(statistics.median(value)))
            for senders in (1, SENDERS, MANY):
                before = gateway.child.ask()["figures"]["syncs"]
                accepted = send(gateway.door, make, senders=senders, seconds=bench.seconds)
                bench.only(accepted, 202)
                bench.note(f"{label}: accepted, {senders} senders", accepted)
                if senders == MANY and size == 5_000:
                    syncs = gateway.child.ask()["figures"]["syncs"] - before
                    bench.bar("syncs per submission at 256 senders", syncs / accepted.statuses[202], "≤", 0.1)
        if size == 5_000:
            bench.bar(f"accepted / sum of stages, 5 kB, {MANY} senders", _ratio(crowded), "≥", 0.6)
            bench.bar(f"the same with {SENDERS}", _ratio(turns), "≥", 0.6)
            bench.stage_sum = statistics.median(turn.sum_of_the_stages for turn in turns)
        else:
            bench.information("accepted / sum of stages, 50 kB", _ratio(turns))


class _Turn(NamedTuple):
    """A second each."""

    http_alone: float
    guard_parse_and_xsd_alone: float
    raw_group_commits_of_the_same_rows: float
    sum_of_the_stages: float
    accepted: float


def _ratio(turns: Sequence[_Turn]) -> float:
    return statistics.median(turn.accepted / turn.sum_of_the_stages for turn in turns)


def _turn(bench: Bench, http: Gateway, gateway: Gateway, size: int, senders: int) -> _Turn:
    make, seconds = message_of(size), bench.seconds / 2
    alone = send(http.door, make, senders=senders, seconds=seconds).rate
    inspect = stages.inspections(make, seconds=seconds)
    before = gateway.child.ask()["figures"]["commits"]
    accepted = send(gateway.door, make, senders=senders, seconds=seconds)
    bench.only(accepted, 202)
    group = max(1, round(accepted.statuses[202] / (gateway.child.ask()["figures"]["commits"] - before)))
    journal, copy = bench.folder / f"accept-{size}" / "state" / "journal.db", bench.folder / f"raw-{size}.db"
    raw = stages.raw_commits(journal, copy, group=group, seconds=seconds)
    copy.unlink()
    return _Turn(alone, inspect, raw, 1 / (1 / alone + 1 / inspect + 1 / raw), accepted.rate)


def delivering(bench: Bench) -> None:
    """Accepted and delivered, drain included, against stages and a bare client to the same case system."""
    if not bench.stage_sum:
        accepting(bench)
    make = message_of(5_000)
    with case_system() as system:
        headers = {"Authorization": "Bearer simulator", "Content-Type": "application/xml"}
        bare = {
            name: stages.posts(f"{system.url}/cases", headers, make(), client=name, in_flight=SENDERS, seconds=bench.seconds)
            for name in ("httpx", "aiohttp")
        }
        for name, rate in bare.items():
            bench.note(f"bare {name} POSTs to the case system /s", round(rate))
        with bench.gateway("deliver", system.url) as gateway:
            send(gateway.door, make, senders=4, seconds=1.5)
            drained(gateway)
            begun, before = time.perf_counter(), system.cases()
            load = send(gateway.door, make, senders=SENDERS, seconds=bench.seconds)
            drained(gateway)
            both = (system.cases() - before) / (time.perf_counter() - begun)
            bench.note("accepted while delivering", load)
            bench.note("accepted and delivered /s", round(both))
            bench.only(load, 202)
            backlog = _drain_rate(bench, gateway, system)
            bench.note("backlog drained: deliveries /s", round(backlog))
    stage_sum = {name: 1 / (1 / bench.stage_sum + 1 / rate) for name, rate in bare.items()}
    bench.bar("accept + deliver / sum of stages (bare httpx)", both / stage_sum["httpx"], "≥", 0.5)
    bench.information("accept + deliver / sum of stages (bare aiohttp)", both / stage_sum["aiohttp"])
    bench.bar("deliveries / bare httpx POSTs", backlog / bare["httpx"], "≥", 0.5)


def _drain_rate(bench: Bench, gateway: Gateway, system: CaseSystem) -> float:
    """Deliveries per second when nothing is accepted meanwhile."""
    send(gateway.door, message_of(5_000), senders=256, seconds=min(3.0, bench.seconds))
    begun, before = time.perf_counter(), system.cases()
    drained(gateway)
    return (system.cases() - before) / (time.perf_counter() - begun)


def drained(gateway: Gateway, seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while left := gateway.undelivered():
        if time.monotonic() > until:
            raise SystemExit(f"not delivered in {seconds:g} s: {left}")
        time.sleep(0.02)


def refusing(bench: Bench) -> None:
    """Invalid input is the expensive input; it may not cost more than four good ones."""
    good = message_of(5_000)
    bad = good().replace(b"<l:haltungSeit>2026-02-20</l:haltungSeit>", b"<l:haltungSeit>gestern</l:haltungSeit>")
    codes = (SAMPLE.parent / "broken-ermaessigungsgrund.xml").read_bytes()
    with bench.gateway("refuse", DEAD) as gateway:
        right = send(gateway.door, good, senders=SENDERS, seconds=bench.seconds)
        for name, body in (("many wrong dates", bad), ("a wrong code", codes)):
            wrong = send(gateway.door, lambda body=body: body, senders=SENDERS, seconds=bench.seconds)  # type: ignore[misc]
            bench.only(wrong, 422)
            bench.note(f"refused, {name}", wrong)
            bench.bar(f"invalid / good rate ({name})", wrong.rate / right.rate, "≥", 0.25)


def remembering(bench: Bench) -> None:
    """Growth of memory for one large attachment, inside the message: the costlier of the two ways."""
    body = (SAMPLE.parent / "vollstaendig.xml").read_bytes()
    large = _with_attachment(body, 11 * MIB)
    with bench.gateway("memory", DEAD) as gateway:
        send(gateway.door, message_of(), senders=4, seconds=0.5)
        Path(f"/proc/{gateway.child.process.pid}/clear_refs").write_text("5")
        resting = gateway.child.memory()
        [status] = send(gateway.door, lambda: large, senders=1, count=1).statuses
        grown = gateway.child.memory("VmHWM") - resting
    if status != 202:
        raise SystemExit(f"the large message was answered {status}")
    bench.note("peak memory for an 11 MiB attachment, MiB", round(grown / MIB, 1))
    bench.bar("memory growth / attachment", grown / (11 * MIB), "≤", 6)


def idling(bench: Bench) -> None:
    """What an idle hour costs with a long history."""
    rows, seconds = (10_000, 20.0) if bench.quick else (100_000, 60.0)
    folder = bench.folder / "idle"
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "tests.bench.server", str(folder), "fill", str(rows)], check=True, cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    with bench.gateway("idle", DEAD) as gateway:
        time.sleep(20)  # the seal of what was filled in
        before = gateway.child.cpu_seconds()
        time.sleep(seconds)
        used = gateway.child.cpu_seconds() - before
    bench.note(f"CPU seconds of an idle hour, {rows:,} delivered", round(used / seconds * 3600, 1))
    bench.bar("idle, share of a core", used / seconds, "≤", 0.01)


def schemas(bench: Bench) -> None:
    """Every schema set beside the project: what it takes to load them, and what a message costs beside a bare parser."""
    if not sets.are_there():
        bench.numbers["schema sets"] = "not measured: they are not beside the project"
        bench.say("not measured: the schema sets are not beside the project")
        return
    figures = sets.measured(lambda line: print(line, file=sys.stderr, flush=True))
    bench.tables += sets.tables(figures)
    bench.numbers["schema sets"] = {"per message, µs": figures.sets, "loaded": figures.load, "code list": figures.keys}
    for name, row in figures.sets.items():
        bench.bar(f"detect + XSD + IDREF / bare parse + XSD, {name}", row["ratio"], "≤", 2)
    bench.bar("all schema sets loaded, CPU s", figures.load["cpu_s"], "≤", 2)
    bench.bar("all schema sets loaded, MB", figures.load["MB"], "≤", 150)
    bench.bar("keys of a code list of 2.9 MB, prepared, CPU ms", figures.keys["prepared"]["cpu_s"] * 1000, "≤", 50)
    bench.bar("keys of a code list of 2.9 MB, either way, MB", max(way["MB"] for way in figures.keys.values()), "≤", 10)


def _with_attachment(body: bytes, size: int) -> bytes:
    """The full sample with a file of ``size`` bytes inside its first attachment."""
    content = base64.b64encode(os.urandom(size * 3 // 4))
    found = re.search(rb"<(\w+:)?inhalt>[^<]*</(\w+:)?inhalt>", body)
    if found is None:
        raise SystemExit("the sample holds no attachment with content")
    tag = found[0].split(b">")[0] + b">"
    return body[: found.start()] + tag + content + b"</" + tag[1:] + body[found.end() :]
