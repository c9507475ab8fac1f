"""Certificates: what does not fit is a matter for a person, and nothing was sent."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.contract import sample_envelope
from connectors.rest import RestConnector, RestOptions
from connectors.sdk import Acknowledgement, Blocked, InDoubt, Target, Unavailable
from connectors.simulator import Simulator


@dataclass(frozen=True)
class Paper:
    """A certificate with its key, as PEM files."""

    certificate: Path
    key: Path


def issue(folder: Path, name: str, *, days: int = 1, address: str = "127.0.0.1") -> Paper:
    """Signed by itself, so that it is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paper = Paper(folder / f"{name}.pem", folder / f"{name}.key")
    paper.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paper.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paper


def server_side(paper: Paper, *, clients: Paper | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paper.certificate, paper.key)
    if clients is not None:
        context.load_verify_locations(clients.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    if version is not None:
        context.maximum_version = version
    return context


async def delivered(system: Simulator, **options: Any) -> object:
    connector = RestConnector()
    target = Target("system", "lk-heilbronn", RestOptions(**{**system.options, **options}), timeout=5)
    try:
        return await connector.deliver(sample_envelope(), target)
    except (Unavailable, Blocked) as outcome:
        return outcome
    finally:
        await connector.aclose()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_opens_the_door(tmp_path: Path, version: ssl.TLSVersion) -> None:
    server, ours = issue(tmp_path, "server"), issue(tmp_path, "ours")
    async with Simulator(tls=server_side(server, clients=ours, version=version)) as system:
        said = await delivered(
            system, ca_file=str(server.certificate), client_certificate=str(ours.certificate), client_key=str(ours.key)
        )
        assert isinstance(said, Acknowledgement)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("with_a_wrong_one", [False, True])
async def test_a_missing_or_wrong_client_certificate_sends_nothing_and_leaves_no_doubt(
    tmp_path: Path, version: ssl.TLSVersion, with_a_wrong_one: bool
) -> None:
    """This server hangs up without a word, so that nothing is known but that nothing was taken."""
    server, expected, wrong = issue(tmp_path, "server"), issue(tmp_path, "expected"), issue(tmp_path, "wrong")
    ours = {"client_certificate": str(wrong.certificate), "client_key": str(wrong.key)} if with_a_wrong_one else {}
    async with Simulator(tls=server_side(server, clients=expected, version=version)) as system:
        said = await delivered(system, ca_file=str(server.certificate), **ours)
        assert isinstance(said, Unavailable | Blocked), said
        assert system.requests == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_says_what_is_wrong_with_our_certificate_blocks(tmp_path: Path, version: ssl.TLSVersion) -> None:
    server, expected, wrong = issue(tmp_path, "server"), issue(tmp_path, "expected"), issue(tmp_path, "wrong")
    context = server_side(server, clients=expected, version=version)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def polite() -> None:
            """Sends its alert and reads on, so that the alert is not lost in a reset."""
            for _ in range(3):
                try:
                    peer, _ = listening.accept()
                except OSError:
                    return
                peer.settimeout(2)
                with peer:
                    with contextlib.suppress(OSError):
                        context.wrap_socket(peer.dup(), server_side=True).close()
                    with contextlib.suppress(OSError):
                        while peer.recv(65536):
                            pass

        thread = threading.Thread(target=polite)
        thread.start()
        try:
            async with Simulator() as system:
                said = await delivered(
                    system,
                    url=f"https://127.0.0.1:{listening.getsockname()[1]}",
                    ca_file=str(server.certificate),
                    client_certificate=str(wrong.certificate),
                    client_key=str(wrong.key),
                )
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            await asyncio.to_thread(thread.join)
    assert isinstance(said, Blocked), said
    assert "ALERT" in said.reason


async def test_the_harmless_question_is_asked_once_and_again_after_doubt(tmp_path: Path) -> None:
    server = issue(tmp_path, "server")
    methods: list[str] = []
    async with Simulator(tls=server_side(server), faults=[]) as system:
        genuine = system._listener.answer

        def look(connection: Any, request: Any) -> Any:
            methods.append(request.method)
            return genuine(connection, request)

        system._listener.answer = look
        connector = RestConnector()
        target = Target("system", "lk", RestOptions(**system.options, ca_file=str(server.certificate)), timeout=5)
        try:
            await connector.deliver(sample_envelope(), target)
            await connector.deliver(sample_envelope(), target)
            system.faults.set(["close_after"])
            with pytest.raises(InDoubt):
                await connector.deliver(sample_envelope(), target)
            await connector.deliver(sample_envelope(), target)
        finally:
            await connector.aclose()
    assert methods == ["HEAD", "POST", "POST", "POST", "HEAD", "POST"]


async def test_an_unknown_authority_is_blocked_and_says_why(tmp_path: Path) -> None:
    async with Simulator(tls=server_side(issue(tmp_path, "server"))) as system:
        said = await delivered(system)
        assert isinstance(said, Blocked)
        assert "self-signed certificate" in said.reason
        assert system.requests == 0


@pytest.mark.parametrize(("fault", "words"), [({"days": -1}, "expired"), ({"address": "10.1.2.3"}, "mismatch")])
async def test_an_expired_or_foreign_certificate_is_blocked(tmp_path: Path, fault: dict[str, Any], words: str) -> None:
    server = issue(tmp_path, "server", **fault)
    async with Simulator(tls=server_side(server)) as system:
        said = await delivered(system, ca_file=str(server.certificate))
        assert isinstance(said, Blocked)
        assert words in said.reason


async def test_plain_http_where_tls_is_expected_is_blocked(tmp_path: Path) -> None:
    async with Simulator() as system:
        said = await delivered(system, url=system.url.replace("http:", "https:"))
        assert isinstance(said, Blocked | Unavailable)
        assert system.requests == 0


async def test_a_server_that_hangs_up_during_the_handshake_is_unavailable() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with Simulator() as system:
        said = await delivered(system, url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()
    assert isinstance(said, Unavailable), said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file: no such file"),
        ({"client_certificate": "/nowhere/c.pem"}, "client_certificate: no such file"),
        ({"ca_file": __file__}, "ca_file: not readable"),
        ({"client_certificate": __file__}, "client_certificate, client_key"),
    ],
)
async def test_a_file_that_cannot_be_used_is_named(options: dict[str, str], words: str) -> None:
    async with Simulator() as system:
        said = await delivered(system, url="https://127.0.0.1:1", **options)
    assert isinstance(said, Blocked)
    assert said.reason.startswith(words)
