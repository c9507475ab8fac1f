"""Gateways and case systems as processes of their own, so that they can be killed.

A gateway process is forked from a server that has imported everything and done nothing: it begins where ``nahtlos serve``
begins after its imports, and dozens of lives cost seconds and not minutes. What is started here is ended here, by its pid.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx

from connectors.simulator import SECRET
from tests.chaos.launcher import Orders, launch
from tests.conftest import ROOT
from tests.portal import Portal

PLACES = ("081210000000", "081250000000", "081110000000")

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.chaos.launcher"])


class CaseSystem:
    """A simulator that makes a case of every document it is sent, so that a second one shows."""

    def __init__(self, folder: Path, *, product: str = "fallakte") -> None:
        self.log = folder / "cases.jsonl"
        folder.mkdir(parents=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "connectors.simulator", "rest", "--product", product, "--data", str(folder),
             "--not-idempotent", "--port", str(free_port())],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["url"]
        self._client = httpx.Client(base_url=self.url, timeout=10, trust_env=False)

    def break_with(self, faults: str) -> None:
        """The fault script from now on; "" repairs it."""
        self._client.put("/_faults", content=faults).raise_for_status()

    def stats(self) -> dict[str, Any]:
        said: dict[str, Any] = self._client.get("/_stats").json()
        return said

    def cases(self) -> int:
        return int(self.stats()["cases"])

    def close(self) -> None:
        self._client.close()
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Gateway:
    """A gateway's site and state, which outlive its processes. port: the same in every life. usual: orders for each of them.
    site: the file."""

    def __init__(self, folder: Path, site: str, *, state: Path | None = None, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.site = folder / "nahtlos.toml"
        self.site.write_text(site, encoding="utf-8")
        self.state, self.port, self.log = state or folder / "state", free_port(), folder / "gateway.log"
        self._settings = {
            "PROBE_SECRET": SECRET, "NAHTLOS_SITE": str(self.site), "NAHTLOS_STATE": str(self.state),
            "NAHTLOS_PORT": str(self.port), "NAHTLOS_LOG_FORMAT": "json", "NAHTLOS_THREADS": "2",
        } | {f"NAHTLOS_{name.upper()}": value for name, value in settings.items()}  # fmt: skip
        self.usual: dict[str, Any] = {}
        self._process: ForkServerProcess | None = None
        self._keys: dict[str, str] = {}
        self.lives = 0

    # --- life and death

    def start(self, **orders: Any) -> bool:
        """Returns when it listens, or False when it died before that. orders: of ``launcher.Orders``, before ``usual``."""
        self.begin(**orders)
        return self.await_start()

    def begin(self, **orders: Any) -> None:
        assert not self.is_alive()
        process = _forks.Process(target=launch, args=(Orders(self._settings, str(self.log), **self.usual | orders),), daemon=True)
        process.start()
        self._process = process
        self.lives += 1

    def await_start(self) -> bool:
        """As ``start``."""
        process = self._process
        assert process is not None
        until = time.monotonic() + 60
        while self.is_alive():
            if self._answers():
                return True
            if time.monotonic() > until:
                raise AssertionError(f"the gateway does not listen: {self.last_words()}")
            time.sleep(0.01)
        if process.exitcode != -signal.SIGKILL:
            raise AssertionError(f"the gateway did not start ({process.exitcode}): {self.last_words()}")
        return False

    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def kill(self) -> None:
        """SIGKILL, whatever it is doing; nothing if it is dead already."""
        if self._process is not None and self._process.pid is not None:
            if self._process.is_alive():
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.join()

    def stop(self, *, within: float = 15) -> int:
        """SIGTERM, and it must end by itself; the exit code."""
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGTERM)
        return self.await_death(within=within)

    def await_death(self, *, within: float) -> int:
        """The exit code; negative: the signal that killed it."""
        assert self._process is not None
        self._process.join(within)
        if self._process.exitcode is None:
            raise AssertionError(f"still alive after {within} s: {self.last_words()}")
        return self._process.exitcode

    def await_sleep(self, *, within: float) -> None:
        """Until it has been stopped by a signal (SIGSTOP)."""
        def asleep() -> bool:
            assert self._process is not None
            return Path(f"/proc/{self._process.pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "T"

        until(asleep, within=within, what=lambda: f"it falls asleep; {self.last_words()}")

    def wake(self) -> None:
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def await_end(self, *, within: float) -> bool:
        """Has it ended after this long?"""
        assert self._process is not None
        self._process.join(within)
        return self._process.exitcode is not None

    # --- talking to it

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """As the operator who sits at the machine. Raises ``httpx.HTTPError``."""
        transport = httpx.HTTPTransport(uds=str(self.state / "control.sock"))
        with httpx.Client(base_url="http://nahtlos", transport=transport, timeout=10) as client:
            answer = client.request(method, path, json=body)
            answer.raise_for_status()
            return answer.json()

    def key_of(self, portal: str) -> str:
        """Given out on first use."""
        if portal not in self._keys:
            order = {"holder": portal, "kind": "portal-key", "scope": ["*"], "reason": "test"}
            self._keys[portal] = self.call("POST", "/v1/keys", order)["key"]
        return self._keys[portal]

    def portal(self, name: str = "portal", *, log: Path | None = None, query: str = "") -> Portal:
        return Portal("127.0.0.1", self.port, self.key_of(name), log=log, query=query)

    def target(self, name: str) -> dict[str, Any]:
        targets = {each["name"]: each for each in self.call("GET", "/v1/targets")["targets"]}
        found: dict[str, Any] = targets[name]
        return found

    def open_deliveries(self) -> dict[str, int]:
        """How many are pending, delivering or dead, over all targets."""
        counts: dict[str, int] = {}
        for target in self.call("GET", "/v1/targets")["targets"]:
            for state, n in target["counts"].items():
                counts[state] = counts.get(state, 0) + n
        return {state: n for state, n in counts.items() if n and state in ("pending", "delivering", "dead")}

    def dead_letters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/v1/dead-letters?limit=500")["dead_letters"]
        return found

    def replay_dead_letters(self) -> list[dict[str, Any]]:
        """As an operator would who has repaired the cause; what was replayed."""
        dead = self.dead_letters()
        for each in dead:
            self.call("POST", f"/v1/dead-letters/{each['id']}/replay", {"reason": "repaired"})
        return dead

    def what_is_open(self) -> str:
        """For the message of a test that failed: the rows themselves."""
        columns = "target, state, waiting_for, in_doubt, crashes, attempts, next_attempt_at, lease_until, claimed_by, code, class"
        with closing(sqlite3.connect(f"file:{self.state / 'journal.db'}?mode=ro", uri=True)) as journal:
            open_ = journal.execute(f"select {columns} from delivery where state in ('pending', 'delivering', 'dead') limit 5")
            targets = journal.execute("select name, breaker, probe_at, paused_at, streak from target")
            return f"{datetime.now(UTC)}: {open_.fetchall()}, {targets.fetchall()}\n{self.last_words()}"

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of this event, of all its lives."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        told = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [line for line in told if line["event"] == event]

    def last_words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:] if self.log.exists() else ""

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
            return (self.state / "control.sock").exists()
        except OSError:
            return False


@contextmanager
def gateway(folder: Path, site: str, *, state: Path | None = None, **settings: str) -> Iterator[Gateway]:
    """Not started yet; dead when this ends."""
    made = Gateway(folder, site, state=state, **settings)
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def case_systems(folder: Path, *names: str) -> Iterator[list[CaseSystem]]:
    with ExitStack() as stack:
        made = []
        for name in names:
            made.append(CaseSystem(folder / name))
            stack.callback(made[-1].close)
        yield made


def site_of(*systems: CaseSystem | str, target: str = "", more: str = "") -> str:
    """One administration for each case system (or URL): targets ``fach-1``, ``fach-2`` … behind the places ``PLACES``.

    target: further lines for every target; more: further tables."""
    lines = ['site = "chaos"', "[portal.portal]", 'leistungen = ["*"]', "in_flight = 256"]
    for n, (system, ars) in enumerate(zip(systems, PLACES, strict=False), 1):
        url = system if isinstance(system, str) else system.url
        lines += [
            f"[authority.amt-{n}]", f'ars = "{ars}"', f'name = "Amt {n}"',
            f"[target.fach-{n}]", 'connector = "rest"', f'authority = "amt-{n}"', 'settle = "1s"', "timeout = 2", target,
            f'options = {{ url = "{url}", token = "env:PROBE_SECRET" }}',
            "[[route]]", 'leistung = "hundesteuer"', f'ars = "{ars[:5]}"', f'to = [ {{ target = "fach-{n}" }} ]',
        ]  # fmt: skip
    return "\n".join([*lines, more, ""])


def until(condition: Callable[[], bool], *, within: float, what: str | Callable[[], str], every: float = 0.05) -> None:
    """Fails with ``what`` when it is not so in time."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {within} s: {what if isinstance(what, str) else what()}")
        time.sleep(every)


def free_port() -> int:
    """Below the range from which the system gives out ports by itself, so that it stays free between two lives."""
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
