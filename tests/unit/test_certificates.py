"""When certificates run out is known before they do."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.rest import RestOptions
from gateway.certificates import Certificates, Shown
from gateway.metrics import Metrics
from tests.unit.test_connector_tls import Paper, issue, server_side


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def days_left(certificates: Certificates) -> dict[tuple[Shown, str], int]:
    now = datetime.now(UTC).timestamp()
    return {(each.shown, each.target): round((each.at - now) / 86_400) for each in certificates.known()}


@asynccontextmanager
async def showing(paper: Paper, **rules: Any) -> AsyncIterator[str]:
    """A target's URL that shows this certificate and says no word."""

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b"", "something was sent"
        writer.close()

    server = await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=server_side(paper, **rules))
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_our_own_certificate_and_those_we_show_are_read_from_their_files(tmp_path: Path) -> None:
    own, client = issue(tmp_path, "own", days=40), issue(tmp_path, "client", days=7)
    options = RestOptions(url="https://127.0.0.1:1", client_certificate=str(client.certificate), client_key=str(client.key))
    certificates = Certificates(own=own.certificate, options={"register": options, "ordner": object()}, clock=Clock())
    assert days_left(certificates) == {(Shown.OWN, ""): 40, (Shown.CLIENT, "register"): 7}


def test_a_renewed_certificate_shows_at_once(tmp_path: Path) -> None:
    own = issue(tmp_path, "own", days=3)
    certificates = Certificates(own=own.certificate, options={}, clock=Clock())
    assert days_left(certificates) == {(Shown.OWN, ""): 3}
    issue(tmp_path, "own", days=90)
    os.utime(own.certificate, ns=(1, 1))
    assert days_left(certificates) == {(Shown.OWN, ""): 90}


def test_the_first_of_a_chain_to_run_out_counts(tmp_path: Path) -> None:
    leaf, issuer = issue(tmp_path, "leaf", days=90), issue(tmp_path, "issuer", days=5)
    leaf.certificate.write_bytes(leaf.certificate.read_bytes() + issuer.certificate.read_bytes())
    assert days_left(Certificates(own=leaf.certificate, options={}, clock=Clock())) == {(Shown.OWN, ""): 5}


def test_a_file_that_cannot_be_read_takes_no_other_figure_with_it(tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    client = issue(tmp_path, "client", days=7)
    options = RestOptions(url="https://127.0.0.1:1", client_certificate=str(client.certificate), client_key=str(client.key))
    certificates = Certificates(own=tmp_path / "broken.pem", options={"register": options}, clock=Clock())
    assert days_left(certificates) == {(Shown.CLIENT, "register"): 7}


async def test_what_a_target_shows_is_looked_at_even_when_nobody_should_trust_it(tmp_path: Path) -> None:
    expired = issue(tmp_path, "expired", days=-2)
    async with showing(expired) as url:
        certificates = Certificates(own=None, options={"register": RestOptions(url=url)}, clock=Clock())
        await certificates.look()
    assert days_left(certificates) == {(Shown.SERVER, "register"): -2}


async def test_a_target_that_is_away_keeps_what_was_seen_and_spoils_nothing(tmp_path: Path) -> None:
    async with showing(issue(tmp_path, "server", days=9)) as url:
        options = {"register": RestOptions(url=url), "away": RestOptions(url="https://127.0.0.1:1"),
                   "plain": RestOptions(url="http://127.0.0.1:1")}
        certificates = Certificates(own=None, options=options, clock=Clock())
        await certificates.look()
    await certificates.look()
    assert days_left(certificates) == {(Shown.SERVER, "register"): 9}


async def test_a_target_that_wants_to_know_us_gets_our_certificate(tmp_path: Path) -> None:
    server, ours = issue(tmp_path, "server", days=9), issue(tmp_path, "ours", days=7)
    async with showing(server, clients=ours, version=ssl.TLSVersion.TLSv1_2) as url:
        options = RestOptions(url=url, client_certificate=str(ours.certificate), client_key=str(ours.key))
        certificates = Certificates(own=None, options={"register": options}, clock=Clock())
        await certificates.look()
    assert days_left(certificates) == {(Shown.CLIENT, "register"): 7, (Shown.SERVER, "register"): 9}


async def test_the_scrape_names_them() -> None:
    metrics = Metrics(Clock())
    metrics.table("certificate_expiry_timestamp_seconds", "…", ("shown", "target"), lambda: [(("server", "register"), 12.0)])
    text = (await metrics.exposition()).decode()
    assert 'nahtlos_certificate_expiry_timestamp_seconds{shown="server",target="register"} 12.0' in text
