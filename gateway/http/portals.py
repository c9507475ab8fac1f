"""Who is calling: by key, by client certificate (own TLS, or RFC 9440 from a trusted proxy), or over the local socket."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from gateway.access import (
    Certificate,
    Identity,
    Keyring,
    from_client_cert_header,
    is_trusted,
    key_in,
    local_operator,
)
from gateway.ports import Clock


class Door:
    """keyring: the one that holds now. trusted_proxies: networks whose ``Client-Cert`` header is believed."""

    def __init__(
        self, keyring: Callable[[], Keyring], clock: Clock, *, trusted_proxies: Iterable[IPv4Network | IPv6Network] = ()
    ) -> None:
        self._keyring, self._clock, self._trusted = keyring, clock, tuple(trusted_proxies)

    def identify(self, scope: Any, headers: dict[bytes, bytes]) -> Identity:
        """A key goes before a certificate, and both before the account behind the local socket.

        Raises ``access.Unauthenticated`` and ``access.Forbidden``.
        """
        at, keyring = self._clock.now(), self._keyring()
        authorization, api_key = headers.get(b"authorization"), headers.get(b"x-api-key")
        if authorization is not None or api_key is not None:
            return keyring.by_key(key_in(authorization=_text(authorization), api_key=_text(api_key)), at=at)
        certificate = self._certificate(scope, headers)
        if certificate is not None:
            return keyring.by_certificate(certificate, at=at)
        local: str | None = scope.get("nahtlos.local")
        return local_operator(local) if local is not None else keyring.by_key(None, at=at)

    def _certificate(self, scope: Any, headers: dict[bytes, bytes]) -> Certificate | None:
        der: bytes | None = scope.get("nahtlos.certificate")
        if der is not None:
            return Certificate.from_der(der)
        shown = headers.get(b"client-cert")
        if shown is not None and self._trusted and is_trusted((scope.get("client") or ("",))[0], self._trusted):
            return from_client_cert_header(shown.decode("latin-1"))
        return None


def _text(value: bytes | None) -> str | None:
    return value.decode("latin-1") if value is not None else None
