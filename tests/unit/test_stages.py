"""The stages after the XSD: each off, warning or rejecting, each timed, each with its findings in one report."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import xmlschema

from gateway.checks.stages import check, missing_engine
from gateway.document import read
from gateway.findings import Severity
from gateway.packages.manifests import STAGES
from gateway.rules import codelists, schematron
from gateway.rules.attachments import Attached, Shape
from gateway.rules.learning import learn
from gateway.rules.saxon import Saxon
from gateway.schemas import PackageFaults, Registry
from gateway.validation import Circumstances, Inspection, Inspector
from tests.unit.handmade_lists import genericode

SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:p="urn:probe:1" targetNamespace="urn:probe:1"
 elementFormDefault="qualified">
<xs:complexType name="Code"><xs:sequence><xs:element name="code" type="xs:token" form="unqualified"/></xs:sequence>
<xs:attribute name="listURI" fixed="urn:liste"/><xs:attribute name="listVersionID" fixed="1"/></xs:complexType>
<xs:element name="antrag.0200"><xs:complexType><xs:choice minOccurs="0" maxOccurs="unbounded">
<xs:element name="typ" type="xs:token"/><xs:element name="farbe" type="p:Code"/><xs:element name="familienname" type="xs:string"/>
<xs:element name="datei"><xs:complexType><xs:sequence><xs:element name="dateiname" type="xs:string"/></xs:sequence>
</xs:complexType></xs:element><xs:element name="alter" type="xs:int"/></xs:choice></xs:complexType></xs:element></xs:schema>"""
RULES = """<sch:schema xmlns:sch="http://purl.oclc.org/dsdl/schematron" queryBinding="xslt2">
<sch:ns prefix="p" uri="urn:probe:1"/>
<sch:pattern><sch:rule context="p:antrag.0200/p:alter"><sch:assert id="alt" test="if (number(.) ge 0) then true() else false()">Zu
jung.</sch:assert></sch:rule></sch:pattern></sch:schema>"""
WRONG = ("<typ>0999</typ><farbe><code>lila</code></farbe><familienname>A1</familienname>"
         "<datei><dateiname>x.pdf</dateiname></datei><alter>-1</alter>")
EXPECTED = {
    "V002": "type-code-differs", "attachments": "attachment-missing", "codes": "code-unknown",
    "characters": "character-not-allowed", "rules": "schematron:alt",
}


def a_site(folder: Path, *, manifest: str = "", stages: str = "", engine: Saxon | None = None) -> Path:
    package = folder / "packages" / "probe"
    knowledge = package / "knowledge"
    knowledge.mkdir(parents=True, exist_ok=True)
    (package / "probe.xsd").write_text(SCHEMA)
    (package / "rules.sch").write_text(RULES)
    (package / "manifest.toml").write_text(
        f'name = "probe"\nversion = "1"\nnamespace = "urn:probe:1"\nentry = ["probe.xsd"]\n{manifest}\n'
        f'[header]\ntype = "typ"\n[stages]\n{stages}\n'
    )
    (knowledge / "codes.json").write_text(json.dumps(learn(xmlschema.XMLSchema10(SCHEMA)).to_json()))
    lists = package / "liste.xml"
    lists.write_text(genericode("urn:liste", "1", "rot", "blau"))
    codelists.prepare([lists], knowledge / "codelists")
    rules, faults = schematron.prepare([package / "rules.sch"], engine)
    assert not faults
    (knowledge / "rules.json").write_text(json.dumps(rules.to_json()))
    return folder


STAGED = ("attachments", "codes", "rules", "characters")
ALL = "\n".join(f'{stage} = "{{}}"' for stage in STAGED)


@pytest.fixture
async def inspector(tmp_path: Path) -> AsyncIterator[Inspector]:
    made = Inspector(with_files(Registry.load(a_site(tmp_path, stages=ALL.format(*["reject"] * 4)))), threads=1)
    yield made
    await made.aclose()


def with_files(registry: Registry) -> Registry:
    shape = Shape("urn:probe:", "datei", "dateiname")
    return Registry(registry.leistungen, {name: replace(package, shapes=(shape,)) for name, package in registry.packages.items()})


def message(inside: str = WRONG) -> bytes:
    return f'<p:antrag.0200 xmlns:p="urn:probe:1" xmlns="urn:probe:1">{inside}</p:antrag.0200>'.replace(
        "<code>", '<code xmlns="">').encode()


async def inspected(inspector: Inspector, inside: str = WRONG, **known: object) -> Inspection:
    return await inspector.inspect(message(inside), known=Circumstances(**{"attached": (), **known}))  # type: ignore[arg-type]


async def test_every_stage_says_what_it_finds_with_place_and_prefix(inspector: Inspector) -> None:
    report = (await inspected(inspector)).report
    assert [finding.rule for finding in report.findings] == list(EXPECTED.values())
    assert [finding.path for finding in report.findings] == [
        "/p:antrag.0200/p:typ", "/p:antrag.0200/p:datei/p:dateiname", "/p:antrag.0200/p:farbe/code",
        "/p:antrag.0200/p:familienname", "/p:antrag.0200/p:alter",
    ]
    assert [finding.severity for finding in report.findings] == [Severity.WARNING] + [Severity.ERROR] * 4
    assert not report.valid
    assert set(report.timings) == {"read", "detect", "schema", "ids", "base64", "attachments", "codes", "characters", "rules"}
    assert "lila" not in repr(report)


