"""Submissions and deliveries as tests want them: valid, and different only in what a test names."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

from gateway.attempts.outcomes import Terms
from gateway.ids import new_reference, uuid7
from gateway.ports import Acceptance, Part, Role
from gateway.retry import RetryPolicy
from gateway.submission import Delivery, Event, Origin, Purpose, State, Submission, WaitingFor, advance
from tests.clock import EPOCH

NO_JITTER = 0.5
"""The ``chance`` at which a wait is exactly as long as its step."""


def a_submission(**changes: Any) -> Submission:
    digest = hashlib.sha256(uuid7().encode()).digest()
    made = Submission(
        id=uuid7(), reference=new_reference(), portal="service-bw", authority="lk-heilbronn", leistung="hundesteuer",
        ars="081250000000", package="hundesteuer@1.0", message_type="hundesteueranmeldung", message_uuid=None,
        origin=Origin.MESSAGE, test=False, digest=digest, fingerprint=digest, size=7, received_at=EPOCH,
        erase_after=EPOCH + timedelta(days=30),
    )  # fmt: skip
    return replace(made, **changes)


def a_delivery(submission: Submission | None = None, **changes: Any) -> Delivery:
    """Pending, due since the submission arrived."""
    of = submission or a_submission()
    made = Delivery(
        id=uuid7(), submission_id=of.id, purpose=Purpose.CASE, authority=of.authority, leistung=of.leistung, target="register",
        document=0, state=State.PENDING, revision=1, received_at=of.received_at, changed_at=of.received_at,
        waiting_for=WaitingFor.TURN, next_attempt_at=of.received_at,
    )  # fmt: skip
    return replace(made, **changes)


def claimed(delivery: Delivery | None = None, **changes: Any) -> Delivery:
    """As ``Journal.claim`` gives it: ``in_doubt`` is what it was before."""
    before = replace(delivery or a_delivery(), **changes)
    return advance(
        before, Event.CLAIM, at=EPOCH,
        lease_until=EPOCH + timedelta(minutes=2), claimed_by="gateway-1", attempts=before.attempts + 1,
    )  # fmt: skip


def an_acceptance(submission: Submission, *deliveries: Delivery, body: bytes = b"<hund/>") -> Acceptance:
    part = Part(Role.RECEIVED, "application/xml", body, hashlib.sha256(body).digest())
    return Acceptance(submission=submission, parts=(part,), deliveries=deliveries, claims=(), actor="portal:service-bw")


def terms(**changes: Any) -> Terms:
    """Of a target that can be asked and is not idempotent."""
    made = Terms(
        policy=RetryPolicy(), settle=timedelta(seconds=60), confirm_within=timedelta(days=7), idempotent=False, can_find=True
    )
    return replace(made, **changes)
