"""Processes that are measured, and what they cost."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from tests.conftest import ROOT

_PATIENCE = 120


class NotMeasured(Exception):
    """Something that this part needs is not there; the text says what to do."""


@dataclass(slots=True)
class Child:
    """A process of ours that says one JSON line when it is ready, and one for every line it is sent."""

    process: subprocess.Popen[str]
    hello: dict[str, Any]

    def ask(self, word: str = "") -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], _PATIENCE)[0]:
            raise SystemExit(f"a measured process has not answered for {_PATIENCE} s")
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a measured process ended with {self.process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said

    def memory(self, name: str = "VmRSS") -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(name)

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)


@contextmanager
def child(*arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> Iterator[Child]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | environment,
    )
    assert process.stdout
    assert process.stdin
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{arguments[0]} did not start")
    try:
        yield Child(process, json.loads(line))
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


class CaseSystem:
    """The simulated one, in a process of its own. Use with ``case_system``."""

    def __init__(self, running: Child) -> None:
        self.url: str = running.hello["url"]
        self._client = httpx.Client(trust_env=False, verify=False, timeout=60)

    def cases(self) -> int:
        return int(self._client.get(self.url + "/_stats").json()["cases"])

    def close(self) -> None:
        self._client.close()


@contextmanager
def case_system() -> Iterator[CaseSystem]:
    """It writes its cases nowhere: what is measured is not it."""
    with child("connectors.simulator", "rest", "--no-fsync") as running:
        system = CaseSystem(running)
        try:
            yield system
        finally:
            system.close()


def cpu_seconds(pid: int) -> float:
    """Of the process and of its children that have ended, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own, ended = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return (own + ended) / os.sysconf("SC_CLK_TCK")


def busy(seconds: float = 1.0) -> float:
    """Share of this machine that is used now, by whomever."""
    def read() -> tuple[int, int]:
        times = [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(times), times[3] + times[4]

    before = read()
    time.sleep(seconds)
    after = read()
    return 1 - (after[1] - before[1]) / max(1, after[0] - before[0])
