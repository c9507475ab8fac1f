"""The one way out by HTTP: what a connector subclasses, and what each status means for the delivery.

::

    class Register(HttpConnector):
        name = "register"

        async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement:
            answer = await self.send(target, "POST", f"{target.options.url}/in", body=envelope.document)
            return Acknowledgement(case_number=answer.body.decode())

``send`` returns only for 2xx. Everything else becomes the outcome in ``MEANING``, and what breaks on the way the one
that ``wire`` can prove.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver

from connectors.answers import reason, retry_after
from connectors.sdk import Blocked, Connector, Envelope, InDoubt, Refused, Target, Unavailable
from connectors.tls import tls_context
from connectors.wire import Answer, Stream, Wire

__all__ = [
    "MEANING", "Answer", "HttpConnector", "HttpOptions", "Meaning", "Stream", "meaning", "nahtlos_headers", "raise_for",
]  # fmt: skip


class Meaning(Enum):
    """What a status says about a document that was sent."""

    TAKEN = "taken"
    BLOCKED = "blocked"
    UNAVAILABLE = "unavailable"
    IN_DOUBT = "in doubt"
    REFUSED = "refused"


MEANING: Mapping[int | str, Meaning] = MappingProxyType({
    "1xx": Meaning.IN_DOUBT,
    "2xx": Meaning.TAKEN,
    "3xx": Meaning.BLOCKED,  # never followed: the configured URL is wrong
    "4xx": Meaning.REFUSED,
    "5xx": Meaning.IN_DOUBT,
    401: Meaning.BLOCKED,
    403: Meaning.BLOCKED,
    407: Meaning.BLOCKED,  # a proxy wants us to log in
    408: Meaning.IN_DOUBT,
    425: Meaning.UNAVAILABLE,
    429: Meaning.UNAVAILABLE,
    503: Meaning.UNAVAILABLE,
})


def meaning(status: int) -> Meaning:
    """The row of ``MEANING`` for this status: its own, else that of its hundred."""
    return MEANING.get(status) or MEANING.get(f"{status // 100}xx", Meaning.IN_DOUBT)


def raise_for(answer: Answer) -> None:
    """Raise what the status means; return for 2xx. What the target wrote goes into ``Refused`` alone, which is kept encrypted."""
    match meaning(answer.status):
        case Meaning.TAKEN:
            return
        case Meaning.REFUSED:
            said = reason(answer)
            raise Refused(said.text, code=said.code or f"http-{answer.status}", xpath=said.place)
        case Meaning.BLOCKED:
            raise Blocked(f"HTTP {answer.status}")
        case Meaning.UNAVAILABLE:
            raise Unavailable(f"HTTP {answer.status}", after=retry_after(answer))
        case Meaning.IN_DOUBT:
            raise InDoubt(f"HTTP {answer.status}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """What every target spoken to by HTTP can be given. Raises ``ValueError`` with a sentence for what does not fit.

    url: where it is; ``https``, or ``http`` on this machine, or with ``plain_http = true`` inside a protected network.
    token, token_header, token_scheme: sent as ``Authorization: Bearer …`` unless named otherwise. user, password: Basic.
    client_certificate, client_key, ca_file: PEM files; ``ca_file`` replaces the operating system's authorities.
    connect_timeout, read_timeout: seconds to connect, and of silence while waiting for an answer.
    headers: more headers for every request.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    token_header: str = "Authorization"  # noqa: S105 - a header's name
    token_scheme: str = "Bearer"  # noqa: S105 - its scheme
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    client_certificate: str | None = None
    client_key: str | None = None
    ca_file: str | None = None
    plain_http: bool = False
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url: expected https://host/path")
        if parts.scheme == "http" and not self.plain_http and not _this_machine(parts.hostname):
            raise ValueError("url: http is not encrypted; use https, or plain_http = true inside a protected network")
        if parts.username is not None:
            raise ValueError("url: must not hold a password; use user and password")
        if self.token and self.user:
            raise ValueError("token and user exclude each other")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together")
        if self.client_key and not self.client_certificate:
            raise ValueError("client_key needs client_certificate")
        for name in ("connect_timeout", "read_timeout"):
            if not 0 < getattr(self, name) <= 3600:
                raise ValueError(f"{name}: expected seconds between 0 and 3600")
        secrets = {"token": self.token, "user": self.user, "password": self.password, **self.headers}
        for name, value in secrets.items():
            if value is not None and not all(sign.isprintable() for sign in value):
                raise ValueError(f"{name}: holds a line break or control character (a newline at the end of the file?)")

    def standing_headers(self) -> dict[str, str]:
        """Headers that are the same for every request, log-in included."""
        headers = dict(self.headers)
        if self.token:
            headers[self.token_header] = f"{self.token_scheme} {self.token}".strip()
        elif self.user is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return headers


