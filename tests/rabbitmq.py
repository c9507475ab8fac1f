"""A RabbitMQ of one's own, by the binaries that Debian installs: on free ports, with its own node name, cookie, data and port
mapper, so that it neither meets nor needs any other on this machine. It may be killed, frozen and started again."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

import aio_pika
from yarl import URL

from tests.certificates import Authority

BINARIES = Path("/usr/lib/rabbitmq/bin")
START_SECONDS = 90.0
USER = "nahtlos"


class NoServer(Exception):
    """There is none, none can be started, and the tests that need it may not be skipped."""


class RabbitServer:
    """Use with ``with``, or ``close`` it. tls: further lines of rabbitmq.conf ("ssl_options.cacertfile") → path; then it
    listens on ``tls_port``, too. url: with user and password, an administrator's."""

    def __init__(self, *, tls: Mapping[str, str | Path] = MappingProxyType({})) -> None:
        if not (BINARIES / "rabbitmq-server").exists():
            raise NoServer("RabbitMQ: set NAHTLOS_TEST_AMQP to a test server, or, as root, apt-get install rabbitmq-server")
        self._folder = Path(tempfile.mkdtemp(prefix="nahtlos-rabbitmq-"))
        self.port, self.tls_port, distribution, mapper = (free_port() for _ in range(4))
        self.password = f"p@ss:w/rd {secrets.token_hex(4)} %41"  # with everything that an address has to escape
        lines = [f"listeners.tcp.1 = 127.0.0.1:{self.port}", f"default_user = {USER}", f"default_pass = {self.password}"]
        lines += [f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}"] if tls else []
        lines += [f"{name} = {value}" for name, value in tls.items()]
        (self._folder / "rabbitmq.conf").write_text("\n".join([*lines, ""]), encoding="utf-8")
        (self._folder / "plugins").write_text("[].\n", encoding="ascii")
        # How long it waits before it tries again to place a dead ticket: three minutes, unless it is told.
        (self._folder / "advanced.config").write_text(
            "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 1000}]}].\n", encoding="ascii"
        )
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")} | {
            "HOME": str(self._folder),  # where the cookie is
            "RUNNING_UNDER_SYSTEMD": "true",  # the server itself, and no script around it
            "ERL_EPMD_PORT": str(mapper), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"nahtlos{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
        }  # fmt: skip
        self._mapping = [_port_mapper(), "-port", str(mapper), "-address", "127.0.0.1"]
        self._mapper = subprocess.Popen(
            [*_dies_with_us(), *self._mapping], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        _await_listener(mapper)  # else the server would start one that nobody ends
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return str(URL(f"amqp://{USER}@127.0.0.1:{self.port}/").with_password(self.password))

    def start(self, *, wait: bool = True) -> None:
        """With what it had when it was killed. Raises ``NoServer``."""
        assert not self.is_alive()
        with (self._folder / "output").open("ab") as output:
            self._server = subprocess.Popen(
                [*_dies_with_us(), str(BINARIES / "rabbitmq-server")], env=self._environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )
        if wait:
            self.await_start()

    def await_start(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not speaks_amqp(self.port):
            if not self.is_alive() or time.monotonic() > end:
                raise NoServer(f"RabbitMQ did not start: {self.last_words()}")
            time.sleep(0.1)

    def is_alive(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        if self._server is not None:
            self._signal(signal.SIGKILL)
            self._server.wait()

    def freeze(self) -> None:
        """The kernel goes on taking connections and bytes for it; it says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def ctl(self, *command: str) -> str:
        """``rabbitmqctl``; takes a second or two."""
        done = subprocess.run(
            [str(BINARIES / "rabbitmqctl"), "-n", self._environment["RABBITMQ_NODENAME"], *command], env=self._environment,
            capture_output=True, text=True, timeout=60, check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        self.kill()
        self._mapper.kill()
        self._mapper.wait()
        subprocess.run([*self._mapping, "-kill"], capture_output=True, check=False)  # one that the server has put in its place
        shutil.rmtree(self._folder, ignore_errors=True)

    def last_words(self) -> str:
        return (self._folder / "output").read_text(encoding="utf-8", errors="replace")[-2000:]

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None
        if self._server.poll() is None:
            os.kill(self._server.pid, number)


class Own(RabbitServer):
    """With TLS on ``tls_port``, where both sides must show what ``authority`` has signed. client: what we can show."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.client, server = self.authority.issue("gateway"), self.authority.issue("rabbitmq")
        super().__init__(tls={
            "ssl_options.cacertfile": self.authority.certificate, "ssl_options.certfile": server.certificate,
            "ssl_options.keyfile": server.key, "ssl_options.verify": "verify_peer",
            "ssl_options.fail_if_no_peer_cert": "true",
        })  # fmt: skip


def speaks_amqp(port: int) -> bool:
    """Does an AMQP server answer there?"""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def takes_us(url: str) -> bool:
    """Is there a broker at this address that lets us in? Another program may listen there, or one with other users."""
    async def connect() -> None:
        async with asyncio.timeout(5), await aio_pika.connect(url):
            pass

    if not speaks_amqp(URL(url).port or 5672):
        return False
    try:
        asyncio.run(connect())
    except Exception:
        return False
    return True


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


def _dies_with_us() -> list[str]:
    """Before a command: a test run that is killed leaves no server behind."""
    return [setpriv, "--pdeathsig", "KILL", "--"] if (setpriv := shutil.which("setpriv")) else []


def _await_listener(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise NoServer("epmd did not start")


def _port_mapper() -> str:
    if (found := shutil.which("epmd")) is not None:
        return found
    bundled = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
    if not bundled:
        raise NoServer("RabbitMQ without epmd: as root, apt-get install erlang-base")
    return str(bundled[-1])
