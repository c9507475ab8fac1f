"""Keys of portals and operators: given out once, listed without their secret, revoked at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from gateway.access import ROLES, Action, Identity, TooManyKeys, new_key, refuse_third_key, require_operate
from gateway.access import Kind as KeyKind
from gateway.config.faults import did_you_mean
from gateway.http import shapes, strict_json
from gateway.http.problems import Kind, Problem
from gateway.http.services import Caller, Inside, Services
from gateway.http.views import instant
from gateway.ports import Credential

router = APIRouter(prefix="/v1/keys", tags=["Betrieb: Schlüssel"])


@router.get("", response_model=shapes.Keys, summary="Ausgegebene Schlüssel", responses=shapes.problems(401, 403))
async def listed(services: Inside, caller: Caller) -> Response:
    require_operate(caller, Action.KEYS)
    return JSONResponse({"keys": [_key(each) for each in await services.journal.credentials()]})


@router.post("", response_model=shapes.NewKey, status_code=201, summary="Schlüssel ausgeben",
             responses=shapes.changes(), openapi_extra=shapes.body(shapes.KeyOrder))
async def made(request: Request, services: Inside, caller: Caller) -> Response:
    """Der Schlüssel steht nur in dieser Antwort; gespeichert wird seine Prüfsumme. Zwei je Inhaber gelten zugleich."""
    require_operate(caller, Action.KEYS)
    body = await strict_json.read_object(request)
    holder, kind = strict_json.text(body, "holder", longest=128), strict_json.optional_text(body, "kind")
    scope = body.pop("scope", ["*"])
    reason = strict_json.text(body, "reason")
    strict_json.nothing_else(body)
    kind = kind or KeyKind.PORTAL_KEY.value
    if kind == KeyKind.PORTAL_KEY and holder not in services.site.portals:
        de, en = did_you_mean(holder, services.site.portals)
        raise _wrong(f"Dieses Portal steht nicht in der Konfiguration{de}.", f"This portal is not in the configuration{en}")
    if kind not in (KeyKind.PORTAL_KEY, KeyKind.OPERATOR_KEY):
        raise _wrong("kind ist portal-key oder operator-key.", "kind is portal-key or operator-key.")
    if not isinstance(scope, list) or not scope or not all(_scope_fits(services, kind, each) for each in scope):
        raise _wrong(
            "scope nennt Leistungen (Portal) oder Rollen wie operator@verwaltung (Betrieb).",
            "scope lists services (portal) or roles such as operator@authority (operators).",
        )
    _refuse_useless(services, kind, holder, scope)
    at = services.clock.now()
    try:
        refuse_third_key(await services.journal.credentials(), holder, kind=KeyKind(kind), at=at)
    except TooManyKeys as full:
        raise Problem(Kind.CONFLICT, de=full.de, en=full.en, extra={"code": "too-many-keys"}) from None
    plain, credential = new_key(holder, KeyKind(kind), scope, services.clock)
    await services.put_key(credential, actor=caller.actor)
    await _note(services, caller, credential, reason)
    return JSONResponse({**_key(credential), "key": plain}, status_code=201)


@router.post("/{key_id}/revoke", response_model=shapes.Key, summary="Schlüssel sperren",
             responses=shapes.changes(), openapi_extra=shapes.body(shapes.Reason))
async def revoked(key_id: str, request: Request, services: Inside, caller: Caller) -> Response:
    """Gilt ab sofort. Wer ihn noch benutzt, erhält 401."""
    require_operate(caller, Action.KEYS)
    body = await strict_json.read_object(request)
    reason = strict_json.text(body, "reason")
    strict_json.nothing_else(body)
    credential = next((each for each in await services.journal.credentials() if each.id == key_id), None)
    if credential is None:
        raise Problem(Kind.NOT_FOUND)
    if credential.revoked_at is None:
        credential = replace(credential, revoked_at=services.clock.now())
        await services.put_key(credential, actor=caller.actor)
        await _note(services, caller, credential, reason)
    return JSONResponse(_key(credential))


async def _note(services: Services, caller: Identity, credential: Credential, reason: str) -> None:
    """Why, beside the line that the journal writes itself."""
    await services.journal.note(
        at=services.clock.now(), actor=caller.actor, subject=f"credential {credential.id}", event="credential-reason", facts={},
        private={"reason": reason},
    )


def _scope_fits(services: Services, kind: str, entry: object) -> bool:
    if not isinstance(entry, str):
        return False
    if kind == KeyKind.PORTAL_KEY:
        return entry == "*" or entry in services.registry.leistungen
    role, _, authority = entry.partition("@")
    return role in ROLES and (not authority or authority in services.site.authorities)


def _refuse_useless(services: Services, kind: str, holder: str, scope: list[str]) -> None:
    """A key for services that the site file does not permit the portal would open nothing, and nobody would see why."""
    if kind != KeyKind.PORTAL_KEY:
        return
    permitted = services.site.portals[holder].leistungen
    if "*" not in permitted and (beyond := [each for each in scope if each != "*" and each not in permitted]):
        listed = ", ".join(sorted(permitted))
        raise _wrong(
            f"Das Portal darf hier nur {listed} einreichen, nicht {', '.join(beyond)}; in nahtlos.toml lässt sich das ändern.",
            f"The portal may only submit {listed} here, not {', '.join(beyond)}; nahtlos.toml can change that.",
        )


def _wrong(de: str, en: str) -> Problem:
    return Problem(Kind.BAD_REQUEST, de=de, en=en)


def _key(credential: Credential) -> dict[str, Any]:
    return {
        "id": credential.id,
        "holder": credential.holder,
        "kind": str(credential.kind),
        "scope": list(credential.scope),
        "created_at": instant(credential.created_at),
        "expires_at": instant(credential.expires_at),
        "revoked_at": instant(credential.revoked_at),
        "last_used_on": credential.last_used_on,
    }
