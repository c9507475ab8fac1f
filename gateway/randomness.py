"""Random bytes for keys and names, from the system, drawn in larger pieces."""

from __future__ import annotations

import os
import threading


def random_bytes(count: int) -> bytes:
    """Fit for keys. Each byte is given out once; a child process begins with none of its parent's."""
    return _random.take(count)


class _Randomness:
    """Every draw lets go of the interpreter's lock, and getting it back from a busy thread costs more than all the
    encryption of a message."""

    def __init__(self, piece: int = 16_384) -> None:
        self._piece, self._lock = piece, threading.Lock()
        self._bytes, self._taken = b"", 0
        os.register_at_fork(after_in_child=self._forget)

    def take(self, count: int) -> bytes:
        with self._lock:
            end = self._taken + count
            if end > len(self._bytes):
                self._bytes, end = os.urandom(max(self._piece, count)), count
            taken = self._bytes[end - count:end]
            self._taken = end
            return taken

    def _forget(self) -> None:
        self._bytes, self._taken = b"", 0


_random = _Randomness()
