"""What has become of a submission: status, news of it, the list since, and withdrawing it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from gateway.access import Action, Identity, Party, may_operate
from gateway.http import shapes
from gateway.http.problems import Kind, Problem
from gateway.http.services import Caller, Inside, Services
from gateway.http.views import etag, event_json, operator_delivery_json, status_json
from gateway.ids import parse_reference
from gateway.ports import Dossier, HistoryEntry
from gateway.submission import FINAL

router = APIRouter(prefix="/v1/submissions", tags=["Einreichungen"])

LONGEST_WAIT = 60
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*(\d{1,4})\s*(?:$|,)")
_HEARTBEAT = 15.0
_ID_LENGTH = 36
_LAST = 2**63 - 1  # of any journal


@router.get("", response_model=shapes.Since, summary="Einreichungen, an denen sich etwas geändert hat",
            responses=shapes.problems(400, 401))
async def since(
    services: Inside,
    caller: Caller,
    since: Annotated[int, Query(ge=0, description="next aus der Antwort davor; 0 für alle")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Alles, was sich seit `since` geändert hat, jede Einreichung einmal, mit ihrem jetzigen Stand.

    Mit `next` aus der Antwort geht es weiter; gleich geblieben heißt: nichts Neues.
    """
    if caller.party is Party.OPERATOR:
        _require_view(caller, None)
    portal = caller.holder if caller.party is Party.PORTAL else None
    cursor, ids = await services.journal.since(portal, min(since, _LAST), limit)
    dossiers = [await services.journal.dossier(each) for each in ids]
    return JSONResponse({
        "submissions": [_brief(dossier) for dossier in dossiers if dossier is not None],
        "next": cursor,
    })


@router.get("/{submission_id}", response_model=shapes.Status, summary="Stand einer Einreichung",
            responses=shapes.problems(401, 404) | {304: {"description": "Unverändert"}})
async def status(
    submission_id: str,
    request: Request,
    services: Inside,
    caller: Caller,
    if_none_match: Annotated[str | None, Header()] = None,
    prefer: Annotated[str | None, Header(description="`wait=30` wartet bis zu 30 Sekunden auf eine Änderung")] = None,
) -> Response:
    """Stand, Verlauf und Nummern im Fachverfahren; statt der Kennung gilt auch die Eingangsnummer. `ETag` und `If-None-Match`
    sparen Antworten ohne Neues; mit `Prefer: wait=30` kommt die Antwort erst, wenn sich etwas ändert, spätestens nach 30
    Sekunden."""
    wait = _wait_of(prefer)
    dossier = await dossier_for(services, caller, submission_id)
    headers = {"preference-applied": f"wait={wait}"} if wait else {}
    if wait:
        dossier = await _changed(services, caller, dossier, request, known=if_none_match, wait=wait)
    headers["etag"] = etag(dossier)
    if _matches(if_none_match, headers["etag"]):
        return Response(status_code=304, headers=headers)
    return JSONResponse(await _status(services, caller, dossier), headers=headers)


@router.get("/{submission_id}/events", summary="Verlauf als Ereignisstrom (SSE)", response_class=StreamingResponse,
            responses=shapes.problems(401, 404) | {200: {"content": {"text/event-stream": {}}}})
async def events(
    submission_id: str, services: Inside, caller: Caller, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """Jede Änderung als Ereignis `state`; die Nummer in `id` zählt die Ereignisse dieser Einreichung und kann als
    `Last-Event-ID` wieder mitgegeben werden. Der Strom endet, wenn sich nichts mehr ändern kann."""
    submission_id = (await dossier_for(services, caller, submission_id)).submission.id
    seen = int(last_event_id) if last_event_id and re.fullmatch(r"[0-9]{1,9}", last_event_id) else 0
    return StreamingResponse(
        _stream(services, caller, submission_id, seen), media_type="text/event-stream", headers={"cache-control": "no-store"},
    )


@router.delete("/{submission_id}", response_model=shapes.Status, summary="Einreichung zurücknehmen",
               responses=shapes.problems(401, 404, 409))
async def withdraw(submission_id: str, request: Request, services: Inside, caller: Caller) -> Response:
    """Ganz oder gar nicht, und nur, solange keine Übermittlung angekommen oder ungeklärt ist (sonst 409)."""
    dossier = await dossier_for(services, caller, submission_id)
    if caller.party is Party.OPERATOR and not may_operate(caller, Action.WITHDRAW, dossier.submission.authority):
        raise Problem(Kind.NOT_PERMITTED)
    submission_id = dossier.submission.id
    await services.operator.withdraw(submission_id, actor=caller.actor, reason=f"withdrawn by {caller.party}")
    return JSONResponse(await _status(services, caller, await dossier_for(services, caller, submission_id)))


# --- helpers, in the order they are called -----------------------------------------------------------------------------


def _brief(dossier: Dossier) -> dict[str, Any]:
    whole = status_json(dossier, ())
    del whole["history"]
    return whole


def _wait_of(prefer: str | None) -> int:
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), LONGEST_WAIT) if found else 0


