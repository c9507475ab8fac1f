"""Is it alive, can it take something, and its figures. Without credentials: nothing here says anything about anybody."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from gateway.http import shapes
from gateway.http.services import Inside

router = APIRouter(tags=["Zustand"])

# Without a broker everything is accepted and rung later: a load balancer that took us out would make an outage of it.
# An older key protects what is stored; what is accepted now is under the newest.
# A site file that was refused leaves the one before in force.
_STILL_TAKES = frozenset(("broker", "keys", "site"))


@router.get("/livez", summary="Läuft der Prozess?", response_model=shapes.Alive)
async def livez() -> Response:
    return JSONResponse({"status": "ok"})


@router.get("/readyz", summary="Kann er annehmen?", response_model=shapes.Ready, responses={503: {"model": shapes.Ready}})
async def readyz(services: Inside) -> Response:
    """Journal beschreibbar, genug Platz. 503 nennt, was fehlt. „degraded“ (200): Angenommen wird, übermittelt wird später."""
    wrong = await services.ready()
    unready = bool(wrong.keys() - _STILL_TAKES)
    return JSONResponse(
        {
            "status": "unready" if unready else "degraded" if wrong else "ok",
            "wrong": [{"code": code, "de": de, "en": en} for code, (de, en) in wrong.items()],
        },
        status_code=503 if unready else 200,
        headers={"retry-after": "5"} if unready else None,
    )


@router.get("/metrics", summary="Kennzahlen für Prometheus", response_class=Response,
            responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: Inside) -> Response:
    return Response(await services.metrics(), media_type="text/plain; version=0.0.4")
