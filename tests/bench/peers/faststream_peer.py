"""FastAPI in front, a FastStream publisher with confirms, a durable quorum queue, and a FastStream subscriber that delivers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from tests.bench.peers.job import AMQP, QUEUE, Poster, intake

broker = RabbitBroker(AMQP, default_channel=Channel(prefetch_count=64), log_level=30)
queue = RabbitQueue(QUEUE, queue_type=QueueType.QUORUM, durable=True)
app = FastStream(broker)
_posters: list[Poster] = []


@broker.subscriber(queue)
async def deliver(message: dict[str, Any]) -> None:
    if not _posters:
        _posters.append(Poster())
    await _posters[0].post(message["id"], message["body"])


@asynccontextmanager
async def _connected(_: FastAPI) -> AsyncIterator[None]:
    await publisher.connect()
    await publisher.declare_queue(queue)
    yield
    await publisher.stop()


publisher = RabbitBroker(AMQP)
web = intake(lambda own, body: publisher.publish({"id": own, "body": body}, queue=queue, persist=True), lifespan=_connected)
