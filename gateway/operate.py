"""What an operator does to one delivery, to one submission or to a target.

Every action takes who (``actor``) and why (``reason``, kept encrypted), and the revision that was looked at: if it has
moved on, nothing happens (P8). What is in doubt can be neither redirected, forwarded, edited, returned nor withdrawn,
because it may be a case already. ``permits.py`` says what is possible and why not; this module loads and writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from gateway.attempts import permits
from gateway.attempts.pausing import Pausing
from gateway.attempts.permits import Moved, NotAllowed, Unknown
from gateway.attempts.standing import Standing
from gateway.ids import uuid7
from gateway.ports import Change, Clock, Dossier, Journal, Part
from gateway.preparing import Preparing, Refit, Remake
from gateway.site import TargetConfig
from gateway.submission import ClosedAs, Delivery, Event, State, WaitingFor, advance

__all__ = ["Moved", "NotAllowed", "Operator", "Unknown"]

ROUNDS = 5


class Operator:
    """Every method raises ``Unknown``, ``Moved`` or ``NotAllowed``. seen_revision ``None``: whatever it is now.

    nudge: the dispatcher's. remake, refit: see ``preparing``. standing: the one that worker and dispatcher use too.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        targets: Mapping[str, TargetConfig],
        nudge: Callable[[str | None], None] = lambda target: None,
        remake: Remake | None = None,
        refit: Refit | None = None,
        standing: Standing | None = None,
    ) -> None:
        self._journal, self._clock, self._targets, self._nudge = journal, clock, targets, nudge
        self._preparing = Preparing(targets=targets, remake=remake, refit=refit)
        pausing = Pausing(
            standing=standing or Standing(journal=journal, clock=clock), clock=clock, targets=targets, nudge=nudge
        )
        self.pause, self.resume = pausing.pause, pausing.resume

    # --- one delivery ------------------------------------------------------------------------------------------------

    async def replay(
        self, delivery_id: str, *, actor: str, reason: str, seen_revision: int | None = None, absent: bool = False
    ) -> Delivery:
        """DEAD → PENDING, due now. Attempts count on, patience starts anew. What is in doubt is looked up first.

        absent: the operator has looked into the Fachverfahren and it is not there; this clears the doubt. Needed where
        the target cannot be asked.
        """
        return await self._again(delivery_id, actor, reason, seen_revision, absent=absent, until=None)

    async def snooze(
        self, delivery_id: str, *, until: datetime, actor: str, reason: str, seen_revision: int | None = None
    ) -> Delivery:
        """Replayed by itself at ``until`` (Wiedervorlage)."""
        return await self._again(delivery_id, actor, reason, seen_revision, absent=False, until=until)

    async def edit(
        self, delivery_id: str, *, part: Part, actor: str, reason: str, seen_revision: int | None = None,
        target: str | None = None,
    ) -> Delivery:
        """Adds the document and replays the delivery with it; the one before stays as it was. The caller has validated it.

        target: for a dead letter that has none yet, because it could not be routed.
        """
        before, dossier = await self._load(delivery_id, seen_revision)
        permits.must_allow(before, Event.REPLAY)
        permits.must_not_be_in_doubt(before)
        target = permits.target_of(before, target, known=self._targets)
        number = max((info.no for info in dossier.documents), default=-1) + 1
        part = replace(part, made_from=before.document if part.made_from is None else part.made_from)
        fitted = await self._preparing.document_for(target, dossier, number, edited=part)
        at = self._now()
        prepared = replace(before, document=fitted.document, target=target)
        after = advance(prepared, Event.REPLAY, at=at, **permits.afresh(before, at))
        facts = {"document": number, "digest": part.digest.hex(), **fitted.facts}
        return await self._write(
            self._change(before, after, Event.REPLAY, actor, reason, facts=facts, parts=(part, *fitted.parts))
        )

    async def return_(self, delivery_id: str, *, actor: str, reason: str, seen_revision: int | None = None) -> Delivery:
        """The portal gets it back and is told ``reason``; its receipt stays valid. Only while no case has come of it, and none
        can come any more: the submission's other dead letters for case systems go back with it.

        What waits for them (a copy for the E-Akte) is withdrawn.
        """
        before, dossier = await self._load(delivery_id, seen_revision)
        permits.must_be_returnable(before, dossier.deliveries)
        at = self._now()
        changes = [
            self._change(one, advance(one, Event.RETURN, at=at), Event.RETURN, actor, reason)
            for one in permits.returned_with(before, dossier.deliveries)
        ]
        changes += [
            self._change(one, advance(one, Event.WITHDRAW, at=at), Event.WITHDRAW, actor, reason)
            for one in permits.followers({change.after.id for change in changes}, dossier.deliveries)
            if not one.in_doubt
        ]
        return await self._write(*changes)

    async def close(
        self,
        delivery_id: str,
        *,
        actor: str,
        reason: str,
        seen_revision: int | None = None,
        closed_as: ClosedAs = ClosedAs.BY_HAND,
        case_number: str | None = None,
    ) -> Delivery:
        """Taken over by hand (a media break, counted), or found to be there twice. case_number: travels on to copies."""
        if closed_as not in (ClosedAs.BY_HAND, ClosedAs.DUPLICATE):
            raise ValueError("redirect and forward close by themselves")
        before, _ = await self._load(delivery_id, seen_revision)
        number = case_number or before.case_number
        after = permits.step(
            before, Event.CLOSE, at=self._now(), closed_as=closed_as, case_number=number, outcome=permits.closing(before)
        )
        facts = {"closed_as": closed_as, "in_doubt": before.in_doubt}
        return await self._write(self._change(before, after, Event.CLOSE, actor, reason, facts=facts))

    async def reopen(self, delivery_id: str, *, actor: str, reason: str, seen_revision: int | None = None) -> Delivery:
        """CLOSED → DEAD, as it was before it was closed."""
        before, dossier = await self._load(delivery_id, seen_revision)
        permits.must_be_reopenable(before, erased=dossier.submission.erased_at is not None)
        after = advance(before, Event.REOPEN, at=self._now(), dead_class=permits.reopened_as(before))
        return await self._write(self._change(before, after, Event.REOPEN, actor, reason))

    async def redeliver(self, delivery_id: str, *, actor: str, reason: str, seen_revision: int | None = None) -> Delivery:
        """DELIVERED → PENDING: the Fachverfahren says it has lost it. In doubt, so it is looked up before it is sent."""
        before, _ = await self._load(delivery_id, seen_revision)
        at = self._now()
        after = permits.step(
            before, Event.REDELIVER, at=at, in_doubt=True, waiting_for=WaitingFor.LOOKUP, next_attempt_at=at, outcome=None
        )
        return await self._write(self._change(before, after, Event.REDELIVER, actor, reason))

    async def refuse_late(self, delivery_id: str, *, actor: str, reason: str, seen_revision: int | None = None) -> Delivery:
        """DELIVERED → DEAD: the import protocol said no, hours after the acknowledgement."""
        before, _ = await self._load(delivery_id, seen_revision)
        after = permits.step(before, Event.REFUSE_LATE, at=self._now(), **permits.late_refusal(before, reason))
        return await self._write(self._change(before, after, Event.REFUSE_LATE, actor, reason))

    async def redirect(
        self, delivery_id: str, *, target: str, actor: str, reason: str, seen_revision: int | None = None
    ) -> Delivery:
        """Another target takes it over. The answer is the new delivery, which ``replaces`` this one."""
        return await self._replace(delivery_id, target, None, ClosedAs.REDIRECTED, actor, reason, seen_revision)

    async def forward(
        self, delivery_id: str, *, target: str, authority: str, actor: str, reason: str, seen_revision: int | None = None
    ) -> Delivery:
        """Another authority is competent (§ 16 SGB I). The time of receipt stays the first one's."""
        return await self._replace(delivery_id, target, authority, ClosedAs.FORWARDED, actor, reason, seen_revision)

    # --- one submission ----------------------------------------------------------------------------------------------

    async def withdraw(
        self, submission_id: str, *, actor: str, reason: str, seen: Mapping[str, int] | None = None
    ) -> tuple[Delivery, ...]:
        """Every case and copy of the submission, or none. seen: revision by delivery id; ``None``: whatever they are now."""
        for _ in range(ROUNDS):
            dossier = await self._journal.dossier(submission_id)
            if dossier is None:
                raise Unknown(submission_id)
            for one in dossier.deliveries:
                if seen is not None and one.id in seen and seen[one.id] != one.revision:
                    raise Moved(one)
            at = self._now()
            changes = [
                self._change(one, advance(one, Event.WITHDRAW, at=at), Event.WITHDRAW, actor, reason)
                for one in permits.withdrawable(dossier.deliveries)
            ]
            if not changes:  # said twice
                return tuple(one for one in dossier.deliveries if one.state is State.WITHDRAWN)
            if await self._journal.advance(*changes):
                return tuple(change.after for change in changes)
        raise Moved(None)

    # --- how ---------------------------------------------------------------------------------------------------------

    async def _again(
        self, delivery_id: str, actor: str, reason: str, seen_revision: int | None, *, absent: bool, until: datetime | None
    ) -> Delivery:
        before, dossier = await self._load(delivery_id, seen_revision)
        permits.must_allow(before, Event.REPLAY)
        at = self._now()
        if until is not None and until <= at:
            raise NotAllowed("until-is-past", "Die Wiedervorlage liegt in der Vergangenheit.", "The time is in the past.")
        config = self._targets.get(before.target or "")
        due_at = permits.due_at(before, at, config.settle if config and not absent else None)
        facts: dict[str, object] = {"dead_class": before.dead_class, "in_doubt": before.in_doubt}
        if absent:
            facts["absent"] = True
        doubtful = before
        if before.target is None and not absent and await self._was_restored(before):
            doubtful = replace(before, in_doubt=True)  # it may have been routed and sent since the backup was made
            facts["restored"] = True
        changes = permits.afresh(doubtful, due_at, absent=absent, until=until)
        made = await self._preparing.again(dossier, before)
        facts |= made.facts
        prepared = replace(
            before, target=made.target, document=made.document, authority=made.authority, leistung=made.leistung,
            order_key=made.order_key,
        )  # fmt: skip
        permits.must_have_target(prepared, self._targets)
        after = advance(prepared, Event.REPLAY, at=at, **changes)
        return await self._write(
            self._change(before, after, Event.REPLAY, actor, reason, facts=facts, parts=made.parts, opens=made.opens)
        )

    async def _replace(
        self, delivery_id: str, target: str, authority: str | None, closed_as: ClosedAs, actor: str, reason: str,
        seen_revision: int | None,
    ) -> Delivery:  # fmt: skip
        config = self._targets.get(target)
        if config is None:
            raise Unknown(target)
        before, dossier = await self._load(delivery_id, seen_revision)
        permits.must_be_replaceable(before, dossier.deliveries, target)
        fitted = await self._preparing.document_for(target, dossier, before.document)
        at = self._now()
        fresh = Delivery(
            id=uuid7(), submission_id=before.submission_id, purpose=before.purpose, authority=authority or config.authority,
            leistung=before.leistung, target=target, document=fitted.document, state=State.PENDING, revision=1,
            received_at=before.received_at, changed_at=at, replaces=before.id, after=before.after,
            waiting_for=WaitingFor.TURN, next_attempt_at=at,
        )  # fmt: skip
        changes, dead = [], before
        if before.state is State.PENDING:
            dead = permits.expired_for_replacement(before, at=at)
            changes.append(self._change(before, dead, Event.EXPIRE, actor, reason))
        after = advance(dead, Event.CLOSE, at=at, closed_as=closed_as)
        facts = {"closed_as": closed_as, "to": target, "document": fitted.document, **fitted.facts}
        changes.append(
            self._change(dead, after, Event.CLOSE, actor, reason, facts=facts, opens=(fresh,), parts=fitted.parts)
        )
        await self._write(*changes)
        self._nudge(target)
        return await self._journal.delivery(fresh.id) or fresh

    async def _was_restored(self, delivery: Delivery) -> bool:
        lines = await self._journal.history(submission_id=delivery.submission_id)
        return any(line.event == "restore" and line.delivery_id == delivery.id for line in lines)

    async def _load(self, delivery_id: str, seen_revision: int | None) -> tuple[Delivery, Dossier]:
        delivery = await self._journal.delivery(delivery_id)
        if delivery is None:
            raise Unknown(delivery_id)
        if seen_revision is not None and delivery.revision != seen_revision:
            raise Moved(delivery)
        dossier = await self._journal.dossier(delivery.submission_id)
        if dossier is None:
            raise Unknown(delivery.submission_id)
        return delivery, dossier

    async def _write(self, *changes: Change) -> Delivery:
        after = changes[0].after
        if not await self._journal.advance(*changes):
            raise Moved(await self._journal.delivery(after.id))
        self._nudge(after.target)
        return after

    def _change(
        self, before: Delivery, after: Delivery, event: Event, actor: str, reason: str, *,
        facts: Mapping[str, object] | None = None, parts: Sequence[Part] = (), opens: Sequence[Delivery] = (),
    ) -> Change:  # fmt: skip
        permits.must_have_reason(reason)
        return Change(
            before=before, after=after, event=event, at=after.changed_at, actor=actor, facts=facts or {},
            private={"reason": reason} if reason else None, parts=parts, opens=opens,
        )  # fmt: skip

    def _now(self) -> datetime:
        return self._clock.now()
