"""From a portal's bytes to a durable submission: examine → decide → commit → receipt.

``Intake.accept`` returns only after the journal has committed (P1); whatever it raises, nothing was stored. A document
that is understood but wrong is refused or, where the site says so, kept as a dead letter that an operator repairs; the
portal then gets the same receipt as for any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gateway import claims
from gateway.belonging import Refusal, Why, area_of
from gateway.causes import cause_of, text_of
from gateway.checks.opinion import Patience
from gateway.examination import Examination, Examiner, Incoming, received_parts
from gateway.findings import Finding, Unacceptable
from gateway.ids import new_reference, uuid7
from gateway.ports import Acceptance, Accepted, Claim, Clock, Dossier, Journal, KeyReused, Role
from gateway.schemas import OnInvalid
from gateway.site import Site
from gateway.submission import DeadClass, Delivery, Origin, Purpose, State, Submission, WaitingFor

RETENTION = timedelta(days=90)
"""Of what belongs to no known service, whose own retention would count: longer than any shipped service keeps its documents
and long enough to settle a dead letter by hand, but it ends (Art. 5 (1) e DSGVO)."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was promised. dossier: the submission that stands, as it was accepted. replayed: it stood there before.

    duplicate_of: the portal used another key, but the message itself had been received already. held: kept as a dead
    letter. facts: for the log.
    """

    dossier: Dossier
    replayed: bool = False
    duplicate_of: str | None = None
    held: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


class Intake:
    """Accepts submissions. nudge: called after every commit, so that the first attempt need not wait for a tick."""

    def __init__(
        self, *, journal: Journal, examiner: Examiner, site: Site, clock: Clock, nudge: Callable[[], None] = lambda: None
    ) -> None:
        self._journal, self._examiner, self._site, self._clock, self._nudge = journal, examiner, site, clock, nudge

    async def accept(self, incoming: Incoming) -> Receipt:
        """The receipt, once everything is on stable storage.

        Raises ``Unacceptable`` (findings), ``Refusal``, ``access.Forbidden`` and ``JournalUnavailable``.
        """
        self._examiner.permit(incoming, incoming.leistung)
        at, submission_id = self._clock.now(), uuid7()
        received = received_parts(incoming)
        mark = claims.fingerprint(incoming.leistung, incoming.ars, received)
        key = claims.by_key(incoming.key, at=at) if incoming.key is not None else None
        if key is not None and (known := await self._journal.replayed(incoming.portal.name, [key], mark)):
            return await self._again(known)
        found = await self._examiner.examine(incoming, received, at=at, submission_id=submission_id)
        if found.fault is not None and not holds(incoming, found):
            raise found.fault
        submission = self._submission(incoming, found, mark, at=at, submission_id=submission_id)
        deliveries = owed(submission, found, self._site) if found.fault is None else (_held(submission, found),)
        facts = facts_of(found)
        acceptance = Acceptance(
            submission, found.parts, deliveries, _claims(submission, found, key), incoming.identity.actor, facts,
        )
        outcome = await self._journal.accept(acceptance)
        if isinstance(outcome, KeyReused):
            return await self._again(outcome)
        if outcome.replayed:
            return await self._again(outcome, duplicate=key is not None and outcome.claim != key.kind)
        self._nudge()
        return Receipt(
            Dossier(outcome.submission, tuple(deliveries), ()), held=found.fault is not None, facts=facts,
        )

    async def examine(self, incoming: Incoming) -> Examination:
        """All of it but the commit. Raises what ``Examiner.examine`` raises."""
        return await self._examiner.examine(
            incoming, received_parts(incoming), at=self._clock.now(), submission_id=uuid7(), patience=Patience.FULL,
        )

    async def _again(self, known: Accepted | KeyReused, *, duplicate: bool = False) -> Receipt:
        """The receipt of the submission that stands under a claim; for other content, a refusal."""
        if isinstance(known, KeyReused):
            de, en = _CLAIMS[known.claim]
            raise Refusal(
                Why.KEY_REUSED, "key-reused",
                de=f"Unter {de} liegt schon eine Einreichung mit anderem Inhalt vor. Es wurde nichts gespeichert.",
                en=f"Other content was already submitted under {en}. Nothing was stored.",
                extra={"claim": known.claim},
            )
        dossier = await self._journal.dossier(known.submission.id)
        assert dossier is not None, "a claim without its submission"
        return Receipt(dossier, replayed=True, duplicate_of=known.submission.id if duplicate else None)

    def _submission(
        self, incoming: Incoming, found: Examination, mark: bytes, *, at: datetime, submission_id: str
    ) -> Submission:
        header = found.header
        return Submission(
            id=submission_id,
            reference=new_reference(),
            portal=incoming.portal.name,
            authority=self._authority(found),
            leistung=found.slug,
            ars=found.ars,
            package=found.package.id if found.package else "",
            message_type=header.type if header else "",
            message_uuid=header.uuid if header and found.origin is Origin.MESSAGE else None,
            origin=found.origin,
            test=incoming.test or bool(header and header.test),
            digest=found.parts[0].digest,
            fingerprint=mark,
            size=sum(len(part.body) for part in found.parts if part.role is not Role.MESSAGE),
            received_at=at,
            traceparent=incoming.traceparent,
            erase_after=at + (found.leistung.retention if found.leistung else RETENTION),
        )

    def _authority(self, found: Examination) -> str:
        """Who answers for it: the first target's authority; without a route, whoever is responsible for the place."""
        if found.route is not None:
            return self._site.targets[found.route.to[0].target].authority
        authorities = self._site.authorities
        near = [a for a in authorities.values() if found.ars and found.ars.startswith(area_of(a.ars))]
        if near:
            return max(near, key=lambda authority: len(area_of(authority.ars))).key
        return next(iter(authorities)) if len(authorities) == 1 else ""


