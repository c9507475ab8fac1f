"""What the use cases need from outside, on one page. Adapters keep these promises; one contract suite per port checks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from gateway.submission import DeadClass, Delivery, Event, Submission


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """All that a broker ever carries."""

    delivery_id: str
    lane: str


class NotRung(Exception):
    """The broker did not take the ticket, and has told the operators if they need to know: once, not per ring. Ring again
    later."""


class GivenBack(Exception):
    """Raised within a ticket's context: nothing was done, another process is to have it now."""


class BrokerUnusable(Exception):
    """The broker is not as we need it; ``de``, ``en`` say what differs. A person has to see to it before we can start."""

    def __init__(self, de: str, en: str) -> None:
        super().__init__(f"{de} / {en}")
        self.de, self.en = de, en


class Broker(Protocol):
    """A doorbell. It may forget tickets and it may repeat them; the journal makes up for both."""

    async def prepare(self, *lanes: str) -> None:
        """Make ready for these. Raises ``NotRung``: it is away now and prepares them when it is back; ``BrokerUnusable``."""
        ...

    @property
    def connected(self) -> bool:
        """For ``readyz``: would a ring be taken now?"""
        return True

    @property
    def figures(self) -> Mapping[str, tuple[str, Callable[[], float]]]:
        """For ``/metrics``: name → meaning, reader."""
        return {}

    async def ring(self, ticket: Ticket) -> None:
        """Returns quickly or raises ``NotRung``; no request handler ever calls it."""
        ...

    def tickets(self, lane: str) -> AsyncIterator[AbstractAsyncContextManager[Ticket]]:
        """Endless; each ticket is done with when its context ends, however it ends, except by ``GivenBack``."""
        ...

    async def aclose(self) -> None: ...


# --- what is written -------------------------------------------------------------------------------------------------


class Role(StrEnum):
    RECEIVED = "received"
    MESSAGE = "message"
    ATTACHMENT = "attachment"
    EDITED = "edited"
    RENDERED = "rendered"


@dataclass(frozen=True, slots=True)
class Part:
    """A document to store; its number is its place in the sequence. made_from: number of the part it was made from;
    made_by: what made it, see ``provenance``."""

    role: Role
    media_type: str
    body: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    name: str | None = field(default=None, repr=False)
    made_from: int | None = None
    made_by: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """An idempotency claim (P4). kind: key | message | form. key_hash: SHA-256 of the key within its portal."""

    kind: str
    key_hash: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Everything of one submission, to be committed in one transaction. ``deliveries`` refer to parts by number."""

    submission: Submission
    parts: Sequence[Part] = field(repr=False)
    deliveries: Sequence[Delivery]
    claims: Sequence[Claim]
    actor: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """submission: the one that now stands under the claims; replayed: it stood there before (same fingerprint). claim: the kind
    under which it stood."""

    submission: Submission
    replayed: bool
    claim: str | None = None


@dataclass(frozen=True, slots=True)
class KeyReused:
    """A claim stands for other content. claim: which kind."""

    claim: str


@dataclass(frozen=True, slots=True)
class Change:
    """One transition of one delivery: ``after`` replaces ``before`` if, and only if, the stored revision is before's.

    facts: codes, sizes, digests, versions for the history; never text. private: texts from people or targets (reason,
    message), encrypted. opens: deliveries that come into being with it (redirect, forward, notice). parts: documents
    that come into being with it (edit, mapping done again); they are numbered on from the submission's last.
    """

    before: Delivery
    after: Delivery
    event: Event
    at: datetime
    actor: str
    outcome: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, str] | None = field(default=None, repr=False)
    opens: Sequence[Delivery] = ()
    parts: Sequence[Part] = field(default=(), repr=False)


class Breaker(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class TargetState:
    """What people and failures change of a target while it runs; what it *is* stands in the site file.

    streak: equal failures in a row without a success; streak_cause: which. revision 0: never written.
    """

    name: str
    paused_reason: str | None = None
    paused_at: datetime | None = None
    paused_until: datetime | None = None
    breaker: Breaker = Breaker.CLOSED
    breaker_cause: str | None = None
    breaker_since: datetime | None = None
    probe_at: datetime | None = None
    streak: int = 0
    streak_cause: bytes | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class TargetChange:
    """Compare-and-swap of a target's state. event: pause | resume | open | probe | close | streak | restart. stood_still: how
    long the target was paused or broken, or we were down: every waiting delivery's ``give_up_at`` moves on by it, in the
    same transaction."""

    before: TargetState
    after: TargetState
    event: str
    at: datetime
    actor: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, str] | None = field(default=None, repr=False)
    stood_still: timedelta | None = None


# --- what is read ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    no: int
    role: Role
    media_type: str
    size: int
    digest: bytes
    name: str | None = field(default=None, repr=False)
    made_from: int | None = None
    made_by: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Dossier:
    """A submission with its deliveries and the list of its documents (without their bodies)."""

    submission: Submission
    deliveries: tuple[Delivery, ...]
    documents: tuple[DocumentInfo, ...]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    no: int
    at: datetime
    actor: str
    subject: str
    submission_id: str | None
    delivery_id: str | None
    event: str
    from_state: str | None
    to_state: str | None
    attempt: int | None
    outcome: str | None
    code: str | None
    facts: Mapping[str, Any]
    private: Mapping[str, str] | None = field(default=None, repr=False)
    sealed_no: int | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A pending delivery whose time has come and that nothing stands before."""

    delivery_id: str
    target: str
    crashes: int


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Empty fields do not restrict. cause: hash of a cause group."""

    target: str | None = None
    leistung: str | None = None
    authority: str | None = None
    dead_class: DeadClass | None = None
    cause: bytes | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Figures for one target. oldest: received_at of the oldest delivery that is not final."""

    target: str
    counts: Mapping[str, int]
    in_doubt: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Credential:
    """A portal's or operator's key. hash: SHA-256 of the secret (256 random bits, so no slow hash). scope: services or
    roles, ("*",) for all."""

    id: str
    holder: str
    kind: str  # portal-key | portal-certificate | operator-key
    hash: bytes
    scope: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_on: str | None = None


