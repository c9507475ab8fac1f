"""PostgreSQL for benchmarks: a server of one's own, on the disk that SQLite is measured on, with everything synced."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from tests.postgres import Database, PostgresServer, Shell

TUNED: Final[dict[str, Any]] = {"shared_buffers": "512MB", "max_wal_size": "4GB", "max_connections": 100}
"""Beside what the server has by default; fsync, synchronous_commit and full_page_writes stay on."""


class Databases:
    """As many as are asked for, on one server. Raises ``NoServer`` when used with ``with``."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._made = 0

    def __enter__(self) -> Self:
        self._server = self._stack.enter_context(PostgresServer(**TUNED))
        self._shell = Shell(self._server.url)
        self._stack.callback(self._shell.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def version(self) -> str:
        ((version,),) = self._shell.execute("show server_version")
        return str(version).split()[0]

    @property
    def described(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in TUNED.items())
        return f"{self.version}, own server on {self._server.data.parent.parent}, {settings}, fsync=on, synchronous_commit=on"

    def new(self) -> str:
        """Address of an empty database."""
        self._made += 1
        made = Database(self._server.url, f"bench{self._made}")
        made.shell.close()
        return made.url

    def drop(self, url: str) -> None:
        self._shell.execute(f'drop database if exists "{url.rpartition("/")[2]}" with (force)')

    def cpu_seconds(self) -> float:
        """Of the server with all its processes, so far."""
        postmaster = int((self._server.data / "postmaster.pid").read_text().split("\n", 1)[0])
        ended = Path(f"/proc/{postmaster}/stat").read_text().rsplit(")", 1)[1].split()[13:15]
        others = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return sum(map(int, ended)) / os.sysconf("SC_CLK_TCK") + sum(map(_ran, (postmaster, *map(int, others))))

    def room(self) -> int:
        return shutil.disk_usage(self._server.data).free


def _ran(process: int) -> float:
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):  # it has ended, and is counted as such from now on
        return 0.0


