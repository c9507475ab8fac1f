"""Submissions and deliveries as JSON: what a portal may see, and what an operator may see. Never a document, never a name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.attempts import breaker
from gateway.intake import Receipt
from gateway.ports import Dossier, HistoryEntry, TargetState
from gateway.submission import Delivery, Event, Purpose, State, Submission, public_state


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """The Eingangsbestätigung. The same for every repeat, whatever has become of the submission since."""
    submission = receipt.dossier.submission
    body = {
        "id": submission.id,
        "reference": submission.reference,
        "state": "received",
        "digest": digest_text(submission.digest),
        "received_at": instant(submission.received_at),
        "leistung": submission.leistung or None,
        "ars": submission.ars or None,
        "test": submission.test,
        "deliveries": [
            {"id": d.id, "purpose": d.purpose.value} for d in receipt.dossier.deliveries
            if d.replaces is None and d.purpose is not Purpose.NOTICE
        ],
        "links": links(submission),
    }
    if receipt.duplicate_of is not None:
        body["duplicate_of"] = receipt.duplicate_of
    return body


def links(submission: Submission) -> dict[str, str]:
    here = f"/v1/submissions/{submission.id}"
    return {"self": here, "events": f"{here}/events"}


def status_json(dossier: Dossier, history: Sequence[HistoryEntry]) -> dict[str, Any]:
    """What has become of a submission, for the portal that sent it."""
    submission = dossier.submission
    return {
        "id": submission.id,
        "reference": submission.reference,
        "state": public_state(dossier.deliveries).value,
        "digest": digest_text(submission.digest),
        "received_at": instant(submission.received_at),
        "leistung": submission.leistung or None,
        "ars": submission.ars or None,
        "test": submission.test,
        "deliveries": [portal_delivery_json(d) for d in dossier.deliveries if d.purpose is not Purpose.NOTICE],
        "history": [event_json(entry) for entry in history if entry.to_state is not None],
        "links": links(submission),
    }


def portal_delivery_json(delivery: Delivery) -> dict[str, Any]:
    """No target and no cause: both are the administration's own business."""
    said: dict[str, Any] = {
        "id": delivery.id,
        "purpose": delivery.purpose.value,
        "state": portal_state(delivery),
        "changed_at": instant(delivery.changed_at),
    }
    if delivery.state is State.DELIVERED and delivery.case_number is not None:
        said["case_number"] = delivery.case_number
    if delivery.replaces is not None:
        said["replaces"] = delivery.replaces
    return said


def portal_state(delivery: Delivery) -> str:
    """Pending and delivering are one to a portal; dead is said as what it means: a person takes care of it."""
    if delivery.state in (State.PENDING, State.DELIVERING):
        return "on_its_way"
    return "needs_attention" if delivery.state is State.DEAD else delivery.state.value


def event_json(entry: HistoryEntry) -> dict[str, Any]:
    said: dict[str, Any] = {"at": instant(entry.at), "event": entry.event, "state": entry.to_state}
    if entry.delivery_id is not None:
        said["delivery"] = entry.delivery_id
    if entry.event == Event.RETURN and entry.private and "reason" in entry.private:
        said["reason"] = entry.private["reason"]
    return said


def dead_letter_json(delivery: Delivery, submission: Submission) -> dict[str, Any]:
    """A row of the operators' list: everything needed to decide, nothing of the document."""
    return {
        "id": delivery.id,
        "submission": submission.id,
        "reference": submission.reference,
        "portal": submission.portal,
        "leistung": delivery.leistung or None,
        "ars": submission.ars or None,
        "authority": delivery.authority or None,
        "target": delivery.target,
        "purpose": delivery.purpose.value,
        "state": delivery.state.value,
        "class": delivery.dead_class.value if delivery.dead_class else None,
        "code": delivery.code,
        "cause": delivery.cause.hex() if delivery.cause else None,
        "cause_de": (delivery.cause_text or {}).get("de"),
        "cause_en": (delivery.cause_text or {}).get("en"),
        "in_doubt": delivery.in_doubt,
        "attempts": delivery.attempts,
        "crashes": delivery.crashes,
        "test": submission.test,
        "received_at": instant(submission.received_at),
        "since": instant(delivery.changed_at),
        "revision": delivery.revision,
    }


def operator_delivery_json(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "submission": delivery.submission_id,
        "purpose": delivery.purpose.value,
        "authority": delivery.authority or None,
        "leistung": delivery.leistung or None,
        "target": delivery.target,
        "state": delivery.state.value,
        "waiting_for": delivery.waiting_for.value if delivery.waiting_for else None,
        "next_attempt_at": instant(delivery.next_attempt_at),
        "class": delivery.dead_class.value if delivery.dead_class else None,
        "closed_as": delivery.closed_as.value if delivery.closed_as else None,
        "code": delivery.code,
        "cause_text": dict(delivery.cause_text) if delivery.cause_text else None,
        "case_number": delivery.case_number,
        "in_doubt": delivery.in_doubt,
        "attempts": delivery.attempts,
        "replaces": delivery.replaces,
        "after": delivery.after,
        "received_at": instant(delivery.received_at),
        "changed_at": instant(delivery.changed_at),
        "revision": delivery.revision,
    }


def history_json(entry: HistoryEntry) -> dict[str, Any]:
    """A line of the history as operators see it."""
    return {
        "no": entry.sealed_no,
        "at": instant(entry.at),
        "actor": entry.actor,
        "subject": entry.subject,
        "submission": entry.submission_id,
        "delivery": entry.delivery_id,
        "event": entry.event,
        "from": entry.from_state,
        "to": entry.to_state,
        "attempt": entry.attempt,
        "outcome": entry.outcome,
        "code": entry.code,
        "facts": dict(entry.facts),
        **({"texts": dict(entry.private)} if entry.private else {}),
    }


def target_state_json(state: TargetState) -> dict[str, Any]:
    return {
        "paused": state.paused_at is not None,
        "paused_reason": state.paused_reason,
        "paused_at": instant(state.paused_at),
        "paused_until": instant(state.paused_until),
        "breaker": state.breaker.value,
        "breaker_kind": kind.value if (kind := breaker.kind_of(state)) else None,
        "breaker_cause": state.breaker_cause,
        "breaker_since": instant(state.breaker_since),
        "probe_at": instant(state.probe_at),
        "revision": state.revision,
    }


def etag(dossier: Dossier) -> str:
    """Changes exactly when a delivery does."""
    stamp = "|".join(f"{d.id}:{d.revision}" for d in dossier.deliveries)
    return f'"{hashlib.sha256(stamp.encode()).hexdigest()[:20]}"'


def instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if at is not None else None


def digest_text(digest: bytes) -> str:
    return f"sha-256:{digest.hex()}"
