"""A case system for tests, demos and integrators: a real HTTP server with a case register and a fault script.

In a test::

    async with Simulator("fallakte", faults=["503x3"]) as system:
        ...                                   # system.options is what ``connector = "rest"`` needs
        assert system.register.cases == 1 and system.register.duplicates == 0

As a process: ``python -m connectors.simulator rest --port 8471 --data DIR``. While it runs: ``GET /_cases``, ``GET /_stats``,
``GET|PUT|DELETE /_faults`` (``curl -X PUT -d 503x3 …/_faults`` breaks it, ``curl -X DELETE …/_faults`` repairs it).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote

from python_multipart.multipart import MultipartParser, parse_options_header

from connectors.faults import Fault, FaultScript, On, parse
from connectors.listener import Connection, Listener, Request
from connectors.misbehaviour import misbehave
from connectors.products import PRODUCTS, Product
from connectors.register import CaseRegister, Entry

SECRET = "simulator"  # noqa: S105 - opens nothing but the simulator


class Simulator:
    """One case system. Use with ``async with``; ``stop`` and ``start`` in between are an outage that keeps port and cases.

    product: ``fallakte`` or ``amtsregister``. data: folder for the register; ``None``: memory only. idempotent: is a
    repeated delivery id the same case? fsync: is a case on disk before it is acknowledged? log_in: is the secret asked
    for? close_idle_after: seconds, or what gives them, after which an idle connection is closed without a word.
    """

    def __init__(
        self,
        product: str | Product = "fallakte",
        *,
        data: Path | None = None,
        faults: Iterable[Fault | str] = (),
        idempotent: bool = True,
        fsync: bool = True,
        log_in: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        close_idle_after: float | Callable[[], float] | None = None,
    ) -> None:
        self.product = PRODUCTS[product] if isinstance(product, str) else product
        self.register = CaseRegister(data, numbers=self.product.numbers, idempotent=idempotent, fsync=fsync)
        self.faults = FaultScript(faults)
        self.requests = self.lookups = self.refused_log_ins = 0
        self._authorization = self.product.authorization(SECRET) if log_in else None
        self._scheme, self._host = "http" if tls is None else "https", host
        self._listener = Listener(self._answer, host=host, port=port, tls=tls, close_idle_after=close_idle_after)

    async def start(self) -> None:
        await self._listener.open()

    async def stop(self) -> None:
        await self._listener.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self.register.close()

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self._host}:{self._listener.port}"

    @property
    def options(self) -> dict[str, Any]:
        """``options = {…}`` of a target served by ``connector = "rest"``."""
        return self.product.options(self.url, SECRET)

    def stats(self) -> dict[str, Any]:
        register = self.register
        return {
            "product": self.product.name,
            "cases": register.cases,
            "duplicates": register.duplicates,
            "deliveries": len(register.attempts),
            "repeats": len(register.entries) - register.cases,
            "requests": self.requests,
            "lookups": self.lookups,
            "faults": self.faults.used,
        }

    def _answer(self, connection: Connection, request: Request) -> Awaitable[None] | None:
        path, product = request.path, self.product
        if path.startswith("/_"):
            self._control(connection, request)
            return None
        if request.method == "POST" and path == product.deliver:
            self.requests += 1
            return self._deliver(connection, request)
        if request.method == "GET" and product.find_prefix and path.startswith(product.find):
            return self._find(connection, request, unquote(path.removeprefix(product.find)))
        if request.method == "GET" and not product.find_prefix and path == product.find:
            return self._find(connection, request, parse_qs(request.query).get("delivery_id", [""])[0])
        if request.method == "GET" and path == product.health:
            if (fault := self.faults.next(On.CHECK)) is not None:
                return misbehave(self, connection, request, fault)
            if self._let_in(connection, request):
                connection.reply(200, b"{}")
            return None
        self._problem(connection, 404, "no such page")
        return None

    def _deliver(self, connection: Connection, request: Request) -> Awaitable[None] | None:
        delivery_id = request.headers.get("idempotency-key", "")
        self.register.attempt(delivery_id)
        fault = self.faults.next(On.DELIVER, leistung=request.headers.get("nahtlos-leistung", ""))
        if fault is not None:
            return misbehave(self, connection, request, fault, take=lambda: self._take(request))
        if not self._let_in(connection, request):
            return None
        if not delivery_id or not request.body:
            self._problem(connection, 400, "Idempotency-Key or document missing")
            return None
        try:
            entry = self._take(request)
        except ValueError as fault_in_body:
            self._problem(connection, 400, str(fault_in_body))
            return None
        if self.register.fsync:
            return self._acknowledge_synced(connection, entry)
        self._acknowledge(connection, entry)
        return None

    async def _acknowledge_synced(self, connection: Connection, entry: Entry) -> None:
        await self.register.synced()
        self._acknowledge(connection, entry)

    def _acknowledge(self, connection: Connection, entry: Entry) -> None:
        product = self.product
        status = 200 if entry.repeat else product.created
        connection.reply(status, product.taken(entry.case_number), media_type=product.media_type)

    def _take(self, request: Request) -> Entry:
        headers = request.headers
        document = request.body
        attachments: list[bytes] = []
        if headers.get("content-type", "").startswith("multipart/"):
            document, attachments = _parts(headers["content-type"], request.body)
        return self.register.take(
            headers.get("idempotency-key", ""),
            hashlib.sha256(document).hexdigest(),
            len(document),
            received_at=headers.get("nahtlos-received-at", ""),
            reference=headers.get("nahtlos-reference", ""),
            order=headers.get("nahtlos-order", ""),
            leistung=headers.get("nahtlos-leistung", ""),
            ars=headers.get("nahtlos-ars", ""),
            attachments=[hashlib.sha256(each).hexdigest() for each in attachments],
        )

    def _find(self, connection: Connection, request: Request, delivery_id: str) -> Awaitable[None] | None:
        self.lookups += 1
        if (fault := self.faults.next(On.FIND)) is not None:
            return misbehave(self, connection, request, fault)
        if not self._let_in(connection, request):
            return None
        number = self.register.number(delivery_id)
        if number is None and self.product.find_prefix:
            self._problem(connection, 404, "no such case")
        else:
            connection.reply(200, self.product.found(number), media_type=self.product.media_type)
        return None

    def _control(self, connection: Connection, request: Request) -> None:
        match request.method, request.path:
            case "GET", "/_cases":
                connection.reply(200, json.dumps([asdict(entry) for entry in self.register]).encode())
            case "GET", "/_stats":
                connection.reply(200, json.dumps(self.stats()).encode())
            case "GET", "/_faults":
                connection.reply(200, json.dumps(self.faults.rest()).encode())
            case "PUT", "/_faults":
                try:
                    self.faults.set(parse(request.body.decode()))
                except ValueError as fault:
                    self._problem(connection, 400, str(fault))
                    return
                connection.reply(200, json.dumps(self.faults.rest()).encode())
            case "DELETE", "/_faults":
                self.faults.set(())
                connection.reply(200, b"[]")
            case _:
                self._problem(connection, 404, "no such page")

    def _let_in(self, connection: Connection, request: Request) -> bool:
        if self._authorization is None or request.headers.get("authorization") == self._authorization:
            return True
        self.refused_log_ins += 1
        self._problem(connection, 401, "log in first")
        return False

    def _problem(self, connection: Connection, status: int, reason: str) -> None:
        connection.reply(status, self.product.problem(status, reason), media_type=self.product.problem_type)


def main(arguments: Sequence[str] | None = None) -> None:
    """``python -m connectors.simulator``: prints one JSON line with its URL when it listens, then runs until it is stopped."""
    parser = argparse.ArgumentParser(prog="connectors.simulator", description="A simulated case system.")
    parser.add_argument("kind", choices=["rest"])
    parser.add_argument("--product", choices=sorted(PRODUCTS), default="fallakte")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--data", type=Path, help="folder for cases.jsonl; without it, memory only")
    parser.add_argument("--faults", default="", help="for example 503x3,hang_after")
    parser.add_argument("--no-fsync", action="store_true", help="faster, for benchmarks")
    parser.add_argument("--not-idempotent", action="store_true", help="every document becomes a case, also a repeated one")
    given = parser.parse_args(arguments)
    try:
        simulator = Simulator(
            given.product,
            data=given.data,
            faults=[given.faults],
            idempotent=not given.not_idempotent,
            fsync=not given.no_fsync,
            host=given.host,
            port=given.port,
        )
    except ValueError as wrong:
        parser.error(f"--faults: {wrong}")
    try:
        run(simulator)
    except OSError as taken:
        parser.error(f"{given.host}:{given.port}: {os.strerror(taken.errno or 0)}")


def run(simulator: Simulator) -> None:
    """Until Ctrl-C; says where it listens first. Raises ``OSError`` when the port is taken."""
    with contextlib.suppress(KeyboardInterrupt):
        try:
            import uvloop
        except ImportError:
            asyncio.run(_serve(simulator))
        else:
            uvloop.run(_serve(simulator))


async def _serve(simulator: Simulator) -> None:
    async with simulator:
        sys.stdout.write(json.dumps({"url": simulator.url, "product": simulator.product.name}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _parts(content_type: str, body: bytes) -> tuple[bytes, list[bytes]]:
    """The message and the attachments of a multipart body. Raises ``ValueError`` if it is not one or has no end."""
    _, options = parse_options_header(content_type.encode())
    whole: list[bytearray] = []
    ended: list[bool] = []
    try:
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": lambda: whole.append(bytearray()),
                "on_part_data": lambda data, start, end: whole[-1].extend(data[start:end]),
                "on_end": lambda: ended.append(True),
            },
        )
        parser.write(body)
        parser.finalize()
    except (KeyError, ValueError):
        raise ValueError("multipart not readable") from None
    if not ended or not whole:
        raise ValueError("multipart without its end")
    return bytes(whole[0]), [bytes(part) for part in whole[1:]]


if __name__ == "__main__":
    main()
