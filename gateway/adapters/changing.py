"""Changing what is there: transitions, claims, targets, notes, steps, credentials. Each counts what it touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gateway.adapters.accepting import chunks
from gateway.adapters.keyring import Held
from gateway.adapters.sql import Count, Dialogue, Each, Many, Rows
from gateway.adapters.work import Line, Sealed, Work, each, ended_as, facts_text, opening, sealed_private
from gateway.ports import Change, Credential, TargetChange
from gateway.seal import canonical
from gateway.submission import TRANSITIONS, ClosedAs, Delivery, State, faults_of

_MOVED_ON = (ClosedAs.REDIRECTED, ClosedAs.FORWARDED)


@dataclass(frozen=True, slots=True)
class Step:
    """A change that has been looked at. facts: canonical."""

    change: Change
    facts: str


def prepare_changes(changes: Sequence[Change]) -> list[Step]:
    """Raises ``ValueError`` or ``TypeError`` for a change that no journal may store: a defect in the caller."""
    for change in changes:
        before, after = change.before, change.after
        if TRANSITIONS[before.state].get(change.event) is not after.state:
            raise ValueError(f"{change.event} does not lead from {before.state} to {after.state}")
        if after.id != before.id or after.revision != before.revision + 1:
            raise ValueError("a change is of one delivery and one revision on")
        for delivery in (after, *change.opens):
            if faults := faults_of(delivery):
                raise ValueError("; ".join(faults))
            if delivery.submission_id != before.submission_id:
                raise ValueError("what a change opens is of the same submission")
    return [Step(change, facts_text(change.facts)) for change in changes]


def _advance(work: Work, steps: Sequence[Step]) -> Dialogue[bool]:
    """All or none: what writes more than one row undoes the first when the second cannot be."""
    several = _writes_several(steps)
    draft = work.draft()
    if several:
        yield Count("mark")
    for step in steps:
        if not (yield from _step(draft, step)):
            if several:
                yield Count("undo")
                yield Count("keep")
            return False
    if several:
        yield Count("keep")
    work.take_in(draft)
    return True


def _writes_several(steps: Sequence[Step]) -> bool:
    return len(steps) > 1 or any(step.change.opens or step.change.parts for step in steps)


advance = each(_advance, abreast=lambda steps: not _writes_several(steps))


def _step(work: Work, step: Step) -> Dialogue[bool]:
    change, before, after = step.change, step.change.before, step.change.after
    held = yield from work.rows.keyring.held(before.submission_id)
    if held is None or (seq := (yield from _replace(work, before, after, held))) is None:
        return False
    submission = (held.seq, before.submission_id)
    work.lines.append(Line(
        change.at, change.actor, after.id, change.event.value, step.facts, submission, (seq, after.id), after.revision,
        before.state.value, after.state.value, before.attempts if before.state is State.DELIVERING else None,
        change.outcome, after.code, sealed_private(held.key, change.private, of=after.id),
    ))
    if change.parts and not (yield from _add_parts(work, change, held)):
        return False
    for opened in change.opens:
        if not (yield from _open(work, change, opened, held, seq)):
            return False
    if not held.test:
        _count(work, before, held.portal, -1)
        _count(work, after, held.portal, 1)
    return True


def _replace(work: Work, before: Delivery, after: Delivery, held: Held) -> Dialogue[int | None]:
    """The number of the delivery; ``None``: it has moved on."""
    row = work.rows.state_row(after, held.key)
    if held.lost is not None:
        # Texts under a lost key cannot be read and not be written anew; they stay for the day the key is back.
        rows = yield Rows("sealed_texts", (before.id,))
        row = (*row[:14], *(rows[0] if rows else (None, None, None)), *row[17:])
    route, name = work.rows.route_row(after), "update_delivery_and_route"
    if route == work.rows.route_row(before):
        route, name = (), "update_delivery"
    rows = yield Rows(name, (before.id, before.revision, *row, *route))
    return rows[0][0] if rows else None


def _add_parts(work: Work, change: Change, held: Held) -> Dialogue[bool]:
    """False: somebody else added a document meanwhile, so that the numbers the caller had in mind are taken."""
    if held.key is None:
        raise held.lost or ValueError("this submission was erased")
    ((first,),) = yield Rows("next_document", (held.seq,))
    mine = range(first, first + len(change.parts))
    before = change.before.document
    if any(d.document != before and d.document not in mine for d in (change.after, *change.opens)):
        return False
    yield Many("insert_document", [
        (held.seq, *work.rows.document_row(no, part, key=held.key, at=change.at)) for no, part in enumerate(change.parts, first)
    ])
    for no, part in enumerate(change.parts, first):
        yield Many("insert_chunk", [(held.seq, *row) for row in chunks(no, part, held.key)])
    return True


def _open(work: Work, change: Change, opened: Delivery, held: Held, seq: int) -> Dialogue[bool]:
    """False: the submission has a delivery to this target already."""
    after = None
    if opened.after is not None:
        rows = yield Rows("delivery_seq", (opened.after,))
        after = rows[0][0] if rows else None
    replaces = seq if opened.replaces == change.before.id else None
    _, number = work.take(deliveries=1)
    row = (number + 1, held.seq, replaces, after, *work.rows.delivery_row(opened, held.key))
    if not (yield Count("insert_delivery_unless_there", row)):
        return False
    if replaces is not None and change.after.closed_as in _MOVED_ON:
        yield Count("wait_for_successor", (seq, number + 1))
    work.lines.append(opening(
        opened, at=change.at, actor=change.actor, facts=facts_text({"from": change.before.id}), seq=number + 1,
        submission=(held.seq, opened.submission_id),
    ))
    return True


def _count(work: Work, delivery: Delivery, portal: str, n: int) -> None:
    if (key := ended_as(delivery, portal)) is not None:
        work.ended[key] += n


@dataclass(frozen=True, slots=True)
class Wanted:
    """A delivery that a worker would like to have."""

    delivery_id: str
    at: datetime
    lease_until: datetime
    by: str
    at_most: Mapping[str, int] = field(default_factory=dict)


def _claim(work: Work, wanted: Wanted) -> Dialogue[Delivery | None]:
    rows, at = work.rows, wanted.at
    found = yield Rows("delivery", (wanted.delivery_id,))
    if not found:
        return None
    row, now = found[0], rows.time(at)
    seq, submission_id, _, after = row[:4]
    state, due, revision, target, order_key, attempts = rows.columns(
        row, "state", "next_attempt_at", "revision", "target", "order_key", "attempts")
    if state != "pending" or rows.load(due) > at:
        return None
    if (order_key is not None or after is not None) and (
        yield Rows("something_stands_before", (target, order_key, seq, after))
    ):
        return None
    if (most := wanted.at_most.get(target)) is not None:
        if target not in work.flying:
            (count,) = (yield Rows("in_flight_to", (target,)))[0]
            work.flying.setdefault(target, count)  # side by side, all ask before one of them has claimed
        if seq in work.claimed or work.flying[target] >= most:
            return None
        work.flying[target] += 1
    work.claimed.add(seq)
    if not (yield Count("claim_delivery", (seq, revision, rows.time(wanted.lease_until), wanted.by, now))):
        work.flying[target] -= 1
        return None
    held = yield from rows.keyring.held(submission_id)
    assert held is not None
    work.lines.append(Line(
        at, wanted.by, wanted.delivery_id, "claim", "{}", (held.seq, submission_id), (seq, wanted.delivery_id), revision + 1,
        "pending", "delivering",
    ))
    return rows.delivery(
        row, state=State.DELIVERING, revision=revision + 1, waiting_for=None, next_attempt_at=None,
        lease_until=wanted.lease_until, claimed_by=wanted.by, attempts=attempts + 1, changed_at=at,
    )


claim = each(_claim, abreast=lambda wanted: True)


@each
def advance_target(work: Work, change: TargetChange) -> Dialogue[bool]:
    before, after, vault = change.before, change.after, work.rows.keyring.vault
    row = (before.name, before.revision, after.revision, *work.rows.target_row(after, vault))
    if before.revision:
        touched = yield Count("update_target", row)
    else:
        touched = yield Count("insert_target", (row[0], *row[2:]))
    if not touched:
        return False
    if change.stood_still:
        running = yield Rows("clocks_running", (before.name,))
        yield Each("set_clock", [
            (seq, work.rows.time(work.rows.load(give_up_at) + change.stood_still)) for seq, give_up_at in running
        ])
    work.lines.append(_note(work, change.at, change.actor, f"target {before.name}", change.event,
                            facts_text(change.facts), change.private))
    return True


@dataclass(frozen=True, slots=True)
class Note:
    """A line that changes no delivery. facts: canonical."""

    at: datetime
    actor: str
    subject: str
    event: str
    facts: str
    private: Any = field(default=None, repr=False)
    submission_id: str | None = None


@each
def note(work: Work, one: Note) -> Dialogue[None]:
    if one.submission_id is None:
        work.lines.append(_note(work, one.at, one.actor, one.subject, one.event, one.facts, one.private))
        return
    held = yield from work.rows.keyring.held(one.submission_id)
    submission = None if held is None else (held.seq, one.submission_id)
    private = sealed_private(held.key if held else None, one.private, of=one.submission_id)
    work.lines.append(Line(one.at, one.actor, one.subject, one.event, one.facts, submission, private=private))


@each
def put_step(work: Work, one: tuple[str, str, bytes, datetime]) -> Dialogue[None]:
    """Nothing, if the submission was erased meanwhile or its key is lost: there is nothing to remember it for."""
    delivery_id, name, body, at = one
    place = yield Rows("place_of_step", (delivery_id,))
    held = (yield from work.rows.keyring.held(place[0][1])) if place else None
    if held is None or held.key is None:
        return
    sealed = held.key.encrypt(body, f"delivery {delivery_id} step {name}")
    yield Count("insert_step", (place[0][0], name, sealed, work.rows.time(at)))


@each
def put_credential(work: Work, one: tuple[Credential, str, datetime]) -> Dialogue[None]:
    credential, actor, at = one
    known = yield Rows("credential", (credential.id,))
    before = work.rows.credential(known[0]) if known else None
    yield Count("put_credential", work.rows.credential_row(credential))
    if before is not None and replace(before, last_used_on=credential.last_used_on) == credential:
        return  # it was used: no news
    revoked = credential.revoked_at is not None and (before is None or before.revoked_at is None)
    event = "credential-revoked" if revoked else "credential-changed" if before else "credential-made"
    facts = facts_text({"holder": credential.holder, "kind": credential.kind, "scope": list(credential.scope)})
    work.lines.append(Line(at, actor, f"credential {credential.id}", event, facts))


def _note(work: Work, at: datetime, actor: str, subject: str, event: str, facts: str, private: Any) -> Line:
    """With no submission a private text has a data key of its own, so that rewrapping leaves alone what the chain covers."""
    sealed = None
    if private:
        key, key_id, wrapped = work.rows.keyring.vault.new_key(f"note {subject}")
        sealed = Sealed(key.encrypt(canonical(dict(private)).encode(), f"private of {subject}"), key_id, wrapped)
    return Line(at, actor, subject, event, facts, private=sealed)
