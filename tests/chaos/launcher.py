"""A gateway process that is spoilt from outside: it dies at a named step, breaks a promise, or is in a hurry.

The product knows nothing of this. ``STEPS`` and ``DEFECTS`` wrap or replace its methods before it starts; the names are
looked up when they are used, so that a step whose method has gone is an error and not a test of nothing.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from connectors.rest import RestConnector
from gateway import dispatch, settings
from gateway.adapters import group, journal, sql
from gateway.adapters.embedded import EmbeddedBroker
from gateway.adapters.postgres import PostgresJournal
from gateway.adapters.postgres_session import Session as PostgresSession
from gateway.adapters.sqlite import SqliteJournal
from gateway.adapters.sqlite_file import Session
from gateway.attempts import breaker
from gateway.attempts.watchdog import Watchdog
from gateway.clocks import SystemClock
from gateway.delivery import Worker
from gateway.http import submit
from gateway.process import run
from gateway.retry import RetryPolicy
from gateway.sweeping import Sweeper
from tests.chaos.defects import DEFECTS

QUICK = tuple(timedelta(seconds=s) for s in (0.2, 0.4, 0.8))


@dataclass(frozen=True, slots=True)
class Orders:
    """environment: of the process. dies: a name of ``STEPS``, at the ``nth`` time. breaks: a name of ``DEFECTS``.

    hurry: seconds instead of minutes between attempts, kilobytes instead of megabytes before a document is staged.
    memory: RLIMIT_AS in bytes above what it starts with. margin: seconds that a lease is longer than the calls it covers.
    freezes: it does not die there but falls asleep (SIGSTOP). ahead: seconds that its clock is wrong by. newer: texts of
    migrations that this version knows besides.
    """

    environment: Mapping[str, str] = field(repr=False)
    log: str
    dies: str = ""
    nth: int = 1
    breaks: str = ""
    hurry: bool = True
    memory: int | None = None
    margin: float | None = None
    freezes: bool = False
    ahead: float = 0.0
    newer: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """owner: class or module. moment: before or after the call, or this many seconds after its beginning. writer: only
    calls of the journal's writing thread count."""

    owner: Any
    method: str
    moment: str | float
    writer: bool = False


BEFORE, AFTER = "before", "after"

STEPS: Mapping[str, Step] = {
    "before accept": Step(SqliteJournal, "accept", BEFORE),
    "before commit": Step(Session, "commit", BEFORE, writer=True),
    "after commit": Step(Session, "commit", AFTER, writer=True),
    "before 202": Step(SqliteJournal, "accept", AFTER),
    "after 202": Step(submit, "answer", AFTER),
    "before ring": Step(EmbeddedBroker, "ring", BEFORE),
    "after ring": Step(EmbeddedBroker, "ring", AFTER),
    "before claim": Step(SqliteJournal, "claim", BEFORE),
    "after claim": Step(SqliteJournal, "claim", AFTER),
    "before the document is read": Step(SqliteJournal, "body", BEFORE),
    "before send": Step(RestConnector, "deliver", BEFORE),
    "after send, before the answer": Step(RestConnector, "deliver", 0.1),
    "after the answer": Step(RestConnector, "deliver", AFTER),
    "before confirm": Step(SqliteJournal, "advance", BEFORE),
    "after confirm": Step(SqliteJournal, "advance", AFTER),
    "before find": Step(RestConnector, "find", BEFORE),
    "after find": Step(RestConnector, "find", AFTER),
    "during a probe": Step(RestConnector, "check", BEFORE),
    "before seal": Step(SqliteJournal, "seal", BEFORE),
    "after seal": Step(SqliteJournal, "seal", AFTER),
    "before checkpoint": Step(Session, "checkpoint", BEFORE, writer=True),
    "after checkpoint": Step(Session, "checkpoint", AFTER, writer=True),
    "before looking after the dead": Step(Sweeper, "begin", BEFORE),
    "after looking after the dead": Step(Sweeper, "begin", AFTER),
    "before stop": Step(Worker, "stop", BEFORE),
    "after stop": Step(Worker, "stop", AFTER),
}

