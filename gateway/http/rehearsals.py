"""What would break on a key date: a rehearsal over what was received, told while it runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from gateway.access import Action, require_operate
from gateway.http import shapes
from gateway.http.problems import Kind, Problem
from gateway.http.services import Caller, Inside
from gateway.rehearsal import Busy, Rehearsal

router = APIRouter(prefix="/v1/maintenance", tags=["Betrieb: Wartung"])


@router.get("/rehearsal", summary="Probe für einen Stichtag", response_class=StreamingResponse,
            responses=shapes.problems(400, 401, 403, 409) | {200: {"content": {"application/x-ndjson": {}}}})
async def rehearsal(
    services: Inside,
    caller: Caller,
    on: Annotated[date, Query(description="der Tag, um den es geht")],
    since: Annotated[datetime, Query(description="was seitdem einging, mit Zeitzone")],
) -> Response:
    """Was seit `since` einging, wird gegen das geprüft, was am Tag `on` gilt; gespeichert und gesendet wird nichts. Jede
    Zeile der Antwort ist ein JSON-Objekt: `{"seen": n}` unterwegs, zuletzt `{"rehearsal": …}` mit den Befunden je Portal,
    Paket und Regel, ohne Werte."""
    require_operate(caller, Action.CONFIGURE)
    if since.tzinfo is None:
        raise Problem(Kind.BAD_PARAMETER, de="since braucht eine Zeitzone.", en="since needs a time zone.",
                      extra={"parameters": ["since"]})
    steps = services.rehearsals.run(on=on, since=since.astimezone(UTC))
    try:
        first = await anext(steps)
    except Busy:
        raise Problem(
            Kind.CONFLICT, de="Es läuft schon eine Probe.", en="A rehearsal is running already.", extra={"code": "busy"},
        ) from None
    return StreamingResponse(_lines(first, steps), media_type="application/x-ndjson", headers={"cache-control": "no-store"})


async def _lines(first: Rehearsal, steps: AsyncIterator[Rehearsal]) -> AsyncIterator[bytes]:
    last = first
    yield _line({"seen": last.seen})
    async for last in steps:
        yield _line({"seen": last.seen})
    yield _line({"rehearsal": last.as_json()})


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
