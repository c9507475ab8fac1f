"""Serves HTTP: uvicorn's httptools protocol on uvloop, with the deadlines uvicorn does not have (``connection``).

httptools is not a preference: h11 answers the smuggled second request of a message with Content-Length and
Transfer-Encoding. On SIGTERM what was accepted is finished, and a stalled request cannot delay the end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any
from weakref import WeakSet

import uvicorn
from uvicorn.server import ServerState

from gateway.connection import USUAL, Connection, Deadlines, SayNo
from gateway.draining import drain

__all__ = ["ASGI", "Deadlines", "SayNo", "Server", "Tls", "until_told_to_stop"]

ASGI = Callable[[Any, Any, Any], Awaitable[None]]

BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Tls:
    """Files. clients: certificates or their issuers that portals may show; without it no client certificate is asked for."""

    certificate: Path
    key: Path
    clients: Path | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 with forward secrecy and AES-GCM, or 1.3. Raises ``OSError`` or ``ssl.SSLError`` for unusable files."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AESGCM")
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.load_cert_chain(self.certificate, self.key)
        if self.clients is not None:
            context.load_verify_locations(self.clients)
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a portal's own certificate may be its own anchor
            context.verify_mode = ssl.CERT_OPTIONAL
        return context


class Server:
    """Any number of listeners for one ASGI application, in the running loop. max_request: bytes, with all its framing."""

    def __init__(
        self, app: ASGI, say_no: SayNo, *, deadlines: Deadlines = USUAL, max_request: int = 128 * 1024 * 1024
    ) -> None:
        own = {"max_request": max_request, "deadlines": deadlines, "say_no": staticmethod(say_no)}
        self._protocol = type("Connection", (Connection,), own)
        self._config = uvicorn.Config(
            app, http=self._protocol, ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False,
            proxy_headers=False, server_header=False, timeout_keep_alive=int(deadlines.keep_alive), timeout_graceful_shutdown=1,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it quotes exceptions; ours are logged by the edge
        self._state = ServerState()
        self._deadlines = deadlines
        self._servers: list[asyncio.Server] = []
        self._begun: WeakSet[Connection] = WeakSet()
        self._sockets: list[Path] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int, *, tls: Tls | None = None) -> int:
        """Returns the port, which is a free one for 0. Raises ``OSError``."""
        server = await asyncio.get_running_loop().create_server(
            self._connection, host, port, backlog=BACKLOG, reuse_address=True, **self._secured(tls),
        )
        self._begin(server)
        return int(server.sockets[0].getsockname()[1])

    async def take_over(self, listening: socket.socket, *, tls: Tls | None = None) -> int:
        """Serve a socket that somebody else holds as well, and that will outlive us. Returns its port."""
        server = await asyncio.get_running_loop().create_server(
            self._connection, sock=listening, backlog=BACKLOG, **self._secured(tls),
        )
        self._begin(server)
        return int(listening.getsockname()[1])

    async def listen_local(self, path: Path) -> None:
        """A socket file that only its owner can open (0600); whoever is left from a process that died is replaced."""
        _remove(path)
        listening = socket.socket(socket.AF_UNIX)
        try:
            os.fchmod(listening.fileno(), 0o600)  # what bind makes of it: Linux takes the socket's own mode, less the umask
            listening.bind(str(path))
            server = await asyncio.get_running_loop().create_unix_server(self._connection, sock=listening)
        except BaseException:
            listening.close()
            raise
        self._sockets.append(path)
        self._begin(server)

    async def stop(self, grace: float | None = None) -> None:
        """No new connections; what was accepted is finished within ``grace`` seconds, then cut off."""
        loop = asyncio.get_running_loop()
        for each in self._servers:
            for listening in each.sockets:
                loop.remove_reader(listening)
        await asyncio.sleep(0)  # a server that is closed drops whom it has accepted and not yet met
        for each in self._servers:
            each.close()
        for path in self._sockets:
            _remove(path)
        await drain(self._open, linger=self._deadlines.linger, grace=self._deadlines.drain if grace is None else grace)
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def connections(self) -> int:
        return len(self._state.connections)

    def handshakes(self) -> int:
        """Clients whose TLS handshake goes on."""
        return sum(not each.made for each in self._begun)

    def _open(self) -> list[Connection]:
        """Also those whose handshake goes on."""
        return [each for each in self._begun if not each.made or each in self._state.connections]

    def _connection(self) -> asyncio.Protocol:
        begun: Connection = self._protocol(self._config, self._state, {}, asyncio.get_running_loop())
        self._begun.add(begun)
        return begun

    def _secured(self, tls: Tls | None) -> dict[str, Any]:
        return {"ssl": tls.context(), "ssl_handshake_timeout": self._deadlines.handshake} if tls else {}

    def _begin(self, server: asyncio.Server) -> None:
        self._servers.append(server)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]
            now = loop.time()
            for connection in list(self._state.connections):
                if isinstance(connection, Connection):
                    connection.sweep(now)
            await asyncio.sleep(1)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


async def until_told_to_stop() -> None:
    """Returns on SIGTERM or SIGINT."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    try:
        await told.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
