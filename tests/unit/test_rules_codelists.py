"""Code lists: knowing which list a field means, and saying what is wrong without the value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xmlschema

from gateway.document import Document, read
from gateway.findings import Severity
from gateway.rules.codelists import CodeLists, check
from gateway.rules.codeuse import CodeTable
from gateway.rules.learning import learn
from tests.unit.handmade_lists import COLOURS, two_versions

SCHEMA = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:beispiel" targetNamespace="urn:beispiel"
                        elementFormDefault="qualified">
  <xs:complexType name="Code">
    <xs:sequence>
      <xs:element name="code" type="xs:token" form="unqualified"/>
      <xs:element name="name" type="xs:token" form="unqualified" minOccurs="0"/>
    </xs:sequence>
    <xs:attribute name="listURI" type="xs:anyURI"/>
    <xs:attribute name="listVersionID" type="xs:normalizedString"/>
  </xs:complexType>
  <xs:complexType name="Code.Fest"><xs:complexContent><xs:restriction base="Code">
    <xs:sequence><xs:element name="code" type="xs:token" form="unqualified"/></xs:sequence>
    <xs:attribute name="listURI" type="xs:anyURI" fixed="{COLOURS}"/>
    <xs:attribute name="listVersionID" type="xs:normalizedString" fixed="1"/>
  </xs:restriction></xs:complexContent></xs:complexType>
  <xs:complexType name="Code.Aufgezaehlt"><xs:complexContent><xs:restriction base="Code">
    <xs:sequence><xs:element name="code" form="unqualified"><xs:simpleType><xs:restriction base="xs:token">
      <xs:enumeration value="lila"/></xs:restriction></xs:simpleType></xs:element></xs:sequence>
    <xs:attribute name="listURI" type="xs:anyURI" fixed="{COLOURS}"/>
    <xs:attribute name="listVersionID" type="xs:normalizedString" fixed="1"/>
  </xs:restriction></xs:complexContent></xs:complexType>
  <xs:complexType name="Code.Version"><xs:complexContent><xs:restriction base="Code">
    <xs:sequence><xs:element name="code" type="xs:token" form="unqualified"/></xs:sequence>
    <xs:attribute name="listURI" type="xs:anyURI" fixed="{COLOURS}"/>
    <xs:attribute name="listVersionID" type="xs:normalizedString"/>
  </xs:restriction></xs:complexContent></xs:complexType>
  <xs:complexType name="Auto"><xs:sequence><xs:element name="farbe" type="Code.Fest"/></xs:sequence></xs:complexType>
  <xs:complexType name="Haus"><xs:sequence><xs:element name="farbe" type="Code.Aufgezaehlt"/></xs:sequence></xs:complexType>
  <xs:element name="antrag"><xs:complexType><xs:choice maxOccurs="unbounded">
    <xs:element name="fest" type="Code.Fest"/>
    <xs:element name="aufgezaehlt" type="Code.Aufgezaehlt"/>
    <xs:element name="version" type="Code.Version"/>
    <xs:element name="frei" type="Code"/>
    <xs:element name="auto" type="Auto"/>
    <xs:element name="haus" type="Haus"/>
    <xs:element name="dach" type="Dach"/>
    <xs:element name="sonst" type="Offen"/>
  </xs:choice></xs:complexType></xs:element>
  <xs:complexType name="Dach"><xs:sequence><xs:element ref="ziegel"/></xs:sequence></xs:complexType>
  <xs:complexType name="Offen"><xs:sequence><xs:any processContents="lax"/></xs:sequence></xs:complexType>
  <xs:element name="ziegel" abstract="true"/>
  <xs:element name="tonziegel" type="Code.Fest" substitutionGroup="ziegel"/>
</xs:schema>"""


@pytest.fixture(scope="module")
def table() -> CodeTable:
    return CodeTable.from_json(json.loads(json.dumps(learn(xmlschema.XMLSchema(SCHEMA)).to_json())))


@pytest.fixture
def lists(tmp_path: Path) -> CodeLists:
    return two_versions(tmp_path)


def message(inside: str) -> Document:
    return read(f'<antrag xmlns="urn:beispiel">{inside}</antrag>'.encode())


def field(name: str, code: str, attributes: str = "") -> str:
    return f'<{name} {attributes}><code xmlns="">{code}</code></{name}>'


def said(document: Document, table: CodeTable, lists: CodeLists) -> list[tuple[str, str, str | None, Severity]]:
    return [(one.code, one.rule, one.path, one.severity) for one in check(document, table, lists)]


# --- which list is meant -------------------------------------------------------------------------------------------------


def test_a_list_fixed_in_the_schema_counts_though_the_message_does_not_name_it(table: CodeTable, lists: CodeLists) -> None:
    assert said(message(field("fest", "rot")), table, lists) == []
    assert said(message(field("fest", "gold")), table, lists) == [
        ("S011", "code-unknown", "/antrag/fest/code", Severity.ERROR)]


