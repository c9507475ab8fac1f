"""A disk small enough to fill: a tmpfs of its own, and ballast that takes its space away and gives it back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CannotMount(Exception):
    """A small disk needs root, or a user namespace."""


class SmallDisk:
    """folder: where it is mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    @property
    def free(self) -> int:
        """Bytes."""
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize

    @property
    def size(self) -> int:
        disk = os.statvfs(self.folder)
        return disk.f_blocks * disk.f_frsize

    def leave(self, free: int) -> None:
        """Fill it until only this many bytes are free."""
        with self._ballast.open("ab") as ballast:
            while (surplus := self.free - free) > 0:
                try:
                    os.write(ballast.fileno(), bytes(min(surplus, 1 << 20)))
                except OSError:  # somebody else was faster
                    return

    def give_back(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, *, size: int) -> Iterator[SmallDisk]:
    """size: bytes. Unmounted at the end, also from under a process that still uses it. Raises ``CannotMount``."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)],
        check=False, capture_output=True, text=True,
    )
    if mounted.returncode:
        raise CannotMount(
            f"these tests need a disk that they can fill: run them as root, or as\n"
            f"  unshare -rm .venv/bin/python -m pytest tests/chaos/test_full_disk.py\n({mounted.stderr.strip()})"
        )
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
