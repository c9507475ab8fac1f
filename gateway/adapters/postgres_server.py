"""The PostgreSQL server: how it is reached, and what is asked of it before it is trusted with a journal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import asyncpg

from gateway.adapters.postgres_errors import CUT, code_of, state_of
from gateway.adapters.postgres_session import Session
from gateway.adapters.postgres_texts import Texts
from gateway.adapters.sql import JournalUnusable

OLDEST = 14
_CONNECT = 5.0  # seconds


class Use(StrEnum):
    """What a connection is for; it stands in its ``application_name``, so that who looks after the server can tell."""

    WRITER = "writer"
    BESIDE = "beside"
    READER = "reader"
    SEARCHER = "searcher"
    WATCH = "watch"


_SETTINGS: Mapping[Use, Mapping[str, str]] = {
    # A writer that falls asleep in its turn, or whose machine is gone, keeps all others waiting for no longer than this: twice
    # 2 s, because its second connection is next at the door, and less than others wait for their turn.
    # Plans are made once, for any parameters, and by the indexes, which all of its statements have.
    Use.WRITER: {
        "lock_timeout": "5s", "statement_timeout": "10s", "idle_in_transaction_session_timeout": "2s",
        "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off",
    },
    Use.BESIDE: {
        "lock_timeout": "5s", "statement_timeout": "10s", "idle_in_transaction_session_timeout": "10s",
        "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off",
    },
    # Never sorted where an index has the order: how much is open, which decides, the server's figures learn late.
    Use.READER: {
        "statement_timeout": "10s", "default_transaction_read_only": "on", "enable_seqscan": "off", "enable_sort": "off",
    },
    Use.SEARCHER: {"statement_timeout": "25s", "default_transaction_read_only": "on", "enable_seqscan": "off"},
    Use.WATCH: {},
}
_ALL = {
    "jit": "off", "client_encoding": "utf8", "default_transaction_isolation": "read committed",
    "tcp_keepalives_idle": "10", "tcp_keepalives_interval": "3", "tcp_keepalives_count": "3", "tcp_user_timeout": "10000",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """code: for the log."""

    code: str
    en: str
    de: str


@dataclass(frozen=True, slots=True)
class State:
    """What the server says of itself. standbys: sync_state of each connected one; ``None`` where we may not see it."""

    version: int
    synchronous_commit: str
    fsync: bool
    full_page_writes: bool
    standby_names: str
    encoding: str
    encrypted: bool
    near: bool
    standbys: tuple[str | None, ...] = ()


_STATE = """
select current_setting('server_version_num')::int4, current_setting('synchronous_commit'), current_setting('fsync')::bool,
  current_setting('full_page_writes')::bool, current_setting('synchronous_standby_names'), current_setting('server_encoding'),
  coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false),
  coalesce(inet_client_addr() <<= inet '127.0.0.0/8' or inet_client_addr() = inet '::1', true),
  array(select sync_state from pg_stat_replication
        where coalesce(state, 'streaming') in ('streaming', 'catchup') and application_name <> 'pg_receivewal')