def test_a_version_in_the_message_chooses_among_the_versions_of_a_fixed_list(table: CodeTable, lists: CodeLists) -> None:
    assert said(message(field("version", "grün", 'listVersionID="2"')), table, lists) == []
    assert said(message(field("version", "grün", 'listVersionID="1"')), table, lists)[0][:2] == ("S011", "code-unknown")


def test_a_list_named_by_the_message_alone_is_looked_up(table: CodeTable, lists: CodeLists) -> None:
    both = f'listURI=" {COLOURS} " listVersionID="2"'
    assert said(message(field("frei", "grün", both)), table, lists) == []
    assert said(message(field("frei", "blau", both)), table, lists)[0][:2] == ("S011", "code-unknown")


def test_values_enumerated_in_the_schema_are_left_to_the_schema(table: CodeTable, lists: CodeLists) -> None:
    assert said(message(field("aufgezaehlt", "lila")), table, lists) == []


def test_one_element_name_means_different_lists_in_different_places(table: CodeTable, lists: CodeLists) -> None:
    document = message(f"<haus>{field('farbe', 'lila')}</haus><auto>{field('farbe', 'lila')}</auto>")
    assert said(document, table, lists) == [("S011", "code-unknown", "/antrag/auto/farbe/code", Severity.ERROR)]


def test_a_type_chosen_in_the_message_decides_which_list_is_meant(table: CodeTable, lists: CodeLists) -> None:
    chosen = 'xmlns:t="urn:beispiel" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="t:Code.Fest"'
    assert said(message(field("frei", "gold", chosen)), table, lists)[0][:2] == ("S011", "code-unknown")


def test_an_element_that_stands_for_another_or_in_an_open_place_is_checked(table: CodeTable, lists: CodeLists) -> None:
    for around in ("dach", "sonst"):
        document = message(f"<{around}>{field('tonziegel', 'gold')}</{around}>")
        assert said(document, table, lists) == [("S011", "code-unknown", f"/antrag/{around}/tonziegel/code", Severity.ERROR)]


# --- what is said --------------------------------------------------------------------------------------------------------


def test_an_unknown_list_is_a_warning_told_once(table: CodeTable) -> None:
    document = message(field("fest", "rot") * 3)
    assert said(document, table, CodeLists()) == [
        ("S010", "code-list-unknown", "/antrag/fest[1]/code", Severity.WARNING)]


def test_an_unknown_version_names_the_known_ones(table: CodeTable, lists: CodeLists) -> None:
    (finding,) = check(message(field("version", "rot", 'listVersionID="9"')), table, lists)
    assert (finding.rule, finding.severity, finding.expected) == ("code-list-version-unknown", Severity.WARNING, ("1", "2"))


def test_without_a_version_a_code_of_any_version_is_good_and_another_only_a_warning(table: CodeTable, lists: CodeLists) -> None:
    assert said(message(field("version", "grün")), table, lists) == []
    assert said(message(field("version", "gold", 'listVersionID=""')), table, lists)[0][1:] == (
        "code-list-version-unknown", "/antrag/version/code", Severity.WARNING)


def test_a_code_without_any_list_is_a_warning(table: CodeTable, lists: CodeLists) -> None:
    assert said(message(field("frei", "rot")), table, lists)[0][:2] == ("S010", "code-list-unnamed")


def test_an_empty_code_is_a_warning_of_its_own(table: CodeTable, lists: CodeLists) -> None:
    assert said(message(field("fest", " ")), table, lists)[0][:2] == ("S030", "code-empty")


def test_white_space_around_a_code_does_not_matter(table: CodeTable, lists: CodeLists) -> None:
    assert said(message(field("fest", "\n  rot\t")), table, lists) == []


def test_no_finding_repeats_a_word_of_the_message(table: CodeTable, lists: CodeLists) -> None:
    secret = "GEHEIM4711"
    document = message(
        field("fest", secret) + field("frei", secret, f'listURI="urn:{secret}" listVersionID="{secret}"')
        + field("frei", secret) + field("version", secret, f'listVersionID="{secret}"')
    )
    findings = check(document, table, lists)
    assert len(findings) == 4
    assert secret not in repr(findings)


def test_a_short_list_says_what_is_allowed(table: CodeTable, lists: CodeLists) -> None:
    (finding,) = check(message(field("fest", "gold")), table, lists)
    assert finding.expected == ("blau", "rot")
    assert finding.line == 1


def test_no_more_findings_are_made_than_are_shown(table: CodeTable, lists: CodeLists) -> None:
    assert len(check(message(field("fest", "gold") * 500), table, lists)) == 50


def test_a_list_that_vanished_is_an_unknown_list_and_remembered(table: CodeTable, lists: CodeLists, tmp_path: Path) -> None:
    for file in (tmp_path / "ready").glob("*.keys"):
        file.unlink()
    assert said(message(field("fest", "gold")), table, lists)[0][3] is Severity.WARNING
    assert lists.faults


def test_a_table_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format"):
        CodeTable.from_json({"format": 0, "types": [], "roots": {}, "named": {}})
