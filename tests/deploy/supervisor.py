"""A systemd of fifty lines: holds the listening socket, starts the real gateway on it, hears that it is ready, starts it anew.

It does what ``nahtlos.socket`` and ``nahtlos.service`` make systemd do (sd_listen_fds(3), sd_notify(3)), on machines where
systemd does not run.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT

_BEGIN = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "gateway", "serve"])
"""

START_PATIENCE = 60.0
STOP_PATIENCE = 30.0


class Supervisor:
    """environment: NAHTLOS_* of the gateway. port: where the socket listens, in every life of the process."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port: int = self._listening.getsockname()[1]
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(str(folder / "notify"))
        self._ear.settimeout(0.1)
        cleaned = {name: value for name, value in os.environ.items() if not name.startswith(("NAHTLOS_", "LISTEN_"))}
        self._environment = cleaned | environment | {
            "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "3000000", "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "http",
        }
        self.log = folder / "gateway.log"
        self.heard: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the gateway has said READY=1."""
        held = self._listening.fileno()
        self.heard.clear()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BEGIN, str(held)], cwd=ROOT, env=self._environment, pass_fds=(held,),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        self.hear("READY=1", START_PATIENCE)

    def hear(self, line: str, patience: float) -> None:
        """Returns when the gateway has said this line since it was started."""
        until = time.monotonic() + patience
        while line not in self.heard:
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, f"no {line} within {patience} s: {self.heard}\n{self.log.read_text()}"
            self._listen()

    def stop(self) -> None:
        """SIGTERM, and wait until it is gone by itself. What it said last is heard as well."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(STOP_PATIENCE) == 0, self.log.read_text()
        self._listen()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._listening.close()
        self._ear.close()

    def _listen(self) -> None:
        try:
            while True:
                self.heard += self._ear.recv(4096).decode().splitlines()
        except TimeoutError:
            return
