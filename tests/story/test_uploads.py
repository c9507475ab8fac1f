"""What large and awkward uploads cost, and what they are told."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.story.conftest import House, house, sample

MIB = 1 << 20


async def test_chunked_uploads_together_take_no_more_memory_than_there_is(tmp_path: Path) -> None:
    """None of them says how long it will be; each may become larger than a message."""
    limits = {"max_body": 2 * MIB, "max_attachment": 8 * MIB, "max_request": 16 * MIB, "in_flight_bytes": 16 * MIB}
    async with house(tmp_path, **limits) as up:
        here, go = asyncio.Semaphore(0), asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="submission"\r\nContent-Type: application/xml\r\n\r\n'
            yield sample("minimal") + b"\r\n"
            for n in range(6):
                yield b'--x\r\nContent-Disposition: form-data; name="a%d"; filename="a%d.pdf"\r\n' % (n, n)
                yield b"Content-Type: application/pdf\r\n\r\n%PDF-" + bytes(MIB) + b"\r\n"
            here.release()
            await go.wait()
            yield b"--x--\r\n"

        async def posted(key: str) -> int:
            headers = {"content-type": "multipart/form-data; boundary=x", "idempotency-key": key}
            try:
                answer = await up.client("portal").post("/v1/submissions", content=body(), headers=headers)
            except httpx.TransportError:  # hung up on while it was sending
                return 503
            finally:
                here.release()
            return answer.status_code

        posts = [asyncio.create_task(posted(f"key-{n}")) for n in range(6)]
        for _ in posts:
            await asyncio.wait_for(here.acquire(), 20)
        await asyncio.sleep(0.5)
        go.set()
        said = await asyncio.gather(*posts)
        assert sorted(set(said)) == [202, 503]
        assert said.count(202) * 6 <= 16


async def test_a_length_beyond_every_limit_is_too_large_however_much_room_there_is(tmp_path: Path) -> None:
    async with house(tmp_path) as up:
        said = await asyncio.to_thread(_sent, up, "/v1/submissions", 600 * MIB, 0)
        assert said.startswith(b"HTTP/1.1 413")


async def test_a_large_body_for_a_misspelt_path_hears_that_it_is_misspelt(tmp_path: Path) -> None:
    async with house(tmp_path) as up:
        said = await asyncio.to_thread(_sent, up, "/v1/submission", 5 * MIB, 5 * MIB)
        assert said.startswith(b"HTTP/1.1 404")
        assert b"HTTP/1.1 431" not in said


def _sent(up: House, path: str, length: int, size: int) -> bytes:
    """The answer to a client that sends ``size`` bytes first and reads then, as most do."""
    parts = urlsplit(up.url)
    head = (f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {up.keys['portal']}\r\n"
            f"Content-Type: application/xml\r\nContent-Length: {length}\r\n\r\n")  # fmt: skip
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as peer:
        peer.sendall(head.encode())
        for _ in range(0, size, 65_536):
            peer.sendall(bytes(65_536))
            time.sleep(0.001)
        return peer.recv(65_536)
