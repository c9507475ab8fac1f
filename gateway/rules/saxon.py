"""Saxon in child processes: rules are evaluated where a deadline can be kept and a crash reaches nobody else.

A thread could not be stopped, and an internal error of the native engine ends the process it runs in. The package
``saxonche`` is optional; only the children import it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from functools import cache
from time import monotonic
from typing import Any, Final

from gateway.rules.saxonchild import LENGTH

_START_WITHIN: Final = 30.0
_PIECE: Final = 1 << 20


class Why(StrEnum):
    MISSING = "missing"
    DEADLINE = "deadline"
    CRASHED = "crashed"


class RulesUnavailable(Exception):
    """The rules could not be evaluated: nothing is said of the document. What to do is try again, or let a person decide."""

    def __init__(self, why: Why) -> None:
        super().__init__(f"Schematron rules could not be evaluated: {why}")
        self.why = why


class SaxonMissing(Exception):
    """Packages need the rule engine and it is not installed. Says which and what to do, German and English."""

    def __init__(self, packages: Iterable[str]) -> None:
        self.packages = sorted(packages)
        names = ", ".join(self.packages)
        self.de = (f"Schematron-Regeln brauchen das Paket saxonche, es ist nicht installiert (benötigt von: {names}). "
                   "Abhilfe: pip install 'nahtlos[schematron]', oder in der manifest.toml des Pakets [stages] rules = \"off\".")
        self.en = (f"Schematron rules need the package saxonche, which is not installed (needed by: {names}). "
                   "Remedy: pip install 'nahtlos[schematron]', or [stages] rules = \"off\" in the package's manifest.toml.")
        super().__init__(f"{self.de} / {self.en}")


@cache
def is_installed() -> bool:
    return importlib.util.find_spec("saxonche") is not None


class Saxon:
    """A few children, started when first needed and again after they died. Safe in any thread; a call may wait for a child.

    deadline: seconds for one document, without the wait.
    """

    def __init__(self, *, children: int = 1, deadline: float = 5.0) -> None:
        self._free = [_Child(deadline) for _ in range(children)]
        self._all = tuple(self._free)
        self._change = threading.Condition()

    def judge(self, sheet: str, view: bytes) -> list[tuple[int, str]] | None:
        """Number of the assertion (negative: it could not be evaluated) and path of the node, for each fault; ``None`` when the
        evaluation as a whole failed. Raises ``RulesUnavailable``."""
        answer = self._ask(sheet, view)
        if "found" not in answer:
            return None
        return [(int(number), str(path)) for number, path in answer["found"]]

    def fault_of(self, sheet: str) -> str | None:
        """Why a stylesheet does not compile, in Saxon's words; ``None`` when it does. Raises ``RulesUnavailable``."""
        answer = self._ask(sheet, b"")
        return None if answer["compiled"] else str(answer["why"])

    def close(self) -> None:
        for child in self._all:
            child.end()

    def _ask(self, sheet: str, view: bytes) -> dict[str, Any]:
        if not is_installed():
            raise RulesUnavailable(Why.MISSING)
        with self._change:
            while not self._free:
                self._change.wait()
            child = self._free.pop()
        try:
            return child.ask(sheet, view)
        finally:
            with self._change:
                self._free.append(child)
                self._change.notify()


class _Child:
    """For one thread at a time."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._process: subprocess.Popen[bytes] | None = None
        self._sent: set[str] = set()

    def ask(self, sheet: str, view: bytes) -> dict[str, Any]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._start()
        name = hashlib.sha256(sheet.encode()).hexdigest()
        if len(self._sent) >= 100:  # fewer than the child keeps, so that it never has to ask back
            self.end()
            self._start()
        question = {"sheet": name} if name in self._sent else {"sheet": name, "text": sheet}
        answer = self._exchange(question, view, self._deadline)
        if answer.get("compiled"):
            self._sent.add(name)
        return answer

    def end(self) -> None:
        self._sent.clear()
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.wait()

    def _start(self) -> None:
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "gateway.rules.saxonchild", str(self._deadline)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, close_fds=True, bufsize=0,
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "LANG": "C.UTF-8"},
        )
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        self._exchange({}, b"", _START_WITHIN)

    def _exchange(self, question: dict[str, Any], view: bytes, within: float) -> dict[str, Any]:
        head = json.dumps(question).encode()
        message = LENGTH.pack(len(head)) + head + LENGTH.pack(len(view)) + view
        try:
            answer = _exchanged(self._process, message, monotonic() + within)
        except TimeoutError:
            self.end()
            raise RulesUnavailable(Why.DEADLINE) from None
        except OSError:
            answer = None
        if answer is None:
            self.end()
            raise RulesUnavailable(Why.CRASHED)
        said: dict[str, Any] = json.loads(answer)
        return said


def _exchanged(process: subprocess.Popen[bytes] | None, message: bytes, end: float) -> bytes | None:
    """Sends and receives at once: neither side waits for the other with a full pipe. Raises ``TimeoutError``, ``OSError``."""
    assert process is not None
    assert process.stdin is not None
    assert process.stdout is not None
    writing, reading = process.stdin.fileno(), process.stdout.fileno()
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    poll.register(writing, select.POLLOUT)
    rest, received = memoryview(message), bytearray()
    while True:
        ready = poll.poll(max(0.0, end - monotonic()) * 1000)
        if not ready:
            raise TimeoutError
        for handle, _ in ready:
            if handle == writing:
                rest = rest[os.write(writing, rest[:_PIECE]):]
                if not rest:
                    poll.unregister(writing)
                continue
            piece = os.read(reading, _PIECE)
            if not piece:
                return None
            received += piece
            if len(received) >= LENGTH.size and len(received) - LENGTH.size >= LENGTH.unpack_from(received)[0]:
                return bytes(received[LENGTH.size:])
