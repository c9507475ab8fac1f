"""The journal on PostgreSQL: any number of processes on one database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar, cast

from gateway.adapters import keeping
from gateway.adapters.group import Figures
from gateway.adapters.journal import SqlJournal
from gateway.adapters.keeping import missing_key
from gateway.adapters.keyneeds import require_keys
from gateway.adapters.keyring import Keyring
from gateway.adapters.postgres_lane import Beside
from gateway.adapters.postgres_migrating import migrate, missing
from gateway.adapters.postgres_reader import SEARCH_PATIENCE, Readers
from gateway.adapters.postgres_server import PASSING, Server, Use, refusals, state_of_server, unreachable, unusable
from gateway.adapters.postgres_session import Session
from gateway.adapters.postgres_texts import DIALECT
from gateway.adapters.postgres_watch import Watch
from gateway.adapters.postgres_writer import Writers
from gateway.adapters.rows import RowMapping
from gateway.adapters.sql import Dialogue, JournalUnusable, SchemaMismatch
from gateway.adapters.work import Work
from gateway.ports import NO_LIMITS, Acceptance, Accepted, Change, Clock, JournalUnavailable, KeyReused, TargetChange
from gateway.submission import Delivery
from gateway.vault import Vault

A = TypeVar("A")
R = TypeVar("R")

_BESIDE = frozenset({keeping.stage, keeping.unstage, keeping.seal, keeping.purge_claims, keeping.rewrap})
"""What takes no numbers and writes no history. Each is safe beside others and beside the writers:

- stage: rows under a number that is this process's alone.
- unstage: deletes the submission only while it is staged; if an acceptance takes it at the same time, one of the two waits
  for the other's row and then finds it changed.
