"""When something is away, and when it is back: intake goes on, and what has piled up is delivered as fast as ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.bench.bench import DEAD, SENDERS, Bench, Gateway, take_turns
from tests.bench.child import CaseSystem, case_system
from tests.bench.load import send
from tests.bench.single import drained
from tests.portal import message_of


def outages(bench: Bench) -> None:
    """The rate of accepting with the broker frozen, with the broker killed, with the target down, to that with all up and
    delivering."""
    make = message_of(5_000)

    def accepted(gateway: Gateway, *after: Gateway) -> float:
        load = send(gateway.door, make, senders=SENDERS, seconds=bench.seconds)
        bench.only(load, 202)
        for other in after:
            drained(other)
        return load.rate

    with (
        case_system() as system,
        bench.gateway("up", system.url) as one, bench.gateway("down", DEAD) as one_down,
        bench.distributed("outage", system.url) as (intake, worker), bench.distributed("outage-down", DEAD) as (intake_down, _),
    ):
        broker = bench.rabbitmq

        def without_broker(away: Callable[[], None], back: Callable[[], None]) -> Callable[[], float]:
            def once() -> float:
                away()
                try:
                    return accepted(intake)
                finally:
                    back()
                    drained(worker)

            return once

        for gateway in (one, one_down, intake, intake_down):
            send(gateway.door, make, senders=SENDERS, seconds=1)
        drained(one)
        drained(worker)
        embedded = take_turns(lambda: accepted(one, one), {"target down": lambda: accepted(one_down)}, bench.rounds)
        distributed = take_turns(lambda: accepted(intake, worker), {
            "broker frozen": without_broker(broker.freeze, broker.thaw),
            "broker killed": without_broker(broker.kill, broker.start),
            "target down": lambda: accepted(intake_down),
        }, bench.rounds)
    for name, found in {"one process": embedded, "PostgreSQL + RabbitMQ": distributed}.items():
        for what, beside in found.items():
            bench.note(f"accepted, {name}, {what} /s", round(beside.rate))
            bench.note(f"accepted, {name}, all up /s", round(beside.neighbours))
            bench.bar(f"accept rate, {name}: {what} / all up", beside.ratio, "≥", 0.95)


def backlog(bench: Bench) -> None:
    """How fast a long backlog is delivered, beside short ones; nothing is accepted meanwhile."""
    few, many = (500, 2_000) if bench.quick else (2_000, 20_000)
    with case_system() as system:
        with bench.gateway("backlog", system.url) as one:
            _backlog(bench, "one process", one, one, system, few, many)
        with bench.distributed("backlog-distributed", system.url) as (intake, worker):
            _backlog(bench, "PostgreSQL + RabbitMQ", intake, worker, system, few, many)


def _backlog(
    bench: Bench, name: str, intake: Gateway, worker: Gateway, system: CaseSystem, few: int, many: int
) -> None:
    def measured(count: int) -> float:
        found = delivered(intake, worker, system, count)
        bench.say(f"{name}, backlog of {count:,}: {found:,.0f}/s")
        return found

    measured(few)
    found = take_turns(lambda: measured(few), {"many": lambda: measured(many)}, bench.rounds)["many"]
    bench.note(f"deliveries /s, {name}, backlog of {many:,}", round(found.rate))
    bench.note(f"deliveries /s, {name}, backlog of {few:,}", round(found.neighbours))
    bench.bar(f"deliveries, {name}: backlog of {many:,} / of {few:,}", found.ratio, "≥", 0.9)


def delivered(intake: Gateway, worker: Gateway, system: CaseSystem, count: int) -> float:
    """A second, of a backlog of so many."""
    with held(worker):
        load = send(intake.door, message_of(5_000), senders=SENDERS, count=count)
        if load.statuses[202] != count:
            raise SystemExit(f"expected {count} × 202, got {dict(load.statuses)}")
    begun, wanted = time.perf_counter(), system.cases() + count
    while system.cases() < wanted:
        time.sleep(0.05)
        if time.perf_counter() - begun > 600:
            raise SystemExit(f"{wanted - system.cases()} of {count} were not delivered")
    drained(worker)
    return count / (time.perf_counter() - begun)


@contextmanager
def held(worker: Gateway) -> Iterator[None]:
    """The target is paused, so that a backlog forms."""
    worker.pause()
    yield
    worker.resume()
