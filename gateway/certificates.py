"""When certificates run out: our own, those we show to targets, and those that targets show to us.

Files are read at every scrape, so that a renewed certificate shows at once. What a target shows is looked at every six hours
by a handshake in which nothing is sent: nobody learns of an expired certificate from the first application that waits.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from connectors.sdk import Blocked
from connectors.tls import tls_context
from gateway.ports import Clock

LOOK_EVERY = 6 * 3600.0
HANDSHAKE_SECONDS = 10.0


class Shown(StrEnum):
    """By whom to whom. OWN: by us to portals. CLIENT: by us to a target. SERVER: by a target to us."""

    OWN = "own"
    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Expiry:
    """target: "" for our own. at: seconds since 1970."""

    shown: Shown
    target: str
    at: float


class Certificates:
    """own: our server certificate. options: of each target, as its connector reads them."""

    def __init__(self, *, own: Path | None, options: Mapping[str, Any], clock: Clock) -> None:
        self._clock, self._own, self._options = clock, own, options
        self._seen: dict[str, float] = {}
        self._read: dict[Path, tuple[int, float]] = {}

    def take(self, options: Mapping[str, Any]) -> None:
        """The targets are others from now on. New ones are looked at with the rest, six hours after the last look at most."""
        self._options = options
        self._seen = {target: at for target, at in self._seen.items() if target in options}

    def known(self) -> Iterator[Expiry]:
        """Of files: now. Of targets: when last looked at. What cannot be read is missing, and said elsewhere."""
        for shown, target, path in self._files():
            with suppress(OSError, ValueError):
                yield Expiry(shown, target, self._of_file(path))
        for target, at in sorted(self._seen.items()):
            yield Expiry(Shown.SERVER, target, at)

    async def run(self) -> None:
        """Look at what targets show, again and again. Until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Once. A target that is away keeps what was seen of it: that it is away is another alarm."""
        for target, options in self._options.items():
            with suppress(OSError, TimeoutError, ValueError, Blocked):
                if (at := await _shown_by(options)) is not None:
                    self._seen[target] = at

    def _files(self) -> Iterator[tuple[Shown, str, Path]]:
        if self._own is not None:
            yield Shown.OWN, "", self._own
        for target, each in self._options.items():
            if written := getattr(each, "client_certificate", None):
                yield Shown.CLIENT, target, Path(written)

    def _of_file(self, path: Path) -> float:
        changed = path.stat().st_mtime_ns
        if self._read.get(path, (0, 0.0))[0] != changed:
            # The chain's first to expire ends it for everybody.
            chain = x509.load_pem_x509_certificates(path.read_bytes())
            self._read[path] = changed, min(each.not_valid_after_utc.timestamp() for each in chain)
        return self._read[path][1]


async def _shown_by(options: Any) -> float | None:
    """Nothing but the handshake; whether to trust it is for the connector to say, when to renew it is said here."""
    parts = urlsplit(getattr(options, "url", "") or "")
    if parts.scheme != "https" or not parts.hostname:
        return None
    context = tls_context(certificate=options.client_certificate, key=options.client_key)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with asyncio.timeout(HANDSHAKE_SECONDS):
        _, writer = await asyncio.open_connection(
            parts.hostname, parts.port or 443, ssl=context, server_hostname=parts.hostname,
        )
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    finally:
        writer.transport.abort()
