"""The journal and the broker that the settings name, opened. Drivers are imported only where they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.adapters.embedded import EmbeddedBroker
from gateway.adapters.journal import SqlJournal
from gateway.adapters.sql import JournalUnusable
from gateway.ports import Broker, BrokerUnusable, Clock, NotRung
from gateway.settings import Role, Settings
from gateway.vault import Vault

if TYPE_CHECKING:
    from gateway.adapters.postgres_server import Server


def is_sqlite(settings: Settings) -> bool:
    return settings.journal.get_secret_value().startswith("sqlite:")


async def open_journal(settings: Settings, clock: Clock) -> SqlJournal:
    """The journal the settings name, brought up to date, with the keys it needs. Raises what it and the key directory raise.

    Keys are made for a new journal, or where a person has said which are lost, and never beside one that needs others."""
    vault = Vault.open(settings.keys, make=bool(settings.lost_keys))
    journal = await _opened(settings, clock, vault)
    try:
        vault.complete()
    except BaseException:
        await journal.aclose()
        raise
    return journal


async def _opened(settings: Settings, clock: Clock, vault: Vault) -> SqlJournal:
    address = settings.journal.get_secret_value()
    if is_sqlite(settings):
        from gateway.adapters.sqlite import SqliteJournal

        return await SqliteJournal.open(
            Path(address.removeprefix("sqlite:///")), vault=vault, clock=clock,
            reserve=settings.disk_reserve.of, patience=settings.commit_wait.total_seconds(), lost_keys=settings.lost_keys,
        )
    try:
        from gateway.adapters.postgres import PostgresJournal
    except ImportError:
        raise JournalUnusable(
            "PostgreSQL needs: pip install 'nahtlos[postgres]'", "PostgreSQL braucht: pip install 'nahtlos[postgres]'"
        ) from None
    return await PostgresJournal.open(
        postgres_server(settings), vault=vault, clock=clock, may_migrate=bool(settings.migrate),
        patience=settings.commit_wait.total_seconds(), lost_keys=settings.lost_keys,
    )


def postgres_server(settings: Settings) -> Server:
    """Where the journal is; nothing is connected yet."""
    from gateway.adapters.postgres_server import Server

    password = settings.journal_password
    return Server(settings.journal.get_secret_value(), settings.instance, password.get_secret_value() if password else None)


async def open_broker(settings: Settings, prefetch: Mapping[str, int]) -> Broker:
    """prefetch: tickets at once, by lane; read again with every connection. A broker that is away stops nobody: it is rung when
    it is back. Raises ``BrokerUnusable``."""
    url = settings.broker.get_secret_value()
    if url == "embedded":
        return EmbeddedBroker()
    from gateway.adapters.rabbitmq import RabbitBroker
    from gateway.adapters.rabbitmq_address import Address
    from gateway.adapters.rabbitmq_queues import Queues

    address = Address(url, settings.broker_password, settings.broker_ca, settings.broker_cert, settings.broker_key)
    address.check()
    broker = RabbitBroker(
        address, name=settings.instance, prefetch=prefetch, queues=Queues(settings.broker_prefix),
    )
    if settings.role is not Role.INTAKE:  # who only accepts neither rings nor hears
        try:
            await prepare_lanes(broker, *prefetch)
        except BrokerUnusable:
            await broker.aclose()
            raise
    return broker


async def prepare_lanes(broker: Broker, *lanes: str) -> None:
    """A broker that is away now prepares them when it is back. Raises ``BrokerUnusable``."""
    with suppress(NotRung):
        await broker.prepare(*lanes)
