"""Where the broker is and how we prove who we are: an address, a password and certificates, each by file if you like."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
from aiormq.connection import TCPTransportFactory, TLSTransportFactory
from pydantic import SecretStr
from yarl import URL

from gateway.ports import BrokerUnusable

HEARTBEAT = 5
"""Seconds. Silence of two of them is noticed by the broker, which then gives what we had to others; of three by us."""


@dataclass(frozen=True, slots=True)
class Address:
    """``amqp(s)://user@host:port/vhost``; a host name may stand for several addresses. password: goes before the one in
    the URL. ca: who may vouch for the broker, by default whom the machine trusts. cert, key: what we show the broker.

    Certificates are read anew for every connection, so that a renewed one is in force after the next reconnect.
    """

    url: str = field(repr=False)
    password: SecretStr | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def check(self) -> None:
        """Raises ``BrokerUnusable`` for certificates that cannot be used."""
        try:
            self._tls()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = ", ".join(str(path) for path in (self.ca, self.cert, self.key) if path is not None)
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            raise BrokerUnusable(
                f"Zertifikate für NAHTLOS_BROKER sind nicht zu gebrauchen ({why}): {files}",
                f"certificates for NAHTLOS_BROKER cannot be used ({why}): {files}",
            ) from None

    async def connect(self, name: str, *, seconds: float) -> Connection:
        """name: shown to the people who look after the broker. Raises what sockets, TLS and AMQP raise."""
        tls = await asyncio.to_thread(self._tls) if self._url().scheme == "amqps" else None
        connection = Connection(self._url(), ssl_context=tls, client_properties={"connection_name": name})
        try:
            await connection.connect(timeout=seconds)
        except BaseException:
            connection.abort()
            await connection.close()
            raise
        return connection

    def _url(self) -> URL:
        url = URL(self.url)
        if self.password is not None:
            url = url.with_password(self.password.get_secret_value())
        return url if "heartbeat" in url.query else url.update_query(heartbeat=HEARTBEAT)

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


class Connection(aio_pika.Connection):
    """One that can be broken off without waiting for the other side, which may be frozen or out of reach."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.kwargs = {**self.kwargs, "transport_factory": self}
        self._wire: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As aiormq's own transport factories, of which this is one."""
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._wire = await factory.create(url, **options)
        return reader, self._wire

    def abort(self) -> None:
        if self._wire is not None:
            self._wire.transport.abort()
