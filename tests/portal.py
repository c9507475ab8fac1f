"""A portal for tests and benchmarks: sends messages over plain kept connections and writes down what it was told.

It keeps its key and insists until it is answered, as a real portal should. Its log is what ``chaos/checker.py`` reads.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.conftest import ROOT

SAMPLE = ROOT / "schemas/leistungen/hundesteuer/samples/minimal.xml"
SAMPLE_ARS = b"081210000000"
_NUMBER = b"0195a4c2-7b1e-7c3d-9a40-000000001001"
_DOG = b"""  <l:hund>
    <l:rufname>Bello</l:rufname>
    <l:rasse>Dackel</l:rasse>
    <l:haltungSeit>2026-02-20</l:haltungSeit>
  </l:hund>
"""


def message_of(size: int = 0) -> Callable[[], bytes]:
    """Makes valid dog tax messages of about ``size`` bytes (not below the shortest), each with a UUID of its own."""
    text = SAMPLE.read_bytes()
    head, tail = text.split(b"  <l:anzahlImHaushalt>")
    dogs = max(0, size - len(text)) // len(_DOG)
    before, after = (head + _DOG * dogs + b"  <l:anzahlImHaushalt>" + tail).split(_NUMBER)
    return lambda: before + str(uuid.uuid4()).encode("ascii") + after


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = field(repr=False)
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


class Unanswered(Exception):
    """The connection broke before an answer was complete: nobody knows whether it was taken."""


class Portal:
    """Sends to one gateway. Not more requests at once than ``senders`` tasks call ``post``."""

    def __init__(self, host: str, port: int, token: str, *, log: Path | None = None, query: str = "") -> None:
        self._host, self._port, self._query = host, port, query
        self._head = f"Host: {host}:{port}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/xml\r\n"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._log: IO[str] | None = log.open("a", encoding="utf-8", buffering=1) if log else None

    async def post(self, message: bytes, *, key: str | None = None) -> Answer:
        """One try. Raises ``Unanswered``."""
        own = f"Idempotency-Key: {key}\r\n" if key else ""
        request = (
            f"POST /v1/submissions{self._query} HTTP/1.1\r\n{self._head}{own}Content-Length: {len(message)}\r\n\r\n"
        ).encode("ascii") + message
        begun = time.perf_counter()
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
            writer.write(request)
            answer_head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(answer_head))
        except BaseException as broken:
            if writer is not None:
                writer.close()
            if isinstance(broken, OSError | asyncio.IncompleteReadError):
                raise Unanswered(type(broken).__name__) from broken
            raise
        if b"connection: close" in answer_head.lower():
            writer.close()
        else:
            self._idle.append((reader, writer))
        return Answer(int(answer_head[9:12]), body, time.perf_counter() - begun)

    async def insist(self, message: bytes, *, key: str, until: float, wait: float = 0.05) -> Answer | None:
        """Tries with the same key until there is a 202 or the event loop's clock is past ``until``; logs every try."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            try:
                answer = await self.post(message, key=key)
            except Unanswered:
                self._write(key, message, None)
            else:
                self._write(key, message, answer)
                if answer.status == 202:
                    return answer
                if answer.status < 500 and answer.status != 429:
                    raise AssertionError(f"refused for good: {answer.status} {answer.body[:500]!r}")
            await asyncio.sleep(wait)
        return None

    async def send_all(self, messages: Sequence[bytes], *, senders: int, seconds: float) -> int:
        """Posts every message until it is acknowledged; how many were within ``seconds``."""
        todo, until = list(enumerate(messages)), asyncio.get_running_loop().time() + seconds
        acknowledged = 0

        async def sender() -> None:
            nonlocal acknowledged
            while todo:
                number, message = todo.pop()
                key = f"key-{number}-{hashlib.sha256(message).hexdigest()[:12]}"
                if await self.insist(message, key=key, until=until) is not None:
                    acknowledged += 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(senders):
                tasks.create_task(sender())
        return acknowledged

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
        if self._log:
            self._log.close()

    def _write(self, key: str, message: bytes, answer: Answer | None) -> None:
        if self._log is None:
            return
        receipt = answer.json() if answer and answer.status == 202 else {}
        self._log.write(json.dumps({
            "key": key,
            "digest": hashlib.sha256(message).hexdigest(),
            "status": answer.status if answer else None,
            "seconds": answer.seconds if answer else None,
            "submission": receipt.get("id"),
            "deliveries": [delivery["id"] for delivery in receipt.get("deliveries", ())],
        }) + "\n")


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.split(b":")[1])
    raise AssertionError(f"an answer without Content-Length: {head!r}")
