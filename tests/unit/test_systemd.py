"""The two small protocols of systemd, spoken to a listener of our own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.systemd import Supervision, inherited
from tests.conftest import ROOT

# Only in a process of its own can descriptor 3 be ours.
RECEIVER = """
import os, sys
held = [int(number) for number in sys.argv[1].split(",")]
for target, number in enumerate(held, start=3):
    os.dup2(number, target)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(held)), LISTEN_FDNAMES="http")
from gateway import systemd
try:
    found = systemd.inherited()
except OSError as refused:
    print("refused:", refused.strerror)
else:
    print([each.getsockname()[1] for each in found], [each.get_inheritable() for each in found],
          [name for name in os.environ if name.startswith("LISTEN_")])
"""


def receives(*held: socket.socket) -> str:
    numbers = [each.fileno() for each in held]
    done = subprocess.run(
        [sys.executable, "-c", RECEIVER, ",".join(map(str, numbers))], cwd=ROOT, pass_fds=numbers, capture_output=True, text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_handed_over_socket_is_taken_and_kept_from_children() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        assert receives(held) == f"[{held.getsockname()[1]}] [False] []"


def test_a_socket_file_of_somebody_else_is_refused_because_it_would_make_everyone_the_operator(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(tmp_path / "open.sock"))
        held.listen()
        assert "is no internet socket" in receives(held)


def test_a_connection_instead_of_a_listener_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as held:
        assert "does not listen" in receives(held)


def test_sockets_that_were_meant_for_another_process_are_left_alone() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"}
    assert inherited(environment) == []
    assert environment == {}


def test_without_a_supervisor_there_is_nothing_to_take_and_nobody_to_tell() -> None:
    assert inherited({}) == []
    Supervision({}).ready("listens")
    Supervision({"NOTIFY_SOCKET": "/no/such/socket"}).ready("listens")


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


def test_it_says_that_it_is_ready_and_that_it_stops(ear: socket.socket) -> None:
    supervision = Supervision({"NOTIFY_SOCKET": ear.getsockname()})
    supervision.ready("listens on http://127.0.0.1:8400")
    assert ear.recv(1000) == b"READY=1\nSTATUS=listens on http://127.0.0.1:8400"
    supervision.stopping()
    assert ear.recv(1000) == b"STOPPING=1"


def test_an_address_without_a_file_is_understood() -> None:
    name = f"@nahtlos-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:])
        listening.settimeout(20)
        Supervision({"NOTIFY_SOCKET": name}).stopping()
        assert listening.recv(1000) == b"STOPPING=1"


async def test_signs_of_life_come_more_often_than_they_are_due(ear: socket.socket) -> None:
    supervision = Supervision({"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": "300000", "WATCHDOG_PID": str(os.getpid())})
    loop, signs = asyncio.get_running_loop(), asyncio.create_task(supervision.stay_alive())
    assert [await loop.run_in_executor(None, ear.recv, 1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    signs.cancel()


async def test_a_watchdog_that_is_meant_for_another_process_is_left_alone(ear: socket.socket) -> None:
    supervision = Supervision({"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": "300000", "WATCHDOG_PID": "1"})
    async with asyncio.timeout(20):
        await supervision.stay_alive()
