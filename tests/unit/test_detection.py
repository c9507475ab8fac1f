"""Which package a message belongs to: by namespace and root element, by the version it names, or why by none."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.document import read
from gateway.findings import Finding, Unacceptable
from gateway.schemas import Registry
from tests.unit.handmade import a_manifest, a_schema, a_site, faults_of


def a_registry(tmp_path: Path) -> Registry:
    versioned = a_schema('<xs:element name="n"/><xs:element name="m"/>', "http://www.xj.example")
    return Registry.load(a_site(tmp_path, {
        "packages/bau26/a.xsd": a_schema('<xs:element name="antrag.0200"/>', "urn:xbau/2/6"),
        "packages/bau26/manifest.toml": a_manifest("xbau", "2.6"),
        "packages/bau25/a.xsd": a_schema('<xs:element name="antrag.0200"/>', "urn:xbau/2/5"),
        "packages/bau25/manifest.toml": a_manifest("xbau", "2.5"),
        "packages/j34/a.xsd": versioned,
        "packages/j34/manifest.toml": a_manifest("xj", "3.4.1", 'version_at = "kopf/@xjVersion"'),
        "packages/j35/a.xsd": versioned,
        "packages/j35/manifest.toml": a_manifest("xj", "3.5.1", 'version_at = "kopf/@xjVersion"\nroots = ["n"]'),
    }))


def refusal(registry: Registry, body: bytes) -> Finding:
    with pytest.raises(Unacceptable) as caught:
        registry.detect(read(body))
    assert caught.value.status == 422
    (finding,) = caught.value.findings
    return finding


def test_two_versions_live_side_by_side_by_namespace(tmp_path: Path) -> None:
    registry = a_registry(tmp_path)
    assert registry.detect(read(b'<antrag.0200 xmlns="urn:xbau/2/6"/>')).id == "xbau@2.6"
    assert registry.detect(read(b'<antrag.0200 xmlns="urn:xbau/2/5"/>')).id == "xbau@2.5"


def test_two_versions_live_side_by_side_in_one_namespace_by_the_version_they_name(tmp_path: Path) -> None:
    registry = a_registry(tmp_path)
    body = b'<n xmlns="http://www.xj.example"><kopf xjVersion="%s"/></n>'
    assert registry.detect(read(body % b"3.5.1")).id == "xj@3.5.1"
    assert registry.detect(read(body % b"3.4.1")).id == "xj@3.4.1"
    finding = refusal(registry, body % b"9.9")
    assert (finding.code, finding.rule, finding.expected) == ("V000", "unknown-version", ("xj@3.4.1", "xj@3.5.1"))


def test_a_known_standard_in_an_unknown_version_names_the_known_ones(tmp_path: Path) -> None:
    finding = refusal(a_registry(tmp_path), b'<antrag.0200 xmlns="urn:xbau/3/0"/>')
    assert (finding.code, finding.rule, finding.expected) == ("V000", "unknown-version", ("xbau@2.5", "xbau@2.6"))
    assert "xbau@2.6" in finding.de


def test_an_unknown_message_of_a_known_standard_names_the_known_ones(tmp_path: Path) -> None:
    finding = refusal(a_registry(tmp_path), b'<antrag.0999 xmlns="urn:xbau/2/6"/>')
    assert (finding.code, finding.rule, finding.expected) == ("V001", "unknown-message", ("antrag.0200",))


@pytest.mark.parametrize("body", [b"<geheim/>", b'<antrag.0200 xmlns="urn:geheim"/>', b"<html><body>geheim</body></html>"])
def test_an_unknown_message_is_refused_and_not_quoted(tmp_path: Path, body: bytes) -> None:
    finding = refusal(a_registry(tmp_path), body)
    assert (finding.code, finding.rule) == ("V001", "unknown-message")
    assert "geheim" not in repr(finding)


def test_header_fields_are_read_where_the_manifest_says(tmp_path: Path) -> None:
    registry = Registry.load(a_site(tmp_path, {
        "packages/p/a.xsd": a_schema('<xs:element name="r"/>'),
        "packages/p/manifest.toml": a_manifest(
            more='[header]\nuuid = "kopf.g2g/ident/uuid"\nversion = "@version"\ntest = "@test"\nreference = "alt|neu"'),
    }))
    body = b"""<t:r xmlns:t="urn:t" version="2.6" test=""><kopf.g2g><ident><uuid> 7 </uuid></ident></kopf.g2g>
        <neu>8</neu></t:r>"""
    package = registry.packages["probe@1"]
    header = package.header_of(read(body))
    assert (header.type, header.uuid, header.version, header.reference) == ("r", "7", "2.6", "8")
    assert header.test, "the attribute alone means a test, whatever it says"
    assert not package.header_of(read(b'<t:r xmlns:t="urn:t"/>')).test
    assert "7" not in repr(header)


@pytest.mark.parametrize(("more", "said"), [
    ("nonsense = 1", 'unknown key "nonsense"'),
    ("[header]\nuid = 'a'", 'unknown key "uid"; did you mean "uuid"?'),
    ("[stages]\nids = 'maybe'", 'stages.ids'),
    ("[stages]\nidz = 'warn'", 'unknown key "idz"; did you mean "ids"?'),
    ('roots = ["s"]', 'no global element "s" in the schemas'),
])
def test_a_fault_in_a_manifest_has_its_line_and_the_nearest_match(tmp_path: Path, more: str, said: str) -> None:
    a_site(tmp_path, {"packages/p/a.xsd": a_schema(), "packages/p/manifest.toml": a_manifest(more=more)})
    fault = faults_of(tmp_path)[0]
    assert said in fault
    assert "manifest.toml:" in fault


def test_every_fault_of_every_package_is_named_at_once(tmp_path: Path) -> None:
    a_site(tmp_path, {
        "packages/p/a.xsd": a_schema('<xs:include schemaLocation="1.xsd"/>\n<xs:include schemaLocation="2.xsd"/>'),
        "packages/p/manifest.toml": a_manifest(),
        "packages/q/manifest.toml": "name = ",
        "packages/s/manifest.toml": a_manifest("s", entry='"weg.xsd"'),
    })
    faults = "\n".join(faults_of(tmp_path))
    for said in ("1.xsd is missing", "2.xsd is missing", "q/manifest.toml:1: kein gültiges TOML", "weg.xsd is missing"):
        assert said in faults


def test_two_packages_for_the_same_message_are_a_fault(tmp_path: Path) -> None:
    a_site(tmp_path, {
        "packages/p/a.xsd": a_schema(), "packages/p/manifest.toml": a_manifest("p"),
        "packages/q/a.xsd": a_schema(), "packages/q/manifest.toml": a_manifest("q"),
    })
    assert "overlaps p@1" in faults_of(tmp_path)[0]


def test_an_empty_or_missing_root_is_an_empty_registry(tmp_path: Path) -> None:
    assert not Registry.load(tmp_path, tmp_path / "nothing").packages