class HttpConnector(Connector):
    """A connector that speaks HTTP: one client per target, kept for the life of the process."""

    Options: ClassVar[type] = HttpOptions
    resolver: ClassVar[type[AbstractResolver] | None] = None  # ``outbound.PublicOnly`` where the URL is not the operator's
    timeout = 60.0

    def __init__(self) -> None:
        self._wire: Wire | None = None
        self._standing: dict[str, str] = {}

    async def send(
        self,
        target: Target,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Stream | None = None,
    ) -> Answer:
        """One request; its answer if the status is 2xx, else the outcome that ``MEANING`` and ``wire`` give it.

        An answer with ``complete=False`` broke off or was larger than 1 MiB: its status counts, its body does not.
        """
        answer = await self.ask(target, method, url, headers=headers, body=body)
        raise_for(answer)
        return answer

    async def ask(
        self,
        target: Target,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Stream | None = None,
    ) -> Answer:
        """As ``send``, but any status is returned. For those whose case system gives a status a meaning of its own."""
        if self._wire is None:
            self._wire = self._connect(target)
        merged = {**self._standing, **headers} if headers else self._standing
        return await self._wire.send(method, url, headers=merged, body=body)

    async def look_up(self, target: Target, url: str, *, method: str = "GET") -> Answer:
        """As ``ask``, for ``find`` and ``check``: a question leaves no doubt behind, so silence is ``Unavailable``.

        5xx, 408 and 1xx are that too; any other status is returned, for only you know what your case system's 404 means.
        """
        try:
            answer = await self.ask(target, method, url)
        except InDoubt as silence:
            raise Unavailable(f"question: {silence.reason}") from None
        if meaning(answer.status) in (Meaning.IN_DOUBT, Meaning.UNAVAILABLE):
            raise Unavailable(f"question: HTTP {answer.status}", after=retry_after(answer))
        return answer

    async def aclose(self) -> None:
        if self._wire is not None:
            await self._wire.aclose()
            self._wire = None

    def _connect(self, target: Target) -> Wire:
        options: HttpOptions = target.options
        self._standing = options.standing_headers()
        tls: ssl.SSLContext | None = None
        if urlsplit(options.url).scheme == "https":
            tls = tls_context(ca_file=options.ca_file, certificate=options.client_certificate, key=options.client_key)
        return Wire(
            tls=tls,
            limit=(target.timeout or self.timeout) * 0.9,  # before the gateway's own patience ends, which knows less
            connect=options.connect_timeout,
            read=options.read_timeout,
            resolver=self.resolver() if self.resolver is not None else None,
        )


def nahtlos_headers(envelope: Envelope) -> dict[str, str]:
    """What travels beside the document: the delivery id, the time of receipt and its order, and where it belongs."""
    headers = {
        "Idempotency-Key": envelope.delivery_id,
        "Nahtlos-Received-At": envelope.received_at.isoformat(),
        "Nahtlos-Reference": envelope.reference,
        "Nahtlos-Order": str(envelope.order),
        "Nahtlos-Leistung": envelope.leistung,
        "Nahtlos-ARS": envelope.ars,
    }
    if envelope.test:
        headers["Nahtlos-Test"] = "1"
    if envelope.predecessor is not None and envelope.predecessor.case_number:
        headers["Nahtlos-Predecessor"] = envelope.predecessor.case_number
    if envelope.traceparent:
        headers["traceparent"] = envelope.traceparent
    return headers


def _this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
