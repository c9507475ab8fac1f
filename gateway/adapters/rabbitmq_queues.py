"""The queues and their arguments: one durable quorum queue per lane, and one for tickets that nobody can read.

Written for the rules of RabbitMQ 4 (no transient or mirrored queues, prefetch per consumer, a delivery limit that is
said aloud), runs on 3.10 and later. A queue keeps the arguments it was made with, so one that has others is for a person.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractQueue
from aiormq.exceptions import ChannelPreconditionFailed

from gateway.ports import BrokerUnusable

LANE_LENGTH = 100_000
DEAD_LENGTH = 10_000
DELIVERY_LIMIT = 20

_REFUSED = re.compile(r"(?:inequivalent|invalid) arg '(?P<name>[^']+)'")
_CURRENT = re.compile(r"current is the value '(?P<value>[^']*)' of type '(?P<type>\w+)'")
_NUMBERS = frozenset(("byte", "short", "signedint", "long", "unsignedbyte", "unsignedshort", "unsignedint"))
_FLAGS = frozenset(("durable", "auto_delete", "exclusive"))


class QueueDiffers(BrokerUnusable):
    """A queue exists with other arguments. Says which (found, expected); a person has to delete or migrate it."""

    def __init__(self, queue: str, differences: Mapping[str, tuple[object, object]]) -> None:
        listed = "; ".join(f"{name}: {_shown(found)} ≠ {_shown(wanted)}" for name, (found, wanted) in differences.items())
        super().__init__(
            f"Die Warteschlange {queue} besteht mit anderen Einstellungen (vorhanden ≠ erwartet): {listed}. "
            "Was in ihr wartet, ist entbehrlich: löschen, dann neu starten.",
            f"The queue {queue} exists with other arguments (found ≠ expected): {listed}. "
            "What waits in it is expendable: delete it, then start again.",
        )
        self.queue, self.differences = queue, dict(differences)


def _shown(value: object) -> str:
    return "–" if value is None else f'"{value}"' if isinstance(value, str) else str(value).lower()


class Queues:
    """prefix: of every name, so that several can share a virtual host."""

    def __init__(self, prefix: str = "nahtlos") -> None:
        self._prefix = prefix

    @property
    def dead(self) -> str:
        return f"{self._prefix}.dead-tickets"

    def of(self, lane: str) -> str:
        return f"{self._prefix}.lane.{lane}"

    async def declare(self, channel: AbstractChannel, lane: str) -> AbstractQueue:
        """Where dead tickets go first, because a lane must never be without. Raises ``ChannelPreconditionFailed``, and the
        channel is closed then; ``differing`` says more."""
        await channel.declare_queue(self.dead, durable=True, arguments=self._dead_arguments())
        return await channel.declare_queue(self.of(lane), durable=True, arguments=self._lane_arguments())

    async def differing(self, lane: str, channel: Callable[[], Awaitable[AbstractChannel]]) -> QueueDiffers | None:
        """Which arguments are others than ours. channel: opens one; several are used up."""
        for name, arguments in ((self.dead, self._dead_arguments()), (self.of(lane), self._lane_arguments())):
            if (found := await _differing(name, arguments, channel)) is not None:
                return found
        return None

    def _lane_arguments(self) -> dict[str, Any]:
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-max-length": LANE_LENGTH,
            "x-overflow": "reject-publish",  # said to whoever rings; and dead-lettering at least once needs it
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.dead,
            "x-dead-letter-strategy": "at-least-once",
        }

    def _dead_arguments(self) -> dict[str, Any]:
        # The oldest goes when it is full: it must always take something, else it would hold up the lanes.
        return {"x-queue-type": "quorum", "x-max-length": DEAD_LENGTH, "x-overflow": "drop-head"}


async def _differing(
    name: str, arguments: Mapping[str, Any], channel: Callable[[], Awaitable[AbstractChannel]]
) -> QueueDiffers | None:
    """The broker names one difference at a time, and cuts off what it says. So the one it names is left out, and put in with
    the broker's own value if it names it again, until nothing differs: then the queue is as it was, because declaring
    what exists changes nothing."""
    asked, flags = dict(arguments), {"durable": True}
    differences: dict[str, tuple[object, object]] = {}
    said = ""
    for _ in range(4 * len(arguments) + 20):
        try:
            await (await channel()).declare_queue(name, arguments=asked, **flags)
        except ChannelPreconditionFailed as refused:
            said = str(refused.args[0]) if refused.args else ""
        else:
            return QueueDiffers(name, differences) if differences else None
        if (found := _REFUSED.search(said)) is None:
            break
        which = found["name"]
        if which in _FLAGS:
            flags[which] = not flags.get(which, False)
            differences[which] = (flags[which], not flags[which])
        elif which in asked:
            differences[which] = (None, asked.pop(which))
        elif (current := _CURRENT.search(said)) is not None:
            asked[which] = int(current["value"]) if current["type"] in _NUMBERS else current["value"]
            differences[which] = (asked[which], arguments.get(which))
        else:
            break
    return QueueDiffers(name, differences or {"?": (said, "?")})
