"""One HTTP client for one target: sends a request once and knows whether it may have arrived.

Everything here serves a single question: *was a byte of it written?* Before that, a failure is ``Unavailable`` (or
``Blocked``, where TLS says no) and proves that nothing was taken; after that it is ``InDoubt``. aiohttp is used
directly: it is 3 to 4 times faster than httpx on the same transport, and httpx-aiohttp reports a connection that broke
*after* sending as ``ConnectTimeout``, which would turn doubt into proof.

Connections are reused only where the target has earned it: see ``reuse``.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from tenacity import AsyncRetrying, RetryError, retry_if_exception, stop_after_attempt, stop_before_delay, wait_random

from connectors import reuse
from connectors.reuse import Reuse, Witness
from connectors.sdk import Blocked, InDoubt, Unavailable
from connectors.tls import outcome_after_sending, outcome_in_handshake

ANSWER_CAP = 1 << 20
_PAUSE = 0.1
_SLICE = 1 << 16
_WHOLE_UPTO = 1 << 19  # aiohttp warns above 1 MiB, rightly: one write of that size blocks the loop


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. complete: False if the body broke off, took too long or passed ``ANSWER_CAP``; the status still counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    complete: bool = True

    @property
    def media_type(self) -> str:
        """Lower case and without parameters; empty if the answer names none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Stream:
    """A body that is not held in memory. open: begins it (anew). size: its exact length in bytes, sent as Content-Length."""

    open: Callable[[], AsyncIterator[bytes]] = field(repr=False)
    size: int


