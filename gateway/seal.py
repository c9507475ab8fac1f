"""The history cannot be changed unnoticed (P7): every line has a hash, the sealer chains them, the head is signed.

What is hashed, so that anyone can do it again with an export:

- *entry hash*: SHA-256 of a JSON array without spaces, in UTF-8: number, time, actor, subject, submission id, delivery id,
  revision, event, state before, state after, attempt, outcome, code, facts (as the text that is stored), and the
  hexadecimal SHA-256 of the private text as it is stored, encrypted, or null.
- *chain hash*: SHA-256 of the chain hash before it (32 zero bytes for the first), the sealed number (8 bytes, big-endian)
  and the entry hash.
- *signed head*: Ed25519 over a JSON array of sealed number, hexadecimal chain hash and time.

A hash over the encrypted text keeps the chain whole when the text is erased, and gives nothing away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from gateway.batches import Batches
from gateway.ports import Clock

GENESIS = bytes(32)
SIGN_EVERY = 1_000
SIGN_AFTER = timedelta(minutes=10)

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode


def canonical(facts: Any) -> str:
    """Facts as they are stored and hashed. Raises ``TypeError``, ``ValueError`` for what JSON does not have."""
    return _canonical(facts)


def entry_hash(fields: Sequence[Any]) -> bytes:
    """``fields`` as listed above; times as text."""
    return hashlib.sha256(_encode(fields).encode()).digest()


def chain_hash(previous: bytes, sealed_no: int, entry: bytes) -> bytes:
    return hashlib.sha256(previous + sealed_no.to_bytes(8, "big") + entry).digest()


def head_message(sealed_no: int, chain: bytes, at: str) -> bytes:
    """What is signed."""
    return _encode([sealed_no, chain.hex(), at]).encode()


class Seals(Protocol):
    """What the sealer needs of the journal."""

    async def seal(self, *, at: datetime, limit: int = 10_000) -> int: ...


class Sealer(Batches):
    """Chains what was committed, once a second while there is something; writes nothing when nothing happened."""

    def __init__(self, journal: Seals, clock: Clock, *, every: float = 1.0, limit: int = 10_000) -> None:
        super().__init__(journal.seal, clock, every=every, limit=limit)


@dataclass(frozen=True, slots=True)
class Link:
    """A stored line as it lies there, nothing decrypted. fields: what the entry hash covers, the private digest last."""

    no: int
    fields: tuple[Any, ...] = field(repr=False)
    entry_hash: bytes
    sealed_no: int | None
    chain_hash: bytes | None
    private_fits: bool
    """The private text has its digest, or was erased with its submission."""


@dataclass(frozen=True, slots=True)
class SignedHead:
    sealed_no: int
    chain_hash: bytes
    at: str
    key_id: str
    signature: bytes = field(repr=False)


class Ledger(Protocol):
    """What ``verify`` reads."""

    async def links(self, after: int, limit: int) -> list[Link]: ...

    async def signed_heads(self) -> list[SignedHead]: ...

    async def last_line(self) -> int: ...

    def signed_by_us(self, head: SignedHead) -> bool: ...


@dataclass(frozen=True, slots=True)
class Break:
    """The first thing that is not as it was written. no: number of the line in the history. what: edited, missing,
    unchained, rewritten, signature, cut-off."""

    no: int
    what: str
    de: str
    en: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """lines: how many were looked at; sealed: how many of them are chained; signed: up to which number a signature vouches."""

    lines: int
    sealed: int
    signed: int
    broken: Break | None


async def verify(ledger: Ledger, progress: Callable[[int], None] | None = None) -> Verdict:
    """Walk the whole chain and stop at the first break. Lines that are not sealed yet are checked by their own hash."""
    heads = {head.sealed_no: head for head in await ledger.signed_heads()}
    last = await ledger.last_line()
    walk = _Walk()
    while batch := await ledger.links(walk.lines, 1_000):
        for link in batch:
            if broken := walk.step(link):
                return Verdict(walk.lines, walk.sealed, walk.signed, broken)
            if (head := heads.pop(walk.sealed, None)) is not None:
                if head.chain_hash != walk.chain:
                    return Verdict(walk.lines, walk.sealed, walk.signed, _rewritten(link.no))
                if not ledger.signed_by_us(head):
                    return Verdict(walk.lines, walk.sealed, walk.signed, _signature(link.no))
                walk.signed = walk.sealed
        if progress:
            progress(walk.lines)
    if heads or walk.lines < last:
        return Verdict(walk.lines, walk.sealed, walk.signed, _cut_off(walk.lines, max([last, *heads])))
    return Verdict(walk.lines, walk.sealed, walk.signed, None)


class _Walk:
    """Where the walk stands. Lines are numbered without gaps, in the order of commits; so are the links."""

    def __init__(self) -> None:
        self.lines = self.sealed = self.signed = 0
        self.chain = GENESIS
        self._open = False

    def step(self, link: Link) -> Break | None:
        if link.no != self.lines + 1:
            return _missing(self.lines + 1)
        if not link.private_fits or entry_hash(link.fields) != link.entry_hash:
            return _edited(link.no)
        if link.sealed_no is None:
            self._open = True
        elif self._open:
            return _unchained(link.no - 1)
        else:
            self.chain = chain_hash(self.chain, self.sealed + 1, link.entry_hash)
            if link.sealed_no != self.sealed + 1 or link.chain_hash != self.chain:
                return _unchained(link.no)
            self.sealed += 1
        self.lines = link.no
        return None


def _edited(no: int) -> Break:
    return Break(no, "edited", f"Zeile {no} wurde nach dem Schreiben geändert.", f"Line {no} was changed after it was written.")


def _missing(no: int) -> Break:
    return Break(no, "missing", f"Zeile {no} fehlt.", f"Line {no} is missing.")


def _unchained(no: int) -> Break:
    return Break(no, "unchained", f"Zeile {no} passt nicht in die Kette: eingefügt, vertauscht oder neu berechnet.",
                 f"Line {no} does not fit into the chain: inserted, swapped or computed anew.")


def _rewritten(no: int) -> Break:
    return Break(no, "rewritten", f"Die Kette bis Zeile {no} ist nicht die, die unterschrieben wurde.",
                 f"The chain up to line {no} is not the one that was signed.")


def _signature(no: int) -> Break:
    return Break(no, "signature", f"Die Unterschrift bei Zeile {no} ist nicht von dieser Anlage.",
                 f"The signature at line {no} was not made by this gateway.")


def _cut_off(no: int, last: int) -> Break:
    return Break(no + 1, "cut-off", f"Nach Zeile {no} wurde das Ende abgeschnitten (geschrieben waren {last}).",
                 f"The end after line {no} was cut off ({last} had been written).")
