"""Answers in the standard's own words: acknowledgement and rejection, valid in their own schema, and never to an answer."""

from __future__ import annotations

import asyncio
import base64
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lxml import etree

from tests.conftest import ROOT, corpus
from tests.story.conftest import House, house, sample
from tests.unit.minirelease import Shelf

XML = {"content-type": "application/xml"}
B = "{urn:nahtlos:basis:1}"
XBAUK = "http://www.xleitstelle.de/xbau/kernmodul/1/3/0"


async def submitted(gateway: House, body: bytes, *, portal: str = "portal", query: str = "") -> str:
    answer = await gateway.client(portal).post(f"/v1/submissions{query}", content=body, headers=XML)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def schema_of_ours() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(ROOT / "schemas" / "basis" / "eingangsbestaetigung.xsd"))


async def test_our_own_messages_are_acknowledged_in_our_own_words(gateway: House) -> None:
    body = sample("minimal")
    submission = await submitted(gateway, body)
    api = gateway.client("portal")
    answer = await api.get(f"/v1/submissions/{submission}/receipt?format=xoev")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/xml"
    root = etree.fromstring(answer.content)
    schema_of_ours().assertValid(root)
    said = {child.tag.removeprefix(B): (child.text or "").strip() for child in root}
    plain = (await api.get(f"/v1/submissions/{submission}")).json()
    assert said["eingangsnummer"] == plain["reference"]
    assert said["eingegangen"][:23] == plain["received_at"][:23]
    assert (said["leistung"], said["ars"], said["stelle"]) == ("hundesteuer", "081210000000", "Stadt Probe")
    assert plain["digest"] == f"sha-256:{said['sha256']}"
    sent = etree.fromstring(body).findtext(f"*/{B}nachrichtId")
    assert root.findtext(f"{B}bezug/{B}nachrichtId") == sent
    assert (await api.get(f"/v1/submissions/{submission}/receipt?format=xoev")).content == answer.content, "the same each time"
    assert "Baumann" not in answer.text


async def test_our_own_receipt_is_no_application(gateway: House) -> None:
    api = gateway.client("portal")
    submission = await submitted(gateway, sample("minimal"))
    receipt = (await api.get(f"/v1/submissions/{submission}/receipt?format=xoev")).content
    while not (await api.get("/v1/submissions?since=0")).json()["submissions"]:  # once its history is sealed
        await asyncio.sleep(0.05)

    for query in ("", "?leistung=hundesteuer", "?leistung=hundesteuer&ars=081210000000"):
        refused = await api.post(f"/v1/submissions{query}", content=receipt, headers=XML)
        assert (refused.status_code, refused.json()["findings"][0]["rule"]) == (422, "answer-not-taken")
        assert "Antwort" in refused.json()["findings"][0]["de"]
    validated = (await api.post("/v1/validations", content=receipt, headers=XML)).json()
    assert (validated["valid"], validated["status"]) == (False, 422)
    assert [each["id"] for each in (await api.get("/v1/submissions?since=0")).json()["submissions"]] == [submission]

    unknown = await api.post("/v1/submissions", content=b'<fremd xmlns="urn:fremd"/>', headers=XML)
    assert not [name for name in unknown.json()["findings"][0]["expected"] if name.startswith("eingangsbestaetigung")]


