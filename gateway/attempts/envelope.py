"""What a connector is handed: a delivery, its submission and its documents, put together. Reads nothing by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial

from connectors import sdk
from gateway.attempts.outcomes import token_of
from gateway.ports import Dossier, Role
from gateway.provenance import package_of
from gateway.submission import Delivery, State

Chunks = Callable[[str, int], AsyncIterator[bytes]]


def envelope_of(dossier: Dossier, delivery: Delivery, document: bytes, *, chunks: Chunks, at: datetime) -> sdk.Envelope:
    """``document``: the bytes of part ``delivery.document``. chunks: how attachments are read when, and if, they are."""
    submission = dossier.submission
    own = next((info for info in dossier.documents if info.no == delivery.document), None)
    package, _, version = (package_of(own.made_by if own else None) or submission.package).partition("@")
    return sdk.Envelope(
        delivery_id=delivery.id,
        submission_id=submission.id,
        reference=submission.reference,
        leistung=delivery.leistung,
        ars=submission.ars,
        authority=delivery.authority,
        target=delivery.target or "",
        message=sdk.Message(standard=package, type=submission.message_type, version=version, uuid=submission.message_uuid),
        received_at=submission.received_at,
        order=submission.order,
        test=submission.test,
        attempt=delivery.attempts,
        first_attempt_at=delivery.failing_since or at,
        deadline=delivery.give_up_at,
        in_doubt=delivery.in_doubt,
        document=document,
        digest=own.digest.hex() if own else "",
        attachments=tuple(
            sdk.Attachment(
                name=info.name or f"{info.no}",
                media_type=info.media_type,
                size=info.size,
                digest=info.digest.hex(),
                open=partial(chunks, submission.id, info.no),
            )
            for info in dossier.documents
            if info.role is Role.ATTACHMENT
        ),
        predecessor=_predecessor(dossier, delivery),
        token=token_of(delivery),
        traceparent=submission.traceparent,
    )


def _predecessor(dossier: Dossier, delivery: Delivery) -> sdk.Acknowledgement | None:
    """What the target named in ``after`` answered; if it was redirected, what its successor answered."""
    if delivery.after is None:
        return None
    named = next((one for one in dossier.deliveries if one.id == delivery.after), None)
    while named is not None and named.state is State.CLOSED:
        successor = next((one for one in dossier.deliveries if one.replaces == named.id), None)
        if successor is None:
            return sdk.Acknowledgement(case_number=named.case_number)  # done by hand, perhaps with a number
        named = successor
    if named is None or named.state is not State.DELIVERED:
        return None
    facts = {name: value for name, value in (named.outcome or {}).items() if isinstance(value, str)}
    return sdk.Acknowledgement(case_number=named.case_number, facts=facts)
