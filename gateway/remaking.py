"""Prepares a dead letter again after its cause was repaired: the mapping corrected, the schema package or the route added.

The same steps as at the first time, on the bytes as received, with what the gateway knows now. The time of receipt and the
message's own number stay what they were (P9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.access import Identity, Party, Proof
from gateway.attempts.permits import NotAllowed
from gateway.belonging import Refusal
from gateway.examination import Examination, Examiner, Incoming
from gateway.findings import Unacceptable
from gateway.intake import owed
from gateway.ports import Clock, DocumentInfo, Dossier, Journal, Part, Role
from gateway.preparing import Remade
from gateway.rules.attachments import Attached
from gateway.site import PortalConfig, Site
from gateway.submission import DeadClass, Delivery, Purpose


class Remaker:
    """Is the ``remake`` of ``operate.Operator``."""

    def __init__(self, *, journal: Journal, examiner: Examiner, site: Site, clock: Clock) -> None:
        self._journal, self._examiner, self._site, self._clock = journal, examiner, site, clock

    async def __call__(self, dossier: Dossier, delivery: Delivery) -> Remade | None:
        """``None``: nothing has changed. Raises ``NotAllowed`` with what is still wrong."""
        submission = dossier.submission
        source = _source(dossier, delivery)
        body = await self._journal.body(submission.id, source.no)
        received = [Part(Role.RECEIVED, source.media_type, body, source.digest)]
        known = submission.leistung in self._examiner.leistungen
        incoming = Incoming(
            self._as_portal(submission.portal), body,
            leistung=submission.leistung if known else None, ars=submission.ars or None, test=submission.test,
        )
        try:
            found = await self._examiner.examine(
                incoming, received, at=submission.received_at, submission_id=submission.id, routed_at=self._clock.now(),
                attached=_attached(dossier),
            )
        except Unacceptable as unreadable:
            raise _still_wrong(unreadable) from None
        if found.fault is not None:
            raise _still_wrong(found.fault)
        return self._difference(dossier, delivery, source.no, found)

    def _as_portal(self, name: str) -> Identity:
        """Whatever the portal may do today: this submission was permitted when it was received."""
        portal = self._site.portals.get(name) or PortalConfig(name, ("*",))
        return Identity(
            Party.PORTAL, name, ("*",), Proof.LOCAL, "remake", replace(portal, leistungen=("*",)),
        )

    def _difference(self, dossier: Dossier, delivery: Delivery, source: int, found: Examination) -> Remade | None:
        """What the delivery becomes: what was held gets its route. What has been on its way stays what it is, a case or a
        copy, and where it is; only where its target is not entered any more another of the route takes its place, which has
        nothing of this submission yet."""
        made, numbers = _documents(dossier, source, found)
        fresh = owed(dossier.submission, found, self._site)
        held = delivery.dead_class in (DeadClass.INVALID, DeadClass.UNROUTABLE)
        if not held:
            return self._again(dossier, delivery, made, numbers, fresh)
        own = next((each for each in fresh if each.target == delivery.target), None)
        if own is None:
            own = next(each for each in fresh if each.purpose is Purpose.CASE)
        taken = {each.target for each in dossier.deliveries if each.id != delivery.id} | {own.target}
        opens = tuple(
            replace(
                each, document=numbers[each.document],
                after=delivery.id if each.after == own.id else each.after,
                changed_at=self._clock.now(), next_attempt_at=self._clock.now(),
            )
            for each in fresh if each.target not in taken
        )
        assert own.target is not None
        return Remade(
            target=own.target, document=numbers[own.document], authority=own.authority, leistung=own.leistung,
            order_key=own.order_key, parts=made, opens=opens,
        )

    def _again(
        self, dossier: Dossier, delivery: Delivery, made: tuple[Part, ...], numbers: Mapping[int, int],
        fresh: Sequence[Delivery],
    ) -> Remade | None:
        own = next((each for each in fresh if (each.target, each.purpose) == (delivery.target, delivery.purpose)), None)
        if own is None and delivery.target not in self._site.targets:
            taken = {each.target for each in dossier.deliveries}
            own = next((each for each in fresh if each.purpose is delivery.purpose and each.target not in taken), None)
        if own is None:
            return None  # redirected, or taken off the route: it goes where it was going, with what it had
        number = numbers[own.document]
        if not made and (own.target, number) == (delivery.target, delivery.document):
            return None
        return Remade(
            target=own.target, document=number, authority=own.authority, leistung=own.leistung, order_key=own.order_key,
            parts=made,
        )


def _documents(dossier: Dossier, source: int, found: Examination) -> tuple[tuple[Part, ...], dict[int, int]]:
    """What the deliveries need and is not there yet, and for each part of the examination its number in the submission."""
    last = max(info.no for info in dossier.documents)
    made: list[Part] = []
    numbers = {0: source}
    for index in sorted(_needed(found)):
        part = found.parts[index]
        known = next((info.no for info in dossier.documents if info.role is Role.MESSAGE
                      and (info.digest, info.made_by) == (part.digest, part.made_by)), None)
        if known is None:
            made.append(replace(part, made_from=numbers[part.made_from or 0]))
            known = last + len(made)
        numbers[index] = known
    return tuple(made), numbers


def _needed(found: Examination) -> set[int]:
    """The parts that are delivered, and those they were made from."""
    needed: set[int] = set()
    for index in (found.document, *found.fitted.values()):
        at: int | None = index
        while at:
            needed.add(at)
            at = found.parts[at].made_from
    return needed


def _attached(dossier: Dossier) -> tuple[Attached, ...]:
    return tuple(
        Attached(info.name or "", info.size, info.digest) for info in dossier.documents if info.role is Role.ATTACHMENT
    )


def _source(dossier: Dossier, delivery: Delivery) -> DocumentInfo:
    """What to begin with: the document an operator edited, else the message as received."""
    documents = {info.no: info for info in dossier.documents}
    current = documents[delivery.document]
    return current if current.role is Role.EDITED else documents[0]


def _still_wrong(fault: Unacceptable | Refusal) -> NotAllowed:
    if isinstance(fault, Refusal):
        return NotAllowed(fault.code, fault.de, fault.en)
    first, more = fault.findings[0], len(fault.findings) - 1
    return NotAllowed(
        first.rule,
        f"Noch nicht gültig: {first.de}" + (f" (und {more} weitere Befunde)" if more else ""),
        f"Still not valid: {first.en}" + (f" (and {more} more findings)" if more else ""),
    )
