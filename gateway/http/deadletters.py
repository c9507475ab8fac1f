"""Dead letters: what waits for a person, why, and what that person does about it.

Operators see causes, never documents; those have a permission of their own (``documents``). Every change takes a ``reason``
and may take the ``revision`` it was decided on; if it has moved on since, nothing happens (409).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from gateway.access import Action, Identity, Party, authorities_of, may_operate, require_operate
from gateway.config.faults import did_you_mean
from gateway.http import shapes, strict_json
from gateway.http.problems import Kind, Problem
from gateway.http.services import Caller, Inside, Services
from gateway.http.views import dead_letter_json, history_json, instant, operator_delivery_json
from gateway.ports import DeadLetterFilter
from gateway.submission import ClosedAs, DeadClass, Delivery, Submission

router = APIRouter(prefix="/v1/dead-letters", tags=["Betrieb: Klärfälle"])

_SCAN = 500
_MOST = 20_000

Target = Annotated[str | None, Query(max_length=128)]
Slug = Annotated[str | None, Query(max_length=64)]
Cause = Annotated[str | None, Query(pattern="^([0-9a-f]{2}){1,32}$")]


@router.get("", response_model=shapes.DeadLetters, summary="Klärfälle", responses=shapes.problems(400, 401, 403))
async def listed(
    services: Inside,
    caller: Caller,
    target: Target = None,
    leistung: Slug = None,
    authority: Slug = None,
    dead_class: Annotated[DeadClass | None, Query(alias="class")] = None,
    cause: Cause = None,
    before: Annotated[datetime | None, Query()] = None,
    after: Annotated[str | None, Query(max_length=36, description="next aus der Antwort davor")] = None,
    limit: Annotated[int, Query(ge=1, le=_SCAN)] = 100,
) -> Response:
    """Die ältesten zuerst. `next` steht dabei, solange es weitere geben kann."""
    which = _filter(target, leistung, authority, dead_class, cause, before)
    _require_some_view(services, caller)
    rows = await services.journal.dead_letters(which, limit=limit, after=after)
    if not rows and after is None:
        _refuse_unknown(services, caller, which)
    return JSONResponse({
        "dead_letters": [dead_letter_json(*row) for row in rows if may_operate(caller, Action.VIEW, row[0].authority)],
        "next": rows[-1][0].id if len(rows) == limit else None,
    })


@router.get("/groups", response_model=shapes.Groups, summary="Klärfälle nach Ursachen", responses=shapes.problems(400, 401, 403))
async def groups(
    services: Inside,
    caller: Caller,
    target: Target = None,
    leistung: Slug = None,
    authority: Slug = None,
    dead_class: Annotated[DeadClass | None, Query(alias="class")] = None,
) -> Response:
    """Eine Zeile je Ursache: wie viele, seit wann, und ein Beispiel."""
    which = _filter(target, leistung, authority, dead_class, None, None)
    _require_some_view(services, caller)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    after, seen = None, 0
    while seen < _MOST:
        rows = await services.journal.dead_letters(which, limit=_SCAN, after=after)
        for delivery, submission in rows:
            if may_operate(caller, Action.VIEW, delivery.authority):
                _add(found, delivery, submission)
        seen += len(rows)
        if len(rows) < _SCAN:
            break
        after = rows[-1][0].id
    if not seen:
        _refuse_unknown(services, caller, which)
    return JSONResponse({
        "groups": sorted(found.values(), key=lambda group: (-group["count"], group["oldest"])), "complete": seen < _MOST,
    })


@router.get("/{delivery_id}", response_model=shapes.DeadLetterDetail, summary="Ein Klärfall mit Verlauf",
            responses=shapes.problems(401, 403, 404))
async def shown(delivery_id: str, services: Inside, caller: Caller) -> Response:
    """Auch, wenn er inzwischen keiner mehr ist."""
    return JSONResponse(await _detail(services, caller, delivery_id))


@router.post("/{delivery_id}/replay", response_model=shapes.DeadLetterDetail, summary="Erneut übermitteln",
             responses=shapes.changes(), openapi_extra=shapes.body(shapes.Replay))
async def replay(delivery_id: str, request: Request, services: Inside, caller: Caller) -> Response:
    """Dieselbe Übermittlung, ein neuer Versuch. `absent: true` sagt: im Fachverfahren nachgesehen, dort ist sie nicht."""
    async def act(body: dict[str, Any], reason: str, revision: int | None) -> Delivery:
        absent = strict_json.flag(body, "absent")
        strict_json.nothing_else(body)
        return await services.operator.replay(
            delivery_id, actor=caller.actor, reason=reason, seen_revision=revision, absent=absent,
        )
    return await _change(request, services, caller, delivery_id, Action.REPLAY, act)


@router.post("/{delivery_id}/return", response_model=shapes.DeadLetterDetail, summary="An das Portal zurückgeben",
             responses=shapes.changes(), openapi_extra=shapes.body(shapes.Reason))
async def return_(delivery_id: str, request: Request, services: Inside, caller: Caller) -> Response:
    """Das Portal erfährt den Grund. Die Eingangsbestätigung gilt weiter: Es war eingegangen."""
    async def act(body: dict[str, Any], reason: str, revision: int | None) -> Delivery:
        strict_json.nothing_else(body)
        return await services.operator.return_(delivery_id, actor=caller.actor, reason=reason, seen_revision=revision)
    return await _change(request, services, caller, delivery_id, Action.RETURN, act)


@router.post("/{delivery_id}/close", response_model=shapes.DeadLetterDetail, summary="Von Hand übernommen",
             responses=shapes.changes(), openapi_extra=shapes.body(shapes.Close))
async def close(delivery_id: str, request: Request, services: Inside, caller: Caller) -> Response:
    """Der Vorgang liegt auf anderem Weg im Fachverfahren (`by_hand`) oder ist doppelt (`duplicate`)."""
    async def act(body: dict[str, Any], reason: str, revision: int | None) -> Delivery:
        closed_as = strict_json.optional_text(body, "closed_as") or ClosedAs.BY_HAND.value
        number = strict_json.optional_text(body, "case_number", longest=200)
        strict_json.nothing_else(body)
        if closed_as not in (ClosedAs.BY_HAND, ClosedAs.DUPLICATE):
            raise Problem(Kind.BAD_REQUEST, de="closed_as ist by_hand oder duplicate.", en="closed_as is by_hand or duplicate.")
        return await services.operator.close(
            delivery_id, actor=caller.actor, reason=reason, seen_revision=revision,
            closed_as=ClosedAs(closed_as), case_number=number,
        )
    return await _change(request, services, caller, delivery_id, Action.CLOSE, act)


@router.post("/{delivery_id}/reopen", response_model=shapes.DeadLetterDetail, summary="Wieder öffnen",
             responses=shapes.changes(), openapi_extra=shapes.body(shapes.Reason))
async def reopen(delivery_id: str, request: Request, services: Inside, caller: Caller) -> Response:
    """Aus „von Hand übernommen“ wird wieder ein Klärfall."""
    async def act(body: dict[str, Any], reason: str, revision: int | None) -> Delivery:
        strict_json.nothing_else(body)
        return await services.operator.reopen(delivery_id, actor=caller.actor, reason=reason, seen_revision=revision)
    return await _change(request, services, caller, delivery_id, Action.REOPEN, act)


@router.post("/{delivery_id}/redirect", response_model=shapes.DeadLetterDetail, summary="An ein anderes Zielsystem umleiten",
             responses=shapes.changes(), openapi_extra=shapes.body(shapes.Redirect))
async def redirect(delivery_id: str, request: Request, services: Inside, caller: Caller) -> Response:
    """Diese Übermittlung wird geschlossen, eine neue an `target` geöffnet; die Antwort zeigt die neue."""
    async def act(body: dict[str, Any], reason: str, revision: int | None) -> Delivery:
        target = strict_json.text(body, "target", longest=128)
        strict_json.nothing_else(body)
        if target not in services.site.targets:
            de, en = did_you_mean(target, _targets_of(services, caller))
            raise Problem(
                Kind.BAD_REQUEST, de=f"Dieses Zielsystem gibt es hier nicht{de}.", en=f"There is no such target here{en}",
            )
        require_operate(caller, Action.REDIRECT, services.site.targets[target].authority)  # before anything has gone there
        return await services.operator.redirect(
            delivery_id, target=target, actor=caller.actor, reason=reason, seen_revision=revision,
        )
    return await _change(request, services, caller, delivery_id, Action.REDIRECT, act)


# --- helpers -----------------------------------------------------------------------------------------------------------


async def _change(
    request: Request,
    services: Services,
    caller: Identity,
    delivery_id: str,
    action: Action,
    act: Callable[[dict[str, Any], str, int | None], Awaitable[Delivery]],
) -> Response:
    """May they, what do they say, do it, show what it is now."""
    delivery = await services.journal.delivery(delivery_id)
    _require(caller, action, delivery)
    body = await strict_json.read_object(request)
    reason = strict_json.text(body, "reason")
    after = await act(body, reason, strict_json.whole_number(body, "revision"))
    return JSONResponse(await _detail(services, caller, after.id))


def _require(caller: Identity, action: Action, delivery: Delivery | None) -> Delivery:
    require_operate(caller, action, delivery.authority if delivery else None)
    if delivery is None:
        raise Problem(Kind.NOT_FOUND)
    return delivery


def _require_some_view(services: Services, caller: Identity) -> None:
    """A list is for whoever may look at anything at all; rows of others are left out of it."""
    if caller.party is not Party.OPERATOR or not any(may_operate(caller, Action.VIEW, key) for key in services.site.authorities):
        require_operate(caller, Action.VIEW)


def _refuse_unknown(services: Services, caller: Identity, which: DeadLetterFilter) -> None:
    """Nothing was found: is there nothing, or is the name misspelt? What is gone from the site file and has dead letters
    left was found."""
    kinds: tuple[tuple[str, str, str | None, Collection[str]], ...] = (
        ("target", "Zielsystem", which.target, _targets_of(services, caller)),
        ("leistung", "Leistung", which.leistung, services.registry.leistungen),
        ("authority", "Verwaltung", which.authority, authorities_of(caller, Action.VIEW, services.site.authorities)),
    )
    for name, word, wanted, known in kinds:
        if wanted is not None and wanted not in known:
            de, en = did_you_mean(wanted, known)
            raise Problem(
                Kind.BAD_PARAMETER, de=f"{word}: diesen Namen gibt es hier nicht{de}.",
                en=f"{name}: there is no such name here{en}", extra={"parameters": [name]},
            )


def _targets_of(services: Services, caller: Identity) -> list[str]:
    return [name for name, target in services.site.targets.items() if may_operate(caller, Action.VIEW, target.authority)]


async def _detail(services: Services, caller: Identity, delivery_id: str) -> dict[str, Any]:
    delivery = _require(caller, Action.VIEW, await services.journal.delivery(delivery_id))
    dossier = await services.journal.dossier(delivery.submission_id)
    assert dossier is not None
    history = await services.journal.history(submission_id=delivery.submission_id)
    return {
        **dead_letter_json(delivery, dossier.submission),
        **operator_delivery_json(delivery),
        "documents": [
            {"no": d.no, "role": d.role.value, "media_type": d.media_type, "size": d.size, "digest": f"sha-256:{d.digest.hex()}"}
            for d in dossier.documents
        ],
        "history": [history_json(entry) for entry in history if entry.delivery_id in (None, delivery_id)],
    }


def _filter(
    target: str | None, leistung: str | None, authority: str | None, dead_class: DeadClass | None, cause: str | None,
    before: datetime | None,
) -> DeadLetterFilter:
    if before is not None and before.tzinfo is None:
        raise Problem(
            Kind.BAD_PARAMETER, de="before braucht eine Zeitzone, zum Beispiel Z.", en="before needs a time zone, for example Z.",
            extra={"parameters": ["before"]},
        )
    try:
        before = before and before.astimezone(UTC)
    except OverflowError:
        raise Problem(
            Kind.BAD_PARAMETER, de="before ist kein Zeitpunkt.", en="before is no instant.", extra={"parameters": ["before"]},
        ) from None
    return DeadLetterFilter(
        target=target, leistung=leistung, authority=authority, dead_class=dead_class,
        cause=bytes.fromhex(cause) if cause else None, before=before,
    )


def _add(found: dict[tuple[Any, ...], dict[str, Any]], delivery: Delivery, submission: Submission) -> None:
    key = (delivery.cause, delivery.target, delivery.dead_class)
    texts = delivery.cause_text or {}
    group = found.setdefault(key, {
        "cause": delivery.cause.hex() if delivery.cause else None,
        "target": delivery.target,
        "class": delivery.dead_class.value if delivery.dead_class else None,
        "code": delivery.code,
        "cause_de": texts.get("de"),
        "cause_en": texts.get("en"),
        "count": 0, "test": 0,
        "oldest": instant(submission.received_at), "newest": instant(submission.received_at),
        "example": delivery.id,
    })
    group["count"] += 1
    group["test"] += submission.test
    group["oldest"] = min(group["oldest"], instant(submission.received_at) or "")
    group["newest"] = max(group["newest"], instant(submission.received_at) or "")
