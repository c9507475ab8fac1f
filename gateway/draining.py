"""The end of a server, without leaving anybody unanswered: what was accepted is served, then hears that it was the last.

A connection that a client has opened, or keeps open, may carry a request that is on its way right now. To close it would
refuse that request, although it was never late. So silent connections get a moment more, and every answer from now on says
``Connection: close``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

LOOK_EVERY = 0.02


class Leaving(Protocol):
    """A connection, as far as its end is concerned."""

    def is_last(self) -> None:
        """Every answer from now on closes the connection."""

    @property
    def busy(self) -> bool:
        """A request has begun to arrive, or is being answered."""

    def hang_up(self) -> None: ...


async def drain(connections: Callable[[], Collection[Leaving]], *, linger: float, grace: float) -> None:
    """Returns when all are served and gone, at the latest after ``grace`` seconds; what is silent has ``linger`` seconds.

    connections: those that are open now; more may still come out of a handshake.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (now := loop.time() - began) < grace:
        still = connections()
        for connection in still:
            connection.is_last()
        if now >= linger:
            for connection in [each for each in still if not each.busy]:
                connection.hang_up()
            still = [each for each in still if each.busy]
        if not still:
            return
        await asyncio.sleep(LOOK_EVERY)
