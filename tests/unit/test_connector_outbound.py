"""A URL that somebody else wrote leads to the public internet or nowhere."""

from __future__ import annotations

import json
import socket

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from connectors.outbound import PublicOnly, is_public, objection
from connectors.sdk import Unavailable
from connectors.wire import Wire
from tests.conftest import corpus

REFUSED = [
    "http://portal.example.org/", "https://127.0.0.1/", "https://localhost/", "https://a.localhost/", "https://[::1]/",
    "https://0.0.0.0/", "https://169.254.169.254/", "https://10.0.0.5/", "https://100.64.1.1/", "https://2130706433/",
    "https://0x7f000001/", "https://127.1/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/",
    "https://[fe80::1%25eth0]/", "file:///etc/passwd", "gopher://127.0.0.1:5672/_x", "https://u:p@portal.example.org/",
    "https://portal.example.org@127.0.0.1/", "https://portal.example.org:22/", "https://portal.example.org:99999/",
    "https://metadata.google.internal/", "https://rathaus/", "https://x.invalid/", "https:///x", "", "https://portal.example.org\\@x/",
    "https://portal.example.org/a b", "https://224.0.0.1/", "https://[ff02::1]/",
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_into_our_own_network_is_refused(url: str) -> None:
    assert objection(url)


@pytest.mark.parametrize("url", ["https://portal.example.org/x", "https://portal.example.org:8443/x?y=1", "https://9.9.9.9/",
                                 "https://[2620:fe::9]/", "https://bürger.example.org./"])  # fmt: skip
def test_a_public_one_is_not(url: str) -> None:
    assert objection(url) is None


@pytest.mark.corpus
def test_the_hostile_list_is_refused_and_the_legal_one_is_not() -> None:
    urls = json.loads((corpus("hostile") / "ssrf-urls.json").read_text())
    assert [url for url in urls["must_refuse"] if objection(url) is None] == []
    assert [url for url in urls["allow_when_host_is_registered"] if objection(url) is not None] == []


def test_no_address_is_not_public() -> None:
    assert not is_public("portal")


class Told(AbstractResolver):
    """A name server that says what it is told."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each, port=port, family=socket.AF_INET, proto=0, flags=0) for each in self.addresses
        ]

    async def close(self) -> None:
        return


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("9.9.9.9", "10.0.0.1")])
async def test_a_public_name_with_a_private_address_is_never_connected_to(addresses: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        line = Wire(limit=2, resolver=PublicOnly(Told(*addresses)))
        try:
            with pytest.raises(Unavailable):
                await line.send("POST", f"http://portal.example.org:{listening.getsockname()[1]}/", headers={}, body=b"x")
        finally:
            await line.aclose()
        with pytest.raises(TimeoutError):
            listening.accept()


async def test_a_resolver_is_asked_for_what_it_may_say() -> None:
    found = await PublicOnly(Told("9.9.9.9")).resolve("portal.example.org", 443)
    assert [each["host"] for each in found] == ["9.9.9.9"]
    assert issubclass(PublicOnly, aiohttp.abc.AbstractResolver)