@pytest.mark.parametrize("stage", STAGED)
async def test_each_stage_can_be_off_or_only_warn(tmp_path: Path, stage: str) -> None:
    for weight in ("off", "warn"):
        quiet = ALL.format(*(weight if one == stage else "off" for one in STAGED))
        inspector = Inspector(with_files(Registry.load(a_site(tmp_path / weight, stages=quiet))), threads=1)
        try:
            report = (await inspected(inspector)).report
        finally:
            await inspector.aclose()
        assert report.valid
        found = [finding for finding in report.findings if finding.rule != "type-code-differs"]
        assert [finding.rule for finding in found] == ([] if weight == "off" else [EXPECTED[stage]])
        assert all(finding.severity is Severity.WARNING for finding in found)
        assert (stage in report.timings) == (weight == "warn")


async def test_what_the_schema_refuses_is_not_looked_at_further(inspector: Inspector) -> None:
    report = (await inspected(inspector, "<alter>x</alter>" + WRONG)).report
    assert {finding.rule for finding in report.findings} == {"type"}
    assert set(report.timings) <= {"read", "detect", "schema", "opinion"}


async def test_files_that_came_are_compared_and_unknown_ones_are_not(inspector: Inspector) -> None:
    named = "<datei><dateiname>x.pdf</dateiname></datei>"
    file = Attached("x.pdf", 3, hashlib.sha256(b"abc").digest())
    assert (await inspected(inspector, named, attached=(file,))).report.valid
    assert not (await inspected(inspector, named, attached=())).report.valid
    assert (await inspected(inspector, named, attached=None)).report.valid, "nobody knows which files there are"


async def test_a_valid_message_is_valid(inspector: Inspector) -> None:
    inside = "<typ>0200</typ><farbe><code>rot</code></farbe><familienname>Ärger</familienname>"
    assert (await inspected(inspector, inside)).report.findings == ()


async def test_rules_that_cannot_be_evaluated_hold_back_only_where_the_package_rejects(tmp_path: Path) -> None:
    for weight, valid in (("reject", False), ("warn", True)):
        registry = Registry.load(a_site(tmp_path / weight, stages=f'rules = "{weight}"'))
        inspector = Inspector(registry, threads=1, deadline=0.000001)
        try:
            report = (await inspected(inspector, "<alter>3</alter>")).report
        finally:
            await inspector.aclose()
        assert [finding.rule for finding in report.findings] == ["schematron-not-evaluated"]
        assert report.valid is valid


def test_a_package_that_rejects_by_rules_does_not_start_without_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warning = Registry.load(a_site(tmp_path / "warn"))
    a_site(tmp_path / "reject", stages='rules = "reject"')
    for module in ("gateway.packages.loading", "gateway.checks.stages"):
        monkeypatch.setattr(f"{module}.is_installed", lambda: False)
    with pytest.raises(PackageFaults, match=r"nahtlos\[schematron\]"):
        Registry.load(tmp_path / "reject")
    missing = missing_engine(warning.packages.values())
    assert missing is not None
    assert missing.packages == ["probe@1"]


def test_code_lists_of_a_library_count_for_every_package(tmp_path: Path) -> None:
    a_site(tmp_path)
    library = tmp_path / "packages" / "listen"
    (library / "knowledge").mkdir(parents=True)
    (library / "manifest.toml").write_text('name = "listen"\nversion = "1"\nkind = "library"\n')
    (library / "mehr.xml").write_text(genericode("urn:andere", "7", "a"))
    codelists.prepare([library / "mehr.xml"], library / "knowledge" / "codelists")
    package = Registry.load(tmp_path).packages["probe@1"]
    assert {name.uri for name in package.knowledge.lists} == {"urn:liste", "urn:andere"}


def test_characters_can_be_demanded_of_other_fields_and_of_the_whole_message(tmp_path: Path) -> None:
    for table, inside, found in (
        ('[characters]\nfields = { typ = "A" }', "<typ>a1</typ>", ["character-not-allowed"]),
        ('[characters]\nwhole = "C"', "<typ>Ж</typ>", ["character-not-allowed"]),
        ("", "<typ>Ж</typ>", []),
    ):
        site = a_site(tmp_path / str(len(table)), stages=f'characters = "reject"\n{table}')
        package = Registry.load(site).packages["probe@1"]
        rules = [finding.rule for finding in check(read(message(inside)), package, None).findings]
        assert [rule for rule in rules if rule != "type-code-differs"] == found


def test_a_hundred_thousand_wrong_codes_make_fifty_findings_in_a_moment(tmp_path: Path) -> None:
    package = Registry.load(a_site(tmp_path, stages=ALL.format(*["reject"] * 4))).packages["probe@1"]
    document = read(message("<farbe><code>lila</code></farbe>" * 100_000))
    began = time.perf_counter()
    outcome = check(document, package, None)
    assert time.perf_counter() - began < 1
    assert len(outcome.findings) == 50
    assert not outcome.complete


