"""The simulator's case register: an append-only file that counts cases, so that a doubled one can be seen.

One JSON line per taken document: ``delivery_id, digest, size, received_at, at, case_number, attempt, repeat, attachments``.
``repeat`` is true where the case existed already and the same number was given again. It survives a SIGKILL of
whoever fills it, and its own: a torn last line is cut off at the next start.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A document that arrived whole. digest: SHA-256, hex, of the message; attachments: theirs, in order. at: UTC, ISO 8601."""

    delivery_id: str
    digest: str
    size: int
    received_at: str
    at: str
    case_number: str
    attempt: int
    repeat: bool = False
    reference: str = ""
    order: str = ""
    leistung: str = ""
    ars: str = ""
    attachments: list[str] = field(default_factory=list)


class CaseRegister:
    """Cases by delivery id. data: folder of ``cases.jsonl``; ``None`` keeps them in memory only.

    idempotent: a delivery id that is known gets its number again; otherwise every document becomes a case.
    numbers: how a case number is written; ``{year}`` and ``{n}`` are filled in.
    """

    def __init__(self, data: Path | None, *, numbers: str, idempotent: bool = True, fsync: bool = True) -> None:
        self.idempotent, self.numbers, self.fsync = idempotent, numbers, fsync
        self.entries: list[Entry] = []
        self.attempts: Counter[str] = Counter()
        self._number_of: dict[str, str] = {}
        self._cases = 0
        self._file: int | None = None
        self._written = self._synced = 0
        self._syncing = asyncio.Lock()
        if data is not None:
            data.mkdir(parents=True, exist_ok=True)
            self._open(data / "cases.jsonl")

    def __iter__(self) -> Iterator[Entry]:
        """The cases, repeats left out."""
        return (entry for entry in self.entries if not entry.repeat)

    @property
    def cases(self) -> int:
        return self._cases

    @property
    def duplicates(self) -> int:
        """Cases beyond the first of their delivery id. The number that must stay 0."""
        return self._cases - len(self._number_of)

    def attempt(self, delivery_id: str) -> None:
        """A request with this delivery id has come in, whatever becomes of it."""
        self.attempts[delivery_id] += 1

    def number(self, delivery_id: str) -> str | None:
        """The (first) case number of this delivery id."""
        return self._number_of.get(delivery_id)

    def take(self, delivery_id: str, digest: str, size: int, **facts: Any) -> Entry:
        """Make a case of it, or name the one it is already. On file at once, on disk after ``synced``."""
        known = self._number_of.get(delivery_id) if self.idempotent else None
        now = datetime.now(UTC)
        if known is None:
            self._cases += 1
        entry = Entry(
            delivery_id=delivery_id,
            digest=digest,
            size=size,
            at=now.isoformat(),
            case_number=known or self.numbers.format(year=now.year, n=self._cases),
            attempt=self.attempts[delivery_id],
            repeat=known is not None,
            **{"received_at": "", **facts},
        )
        self._remember(entry)
        if self._file is not None:
            os.write(self._file, json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
            self._written += 1
        return entry

    async def synced(self) -> None:
        """Everything taken so far is on disk. Many waiters share one sync."""
        if self._file is None or not self.fsync:
            return
        mine = self._written
        async with self._syncing:
            if self._synced < mine:
                upto = self._written
                await asyncio.to_thread(os.fsync, self._file)
                self._synced = upto

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self, path: Path) -> None:
        whole = path.read_bytes() if path.exists() else b""
        kept = whole[: whole.rfind(b"\n") + 1]
        for line in kept.splitlines():
            entry = Entry(**json.loads(line))
            self.attempts[entry.delivery_id] = max(entry.attempt, self.attempts[entry.delivery_id])
            self._cases += not entry.repeat
            self._remember(entry)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.ftruncate(self._file, len(kept))

    def _remember(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._number_of.setdefault(entry.delivery_id, entry.case_number)
