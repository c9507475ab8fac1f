"""What may be done to a delivery by hand, and why not. Pure; ``operate`` loads and writes."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gateway import submission
from gateway.attempts.outcomes import Memory, token_of, waits_for
from gateway.causes import cause_of, text_of
from gateway.ports import TargetState
from gateway.submission import ClosedAs, DeadClass, Delivery, Event, Purpose, State, WaitingFor, advance


class Unknown(Exception):
    """There is no such delivery, submission or target."""


class Moved(Exception):
    """It has changed since the operator looked (``seen_revision``). current: what it is now; show it and ask again."""

    def __init__(self, current: Delivery | TargetState | None) -> None:
        super().__init__("changed since it was looked at")
        self.current = current


class NotAllowed(Exception):
    """Not possible as it stands. code: stable word; de, en: one sentence each, without personal data."""

    def __init__(self, code: str, de: str, en: str) -> None:
        super().__init__(en)
        self.code, self.de, self.en = code, de, en


def step(delivery: Delivery, event: Event, *, at: datetime, **changes: Any) -> Delivery:
    """``advance``, with words for people when the table says no."""
    must_allow(delivery, event)
    return advance(delivery, event, at=at, **changes)


def must_allow(delivery: Delivery, event: Event) -> None:
    if event not in submission.TRANSITIONS[delivery.state]:
        state_de, state_en = _STATES[delivery.state]
        raise NotAllowed(
            f"{event}-{delivery.state}",
            f"Das geht nicht: Die Übermittlung {state_de}.",
            f"This is not possible: the delivery {state_en}.",
        )


def must_have_reason(reason: str) -> None:
    if not reason.strip():
        raise NotAllowed("reason-missing", "Bitte geben Sie einen Grund an.", "Please give a reason.")


def must_not_be_in_doubt(delivery: Delivery) -> None:
    if delivery.in_doubt:
        raise NotAllowed(
            "in-doubt",
            "Ausgang ungeklärt: Im Fachverfahren liegt vielleicht schon ein Fall. Bitte erst dort nachsehen.",
            "In doubt: there may already be a case. Please look into the case system first.",
        )


def must_be_returnable(delivery: Delivery, siblings: Iterable[Delivery]) -> None:
    """Returning says: nothing has come of it here. So nothing may have, and nothing may be under way."""
    must_allow(delivery, Event.RETURN)
    must_not_be_in_doubt(delivery)
    if delivery.purpose is not Purpose.CASE:
        raise NotAllowed(
            "not-a-case",
            "Nur die Übermittlung an das Fachverfahren lässt sich zurückgeben.",
            "Only the delivery to the case system can be returned.",
        )
    for other in _cases(siblings):
        if other.id != delivery.id and (other.state in _A_CASE_MAY_EXIST or other.in_doubt):
            raise NotAllowed(
                "case-exists",
                "Zu dieser Einreichung liegt schon ein Fall vor oder ist unterwegs; sie lässt sich nicht zurückgeben.",
                "There is a case for this submission already, or one is under way; it cannot be returned.",
            )


def returned_with(delivery: Delivery, siblings: Iterable[Delivery]) -> list[Delivery]:
    """This one first, then the other dead letters for case systems: the portal is told that nothing has come of it."""
    return [delivery, *(one for one in _cases(siblings) if one.id != delivery.id and one.state is State.DEAD)]


def followers(ids: Collection[str], siblings: Iterable[Delivery]) -> list[Delivery]:
    """What waits for one of these, also for what waits for it."""
    waiting = [one for one in siblings if one.state in (State.PENDING, State.DEAD)]
    found, known = [], set(ids)
    while fresh := [one for one in waiting if one.after in known and one.id not in known]:
        found += fresh
        known |= {one.id for one in fresh}
    return found


def must_have_target(delivery: Delivery, known: Container[str]) -> None:
    """What is sent to a target that nobody has entered would wait for ever, seen by nobody."""
    if delivery.target is not None and delivery.target not in known:
        raise NotAllowed(
            "target-gone",
            f"Das Zielsystem „{delivery.target}“ ist nicht mehr eingetragen: erst wieder eintragen, oder umleiten.",
            f"The target system “{delivery.target}” is not entered any more: enter it again first, or redirect.",
        )


def must_be_reopenable(delivery: Delivery, *, erased: bool) -> None:
    must_allow(delivery, Event.REOPEN)
    if erased:
        raise NotAllowed(
            "erased",
            "Der Inhalt ist gelöscht: Die Aufbewahrungsfrist ist vorbei. Es gibt nichts mehr zu übermitteln.",
            "The content is erased: its time of keeping is over. There is nothing left to deliver.",
        )
    if delivery.closed_as in _REPLACED:
        raise NotAllowed(
            "replaced",
            "Die Übermittlung wurde durch eine andere ersetzt; bitte dort weiterarbeiten.",
            "The delivery was replaced by another one; please go on there.",
        )


def must_be_replaceable(delivery: Delivery, siblings: Iterable[Delivery], target: str) -> None:
    """Redirect and forward: only what certainly has not arrived, and to a target that does not have it anyway."""
    must_not_be_in_doubt(delivery)
    if delivery.dead_class is DeadClass.INVALID:
        raise NotAllowed(
            "invalid",
            "Ein fehlerhaftes Dokument geht an kein anderes Zielsystem: erst den Fehler beheben und erneut übermitteln.",
            "A faulty document goes to no other target system: repair the fault first, then replay.",
        )
    if delivery.state is not State.PENDING:
        must_allow(delivery, Event.CLOSE)
    for other in siblings:
        if other.target == target and other.purpose is delivery.purpose and other.closed_as not in _REPLACED:
            raise NotAllowed(
                "target-has-it",
                f"Das Zielsystem „{target}“ ist schon Empfänger.",
                f"The target system “{target}” receives it already.",
            )


def target_of(delivery: Delivery, named: str | None, *, known: Container[str]) -> str:
    """Where an edited dead letter goes: where it was going, or, if it was going nowhere, to the target that is named."""
    if delivery.target is not None:
        return delivery.target
    if named is None or named not in known:
        raise NotAllowed(
            "no-target", "Bitte erst ein Zielsystem wählen.", "Please choose a target system first."
        )
    return named


def withdrawable(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """The deliveries that are to be withdrawn: all that still exist, if all of them can be. Notices are not counted."""
    owed = [one for one in deliveries if one.purpose is not Purpose.NOTICE and one.closed_as not in _REPLACED]
    for one in owed:
        if one.state in _A_CASE_MAY_EXIST - {State.PENDING} or one.in_doubt:
            raise NotAllowed(
                "case-exists",
                "Die Einreichung ist schon im Fachverfahren oder auf dem Weg dorthin; sie lässt sich nicht mehr zurücknehmen.",
                "The submission is in the case system already, or on its way; it can no longer be withdrawn.",
            )
    return [one for one in owed if one.state in (State.PENDING, State.DEAD)]


def expired_for_replacement(delivery: Delivery, *, at: datetime) -> Delivery:
    """A waiting delivery has to be a dead letter before it can be closed; nobody else ever sees it as one."""
    return advance(delivery, Event.EXPIRE, at=at, dead_class=DeadClass.EXHAUSTED)


def afresh(delivery: Delivery, at: datetime, *, absent: bool = False, until: datetime | None = None) -> dict[str, Any]:
    """What a replay changes beside the state. Attempts count on; failures, patience and their text are forgotten; doubt
    and a hand-over are not, unless somebody has looked (``absent``). Poison may crash once more than a new delivery."""
    settled = replace(delivery, in_doubt=False, outcome=None) if absent else delivery
    return {
        "waiting_for": WaitingFor.SNOOZE if until is not None else waits_for(settled, idempotent=False),
        "next_attempt_at": until if until is not None else at,
        "in_doubt": settled.in_doubt,
        "outcome": Memory(token=token_of(settled)).written(),
        "crashes": 1 if delivery.dead_class is DeadClass.POISON else delivery.crashes,
        "failing_since": None, "give_up_at": None, "code": None, "cause": None, "cause_text": None,
    }  # fmt: skip


def due_at(delivery: Delivery, at: datetime, settle: timedelta | None) -> datetime:
    """Now; what is in doubt not before the target has had time to settle."""
    if not delivery.in_doubt or settle is None or token_of(delivery) is not None:
        return at
    return max(at, delivery.changed_at + settle)


def closing(delivery: Delivery) -> Mapping[str, Any]:
    """``outcome`` of a closed delivery remembers its class, for ``reopened_as``."""
    return {**(delivery.outcome or {}), "class": delivery.dead_class}


def reopened_as(delivery: Delivery) -> DeadClass:
    remembered = (delivery.outcome or {}).get("class")
    if remembered:
        return DeadClass(remembered)
    return DeadClass.REFUSED if delivery.target is not None else DeadClass.UNROUTABLE


def late_refusal(delivery: Delivery, reason: str) -> dict[str, Any]:
    """Taken and then rejected: nothing is in doubt, and the number it had is no case."""
    cause = cause_of(DeadClass.REFUSED, target=delivery.target, code="import-protocol", reason=reason)
    return {
        "dead_class": DeadClass.REFUSED, "in_doubt": False, "case_number": None, "outcome": None,
        "code": cause.code, "cause": cause.hash, "cause_text": text_of(cause, reason=reason),
    }  # fmt: skip


def _cases(deliveries: Iterable[Delivery]) -> list[Delivery]:
    return [one for one in deliveries if one.purpose is Purpose.CASE and one.closed_as not in _REPLACED]


_REPLACED = frozenset({ClosedAs.REDIRECTED, ClosedAs.FORWARDED})
_A_CASE_MAY_EXIST = frozenset({State.PENDING, State.DELIVERING, State.DELIVERED, State.CLOSED})
_STATES = {
    State.PENDING: ("wartet noch", "is still waiting"),
    State.DELIVERING: ("läuft gerade", "is running"),
    State.DELIVERED: ("ist schon angekommen", "has arrived"),
    State.DEAD: ("ist ein Klärfall", "is a dead letter"),
    State.RETURNED: ("wurde zurückgegeben", "was returned"),
    State.CLOSED: ("wurde von Hand übernommen oder ersetzt", "was completed by hand or replaced"),
    State.WITHDRAWN: ("wurde zurückgenommen", "was withdrawn"),
}
