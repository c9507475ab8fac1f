"""What both peers share: the intake that checks and publishes, and the POST to the case system.

Where things are comes from the environment: ``PEER_AMQP``, ``PEER_QUEUE``, ``PEER_TARGET`` (base address of the simulated
case system) and ``PEER_CLIENT``: ``aiohttp`` (the client of our connectors) or ``httpx`` (as commonly written).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from fastapi import FastAPI, Request, Response
from lxml import etree

AMQP, QUEUE = os.environ["PEER_AMQP"], os.environ["PEER_QUEUE"]
URL, CLIENT = os.environ["PEER_TARGET"] + "/cases", os.environ["PEER_CLIENT"]
AT_ONCE = 32  # deliveries at once, as the measured gateway may

_XSD = Path(__file__).parents[3] / "schemas/leistungen/hundesteuer/message.xsd"


def intake(publish: Callable[[str, str], Awaitable[Any]], **lifespan: Any) -> FastAPI:
    """Parse, validate, publish durably with a confirm, 202."""
    app = FastAPI(**lifespan)
    schema = etree.XMLSchema(etree.parse(_XSD))
    parser = etree.XMLParser(resolve_entities=False, no_network=True)

    @app.post("/v1/submissions")
    async def accept(request: Request) -> Response:
        body = await request.body()
        try:
            document = etree.fromstring(body, parser)
        except etree.XMLSyntaxError:
            return Response(status_code=400)
        if not schema.validate(document):
            return Response(status_code=422)
        own = str(uuid.uuid4())
        await publish(own, body.decode())
        return Response(f'{{"id": "{own}"}}', 202, media_type="application/json")

    return app


def headers(own: str) -> dict[str, str]:
    return {"Authorization": "Bearer simulator", "Content-Type": "application/xml", "Idempotency-Key": own}


class Poster:
    """One kept client for the case system. Made inside a running event loop."""

    def __init__(self) -> None:
        if CLIENT == "aiohttp":
            self._aiohttp = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE))
        else:
            self._httpx = httpx.AsyncClient(limits=httpx.Limits(max_connections=AT_ONCE), trust_env=False, timeout=60)

    async def post(self, own: str, body: str) -> None:
        if CLIENT == "aiohttp":
            async with self._aiohttp.post(URL, data=body.encode(), headers=headers(own)) as answer:
                await answer.read()
                answer.raise_for_status()
        else:
            (await self._httpx.post(URL, content=body.encode(), headers=headers(own))).raise_for_status()
