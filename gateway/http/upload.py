"""Reads what a portal uploads: never more than allowed, never slower than allowed, and only what can be read.

Bytes are taken as they come; nothing is decompressed, decoded or written to disk. Everything that is wrong here is a
``Problem``; a client that goes away in the middle is ``ClientGone`` and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from python_multipart.multipart import parse_options_header

from gateway.http.problems import Kind, Problem

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Sink = Callable[[bytes], None]

MIB = 1024 * 1024
MULTIPART = b"multipart/form-data"


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a sender may be. idle: seconds without a byte. grace: seconds before the average counts. rate: bytes/s."""

    idle: float = 10.0
    grace: float = 10.0
    rate: int = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes. document: the message itself. attachment: each file. total: everything together. parts: of a multipart body.
    answer: seconds from the last byte of the body until there must be an answer, whatever it is."""

    document: int = 16 * MIB
    attachment: int = 64 * MIB
    total: int = 128 * MIB
    parts: int = 32
    answer: float = 30.0
    pace: Pace = Pace()


class ClientGone(Exception):
    """The sender hung up before the end. There is nobody to answer and nothing to keep."""


class Budget:
    """Bytes of unfinished uploads in this process (P5): beyond ``limit`` new bytes are refused, so that memory never is."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    def take(self, size: int) -> None:
        """Give them back when the request is over. Raises ``Problem`` 503."""
        if self.used + size > self.limit:
            raise Problem(
                Kind.UNAVAILABLE,
                de="Zu viele große Einreichungen auf einmal. Es wurde nichts gespeichert; bitte gleich noch einmal senden.",
                en="Too many large submissions at once. Nothing was stored; please send again in a moment.",
                retry_after=5, close=True,
            )
        self.used += size

    def give_back(self, size: int) -> None:
        self.used -= size


async def pour(
    receive: Receive, sink: Sink, *, limit: int, pace: Pace, whole: bool = False, part: str = "request",
    grown: Callable[[int], None] = lambda size: None,
) -> int:
    """Hands every chunk of the body to ``sink`` and returns how many bytes there were.

    whole: all of it is here already, so that nobody need watch the clock. part: see ``too_large``. grown: told how many bytes
    there are by now, before more are kept. Raises ``Problem`` 413 beyond ``limit`` bytes, 408 when the sender stalls or crawls,
    and ``ClientGone``.
    """
    if whole:
        message = await receive()
        body: bytes = message.get("body", b"")
        if message["type"] == "http.request" and not message.get("more_body") and 0 < len(body) <= limit:
            grown(len(body))
            sink(body)
            return len(body)
        receive = _first(message, receive)
    loop = asyncio.get_running_loop()
    started, size = loop.time(), 0
    try:
        async with asyncio.timeout(pace.idle) as deadline:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientGone
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise too_large(limit, part=part)
                if chunk:
                    grown(size)
                    sink(chunk)
                if not message.get("more_body"):
                    return size
                deadline.reschedule(min(loop.time() + pace.idle, started + pace.grace + size / pace.rate))
    except TimeoutError:
        raise Problem(
            Kind.TIMEOUT,
            de="Der Inhalt kam zu langsam oder gar nicht an. Es wurde nichts gespeichert; bitte noch einmal senden.",
            en="The content arrived too slowly or not at all. Nothing was stored; please send again.",
            close=True,
        ) from None


def _first(message: MutableMapping[str, Any], receive: Receive) -> Receive:
    """``receive`` with a message that was taken already."""
    waiting = [message]

    async def again() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return again


def limit_of(limits: Limits, media_type: bytes) -> tuple[int, str]:
    """How large a body may be, and what it is called when it is larger."""
    return (limits.total, "request") if media_type == MULTIPART else (limits.document, "submission")


def too_large(limit: int, *, part: str = "request") -> Problem:
    """part: request | submission | attachment, what it is that is too large."""
    allowed = f"{limit // MIB} MiB" if limit >= MIB else f"{limit} Byte"
    de, en = _PARTS[part]
    return Problem(
        Kind.TOO_LARGE,
        de=f"{de} ist zu groß: Erlaubt sind höchstens {allowed}. Es wurde nichts gespeichert.",
        en=f"{en} is too large: at most {allowed} are allowed. Nothing was stored.",
        extra={"limit": limit, "part": part}, close=True,
    )


_PARTS = {
    "request": ("Die Anfrage im Ganzen", "The request as a whole"),
    "submission": ("Die Nachricht", "The message"),
    "attachment": ("Eine Anlage", "An attachment"),
}


# --- headers ---------------------------------------------------------------------------------------------------------

_ONCE = frozenset({
    b"authorization", b"client-cert", b"content-digest", b"content-encoding", b"content-length", b"content-type",
    b"idempotency-key", b"x-api-key",
})
_KEY = re.compile(rb"[\x21-\x7e]{1,255}\Z")
_DIGEST = re.compile(r"\s*([a-z0-9*_.-]+)\s*=\s*:([A-Za-z0-9+/]*={0,2}):\s*\Z")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


