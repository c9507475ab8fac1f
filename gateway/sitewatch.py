"""A site file that is changed while the gateway runs is taken up without a restart, or not at all.

Every few seconds the file and the field tables it names are compared with what they were. When something changed, and nothing
more since the look before, so that it is not still being written, everything is read and checked beside what is in force, and
only if all of it is sound takes its place; else the reason is logged once and the old stays. ``ask`` (SIGHUP) reads it all
again at once, secrets too. Any number of processes over the same file do the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from gateway.config.faults import Fault, Faults
from gateway.logfields import LogEvent
from gateway.telemetry import place_of

T = TypeVar("T")
Marks = tuple[tuple[int, int, int] | None, ...]

_log = structlog.get_logger()


class SiteWatch(Generic[T]):
    """paths: asked each time, because the file says which others belong to it. load: in another thread; raises ``Faults``.
    take: puts it in force, in the loop; gives the digest. refused: what was wrong with the file as it is now."""

    def __init__(
        self, paths: Callable[[], Iterable[Path]], load: Callable[[], T], take: Callable[[T], str], *, seen: Marks
    ) -> None:
        self._paths, self._load, self._take = paths, load, take
        self._seen = self._last = seen
        self._asked = asyncio.Event()
        self.refused: tuple[Fault, ...] = ()

    def ask(self) -> None:
        self._asked.set()

    async def asked(self) -> None:
        """Returns when somebody asks."""
        await self._asked.wait()

    async def once(self) -> bool:
        """Was something else put in force?"""
        wanted = self._asked.is_set()
        self._asked.clear()
        found, before = await asyncio.to_thread(marks_of, self._paths()), self._last
        self._last = found
        if not wanted and (found == self._seen or found != before):
            return False
        self._seen = found
        try:
            loaded = await asyncio.to_thread(self._load)
        except Faults as faults:
            self.refused = faults.faults
            first = faults.faults[0]
            _log.error(LogEvent.SITE_REFUSED, count=len(faults.faults), path=f"{first.file}:{first.line}")
            return False
        except Exception as error:  # of a connector that cannot be made, most likely
            kind, path = type(error).__name__, str(next(iter(self._paths())))
            self.refused = (Fault(path, 0, f"ein Konnektor ist daran gescheitert: {kind}", f"a connector failed: {kind}"),)
            _log.error(LogEvent.SITE_REFUSED, count=1, path=path, **place_of(error))
            return False
        self.refused = ()
        _log.info(LogEvent.SITE_LOADED, digest=self._take(loaded))
        return True


def marks_of(paths: Iterable[Path]) -> Marks:
    """Changes when one of them is written to, comes or goes."""
    return tuple(map(_mark, paths))


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
