"""Breaks the hold of a connector that halts the event loop, so that it blocks only itself (P6).

``asyncio.timeout`` cannot end a step that never yields: ``time.sleep``, a blocking client, an endless loop. While
attempts run, a thread looks whether the loop still turns; if it has stood for ``limit`` seconds *inside* a connector's
step, a signal raises ``LoopBlocked`` exactly there. The attempt ends as a defect, in doubt, and opens the target's
breaker. A C extension that keeps the interpreter lock cannot be broken this way; run such a worker as a process of its own.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from contextvars import ContextVar
from types import FrameType
from typing import Any

# SIGURG does nothing by default and nobody here waits for out-of-band data. Python's own handler may raise from it.
_SIGNAL = getattr(signal, "SIGURG", None)

_inside: ContextVar[bool] = ContextVar("nahtlos_inside_connector", default=False)


class LoopBlocked(BaseException):
    """Raised in the middle of a connector's step. Not an ``Exception``, so that a broad ``except`` does not hide it."""


class Watchdog:
    """One per event loop. Works where the loop runs in the main thread, because only there Python handles signals."""

    def __init__(self, *, limit: float = 5.0) -> None:
        self._limit = limit
        self._attempts = 0
        self._turned = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        self._before: Any = None

    def start(self) -> None:
        """Must be called from the loop it watches. Does nothing when it is running, or cannot work here."""
        if self._loop is not None or _SIGNAL is None or threading.current_thread() is not threading.main_thread():
            return
        self._loop, self._turned = asyncio.get_running_loop(), time.monotonic()
        self._ended.clear()
        self._before = signal.signal(_SIGNAL, self._interrupt)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        if self._loop is not None and _SIGNAL is not None:
            self._ended.set()
            self._loop = None
            signal.signal(_SIGNAL, self._before if self._before is not None else signal.SIG_DFL)

    def enter(self) -> None:
        """The current task, and every task it starts, is inside a connector from now on. Costs well under 1 µs."""
        _inside.set(True)
        self._attempts += 1
        if self._attempts == 1:
            self._turned = time.monotonic()

    def leave(self) -> None:
        _inside.set(False)
        self._attempts -= 1

    def _watch(self) -> None:
        while not self._ended.wait(self._limit / 5):
            loop = self._loop
            if not self._attempts or loop is None:
                continue
            if self._stands():
                assert _SIGNAL is not None
                signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)
            try:
                loop.call_soon_threadsafe(self._turn)
            except RuntimeError:  # closed
                return

    def _turn(self) -> None:
        self._turned = time.monotonic()

    def _stands(self) -> bool:
        return time.monotonic() - self._turned > self._limit

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Runs in the main thread, between two instructions of whatever blocks. Ours and the portal's code is let be."""
        if _inside.get() and self._stands():
            self._turned = time.monotonic()
            raise LoopBlocked
