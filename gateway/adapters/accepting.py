"""Accepting submissions: many in one transaction, none of which can spoil it for the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.adapters.keyring import Held, Keyring
from gateway.adapters.rows import CHUNK, RowMapping, chunk_count, chunk_place
from gateway.adapters.sql import Count, Dialogue, Each, Many, Rows
from gateway.adapters.work import Work, facts_text, opening
from gateway.ports import Acceptance, Accepted, Claim, JournalUnavailable, KeyReused, Part
from gateway.submission import State, Submission, faults_of
from gateway.vault import DataKey


@dataclass(slots=True)
class Prepared:
    """An acceptance with all that can be computed, encrypted or found wrong before its transaction. Rows lack the number
    of the submission, which comes first in each. key_id: the site key that wraps ``key``. staged: that number, if submission
    and chunks lie there already."""

    acceptance: Acceptance
    now: datetime
    key: DataKey
    key_id: str
    submission: tuple[Any, ...] = field(repr=False)
    documents: list[tuple[Any, ...]] = field(repr=False)
    chunks: list[tuple[Any, ...]] = field(repr=False)
    deliveries: list[tuple[Any, ...]] = field(repr=False)
    facts: str
    staged: int | None = None


class KeyRetired(Exception):
    """It was prepared with a site key that is not in force any more: prepare it again. Else a rotation would leave it behind."""

    def __init__(self) -> None:
        super().__init__("the site key was changed meanwhile")


def prepare(acceptance: Acceptance, keyring: Keyring, rows: RowMapping, *, now: datetime, stager: int = 0) -> Prepared:
    """Raises ``ValueError`` or ``TypeError`` for what could never be stored. ``stager``: who brings the chunks separately."""
    s = acceptance.submission
    _check(acceptance)
    key, key_id, wrapped = keyring.vault.new_key(s.id)
    return Prepared(
        acceptance, now, key, key_id,
        (*rows.submission_row(s), key_id, wrapped, stager),
        [rows.document_row(no, part, key=key, at=s.received_at) for no, part in enumerate(acceptance.parts)],
        [] if stager else [row for no, part in enumerate(acceptance.parts) for row in chunks(no, part, key)],
        [rows.delivery_row(delivery, key) for delivery in acceptance.deliveries],
        facts_text(
            {"digest": s.digest.hex(), "reference": s.reference, "size": s.size}, acceptance.facts,
        ),
    )


def chunks(document: int, part: Part, key: DataKey, first: int = 0, count: int | None = None) -> list[tuple[Any, ...]]:
    """The encrypted chunks ``first`` … ``first + count - 1`` of a document."""
    view, total = memoryview(part.body), chunk_count(len(part.body))
    wanted = range(first, total if count is None else min(total, first + count))
    return [
        (document, no, key.encrypt(view[no * CHUNK:(no + 1) * CHUNK], chunk_place(document, no, last=no == total - 1)))
        for no in wanted
    ]


def accept(work: Work, group: Sequence[Prepared]) -> Dialogue[list[Accepted | KeyReused | Exception]]:
    """All of the group, each new, a repeat or refused; in the order in which they came. An exception: it alone was not
    stored."""
    total = sum(len(one.deliveries) for one in group)
    seq, delivery_seq = work.take(submissions=len(group), deliveries=total)
    numbered = [(one.staged or number, one) for number, one in enumerate(group, seq + 1)]
    spoilt: dict[int, Exception] = {
        number: KeyRetired() for number, one in numbered if one.staged is None and is_retired(work, one)
    }
    new, answers = yield from _take_claims(work.rows, [each for each in numbered if each[0] not in spoilt])
    submissions, documents, chunk_rows, deliveries = [], [], [], []
    for number, one in new:
        s = one.acceptance.submission
        if one.staged is None:
            submissions.append((number, *one.submission))
        elif not (yield Count("unstage_submission", (number,))):
            spoilt[number] = JournalUnavailable("what was stored of this submission was cleared away meanwhile")
            yield Each("delete_claim", _keys_taken(work.rows, (number, one)))
            continue
        documents += [(number, *row) for row in one.documents]
        chunk_rows += [(number, *row) for row in one.chunks]
        seqs = {d.id: n for n, d in enumerate(one.acceptance.deliveries, delivery_seq + 1)}
        facts = one.facts
        for d, row in zip(one.acceptance.deliveries, one.deliveries, strict=True):
            delivery_seq += 1
            deliveries.append((delivery_seq, number, None, d.after and seqs[d.after], *row))
            work.lines.append(opening(
                d, at=s.received_at, actor=one.acceptance.actor, facts=facts, seq=delivery_seq, submission=(number, s.id),
            ))
            facts = "{}"
        work.rows.keyring.keep(s.id, Held(number, s.portal, s.test, one.key))
    for name, insert in (("submission", submissions), ("document", documents), ("chunk", chunk_rows), ("delivery", deliveries)):
        if insert:
            work.inserts.append(Many(f"insert_{name}", insert))
    if gone := {one.acceptance.submission.id: number for number, one in new if number in spoilt}:
        for number, one in numbered:
            if isinstance(answer := answers.get(number), Accepted) and answer.submission.id in gone:
                yield Each("delete_claim", _keys_taken(work.rows, (gone[answer.submission.id], one)))
        for number, answer in answers.items():
            if isinstance(answer, KeyReused) or answer.submission.id in gone:  # it was said by what is not there
                spoilt[number] = JournalUnavailable("the submission whose repeat this is was cleared away meanwhile")
    return [
        spoilt.get(number) or answers.get(number) or Accepted(one.acceptance.submission, replayed=False)
        for number, one in numbered
    ]


def is_retired(work: Work, one: Prepared) -> bool:
    return work.key_in_force not in (None, one.key_id)


def standing(
    rows: RowMapping, portal: str, claims: Sequence[Claim], fingerprint: bytes, now: datetime
) -> Dialogue[Accepted | KeyReused | None]:
    """What the first of these claims that stands says."""
    for claim in claims:
        found = yield Rows("standing_claim", (portal, claim.kind, claim.key_hash, rows.time(now)))
        if found:
            first_fingerprint, *submission = found[0]
            if first_fingerprint != fingerprint:
                return KeyReused(claim.kind)
            return Accepted(rows.submission(submission), replayed=True, claim=claim.kind)
    return None


Numbered = tuple[int, Prepared]
Key = tuple[str, str, bytes]


def _take_claims(
    rows: RowMapping, group: list[Numbered]
) -> Dialogue[tuple[list[Numbered], dict[int, Accepted | KeyReused]]]:
    """Which are new, and what is answered to the others. The usual case, all of them new, is one insert."""
    every = [row for numbered in group for row in _claim_rows(rows, numbered)]
    if not every:
        return group, {}
    if (yield Many("insert_claim", every)) == len(every):
        return group, {}
    yield Each("delete_claim", [key for numbered in group for key in _keys_taken(rows, numbered)])
    return (yield from _take_claims_one_by_one(rows, group))


def _take_claims_one_by_one(
    rows: RowMapping, group: list[Numbered]
) -> Dialogue[tuple[list[Numbered], dict[int, Accepted | KeyReused]]]:
    new: list[Numbered] = []
    answers: dict[int, Accepted | KeyReused] = {}
    taken: dict[Key, Numbered] = {}
    for number, one in group:
        answer = yield from _standing(rows, one, taken)
        if answer is None:
            answer = yield from _take(rows, (number, one), taken)
        if answer is None:
            new.append((number, one))
            continue
        answers[number] = answer
        if isinstance(answer, Accepted):
            yield from _keep_too(rows, one, answer.submission, taken)
    return new, answers


def _keep_too(rows: RowMapping, one: Prepared, first: Submission, taken: dict[Key, Numbered]) -> Dialogue[None]:
    """A repeat under another key is answered with the first one's receipt, and from then on stands under that key too."""
    new = next((each for each in taken.values() if each[1].acceptance.submission.id == first.id), None)
    for row in _claim_rows(rows, (first.order if new is None else new[0], one)):
        if (yield Count("replace_claim", (*row, rows.time(one.now)))) and new is not None:
            taken[row[:3]] = new


