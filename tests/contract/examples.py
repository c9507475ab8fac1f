"""Submissions, deliveries and changes to try a journal with. No personal data, no real services."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gateway.ids import new_reference, uuid7
from gateway.ports import Acceptance, Change, Claim, Journal, Part, Role
from gateway.submission import (
    ClosedAs,
    DeadClass,
    Delivery,
    Event,
    Origin,
    Purpose,
    State,
    Submission,
    WaitingFor,
    advance,
)
from tests.clock import EPOCH

LEASE = timedelta(minutes=1)


def digest(text: str | bytes) -> bytes:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).digest()


def part(body: bytes = b"<antrag/>", **fields: Any) -> Part:
    return Part(**({"role": Role.MESSAGE, "media_type": "application/xml", "body": body, "digest": digest(body)} | fields))


def delivery(submission_id: str, *, at: datetime = EPOCH, dead: DeadClass | None = None, **fields: Any) -> Delivery:
    """New and due, or held as a dead letter."""
    usual: dict[str, Any] = {
        "id": uuid7(), "submission_id": submission_id, "purpose": Purpose.CASE, "authority": "lk-beispiel",
        "leistung": "hundesteuer", "target": "steuer-hn", "document": 0, "revision": 1, "received_at": at, "changed_at": at,
    }
    if dead is None:
        usual |= {"state": State.PENDING, "waiting_for": WaitingFor.TURN, "next_attempt_at": at}
    else:
        usual |= {"state": State.DEAD, "dead_class": dead}
    return Delivery(**(usual | fields))


def acceptance(
    *, at: datetime = EPOCH, key: str | None = None, content: str = "A", bodies: Sequence[bytes] | None = None,
    deliveries: Sequence[dict[str, Any]] = ({},), claims: Sequence[Claim] | None = None, **fields: Any,
) -> Acceptance:
    """``key``: idempotency key. ``content`` decides the fingerprint. ``deliveries``: what differs from the usual one."""
    id_ = uuid7()
    parts = [part(body) for body in (bodies or [f"<antrag>{content}</antrag>".encode()])]
    usual: dict[str, Any] = {
        "id": id_, "reference": new_reference(), "portal": "service-bw", "authority": "lk-beispiel", "leistung": "hundesteuer",
        "ars": "081250000000", "package": "hundesteuer-1.0", "message_type": "antrag", "message_uuid": None,
        "origin": Origin.MESSAGE, "test": False, "digest": parts[0].digest, "fingerprint": digest(content),
        "size": len(parts[0].body), "received_at": at,
    }
    if claims is None:
        claims = [] if key is None else [claim(key, at=at)]
    submission = Submission(**(usual | fields))
    return Acceptance(
        submission, parts, [delivery(id_, at=at, **different) for different in deliveries], claims, f"portal {submission.portal}",
    )


async def order_of_a_new_one(journal: Journal) -> int:
    """Accepts one more."""
    given = acceptance()
    await journal.accept(given)
    dossier = await journal.dossier(given.submission.id)
    assert dossier is not None
    return dossier.submission.order


def claim(key: str, *, kind: str = "key", at: datetime = EPOCH, days: int = 30) -> Claim:
    return Claim(kind, digest(key), at + timedelta(days=days))


def change(before: Delivery, event: Event, *, at: datetime = EPOCH, **fields: Any) -> Change:
    """A legal transition; fields of ``Change`` go there, all others into the delivery (``said``: its ``outcome``)."""
    own = {name: fields.pop(name) for name in ("facts", "private", "opens", "parts", "outcome", "actor") if name in fields}
    fields |= {name: value for name, value in _needed(before, event, at).items() if name not in fields}
    if "said" in fields:
        fields["outcome"] = fields.pop("said")
    after = advance(before, event, at=at, **fields)
    return Change(before, after, event, at, own.pop("actor", "worker-1"), **own)


def moved(before: Delivery, **fields: Any) -> Delivery:
    return replace(before, **fields)


def _needed(before: Delivery, event: Event, at: datetime) -> dict[str, Any]:
    match event:
        case Event.CONFIRM:
            return {"in_doubt": False, "case_number": "AZ 4711/26", "outcome": {"status": "201"}}
        case Event.POSTPONE | Event.LAPSE:
            return {"waiting_for": WaitingFor.BACKOFF, "next_attempt_at": at + timedelta(seconds=5)}
        case Event.HAND_OVER:
            return {"waiting_for": WaitingFor.CONFIRMATION, "next_attempt_at": at + timedelta(minutes=1)}
        case Event.REPLAY | Event.REDELIVER:
            return {"waiting_for": WaitingFor.TURN, "next_attempt_at": at}
        case Event.GIVE_UP | Event.REFUSE_LATE | Event.REOPEN:
            return {"dead_class": DeadClass.REFUSED if before.target else DeadClass.UNROUTABLE, "in_doubt": False}
        case Event.EXPIRE:
            return {"dead_class": DeadClass.EXHAUSTED}
        case Event.CLAIM:
            return {"lease_until": at + LEASE}
        case Event.CLOSE:
            return {"closed_as": ClosedAs.BY_HAND}
        case Event.WITHDRAW:
            return {"in_doubt": False}
    return {}
