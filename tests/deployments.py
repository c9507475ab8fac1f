"""The three ways the gateway runs, for tests that tell the same story on each of them.

A module asks for it with ``pytestmark = ON_ALL``; whoever does not is told on the embedded one. What is told in many
variants of its own (of input, mostly) is told there, too: a deployment adds nothing to it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from gateway.adapters.embedded import EmbeddedBroker
from gateway.adapters.journal import SqlJournal
from gateway.adapters.postgres import PostgresJournal
from gateway.adapters.rabbitmq import RabbitBroker
from gateway.adapters.rabbitmq_address import Address
from gateway.adapters.rabbitmq_queues import Queues
from gateway.adapters.sqlite import SqliteJournal
from gateway.ports import Broker, Clock
from gateway.vault import Vault
from tests.contract.journals import database, empty
from tests.servers import AMQP


@dataclass(frozen=True)
class Deployment:
    """postgres: else SQLite, of which one process is the only user. rabbitmq: else the doorbell in the process."""

    postgres: bool = False
    rabbitmq: bool = False

    @property
    def alone(self) -> bool:
        return not self.postgres

    async def journal(self, folder: Path, *, vault: Vault, clock: Clock) -> SqlJournal:
        """What was in it stays."""
        if self.postgres:
            return await PostgresJournal.open(self.address(folder), vault=vault, clock=clock, may_migrate=True)
        return await SqliteJournal.open(folder / "journal.db", vault=vault, clock=clock, reserve=lambda total: 0)

    def address(self, folder: Path) -> str:
        """Its address; emptied for the first who asks for this folder."""
        if folder not in _EMPTIED:
            _EMPTIED.clear()
            _EMPTIED.add(folder)
            empty(database())
        return database().url

    @asynccontextmanager
    async def settings(self, folder: Path, *lanes: str) -> AsyncIterator[dict[str, Any]]:
        """Of a gateway; where there is a broker, of one that only accepts, with workers beside it."""
        async with self.prefix(*lanes) as prefix:
            chosen: dict[str, Any] = {"journal": self.address(folder), "migrate": True} if self.postgres else {}
            if self.rabbitmq:
                chosen |= {"broker": os.environ[AMQP], "broker_prefix": prefix, "role": "intake", "instance": "intake"}
            yield chosen

    def broker(self, prefix: str) -> Broker:
        return RabbitBroker(Address(os.environ[AMQP]), queues=Queues(prefix)) if self.rabbitmq else EmbeddedBroker()

    @asynccontextmanager
    async def prefix(self, *lanes: str) -> AsyncIterator[str]:
        """Of queues that nobody else has."""
        prefix = f"test-{uuid.uuid4().hex[:12]}"
        yield prefix
        if self.rabbitmq:
            queues = Queues(prefix)
            async with await aio_pika.connect(os.environ[AMQP]) as connection:
                channel = await connection.channel()
                for queue in (*map(queues.of, lanes), queues.dead):
                    await channel.queue_delete(queue)


_EMPTIED: set[Path] = set()

EMBEDDED, POSTGRES, RABBITMQ = Deployment(), Deployment(postgres=True), Deployment(postgres=True, rabbitmq=True)
ON_ALL = pytest.mark.on_all_deployments


def parametrize(metafunc: pytest.Metafunc) -> None:
    """For ``pytest_generate_tests``."""
    own = metafunc.definition.get_closest_marker("parametrize")
    if metafunc.definition.get_closest_marker("on_all_deployments") and own is None:
        names = {"embedded": EMBEDDED, "postgres": POSTGRES, "rabbitmq": RABBITMQ}
        metafunc.parametrize("deployment", names.values(), ids=names.keys(), indirect=True)


class Current:
    """Of the test that runs now; set by the fixture ``deployment``."""

    deployment = EMBEDDED
