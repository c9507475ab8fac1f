"""Two versions of a standard side by side: senders that are early or late, targets that expect the other one, a rehearsal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.__main__ import app
from gateway.app import build
from gateway.config.faults import Faults
from gateway.rehearsal import Busy, Rehearsals
from gateway.settings import Settings
from tests.story.conftest import House, house

XML = {"content-type": "application/xml"}
MESSAGE = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:s="urn:probe:meldung:{version}"
 targetNamespace="urn:probe:meldung:{version}" elementFormDefault="qualified">
<xs:element name="meldung.0100"><xs:complexType><xs:sequence><xs:element name="id" type="xs:token"/>
<xs:element name="{field}"><xs:simpleType><xs:restriction base="xs:token"><xs:maxLength value="5"/></xs:restriction>
</xs:simpleType></xs:element></xs:sequence></xs:complexType></xs:element></xs:schema>"""
SHEET = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:a="urn:probe:meldung:1"
 xmlns="urn:probe:meldung:2" exclude-result-prefixes="a"><xsl:template match="/a:meldung.0100"><meldung.0100>
<id><xsl:value-of select="a:id"/></id><rufname><xsl:value-of select="a:name"/><xsl:if test="a:id = 'lang'">verlängert</xsl:if>
</rufname></meldung.0100></xsl:template></xsl:stylesheet>"""
MORE = """
[target.neu]
connector = "rest"
authority = "stadt"
expects = "meldung@2"
options = {{ url = "{city}", token = "env:PROBE_SECRET" }}
[[route]]
leistung = "meldebescheinigung"
ars = "08121"
to = [ {{ target = "stadt-fach" }}, {{ target = "neu", purpose = "copy" }} ]
"""


def write_versions(state: Path, *, sheet: str = SHEET, old: str = "", new: str = "") -> None:
    convert = '\n[convert]\nto = "meldung@2"\nsheet = "nach-2.xslt"'
    for version, field, more in (("1", "name", old + convert), ("2", "rufname", new)):
        package = state / "schemas" / "packages" / f"meldung-{version}"
        package.mkdir(parents=True)
        (package / "meldung.xsd").write_text(MESSAGE.format(version=version, field=field))
        (package / "manifest.toml").write_text(
            f'name = "meldung"\nversion = "{version}"\nnamespace = "urn:probe:meldung:{version}"\nentry = ["meldung.xsd"]\n'
            f'leistung = "meldebescheinigung"\n{more}\n'
        )
    (state / "schemas" / "packages" / "meldung-1" / "nach-2.xslt").write_text(sheet)


def message(version: str = "1", name: str = "Rex", number: str = "a") -> bytes:
    field = "name" if version == "1" else "rufname"
    inside = f"<id>{number}</id><{field}>{name}</{field}>"
    return f'<meldung.0100 xmlns="urn:probe:meldung:{version}">{inside}</meldung.0100>'.encode()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[House]:
    write_versions(tmp_path / "state")
    async with house(tmp_path, more=MORE.replace("{{", "{").replace("}}", "}").replace("{city}", "http://127.0.0.1:9/")) as up:
        yield up


async def test_each_target_gets_the_version_it_expects_and_both_are_kept(gateway: House) -> None:
    answer = await gateway.client("portal").post("/v1/submissions?ars=081210000000", content=message(), headers=XML)
    assert answer.status_code == 202, answer.text
    journal = gateway.gateway.journal
    dossier = await journal.dossier(answer.json()["id"])
    assert dossier is not None
    received, converted = dossier.documents
    assert (received.role.value, converted.role.value, converted.made_from) == ("received", "message", 0)
    assert converted.made_by is not None
    assert converted.made_by.startswith("conversion:")
    assert {each.target: each.document for each in dossier.deliveries} == {"stadt-fach": 0, "neu": 1}
    assert await journal.body(dossier.submission.id, 0) == message()
    assert b"<rufname>Rex</rufname>" in await journal.body(dossier.submission.id, 1)
    assert dossier.submission.package == "meldung@1"


async def test_a_message_in_the_expected_version_is_left_as_it_is(gateway: House) -> None:
    answer = await gateway.client("portal").post("/v1/submissions?ars=081210000000", content=message("2"), headers=XML)
    assert answer.status_code == 202, answer.text
    dossier = await gateway.gateway.journal.dossier(answer.json()["id"])
    assert dossier is not None
    assert len(dossier.documents) == 1
    assert {each.document for each in dossier.deliveries} == {0}


async def test_what_does_not_become_a_valid_message_is_refused_with_the_reason(gateway: House) -> None:
    answer = await gateway.client("portal").post(
        "/v1/submissions?ars=081210000000", content=message(number="lang"), headers=XML)
    assert answer.status_code == 422
    rules = [finding["rule"] for finding in answer.json()["findings"]]
    assert rules == ["conversion-invalid", "length"]
    assert "verlängert" not in answer.text


async def test_a_held_message_is_converted_when_it_is_replayed(gateway: House) -> None:
    answer = await gateway.client("sammler").post(
        "/v1/submissions?ars=081210000000", content=message(number="lang"), headers=XML)
    assert answer.status_code == 202
    sheet = gateway.gateway.settings.state / "schemas" / "packages" / "meldung-1" / "nach-2.xslt"
    sheet.write_text(SHEET.replace("verlängert", ""))
    assert await gateway.gateway.packages_watch.once()
    dossier = await gateway.gateway.journal.dossier(answer.json()["id"])
    assert dossier is not None
    (dead,) = dossier.deliveries
    said = {"reason": "Umwandlung berichtigt"}
    replayed = await gateway.client("betrieb").post(f"/v1/dead-letters/{dead.id}/replay", json=said)
    assert replayed.status_code == 200, replayed.text
    dossier = await gateway.gateway.journal.dossier(answer.json()["id"])
    assert dossier is not None
    assert {each.target: each.document for each in dossier.deliveries} == {"stadt-fach": 0, "neu": 1}
    assert b"<rufname>Rex</rufname>" in await gateway.gateway.journal.body(dossier.submission.id, 1)


async def test_a_version_that_cannot_become_the_expected_one_is_refused_by_name(tmp_path: Path) -> None:
    write_versions(tmp_path / "state")
    manifest = tmp_path / "state" / "schemas" / "packages" / "meldung-1" / "manifest.toml"
    manifest.write_text(manifest.read_text().partition("[convert]")[0])
    more = MORE.replace("{{", "{").replace("}}", "}").replace("{city}", "http://127.0.0.1:9/")
    async with house(tmp_path, more=more) as up:
        answer = await up.client("portal").post("/v1/submissions?ars=081210000000", content=message(), headers=XML)
    assert answer.status_code == 422
    (finding,) = answer.json()["findings"]
    assert finding["rule"] == "version-not-expected"
    assert finding["de"] == "Das Zielsystem neu erwartet meldung@2; aus meldung@1 lässt sich das hier nicht umwandeln."


def test_a_target_that_expects_an_unknown_version_is_a_fault_with_its_line(tmp_path: Path) -> None:
    write_versions(tmp_path / "state")
    site = tmp_path / "nahtlos.toml"
    site.write_text('site = "p"\n[authority.a]\nars = "08"\nname = "A"\n[target.t]\nconnector = "rest"\nauthority = "a"\n'
                    'expects = ["meldung@3"]\noptions = { url = "http://127.0.0.1:9/" }\n')
    with pytest.raises(Faults) as caught:
        build(Settings(site=site, state=tmp_path / "state"))
    (fault,) = caught.value.faults
    assert fault.line == 8
    assert "meldung@2" in fault.de, "the nearest one"
    assert json.dumps(fault.de)


# --- rehearsal -----------------------------------------------------------------------------------------------------------

ROUTES = '[[route]]\nleistung = "meldebescheinigung"\nars = "08121"\nto = [ { target = "stadt-fach" } ]\n'
DAYS = {"old": "valid_until = 2027-04-30", "new": "valid_from = 2026-11-01"}


def write_stricter(state: Path) -> None:
    """The same messages as version 1, from May on, with shorter names."""
    package = state / "schemas" / "packages" / "meldung-1a"
    package.mkdir(parents=True)
    (package / "meldung.xsd").write_text(MESSAGE.format(version="1", field="name").replace('"5"', '"3"'))
    (package / "manifest.toml").write_text(
        'name = "meldung"\nversion = "1a"\nnamespace = "urn:probe:meldung:1"\nentry = ["meldung.xsd"]\n'
        'leistung = "meldebescheinigung"\nvalid_from = 2027-05-01\n')


async def handed_in(gateway: House) -> None:
    sent = (("portal", "1", "Rex"), ("portal", "1", "Rexxx"), ("nachbar", "1", "Rexxx"), ("portal", "2", "Rex"))
    for portal, version, name in sent:
        answer = await gateway.client(portal).post(
            "/v1/submissions?ars=081210000000", content=message(version, name, f"{portal}-{version}-{name}"), headers=XML)
        assert answer.status_code == 202, answer.text
    broken = await gateway.client("sammler").post(
        "/v1/submissions?ars=081210000000", content=message("1", "viel zu lang"), headers=XML)
    assert broken.status_code == 202, "held"


async def rehearsed(gateway: House, on: str, who: str = "betrieb") -> dict[str, Any]:
    answer = await gateway.client(who).get(f"/v1/maintenance/rehearsal?on={on}&since=2026-01-01T00:00:00Z")
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0] == {"seen": 0}
    found: dict[str, Any] = lines[-1]["rehearsal"]
    return found


async def test_a_rehearsal_says_what_would_break_by_sender_and_by_rule(tmp_path: Path) -> None:
    write_versions(tmp_path / "state", **DAYS)
    async with house(tmp_path, more=ROUTES) as up:
        await handed_in(up)
        today = await rehearsed(up, "2027-04-30")
        assert (today["checked"], today["breaking"], today["hinted"], today["broken"], today["rows"]) == (4, 0, 0, 1, [])
        soon = await rehearsed(up, "2027-05-15")
        assert (soon["breaking"], soon["hinted"]) == (0, 3)
        later = await rehearsed(up, "2027-07-01")
        assert (later["breaking"], later["hinted"]) == (3, 0)
        assert [(row["portal"], row["package"], row["rule"], row["severity"], row["count"]) for row in later["rows"]] == [
            ("portal", "meldung@1", "version-no-longer-valid", "error", 2),
            ("nachbar", "meldung@1", "version-no-longer-valid", "error", 1),
        ]
        assert later["rows"][0]["code"] == "V000"
        assert "meldung@2" in later["rows"][0]["de"]
        assert "Rex" not in json.dumps(later)
        path = "/v1/maintenance/rehearsal?on=2027-05-01&since=2026-01-01T00:00:00"
        assert (await up.client("leser").get(path + "Z")).status_code == 403
        assert (await up.client("betrieb").get(path)).status_code == 400, "without a time zone"
        assert (await rehearsed(up, "2027-07-01")) == later, "nothing was stored or changed"


async def test_a_stricter_package_that_takes_over_is_rehearsed_before_its_day(tmp_path: Path) -> None:
    write_versions(tmp_path / "state", **DAYS)
    write_stricter(tmp_path / "state")
    async with house(tmp_path, more=ROUTES) as up:
        await handed_in(up)
        found = await rehearsed(up, "2027-05-01")
        assert [(row["portal"], row["rule"], row["path"], row["count"]) for row in found["rows"]] == [
            ("nachbar", "length", "/s:meldung.0100/s:name", 1), ("portal", "length", "/s:meldung.0100/s:name", 1),
        ]


async def test_one_rehearsal_at_a_time(tmp_path: Path) -> None:
    write_versions(tmp_path / "state", **DAYS)
    async with house(tmp_path, more=ROUTES) as up:
        rehearsals = Rehearsals(journal=up.gateway.journal, inspector=up.gateway.inspector, site=up.gateway.site)
        steps = rehearsals.run(on=date(2027, 5, 1), since=datetime(2026, 1, 1, tzinfo=UTC))
        await anext(steps)
        with pytest.raises(Busy):
            await anext(rehearsals.run(on=date(2027, 5, 1), since=datetime(2026, 1, 1, tzinfo=UTC)))
        assert [step.seen async for step in steps] == [0]


async def test_the_command_rehearses_with_the_gateway_and_without(tmp_path: Path) -> None:
    write_versions(tmp_path / "state", **DAYS)
    environment = {"NAHTLOS_STATE": str(tmp_path / "state"), "NAHTLOS_SITE": str(tmp_path / "nahtlos.toml"),
                   "NAHTLOS_PORT": "0", "NAHTLOS_HOST": "127.0.0.1"}

    def command(on: str, *more: str) -> Result:
        return CliRunner(env=environment).invoke(app, ["schemas", "rehearse", "--on", on, "--since", "2026-01-01", *more])

    async with house(tmp_path, more=ROUTES) as up:
        await handed_in(up)
        live = await asyncio.to_thread(command, "2027-07-01", "--json")
        assert live.exit_code == 1, live.output
        assert (await asyncio.to_thread(command, "2027-04-30")).exit_code == 0
    alone = await asyncio.to_thread(command, "2027-07-01", "--json")
    assert alone.exit_code == 1, alone.output
    assert json.loads(alone.stdout) == json.loads(live.stdout)
    told = await asyncio.to_thread(command, "2027-07-01")
    assert "3 brächen" in told.output
    assert "nachbar" in told.output
    assert (await asyncio.to_thread(command, "morgen")).exit_code == 2
