"""What the gateway says about itself: one canonical line per POST and per attempt, and nothing that is anybody's.

Every field of a log line is documented in ``FIELDS``; a value is a number, a flag, a time or a code without blanks.
Anything else is left out (in tests: refused), so that a payload cannot slip in with a new keyword. Of an exception only
type and place are told, because its text may quote what was sent; of foreign libraries only their constant templates.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum
from json import JSONEncoder
from math import isfinite
from pathlib import PurePath
from time import time_ns
from types import MappingProxyType, TracebackType
from typing import Any, BinaryIO, Literal, cast

import structlog

from gateway.logfields import FIELDS, LogEvent
from gateway.metrics import Metrics

__all__ = ["FIELDS", "LogEvent", "Metrics", "UndocumentedField", "asyncio_exception_handler", "configure", "place_of"]


_FIELD_NAMES = frozenset(FIELDS)
_TOKEN = re.compile(r"[\w.:/@+*=,-]{0,200}", re.ASCII).fullmatch
_PLAIN = frozenset((int, float, bool, type(None)))
_LEFT_OUT = "?"
_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# Their messages without arguments are constants; those of other loggers may have been put together from data.
_CONSTANT_TEXTS = frozenset({"uvicorn", "uvicorn.error", "aio_pika", "aiormq", "asyncpg"})


class UndocumentedField(Exception):
    """A log line with an unknown event, an unknown field or a value that is not a code. Raised in tests only."""


class _Constant(str):
    """Text that stands in a program, not in a message: may hold blanks."""

    __slots__ = ()


def configure(
    *, form: Literal["json", "console"] = "json", level: str = "INFO", stream: BinaryIO | None = None, strict: bool = False
) -> None:
    """Set up structlog and route the standard library's logging through it. To be called once, before the first line.

    stream: where lines go, standard error by default. strict: raise ``UndocumentedField`` instead of leaving out.
    """
    structlog.configure(
        processors=[_JsonLine(strict=strict) if form == "json" else _ConsoleLine(strict=strict)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, _Lossy(stream or sys.stderr.buffer))),
        # 2 µs a line dearer than kept loggers, and whoever sets up anew is not left with lines that go to the old place
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Foreign()]
    root.setLevel(max(logging.getLevelName(level), logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "aio_pika", "aiormq", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = name != "uvicorn.access"
    logging.captureWarnings(True)


def place_of(error: BaseException) -> dict[str, Any]:
    """Type and place of an exception as log fields: enough to find the defect, without its text."""
    frames = list(_frames(error.__traceback__))
    fields: dict[str, Any] = {"error": type(error).__name__, "trace": frames[-8:]}
    if frames:
        fields["place"] = frames[-1]
    if causes := [type(cause).__name__ for cause in _causes(error)]:
        fields["caused_by"] = causes
    return fields


def asyncio_exception_handler(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """For ``loop.set_exception_handler``: asyncio's own prints the representation of whatever was in flight."""
    error, task = context.get("exception"), context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else None
    structlog.get_logger().error(LogEvent.TASK_FAILED, task=name, **(place_of(error) if error is not None else {}))


