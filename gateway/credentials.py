"""How somebody proves who they are: API keys that can be recognised when they leak, and client certificates (RFC 9440).

Pure but for the randomness of a new key. The journal stores only hashes; a key is shown once.
"""

from __future__ import annotations

import re
import secrets
from base64 import b32encode, b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from zlib import crc32

from cryptography import x509

from gateway.ports import Clock, Credential

LIFETIME = timedelta(days=365)
ACTIVE_KEYS = 2

# For secret scanners: what a key of this gateway looks like, wherever it turns up.
KEY_PATTERN = re.compile(r"nk_([a-z2-7]{8})_[a-z2-7]{52}([a-z2-7]{7})")


class Kind(StrEnum):
    """What a credential is; stored as text."""

    PORTAL_KEY = "portal-key"
    PORTAL_CERTIFICATE = "portal-certificate"
    OPERATOR_KEY = "operator-key"


_TEXTS = {
    "key-missing": (
        "Es wurde kein Schlüssel gesandt: „Authorization: Bearer nk_…“, oder das hinterlegte Client-Zertifikat.",
        'No key was sent: "Authorization: Bearer nk_…", or the client certificate that is on file.',
    ),
    "key-mistyped": (
        "Der Schlüssel ist unvollständig oder verschrieben; er beginnt mit „nk_“ und hat 71 Zeichen ohne Leerzeichen.",
        'The key is incomplete or mistyped; it begins with "nk_" and has 71 characters without blanks.',
    ),
    "key-unknown": (
        "Dieser Schlüssel gilt hier nicht. Gehört er zu dieser Umgebung (Test, Betrieb)? Der Betreiber stellt einen neuen aus.",
        "This key is not valid here. Does it belong to this environment (test, production)? The operators can issue a new one.",
    ),
    "key-expired": (
        "Dieser Schlüssel ist abgelaufen. Der Betreiber stellt einen neuen aus.",
        "This key has expired. The operators can issue a new one.",
    ),
    "key-revoked": (
        "Dieser Schlüssel ist gesperrt. Der Betreiber stellt einen neuen aus.",
        "This key has been revoked. The operators can issue a new one.",
    ),
    "certificate-malformed": (
        "Das Client-Zertifikat ist nicht lesbar; im Kopf „Client-Cert“ steht nach RFC 9440 :Base64: der DER-Form, einmal.",
        'The client certificate cannot be read; per RFC 9440 the header "Client-Cert" holds :base64: of its DER form, once.',
    ),
    "certificate-unknown": (
        "Dieses Client-Zertifikat ist hier nicht hinterlegt. Teilen Sie dem Betreiber seinen SHA-256-Fingerabdruck mit.",
        "This client certificate is not on file here. Tell the operators its SHA-256 fingerprint.",
    ),
    "certificate-expired": (
        "Dieses Client-Zertifikat gilt heute nicht. Hinterlegen Sie das neue beim Betreiber.",
        "This client certificate is not valid today. Have the new one put on file by the operators.",
    ),
    "certificate-revoked": (
        "Dieses Client-Zertifikat ist gesperrt. Hinterlegen Sie ein neues beim Betreiber.",
        "This client certificate has been revoked. Have a new one put on file by the operators.",
    ),
}


class Unauthenticated(Exception):
    """401: nobody we know. code: see the table above. de, en: what to do next.

    That a key is expired or revoked is told only to who holds the whole of it; whoever guesses learns nothing.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code, (self.de, self.en) = code, _TEXTS[code]


class TooManyKeys(Exception):
    """A holder has ``ACTIVE_KEYS`` already: one in use and one to change to. Revoke one first. active: their ids."""

    def __init__(self, holder: str, active: tuple[str, ...]) -> None:
        super().__init__(f"{holder}: {', '.join(active)}")
        self.holder, self.active = holder, active
        self.de = f"„{holder}“ hat schon {len(active)} gültige Schlüssel ({', '.join(active)}); sperren Sie zuerst einen."
        self.en = f'"{holder}" has {len(active)} valid keys already ({", ".join(active)}); revoke one first.'


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate. fingerprint: SHA-256 over its DER form."""

    fingerprint: bytes
    valid_from: datetime = field(compare=False)
    valid_until: datetime = field(compare=False)

    @classmethod
    def from_der(cls, der: bytes) -> Certificate:
        """Raises ``Unauthenticated`` (certificate-malformed)."""
        return _certificate(der)


