"""Accept and deliver, end to end, against Celery and FastStream on RabbitMQ doing the same job on the same machine."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import aio_pika
import uvloop

from tests.bench.bench import SENDERS, Bench, take_turns
from tests.bench.child import CaseSystem, NotMeasured, case_system
from tests.bench.load import Door, send
from tests.conftest import ROOT
from tests.portal import message_of
from tests.servers import free_port

OURS_DISTRIBUTED = "intake + worker"
PEERS = {
    "Celery": ("celery_peer", ("celery", "-A", "tests.bench.peers.celery_peer", "worker", "-c", "2", "-l", "ERROR",
                               "--without-gossip", "--without-mingle", "--without-heartbeat")),
    "FastStream": ("faststream_peer", ("faststream", "run", "tests.bench.peers.faststream_peer:app")),
}  # fmt: skip
"""Name → module, and how its worker is started."""
FLOOR = "nothing kept"

_PATIENCE = 120.0


class Stuck(Exception):
    """Not everything that was accepted became a case within reason."""


def comparing(bench: Bench) -> None:
    """The same job, end to end, by Celery and by FastStream on RabbitMQ; with our HTTP client (the bar) and as usual.

    All of them are up all the time and take turns; ours before and after each of the others.
    """
    if lost := [name for name in ("celery", "faststream", "uvicorn") if importlib.util.find_spec(name) is None]:
        raise NotMeasured(f"the peers are not installed: pip install {' '.join(lost)}")
    with ExitStack() as stack:
        system = stack.enter_context(case_system())
        one = stack.enter_context(bench.gateway("compare", system.url))
        intake, _ = stack.enter_context(bench.distributed("compare-distributed", system.url))
        others = {OURS_DISTRIBUTED: _measured(bench, OURS_DISTRIBUTED, intake.door, system)}
        for name in PEERS:
            door = Door(stack.enter_context(peer(name, "aiohttp", amqp=bench.rabbitmq.url, target=system.url)), "")
            others[name] = _measured(bench, name, door, system)
        door = Door(stack.enter_context(nothing_kept(system.url)), "")
        others[FLOOR] = _measured(bench, FLOOR, door, system)
        found = take_turns(_measured(bench, "one process", one.door, system), others, bench.rounds)
    distributed, floor = found.pop(OURS_DISTRIBUTED), found.pop(FLOOR)
    bench.note("accept + deliver, one process /s", round(distributed.neighbours))
    bench.note("accept + deliver, intake + worker on PostgreSQL + RabbitMQ /s", round(distributed.rate))
    for name, peers in found.items():
        bench.note(f"accept + deliver, {name} with our HTTP client /s", round(peers.rate))
        bench.bar(f"accept + deliver, one process / {name}", 1 / peers.ratio, "≥", 2)
        bench.information(f"the same intake and POST with nothing kept / {name}", floor.ratio / peers.ratio)
    for name, peers in found.items():
        bench.information(f"accept + deliver, PostgreSQL + RabbitMQ / {name}", distributed.ratio / peers.ratio)
    bench.information("accept + deliver, PostgreSQL + RabbitMQ / one process", distributed.ratio)
    for name in PEERS:
        _as_commonly_written(bench, name, ours=distributed.neighbours)


def _as_commonly_written(bench: Bench, name: str, *, ours: float) -> None:
    with case_system() as system, peer(name, "httpx", amqp=bench.rabbitmq.url, target=system.url) as port:
        try:
            found = _measured(bench, f"{name} with httpx", Door(port, ""), system)()
        except Stuck as told:
            bench.note(f"accept + deliver, {name} as commonly written", f"did not finish: {told}")
            return
    bench.note(f"accept + deliver, {name} as commonly written /s", round(found))
    bench.information(f"accept + deliver, one process / {name}, as commonly written", ours / found)


def _measured(bench: Bench, name: str, door: Door, system: CaseSystem) -> Callable[[], float]:
    def once() -> float:
        found = rate(door, message_of(5_000), system.cases, senders=SENDERS, seconds=bench.seconds)
        bench.say(f"{name}: {found:,.0f}/s")
        return found

    return once


@contextmanager
def peer(name: str, client: str, *, amqp: str, target: str) -> Iterator[int]:
    """Intake and worker up; the port of the intake. client: ``aiohttp``, as our connectors, or ``httpx``."""
    module, worker = PEERS[name]
    queue = f"nahtlos-bench-{uuid.uuid4().hex[:8]}"
    environment = {"PEER_AMQP": amqp, "PEER_QUEUE": queue, "PEER_TARGET": target, "PEER_CLIENT": client}
    with ExitStack() as stack:
        stack.callback(lambda: uvloop.run(_delete(amqp, queue)))
        port = stack.enter_context(_intake(module, environment))
        stack.enter_context(_process(worker, environment))
        yield port


@contextmanager
def nothing_kept(target: str) -> Iterator[int]:
    """The port of an intake that delivers by itself."""
    with _intake("nothing_kept", {"PEER_AMQP": "", "PEER_QUEUE": "", "PEER_TARGET": target, "PEER_CLIENT": "aiohttp"}) as port:
        yield port


@contextmanager
def _intake(module: str, environment: dict[str, str]) -> Iterator[int]:
    port = free_port()
    web = ("uvicorn", f"tests.bench.peers.{module}:web", "--port", str(port), "--log-level", "error", "--no-access-log")
    with _process(web, environment):
        _await_port(port)
        yield port


@contextmanager
def _process(command: tuple[str, ...], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", *command], env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def rate(door: Door, make: Callable[[], bytes], cases: Callable[[], int], *, senders: int, seconds: float) -> float:
    """Cases per second from the first POST until the last accepted one is a case."""
    before = cases()
    warm = send(door, make, senders=4, seconds=1).statuses
    _until(cases, before + warm[202])
    begun, before = time.perf_counter(), before + warm[202]
    load = send(door, make, senders=senders, seconds=seconds)
    if set(load.statuses) != {202}:
        raise SystemExit(f"expected 202, got {dict(load.statuses)}")
    _until(cases, before + load.statuses[202])
    return load.statuses[202] / (time.perf_counter() - begun)


def _until(cases: Callable[[], int], wanted: int) -> None:
    end = time.monotonic() + _PATIENCE
    while cases() < wanted:
        if time.monotonic() > end:
            raise Stuck(f"{cases()} of {wanted} cases after {_PATIENCE:g} s")
        time.sleep(0.02)


def _await_port(port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("a peer did not start")


async def _delete(amqp: str, queue: str) -> None:
    async with await aio_pika.connect(amqp) as connection:
        await (await connection.channel()).queue_delete(queue)
