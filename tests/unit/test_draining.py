"""The end of the server: whoever was let in is served."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.server import Deadlines, Server, Tls
from tests.unit.test_connector_tls import issue

ASK = b"GET / HTTP/1.1\r\nHost: probe\r\n\r\n"


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.set()
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self) -> None:
        self._writer.write(ASK)
        await self._writer.drain()

    async def answer(self) -> bytes:
        """Head and body; empty when the connection ended without one."""
        async with asyncio.timeout(20):
            try:
                return await self._reader.readuntil(b"\r\n\r\n") + await self._reader.readexactly(2)
            except (asyncio.IncompleteReadError, ConnectionError):
                return b""

    async def leave(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@pytest.fixture
async def app() -> Slow:
    return Slow()


@pytest.fixture
async def server(app: Slow) -> AsyncIterator[Server]:
    made = Server(app, lambda status: ([], b""), deadlines=Deadlines(linger=20.0))
    yield made
    await made.stop(0)


@pytest.fixture
async def port(server: Server) -> int:
    return await server.listen("127.0.0.1", 0)


@pytest.fixture
async def client(server: Server, port: int) -> AsyncIterator[Client]:
    """Connected, and the server knows it."""
    made = Client(*await asyncio.open_connection("127.0.0.1", port))
    async with asyncio.timeout(20):
        while not server.connections():
            await asyncio.sleep(0.01)
    yield made
    await made.leave()


async def stopping(server: Server, port: int) -> asyncio.Task[None]:
    """Its end has begun: nobody new gets in."""
    end = asyncio.create_task(server.stop(20))
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return end
            writer.close()
            await asyncio.sleep(0.01)


async def test_a_client_that_was_let_in_but_has_not_spoken_yet_is_still_served(
    server: Server, app: Slow, port: int, client: Client,
) -> None:
    app.may_answer.set()

    end = await stopping(server, port)
    await client.ask()

    said = await client.answer()
    assert said.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in said
    await end


async def test_a_kept_connection_gets_one_more_answer_and_hears_that_it_is_the_last(
    server: Server, app: Slow, port: int, client: Client,
) -> None:
    app.may_answer.set()
    await client.ask()
    first = await client.answer()

    end = await stopping(server, port)
    await client.ask()

    assert b"connection: close" not in first
    assert b"connection: close" in await client.answer()
    await end
    assert await client.answer() == b""


async def test_a_running_request_is_finished(server: Server, app: Slow, port: int, client: Client) -> None:
    await client.ask()
    await app.asked.wait()

    end = await stopping(server, port)
    assert not end.done()
    app.may_answer.set()

    assert b"connection: close" in await client.answer()
    await end


async def test_what_never_ends_is_cut_off_when_the_grace_is_over(server: Server, app: Slow, client: Client) -> None:
    await client.ask()
    await app.asked.wait()

    await server.stop(0.1)

    assert await client.answer() == b""


async def test_who_is_let_in_at_that_very_moment_is_served(server: Server, app: Slow, port: int) -> None:
    app.may_answer.set()
    raw = socket.create_connection(("127.0.0.1", port))  # blocks the loop: it learns of it in its next turn
    await asyncio.sleep(0)  # and accepts it in the same turn in which the end begins

    end = asyncio.create_task(server.stop(20))
    raw.setblocking(False)
    client = Client(*await asyncio.open_connection(sock=raw))
    await client.ask()

    assert (await client.answer()).startswith(b"HTTP/1.1 200")
    await client.leave()
    await end


async def test_a_client_in_the_middle_of_its_handshake_is_still_served(server: Server, app: Slow, tmp_path: Path) -> None:
    """On a socket that somebody else holds as well: what comes after the end waits there and is not refused."""
    app.may_answer.set()
    paper = issue(tmp_path, "server")
    held = socket.create_server(("127.0.0.1", 0))
    with held.dup() as outlives:
        port = await server.take_over(held, tls=Tls(paper.certificate, paper.key))
        raw = socket.create_connection(("127.0.0.1", port))
        async with asyncio.timeout(20):
            while not server.handshakes():
                await asyncio.sleep(0.01)

        end = asyncio.create_task(server.stop(20))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not end.done()
        late = socket.create_connection(("127.0.0.1", port))
        trust = ssl.create_default_context(cafile=str(paper.certificate))
        client = Client(*await asyncio.open_connection(sock=raw, ssl=trust, server_hostname="127.0.0.1"))
        await client.ask()

        assert (await client.answer()).startswith(b"HTTP/1.1 200")
        await client.leave()
        await end
        outlives.accept()[0].close()
        late.close()


async def test_without_clients_the_end_is_at_once(server: Server, port: int) -> None:
    async with asyncio.timeout(10):
        await server.stop(20)