def _standing(rows: RowMapping, one: Prepared, taken: dict[Key, Numbered]) -> Dialogue[Accepted | KeyReused | None]:
    """A repeat may repeat what is new in this very group, whose rows are not there yet."""
    s = one.acceptance.submission
    for claim in one.acceptance.claims:
        if (first := taken.get((s.portal, claim.kind, claim.key_hash))) is not None:
            submission = first[1].acceptance.submission
            if submission.fingerprint != s.fingerprint:
                return KeyReused(claim.kind)
            return Accepted(submission, replayed=True, claim=claim.kind)
        if (answer := (yield from standing(rows, s.portal, [claim], s.fingerprint, one.now))) is not None:
            return answer
    return None


def _take(rows: RowMapping, numbered: Numbered, taken: dict[Key, Numbered]) -> Dialogue[Accepted | KeyReused | None]:
    """Write the claims, over expired ones. An answer if another gateway on the same database was first since we looked."""
    number, one = numbered
    mine = {row[:3]: row for row in _claim_rows(rows, numbered)}
    for row in mine.values():
        if not (yield Count("replace_claim", (*row, rows.time(one.now)))):
            for key in mine:
                yield Count("delete_claim", (*key, number))
            s = one.acceptance.submission
            return (yield from standing(rows, s.portal, one.acceptance.claims, s.fingerprint, one.now))
    taken.update(dict.fromkeys(mine, numbered))
    return None


def _claim_rows(rows: RowMapping, numbered: Numbered) -> list[tuple[Any, ...]]:
    number, one = numbered
    s = one.acceptance.submission
    return [
        (s.portal, claim.kind, claim.key_hash, s.fingerprint, number, rows.time(claim.expires_at))
        for claim in one.acceptance.claims
    ]


def _keys_taken(rows: RowMapping, numbered: Numbered) -> list[tuple[Any, ...]]:
    """Portal, kind, key and number: what to let go of."""
    return list(dict.fromkeys((*row[:3], row[4]) for row in _claim_rows(rows, numbered)))


def _check(acceptance: Acceptance) -> None:
    if not acceptance.deliveries:
        raise ValueError("a submission without a delivery would be lost")
    ids = {delivery.id for delivery in acceptance.deliveries}
    for delivery in acceptance.deliveries:
        if faults := faults_of(delivery):
            raise ValueError("; ".join(faults))
        if delivery.state not in (State.PENDING, State.DEAD) or delivery.submission_id != acceptance.submission.id:
            raise ValueError("a new delivery is pending or dead, and of this submission")
        if delivery.replaces is not None or (delivery.after is not None and delivery.after not in ids):
            raise ValueError("a new delivery replaces nothing and waits only for one of the same submission")
        if not 0 <= delivery.document < len(acceptance.parts):
            raise ValueError("a delivery of a document that is not there")
