"""Hostile HTTP against the real server: framing, deadlines, floods, and an end that nobody can delay."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.security.served import Served, served

GOOD = (ROOT / "schemas/leistungen/hundesteuer/samples/minimal.xml").read_bytes()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all: whatever is done to it, it must survive. Deadlines are short, so that tests are."""
    settings = {"header_timeout": "1.5s", "body_idle_timeout": "1.5s", "body_min_rate": "4KiB"}
    with served(tmp_path_factory.mktemp("hostile"), **settings) as up:
        yield up


@pytest.fixture(autouse=True)
def survives(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "gateway" in request.fixturenames:
        up: Served = request.getfixturevalue("gateway")
        began = time.perf_counter()
        assert exchange(up, request_of(up, GOOD)).startswith(b"HTTP/1.1 202 ")
        assert time.perf_counter() - began < 5


def head_of(up: Served, *lines: str, path: str = "/v1/submissions", method: str = "POST") -> bytes:
    usual = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {up.key}", "Content-Type: application/xml"]
    return "\r\n".join([*usual, *lines, "", ""]).encode("latin-1")


def request_of(up: Served, body: bytes, *lines: str) -> bytes:
    return head_of(up, f"Content-Length: {len(body)}", *lines) + body


def exchange(up: Served, sent: bytes, *, within: float = 8, hang_up: bool = False) -> bytes:
    """Everything that comes back until the connection ends or a whole answer is there."""
    with socket.create_connection(("127.0.0.1", up.port), timeout=within) as connection:
        try:
            connection.sendall(sent)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        received = b""
        while not whole(received):
            try:
                piece = connection.recv(65536)
            except ConnectionResetError:
                break
            if not piece:
                break
            received += piece
        return received


def whole(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(separator) and length is not None and len(body) >= int(length[1])


def submissions(up: Served) -> int:
    """How many the gateway holds, by its own history."""
    answer = exchange(up, (
        f"GET /v1/submissions?since=0&limit=500 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {up.key}\r\n\r\n"
    ).encode())
    return len(json.loads(answer.partition(b"\r\n\r\n")[2])["submissions"])


REFUSED_BY_FRAMING = {
    "two lengths": ["Content-Length: 432", "Content-Length: 5"],
    "a list of lengths": ["Content-Length: 432, 5"],
    "a negative length": ["Content-Length: -1"],
    "a length with a sign": ["Content-Length: +5"],
    "length and chunks": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "hidden chunks": ["Transfer-Encoding: xchunked"],
    "a blank before the colon": ["Transfer-Encoding : chunked"],
    "a NUL in a header": ["X: a\0b"],
    "a header without a colon": ["nonsense"],
    "a header name with a blank": ["Content Length: 5"],
}


@pytest.mark.parametrize("lines", REFUSED_BY_FRAMING.values(), ids=REFUSED_BY_FRAMING.keys())
def test_a_message_whose_length_is_unclear_is_refused_with_what_hides_behind_it(gateway: Served, lines: list[str]) -> None:
    hidden = b"0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    said = exchange(gateway, head_of(gateway, *lines) + hidden)
    assert said.startswith(b"HTTP/1.1 400 "), said[:200]
    assert b"HTTP/1.1 200" not in said, "the hidden request was answered"
    assert b"application/problem+json" in said
    assert b"connection: close" in said


@pytest.mark.parametrize("size", [b"FFFFFFFFFFFFFFFFF", b"-5", b"zz", b"5;" + b"x" * 100_000])
def test_a_chunk_of_an_impossible_size_does_not_hang(gateway: Served, size: bytes) -> None:
    said = exchange(gateway, head_of(gateway, "Transfer-Encoding: chunked") + size + b"\r\nhello\r\n0\r\n\r\n")
    assert not said or said.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 ", b"HTTP/1.1 431 ")), said[:100]


def test_what_is_no_http_is_refused_in_our_words(gateway: Served) -> None:
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # somebody speaks TLS
    for rubbish in (hello, b"GET\r\n\r\n", b"\0" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        said = exchange(gateway, rubbish)
        assert said.startswith(b"HTTP/1.1 400 ") or not said
        assert b"Invalid HTTP request received" not in said


def test_a_body_that_ends_early_leaves_nothing(gateway: Served) -> None:
    before = submissions(gateway)
    assert exchange(gateway, head_of(gateway, f"Content-Length: {len(GOOD)}") + GOOD[:-5], hang_up=True) == b""
    assert submissions(gateway) == before


def test_a_head_without_an_end_is_cut_off(gateway: Served) -> None:
    endless = head_of(gateway)[:-2] + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(200))
    said = exchange(gateway, endless)
    assert said.startswith(b"HTTP/1.1 431 "), said[:100]
    assert b"urn:nahtlos:problem:headers-too-large" in said


def test_a_key_of_sixty_thousand_characters_is_refused(gateway: Served) -> None:
    said = exchange(gateway, request_of(gateway, GOOD, "Idempotency-Key: " + "k" * 60_000))
    assert said.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))


def test_trailers_decide_nothing_and_fill_nothing(gateway: Served) -> None:
    before = gateway.memory()["VmRSS"]
    trailers = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(20_000))
    body = b"%x\r\n%s\r\n0\r\n" % (len(GOOD), GOOD)
    exchange(gateway, head_of(gateway, "Transfer-Encoding: chunked") + body + trailers + b"\r\n")
    assert gateway.memory()["VmRSS"] - before < 64


