"""The history of everything (P7), for auditors: who did what when; codes and digests, and the reasons people gave."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from gateway.access import Action, require_operate
from gateway.http import shapes
from gateway.http.services import Caller, Inside
from gateway.http.views import history_json

router = APIRouter(prefix="/v1/audit", tags=["Betrieb: Protokoll"])


@router.get("", response_model=shapes.Audit, summary="Protokoll", responses=shapes.problems(400, 401, 403))
async def listed(
    services: Inside,
    caller: Caller,
    after: Annotated[int, Query(ge=0, description="next aus der Antwort davor")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    submission: Annotated[str | None, Query(max_length=36)] = None,
    last: Annotated[int | None, Query(ge=1, le=1000, description="die letzten so vielen, statt `after` und `limit`")] = None,
) -> Response:
    """In der Reihenfolge des Geschehens. Ob die Kette unversehrt ist, prüft `nahtlos audit verify`."""
    require_operate(caller, Action.AUDIT)
    if last is not None:
        entries = await services.journal.latest(submission_id=submission, limit=last)
    else:
        entries = await services.journal.history(submission_id=submission, after=after, limit=limit)
    return JSONResponse({
        "entries": [history_json(entry) for entry in entries],
        "next": entries[-1].no if entries else after,
    })
