"""What the log may say. The most important test here: whatever somebody passes, nothing that is anybody's comes out."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.submission import State
from gateway.telemetry import FIELDS, LogEvent, UndocumentedField, asyncio_exception_handler, configure, place_of

ROOT = Path(__file__).parents[2]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Lines = Callable[[], list[dict[str, Any]]]


def recorded(*, strict: bool = False, level: str = "INFO", form: Any = "json") -> Lines:
    stream = io.BytesIO()
    configure(stream=stream, strict=strict, level=level, form=form)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_canonical_line_is_one_json_object_with_plain_values() -> None:
    lines = recorded(strict=True)
    structlog.get_logger().info(
        LogEvent.SUBMISSION, submission="019a-7b", portal="service-bw", status=202, seconds=0.00312345678, test=False, code=None,
        state=State.PENDING, digest=b"\x01\xff", findings=0,
    )
    line, = lines()
    assert datetime.fromisoformat(line.pop("at")) - datetime.now(UTC) < timedelta(seconds=5)
    assert line == {
        "level": "info", "event": "submission", "submission": "019a-7b", "portal": "service-bw", "status": 202,
        "seconds": 0.00312346, "test": False, "code": None, "state": "pending", "digest": "01ff", "findings": 0,
    }


def test_times_and_durations_and_lists_become_plain() -> None:
    lines = recorded(strict=True)
    fields = {"seconds": timedelta(minutes=1), "trace": ["a.py:1:f", "b.py:2:g"], "path": Path("/x/y"), "version": NOON}
    structlog.get_logger().info(LogEvent.ATTEMPT, **fields)
    line, = lines()
    assert (line["seconds"], line["trace"], line["path"]) == (60.0, ["a.py:1:f", "b.py:2:g"], "/x/y")
    assert line["version"] == "2026-03-01T12:00:00.000+00:00"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_stays_readable(value: float) -> None:
    lines = recorded()
    structlog.get_logger().info(LogEvent.ATTEMPT, seconds=value)
    assert lines()[0]["seconds"] is None


def test_levels_below_the_chosen_one_are_silent() -> None:
    lines = recorded(level="WARNING")
    structlog.get_logger().info(LogEvent.STARTED)
    structlog.get_logger().warning(LogEvent.STOPPED)
    assert [line["event"] for line in lines()] == ["stopped"]


@pytest.mark.parametrize("fields", [
    {"event": "made-up"}, {"event": LogEvent.ATTEMPT, "name": "x"}, {"event": LogEvent.ATTEMPT, "reason": "a sentence"},
    {"event": LogEvent.ATTEMPT, "reason": object()}, {"event": LogEvent.ATTEMPT, "code": b"x"},
    {"event": LogEvent.ATTEMPT, "code": "<a>"}, {"event": LogEvent.ATTEMPT, "code": "Jörg"},
    {"event": LogEvent.ATTEMPT, "code": "x" * 201}, {"event": LogEvent.ATTEMPT, "trace": ["ok", "not ok"]},
])
def test_in_tests_anything_undocumented_is_refused(fields: dict[str, Any]) -> None:
    recorded(strict=True)
    with pytest.raises(UndocumentedField):
        structlog.get_logger().info(**fields)


def test_in_production_it_is_left_out_and_the_line_is_written() -> None:
    lines = recorded()
    structlog.get_logger().info(LogEvent.ATTEMPT, name="Erika", reason="Erika Muster", code="ok")
    line, = lines()
    assert (line["event"], line["code"], line["reason"], "name" in line) == ("attempt", "ok", "?", False)


class Odd:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


wrapped: list[Callable[[str], Any]] = [
    lambda text: text, lambda text: [text], lambda text: {"a": text}, lambda text: text.encode(), Odd, ValueError,
    lambda text: (text, [text]), lambda text: {text}, lambda text: f"<name>{text}</name>", lambda text: Odd,
]


names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20)


@given(
    field=names.filter(lambda name: name not in {*FIELDS, "event", "exc_info", "self"}),
    wrap=st.sampled_from(wrapped), form=st.sampled_from(["json", "console"]), raised=st.booleans(),
)
def test_no_value_of_an_unknown_field_ever_comes_out(field: str, wrap: Callable[[str], Any], form: Any, raised: bool) -> None:
    marker = f"marker{uuid4().hex}"
    stream = io.BytesIO()
    configure(stream=stream, form=form)
    try:
        if raised:
            raise ValueError(marker) from KeyError(marker)
        structlog.get_logger().info(LogEvent.ATTEMPT, **{field: wrap(marker)})
    except ValueError:
        structlog.get_logger().exception(LogEvent.ATTEMPT, **{field: wrap(marker)})
    assert stream.getvalue()
    assert marker not in stream.getvalue().decode()


@given(field=st.sampled_from(sorted(FIELDS)), text=st.text(max_size=30), wrap=st.sampled_from(wrapped[1:]))
def test_no_text_with_blanks_or_markup_comes_out_of_a_known_field(field: str, text: str, wrap: Callable[[str], Any]) -> None:
    marker = f"Erika {text} Muster"
    lines = recorded()
    structlog.get_logger().info(LogEvent.ATTEMPT, **{field: wrap(marker)})
    assert "Erika" not in json.dumps(lines())


@given(st.text(max_size=40))
def test_every_line_is_one_line_and_valid_json(text: str) -> None:
    lines = recorded()
    structlog.get_logger().info(LogEvent.ATTEMPT, code=text, reason=text, trace=[text], count=1)
    assert len(lines()) == 1


# --- exceptions and foreign libraries --------------------------------------------------------------------------------


def failing(text: str) -> None:
    try:
        int(text)
    except ValueError as error:
        raise LookupError(f"no {text}") from error


def test_of_an_exception_type_and_place_are_told_and_not_its_text() -> None:
    lines = recorded(strict=True)
    try:
        failing("geheim")
    except LookupError:
        structlog.get_logger().exception(LogEvent.TASK_FAILED)
    line, = lines()
    assert (line["level"], line["error"], line["caused_by"]) == ("error", "LookupError", ["ValueError"])
    assert line["place"].startswith("test_telemetry.py:")
    assert line["place"].endswith(":failing")
    assert "geheim" not in json.dumps(line)


def test_an_exception_that_was_never_raised_has_no_place() -> None:
    assert place_of(ValueError("geheim")) == {"error": "ValueError", "trace": []}


def test_foreign_libraries_tell_their_template_and_never_their_arguments() -> None:
    lines = recorded(strict=True)
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 42)
    logging.getLogger("aio_pika.robust").warning("Connection to %s closed", "amqp://user:geheim@mq")
    logging.getLogger("some.library").error("put together from geheim")
    try:
        raise ValueError("geheim")
    except ValueError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved\nfuture: <Task geheim>")
    logging.getLogger("uvicorn.access").info("GET /v1/submissions?name=geheim")
    found = lines()
    assert [(line["source"], line["template"]) for line in found] == [
        ("uvicorn.error", "Started server process [%d]"), ("aio_pika.robust", "Connection to %s closed"),
        ("some.library", None), ("asyncio", None),
    ]
    assert found[-1]["error"] == "ValueError"
    assert "geheim" not in json.dumps(found)
    assert "amqp" not in json.dumps(found)


def test_a_warning_does_not_print_what_it_quotes() -> None:
    lines = recorded(strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("geheim", stacklevel=1)
    assert [line["source"] for line in lines()] == ["py.warnings"]
    assert "geheim" not in json.dumps(lines())


async def test_a_task_that_nobody_waits_for_is_told_without_its_contents() -> None:
    lines = recorded(strict=True)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(asyncio_exception_handler)
    loop.call_soon(failing, "geheim")
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    line, = lines()
    assert (line["event"], line["error"]) == ("task.failed", "LookupError")
    assert "geheim" not in json.dumps(line)


# --- the sources -----------------------------------------------------------------------------------------------------


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    for file in sorted((ROOT / "gateway").rglob("*.py")):
        if file.name == "telemetry.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(
                    value=ast.Name(id="log" | "_log"), attr="debug" | "info" | "warning" | "error" | "exception" | "critical"
                )):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def test_every_log_call_of_the_gateway_uses_documented_words() -> None:
    events = {name for event in LogEvent for name in (event.value, event.value.replace(".", " "))}
    wrong = []
    for place, call in log_calls():
        match call.args:
            case [ast.Constant(value=str(event))] if event in events:
                pass
            case [ast.Attribute(value=ast.Name(id="LogEvent"))]:
                pass
            case _:
                wrong.append(f"{place}: the event is not one of LogEvent")
        names = [keyword.arg for keyword in call.keywords if keyword.arg is not None]
        wrong += [f"{place}: {name} is not in FIELDS" for name in names if name not in {*FIELDS, "exc_info"}]
    assert wrong == []
