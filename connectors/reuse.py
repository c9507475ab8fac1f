"""Has a target earned that its connections are used again?

A server that closes idle connections without notice races every POST on a reused one: sent, no answer, in doubt. So the
first POSTs each get a connection of their own, and those connections are then watched, with nothing at stake: if three
stay open for ``PATIENCE``, the target keeps idle connections that long, and POSTs may reuse what has idled less than a
quarter of it. Trust lasts 30 s and is then earned anew; one early close, or one lost answer, ends it.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

import aiohttp

PATIENCE = 1.0
REUSE_WITHIN = PATIENCE / 4
TRUST_LASTS = 30.0
WITNESSES = 3


@dataclass(slots=True, eq=False)
class Witness:
    """A session with one connection of its own, used for one request and then only looked at."""

    session: aiohttp.ClientSession
    sockets: list[socket.socket]

    def still_open(self) -> bool:
        return any(_open(each) for each in self.sockets)


class Reuse:
    """Has the target earned that its connections are used again?"""

    def __init__(self) -> None:
        self._trusted_until = self._ask_from = 0.0
        self._out = self._passed = 0
        self._watching: dict[Witness, asyncio.Task[None]] = {}

    def trusted(self) -> bool:
        return asyncio.get_running_loop().time() < self._trusted_until

    def wants_witness(self) -> bool:
        """Should this POST be one of those whose connection is watched afterwards?"""
        if self._out + self._passed < WITNESSES and asyncio.get_running_loop().time() >= self._ask_from:
            self._out += 1
            return True
        return False

    def watch(self, witness: Witness, *, kept: bool | None) -> None:
        """kept: the answer was complete and did not announce that the connection closes; ``None``: there was no answer."""
        self._watching[witness] = asyncio.create_task(self._judge(witness, kept=kept))

    def distrust(self) -> None:
        self._trusted_until, self._passed = 0.0, 0
        self._ask_from = asyncio.get_running_loop().time() + TRUST_LASTS

    async def aclose(self) -> None:
        tasks = list(self._watching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for witness in list(self._watching):
            await witness.session.close()
        self._watching.clear()

    async def _judge(self, witness: Witness, *, kept: bool | None) -> None:
        if kept:
            await asyncio.sleep(PATIENCE)
            kept = witness.still_open()
        await witness.session.close()
        self._watching.pop(witness, None)
        self._out -= 1
        now = asyncio.get_running_loop().time()
        if kept is False:
            self.distrust()
        elif kept and now >= self._ask_from:
            self._passed += 1
            if self._passed == WITNESSES:
                self._passed = 0
                self._trusted_until, self._ask_from = now + TRUST_LASTS, now + TRUST_LASTS * 0.7


def _open(peer: socket.socket) -> bool:
    if peer.fileno() == -1:
        return False
    try:
        return peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
