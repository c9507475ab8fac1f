"""The answers a standard knows: that a message was received, and that it was returned."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from gateway.access import Action, Party, may_operate
from gateway.answering import NoAnswer
from gateway.http import shapes
from gateway.http.problems import Kind, Problem
from gateway.http.services import Caller, Inside
from gateway.http.submissions import dossier_for
from gateway.http.views import receipt_json
from gateway.intake import Receipt

router = APIRouter(prefix="/v1/submissions", tags=["Einreichungen"])

_XML: dict[str, Any] = {"application/xml": {"schema": {"type": "string"}}}


class Form(StrEnum):
    JSON = "json"
    XOEV = "xoev"


@router.get("/{submission_id}/receipt", summary="Eingangsbestätigung", response_model=shapes.Receipt,
            responses=shapes.problems(400, 401, 404, 406) | {200: {"content": _XML}})
async def receipt(
    submission_id: str,
    services: Inside,
    caller: Caller,
    form: Annotated[Form, Query(alias="format", description="`xoev`: in den Worten des Standards der Nachricht")] = Form.JSON,
) -> Response:
    """Dieselbe Bestätigung wie bei der Annahme. Mit `format=xoev` als Nachricht des Standards, in dem die Einreichung
    geschrieben ist, wo dessen Paket eine Vorlage dafür hat (sonst 406)."""
    dossier = await dossier_for(services, caller, submission_id)
    if form is Form.JSON:
        return JSONResponse(receipt_json(Receipt(dossier)))
    try:
        return _xml(await services.answers.acknowledgement(dossier))
    except NoAnswer as none:
        raise _problem(none) from None


@router.get("/{submission_id}/rejection", summary="Zurückweisung in den Worten des Standards", response_class=Response,
            responses=shapes.problems(401, 403, 404, 406) | {200: {"content": _XML}})
async def rejection(submission_id: str, services: Inside, caller: Caller) -> Response:
    """Für eine Einreichung, die an das Portal zurückgegeben wurde: die Zurückweisung als Nachricht des Standards, mit dem
    Grund und der ganzen ursprünglichen Nachricht. Eine Zurückweisung wird nie selbst zurückgewiesen (406)."""
    dossier = await dossier_for(services, caller, submission_id)
    if caller.party is Party.OPERATOR and not may_operate(caller, Action.DOCUMENT, dossier.submission.authority):
        raise Problem(Kind.NOT_PERMITTED)
    history = await services.journal.history(submission_id=dossier.submission.id)
    try:
        return _xml(await services.answers.rejection(dossier, history))
    except NoAnswer as none:
        raise _problem(none) from None


def _xml(body: bytes) -> Response:
    return Response(body, media_type="application/xml")


def _problem(none: NoAnswer) -> Problem:
    return Problem(_KINDS.get(none.code, Kind.NOT_ACCEPTABLE), de=none.de, en=none.en, extra={"code": none.code})


_KINDS = {"not-returned": Kind.NOT_FOUND, "erased": Kind.NOT_FOUND, "answer-invalid": Kind.INTERNAL}