- seal: one at a time by a lock of its own, over lines that are there for good.
- purge_claims: passes over rows that are locked, so that it waits for nobody; looks at the time again before it deletes.
- rewrap: passes over locked rows; a key that was erased meanwhile stays erased.
"""


class PostgresJournal(SqlJournal):
    """Implements ``ports.Journal``. ``await PostgresJournal.open(…)`` makes one; it belongs to the event loop it was made on."""

    def __init__(
        self, server: Server, *, vault: Vault, clock: Clock, rows: RowMapping, patience: float, budget: int
    ) -> None:
        super().__init__(vault=vault, clock=clock, rows=rows, patience=patience, budget=budget)
        self._writers = Writers(partial(server.connect, Use.WRITER), rows)
        self._beside = Beside(partial(server.connect, Use.BESIDE), rows)
        self._readers = Readers(partial(server.connect, Use.READER))
        self._searchers = Readers(partial(server.connect, Use.SEARCHER), count=1, patience=SEARCH_PATIENCE)
        self._watch = Watch(server, self._keyring, clock)
        self._stager = self._watch.number
        self._closed = False

    @classmethod
    async def open(
        cls, server: Server | str, *, vault: Vault, clock: Clock, instance: str = "", may_migrate: bool = False,
        patience: float = 2.0, budget: int = 256 << 20, wait: float = 30.0, lost_keys: Collection[str] | None = None,
    ) -> PostgresJournal:
        """Connect, see that the server can keep what is promised and that the tables are those of this program, clear away
        what interrupted uploads of processes that are gone have left.

        may_migrate: bring the tables up to date, else they must be. wait: seconds for a server that is still starting.
        lost_keys: see ``keyneeds.require_keys``. Raises ``JournalUnusable``, ``SchemaMismatch``.
        """
        server = server if isinstance(server, Server) else Server(server, instance)
        watching = await _patiently(server, wait)
        journal = cls(
            server, vault=vault, clock=clock, rows=RowMapping(DIALECT, Keyring(vault)), patience=patience, budget=budget,
        )
        try:
            journal.migrated = tuple(await _prepare(watching, vault, may_migrate=may_migrate, lost_keys=lost_keys))
            await journal._watch.start(watching)
            await asyncio.gather(
                journal._writers.start(), journal._beside.start(), journal._readers.start(), journal._searchers.start(),
            )
            for seq in await journal._beside_read(keeping.staged()):
                await journal._write(keeping.unstage, seq)
        except PASSING as failure:
            watching.drop()
            await journal.aclose()
            raise unreachable(failure) from None
        except JournalUnavailable as failure:
            await journal.aclose()
            raise unreachable(failure) from None
        except BaseException:
            watching.drop()
            await journal.aclose()
            raise
        return journal

    def hear(self, heard: Callable[[Set[str], Set[str]], None]) -> None:
        self._watch.heard = heard

    def figures(self) -> Figures:
        """Commits and group sizes since start, for metrics and benchmarks."""
        return self._writers.figures()

    def oldest_waiting(self) -> timedelta:
        return timedelta(seconds=self._writers.oldest_waiting())

    def expect(self, on_their_way: Callable[[], int]) -> None:
        self._writers.expecting = on_their_way

    def trouble(self) -> tuple[str, str] | None:
        if (lost := self._writers.footing.lost) is not None:
            return lost
        if self._watch.weak is not None:
            return self._watch.weak.de, self._watch.weak.en
        reason = self._writers.ailing
        return None if reason is None else (f"Das Journal kann nicht geschrieben werden ({reason}).", f"{reason}.")

    async def aclose(self) -> None:
        """Commit what is queued, let go of the connections. May be called twice."""
        if self._closed:
            return
        self._closed = True
        await self._writers.stop()
        await self._beside.aclose()
        await self._readers.stop()
        await self._searchers.stop()
        await self._watch.stop()

    # --- what others should hear of

    async def accept(self, acceptance: Acceptance) -> Accepted | KeyReused:
        answer = await super().accept(acceptance)
        if isinstance(answer, Accepted) and not answer.replayed:
            self._watch.tell(targets=_named(delivery.target for delivery in acceptance.deliveries))
        return answer

    async def advance(self, *changes: Change) -> bool:
        written = await super().advance(*changes)
        if written:
            touched = [delivery for change in changes for delivery in (change.before, change.after, *change.opens)]
            self._watch.tell(
                submissions={delivery.submission_id for delivery in touched},
                targets=_named(delivery.target for delivery in touched),
            )
        return written

    async def claim(
        self, delivery_id: str, *, at: datetime, lease_until: datetime, by: str, at_most: Mapping[str, int] = NO_LIMITS
    ) -> Delivery | None:
        claimed = await super().claim(delivery_id, at=at, lease_until=lease_until, by=by, at_most=at_most)
        if claimed is not None:
            self._watch.tell(submissions=(claimed.submission_id,))
        return claimed

    async def advance_target(self, change: TargetChange) -> bool:
        written = await super().advance_target(change)
        if written:
            self._watch.tell(targets=(change.after.name,))
        return written

    # --- the verbs

    async def _write(
        self, operation: Callable[[Work, Sequence[A]], Dialogue[list[R]]], argument: A, *,
        weight: int = 0, may_drop: bool = False,
    ) -> R:
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        if operation in _BESIDE:
            return cast("R", await self._beside.do(operation, argument))
        return cast("R", await self._writers.do(operation, argument, weight=weight, may_drop=may_drop))

    async def _read(self, dialogue: Dialogue[R]) -> R:
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        return cast("R", await self._readers.ask(dialogue))

    async def _search(self, dialogue: Dialogue[R]) -> R:
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        return cast("R", await self._searchers.ask(dialogue))

    async def _beside_read(self, dialogue: Dialogue[R]) -> R:
        """Where a lock is taken, however short, a reader may not."""
        def run(work: Work, arguments: Sequence[None]) -> Dialogue[list[R]]:
            found = yield from dialogue
            return [found]

        return cast("R", await self._beside.do(run, None))

    def _has_erased(self, submission_ids: Sequence[str]) -> None:
        """Dead rows are the server's to vacuum, its log is the administration's to archive or not."""
        self._watch.tell(erased=submission_ids)


async def _patiently(server: Server, wait: float) -> Session:
    """Servers are often started at the same time as we are."""
    until = time.monotonic() + wait
    while True:
        try:
            return await server.connect(Use.WATCH)
        except PASSING as failure:
            if time.monotonic() > until:
                raise unreachable(failure) from None
        await asyncio.sleep(0.5)


async def _prepare(
    session: Session, vault: Vault, *, may_migrate: bool, lost_keys: Collection[str] | None
) -> list[str]:
    if found := refusals(await state_of_server(session.connection)):
        raise unusable(found)
    if await session.connection.fetchval("select to_regclass('journal_move') is not null"):
        raise JournalUnusable(
            "a journal is still moving into this database: let nahtlos journal move end first",
            "in diese Datenbank zieht ein Journal noch um: zuerst nahtlos journal move zu Ende führen",
        )
    if await session.connection.fetchval("select to_regclass('journal_doubt') is not null"):
        raise JournalUnusable(
            "not everything that is open was put in doubt after the restore: run nahtlos restore --doubt again first",
            "nach der Wiederherstellung gilt noch nicht alles Offene als ungeklärt: zuerst nahtlos restore --doubt wiederholen",
        )
    done = []
    if may_migrate:
        done = await migrate(session.connection)
    elif left := await missing(session.connection):
        raise SchemaMismatch(
            f"the tables of the journal lack {len(left)} migration(s), the first is {left[0].no:04d}_{left[0].name}: run "
            "nahtlos migrate, or start with NAHTLOS_MIGRATE=yes",
            f"den Tabellen des Journals fehlen {len(left)} Migration(en), die erste ist {left[0].no:04d}_{left[0].name}: "
            "nahtlos migrate ausführen oder mit NAHTLOS_MIGRATE=yes starten",
        )
    await session.run(require_keys(vault, lost_keys))
    if (key_id := await session.run(missing_key(vault))) is not None:
        raise JournalUnusable(
            f"what is new in this journal is encrypted under site key {key_id}, which is not in NAHTLOS_KEYS: all machines "
            "need the same key directory; copy it here. If it is lost for good: nahtlos restore --doubt",
            f"Neues in diesem Journal wird unter dem Schlüssel {key_id} verschlüsselt, der nicht in NAHTLOS_KEYS liegt: Alle "
            "Rechner brauchen dasselbe Schlüsselverzeichnis; hierher kopieren. Ist er endgültig verloren: nahtlos restore "
            "--doubt",
        )
    return done


def _named(targets: Iterable[str | None]) -> set[str]:
    return {name for name in targets if name is not None}