_ONLY_IN_A_FILE = ("before checkpoint", "after checkpoint", "before looking after the dead", "after looking after the dead")
_ON_POSTGRES = {SqliteJournal: PostgresJournal, Session: PostgresSession}
POSTGRES_STEPS: Mapping[str, Step] = {
    name: replace(step, owner=_ON_POSTGRES.get(step.owner, step.owner), writer=False)
    for name, step in STEPS.items() if name not in _ONLY_IN_A_FILE
}
"""The same where the journal is PostgreSQL."""


def launch(orders: Orders) -> None:
    """Runs in the process; returns when the gateway has stopped."""
    _redirect(orders.log)
    os.environ.update(orders.environment)
    if orders.hurry:
        _hurry()
    if orders.margin is not None:
        _default(Worker, "margin", timedelta(seconds=orders.margin))
    if orders.ahead:
        _misset(timedelta(seconds=orders.ahead))
    if orders.newer:
        _know(orders.newer)
    if orders.breaks:
        DEFECTS[orders.breaks]()
    if orders.dies:
        steps = POSTGRES_STEPS if orders.environment.get("NAHTLOS_JOURNAL", "").startswith("postgresql:") else STEPS
        die_at(steps[orders.dies], orders.nth, by=signal.SIGSTOP if orders.freezes else signal.SIGKILL)
    if orders.memory is not None:
        _limit_memory(orders.memory)
    run(settings.read())


def die_at(step: Step, nth: int, *, by: signal.Signals = signal.SIGKILL) -> None:
    original = getattr(step.owner, step.method)
    calls = 0

    def die() -> None:
        os.kill(os.getpid(), by)

    def due() -> bool:
        nonlocal calls
        if step.writer and threading.current_thread().name != "journal-writer":
            return False
        calls += 1
        return calls == nth

    def before() -> bool:
        now = due()
        if now and isinstance(step.moment, float):
            threading.Timer(step.moment, die).start()
        if now and step.moment == BEFORE:
            die()
        return now and step.moment == AFTER

    if inspect.iscoroutinefunction(original):
        @functools.wraps(original)
        async def spoilt(*args: Any, **kwargs: Any) -> Any:
            afterwards = before()
            try:
                return await original(*args, **kwargs)
            finally:
                if afterwards:
                    die()
    else:
        @functools.wraps(original)
        def spoilt(*args: Any, **kwargs: Any) -> Any:
            afterwards = before()
            try:
                return original(*args, **kwargs)
            finally:
                if afterwards:
                    die()

    setattr(step.owner, step.method, spoilt)


def _hurry() -> None:
    """The same rules, with times that a test can wait for and sizes that it can send."""
    _default(Worker, "policy", RetryPolicy(steps=QUICK))
    _default(Watchdog, "limit", 1.0)
    for owner, name, value in (
        (breaker, "FIRST_PROBE", timedelta(seconds=0.5)),
        (breaker, "RAREST_PROBE", timedelta(seconds=1)),
        (breaker, "PROBE_PATIENCE", timedelta(seconds=2)),
        (dispatch, "LOST_AFTER", timedelta(seconds=5)),
        (group, "_LOG_BYTES", 500_000),
        (journal, "STAGED_FROM", 20_000),
    ):
        assert hasattr(owner, name), f"there is no {owner.__name__}.{name} any more"
        setattr(owner, name, value)


def _misset(ahead: timedelta) -> None:
    right = SystemClock.now

    def wrong(self: SystemClock) -> datetime:
        return right(self) + ahead

    SystemClock.now = wrong  # type: ignore[method-assign]


def _know(newer: Sequence[str]) -> None:
    """As a version after this one would. newer: with their headers."""
    known = sql.migrations()
    for text in newer:
        needs = int(re.findall(r"^-- needs: (\d+)$", text, flags=re.MULTILINE)[0])
        no = known[-1].no + 1
        known.append(sql.Migration(no, f"newer_{no}", text, hashlib.sha256(text.encode()).digest(), needs))
    sql.migrations = lambda: known


def _default(cls: type, argument: str, value: object) -> None:
    defaults: dict[str, Any] | None = cls.__init__.__kwdefaults__  # type: ignore[misc]
    assert defaults is not None
    assert argument in defaults
    defaults[argument] = value


def _redirect(log: str) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(handle, stream.fileno())
    os.close(handle)


def _limit_memory(more: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))

