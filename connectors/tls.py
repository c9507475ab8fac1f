"""TLS towards targets: what we accept, and what a failed handshake proves."""

from __future__ import annotations

import ssl
from pathlib import Path

from connectors.sdk import Blocked, InDoubt, Unavailable


def tls_context(*, ca_file: str | None = None, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or 1.3 with forward secrecy and authenticated ciphers (BSI TR-02102-2), server name checked.

    ca_file: the only authorities trusted, PEM; without it, those of the operating system. certificate, key: ours, PEM.
    Raises ``Blocked`` with the name of the option whose file cannot be used.
    """
    for option, path in (("ca_file", ca_file), ("client_certificate", certificate), ("client_key", key)):
        if path is not None and not Path(path).is_file():
            raise Blocked(f"{option}: no such file")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (ssl.SSLError, OSError):
        raise Blocked("ca_file: not readable as PEM certificates") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:DHE+AESGCM")
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password="")
        except (ssl.SSLError, OSError):
            raise Blocked("client_certificate, client_key: not readable, or they do not belong together") from None
    return context


def outcome_in_handshake(failure: ssl.SSLError) -> Unavailable | Blocked:
    """A certificate or a protocol that does not fit needs a person; a handshake cut short is a server that restarts."""
    inner = _inner(failure)
    if isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return Unavailable("TLS handshake cut short")
    verify = getattr(inner, "verify_message", "")
    return Blocked(f"TLS: {verify or getattr(inner, 'reason', None) or 'handshake failed'}")


def outcome_after_sending(failure: ssl.SSLError) -> InDoubt | Blocked:
    """An alert about our certificate may come after our first bytes (TLS 1.3), but before the application was handed any."""
    reason = getattr(_inner(failure), "reason", None) or ""
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return Blocked(f"TLS: {reason}")
    return InDoubt("TLS connection lost after sending")


def _inner(failure: ssl.SSLError) -> BaseException:
    """aiohttp wraps what OpenSSL said."""
    found = getattr(failure, "certificate_error", None) or getattr(failure, "os_error", None)
    return found if isinstance(found, BaseException) else failure