class _Lossy:
    """A line that cannot be written (full disk, closed pipe) is lost; whoever wrote it goes on with what it was doing."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, line: bytes) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(line)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class _Guard:
    """The only way to a log line: documented fields, plain values. The last of structlog's processors."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def _checked(self, method: str, given: MutableMapping[str, Any]) -> dict[str, Any]:
        """The line with values that are plain already; ``_plain`` makes the others so."""
        event, raised = given.pop("event", None), given.pop("exc_info", None)
        line: dict[str, Any] = {"at": _now(), "level": method, "event": _EVENTS.get(event) or self._unfit("event", event)}
        for name, value in given.items():
            if name not in _FIELD_NAMES:
                self._unfit(name, value)
            elif type(value) in _PLAIN or (type(value) is str and (value in _seen or _is_code(value))):
                line[name] = value
            else:
                line[name] = self._plain(name, value)
        if raised and (error := _raised(raised)) is not None:
            line |= place_of(error)
        return line

    def _plain(self, name: str, value: Any) -> Any:
        match value:
            case _Constant() | int() | float():
                return value
            case Enum():
                return self._plain(name, value.value)
            case datetime():
                return value.isoformat(timespec="milliseconds")
            case timedelta():
                return value.total_seconds()
            case bytes() if name == "digest":
                return value[:32].hex()
            case list() | tuple():
                return [self._plain(name, item) for item in value[:20]]
            case str() | PurePath() if _is_code(text := str(value)):
                return text
        return self._unfit(name, value)

    def _unfit(self, name: str, value: object) -> str:
        if self._strict:
            raise UndocumentedField(f"{name} is not in FIELDS, or its value ({type(value).__name__}) is not a code")
        return _LEFT_OUT


class _JsonLine(_Guard):
    def __call__(self, logger: object, method: str, given: MutableMapping[str, Any]) -> bytes:
        """By hand, because a code needs no escapes: half the time of an encoder that must look for them."""
        parts = []
        for name, value in self._checked(method, given).items():
            kind = type(value)
            if kind is str:
                parts.append(f'"{name}":"{value}"')
            elif kind is int:
                parts.append(f'"{name}":{value}')
            elif kind is float:
                parts.append(f'"{name}":{value:.6g}' if isfinite(value) else f'"{name}":null')
            else:
                parts.append(f'"{name}":{_encode(value)}')
        return ("{" + ",".join(parts) + "}").encode()


class _ConsoleLine(_Guard):
    def __call__(self, logger: Any, method: str, given: MutableMapping[str, Any]) -> bytes:
        line = self._checked(method, given)
        return _console(logger, method, {name: value for name, value in line.items() if value is not None}).encode()


class _Foreign(logging.Handler):
    """Lines of other libraries: who, where and their constant text; arguments stay out."""

    def emit(self, record: logging.LogRecord) -> None:
        constant = bool(record.args) or record.name in _CONSTANT_TEXTS
        template = _Constant(str(record.msg).strip()[:200]) if constant and isinstance(record.msg, str) else None
        structlog.get_logger().log(
            record.levelno, LogEvent.FOREIGN, source=record.name, template=template,
            place=f"{record.filename}:{record.lineno}:{record.funcName}", exc_info=record.exc_info,
        )


# "journal unavailable" is the same event as "journal.unavailable".
_EVENTS: Mapping[object, str] = MappingProxyType(
    {name: event.value for event in LogEvent for name in (event.value, event.value.replace(".", " "))}
)
_console = structlog.dev.ConsoleRenderer(sort_keys=False, timestamp_key="at")
_second = (0, "")
_seen: set[str] = set()
_MOST_SEEN, _NAME_LENGTH = 4096, 32


def _now() -> str:
    """UTC with milliseconds; the text of a second is made once."""
    global _second
    moment = time_ns()
    second = moment // 1_000_000_000
    if _second[0] != second:
        _second = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return f"{_second[1]}.{moment // 1_000_000 % 1000:03d}Z"


def _is_code(text: str) -> bool:
    """Names come again and again; to know them by sight is ten times as fast as to read them."""
    if _TOKEN(text) is None:
        return False
    if len(text) < _NAME_LENGTH:
        if len(_seen) > _MOST_SEEN:
            _seen.clear()
        _seen.add(text)
    return True


def _raised(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    return exc_info[1] if isinstance(exc_info, tuple) else sys.exception()


def _causes(error: BaseException) -> Iterator[BaseException]:
    following = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for _ in range(5):
        if following is None:
            return
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _frames(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        yield f"{PurePath(code.co_filename).name}:{trace.tb_lineno}:{code.co_name}"
        trace = trace.tb_next
