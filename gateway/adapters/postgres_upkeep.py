"""What an administrator does to a journal on PostgreSQL beside the server's own means: recompute its history, and after a
restore put in doubt what may have been delivered since.

Backups are the server's: pg_dump, or pg_basebackup with an archive of its log. Neither knows what the gateway has sent after
the moment it goes back to. ``put_in_doubt`` makes up for it; no gateway starts before it has come to its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from gateway.adapters.backup import Progress, Restored
from gateway.adapters.keeping import Doubted, give_up_key
from gateway.adapters.keeping import put_in_doubt as page_in_doubt
from gateway.adapters.keyring import Keyring
from gateway.adapters.postgres_lane import transaction
from gateway.adapters.postgres_migrating import missing
from gateway.adapters.postgres_server import PASSING, Server, Use, refusals, state_of_server, unreachable, unusable
from gateway.adapters.postgres_session import Session
from gateway.adapters.postgres_texts import DIALECT, WORKING
from gateway.adapters.reading import Reading
from gateway.adapters.rows import RowMapping
from gateway.adapters.sql import JournalUnusable
from gateway.adapters.work import Work
from gateway.ports import Clock
from gateway.seal import Link, SignedHead, Verdict, head_message, verify
from gateway.vault import Vault

MARK = "journal_doubt"
"""A table that is there while not everything is in doubt that has to be. after: number of the last delivery that is."""

_PAGE = 500


async def verified(server: Server, *, vault: Vault, progress: Callable[[int], None] | None = None) -> Verdict:
    """Recompute the history of a journal that may be in use. Raises ``JournalUnusable``."""
    async with _connected(server) as session:
        return await _verified(session, RowMapping(DIALECT, Keyring(vault)), vault, progress)


async def put_in_doubt(server: Server, *, vault: Vault, clock: Clock, progress: Progress | None = None) -> Restored:
    """After a restore, while no gateway works on the journal. May be broken off and called again.

    Whatever is open may have been delivered after the backup was made: it is in doubt, and looked up before anything is
    sent. So is every dead letter; it stays a dead letter until a person replays it. Raises ``JournalUnusable``.
    """
    async with _connected(server) as session:
        connection, rows = session.connection, RowMapping(DIALECT, Keyring(vault))
        await _alone(session)
        verdict = await _verified(session, rows, vault, None)
        if verdict.broken is not None:
            raise JournalUnusable(
                f"the history of this journal is not whole: {verdict.broken.en}",
                f"Das Protokoll dieses Journals ist nicht unversehrt: {verdict.broken.de}",
            )
        await connection.execute(f"create table if not exists {MARK} (after bigint not null)")
        after = await connection.fetchval(f"select coalesce(max(after), 0) from {MARK}")  # noqa: S608
        total = await connection.fetchval("select count(*) from delivery where seq > $1 and state in "
                                          "('pending', 'delivering', 'dead')", after)
        async with connection.transaction():
            await session.run(give_up_key(vault))
        waiting = dead = 0
        while (found := await _page(session, rows, after, clock)).last is not None:
            after, waiting, dead = found.last, waiting + found.open_deliveries, dead + found.dead_letters
            if progress:
                progress(waiting + dead, total)
        await connection.execute(f"drop table {MARK}")
        in_use = await session.run(Reading(rows).keys_in_use())
        return Restored(verdict, waiting, dead, {key_id: n for key_id, n in in_use.items() if key_id not in vault.key_ids})


async def _page(session: Session, rows: RowMapping, after: int, clock: Clock) -> Doubted:
    async def run(session: Session, work: Work) -> Doubted:
        await session.run(work.begin())
        (found,) = await session.run(page_in_doubt(work, [(after, clock.now(), _PAGE)]))
        if found.last is not None:
            await session.connection.execute(f"insert into {MARK} values ($1)", found.last)  # noqa: S608
        return found

    await session.turn()
    done: Doubted = await transaction(session, rows, run)
    return done


async def _alone(session: Session) -> None:
    if await session.connection.fetchval(f"select pg_try_advisory_lock({WORKING})"):
        return
    names = await session.connection.fetch(
        "select distinct application_name from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() "
        "and application_name like 'nahtlos watch %' order by 1")
    working = ", ".join(name.removeprefix("nahtlos watch ") for (name,) in names)
    raise JournalUnusable(
        f"gateways are working on this journal ({working}): stop them first",
        f"mit diesem Journal arbeiten Gateways ({working}): zuerst beenden",
    )


async def _verified(
    session: Session, rows: RowMapping, vault: Vault, progress: Callable[[int], None] | None
) -> Verdict:
    """In one snapshot: what is written meanwhile is not half seen."""
    async with session.connection.transaction(isolation="repeatable_read", readonly=True):
        return await verify(_Ledger(session, rows, vault), progress)


@asynccontextmanager
async def _connected(server: Server) -> AsyncIterator[Session]:
    """To a server that can be trusted with a journal, and holds one of this version."""
    try:
        session = await server.connect(Use.WATCH)
    except PASSING as failure:
        raise unreachable(failure) from None
    try:
        if found := refusals(await state_of_server(session.connection)):
            raise unusable(found)
        if await missing(session.connection):
            raise JournalUnusable(
                "the tables of the journal are not those of this version: run nahtlos migrate first",
                "die Tabellen des Journals sind nicht die dieser Version: zuerst nahtlos migrate ausführen",
            )
        yield session
    except PASSING as failure:
        raise unreachable(failure) from None
    finally:
        with suppress(*PASSING):
            await session.aclose()


class _Ledger:
    """What ``seal.verify`` reads, on one connection."""

    def __init__(self, session: Session, rows: RowMapping, vault: Vault) -> None:
        self._session, self._reading, self._vault = session, Reading(rows), vault

    async def links(self, after: int, limit: int) -> list[Link]:
        return await self._session.run(self._reading.links(after, limit))

    async def signed_heads(self) -> list[SignedHead]:
        return [head for head in await self._session.run(self._reading.signed_heads()) if self._vault.can_check(head.key_id)]

    async def last_line(self) -> int:
        return await self._session.run(self._reading.last_line())

    def signed_by_us(self, head: SignedHead) -> bool:
        return self._vault.signed(head.key_id, head_message(head.sealed_no, head.chain_hash, head.at), head.signature)
