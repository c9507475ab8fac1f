"""The outermost layer: every request gets a number, every answer its security headers, every error our own words.

Nothing that was sent and no text of an exception gets past here, neither outwards nor into the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from gateway.http.problems import SECURITY_HEADERS, Kind, Problem, language_of, render
from gateway.http.translation import problem_of
from gateway.http.upload import ClientGone
from gateway.randomness import random_bytes
from gateway.telemetry import LogEvent, place_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = structlog.get_logger()

LINGER = 2.0


class Edge:
    """Wraps the application. linger: seconds during which the rest of an unwanted body is read and thrown away, so that
    its sender gets to read the answer."""

    def __init__(self, app: ASGI, *, linger: float = LINGER) -> None:
        self._app, self._linger = app, linger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = scope["nahtlos.request"] = random_bytes(8).hex()
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = message["headers"] = list(message.get("headers", ()))
                present = {name for name, _ in headers}
                headers.extend(pair for pair in SECURITY_HEADERS if pair[0] not in present)
                headers.append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except ClientGone:
            return
        except Exception as error:
            problem = problem_of(error)
            if problem.kind is Kind.INTERNAL:
                _log.error(LogEvent.REQUEST_FAILED, request=request_id, **place_of(error))
            if not started:
                await self._answer(problem, scope, receive, guarded)

    async def _answer(self, problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = render(
            problem, language=language_of(scope["headers"]), request_id=scope["nahtlos.request"],
        )
        scope["nahtlos.status"] = status
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if not problem.close:
            await send({"type": "http.response.body", "body": body})
            return
        await send({"type": "http.response.body", "body": body, "more_body": True})
        try:
            async with asyncio.timeout(self._linger):
                while (await receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass
        await send({"type": "http.response.body"})