def new_key(
    holder: str, kind: Kind, scope: Iterable[str], clock: Clock, *, lifetime: timedelta | None = LIFETIME
) -> tuple[str, Credential]:
    """A key to show once, and what the journal keeps of it. scope: services of a portal, roles of an operator."""
    key_id, secret = _text(secrets.token_bytes(5)), _text(secrets.token_bytes(32))
    body = f"nk_{key_id}_{secret}"
    plain, at = body + _checksum(body), clock.now()
    return plain, Credential(
        id=key_id, holder=holder, kind=kind, hash=sha256(plain.encode()).digest(), scope=tuple(scope), created_at=at,
        expires_at=at + lifetime if lifetime else None,
    )


def bound_certificate(holder: str, certificate: Certificate, scope: Iterable[str], clock: Clock) -> Credential:
    """What the journal keeps of a certificate that stands for a portal; ends with the certificate."""
    return Credential(
        id=f"cert-{certificate.fingerprint.hex()[:16]}", holder=holder, kind=Kind.PORTAL_CERTIFICATE,
        hash=certificate.fingerprint, scope=tuple(scope), created_at=clock.now(), expires_at=certificate.valid_until,
    )


def refuse_third_key(credentials: Iterable[Credential], holder: str, *, kind: Kind, at: datetime) -> None:
    """Raises ``TooManyKeys``. Two are enough to change a key without a gap; more are keys that nobody misses."""
    active = tuple(c.id for c in credentials if c.holder == holder and c.kind == kind and is_active(c, at))
    if len(active) >= ACTIVE_KEYS:
        raise TooManyKeys(holder, active)


def is_active(credential: Credential, at: datetime) -> bool:
    return credential.revoked_at is None and (credential.expires_at is None or at < credential.expires_at)


def key_in(*, authorization: str | None = None, api_key: str | None = None) -> str | None:
    """The key out of ``Authorization: Bearer …``, ``Authorization: Basic …`` (as password, any user) or ``X-Api-Key``.

    Basic is for senders that know nothing else. ``None``: no key was sent.
    """
    if api_key:
        return api_key.strip()
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (NotBase64, UnicodeDecodeError):
            return ""
    return None


def key_id(plain: str) -> str:
    """The public part of a key. Raises ``Unauthenticated`` (key-mistyped) when it is not whole: a typo, a cut line."""
    found = KEY_PATTERN.fullmatch(plain)
    if found is None or _checksum(plain[:-7]) != found[2]:
        raise Unauthenticated("key-mistyped")
    return found[1]


def from_client_cert_header(value: str) -> Certificate:
    """RFC 9440 ``Client-Cert``: a structured field byte sequence, ``:base64:``, of the DER form.

    Believe it only from a trusted proxy (``is_trusted``). Raises ``Unauthenticated`` (certificate-malformed), also for a
    header that was sent twice.
    """
    found = re.fullmatch(r"\s*:([A-Za-z0-9+/]+={0,2}):\s*", value)
    try:
        return Certificate.from_der(b64decode(found[1], validate=True) if found else b"")
    except NotBase64:
        raise Unauthenticated("certificate-malformed") from None


def is_trusted(peer: str | None, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Does a request come from a proxy whose headers are believed? peer: address as the server sees it."""
    try:
        address = ip_address(peer or "")
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


@lru_cache(maxsize=256)
def _certificate(der: bytes) -> Certificate:
    try:
        parsed = x509.load_der_x509_certificate(der)
    except ValueError:
        raise Unauthenticated("certificate-malformed") from None
    return Certificate(sha256(der).digest(), parsed.not_valid_before_utc, parsed.not_valid_after_utc)


def _text(raw: bytes) -> str:
    return b32encode(raw).decode().rstrip("=").lower()


def _checksum(body: str) -> str:
    return _text(crc32(body.encode()).to_bytes(4))
