"""One client: how long it may take to say what it wants, who it is, and a no in our own words.

Deadlines that uvicorn does not have: a connection that is silent, sends its head a byte at a time or never ends it is
closed; the body's deadlines belong to ``http.upload``.
"""

from __future__ import annotations

import asyncio
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SayNo = Callable[[int], tuple[list[tuple[bytes, bytes]], bytes]]
"""status → headers and body of a refusal that never reaches the application"""

MAX_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. head: from the connection, or from the end of the last answer plus keep_alive, until a request's head is
    complete. handshake: of TLS. When the server stops: drain for running requests, linger for those on their way."""

    head: float = 10.0
    keep_alive: float = 15.0
    handshake: float = 10.0
    drain: float = 6.0
    linger: float = 1.0


USUAL = Deadlines()


class Connection(HttpToolsProtocol):
    """One client. Knows since when it owes us a request's head, who it is, and says no in our own words."""

    max_request: int
    deadlines: Deadlines
    say_no: staticmethod[[int], tuple[list[tuple[bytes, bytes]], bytes]]
    made = last = rest_of_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.made = True
        self.access_log = False  # it would write whole URLs, and the hot path would pay for it
        self.waiting_since: float | None = self.loop.time()
        self.allowed = self.deadlines.head
        self.taken = 0
        self.identity = _identity_of(transport)

    def data_received(self, data: bytes) -> None:
        self.taken += len(data)
        if self.taken > self.max_request:
            return self.refuse(413)
        super().data_received(data)
        if self.waiting_since is not None and self.taken > MAX_HEAD and not self.rest_of_body:
            self.refuse(431)
        return None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.identity:
            self.scope.update(self.identity)  # type: ignore[typeddict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.waiting_since is not None:  # trailers decide nothing and are not kept
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.waiting_since = None
        super().on_headers_complete()
        if self.last:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        if self.rest_of_body:
            self.rest_of_body, self.taken = False, 0
        self.scope["nahtlos.whole"] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.taken = 0
        self.rest_of_body = self.cycle.more_body  # answered before it was all here: what comes is no head
        if not self.pipeline:
            self.waiting_since, self.allowed = self.loop.time(), self.deadlines.keep_alive + self.deadlines.head
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self.refuse(400)

    def sweep(self, now: float) -> None:
        """Called once a second: is the head overdue?"""
        if self.waiting_since is not None and now - self.waiting_since > self.allowed:
            self.refuse(408)

    def is_last(self) -> None:
        self.last = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    @property
    def busy(self) -> bool:
        answering = self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]
        return answering or (self.made and self.taken > 0)

    def hang_up(self) -> None:
        if self.made:
            self.transport.close()

    def refuse(self, status: int) -> None:
        """The shortest possible no, from below the application; then the connection ends."""
        if self.transport.is_closing():
            return
        busy = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete  # type: ignore[redundant-expr]
        if self.taken and not busy:
            headers, body = self.say_no(status)
            head = b"".join(b"%s: %s\r\n" % pair for pair in (*self.server_state.default_headers, *headers))
            self.transport.write(b"HTTP/1.1 %d \r\n%s\r\n%s" % (status, head, body))
        self.transport.close()


def _identity_of(transport: asyncio.Transport) -> dict[str, bytes | str]:
    """Who the connection itself proves to be: a client certificate (DER), or the local user behind a socket file."""
    secured = transport.get_extra_info("ssl_object")
    if secured is not None:
        der = secured.getpeercert(binary_form=True)
        return {"nahtlos.certificate": der} if der else {}
    plain = transport.get_extra_info("socket")
    if plain is not None and plain.family == socket.AF_UNIX:
        _, uid, _ = struct.unpack("3i", plain.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        try:
            return {"nahtlos.local": pwd.getpwuid(uid).pw_name}
        except KeyError:
            return {"nahtlos.local": f"uid-{uid}"}
    return {}