def test_pipelined_requests_are_answered_in_their_order(gateway: Served) -> None:
    one, two = request_of(gateway, b"<a>"), b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=8) as connection:
        connection.sendall(one + two)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert re.findall(rb"HTTP/1\.1 (\d+)", received) == [b"400", b"200"]


def test_a_client_that_asks_first_is_told_before_it_sends(gateway: Served) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=8) as connection:
        connection.sendall(head_of(gateway, "Content-Length: 99999999", "Expect: 100-continue"))
        said = connection.recv(65536)
    assert said.startswith(b"HTTP/1.1 413 "), said[:100]


def test_the_sender_of_too_much_gets_to_read_why(gateway: Served) -> None:
    said = exchange(gateway, head_of(gateway, "Content-Length: 20000000") + b" " * 20_000_000)
    assert said.startswith(b"HTTP/1.1 413 "), said[:100]


def test_an_endless_body_is_cut_off(gateway: Served) -> None:
    before, sent = gateway.memory()["VmRSS"], 0
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=8) as connection:
        connection.sendall(head_of(gateway, "Transfer-Encoding: chunked"))
        began = time.monotonic()
        try:
            while time.monotonic() - began < 10:
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
        except OSError:
            pass
    assert time.monotonic() - began < 8
    assert gateway.memory()["VmRSS"] - before < 96


# --- those that take their time ----------------------------------------------------------------------------------------


async def closed_after(
    port: int, *, first: bytes, drip: bytes = b"", every: float = 0.2, longest: float = 8
) -> tuple[float, bytes]:
    """Seconds until the server ends the connection, and what it said."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:  # a stream would not read any more once it cannot write
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        began, said = loop.time(), b""
        await loop.sock_sendall(client, first)

        async def dripping() -> None:
            with suppress(OSError):
                while drip:
                    await asyncio.sleep(every)
                    await loop.sock_sendall(client, drip)

        task = asyncio.create_task(dripping())
        try:
            async with asyncio.timeout(longest):
                while heard := await loop.sock_recv(client, 65_536):
                    said += heard
        except ConnectionResetError:
            pass
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return loop.time() - began, said


async def test_silent_connections_are_closed_without_a_word(gateway: Served) -> None:
    results = await asyncio.gather(*(closed_after(gateway.port, first=b"") for _ in range(50)))
    assert all(seconds < 5 and said == b"" for seconds, said in results)


async def test_heads_that_crawl_are_closed(gateway: Served) -> None:
    begun = b"POST /v1/submissions HTTP/1.1\r\nHost: x\r\nX: "
    results = await asyncio.gather(*(closed_after(gateway.port, first=begun, drip=b"y") for _ in range(50)))
    assert all(seconds < 5 for seconds, _ in results)
    assert all(said.startswith(b"HTTP/1.1 408 ") for _, said in results)


async def test_blank_lines_instead_of_a_head_are_closed(gateway: Served) -> None:
    seconds, _ = await closed_after(gateway.port, first=b"\r\n", drip=b"\r\n")
    assert seconds < 5


async def test_bodies_that_stall_or_crawl_are_answered_and_closed(gateway: Served) -> None:
    begun = head_of(gateway, "Content-Length: 100000") + b"<a>"
    stalled = [closed_after(gateway.port, first=begun) for _ in range(25)]
    crawling = [closed_after(gateway.port, first=begun, drip=b"x", every=0.1) for _ in range(25)]
    results = await asyncio.gather(*stalled, *crawling)
    assert all(seconds < 7 for seconds, _ in results), max(seconds for seconds, _ in results)
    assert all(said.startswith(b"HTTP/1.1 408 ") for _, said in results)


async def test_a_kept_connection_may_rest_between_requests(gateway: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for _ in range(2):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b'"ok"}')).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(3)  # longer than a head may take
    writer.close()


# --- the end -------------------------------------------------------------------------------------------------------------


async def test_sigterm_ends_it_in_time_however_many_stall(tmp_path: Path) -> None:
    """Defaults: a stalled request may hold on for ten seconds, and the process must be gone by then."""
    with served(tmp_path) as up:
        stalled = [await asyncio.open_connection("127.0.0.1", up.port) for _ in range(5)]
        for _, writer in stalled:
            writer.write(head_of(up, "Content-Length: 1000") + b"<a>")
        watching = await asyncio.open_connection("127.0.0.1", up.port)
        watching[1].write(f"GET /v1/submissions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {up.key}\r\n\r\n".encode())
        await asyncio.sleep(0.5)
        began = time.monotonic()
        up.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(up.process.wait, 15) == 0
        assert time.monotonic() - began <= 10
        for _, writer in (*stalled, watching):
            writer.close()


async def test_a_request_that_is_being_worked_on_is_finished_before_the_end(tmp_path: Path) -> None:
    with served(tmp_path) as up:
        reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
        writer.write(head_of(up, f"Content-Length: {len(GOOD)}") + GOOD[:-50])
        await asyncio.sleep(0.3)
        up.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        writer.write(GOOD[-50:])
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert said.startswith(b"HTTP/1.1 202 "), said[:200]
        receipt = json.loads(said.partition(b"\r\n\r\n")[2])
        assert await asyncio.to_thread(up.process.wait, 15) == 0
    with served(tmp_path) as up:
        answer = exchange(up, (
            f"GET /v1/submissions/{receipt['id']} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {up.key}\r\n\r\n"
        ).encode())
        assert answer.startswith(b"HTTP/1.1 200 "), "what was acknowledged is there after the restart"
