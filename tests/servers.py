"""Real servers for the tests: an address from the environment, else one that runs here, else Debian's own started on a free port.

Runs in the process that controls the test run; the workers inherit the addresses through the environment.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import postgres
from tests.rabbitmq import NoServer, RabbitServer, takes_us

POSTGRES = "NAHTLOS_TEST_POSTGRES"
LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
AMQP = "NAHTLOS_TEST_AMQP"
LOCAL = "amqp://guest:guest@127.0.0.1:5672/"


class Servers:
    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._brokers: list[RabbitServer] = []
        self._databases: list[postgres.PostgresServer] = []
        self._folders: list[Path] = []

    def provide(self) -> None:
        if AMQP not in os.environ:
            os.environ[AMQP] = LOCAL if takes_us(LOCAL) else self._rabbitmq()
        if POSTGRES not in os.environ:
            os.environ[POSTGRES] = LOCAL_POSTGRES if postgres.takes_us(LOCAL_POSTGRES) else self._postgres()

    def stop(self) -> None:
        for server in self._started:
            _end(server)
        for broker in self._brokers:
            broker.close()
        for database in self._databases:
            database.close()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _rabbitmq(self) -> str:
        server = RabbitServer()
        self._brokers.append(server)
        server.start()
        return server.url

    def _postgres(self) -> str:
        server = postgres.PostgresServer()
        self._databases.append(server)
        server.start()
        return server.url

    def _folder(self, name: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"nahtlos-{name}-"))
        self._folders.append(folder)
        return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _wait(ready: Callable[[], bool], server: subprocess.Popen[bytes], name: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not ready():
        if server.poll() is not None or time.monotonic() > until:
            raise NoServer(f"{name} did not start (exit {server.poll()})")
        time.sleep(0.2)


def _end(server: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """The whole group: a server's wrapper is gone long before the server has closed its files."""
    until = time.monotonic() + seconds
    try:
        os.killpg(server.pid, signal.SIGTERM)
        while time.monotonic() < until:
            server.poll()
            os.killpg(server.pid, 0)
            time.sleep(0.1)
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        server.wait()