"""


async def state_of_server(connection: Any) -> State:
    *values, standbys = await connection.fetchrow(_STATE)
    return replace(State(*values), standbys=tuple(standbys))


def refusals(state: State) -> list[Finding]:
    """Why this server cannot keep what a 202 promises (P1)."""
    found = []
    if state.version < OLDEST * 10_000:
        found.append(Finding(
            "version", f"PostgreSQL {state.version // 10_000} is too old: at least {OLDEST}",
            f"PostgreSQL {state.version // 10_000} ist zu alt: mindestens {OLDEST}"))
    if state.encoding != "UTF8":
        found.append(Finding(
            "encoding", f"the database is encoded in {state.encoding}: create one with encoding UTF8",
            f"die Datenbank ist in {state.encoding} kodiert: eine mit encoding UTF8 anlegen"))
    if state.synchronous_commit == "off":
        found.append(Finding(
            "synchronous-commit-off",
            "synchronous_commit is off: a commit is confirmed before it is on the disk, and a power cut loses what was "
            "already acknowledged. Set synchronous_commit = on (postgresql.conf, alter role, alter database)",
            "synchronous_commit ist off: Bestätigt wird, bevor es auf der Platte steht, und ein Stromausfall verliert, was "
            "schon bestätigt war. synchronous_commit = on setzen (postgresql.conf, alter role, alter database)"))
    if state.synchronous_commit == "local" and state.standby_names:
        found.append(Finding(
            "synchronous-commit-local",
            "synchronous_commit is local although synchronous_standby_names names a standby: it is not waited for, and a "
            "failover loses what was already acknowledged. Set synchronous_commit = on for this user",
            "synchronous_commit ist local, obwohl synchronous_standby_names einen Standby nennt: Auf ihn wird nicht gewartet, "
            "und ein Failover verliert, was schon bestätigt war. synchronous_commit = on für diesen Benutzer setzen"))
    if not state.fsync:
        found.append(Finding(
            "fsync-off",
            "fsync is off: nothing is forced to the disk, and a power cut loses or destroys the journal. Set fsync = on in "
            "postgresql.conf and reload the server",
            "fsync ist off: Nichts wird auf die Platte gezwungen, und ein Stromausfall verliert oder zerstört das Journal. "
            "fsync = on in postgresql.conf setzen und den Server neu laden"))
    if not state.full_page_writes:
        found.append(Finding(
            "full-page-writes-off",
            "full_page_writes is off: a page that a power cut tears in half cannot be repaired. Set full_page_writes = on in "
            "postgresql.conf and reload the server",
            "full_page_writes ist off: Eine Seite, die ein Stromausfall zerreißt, ist nicht mehr herzustellen. "
            "full_page_writes = on in postgresql.conf setzen und den Server neu laden"))
    return found


def warnings(state: State) -> list[Finding]:
    """What is promised here holds, but a failover or an eavesdropper may take more than the administration thinks."""
    found = []
    if state.synchronous_commit == "remote_write" and state.standby_names:
        found.append(Finding(
            "synchronous-commit-remote-write",
            "synchronous_commit is remote_write: the standby has it in memory, not on its disk",
            "synchronous_commit ist remote_write: Der Standby hat es im Speicher, nicht auf seiner Platte"))
    if any(sync is None for sync in state.standbys):
        found.append(Finding(
            "standby-not-visible",
            "a standby is connected, but this user may not see whether it is synchronous: grant pg_read_all_stats to it",
            "ein Standby ist verbunden, aber dieser Benutzer darf nicht sehen, ob er synchron ist: grant pg_read_all_stats"))
    elif state.standbys and not any(sync in ("sync", "quorum") for sync in state.standbys):
        found.append(Finding(
            "standby-not-synchronous",
            "no connected standby is synchronous: a failover to it loses the last submissions that were acknowledged. Set "
            "synchronous_standby_names",
            "kein verbundener Standby ist synchron: Ein Failover auf ihn verliert die zuletzt bestätigten Einreichungen. "
            "synchronous_standby_names setzen"))
    if not state.encrypted and not state.near:
        found.append(Finding(
            "connection-not-encrypted",
            "the connection to PostgreSQL is not encrypted: add ?sslmode=verify-full&sslrootcert=… to NAHTLOS_JOURNAL",
            "die Verbindung zu PostgreSQL ist nicht verschlüsselt: ?sslmode=verify-full&sslrootcert=… an NAHTLOS_JOURNAL "
            "anhängen"))
    return found


@dataclass(slots=True)
class Server:
    """Makes connections. address: ``postgresql://user@host[,host2]/database?…`` with the parameters that libpq knows
    (sslmode, sslrootcert, passfile …). password: goes before the one in the address."""

    address: str = field(repr=False)
    instance: str = ""
    password: str | None = field(default=None, repr=False)
    texts: Texts = field(default_factory=Texts)

    async def connect(self, use: Use) -> Session:
        """Raises ``JournalUnusable`` for what a person has to change, and what asyncpg raises for what may pass."""
        settings = {"application_name": f"nahtlos {use} {self.instance}"[:63], **_ALL, **_SETTINGS[use]}
        try:
            connection = await asyncpg.connect(
                self.address, password=self.password, timeout=_CONNECT, server_settings=settings, target_session_attrs="primary",
                statement_cache_size=1_000, max_cached_statement_lifetime=0, max_cacheable_statement_size=0,
            )
        except ValueError as wrong:
            raise _wrong_address(wrong) from None
        except asyncpg.PostgresError as failure:
            if state_of(failure)[:2] in ("28", "3D", "42", "22"):
                raise _refused(failure) from None
            raise
        try:
            async with asyncio.timeout(_CONNECT):
                await self._look(connection, use)
        except BaseException:
            connection.terminate()
            raise
        return Session(connection, self.texts)

    async def _look(self, connection: Any, use: Use) -> None:
        """A writer's commits stay as sure as they are now, whatever is changed in the server's files meanwhile."""
        if use in (Use.WRITER, Use.BESIDE):
            state = await state_of_server(connection)
            if found := refusals(state):
                raise unusable(found)
            await connection.execute(f"set synchronous_commit = '{state.synchronous_commit}'")
        # A backend that waits, for its turn or in a long statement, notices that its client is gone.
        await connection.execute("set client_connection_check_interval = '2s'")


def unusable(found: list[Finding]) -> JournalUnusable:
    return JournalUnusable("; ".join(one.en for one in found), "; ".join(one.de for one in found))


def unreachable(failure: BaseException) -> JournalUnusable:
    """Waited for long enough."""
    return JournalUnusable(
        f"PostgreSQL cannot be reached ({code_of(failure)}): is it running, and is NAHTLOS_JOURNAL its address?",
        f"PostgreSQL ist nicht erreichbar ({code_of(failure)}): Läuft es, und ist NAHTLOS_JOURNAL seine Adresse?",
    )


def _refused(failure: asyncpg.PostgresError) -> JournalUnusable:
    return JournalUnusable(
        f"PostgreSQL refuses the connection ({code_of(failure)}): check user, database and parameters in NAHTLOS_JOURNAL, and "
        "the password there or in NAHTLOS_JOURNAL_PASSWORD_FILE",
        f"PostgreSQL weist die Verbindung ab ({code_of(failure)}): Benutzer, Datenbank und Parameter in NAHTLOS_JOURNAL prüfen "
        "und das Kennwort dort oder in NAHTLOS_JOURNAL_PASSWORD_FILE",
    )


def _wrong_address(wrong: Exception) -> JournalUnusable:
    """Not the text of the exception: it may quote the address, and with it a password."""
    return JournalUnusable(
        f"NAHTLOS_JOURNAL or the server's certificate is not right ({type(wrong).__name__}): "
        "postgresql://user@host/database?sslmode=verify-full&sslrootcert=/path",
        f"NAHTLOS_JOURNAL oder das Zertifikat des Servers stimmt nicht ({type(wrong).__name__}): "
        "postgresql://benutzer@rechner/datenbank?sslmode=verify-full&sslrootcert=/pfad",
    )


PASSING = (asyncpg.PostgresError, *CUT)
"""What may be over in a moment: the server starts, or is full of connections."""
