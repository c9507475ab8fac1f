"""A connector as nobody should write one. Copied into a gateway's folder of connectors and loaded from there.

It makes a case of what it is sent (a line in ``cases``), but on a document with "Gift" in it does its worst: ``crash``,
``hang``, ``block``, ``eat``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nahtlos_sdk import Acknowledgement, Connector, Envelope, Target  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class Options:
    cases: str
    worst: str


class Poison(Connector):  # type: ignore[misc]
    name = "poison"
    Options: ClassVar[type] = Options
    idempotent = True
    timeout = 2.0

    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement:
        if b"Gift" in envelope.document:
            await getattr(self, target.options.worst)()
        digest = hashlib.sha256(envelope.document).hexdigest()
        case = {"delivery_id": envelope.delivery_id, "digest": digest, "case_number": envelope.delivery_id}
        with Path(target.options.cases).open("a", encoding="ascii") as cases:
            cases.write(json.dumps(case) + "\n")
        return Acknowledgement(case_number=envelope.delivery_id)

    async def crash(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def hang(self) -> None:
        await asyncio.Event().wait()

    async def block(self) -> None:
        time.sleep(3600)

    async def eat(self) -> None:
        eaten: list[bytearray] = []
        while True:
            eaten.append(bytearray(16 << 20))
