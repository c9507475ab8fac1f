"""A child process that answers one question at a time and is killed when its time is up. A deadline in a thread is none.

It has no environment of ours and speaks through its pipes only: a length, then that many bytes, in both directions.
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Final, Generic, TypeVar

_LENGTH: Final = struct.Struct(">Q")
_START_WITHIN: Final = 30.0
_READY: Final = b"ready"

T = TypeVar("T")


class Child:
    """Runs ``python -m module deadline``, started when first needed and again after it was killed. For one thread at a time."""

    def __init__(self, module: str, *, deadline: float) -> None:
        self._module, self._deadline = module, deadline
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Raises ``OSError``."""
        self.end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module, str(self._deadline)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, close_fds=True,
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "LANG": "C.UTF-8"},
        )
        if self._exchange(b"", within=_START_WITHIN) != _READY:
            raise OSError("the child did not start")

    def ask(self, question: bytes, *, within: float | None = None) -> bytes | None:
        """``None``, and the child is gone, when it died or did not answer in time."""
        try:
            answer = self._exchange(question, within=within or self._deadline)
        except OSError:
            answer = None
        if answer is None:
            self.end()
        return answer

    def kill(self) -> None:
        """From another thread: ends what runs; whoever waits for an answer gets none."""
        if (process := self._process) is not None:
            process.kill()

    def end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was still to be written to it
                    pipe.close()
        process.wait()

    def _exchange(self, question: bytes, *, within: float) -> bytes | None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(within, process.kill)
        timer.daemon = True
        timer.start()
        try:
            _send(process.stdin, question)
            return _receive(process.stdout)
        finally:
            timer.cancel()


class Recent(Generic[T]):
    """The last few values by key. Kept on both sides of a pipe and used alike: the parent knows what the child still has."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[bytes, T] = OrderedDict()

    def get(self, key: bytes) -> T | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: bytes, value: T) -> None:
        self._values[key] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def clear(self) -> None:
        self._values.clear()


def answer_questions(answer: Callable[[bytes], bytes], *, deadline: float, memory: int) -> None:
    """The child's side: until the parent closes the pipe. memory: bytes that it may use; it may write no file."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    while (question := _receive(questions)) is not None:
        signal.setitimer(signal.ITIMER_REAL, 2 * deadline + 5)  # should the parent be gone, nobody else would end this
        said = answer(question) if question else _READY
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(answers, said)


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(_LENGTH.pack(len(message)))
    pipe.write(message)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes | None:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    size = _LENGTH.unpack(head)[0]
    message = pipe.read(size)
    return message if len(message) == size else None
