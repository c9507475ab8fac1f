"""How much room is left where the journal lies, asked at most once a second."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path


class DiskReserve:
    """Below the reserve nothing new is taken in; what is in goes on, with that room to work. reserve: bytes that must stay
    free on a volume of so many bytes."""

    def __init__(self, folder: Path, reserve: Callable[[int], int]) -> None:
        self._folder, self._reserve = folder, reserve
        self._looked, self._enough = -1.0, True

    def enough(self) -> bool:
        now = time.monotonic()
        if now - self._looked >= 1.0 or self._looked < 0:
            disk = shutil.disk_usage(self._folder)
            self._looked, self._enough = now, disk.free >= self._reserve(disk.total)
        return self._enough


def tenth(total: int) -> int:
    return total // 10
