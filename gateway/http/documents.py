"""What is stored of a dead letter: the form or message as it was received, what was made of it, and its attachments.

A permission of its own (``Action.DOCUMENT``: role operator), because this is what a citizen wrote. Who looked at what stands
in the history before the first byte is sent.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from gateway.access import Action, Identity, require_operate
from gateway.http import shapes
from gateway.http.problems import Kind, Problem
from gateway.http.services import Caller, Inside, Services
from gateway.http.upload import is_xml
from gateway.ports import DocumentInfo
from gateway.submission import Delivery, Submission
from gateway.vault import KeyLost

router = APIRouter(prefix="/v1/dead-letters", tags=["Betrieb: Klärfälle"])

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w.+-]{0,126}/[A-Za-z0-9][\w.+-]{0,126}", re.ASCII)


@router.get("/{delivery_id}/documents/{no}", summary="Ein gespeichertes Dokument", response_class=Response,
            responses=shapes.problems(400, 401, 403, 404, 409)
            | {200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}})
async def document(delivery_id: str, no: int, services: Inside, caller: Caller) -> Response:
    """Genau die gespeicherten Bytes, als Anhang. Braucht das Recht, Inhalte zu sehen (Rolle operator); wer was angesehen hat,
    steht im Protokoll. Was gelöscht ist, gibt es nicht mehr (404, `code` erased)."""
    delivery = await services.journal.delivery(delivery_id)
    require_operate(caller, Action.DOCUMENT, delivery.authority if delivery else None)
    dossier = await services.journal.dossier(delivery.submission_id) if delivery else None
    if delivery is None or dossier is None:
        raise Problem(Kind.NOT_FOUND)
    info = next((each for each in dossier.documents if each.no == no), None)
    if info is None and dossier.documents:
        numbers = ", ".join(str(each.no) for each in dossier.documents)
        raise Problem(Kind.NOT_FOUND, de=f"Dokumente gibt es hier mit den Nummern {numbers}.", en=f"Documents here: {numbers}.")
    if info is None:
        raise _erased()
    chunks = services.journal.chunks(dossier.submission.id, no)
    first = await _first(chunks)
    await _note(services, caller, delivery, info)
    headers = {
        "content-disposition": f'attachment; filename="{_name(dossier.submission, info)}"', "content-length": str(info.size),
    }
    return StreamingResponse(_all(first, chunks), media_type=_media_type(info), headers=headers)


async def _first(chunks: AsyncIterator[bytes]) -> bytes:
    """Now, while there still is a status to say no with."""
    try:
        return await anext(chunks, b"")
    except KeyLost as lost:
        raise Problem(
            Kind.CONFLICT, de=f"Der Schlüssel {lost.key_id} fehlt im Schlüsselverzeichnis; mit ihm ist es wieder lesbar.",
            en=f"The key {lost.key_id} is not in the key directory; with it this can be read again.", extra={"code": "key-lost"},
        ) from None
    except LookupError:
        raise _erased() from None


async def _all(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


async def _note(services: Services, caller: Identity, delivery: Delivery, info: DocumentInfo) -> None:
    await services.journal.note(
        at=services.clock.now(), actor=caller.actor, subject=f"delivery {delivery.id}", event="document-seen",
        facts={"document": info.no, "role": info.role.value, "digest": info.digest.hex()}, submission_id=delivery.submission_id,
    )


def _name(submission: Submission, info: DocumentInfo) -> str:
    """Of ours: a file's own name is what a citizen wrote, too."""
    media_type = _media_type(info)
    ending = ".xml" if is_xml(media_type.encode()) else mimetypes.guess_extension(media_type) or ".bin"
    return f"{submission.reference}-{info.no}{ending}"


def _media_type(info: DocumentInfo) -> str:
    return info.media_type if _MEDIA_TYPE.fullmatch(info.media_type) else "application/octet-stream"


def _erased() -> Problem:
    return Problem(
        Kind.NOT_FOUND, de="Der Inhalt ist gelöscht: Die Aufbewahrungsfrist ist vorbei.",
        en="The content is erased: its time of keeping is over.", extra={"code": "erased"},
    )
