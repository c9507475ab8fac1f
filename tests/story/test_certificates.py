"""The portal whose slot is only a URL and a keystore: it proves who it is by its client certificate, over our own TLS or
through a proxy that ends TLS and says so (RFC 9440)."""

from __future__ import annotations

import base64
import ipaddress
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.story.conftest import ARS, House, house, sample
from tests.story.test_api import XML, problem


class Pki:
    """A certificate authority and what it has issued: PEM files of key and certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Probe-CA")])
        self.root = folder / "ca.pem"
        self.root.write_bytes(self._issue("Probe-CA", self._key, ca=True).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, days: int = 2) -> tuple[Path, Path, bytes]:
        """Certificate file, key file and the certificate in DER."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(name, key, days=days)
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption(),
        ))
        files[1].chmod(0o600)
        return *files, certificate.public_bytes(serialization.Encoding.DER)

    def _issue(self, name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool = False, days: int = 2) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=3))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


SLOT = """
[portal.service-bw]
leistungen = ["hundesteuer"]
certificates = ["{fingerprint}"]
[[form]]
portal = "service-bw"
form_id = "08125000:Heilbronn_Hundesteuer_*"
leistung = "hundesteuer"
ars = "{ars}"
"""


def slot(der: bytes) -> str:
    return SLOT.format(fingerprint=sha256(der).hexdigest(), ars=ARS)


def client(up: House, pki: Pki, certificate: tuple[Path, Path] | None) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=str(pki.root))
    if certificate is not None:
        context.load_cert_chain(*certificate)
    made = httpx.AsyncClient(base_url=up.url, verify=context, trust_env=False, timeout=20)
    up.stack.push_async_callback(made.aclose)
    return made


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.fixture
async def secured(tmp_path: Path, pki: Pki) -> AsyncIterator[tuple[House, tuple[Path, Path]]]:
    server = pki.issue("server")
    *files, der = pki.issue("slot")
    tls = {"tls_cert": server[0], "tls_key": server[1], "tls_client_ca": pki.root}
    async with house(tmp_path, more=slot(der), **tls) as up:
        yield up, (files[0], files[1])


async def test_a_url_and_a_keystore_are_enough(secured: tuple[House, tuple[Path, Path]], pki: Pki) -> None:
    up, keystore = secured
    slot_client = client(up, pki, keystore)
    answer = await slot_client.post("/v1/submissions", content=sample("form-minimal"), headers={"content-type": "text/xml"})
    assert answer.status_code == 202, answer.text
    status = await slot_client.get(answer.headers["location"])
    assert status.status_code == 200
    dossier = await up.gateway.journal.dossier(answer.json()["id"])
    assert dossier is not None
    assert (dossier.submission.portal, dossier.submission.leistung) == ("service-bw", "hundesteuer")
    again = await slot_client.post("/v1/submissions", content=sample("form-minimal"), headers={"content-type": "text/xml"})
    assert again.json() == answer.json(), "no header can be set there, and still there is one case"


async def test_without_a_bound_certificate_nobody_comes_in(secured: tuple[House, tuple[Path, Path]], pki: Pki) -> None:
    up, _ = secured
    bare = await client(up, pki, None).post("/v1/submissions", content=sample("form-minimal"), headers=XML)
    assert problem(bare, 401, "not-authenticated")["code"] == "key-missing"
    stranger = pki.issue("fremd")
    other = await client(up, pki, stranger[:2]).post("/v1/submissions", content=sample("form-minimal"), headers=XML)
    assert problem(other, 401, "not-authenticated")["code"] == "certificate-unknown"


async def test_a_certificate_of_another_authority_does_not_even_connect(
    secured: tuple[House, tuple[Path, Path]], pki: Pki, tmp_path: Path
) -> None:
    up, _ = secured
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(httpx.TransportError):
        await client(up, pki, Pki(elsewhere).issue("slot")[:2]).get("/livez")


async def test_a_key_still_works_where_no_certificate_is_shown(secured: tuple[House, tuple[Path, Path]], pki: Pki) -> None:
    up, _ = secured
    by_key = client(up, pki, None)
    by_key.headers["authorization"] = f"Bearer {up.keys['portal']}"
    assert (await by_key.post("/v1/submissions", content=sample("minimal"), headers=XML)).status_code == 202


async def test_old_protocols_are_refused(secured: tuple[House, tuple[Path, Path]], pki: Pki) -> None:
    up, _ = secured
    context = ssl.create_default_context(cafile=str(pki.root))
    context.set_ciphers("AES256-SHA256:@SECLEVEL=0")  # no forward secrecy
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    old = httpx.AsyncClient(base_url=up.url, verify=context, trust_env=False)
    with pytest.raises(httpx.ConnectError):
        await old.get("/livez")
    await old.aclose()


# --- behind a proxy -------------------------------------------------------------------------------------------------------


def shown(der: bytes) -> str:
    return f":{base64.b64encode(der).decode()}:"


async def test_a_trusted_proxy_may_say_which_certificate_was_shown(tmp_path: Path, pki: Pki) -> None:
    der = pki.issue("slot")[2]
    async with house(tmp_path, more=slot(der), trusted_proxies=("127.0.0.0/8",)) as up:
        proxy = up.client(None)
        answer = await proxy.post("/v1/submissions", content=sample("form-minimal"), headers=XML | {"client-cert": shown(der)})
        assert answer.status_code == 202, answer.text
        for header, code in ((shown(b"x"), "certificate-malformed"), ("quatsch", "certificate-malformed")):
            refused = await proxy.post("/v1/submissions", content=sample("form-minimal"), headers=XML | {"client-cert": header})
            assert problem(refused, 401, "not-authenticated")["code"] == code
        twice = await proxy.post(
            "/v1/submissions", content=sample("form-minimal"), headers=[*XML.items(), *[("client-cert", shown(der))] * 2],
        )
        problem(twice, 400, "bad-request")
        expired = pki.issue("alt", days=-1)[2]
        late = await proxy.post("/v1/submissions", content=sample("form-minimal"), headers=XML | {"client-cert": shown(expired)})
        problem(late, 401, "not-authenticated")


async def test_anybody_else_who_says_so_is_not_believed(tmp_path: Path, pki: Pki) -> None:
    der = pki.issue("slot")[2]
    for trusted in ((), ("10.0.0.0/8",)):
        async with house(tmp_path, more=slot(der), trusted_proxies=trusted) as up:
            answer = await up.client(None).post(
                "/v1/submissions", content=sample("form-minimal"), headers=XML | {"client-cert": shown(der)},
            )
            assert problem(answer, 401, "not-authenticated")["code"] == "key-missing"
