"""The Journal port on top of two verbs, *write* and *read*: what SQLite and PostgreSQL have in common."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence, Set
from datetime import date, datetime, timedelta
from typing import Any, TypeVar, cast

from gateway.adapters import accepting, changing, keeping
from gateway.adapters.keyneeds import Needed, needed_keys
from gateway.adapters.keyring import Keyring
from gateway.adapters.reading import Reading, Tally
from gateway.adapters.rows import RowMapping, chunk_count
from gateway.adapters.sql import Dialogue
from gateway.adapters.work import Work, facts_text
from gateway.cohort import in_step
from gateway.ports import (
    NO_LIMITS,
    Acceptance,
    Accepted,
    Backlog,
    Change,
    Claim,
    Clock,
    Credential,
    DeadLetterFilter,
    Dossier,
    Due,
    HistoryEntry,
    JournalUnavailable,
    KeyReused,
    TargetChange,
    TargetState,
)
from gateway.seal import Link, SignedHead, head_message
from gateway.submission import Delivery, Submission
from gateway.vault import Vault

A = TypeVar("A")
R = TypeVar("R")

STAGED_FROM = 4 << 20
_AT_ONCE = 4  # chunks of 1 MiB in one transaction while staging
_ELSEWHERE = 64 << 10  # from this size on encrypting is not done on the event loop
_SCAN = 5_000


class SqlJournal(ABC):
    """Implements ``ports.Journal``; a driver adds ``_write``, ``_read``, ``trouble``, ``oldest_waiting``, ``aclose``.

    patience: seconds that the oldest commit may wait before intake is refused. budget: bytes of documents that may wait for
    their commit.
    """

    def __init__(self, *, vault: Vault, clock: Clock, rows: RowMapping, patience: float, budget: int) -> None:
        self.vault, self._clock, self._rows = vault, clock, rows
        self._reading = Reading(rows)
        self._patience, self._budget = patience, budget
        self._in_flight = 0  # bytes of documents on their way
        self._stager = 1  # who stages, where there are several
        self.migrated: tuple[str, ...] = ()  # names of the migrations that were missing at the start

    @abstractmethod
    async def _write(
        self, operation: Callable[[Work, Sequence[A]], Dialogue[list[R]]], argument: A, *,
        weight: int = 0, may_drop: bool = False,
    ) -> R:
        """Run the operation in a group, with other arguments of its kind; return after the synced commit.

        weight: bytes it keeps in memory. may_drop: need not run when its caller has gone before it began.
        """

    @abstractmethod
    async def _read(self, dialogue: Dialogue[R]) -> R: ...

    async def _search(self, dialogue: Dialogue[R]) -> R:
        """As ``_read``, for what may take seconds, so that nobody in a hurry waits behind it."""
        return await self._read(dialogue)

    def _admit(self, size: int) -> None:
        """Raises ``JournalUnavailable`` if an acceptance of this size cannot be taken now."""
        if (trouble := self.trouble()) is not None:
            raise JournalUnavailable(trouble[1])
        if self.oldest_waiting().total_seconds() > self._patience:
            raise JournalUnavailable(f"the oldest commit has been waiting for more than {self._patience:g} s")
        if self._in_flight and self._in_flight + size > self._budget:
            raise JournalUnavailable("too much is waiting for its commit")

    @abstractmethod
    def _has_erased(self, submission_ids: Sequence[str]) -> None:
        """Keys and texts of these: empty the log they still stand in, where that is ours to do; tell who may hold the keys."""

    @abstractmethod
    def oldest_waiting(self) -> timedelta: ...

    @abstractmethod
    def expect(self, on_their_way: Callable[[], int]) -> None:
        """How many submissions are being worked on and will come here soon: worth waiting for with a commit."""

    @abstractmethod
    def trouble(self) -> tuple[str, str] | None:
        """Why nothing can be taken in now, beyond what passes by itself in a moment: German, English."""

    def hear(self, heard: Callable[[Set[str], Set[str]], None]) -> None:  # noqa: B027 - where nobody else writes, nothing is heard
        """Told what other processes have committed: ids of submissions that changed, and names of targets that changed or for
        which something may be due ("*": any). Hints: some may never come."""

    @abstractmethod
    async def aclose(self) -> None: ...

    # --- submissions

    async def accept(self, acceptance: Acceptance) -> Accepted | KeyReused:
        size = sum(len(part.body) for part in acceptance.parts)
        self._admit(size)
        self._in_flight += size
        try:
            if size > STAGED_FROM:
                return await self._accept_staged(acceptance, size)
            return await self._accept_at_once(acceptance, size)
        finally:
            self._in_flight -= size

    async def _accept_at_once(self, acceptance: Acceptance, size: int) -> Accepted | KeyReused:
        prepare = accepting.prepare
        while True:
            if size > _ELSEWHERE:
                prepared = await asyncio.to_thread(prepare, acceptance, self._keyring, self._rows, now=self._clock.now())
            else:
                await in_step()
                prepared = prepare(acceptance, self._keyring, self._rows, now=self._clock.now())
                await in_step()
            with contextlib.suppress(accepting.KeyRetired):
                return cast("Accepted | KeyReused", await self._write(accepting.accept, prepared, weight=size, may_drop=True))

    async def _accept_staged(self, acceptance: Acceptance, size: int) -> Accepted | KeyReused:
        """The chunks first, in transactions of their own among those of others; then all the rest in a small one."""
        prepared, seq = await self._begin_staging(acceptance, size)
        wanted = False
        try:
            for no, part in enumerate(acceptance.parts):
                for first in range(0, chunk_count(len(part.body)), _AT_ONCE):
                    some = await asyncio.to_thread(accepting.chunks, no, part, prepared.key, first, _AT_ONCE)
                    await self._write(keeping.stage, [(seq, *row) for row in some], weight=size)
            answer = cast("Accepted | KeyReused", await self._write(accepting.accept, prepared, weight=size))
            wanted = isinstance(answer, Accepted) and not answer.replayed
        finally:
            if not wanted:
                with contextlib.suppress(JournalUnavailable):  # then it is cleared away at the next start
                    await asyncio.shield(self._write(keeping.unstage, seq))
        return answer

    async def _begin_staging(self, acceptance: Acceptance, size: int) -> tuple[accepting.Prepared, int]:
        while True:
            prepared = accepting.prepare(acceptance, self._keyring, self._rows, now=self._clock.now(), stager=self._stager)
            with contextlib.suppress(accepting.KeyRetired):
                prepared.staged = seq = cast(int, await self._write(keeping.begin_staging, prepared, weight=size))
                return prepared, seq

    async def replayed(self, portal: str, claims: Sequence[Claim], fingerprint: bytes) -> Accepted | KeyReused | None:
        return await self._read(self._reading.replayed(portal, claims, fingerprint, self._clock.now()))

    async def dossier(self, submission_id: str) -> Dossier | None:
        return await self._read(self._reading.dossier(submission_id))

    async def submission_named(self, reference: str) -> str | None:
        return await self._read(self._reading.submission_named(reference))

    async def body(self, submission_id: str, no: int) -> bytes:
        """Raises ``LookupError`` (unknown, erased), ``vault.KeyLost``, ``vault.Damaged``."""
        return await self._read(self._reading.body(submission_id, no))

    async def chunks(self, submission_id: str, no: int) -> AsyncIterator[bytes]:
        """At most 1 MiB at a time. Raises as ``body`` does."""
        count = await self._read(self._reading.chunk_count(submission_id, no))
        for n in range(count):
            yield await self._read(self._reading.chunk(submission_id, no, n, last=n == count - 1))

    # --- deliveries

    async def advance(self, *changes: Change) -> bool:
        """False also when what a change opens is there already or a document number is taken: look again."""
        if not changes:
            return True
        return await self._write(changing.advance, changing.prepare_changes(changes))

    async def claim(
        self, delivery_id: str, *, at: datetime, lease_until: datetime, by: str, at_most: Mapping[str, int] = NO_LIMITS
    ) -> Delivery | None:
        return await self._write(changing.claim, changing.Wanted(delivery_id, at, lease_until, by, at_most), may_drop=True)

    async def delivery(self, delivery_id: str) -> Delivery | None:
        return await self._read(self._reading.delivery(delivery_id))

    async def due(self, target: str, *, at: datetime, limit: int) -> list[Due]:
        return await self._read(self._reading.due(target, at, limit))

    async def next_due(self) -> datetime | None:
        """May lie in the past: what is due stays due until it is claimed."""
        return await self._read(self._reading.next_due())

    async def in_flight(self, target: str) -> frozenset[str]:
        return await self._read(self._reading.in_flight(target))

    async def lapsed(self, *, at: datetime, limit: int) -> list[Delivery]:
        return await self._read(self._reading.lapsed(at, limit))

    async def overdue(self, *, at: datetime, limit: int, besides: Collection[str] = ()) -> list[Delivery]:
        return await self._read(self._reading.overdue(at, limit, besides))

    async def steps(self, delivery_id: str) -> Mapping[str, bytes]:
        return await self._read(self._reading.steps(delivery_id))

    async def put_step(self, delivery_id: str, name: str, body: bytes, *, at: datetime) -> None:
        await self._write(changing.put_step, (delivery_id, name, body, at))

    # --- targets, credentials

    async def target_states(self) -> Mapping[str, TargetState]:
        return await self._read(self._reading.target_states())

    async def advance_target(self, change: TargetChange) -> bool:
        facts_text(change.facts)
        return await self._write(changing.advance_target, change)

    async def credentials(self) -> list[Credential]:
        return await self._read(self._reading.credentials())

    async def put_credential(self, credential: Credential, *, actor: str, at: datetime) -> None:
        await self._write(changing.put_credential, (credential, actor, at))

    # --- what people read

    async def dead_letters(
        self, which: DeadLetterFilter, *, limit: int, after: str | None = None
    ) -> list[tuple[Delivery, Submission]]:
        """``which.before``: dead since before then."""
        return await self._search(self._reading.dead_letters(which, limit, after))

    async def received(self, *, since: datetime, after: int, limit: int) -> list[Submission]:
        return await self._search(self._reading.received(since, after, limit))

    async def since(self, portal: str | None, after: int, limit: int) -> tuple[int, list[str]]:
        ids: dict[str, None] = {}
        if after and not await self._search(self._reading.since(after - 1, 1)):
            after = 0  # a number from before a restore: what has happened since is numbered from further down
        while len(ids) < limit:
            batch = await self._search(self._reading.since(after, _SCAN))
            for sealed_no, submission_id, whose in batch:
                after = sealed_no
                if submission_id is not None and (portal is None or whose == portal):
                    ids[submission_id] = None
                if len(ids) == limit:
                    break
            if len(batch) < _SCAN:
                break
        return after, list(ids)

    async def history(self, *, submission_id: str | None = None, after: int = 0, limit: int = 500) -> list[HistoryEntry]:
        return await self._search(self._reading.history(submission_id, after, limit))

    async def latest(self, *, submission_id: str | None = None, limit: int = 500) -> list[HistoryEntry]:
        return await self._read(self._reading.latest(submission_id, limit))

    async def note(
        self, *, at: datetime, actor: str, subject: str, event: str, facts: Mapping[str, Any],
        private: Mapping[str, str] | None = None, submission_id: str | None = None,
    ) -> None:
        note = changing.Note(at, actor, subject, event, facts_text(facts), private, submission_id)
        await self._write(changing.note, note)

    async def backlog(self) -> list[Backlog]:
        """Open deliveries by target; what has ended is in ``tallies``."""
        return await self._search(self._reading.backlog())

    async def tallies(self, first: date, last: date) -> list[Tally]:
        """Both days included."""
        return await self._search(self._reading.tallies(first, last))

    # --- keeping

    async def seal(self, *, at: datetime, limit: int = 10_000) -> int:
        if not await self._read(keeping.sealing_wanted(at, self._rows.load)):
            return 0
        return await self._write(keeping.seal, (at, limit))

    async def erase(self, *, at: datetime, limit: int = 100) -> int:
        """Also lets go of claims whose time is over. One submission a transaction: others get their turn between."""
        erased = []
        for submission_id in await self._search(self._reading.erasable(at, limit)):
            if await self._write(keeping.erase, (submission_id, at)):
                erased.append(submission_id)
            self._keyring.forget(submission_id)  # a reader may have put it back before the commit
        if erased:
            self._has_erased(erased)
        while await self._write(keeping.purge_claims, (at, 1_000)) == 1_000:
            pass
        return len(erased)

    async def rewrap(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Wrap every data key with the newest site key; how many were. Can be broken off and begun again at any time.

        ``progress(done, all)``. Keys under a site key that is not there are left alone: see ``lost_keys``.
        """
        await self._write(keeping.keep_up, None)
        done = before = 0
        while old := await self._old_keys():  # until a look finds none: what was on its way has come in meanwhile
            total = done + sum(old.values())
            for key_id in old:
                while n := await self._write(keeping.rewrap, (key_id, 500)):
                    done += n
                    if progress:
                        progress(done, max(done, total))
            if done == before:
                break  # another process has what is left
            before = done
        return done + await self._write(keeping.rewrap_others, None)

    async def _old_keys(self) -> Mapping[str, int]:
        in_use = await self._search(self._reading.keys_in_use())
        return {key_id: n for key_id, n in in_use.items() if key_id != self.vault.newest and key_id in self.vault.key_ids}

    async def lost_keys(self) -> Mapping[str, int]:
        """Site keys that are needed and not there: how many submissions need each."""
        in_use = await self._search(self._reading.keys_in_use())
        return {key_id: n for key_id, n in in_use.items() if key_id not in self.vault.key_ids}

    async def needed_keys(self) -> Needed:
        return await self._search(needed_keys())

    # --- the chain, for seal.verify

    async def links(self, after: int, limit: int) -> list[Link]:
        return await self._search(self._reading.links(after, limit))

    async def signed_heads(self) -> list[SignedHead]:
        return await self._search(self._reading.signed_heads())

    async def last_line(self) -> int:
        return await self._read(self._reading.last_line())

    def signed_by_us(self, head: SignedHead) -> bool:
        return self.vault.signed(head.key_id, head_message(head.sealed_no, head.chain_hash, head.at), head.signature)

    @property
    def _keyring(self) -> Keyring:
        return self._rows.keyring
