"""Packages that are added, changed or removed while the gateway runs are taken up without a restart, or not at all.

Every few seconds the folders are compared with what they were: names, sizes and times, no contents. When something changed,
everything is loaded beside what is in force, and only if all of it is sound takes its place; else the reason is logged once
and the old stays. Any number of processes do the same over the same folder and so come to the same packages.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from gateway.config.faults import Faults
from gateway.releases import unchanging
from gateway.telemetry import LogEvent

EVERY: Final = 3.0
_log = structlog.get_logger()

T = TypeVar("T")


class PackageWatch(Generic[T]):
    """roots: the folders, asked each time, because the first package makes one. load: everything in them, in another thread;
    raises ``Faults``. take: puts it in force, in the loop. seen: ``fingerprint`` of what is in force now."""

    def __init__(
        self, roots: Callable[[], Iterable[Path]], load: Callable[[], T], take: Callable[[T], None], *, seen: bytes
    ) -> None:
        self._roots, self._load, self._take, self._seen = roots, load, take, seen

    async def once(self) -> bool:
        """Was something else put in force?"""
        if await asyncio.to_thread(fingerprint, self._roots()) == self._seen:
            return False
        found, loaded, why = await asyncio.to_thread(self._read)
        self._seen = found
        digest = found.hex()[:16]
        if loaded is None:
            _log.error(LogEvent.PACKAGES_REFUSED, digest=digest, count=len(why), path=why[0] if why else None)
            return False
        self._take(loaded)
        _log.info(LogEvent.PACKAGES_LOADED, digest=digest)
        return True

    def _read(self) -> tuple[bytes, T | None, list[str]]:
        """Under the lock that those who add packages respect: what was looked at is what is loaded."""
        roots = tuple(self._roots())
        with ExitStack() as locks:
            for root in roots:
                locks.enter_context(unchanging(root / "packages"))
            found = fingerprint(roots)
            try:
                return found, self._load(), []
            except Faults as faults:
                return found, None, [f"{fault.file}:{fault.line}" for fault in faults.faults]


def fingerprint(roots: Iterable[Path]) -> bytes:
    """Changes when a package or a Leistung comes, goes or is written to."""
    total = hashlib.sha256()
    for root in roots:
        for pattern in _WATCHED:
            for path in sorted(root.glob(pattern)):
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                total.update(os.fsencode(path) + f" {stat.st_mtime_ns} {stat.st_size} {stat.st_ino}\n".encode())
    return total.digest()


_WATCHED: Final = (
    "packages/*/manifest.toml", "packages/*/installed.json", "packages/*/*.xslt", "*/manifest.toml", "leistungen/*/*.*",
    "basis/*.*", "mappings/*.xslt", "catalog/*.xml",
)
