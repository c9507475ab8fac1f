"""Reading the journal. Nothing here writes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from gateway.adapters.accepting import standing
from gateway.adapters.rows import RowMapping, chunk_place
from gateway.adapters.sql import Dialogue, Rows, as_text
from gateway.ports import (
    Accepted,
    Backlog,
    Claim,
    Credential,
    DeadLetterFilter,
    Dossier,
    Due,
    HistoryEntry,
    KeyReused,
    TargetState,
)
from gateway.seal import Link, SignedHead
from gateway.submission import Delivery, Submission
from gateway.vault import KeyLost


@dataclass(frozen=True, slots=True)
class Tally:
    """``n`` cases of a day (in Germany) ended as ``outcome`` within 1m, 10m, 1h, 1d, 7d or longer of their receipt."""

    day: date
    authority: str
    leistung: str
    portal: str
    outcome: str
    within: str
    n: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The questions, over one row mapping."""

    rows: RowMapping

    def replayed(
        self, portal: str, claims: Sequence[Claim], fingerprint: bytes, now: datetime
    ) -> Dialogue[Accepted | KeyReused | None]:
        return (yield from standing(self.rows, portal, claims, fingerprint, now))

    def dossier(self, submission_id: str) -> Dialogue[Dossier | None]:
        found = yield Rows("submission", (submission_id,))
        if not found:
            return None
        deliveries = yield Rows("deliveries_of", (submission_id,))
        documents = yield Rows("documents", (submission_id,))
        key = self.rows.keyring.unlock(submission_id, *deliveries[0][4:6]) if deliveries else None
        return Dossier(
            self.rows.submission(found[0]), tuple(self.rows.delivery(row) for row in deliveries),
            tuple(self.rows.document(row, key) for row in documents),
        )

    def submission_named(self, reference: str) -> Dialogue[str | None]:
        found = yield Rows("submission_named", (reference,))
        return found[0][0] if found else None

    def received(self, since: datetime, after: int, limit: int) -> Dialogue[list[Submission]]:
        found = yield Rows("received", (after, self.rows.time(since), limit))
        return [self.rows.submission(row) for row in found]

    def delivery(self, delivery_id: str) -> Dialogue[Delivery | None]:
        found = yield Rows("delivery", (delivery_id,))
        return self.rows.delivery(found[0]) if found else None

    def chunk_count(self, submission_id: str, no: int) -> Dialogue[int]:
        """Raises ``LookupError``: no such document, or it was erased. ``KeyLost`` says how many need the key."""
        found = yield Rows("chunk_count", (submission_id, no))
        held = yield from self.rows.keyring.held(submission_id)
        if not found or held is None:
            raise LookupError(f"no document {no} in submission {submission_id}")
        if held.lost is not None:
            in_use = yield Rows("keys_in_use")
            raise KeyLost(held.lost.key_id, submissions=dict(in_use).get(held.lost.key_id))
        if held.key is None:
            raise LookupError(f"submission {submission_id} was erased")
        count: int = found[0][0]
        return count

    def chunk(self, submission_id: str, no: int, chunk: int, *, last: bool) -> Dialogue[bytes]:
        """Raises ``Damaged``, or ``LookupError`` if it was erased meanwhile."""
        found = yield Rows("chunk", (submission_id, no, chunk))
        held = yield from self.rows.keyring.held(submission_id)
        if not found or held is None or held.key is None:
            raise LookupError(f"document {no} of submission {submission_id} is not there any more")
        return held.key.decrypt(found[0][0], chunk_place(no, chunk, last=last))

    def body(self, submission_id: str, no: int) -> Dialogue[bytes]:
        count = yield from self.chunk_count(submission_id, no)
        parts: list[bytes] = []
        for n in range(count):
            part = yield from self.chunk(submission_id, no, n, last=n == count - 1)
            parts.append(part)
        return parts[0] if count == 1 else b"".join(parts)

    # --- what the dispatcher asks

    def due(self, target: str, at: datetime, limit: int) -> Dialogue[list[Due]]:
        found = yield Rows("due", (target, self.rows.time(at), limit))
        return [Due(*row) for row in found]

    def next_due(self) -> Dialogue[datetime | None]:
        found = yield Rows("next_due")
        times = [self.rows.load(at) for (at,) in found if at is not None]
        return min(times, default=None)

    def in_flight(self, target: str) -> Dialogue[frozenset[str]]:
        return frozenset(one for (one,) in (yield Rows("in_flight", (target,))))

    def lapsed(self, at: datetime, limit: int) -> Dialogue[list[Delivery]]:
        found = yield Rows("lapsed", (self.rows.time(at), limit))
        return [self.rows.delivery(row) for row in found]

    def overdue(self, at: datetime, limit: int, besides: Collection[str]) -> Dialogue[list[Delivery]]:
        found = yield Rows("overdue", (self.rows.time(at), limit, f"/{'/'.join(besides)}/"))  # no name has a slash
        return [self.rows.delivery(row) for row in found]

    def target_states(self) -> Dialogue[Mapping[str, TargetState]]:
        found = yield Rows("targets")
        return {row[0]: self.rows.target(row, self.rows.keyring.vault) for row in found}

    # --- what people ask

    def dead_letters(
        self, which: DeadLetterFilter, limit: int, after: str | None
    ) -> Dialogue[list[tuple[Delivery, Submission]]]:
        place = yield Rows("place_of_delivery", (after,))
        if after is not None and not place:
            return []
        found = yield Rows("dead_letters", (
            which.target, which.leistung, which.authority, which.dead_class and which.dead_class.value, which.cause,
            self.rows.maybe(which.before), *(place[0] if place else (None, None)), limit,
        ))
        return [self.rows.delivery_and_submission(row) for row in found]

    def since(self, after: int, limit: int) -> Dialogue[list[tuple[int, str | None, str | None]]]:
        """Sealed number, submission, portal of every sealed line above ``after``."""
        found: list[tuple[int, str | None, str | None]] = yield Rows("since", (after, limit))
        return found

    def history(self, submission_id: str | None, after: int, limit: int) -> Dialogue[list[HistoryEntry]]:
        if submission_id is None:
            found = yield Rows("history", (after, limit))
        else:
            found = yield Rows("history_of_submission", (after, limit, submission_id))
        return [self.rows.history(row) for row in found]

    def latest(self, submission_id: str | None, limit: int) -> Dialogue[list[HistoryEntry]]:
        if submission_id is None:
            found = yield Rows("latest", (limit,))
        else:
            found = yield Rows("latest_of_submission", (limit, submission_id))
        return [self.rows.history(row) for row in reversed(found)]

    def backlog(self) -> Dialogue[list[Backlog]]:
        """A dead letter without a target (unroutable) counts under the target ""."""
        counts: dict[str, dict[str, int]] = {}
        doubts: dict[str, int] = {}
        oldest: dict[str, datetime] = {}
        for target, state, n, in_doubt, first in (yield Rows("backlog")):
            name = target or ""
            counts.setdefault(name, {})[state] = n
            doubts[name] = doubts.get(name, 0) + in_doubt
            received = self.rows.load(first)
            oldest[name] = min(received, oldest.get(name, received))
        return [Backlog(name, counts[name], doubts[name], oldest[name]) for name in sorted(counts)]

    def steps(self, delivery_id: str) -> Dialogue[Mapping[str, bytes]]:
        """Empty after erasure, too."""
        found = yield Rows("steps", (delivery_id,))
        opened = {}
        for name, body, submission_id, key_id, wrapped in found:
            if (key := self.rows.keyring.unlock(submission_id, key_id, wrapped)) is not None:
                opened[name] = key.decrypt(body, f"delivery {delivery_id} step {name}")
        return opened

    def credentials(self) -> Dialogue[list[Credential]]:
        found = yield Rows("credentials")
        return [self.rows.credential(row) for row in found]

    def tallies(self, first: date, last: date) -> Dialogue[list[Tally]]:
        found = yield Rows("tallies", (first.isoformat(), last.isoformat()))
        return [Tally(date.fromisoformat(day), *rest) for day, *rest in found]

    # --- what keeps the journal

    def erasable(self, at: datetime, limit: int) -> Dialogue[list[str]]:
        found = yield Rows("erasable", (self.rows.time(at), limit))
        return [row[0] for row in found]

    def keys_in_use(self) -> Dialogue[Mapping[str, int]]:
        return dict((yield Rows("keys_in_use")))

    def links(self, after: int, limit: int) -> Dialogue[list[Link]]:
        found = yield Rows("links", (after, limit))
        return [self.rows.link(row, lambda body: hashlib.sha256(body).digest()) for row in found]

    def signed_heads(self) -> Dialogue[list[SignedHead]]:
        found = yield Rows("seals")
        return [
            SignedHead(no, chain, as_text(self.rows.load(at)), key_id, signature) for no, chain, at, key_id, signature in found
        ]

    def last_line(self) -> Dialogue[int]:
        """Number of the last line that was ever written, whether it is there or not."""
        found = yield Rows("last_line")
        last: int = found[0][0]
        return last
