"""What can be submitted here, and where it would go."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from gateway.access import Identity, Party, may_submit
from gateway.attempts import breaker
from gateway.clocks import BERLIN
from gateway.http import shapes
from gateway.http.problems import Kind, Problem
from gateway.http.services import Caller, Inside, Services
from gateway.ports import Breaker, TargetState
from gateway.schemas import Leistung
from gateway.site import NoRoute, Route, RouteExplanation

router = APIRouter(prefix="/v1", tags=["Katalog"])



@router.get("/leistungen", response_model=shapes.Leistungen, summary="Leistungen, die hier eingereicht werden können",
            responses=shapes.problems(401))
async def leistungen(services: Inside, caller: Caller) -> Response:
    """Alle Leistungen, für die dieser Schlüssel gilt, mit Art, Nachricht und Fristen."""
    return JSONResponse({"leistungen": [
        _leistung(services, each) for each in sorted(services.registry.leistungen.values(), key=lambda each: each.slug)
        if _shows(caller, each.slug)
    ]})


@router.get("/routes", response_model=shapes.Routes, summary="Wohin würde es gehen?",
            responses=shapes.problems(400, 401, 422))
async def routes(
    services: Inside,
    caller: Caller,
    leistung: Annotated[str, Query(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")],
    ars: Annotated[str, Query(pattern=r"^([0-9]{2}|[0-9]{3}|[0-9]{5}|[0-9]{8}|[0-9]{9}|[0-9]{12})$")],
) -> Response:
    """Das zuständige Zielsystem für eine Leistung an einem Ort, warum gerade dieses, und ob es gerade erreichbar ist."""
    if leistung not in services.registry.leistungen or not _shows(caller, leistung):
        raise Problem(
            Kind.UNKNOWN_LEISTUNG,
            de="Die gewünschte Leistung ist hier nicht eingerichtet. GET /v1/leistungen nennt alle.",
            en="The service asked for is not set up here. GET /v1/leistungen lists all of them.",
            extra={"code": "leistung-unknown"},
        )
    today = services.clock.now().astimezone(BERLIN).date()
    explained = services.site.explain(leistung, ars, today)
    if isinstance(explained.decision, NoRoute):
        raise Problem(
            Kind.NO_ROUTE, de=explained.decision.de, en=explained.decision.en,
            extra={"code": explained.decision.code, "missing": explained.decision.missing},
        )
    states = await services.journal.target_states()
    inside = caller.party is Party.OPERATOR
    why_de, why_en = (explained.de, explained.en) if inside else _in_short(services, explained)
    return JSONResponse({
        "leistung": leistung,
        "ars": ars,
        "place": explained.place,
        "why_de": why_de,
        "why_en": why_en,
        "to": [
            {
                "target": step.target if inside else None,
                "purpose": step.purpose.value,
                "after": step.after if inside else None,
                "authority": services.site.targets[step.target].authority,
                **_health(services, step.target, states.get(step.target)),
            }
            for step in explained.decision.to
        ],
    })


def _in_short(services: Services, explained: RouteExplanation) -> tuple[str, str]:
    """For portals: who gets it. What our systems are called and where that stands is the operators' business."""
    assert isinstance(explained.decision, Route)
    site = services.site
    keys = dict.fromkeys(site.targets[step.target].authority for step in explained.decision.to)
    names = [site.authorities[key].name for key in keys if key in site.authorities]
    return (f"{explained.place} geht an: {', '.join(names)}.", f"{explained.place} goes to: {', '.join(names)}.")


def _shows(caller: Identity, slug: str) -> bool:
    return caller.party is Party.OPERATOR or may_submit(caller, slug)


def _leistung(services: Services, leistung: Leistung) -> dict[str, Any]:
    package = services.registry.package_of(leistung)
    return {
        "slug": leistung.slug,
        "name_de": leistung.names.get("de"),
        "name_en": leistung.names.get("en"),
        "kind": leistung.kind.value,
        "place": leistung.place.value,
        "leika": leistung.leika,
        "on_invalid": leistung.on_invalid.value if leistung.on_invalid else None,
        "urgency": leistung.urgency.value,
        "deadline_days": leistung.deadline.days if leistung.deadline else None,
        "max_bytes": leistung.limits.bytes,
        "message": {"package": package.id, "namespace": package.namespace, "roots": list(leistung.messages or package.roots)},
    }


def _health(services: Services, target: str, state: TargetState | None) -> dict[str, Any]:
    """One word for a portal: nothing is lost meanwhile, it only takes longer."""
    if state is not None and state.paused_at is not None:
        return {"health": "paused"}
    if state is not None and state.breaker is not Breaker.CLOSED:
        kind = breaker.kind_of(state)
        return {"health": "unreachable" if kind is breaker.Kind.DOWN or kind is None else kind.value}
    if services.site.targets[target].is_closed(services.clock.now()):
        return {"health": "closed"}
    return {"health": "ok"}
