"""What the operators are told of a broker that gives trouble: one line when it begins, one when it is over."""

from __future__ import annotations

import asyncio
import ssl

import structlog
from aiormq.exceptions import (
    AuthenticationError,
    ChannelAccessRefused,
    ConnectionNotAllowed,
    IncompatibleProtocolError,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from gateway.adapters.rabbitmq_queues import QueueDiffers
from gateway.logfields import LogEvent
from gateway.telemetry import place_of

log = structlog.get_logger("nahtlos.broker")

_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((QueueDiffers,), "queue-differs"),
    ((ssl.SSLError, ssl.CertificateError), "certificate"),
    ((AuthenticationError, ProbableAuthenticationError), "credentials"),
    # No such virtual host, no permission, or no broker at all; the library does not read what is said to it.
    ((ConnectionNotAllowed, ChannelAccessRefused, InvalidFrameError, IncompatibleProtocolError), "refused"),
)
_FOR_A_PERSON = frozenset(reason for _, reason in _REASONS)


class Outage:
    """reason: what the trouble is now; empty while there is none."""

    def __init__(self) -> None:
        self.reason, self._told, self._since, self._refused = "", "", 0.0, 0

    def begin(self, reason: str, error: BaseException | str) -> None:
        """Said once, and once more when it turns out that it will not pass by itself: twice in a row the same, because a broker
        that is just starting refuses for a moment what it takes in the next."""
        if not self.reason:
            self._since = asyncio.get_running_loop().time()
        if not self.reason or (reason == self.reason != self._told and reason in _FOR_A_PERSON):
            told = {"error": error} if isinstance(error, str) else place_of(error)
            log.error(LogEvent.BROKER_AWAY, reason=reason, **told)
            self._told = reason
        self.reason = reason

    def end(self, refused: int) -> None:
        """refused: rings that were not taken, since the start."""
        if self.reason:
            seconds = asyncio.get_running_loop().time() - self._since
            log.info(LogEvent.BROKER_BACK, reason=self.reason, seconds=seconds, count=refused - self._refused)
        self.reason, self._refused = "", refused


def reason_of(error: BaseException) -> str:
    """A code: what an operator has to look at."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    for kinds, reason in _REASONS:
        if any(isinstance(each, kinds) for each in causes):
            return reason
    return "unreachable"
