"""FastAPI in front, ``delay`` with a publisher confirm, and Celery workers that deliver; acknowledged late, tried again."""

from __future__ import annotations

import asyncio

import httpx
from celery import Celery
from celery.signals import worker_process_init
from starlette.concurrency import run_in_threadpool

from tests.bench.peers.job import AMQP, CLIENT, QUEUE, URL, Poster, headers, intake

app = Celery("peer", broker=AMQP)
app.conf.update(
    task_default_queue=QUEUE, task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=16,
    broker_transport_options={"confirm_publish": True}, task_ignore_result=True, broker_connection_retry_on_startup=True,
)

_client: httpx.Client
_runner: asyncio.Runner
_poster: Poster


@worker_process_init.connect
def begin(**_: object) -> None:
    global _client, _runner, _poster
    if CLIENT == "httpx":
        _client = httpx.Client(trust_env=False, timeout=60)
    else:
        _runner = asyncio.Runner()
        _poster = _runner.run(_made())


async def _made() -> Poster:
    return Poster()


@app.task(autoretry_for=(Exception,), retry_backoff=True, max_retries=None)
def deliver(own: str, body: str) -> None:
    if CLIENT == "httpx":
        _client.post(URL, content=body.encode(), headers=headers(own)).raise_for_status()
    else:
        _runner.run(_poster.post(own, body))


web = intake(lambda own, body: run_in_threadpool(deliver.delay, own, body))
