"""What a service is: its description, its package, and every fault in them with its line."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.document import Limits, read
from gateway.schemas import LeistungKind, OnInvalid, Place, Registry, Urgency
from tests.conftest import ROOT
from tests.unit.handmade import a_manifest, a_schema, a_site, faults_of

LEISTUNG = """slug = "probe"
version = "1.0"
kind = "antrag"
place = "wohnsitz"
level = { "08" = "kreis", "*" = "land" }
on_invalid = { message = "hold", form = "hold" }
retention_days = 14
urgency = "high"
deadline_days = 30
order_by = "kopf/bezug"
business_keys = ["a/b"]
mask = ["c"]
compared = 2026-11-21
[names]
de = "Probe"
en = "Sample"
[deadline]
de = "Ein Monat."
en = "One month."
[leika]
key = "99089124001000"
source = "Test"
[limits]
bytes = 1000
"""
OWN = {"leistungen/probe/leistung.toml": LEISTUNG,
       "leistungen/probe/message.xsd": a_schema('<xs:element name="probe"/>', "urn:nahtlos:leistung:probe:1")}


def test_a_leistung_is_read_with_its_package(tmp_path: Path) -> None:
    registry = Registry.load(a_site(tmp_path, OWN))
    leistung = registry.leistungen["probe"]
    assert leistung.names == {"de": "Probe", "en": "Sample"}
    assert (leistung.kind, leistung.place, leistung.urgency) == (LeistungKind.ANTRAG, Place.RESIDENCE, Urgency.HIGH)
    assert leistung.level == {"08": "kreis", "*": "land"}
    assert (leistung.leika, leistung.leika_source) == ("99089124001000", "Test")
    assert leistung.on_invalid is OnInvalid.HOLD
    assert (leistung.retention, leistung.deadline) == (timedelta(days=14), timedelta(days=30))
    assert leistung.deadline_note["en"] == "One month."
    assert leistung.order_by == "kopf/bezug"
    assert leistung.limits == Limits(bytes=1000)
    assert leistung.compared == date(2026, 11, 21)
    package = registry.package_of(leistung)
    assert (package.id, package.namespace, package.roots) == ("probe@1.0", "urn:nahtlos:leistung:probe:1", ("probe",))
    assert (package.leistung, package.business_keys, package.mask) == ("probe", ("a/b",), ("c",))


def test_the_usual_way_with_invalid_documents_needs_no_word(tmp_path: Path) -> None:
    text = LEISTUNG.replace('on_invalid = { message = "hold", form = "hold" }\n', "")
    registry = Registry.load(a_site(tmp_path, OWN | {"leistungen/probe/leistung.toml": text}))
    assert registry.leistungen["probe"].on_invalid is None


def test_a_leistung_may_be_served_by_a_standard(tmp_path: Path) -> None:
    text = LEISTUNG.replace('version = "1.0"\n', 'version = "1.0"\npackage = "xbau@2.6"\n')
    files = {"leistungen/probe/leistung.toml": text, "packages/x/a.xsd": a_schema(),
             "packages/x/manifest.toml": a_manifest("xbau", "2.6")}
    registry = Registry.load(a_site(tmp_path / "one", files))
    assert registry.package_of(registry.leistungen["probe"]).id == "xbau@2.6"
    files["packages/x/manifest.toml"] = a_manifest("xbau", "2.7")
    assert 'the schema package "xbau@2.6" is missing; did you mean "xbau@2.7"?' in faults_of(a_site(tmp_path / "two", files))[0]


@pytest.mark.parametrize(("old", "new", "said"), [
    ('slug = "probe"', 'slug = "andere"', 'leistung.toml:1: '),
    ('kind = "antrag"', 'kind = "wunschzettel"', "leistung.toml:3: "),
    ('en = "Sample"', "", "names.en"),
    ('urgency = "high"', 'urgencyy = "high"', 'did you mean "urgency"?'),
    ('{ message = "hold", form = "hold" }', '{ message = "hold", form = "reject" }', "a form's citizen has left"),
    ('key = "99089124001000"', 'key = "123"', "leika.key"),
])
def test_a_fault_in_a_leistung_is_said_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in LEISTUNG
    a_site(tmp_path, OWN | {"leistungen/probe/leistung.toml": LEISTUNG.replace(old, new)})
    assert said in faults_of(tmp_path)[0]


def test_the_shipped_leistungen_load_and_know_their_header() -> None:
    registry = Registry.load(ROOT / "schemas")
    assert {"schwerbehindertenausweis", "hundesteuer", "kleiner-waffenschein", "wohngeld", "meldebescheinigung"} <= set(
        registry.leistungen)
    for leistung in registry.leistungen.values():
        document = read((leistung.folder / "samples" / "minimal.xml").read_bytes())
        header = registry.package_of(leistung).header_of(document)
        assert header.leistung == leistung.slug
        assert header.uuid
        assert header.created
        assert header.author
        assert header.ars
        test = read((leistung.folder / "samples" / "testnachricht.xml").read_bytes())
        assert registry.package_of(leistung).header_of(test).test