def test_every_stage_has_a_weight_of_its_own_in_the_manifest() -> None:
    assert set(STAGES) == {"ids", "base64", "validity", "attachments", "codes", "rules", "characters"}


# --- validity ------------------------------------------------------------------------------------------------------------


def a_version(folder: Path, version: str, manifest: str) -> None:
    package = folder / "packages" / f"probe-{version}"
    package.mkdir(parents=True)
    (package / "probe.xsd").write_text(SCHEMA.replace("urn:probe:1", f"urn:probe:{version}"))
    (package / "manifest.toml").write_text(
        f'name = "probe"\nversion = "{version}"\nnamespace = "urn:probe:{version}"\nentry = ["probe.xsd"]\n{manifest}\n')


@pytest.fixture
def two(tmp_path: Path) -> Registry:
    a_version(tmp_path, "1", "valid_until = 2027-04-30")
    a_version(tmp_path, "2", "valid_from = 2027-05-01")
    return Registry.load(tmp_path)


@pytest.mark.parametrize(("version", "day", "rule", "severity"), [
    ("1", date(2027, 4, 30), None, None),
    ("1", date(2027, 5, 1), "version-no-longer-valid", Severity.WARNING),
    ("1", date(2027, 5, 31), "version-no-longer-valid", Severity.WARNING),
    ("1", date(2027, 6, 1), "version-no-longer-valid", Severity.ERROR),
    ("2", date(2027, 5, 1), None, None),
    ("2", date(2027, 4, 1), "version-not-yet-valid", Severity.WARNING),
    ("2", date(2027, 3, 30), "version-not-yet-valid", Severity.ERROR),
])
async def test_a_version_counts_on_its_days_and_for_a_month_around_them_it_is_a_hint(
    two: Registry, version: str, day: date, rule: str | None, severity: Severity | None
) -> None:
    inspector = Inspector(two, threads=1)
    try:
        body = message("<typ>0200</typ>").replace(b"urn:probe:1", f"urn:probe:{version}".encode())
        report = (await inspector.inspect(body, known=Circumstances(on=day))).report
        test = (await inspector.inspect(body, known=Circumstances(on=day, test=True))).report
    finally:
        await inspector.aclose()
    assert [(finding.rule, finding.severity) for finding in report.findings] == ([(rule, severity)] if rule else [])
    assert test.valid, "tests come before the day"
    if rule:
        other = "probe@2" if version == "1" else "probe@1"
        assert report.findings[0].expected == (other,)
        assert f"{day:%d.%m.%Y} gilt: {other}." in report.findings[0].de


async def test_the_weight_of_validity_is_the_packages(tmp_path: Path) -> None:
    a_version(tmp_path, "1", 'valid_until = 2027-04-30\n[stages]\nvalidity = "reject"')
    a_version(tmp_path, "2", 'valid_until = 2020-01-01\n[stages]\nvalidity = "off"')
    inspector = Inspector(Registry.load(tmp_path), threads=1)
    try:
        for version, valid in (("1", False), ("2", True)):
            body = message("").replace(b"urn:probe:1", f"urn:probe:{version}".encode())
            assert (await inspector.inspect(body, known=Circumstances(on=date(2027, 5, 1)))).report.valid is valid
    finally:
        await inspector.aclose()


def test_two_packages_that_differ_only_in_their_days_are_told_apart_by_the_day(tmp_path: Path) -> None:
    for version, days in (("1", "valid_until = 2027-04-30"), ("1a", "valid_from = 2027-05-01")):
        a_version(tmp_path, version, days)
        for name in ("probe.xsd", "manifest.toml"):
            file = tmp_path / "packages" / f"probe-{version}" / name
            file.write_text(file.read_text().replace("urn:probe:1a", "urn:probe:1"))
    registry = Registry.load(tmp_path)
    document = read(message(""))
    assert registry.detect(document, on=date(2027, 4, 30)).id == "probe@1"
    assert registry.detect(document, on=date(2027, 5, 1)).id == "probe@1a"


def test_packages_of_the_same_messages_on_the_same_day_are_refused(tmp_path: Path) -> None:
    for version, days in (("1", "valid_until = 2027-05-01"), ("1a", "valid_from = 2027-05-01")):
        a_version(tmp_path, version, days)
        for name in ("probe.xsd", "manifest.toml"):
            file = tmp_path / "packages" / f"probe-{version}" / name
            file.write_text(file.read_text().replace("urn:probe:1a", "urn:probe:1"))
    with pytest.raises(PackageFaults, match="valid_until"):
        Registry.load(tmp_path)


def test_a_package_cannot_end_before_it_begins(tmp_path: Path) -> None:
    a_version(tmp_path, "1", "valid_from = 2027-05-01\nvalid_until = 2027-04-30")
    with pytest.raises(PackageFaults, match="valid_until"):
        Registry.load(tmp_path)