def owed(submission: Submission, found: Examination, site: Site) -> tuple[Delivery, ...]:
    """What its route owes: a delivery for each target, due now, in the order of the route."""
    assert found.route is not None
    made: dict[str, Delivery] = {}
    for step in found.route.to:
        target, value = site.targets[step.target], found.order_value
        made[step.target] = Delivery(
            id=uuid7(),
            submission_id=submission.id,
            purpose=step.purpose,
            authority=target.authority,
            leistung=found.slug,
            target=target.name,
            document=found.document_for(target.name),
            state=State.PENDING,
            revision=1,
            received_at=submission.received_at,
            changed_at=submission.received_at,
            after=made[step.after].id if step.after else None,
            order_key=hashlib.sha256(f"{target.name}\0{value}".encode()).digest() if value else None,
            waiting_for=WaitingFor.TURN,
            next_attempt_at=submission.received_at,
        )
    return tuple(made.values())


def holds(incoming: Incoming, found: Examination) -> bool:
    """Is what is wrong kept for an operator (True), or told to the portal (False)?

    The portal's setting goes before the Leistung's. Where neither speaks, forms are held, because their citizen has
    left, and messages are refused.
    """
    chosen = incoming.portal.on_invalid or (found.leistung.on_invalid if found.leistung else None)
    if chosen is None:
        return found.origin is Origin.FORM
    return chosen is OnInvalid.HOLD


def facts_of(found: Examination) -> dict[str, Any]:
    """For the history and the log: codes and counts, no text from the document."""
    facts: dict[str, Any] = {**found.counts, "parts": len(found.parts), "origin": found.origin.value}
    if found.package is not None:
        facts["package"] = found.package.id
    if isinstance(found.fault, Unacceptable):
        facts["findings"] = len(found.fault.findings)
    elif found.fault is not None:
        facts["refusal"] = found.fault.code
    return facts


_CLAIMS = {
    "key": ("diesem Idempotency-Key", "this Idempotency-Key"),
    "message": ("dieser Nachrichten-UUID", "this message UUID"),
    "form": ("diesem Formular", "this form"),
}


def _claims(submission: Submission, found: Examination, key: Claim | None) -> list[Claim]:
    """Everything that must not give rise to a second case."""
    at, own = submission.received_at, [] if key is None else [key]
    if submission.message_uuid is not None:
        own.append(claims.by_message(found.header.author if found.header else None, submission.message_uuid, at=at))
    elif found.origin is Origin.FORM and key is None:
        own.append(claims.by_form(found.form_id, found.creation_date, submission.fingerprint, at=at))
    return own


def _held(submission: Submission, found: Examination) -> Delivery:
    """The dead letter of a submission that cannot be sent on, with the text the portal would have got as its cause."""
    fault = found.fault
    if isinstance(fault, Unacceptable):
        first = fault.findings[0]
        dead_class, code, place = DeadClass.INVALID, first.rule, first.path
        de, en = _sentences(fault.findings)
    else:
        assert fault is not None
        dead_class, code, place, de, en = DeadClass.UNROUTABLE, fault.code, None, fault.de, fault.en
    group = cause_of(dead_class, target=None, code=code, place=f"/{submission.leistung}/{(place or '').lstrip('/')}")
    texts = {**text_of(group), "findings_de": de, "findings_en": en}
    return Delivery(
        id=uuid7(),
        submission_id=submission.id,
        purpose=Purpose.CASE,
        authority=submission.authority,
        leistung=submission.leistung,
        target=None,
        document=found.document,
        state=State.DEAD,
        revision=1,
        received_at=submission.received_at,
        changed_at=submission.received_at,
        dead_class=dead_class,
        code=code,
        cause=group.hash,
        cause_text=texts,
    )


def _sentences(findings: tuple[Finding, ...]) -> tuple[str, str]:
    """All findings as text, one line each, the place first."""
    german, english = [], []
    for finding in findings:
        place = " ".join(filter(None, (f"{finding.line}:" if finding.line else "", finding.path or "")))
        german.append(f"{place} {finding.de}".strip())
        english.append(f"{place} {finding.en}".strip())
    return "\n".join(german), "\n".join(english)