async def test_the_receipt_can_be_fetched_again_as_it_was_given(gateway: House) -> None:
    api = gateway.client("portal")
    first = (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    again = await api.get(f"/v1/submissions/{first['id']}/receipt")
    assert again.json() == first
    assert (await api.get(f"/v1/submissions/{first['id']}/receipt?format=pdf")).status_code == 400


async def test_a_form_is_acknowledged_by_the_message_that_was_made_of_it(gateway: House) -> None:
    form = sample("form-service-bw-vollstaendig", fresh=False) if _has("form-service-bw-vollstaendig") else _any_form()
    submission = await submitted(gateway, form, portal="formulare", query="?leistung=hundesteuer&ars=081210000000")
    answer = await gateway.client("formulare").get(f"/v1/submissions/{submission}/receipt?format=xoev")
    assert answer.status_code == 200, answer.text
    root = etree.fromstring(answer.content)
    schema_of_ours().assertValid(root)
    assert root.findtext(f"{B}bezug/{B}nachrichtId")


def _has(name: str) -> bool:
    return (ROOT / "schemas" / "leistungen" / "hundesteuer" / "samples" / f"{name}.xml").is_file()


def _any_form() -> bytes:
    samples = ROOT / "schemas" / "leistungen" / "hundesteuer" / "samples"
    return next(path for path in sorted(samples.glob("form-*.xml")) if "broken" not in path.name).read_bytes()


async def test_another_portals_receipt_does_not_exist(gateway: House) -> None:
    submission = await submitted(gateway, sample("minimal"))
    for path in ("receipt", "receipt?format=xoev", "rejection"):
        assert (await gateway.client("nachbar").get(f"/v1/submissions/{submission}/{path}")).status_code == 404


# --- a standard of its own -----------------------------------------------------------------------------------------------

SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:probe:frage" xmlns="urn:probe:frage"
 elementFormDefault="qualified"><xs:element name="frage"><xs:complexType><xs:sequence><xs:element name="id" type="xs:token"/>
</xs:sequence></xs:complexType></xs:element>
<xs:element name="antwort" type="Antwort"/><xs:element name="zurueckweisung" type="Antwort"/>
<xs:complexType name="Antwort"><xs:sequence><xs:element name="id" type="xs:token"/><xs:element name="grund" type="xs:string"/>
<xs:element name="original" type="xs:base64Binary"/></xs:sequence></xs:complexType></xs:schema>"""
SHEET = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:f="urn:probe:frage"
 xmlns="urn:probe:frage" exclude-result-prefixes="f"><xsl:param name="reason"/><xsl:param name="original"/>
<xsl:template match="/*"><{root}><id><xsl:value-of select="f:id"/></id><grund><xsl:value-of select="$reason"/></grund>
<original><xsl:value-of select="$original"/></original></{root}></xsl:template></xsl:stylesheet>"""
ROUTE = '[[route]]\nleistung = "kleiner-waffenschein"\nars = "08121"\nto = [ { target = "stadt-fach" } ]\n'
ANSWERS = 'acknowledgement = "ja.xslt"\nrejection = "nein.xslt"\nroots = ["antwort", "zurueckweisung"]'


def write_package(state: Path, *, answers: str = ANSWERS) -> None:
    package = state / "schemas" / "packages" / "frage"
    package.mkdir(parents=True)
    (package / "frage.xsd").write_text(SCHEMA)
    (package / "ja.xslt").write_text(SHEET.replace("{root}", "antwort"))
    (package / "nein.xslt").write_text(SHEET.replace("{root}", "zurueckweisung"))
    (package / "manifest.toml").write_text(
        'name = "frage"\nversion = "1"\nnamespace = "urn:probe:frage"\nentry = ["frage.xsd"]\nleistung = "kleiner-waffenschein"\n'
        f"[answers]\n{answers}\n")


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[House]:
    write_package(tmp_path / "state")
    async with house(tmp_path, more=ROUTE) as up:
        yield up


def question(root: str = "frage") -> bytes:
    more = "" if root == "frage" else "<grund>x</grund><original/>"
    return f'<{root} xmlns="urn:probe:frage"><id>{uuid.uuid4()}</id>{more}</{root}>'.encode()


async def returned(gateway: House, body: bytes) -> str:
    """Held, because the place is nobody's, then given back to the portal by an operator."""
    submission = await submitted(gateway, body, portal="sammler", query="?ars=091620000000")
    dossier = await gateway.gateway.journal.dossier(submission)
    assert dossier is not None
    answer = await gateway.client("betrieb").post(
        f"/v1/dead-letters/{dossier.deliveries[0].id}/return", json={"reason": "Für diesen Ort sind wir nicht zuständig."})
    assert answer.status_code == 200, answer.text
    return submission


async def test_what_was_returned_is_rejected_in_the_words_of_the_standard_with_reason_and_original(asked: House) -> None:
    body = question()
    submission = await returned(asked, body)
    answer = await asked.client("sammler").get(f"/v1/submissions/{submission}/rejection")
    assert answer.status_code == 200, answer.text
    root = etree.fromstring(answer.content)
    assert root.tag == "{urn:probe:frage}zurueckweisung"
    assert root.findtext("{*}grund") == "Für diesen Ort sind wir nicht zuständig."
    assert base64.b64decode(root.findtext("{*}original") or "") == body
    receipt = await asked.client("sammler").get(f"/v1/submissions/{submission}/receipt?format=xoev")
    assert receipt.status_code == 200, "it was received all the same"
    viewer = await asked.client("leser").get(f"/v1/submissions/{submission}/rejection")
    assert viewer.status_code == 403, "it holds the document"


async def test_what_was_not_returned_is_not_rejected(asked: House) -> None:
    submission = await submitted(asked, question(), query="?ars=081210000000")
    answer = await asked.client("portal").get(f"/v1/submissions/{submission}/rejection")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-returned")


@pytest.mark.parametrize("root", ["antwort", "zurueckweisung"])
async def test_an_answer_of_any_standard_is_no_application(asked: House, root: str) -> None:
    refused = await asked.client("portal").post("/v1/submissions?ars=081210000000", content=question(root), headers=XML)
    assert (refused.status_code, refused.json()["findings"][0]["rule"]) == (422, "answer-not-taken")


@pytest.mark.parametrize("root", ["antwort", "zurueckweisung"])
async def test_an_answer_is_never_answered(asked: House, root: str) -> None:
    submission = await returned(asked, question(root))
    for path in ("rejection", "receipt?format=xoev"):
        answer = await asked.client("sammler").get(f"/v1/submissions/{submission}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (406, "answer-to-an-answer")
    assert (await asked.client("sammler").get(f"/v1/submissions/{submission}/receipt")).status_code == 200


async def test_a_standard_without_templates_has_only_the_plain_receipt(tmp_path: Path) -> None:
    write_package(tmp_path / "state", answers="")
    async with house(tmp_path, more=ROUTE) as up:
        submission = await submitted(up, question(), query="?ars=081210000000")
        answer = await up.client("portal").get(f"/v1/submissions/{submission}/receipt?format=xoev")
        assert (answer.status_code, answer.json()["code"]) == (406, "no-template")
        assert answer.json()["type"] == "urn:nahtlos:problem:not-acceptable"
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_template_that_makes_nothing_valid_gives_nothing_out(tmp_path: Path) -> None:
    write_package(tmp_path / "state")
    (tmp_path / "state" / "schemas" / "packages" / "frage" / "ja.xslt").write_text(SHEET.replace("{root}", "frage"))
    async with house(tmp_path, more=ROUTE) as up:
        submission = await submitted(up, question(), query="?ars=081210000000")
        answer = await up.client("portal").get(f"/v1/submissions/{submission}/receipt?format=xoev")
        assert (answer.status_code, answer.json()["code"]) == (500, "answer-invalid")


# --- XBau-Kernmodul ------------------------------------------------------------------------------------------------------

PARTY = ('<verzeichnisdienst listURI="urn:xoev-de:kosit:codeliste:verzeichnisdienst" listVersionID="3"><code>DVDV</code>'
         "</verzeichnisdienst><kennung>{}</kennung><name>{}</name>")


def xbau(root: str = "prozessnachrichten.ruecknahme.1130", inside: str = "<bezug/>") -> bytes:
    code = root.rpartition(".")[2]
    return f"""<x:{root} xmlns:x="{XBAUK}" standard="XBau-Kernmodul" version="1.3.0" produkt="Probe" produkthersteller="Probe">
<nachrichtenkopf.g2g><identifikation.nachricht><nachrichtenUUID>{uuid.uuid4()}</nachrichtenUUID>
<nachrichtentyp listURI="urn:xoev-de:xbau-kernmodul:codeliste:xbau-kernmodul-nachrichten" listVersionID="3.0"><code>{code}</code>
</nachrichtentyp><erstellungszeitpunkt>2026-11-02T09:00:00.000+01:00</erstellungszeitpunkt></identifikation.nachricht>
<leser>{PARTY.format("psw:01003110", "Bauaufsicht Probe")}</leser><autor>{PARTY.format("bap:09000009", "Bauportal Probe")}</autor>
</nachrichtenkopf.g2g>{inside}</x:{root}>""".encode()


@pytest.fixture(scope="module")
def kernmodul(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official release, added as it is; the two lines that name the shipped templates are all that a person writes."""
    shelf = Shelf(tmp_path_factory.mktemp("xbau"))
    shelf.add_path(corpus("xoev") / "_library")
    (added,) = shelf.add_path(corpus("xoev") / "xbau-kernmodul-1.3.0")
    manifest = added.folder / "manifest.toml"
    manifest.write_text(
        'leistung = "kleiner-waffenschein"\n' + manifest.read_text() +
        '\n[answers]\nacknowledgement = "xbau-kernmodul-1120.xslt"\nrejection = "xbau-kernmodul-1100.xslt"\n'
        'roots = ["prozessnachrichten.rueckweisung.G2G.1100", "prozessnachrichten.eingangsbestaetigung.1120"]\n')
    return shelf.root


@pytest.mark.corpus
async def test_xbau_is_acknowledged_and_rejected_with_its_own_messages(tmp_path: Path, kernmodul: Path) -> None:
    shutil.copytree(kernmodul, tmp_path / "state" / "schemas")
    async with house(tmp_path, more=ROUTE) as up:
        body = xbau()
        submission = await returned(up, body)
        api = up.client("sammler")
        receipt = await api.get(f"/v1/submissions/{submission}/receipt?format=xoev")
        rejection = await api.get(f"/v1/submissions/{submission}/rejection")
        assert (receipt.status_code, rejection.status_code) == (200, 200), receipt.text + rejection.text
        sent, answered = etree.fromstring(body), etree.fromstring(receipt.content)
        assert answered.tag == f"{{{XBAUK}}}prozessnachrichten.eingangsbestaetigung.1120"
        assert answered.findtext("nachrichtenkopf.g2g/leser/kennung") == "bap:09000009"
        assert answered.findtext("nachrichtenkopf.g2g/autor/kennung") == "psw:01003110"
        assert answered.findtext("bezug/referenz") == sent.findtext(".//nachrichtenUUID")
        refused = etree.fromstring(rejection.content)
        assert refused.findtext("rueckweisungDaten/rueckweisungsgrund/grund/code") == "S999"
        assert refused.findtext("rueckweisungDaten/rueckweisungsgrund/fehlertext") == "Für diesen Ort sind wir nicht zuständig."
        assert base64.b64decode(refused.findtext("rueckweisungDaten/nachricht") or "") == body
        for answer in (receipt, rejection):
            checked = await up.gateway.inspector.inspect(answer.content)
            assert checked.report.valid
            assert checked.package is not None
            assert checked.package.id == "xbau-kernmodul@1.3.0"
        again = await returned(up, rejection.content)
        refusal = await api.get(f"/v1/submissions/{again}/rejection")
        assert (refusal.status_code, refusal.json()["code"]) == (406, "answer-to-an-answer")


async def test_the_code_of_a_rejection_is_that_of_what_was_wrong(tmp_path: Path) -> None:
    write_package(tmp_path / "state")
    sheet = tmp_path / "state" / "schemas" / "packages" / "frage" / "nein.xslt"
    sheet.write_text(sheet.read_text().replace('name="reason"', 'name="code"').replace("$reason", "$code"))
    async with house(tmp_path, more=ROUTE) as up:
        submission = await returned(up, question().replace(b"<id>", b"<id><b/>"))
        answer = await up.client("sammler").get(f"/v1/submissions/{submission}/rejection")
        assert etree.fromstring(answer.content).findtext("{*}grund") == "X001"
