"""What has to be done to the gateway itself while it runs and holds its journal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from gateway.access import Action, require_operate
from gateway.http import shapes, strict_json
from gateway.http.services import Caller, Inside
from gateway.packageuse import use_of

router = APIRouter(prefix="/v1/maintenance", tags=["Betrieb: Wartung"])


@router.post("/keys/rotate", response_model=shapes.Rotated, summary="Neuer Schlüssel für die gespeicherten Daten",
             responses=shapes.changes(), openapi_extra=shapes.body(shapes.Reason))
async def rotate(request: Request, services: Inside, caller: Caller) -> Response:
    """Alle Datenschlüssel werden mit dem neuen verpackt; die Daten selbst bleiben, wie sie sind. Darf unterbrochen und
    wiederholt werden. Den alten Schlüssel brauchen nur noch ältere Sicherungen."""
    require_operate(caller, Action.CONFIGURE)
    body = await strict_json.read_object(request)
    reason = strict_json.text(body, "reason")
    strict_json.nothing_else(body)
    key_id, rewrapped = await services.rotate_keys()
    await services.journal.note(
        at=services.clock.now(), actor=caller.actor, subject=f"site key {key_id}", event="site-key-rotated",
        facts={"rewrapped": rewrapped}, private={"reason": reason},
    )
    return JSONResponse({"key_id": key_id, "rewrapped": rewrapped})


@router.get("/open-work", response_model=shapes.OpenWork, summary="Offenes je Zielsystem", responses=shapes.problems(401, 403))
async def open_work(services: Inside, caller: Caller) -> Response:
    """Auch Zielsysteme, die nicht mehr eingetragen sind: vor einer Änderung fällt so auf, was auf sie wartet."""
    require_operate(caller, Action.CONFIGURE)
    found = []
    for each in await services.journal.backlog():
        counts = {state: n for state, n in each.counts.items() if state in ("pending", "delivering", "dead") and n}
        if counts:
            found.append({"target": each.target, "counts": counts, "in_doubt": each.in_doubt})
    return JSONResponse({"targets": found})


@router.get("/package-use", response_model=shapes.PackageUse, summary="Wer ein Schemapaket noch braucht",
            responses=shapes.problems(400, 401, 403))
async def package_use(
    services: Inside, caller: Caller, package: Annotated[str, Query(max_length=128, description="zum Beispiel xbau@2.6")]
) -> Response:
    """Einreichungen dieses Pakets, die noch nicht erledigt sind: ohne es lassen sie sich weder erneut übermitteln noch
    umleiten. Sieht alles durch, was eingegangen ist, und kann bei vielen Einreichungen dauern."""
    require_operate(caller, Action.CONFIGURE)
    return JSONResponse(asdict(await use_of(services.journal, package)))
