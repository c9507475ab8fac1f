"""One call of a connector, whatever it does: raises anything, hangs, answers nonsense, halts the loop. Ends as an outcome."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from traceback import walk_tb
from typing import Any

from connectors import sdk
from gateway.attempts.outcomes import BLOCKS_LOOP, Defect, Outcome
from gateway.attempts.watchdog import LoopBlocked, Watchdog


class Caller:
    """Calls connectors for one worker."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog

    async def deliver(self, connector: sdk.Connector, envelope: sdk.Envelope, target: sdk.Target, *, timeout: float) -> Outcome:
        answer = await self._call(connector.deliver, envelope, target, timeout=timeout)
        known = isinstance(answer, sdk.Acknowledgement | sdk.HandedOver | _Failure)
        return answer if known and _can_be_kept(answer) else _nonsense("deliver")

    async def find(self, connector: sdk.CanFind, envelope: sdk.Envelope, target: sdk.Target, *, timeout: float) -> Outcome:
        answer = await self._call(connector.find, envelope, target, timeout=timeout)
        known = isinstance(answer, sdk.Acknowledgement | sdk.NotThere | sdk.StillOpen | _Failure)
        return answer if known and _can_be_kept(answer) else _nonsense("find")

    async def check(self, connector: sdk.Connector, target: sdk.Target, *, timeout: float) -> Outcome | None:
        """``None``: the target is there and lets us in, as far as the connector can tell."""
        answer = await self._call(connector.check, target, timeout=timeout)
        return answer if isinstance(answer, _Failure) else None

    async def _call(self, function: Callable[..., Awaitable[Any]], *arguments: Any, timeout: float) -> Any:
        """What it returned, or how it failed. Raises nothing but the ``CancelledError`` of the task that runs it.

        What the SDK promises passes as it is. Running out of ``timeout`` seconds is doubt. Everything else, also
        ``SystemExit`` or a ``CancelledError`` that nobody asked for, is a defect of the connector.
        """
        task = asyncio.current_task()
        assert task is not None
        self._watchdog.enter()
        try:
            async with asyncio.timeout(timeout) as limit:
                return await function(*arguments)
        except (sdk.Unavailable, sdk.InDoubt, sdk.Refused, sdk.Blocked) as said:
            return said
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and task.cancelling():
                raise
            if isinstance(error, TimeoutError) and limit.expired():
                return sdk.InDoubt(f"timeout {timeout:g} s")
            return _outcome_of(error)
        finally:
            self._watchdog.leave()


def fingerprint(error: BaseException) -> str:
    """Equal for equal ways to fail: the exception's class and its frames. No text, which may hold personal data."""
    frames = [
        f"{PurePath(frame.f_code.co_filename).name}:{frame.f_code.co_name}:{line}"
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_code.co_filename != __file__
    ]
    once = dict.fromkeys(frames)  # the traceback of an exception that is raised again and again grows
    return hashlib.sha256("\n".join([type(error).__qualname__, *once]).encode()).hexdigest()[:16]


_Failure = sdk.Unavailable | sdk.InDoubt | sdk.Refused | sdk.Blocked | Defect


def _can_be_kept(said: Outcome) -> bool:
    """Can the journal write it down? Nobody enforces the types of the SDK, and what cannot be written would never end: a case
    number that is no text, half a surrogate pair out of somebody's JSON, facts that are no JSON."""
    texts: tuple[object, ...]
    match said:
        case sdk.Acknowledgement():
            texts = (said.case_number,)
        case sdk.HandedOver():
            texts = (said.token,)
        case sdk.Refused():
            texts = (said.reason, said.code, said.xpath)
        case sdk.Unavailable() | sdk.InDoubt() | sdk.Blocked():
            texts = (said.reason,)
        case _:
            return True
    try:
        facts = json.dumps(dict(said.facts), ensure_ascii=False) if isinstance(said, sdk.Acknowledgement) else ""
        return all(text is None or (isinstance(text, str) and text.encode() is not None) for text in (*texts, facts))
    except (TypeError, ValueError):  # UnicodeEncodeError is one
        return False


def _nonsense(question: str) -> Defect:
    """It returned what the SDK does not know, for example ``None`` at the end of a function that forgot to return."""
    return Defect(fingerprint=hashlib.sha256(question.encode()).hexdigest()[:16], kind="WrongAnswer")


def _outcome_of(error: BaseException) -> Outcome:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]  # a connector that uses a TaskGroup still keeps its promise
    if isinstance(error, sdk.Unavailable | sdk.InDoubt | sdk.Refused | sdk.Blocked):
        return error
    if isinstance(error, LoopBlocked):  # where exactly it was interrupted is chance
        return Defect(fingerprint=BLOCKS_LOOP, kind="LoopBlocked", code=BLOCKS_LOOP)
    return Defect(fingerprint=fingerprint(error), kind=type(error).__name__)
