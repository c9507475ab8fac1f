"""The simulator's HTTP server: small, fast, and able to misbehave on the wire in ways that no decent server allows."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

import httptools

BODY_CAP = 256 << 20


@dataclass(slots=True)
class Request:
    """One request, read whole. headers: names in lower case."""

    method: str = ""
    path: str = ""
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Connection(asyncio.Protocol):
    """One client. ``answer`` may write at once and return ``None``, or return what has to be awaited first."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._url = b""
        self._chunks: list[bytes] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport

    # What a handler may do

    def reply(
        self, status: int, body: bytes = b"", *, media_type: str = "application/json", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        if status in (204, 304):
            body = b""
        start = head(status, len(body), media_type, headers)
        self.transport.write(start if self._request.method == "HEAD" else start + body)

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        """In order: what was written still goes out."""
        self.transport.close()

    def reset(self) -> None:
        """At once, with RST: what the client has not read yet is lost to it."""
        peer = self.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connections.discard(self)
        if self._task is not None:
            self._task.cancel()
        if self._idle is not None:
            self._idle.cancel()

    def data_received(self, data: bytes) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, ValueError):
            self.transport.abort()

    # httptools

    def on_message_begin(self) -> None:
        self._request, self._url, self._chunks, self._size = Request(), b"", [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > BODY_CAP:
            raise ValueError("body too large")
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self._task is not None and not self._task.done():
            self.transport.abort()  # a second request before the first answer: no client of ours does that
            return
        request = self._request
        request.method = self._parser.get_method().decode()
        path, _, query = self._url.partition(b"?")
        request.path, request.query = path.decode("latin-1"), query.decode("latin-1")
        request.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = []
        later = self._listener.answer(self, request)
        if later is None:
            self._answered()
        else:
            self._task = asyncio.ensure_future(self._finish(later))

    async def _finish(self, later: Awaitable[None]) -> None:
        await later
        self._answered()

    def _answered(self) -> None:
        patience = self._listener.close_idle_after
        if patience is not None and not self.transport.is_closing():
            seconds = patience() if callable(patience) else patience
            if seconds <= 0:
                self.transport.close()
            else:
                self._idle = asyncio.get_running_loop().call_later(seconds, self.transport.close)


class Listener:
    """Listens while it is open. close_idle_after: seconds, or what gives them: closes such connections without a word."""

    def __init__(
        self,
        answer: Callable[[Connection, Request], Awaitable[None] | None],
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        close_idle_after: float | Callable[[], float] | None = None,
    ) -> None:
        self.answer, self.close_idle_after = answer, close_idle_after
        self.connections: set[Connection] = set()
        self._host, self._port, self._tls = host, port, tls
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        return self._port

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), self._host, self._port, ssl=self._tls, backlog=1024)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and drop whoever is connected. The port is kept for the next ``open``."""
        if self._server is not None:
            self._server.close()
            for connection in list(self.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
            self._server = None


def head(status: int, length: int, media_type: str, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Status line and headers of an answer."""
    start = _STARTS.get((status, media_type))
    if start is None:
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Status"
        start = _STARTS[status, media_type] = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {media_type}\r\n".encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in headers).encode() if headers else b""
    return b"%bContent-Length: %d\r\n%b\r\n" % (start, length, more)


_STARTS: dict[tuple[int, str], bytes] = {}
