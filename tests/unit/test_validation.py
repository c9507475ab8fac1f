"""Validation: findings that people understand and that never quote the document, at a bounded price."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.checks.explanation import explain
from gateway.checks.steps import run_steps
from gateway.document import read
from gateway.findings import Finding, Severity, Unacceptable
from gateway.packages.compiled import CompiledSchema
from gateway.schemas import Package, Registry
from gateway.validation import Report, validate
from tests.conftest import ROOT
from tests.unit.validated import XSI, a_document, a_registry, report


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return a_registry(tmp_path_factory.mktemp("site")).packages["probe@1"]


# --- what is said --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inside", "rule", "path", "expected"), [
    ("<ja>MARK</ja>", "enumeration", "/r/ja", ("ja", "nein")),
    ("<lang>MARK</lang>", "enumeration", "/r/lang", tuple(f"c{n:03}" for n in range(20))),
    ("<nah>MARK</nah>", "enumeration", "/r/nah", tuple(f"c{n:03}" for n in range(20))),
    ("<liste>ja MARK</liste>", "enumeration", "/r/liste", ("ja", "nein")),
    ("<tag>MARK</tag>", "type", "/r/tag", ("xs:date", "xs:gYear")),
    ("<zahl>MARK</zahl>", "type", "/r/zahl", ("xs:int",)),
    ("<zahl>1</zahl>", "range", "/r/zahl", ("3",)),
    ("<zahl>9</zahl>", "range", "/r/zahl", ("9",)),
    ("<plz>MARK</plz>", "pattern", "/r/plz", ("[0-9]{5}",)),
    ("<kurz>M</kurz>", "length", "/r/kurz", ("2",)),
    ("<kurz>MARK!</kurz>", "length", "/r/kurz", ("4",)),
    ("<genau>MARK</genau>", "length", "/r/genau", ("2",)),
    ("<geld>12345</geld>", "range", "/r/geld", ("4",)),
    ("<geld>1.234</geld>", "range", "/r/geld", ("2",)),
    ("<datum>MARK</datum>", "type", "/r/datum", ("xs:date",)),
    ("<wahr>MARK</wahr>", "type", "/r/wahr", ("xs:boolean",)),
    ("<fest>MARK</fest>", "fixed-value", "/r/fest", ("F",)),
    (f'<nullbar {XSI} xsi:nil="true">3</nullbar>', "nil", "/r/nullbar", ()),
    (f'<datum {XSI} xsi:nil="true">2026-01-01</datum>', "nil", "/r/datum", ()),
    ("<abstrakt/>", "abstract-type", "/r/abstrakt", ()),
    (f'<tag {XSI} xsi:type="MARK">2026</tag>', "xsi-type", "/r/tag", ()),
    ("<attr/>", "missing-attribute", "/r/attr", ("q",)),
    ('<attr q="MARK"/>', "enumeration", "/r/attr/@q", ("ja", "nein")),
    ('<attr q="ja" fest="MARK"/>', "fixed-value", "/r/attr/@fest", ("z",)),
    ('<attr q="ja" MARK="1"/>', "unexpected-attribute", "/r/attr", ()),
    ('<attr q="ja" id="MARK"/><attr q="ja" id="MARK"/>', "type", "/r/attr[2]/@id", ("xs:ID",)),
    ("<leer>MARK</leer>", "not-empty", "/r/leer", ()),
    ("<text><MARK/></text>", "unexpected-element", "/r/text", ()),
    ("<folge>MARK<eins>1</eins><zwei>2</zwei></folge>", "unexpected-text", "/r/folge", ()),
    ("<folge/>", "missing-element", "/r/folge", ("eins",)),
    ("<folge><eins>1</eins></folge>", "missing-element", "/r/folge", ("zwei",)),
    ("<folge><zwei>1</zwei></folge>", "unexpected-element", "/r/folge/zwei", ("eins",)),
    ('<folge><eins>1</eins><zwei>1</zwei><x xmlns="urn:MARK"/></folge>', "unknown-element", "/r/folge/*", ()),
    ("<MARK/>", "unexpected-element", "/r/*", ("ja", "lang", "tag", "nah", "liste", "zahl", "plz", "kurz", "genau", "geld")),
    ('<k v="MARK"/><k v="MARK"/>', "duplicate-key", "/r/k[2]", ()),
    ('<kr v="MARK"/>', "unknown-key", None, ()),
    ("<k/>", "incomplete-key", "/r/k", ()),
    ('<attr q="ja" ref="MARK"/>', "dangling-reference", "/r/attr/@ref", ()),
    ('<attr q="ja" id="a" refs="a MARK"/>', "dangling-reference", "/r/attr/@refs", ()),
    ("<datei>QUJD!</datei>", "type", "/r/datei", ("xs:base64Binary",)),
    ("<datei>QUJDRA=</datei>", "type", "/r/datei", ("xs:base64Binary",)),
])
def test_each_kind_of_fault_has_its_rule_its_place_and_what_was_expected(
    package: Package, inside: str, rule: str, path: str | None, expected: tuple[str, ...]
) -> None:
    said = report(package, inside)
    assert not said.valid
    (finding,) = said.findings
    assert (finding.rule, finding.path, finding.expected, finding.line, finding.code) == (rule, path, expected, 2, "X001")
    assert finding.de.endswith(".")
    assert finding.en.endswith(".")
    assert "MARK" not in repr(said)


@pytest.mark.parametrize("inside", [
    "", "<lang> c007 </lang>", "<liste>ja nein ja</liste>", "<datei> QUJD\nRA==\n</datei>", "<datei/>",
    '<attr q="ja" id="a" ref="b"/><attr q="ja" id="b" refs="a b"/>', "<tag>2026</tag>",
    f'<nullbar {XSI} xsi:nil="true"/>',
])
def test_what_is_valid_has_no_findings(package: Package, inside: str) -> None:
    said = report(package, inside)
    assert said.valid
    assert said.findings == ()
    assert said.complete


def test_the_sentences_are_german_and_english_as_a_clerk_would_say_them(package: Package) -> None:
    (date,) = report(package, "<datum>12.01.2026</datum>").findings
    assert date.de == "Der Wert des Elements „datum“ muss ein Datum der Form JJJJ-MM-TT sein."
    assert date.en == "The value of the element “datum” must be a date of the form YYYY-MM-DD."
    (code,) = report(package, "<lang>x</lang>").findings
    assert code.de == "Der Wert des Elements „lang“ steht nicht in der Liste der 250 erlaubten Werte."
    (missing,) = report(package, "<folge/>").findings
    assert missing.de == "Innerhalb des Elements „folge“ fehlt ein Element: eins."


def test_a_stage_can_warn_or_be_switched_off(tmp_path: Path) -> None:
    package = a_registry(tmp_path, manifest='[stages]\nids = "warn"\nbase64 = "off"').packages["probe@1"]
    said = report(package, '<attr q="ja" ref="x"/><datei>QUJD!</datei>')
    assert said.valid
    assert [(finding.rule, finding.severity) for finding in said.findings] == [("dangling-reference", Severity.WARNING)]


def test_every_step_is_timed(package: Package) -> None:
    assert set(report(package, "").timings) == {"schema", "ids", "base64", "codes"}


# --- never the value -------------------------------------------------------------------------------------------------------

_TRICKS = [
    "M", "M' is not accepted by the pattern 'M'.", "M' is not an element of the set {'M'}.", "'M'}.", "M. Expected is ( M ).",
    "M' is not a valid value of the union type 'M'.", "M' is not a valid value of the atomic type 'xs:M'.", "['M']",
    "; this exceeds the allowed maximum length of 'M'.", "(‘M’)", "('M').", "does not match the fixed value constraint 'M'.",
]
_places = [
    "<ja>{}</ja>", "<lang>{}</lang>", "<nah>{}</nah>", "<liste>{}</liste>", "<tag>{}</tag>", "<zahl>{}</zahl>",
    "<plz>{}</plz>", "<kurz>{}</kurz>", "<genau>{}</genau>", "<geld>{}</geld>", "<datum>{}</datum>", "<fest>{}</fest>",
    '<attr q="{}"/>', '<attr q="ja" fest="{}" ref="{}"/>', '<attr q="ja" lang="{}"/>', "<leer>{}</leer>",
    "<folge>{}</folge>", '<k v="{}"/><k v="{}"/>', '<kr v="{}"/>', '<x xmlns="{}"/>', '<p:x xmlns:p="{}" p:y="{}"/>',
    '<attr q="ja" p:z="{}" xmlns:p="{}"/>', f'<tag {XSI} xsi:type="{{}}">x</tag>', '<datei>{}</datei>', "{}",
]
_names = ["<N/>", "<folge><N/></folge>", "<text><N>1</N></text>", '<attr q="ja" N="1"/>', '<N:x xmlns:N="urn:n"/>',
          '<folge><eins>1</eins><zwei>2</zwei><N xmlns="urn:o"/></folge>']


@given(
    trick=st.sampled_from(_TRICKS), mark=st.text("abcdefghijklmnopqrstuvwxyzäß", min_size=9, max_size=14),
    places=st.lists(st.sampled_from(_places + _names), min_size=1, max_size=6), wary=st.booleans(),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_word_of_the_document_is_ever_in_a_finding(
    package: Package, trick: str, mark: str, places: list[str], *, wary: bool
) -> None:
    mark = f"qx{mark}"
    value = trick.replace("M", mark).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    body = a_document("\n".join(place.replace("{}", value).replace("N", mark) for place in places))
    if wary:
        validate(read(a_document("<lang>x</lang>")), package)
    try:
        said = validate(read(body), package)
    except Unacceptable as refused:
        said = Report(refused.findings)
    assert mark not in repr(said)


@given(
    values=st.lists(st.sampled_from(["c001", " c002 ", "c\n003", "x", "", "c001 c002", "C001", "c249", "c250"]), max_size=6),
    tags=st.lists(st.sampled_from(["lang", "nah", "ja", "plz"]), min_size=6, max_size=6),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_sender_of_wrong_codes_gets_the_same_findings_as_the_first_time(
    package: Package, values: list[str], tags: list[str]
) -> None:
    inside = "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, values, strict=False))
    inside += "".join(f'<attr q="ja" lang="{value}"/>' for value in values)
    fresh = CompiledSchema(package.schema.files, package.schema.declared)
    first = run_steps(read(a_document(inside)), fresh, package.stages)
    run_steps(read(a_document("<lang>x</lang>")), fresh, package.stages)
    second = run_steps(read(a_document(inside)), fresh, package.stages)
    assert first.findings == second.findings
    assert first.complete == second.complete


def test_the_twin_is_really_used_after_a_wrong_code(package: Package) -> None:
    fresh = CompiledSchema(package.schema.files, package.schema.declared)
    wrong = read(a_document("<lang>x</lang>"))
    assert not fresh.check(wrong).errors[0].wrapped
    assert fresh.check(wrong).errors[0].wrapped
    for _ in range(100):
        assert fresh.check(read(a_document("<lang>c001</lang>"))).valid
    assert not fresh.check(wrong).errors[0].wrapped, "and no longer after many good ones"


# --- the samples that ship -----------------------------------------------------------------------------------------------------

SAMPLES = [path for path in sorted(ROOT.glob("schemas/leistungen/*/samples/*.xml")) if not path.name.startswith("form-")]


@pytest.fixture(scope="module")
def shipped() -> Registry:
    return Registry.load(ROOT / "schemas")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_every_sample_gets_the_findings_that_are_written_beside_it(path: Path, shipped: Registry) -> None:
    document = read(path.read_bytes())
    package = shipped.detect(document)
    assert package.leistung == path.parts[-3]
    said = validate(document, package)
    expected = json.loads(path.with_suffix(".expected.json").read_text())
    assert said.valid == expected["valid"]
    assert len(said.findings) == len(expected["findings"])
    for finding, wanted in zip(said.findings, expected["findings"], strict=True):
        assert _matches(finding, wanted), (finding, wanted)


def _matches(finding: Finding, wanted: dict[str, str]) -> bool:
    """The place beside a sample has no prefixes, may name an attribute's element, and an element that the schema does not
    know by its name; we name the attribute, and say * for what only the sender knows."""
    path = re.sub(r"/@[^/]+\Z|(?<=/)[\w.-]+:", "", finding.path or "")
    known = path if not path.endswith("/*") else path[:-1] + wanted["path"].rpartition("/")[2]
    return known == wanted["path"] and (finding.rule == wanted["rule"] or {finding.rule, wanted["rule"]} == {"range", "type"})


def test_explaining_nothing_finds_nothing(package: Package) -> None:
    assert explain((), read(b"<a/>").root, package.schema.declared) == ()


def test_the_shipped_packages_have_no_explosive_pattern(shipped: Registry) -> None:
    assert not any(package.isolate for package in shipped.packages.values())
