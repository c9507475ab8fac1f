"""What counts as the same submission (P4): the fingerprint of its content, and the claims that stand for it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import chain

from gateway.ports import Claim, Part, Role

KEPT = timedelta(days=90)
FORM_KEPT = timedelta(hours=24)


def fingerprint(leistung: str | None, ars: str | None, parts: Iterable[Part]) -> bytes:
    """SHA-256 over leistung and ars as they were asked for and each received part's name, type and digest.

    Never over the raw body: a multipart body sent again has another boundary. Attachments count in any order.
    """
    listed = [
        (part.role.value.encode(), (part.name or "").encode(), part.media_type.encode(), part.digest)
        for part in parts if part.role in _RECEIVED
    ]
    asked = (leistung or "").encode(), (ars or "").encode()
    return _digest(b"nahtlos fingerprint 1", *asked, *chain.from_iterable(sorted(listed)))


def by_key(key: bytes, *, at: datetime) -> Claim:
    """The header key, within its portal."""
    return Claim("key", hashlib.sha256(key).digest(), at + KEPT)


def by_message(author: str | None, uuid: str, *, at: datetime) -> Claim:
    """The message's own number, within its author and portal. UUIDs are compared without regard to case."""
    return Claim("message", _hash(author or "", uuid.lower()), at + KEPT)


def by_form(form_id: str | None, creation_date: str | None, fingerprint: bytes, *, at: datetime) -> Claim:
    """A form has no number: the same form made at the same moment with the same content, for a day."""
    return Claim("form", _hash(form_id or "", creation_date or "", fingerprint.hex()), at + FORM_KEPT)


_RECEIVED = frozenset({Role.RECEIVED, Role.ATTACHMENT})


def _hash(*fields: str) -> bytes:
    return _digest(b"", *map(str.encode, fields))


def _digest(prefix: bytes, *fields: bytes) -> bytes:
    """Each field with its length before it, so that no two lists read alike."""
    return hashlib.sha256(prefix + b"".join([piece for data in fields for piece in (len(data).to_bytes(8), data)])).digest()