def headers_of(scope: MutableMapping[str, Any]) -> dict[bytes, bytes]:
    """The request's headers by lower-case name; those that decide anything may occur only once, else 400."""
    raw: list[tuple[bytes, bytes]] = scope["headers"]
    headers = dict(raw)
    if len(headers) != len(raw):
        names = [name for name, _ in raw]
        for name in _ONCE.intersection(names):
            if names.count(name) > 1:
                shown = name.decode()
                raise Problem(
                    Kind.BAD_REQUEST,
                    de=f"Der Kopf {shown} kommt mehr als einmal vor.", en=f"The header {shown} occurs more than once.",
                )
    return headers


def idempotency_key(headers: dict[bytes, bytes]) -> bytes | None:
    """1 to 255 visible ASCII characters; one pair of quotation marks around them, as the draft standard has it, is dropped."""
    raw = headers.get(b"idempotency-key")
    if raw is None:
        return None
    if _KEY.match(raw) is None:
        raise Problem(
            Kind.BAD_REQUEST,
            de="Idempotency-Key muss aus 1 bis 255 sichtbaren ASCII-Zeichen bestehen.",
            en="Idempotency-Key must be 1 to 255 visible ASCII characters.",
        )
    if len(raw) > 2 and raw[:1] == raw[-1:] == b'"':
        return raw[1:-1]
    return raw


def traceparent(headers: dict[bytes, bytes]) -> str | None:
    """The W3C trace context if it is one; anything else is not worth an error."""
    raw = headers.get(b"traceparent", b"")
    return raw.decode() if _TRACEPARENT.match(raw) else None


def content_length(headers: dict[bytes, bytes]) -> int | None:
    raw = headers.get(b"content-length")
    return int(raw) if raw is not None and raw.isdigit() and len(raw) < 20 else None


def refuse_encoding(headers: dict[bytes, bytes]) -> None:
    """Only identity: a compressed body would have to be inflated before anybody could say how large it is."""
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() != b"identity":
        raise Problem(
            Kind.MEDIA_TYPE,
            de="Komprimierte Inhalte werden nicht angenommen (Content-Encoding).",
            en="Compressed content is not accepted (Content-Encoding).",
            close=True,
        )


def is_xml(media_type: bytes) -> bool:
    return media_type in (b"application/xml", b"text/xml") or (
        media_type.startswith(b"application/") and media_type.endswith(b"+xml")
    )


def media_type_of(headers: dict[bytes, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """What the body says it is: XML or multipart/form-data; 415 for all else. No Content-Type at all is taken as XML,
    because a portal slot that is only a URL may be unable to set one."""
    raw = headers.get(b"content-type", b"")
    media_type, parameters = parse_options_header(raw)
    if not media_type:
        return b"application/xml", {}
    if is_xml(media_type):
        refuse_charset(parameters)
        return media_type, parameters
    if media_type == MULTIPART:
        return media_type, parameters
    raise Problem(
        Kind.MEDIA_TYPE,
        de="Gelesen werden application/xml, text/xml und multipart/form-data.",
        en="application/xml, text/xml and multipart/form-data are read.",
        close=True,
    )


def refuse_charset(parameters: dict[bytes, bytes]) -> None:
    charset = parameters.get(b"charset")
    if charset is not None and charset.lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        raise Problem(
            Kind.MEDIA_TYPE, de="Der Inhalt muss in UTF-8 kodiert sein.", en="The content must be encoded in UTF-8.", close=True,
        )


# --- Content-Digest (RFC 9530) -----------------------------------------------------------------------------------------


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class ContentDigest:
    """What the sender says the content's digest is. Feed it the content, then ``verify``."""

    def __init__(self, header: bytes) -> None:
        self._wanted: list[tuple[_Hash, bytes]] = []
        for item in header.decode("latin-1").split(","):
            match = _DIGEST.match(item)
            if match is None:
                raise self._malformed()
            if match[1] in ("sha-256", "sha-512"):
                try:
                    value = b64decode(match[2], validate=True)
                except ValueError:
                    raise self._malformed() from None
                self._wanted.append((hashlib.new(match[1].replace("-", "")), value))

    def update(self, data: bytes) -> None:
        for running, _ in self._wanted:
            running.update(data)

    def verify(self) -> None:
        if not all(hmac.compare_digest(running.digest(), wanted) for running, wanted in self._wanted):
            raise Problem(
                Kind.DIGEST_MISMATCH,
                de="Content-Digest passt nicht zum Inhalt; er wurde unterwegs verändert. Es wurde nichts gespeichert.",
                en="Content-Digest does not match the content; it was changed on the way. Nothing was stored.",
            )

    @staticmethod
    def _malformed() -> Problem:
        return Problem(
            Kind.BAD_REQUEST,
            de="Content-Digest ist nicht lesbar (RFC 9530, zum Beispiel sha-256=:…:).",
            en="Content-Digest cannot be read (RFC 9530, for example sha-256=:…:).",
        )