async def dossier_for(services: Services, caller: Identity, submission_id: str) -> Dossier:
    """404 for what does not exist and for what belongs to another portal: the answer must not tell which.

    submission_id: or the Eingangsnummer, as people write it.
    """
    whole: str | None = submission_id
    if reference := parse_reference(submission_id):
        whole = await services.journal.submission_named(reference)
    dossier = await services.journal.dossier(whole) if whole is not None and len(whole) == _ID_LENGTH else None
    if dossier is None or (caller.party is Party.PORTAL and dossier.submission.portal != caller.holder):
        raise Problem(
            Kind.NOT_FOUND, de="Unter dieser Nummer liegt hier nichts vor.", en="There is nothing under this number here.",
        )
    if caller.party is Party.OPERATOR:
        _require_view(caller, dossier.submission.authority)
    return dossier


def _require_view(caller: Identity, authority: str | None) -> None:
    if not may_operate(caller, Action.VIEW, authority):
        raise Problem(Kind.NOT_PERMITTED)


async def _changed(
    services: Services, caller: Identity, dossier: Dossier, request: Request, *, known: str | None, wait: int
) -> Dossier:
    """The dossier once it is another than the caller knows, or as it is when time is up, nothing can change any more, or he has
    hung up."""
    submission_id, first = dossier.submission.id, known or etag(dossier)
    end = services.now() + wait
    event = services.changes.listen(submission_id)
    try:
        while True:
            dossier = await dossier_for(services, caller, submission_id)
            left = end - services.now()
            if not _matches(first, etag(dossier)) or _settled(dossier) or services.changes.closed or left <= 0:
                return dossier
            if await request.is_disconnected():
                return dossier
            await services.changes.wait(event, timeout=min(left, services.poll))
    finally:
        services.changes.leave(submission_id, event)


def _settled(dossier: Dossier) -> bool:
    return all(delivery.state in FINAL for delivery in dossier.deliveries)


def _matches(sent: str | None, current: str) -> bool:
    return sent is not None and (sent.strip() == "*" or current in [tag.strip().removeprefix("W/") for tag in sent.split(",")])


async def _status(services: Services, caller: Identity, dossier: Dossier) -> dict[str, Any]:
    history = await _history(services, dossier.submission.id)
    said = status_json(dossier, history)
    if caller.party is Party.OPERATOR:
        said["portal"] = dossier.submission.portal
        said["authority"] = dossier.submission.authority or None
        said["deliveries"] = [operator_delivery_json(delivery) for delivery in dossier.deliveries]
    return said


async def _history(services: Services, submission_id: str) -> list[HistoryEntry]:
    return await services.journal.history(submission_id=submission_id)


async def _stream(services: Services, caller: Identity, submission_id: str, seen: int) -> AsyncIterator[bytes]:
    event = services.changes.listen(submission_id)
    quiet = 0.0
    try:
        while not services.changes.closed:
            dossier = await dossier_for(services, caller, submission_id)
            entries = [entry for entry in await _history(services, submission_id) if entry.to_state is not None]
            for number, entry in enumerate(entries[seen:], start=seen + 1):
                data = json.dumps(event_json(entry), ensure_ascii=False, separators=(",", ":"))
                yield f"id: {number}\nevent: state\ndata: {data}\n\n".encode()
                quiet = 0.0
            seen = max(seen, len(entries))
            if _settled(dossier):
                yield b"event: end\ndata: {}\n\n"
                return
            if not await services.changes.wait(event, timeout=services.poll):
                quiet += services.poll
                if quiet >= _HEARTBEAT:
                    quiet = 0.0
                    yield b": \n\n"
    except (asyncio.CancelledError, Problem):
        return
    finally:
        services.changes.leave(submission_id, event)
