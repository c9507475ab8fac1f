"""One transaction in the making: what its operations leave to be written once at its end, history and tally."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from gateway.adapters.rows import RowMapping, private_place
from gateway.adapters.sql import Count, Dialogue, Many, Rows, Together, as_text
from gateway.clocks import BERLIN
from gateway.ports import JournalUnavailable
from gateway.seal import canonical, entry_hash
from gateway.submission import ClosedAs, Delivery, Purpose, State
from gateway.vault import DataKey, KeyLost

A = TypeVar("A")
R = TypeVar("R")

_WITHIN = (
    (timedelta(minutes=1), "1m"), (timedelta(minutes=10), "10m"), (timedelta(hours=1), "1h"), (timedelta(days=1), "1d"),
    (timedelta(days=7), "7d"),
)


class Sealed(NamedTuple):
    """A private text, encrypted. key_id, wrapped_key: where it belongs to no submission and has a key of its own."""

    body: bytes
    key_id: str | None = None
    wrapped_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the history that has no number yet. facts: canonical."""

    at: datetime
    actor: str
    subject: str
    event: str
    facts: str = "{}"
    submission: tuple[int, str] | None = None
    delivery: tuple[int, str] | None = None
    revision: int | None = None
    from_state: str | None = None
    to_state: str | None = None
    attempt: int | None = None
    outcome: str | None = None
    code: str | None = None
    private: Sealed | None = None


@dataclass(slots=True)
class Work:
    """Collects; ``finish`` writes. inserts: numbered rows that nothing in this transaction looks at. numbers: the last ones
    given out (submission, delivery, line), once it has begun. flying: how many of a target's deliveries are being delivered,
    with those claimed here; where somebody has asked. claimed: numbers of deliveries."""

    rows: RowMapping
    lines: list[Line] = field(default_factory=list)
    ended: Counter[tuple[str, ...]] = field(default_factory=Counter)
    inserts: list[Many] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    key_in_force: str | None = None
    flying: Counter[str] = field(default_factory=Counter)
    claimed: set[int] = field(default_factory=set)

    def begin(self) -> Dialogue[None]:
        """Before the first operation. What is read can be trusted because no other writer has its turn before this transaction
        ends. The newest site key that any process has used is in force: nothing is wrapped with an older one any more, or it
        would be left behind when all is wrapped anew. Raises ``JournalUnavailable``: it is not here."""
        ((*numbers, key_id),) = yield Rows("counter")
        self.numbers[:] = numbers
        vault = self.rows.keyring.vault
        if key_id is not None:
            try:
                vault.follow(key_id)
            except KeyLost as lost:
                raise JournalUnavailable(str(lost)) from None
        self.key_in_force = vault.newest
        if self.key_in_force != key_id:
            yield Count("put_key_in_force", (self.key_in_force,))

    def draft(self) -> Work:
        """For what may be undone: its numbers are then left out."""
        return Work(self.rows, numbers=self.numbers, key_in_force=self.key_in_force)

    def take_in(self, draft: Work) -> None:
        self.lines += draft.lines
        self.inserts += draft.inserts
        for key, n in draft.ended.items():
            self.ended[key] += n

    def take(self, *, submissions: int = 0, deliveries: int = 0) -> tuple[int, int]:
        """The numbers before the ones that now belong to the caller."""
        before = self.numbers[0], self.numbers[1]
        self.numbers[0] += submissions
        self.numbers[1] += deliveries
        return before

    def finish(self) -> Dialogue[None]:
        if self.lines:
            self._number_lines()
        if self.numbers:
            yield Together(self.inserts, Count("set_counter", tuple(self.numbers)))
        for key, n in sorted(self.ended.items()):
            if n:
                yield Count("count", (*key, n))

    def _number_lines(self) -> None:
        no, history, private = self.numbers[2], [], []
        self.numbers[2] += len(self.lines)
        for no, line in enumerate(self.lines, no + 1):  # noqa: B020 - counts on from where it stood
            sub, sub_id = line.submission or (None, None)
            dlv, dlv_id = line.delivery or (None, None)
            digest = None
            if line.private is not None:
                private.append((no, sub, *line.private))
                digest = hashlib.sha256(line.private.body).digest()
            after = (
                line.revision, line.event, line.from_state, line.to_state, line.attempt, line.outcome, line.code, line.facts,
            )
            entry = entry_hash((
                no, as_text(line.at), line.actor, line.subject, sub_id, dlv_id, *after, digest and digest.hex(),
            ))
            history.append((no, self.rows.time(line.at), line.actor, line.subject, sub, dlv, *after, digest, entry))
        self.inserts.append(Many("insert_history", history))
        if private:
            self.inserts.append(Many("insert_private", private))


@dataclass(frozen=True, slots=True, eq=False)
class each(Generic[A, R]):  # noqa: N801 - a decorator
    """Makes an operation on one argument one on many, as a group runs them: one after another.

    abreast: for which arguments a database that is far away may run the dialogues side by side, a step of all of them at a
    time. They must come to the same end then: they compare and swap, and nothing they do is undone but with all the rest.
    """

    single: Callable[[Work, A], Dialogue[R]]
    abreast: Callable[[A], bool] = lambda argument: False

    def __call__(self, work: Work, arguments: Sequence[A]) -> Dialogue[list[R]]:
        answers: list[R] = []
        for argument in arguments:
            answer = yield from self.single(work, argument)
            answers.append(answer)
        return answers


def opening(
    delivery: Delivery, *, at: datetime, actor: str, facts: str, seq: int, submission: tuple[int, str]
) -> Line:
    """The first line of a delivery."""
    return Line(
        at, actor, delivery.id, "hold" if delivery.state is State.DEAD else "accept", facts, submission, (seq, delivery.id),
        delivery.revision, None, delivery.state.value, code=delivery.code,
    )


def sealed_private(key: DataKey | None, private: Mapping[str, str] | None, *, of: str) -> Sealed | None:
    """``None`` also when there is no key any more: what cannot be protected is not written."""
    if not private or key is None:
        return None
    return Sealed(key.encrypt(canonical(dict(private)).encode(), private_place(None, None, of)))


def ended_as(delivery: Delivery, portal: str) -> tuple[str, ...] | None:
    """Where a case that has ended is counted; ``None`` for what is open, goes on elsewhere, or is no case."""
    match delivery.state, delivery.closed_as:
        case (State.DELIVERED | State.RETURNED | State.WITHDRAWN) as state, _:
            outcome = state.value
        case State.CLOSED, (ClosedAs.BY_HAND | ClosedAs.DUPLICATE) as how:
            outcome = how.value
        case _:
            return None
    if delivery.purpose is not Purpose.CASE:
        return None
    took = delivery.changed_at - delivery.received_at
    within = next((name for limit, name in _WITHIN if took <= limit), "longer")
    day = delivery.changed_at.astimezone(BERLIN).date().isoformat()
    return day, delivery.authority, delivery.leistung, portal, outcome, within


def facts_text(*facts: Mapping[str, Any]) -> str:
    """Canonical JSON of all of them together. Raises ``TypeError`` or ``ValueError`` for what JSON does not have."""
    together: dict[str, Any] = {}
    for some in facts:
        together |= some
    return canonical(together) if together else "{}"