class JournalUnavailable(Exception):
    """Nothing was stored, and the caller must say so: 503 or, with ``full``, 507. ``retry_after`` in seconds."""

    def __init__(self, reason: str, *, full: bool = False, retry_after: int = 5) -> None:
        super().__init__(reason)
        self.reason, self.full, self.retry_after = reason, full, retry_after


NO_LIMITS: Mapping[str, int] = MappingProxyType({})


class Journal(Protocol):
    """The single truth. Whatever it has committed survives; whatever it has not, never happened.

    Every write returns only after a synced commit. Times are aware UTC. Ids unknown to it give ``None``.
    """

    async def accept(self, acceptance: Acceptance) -> Accepted | KeyReused:
        """All of it or nothing, in one synced commit. Raises ``JournalUnavailable``."""
        ...

    async def replayed(self, portal: str, claims: Sequence[Claim], fingerprint: bytes) -> Accepted | KeyReused | None:
        """Does one of these claims stand already? Lets a repeat be answered before the costly validation."""
        ...

    async def advance(self, *changes: Change) -> bool:
        """All changes or none. False: a revision had moved on, somebody was first."""
        ...

    async def claim(
        self, delivery_id: str, *, at: datetime, lease_until: datetime, by: str, at_most: Mapping[str, int] = NO_LIMITS
    ) -> Delivery | None:
        """PENDING and due → DELIVERING, attempts + 1, in doubt *as from now*; ``None`` if it is not to be had now (not
        due, taken, an earlier one of its order stands before it, or its target has its hands full). The value's
        ``in_doubt`` is what it was *before* this claim, so that the worker knows whether to look up first; what is stored is
        True. at_most: target → how many of its deliveries all processes together deliver at once."""
        ...

    async def dossier(self, submission_id: str) -> Dossier | None: ...

    async def submission_named(self, reference: str) -> str | None:
        """Id of the submission with this Eingangsnummer, in its one spelling (``ids.parse_reference``)."""
        ...

    async def delivery(self, delivery_id: str) -> Delivery | None: ...

    async def body(self, submission_id: str, no: int) -> bytes: ...

    def chunks(self, submission_id: str, no: int) -> AsyncIterator[bytes]: ...

    async def due(self, target: str, *, at: datetime, limit: int) -> list[Due]:
        """Oldest first; respects order keys and ``after``; does not look at pause or breaker."""
        ...

    async def next_due(self) -> datetime | None:
        """The earliest time at which anything becomes due, lapses or expires; lets the dispatcher sleep."""
        ...

    async def in_flight(self, target: str) -> frozenset[str]:
        """Ids of what is being delivered, by whatever process."""
        ...

    async def lapsed(self, *, at: datetime, limit: int) -> list[Delivery]: ...

    async def overdue(self, *, at: datetime, limit: int, besides: Collection[str] = ()) -> list[Delivery]:
        """Pending and past ``give_up_at``, the longest first. besides: names of targets that are left out."""
        ...

    async def target_states(self) -> Mapping[str, TargetState]: ...

    async def advance_target(self, change: TargetChange) -> bool: ...

    async def dead_letters(
        self, which: DeadLetterFilter, *, limit: int, after: str | None = None
    ) -> list[tuple[Delivery, Submission]]:
        """Oldest first; ``after``: delivery id of the last row of the page before."""
        ...

    async def received(self, *, since: datetime, after: int, limit: int) -> list[Submission]:
        """Submissions received at ``since`` or later whose ``order`` is above ``after``, in that order."""
        ...

    async def since(self, portal: str | None, after: int, limit: int) -> tuple[int, list[str]]:
        """Ids of submissions with a sealed history entry numbered above ``after``, each once, and the cursor to go on from."""
        ...

    async def history(self, *, submission_id: str | None = None, after: int = 0, limit: int = 500) -> list[HistoryEntry]: ...

    async def latest(self, *, submission_id: str | None = None, limit: int = 500) -> list[HistoryEntry]:
        """The last lines of the history, the newest at the end."""
        ...

    async def note(self, *, at: datetime, actor: str, subject: str, event: str, facts: Mapping[str, Any],
                   private: Mapping[str, str] | None = None, submission_id: str | None = None) -> None:
        """A line in the history that changes no delivery (key made, key revoked, started, exported)."""
        ...

    async def backlog(self) -> list[Backlog]: ...

    async def steps(self, delivery_id: str) -> Mapping[str, bytes]: ...

    async def put_step(self, delivery_id: str, name: str, body: bytes, *, at: datetime) -> None: ...

    async def credentials(self) -> list[Credential]: ...

    async def put_credential(self, credential: Credential, *, actor: str, at: datetime) -> None: ...

    async def seal(self, *, at: datetime, limit: int = 10_000) -> int:
        """Number and chain committed history rows without gaps; how many were sealed."""
        ...

    async def erase(self, *, at: datetime, limit: int = 100) -> int:
        """Destroy keys and documents of submissions past ``erase_after`` whose deliveries are all final; how many."""
        ...

    def trouble(self) -> tuple[str, str] | None:
        """Why nothing can be taken in now, beyond what passes by itself in a moment: German, English."""
        ...

    def oldest_waiting(self) -> timedelta:
        """How long the oldest write has been waiting for its commit (P5)."""
        ...

    async def aclose(self) -> None: ...