class Wire:
    """The client of one target. Environment proxies, cookies, redirects and compression are off.

    limit: longest time for one try in seconds, answer included. connect, read: longest time to connect, and longest
    silence while waiting for the answer. resolver: decides where names lead (see ``outbound.PublicOnly``).
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        limit: float = 60.0,
        connect: float = 5.0,
        read: float = 30.0,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._tls, self._limit, self._resolver = tls, limit, resolver
        self._connect = connect = min(connect, limit / 2)  # so that only a request under way can meet ``limit``
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect, sock_read=read)
        self._warm: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._reuse = Reuse()
        self._let_in = False

    async def send(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | Stream | None = None) -> Answer:
        """Send once and return whatever was answered, of any status.

        Raises ``Unavailable`` or ``Blocked`` when nothing was written, ``InDoubt`` when something was and no status
        came back. Connecting, and nothing else, is tried up to three times.
        """
        began = asyncio.get_running_loop().time()
        try:
            return await self._once(method, url, headers, body)
        except _NotConnected as refused:
            # Never start what may still be connecting when the time of the attempt is over: that would look like doubt.
            used = asyncio.get_running_loop().time() - began
            spare = self._limit * 0.8 - used - self._connect - _PAUSE
            if isinstance(refused.outcome, Blocked) or spare < 0:
                raise refused.outcome from None
        again = AsyncRetrying(  # made only after a failure: it costs as much as a POST
            retry=retry_if_exception(lambda e: isinstance(e, _NotConnected) and isinstance(e.outcome, Unavailable)),
            stop=stop_after_attempt(2) | stop_before_delay(spare),
            wait=wait_random(0.2, 0.6),
        )
        await asyncio.sleep(_PAUSE)
        try:
            return await again(self._once, method, url, headers, body)
        except RetryError as exhausted:
            failure = exhausted.last_attempt.exception()
            raise failure.outcome if isinstance(failure, _NotConnected) else exhausted from None
        except _NotConnected as refused:
            raise refused.outcome from None

    async def aclose(self) -> None:
        await self._reuse.aclose()
        for session in (self._warm, self._fresh):
            if session is not None:
                await session.close()
        self._warm = self._fresh = None

    async def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Stream | None) -> Answer:
        if self._tls is not None and not self._let_in:
            await self._knock(url, headers)
        harmless = method in ("GET", "HEAD")  # aiohttp repeats these itself when a reused connection turns out closed
        if not harmless and self._reuse.wants_witness():
            return await self._witnessed(method, url, headers, body)
        if harmless or self._reuse.trusted():
            session = self._warm = self._warm or self._session(keepalive_timeout=reuse.REUSE_WITHIN)
        else:
            session = self._fresh = self._fresh or self._session(force_close=True)
        try:
            return await self._exchange(session, method, url, headers, body)
        except InDoubt:
            self._let_in = False
            if session is self._warm:
                self._reuse.distrust()
            raise

    async def _knock(self, url: str, headers: Mapping[str, str]) -> None:
        """Ask something harmless first. Under TLS 1.3 a server judges our certificate only after our first bytes, and many
        say no by hanging up: were those bytes a document, it would be in doubt whenever a certificate has run out."""
        self._fresh = self._fresh or self._session(force_close=True)
        try:
            await self._exchange(self._fresh, "HEAD", url, headers, None)
        except InDoubt:
            raise _NotConnected(Unavailable("TLS: hung up before any answer; is our certificate known there?")) from None
        self._let_in = True

    async def _witnessed(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Stream | None) -> Answer:
        """Send on a connection made for this request alone, which stays open afterwards to be watched."""
        witness, kept = self._witness(), None
        try:
            answer = await self._exchange(witness.session, method, url, headers, body)
            kept = answer.complete and "close" not in answer.headers.get("Connection", "").lower()
            return answer
        except InDoubt:
            self._let_in = False
            raise
        finally:
            self._reuse.watch(witness, kept=kept)

    async def _exchange(
        self, session: aiohttp.ClientSession, method: str, url: str, headers: Mapping[str, str], body: bytes | Stream | None
    ) -> Answer:
        until = asyncio.get_running_loop().time() + self._limit
        data, headers = _payload(body, headers, whole=method in ("GET", "HEAD", "POST"))
        try:
            async with asyncio.timeout_at(until):
                response = await session.request(
                    method, url, headers=headers, data=data, timeout=self._timeout, allow_redirects=False
                )
        except ssl.SSLError as failure:  # also where aiohttp wraps it: ClientConnectorSSLError is one
            if isinstance(failure, aiohttp.ClientConnectorError):
                raise _NotConnected(outcome_in_handshake(failure)) from None
            raise outcome_after_sending(failure) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as failure:
            # The only errors that aiohttp raises before it has a connection: whatever is not listed here is doubt.
            raise _connect_outcome(failure) from None
        except TimeoutError:
            raise InDoubt("no answer in time") from None
        except (aiohttp.ClientError, OSError) as failure:
            cause = failure.__cause__ or failure.__context__
            if isinstance(cause, ssl.SSLError):
                raise outcome_after_sending(cause) from None
            raise InDoubt(f"connection lost after sending ({type(failure).__name__})") from None
        answered, complete = await _read(response, until)
        return Answer(response.status, response.headers, answered, complete)

    def _witness(self) -> Witness:
        sockets: list[socket.socket] = []

        def make(address: Any) -> socket.socket:
            sockets.append(self._socket(address))
            return sockets[-1]

        return Witness(self._session(keepalive_timeout=reuse.PATIENCE * 10, socket_factory=make), sockets)

    def _socket(self, address: Any) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # else a peer that stops reading keeps a given-up connection for ever
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._limit * 1000))
        return made

    def _session(self, **connector: Any) -> aiohttp.ClientSession:
        connector.setdefault("socket_factory", self._socket)
        if self._tls is not None:
            connector["ssl"] = self._tls
        if self._resolver is not None:
            connector["resolver"] = self._resolver
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, **connector),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            headers={"User-Agent": "Nahtlos", "Accept-Encoding": "identity"},
        )


class _NotConnected(Exception):
    def __init__(self, outcome: Unavailable | Blocked) -> None:
        super().__init__()
        self.outcome = outcome


def _connect_outcome(failure: Exception) -> _NotConnected:
    if isinstance(failure, aiohttp.InvalidURL):
        return _NotConnected(Blocked("the URL is not usable"))
    if isinstance(failure, aiohttp.ConnectionTimeoutError):
        return _NotConnected(Unavailable("connecting took too long"))
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return _NotConnected(Unavailable("name not found"))
    code = failure.errno if isinstance(failure, OSError) else None
    return _NotConnected(Unavailable(f"no connection ({code or type(failure).__name__})"))


def _payload(body: bytes | Stream | None, headers: Mapping[str, str], *, whole: bool) -> tuple[Any, Mapping[str, str]]:
    """whole: not for PUT, which aiohttp sends again by itself after a lost connection, unless its body is a used-up stream."""
    if body is None or (whole and isinstance(body, bytes) and len(body) <= _WHOLE_UPTO):
        return body, headers
    stream = body if isinstance(body, Stream) else Stream(lambda: _slices(body), len(body))
    return stream.open(), {**headers, "Content-Length": str(stream.size)}


async def _slices(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _SLICE):
        yield body[start : start + _SLICE]


async def _read(response: aiohttp.ClientResponse, until: float) -> tuple[bytes, bool]:
    """What there is of the body, and whether that is all of it."""
    read, complete = bytearray(), False
    try:
        if response.content.is_eof():  # the common case: it came with the head
            body = await response.read()
            complete = True
            return body, True
        async with asyncio.timeout_at(until):
            async for chunk in response.content.iter_any():
                read += chunk
                if len(read) > ANSWER_CAP:
                    break
            else:
                complete = True
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass
    finally:
        if not complete:
            response.close()
    return bytes(read[:ANSWER_CAP]), complete
