"""Target systems as they are now: backlog, pause and breaker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from gateway.access import Action, Identity, may_operate, require_operate
from gateway.config.faults import did_you_mean
from gateway.http import shapes, strict_json
from gateway.http.problems import Kind, Problem
from gateway.http.services import Caller, Inside, Services
from gateway.http.views import instant, target_state_json
from gateway.ports import Backlog, TargetState

router = APIRouter(prefix="/v1/targets", tags=["Betrieb: Zielsysteme"])


@router.get("", response_model=shapes.Targets, summary="Zielsysteme", responses=shapes.problems(401, 403))
async def listed(services: Inside, caller: Caller) -> Response:
    """Jedes Zielsystem mit Rückstand, Pause und Schutzschalter; ältester Rückstand als Zeitpunkt."""
    targets = [
        name for name, target in services.site.targets.items() if may_operate(caller, Action.VIEW, target.authority)
    ]
    if not targets:
        require_operate(caller, Action.VIEW)
    states = await services.journal.target_states()
    backlog = {each.target: each for each in await services.journal.backlog()}
    return JSONResponse({"targets": [_target(services, name, states.get(name), backlog.get(name)) for name in targets]})


@router.post("/{name}/pause", response_model=shapes.Target, summary="Zielsystem anhalten",
             responses=shapes.changes(), openapi_extra=shapes.body(shapes.Pause))
async def pause(name: str, request: Request, services: Inside, caller: Caller) -> Response:
    """Nichts geht verloren und nichts verfällt: Die Frist der wartenden Übermittlungen steht solange still."""
    _require(services, caller, name)
    body = await strict_json.read_object(request)
    reason, revision = strict_json.text(body, "reason"), strict_json.whole_number(body, "revision")
    until = _instant(strict_json.optional_text(body, "until"))
    strict_json.nothing_else(body)
    await services.operator.pause(name, actor=caller.actor, reason=reason, until=until, seen_revision=revision)
    return await _now(services, name)


@router.post("/{name}/resume", response_model=shapes.Target, summary="Zielsystem fortsetzen",
             responses=shapes.changes(), openapi_extra=shapes.body(shapes.Reason))
async def resume(name: str, request: Request, services: Inside, caller: Caller) -> Response:
    _require(services, caller, name)
    body = await strict_json.read_object(request)
    reason, revision = strict_json.text(body, "reason"), strict_json.whole_number(body, "revision")
    strict_json.nothing_else(body)
    await services.operator.resume(name, actor=caller.actor, reason=reason, seen_revision=revision)
    return await _now(services, name)


def _require(services: Services, caller: Identity, name: str) -> None:
    target = services.site.targets.get(name)
    require_operate(caller, Action.PAUSE, target.authority if target else None)
    if target is None:
        de, en = did_you_mean(name, services.site.targets)
        raise Problem(
            Kind.NOT_FOUND, de=f"Dieses Zielsystem gibt es hier nicht{de}.", en=f"There is no such target here{en}",
        )


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        at = None
    if at is None or at.tzinfo is None:
        raise Problem(
            Kind.BAD_REQUEST,
            de="until ist kein Zeitpunkt mit Zeitzone (ISO 8601).", en="until is no instant with time zone (ISO 8601).",
        )
    return at


async def _now(services: Services, name: str) -> Response:
    states = await services.journal.target_states()
    backlog = {each.target: each for each in await services.journal.backlog()}
    return JSONResponse(_target(services, name, states.get(name), backlog.get(name)))


def _target(services: Services, name: str, state: TargetState | None, backlog: Backlog | None) -> dict[str, Any]:
    config = services.site.targets[name]
    return {
        "name": name,
        "authority": config.authority,
        "connector": config.connector,
        "productive": config.productive,
        "concurrency": config.concurrency,
        "contact": config.contact or None,
        "closed_now": config.is_closed(services.clock.now()),
        "counts": dict(backlog.counts) if backlog else {},
        "in_doubt": backlog.in_doubt if backlog else 0,
        "oldest": instant(backlog.oldest) if backlog else None,
        **target_state_json(state or TargetState(name)),
    }
