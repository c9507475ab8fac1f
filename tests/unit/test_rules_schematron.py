"""Schematron: what rules mean, which of them apply, and what is said of broken ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.findings import Finding, Severity
from gateway.rules.ruleset import RuleSet, _heads
from gateway.rules.saxon import Saxon
from gateway.rules.schematron import check, prepare
from tests.unit.schematrons import AGE, NAMES, found, message, pattern, ready, schematron


@pytest.fixture(scope="module")
def engine() -> Iterator[Saxon]:
    one = Saxon(deadline=5)
    yield one
    one.close()


# --- what rules mean -----------------------------------------------------------------------------------------------------


def test_a_broken_rule_is_told_with_its_place_and_the_words_of_the_standard(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, AGE, engine)
    document = message("\n<hund><alter>3</alter></hund>\n<hund><alter>-1</alter></hund>")
    assert check(document, rules, engine, names=NAMES) == [Finding(
        "S999", "schematron:alter", "Zu jung.", "A rule of the standard does not hold (alter). It says: Zu jung.", line=3,
        path="/antrag/hund[2]")]


def test_xpath_2_is_understood(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, pattern(
        """<sch:rule context="h:hund"><sch:assert id="a" test="if (h:alter = ('1', '2')) then exists(h:name) and
        matches(h:name, '^[A-Z]+$') else every $x in h:name satisfies empty($x/*)">n</sch:assert></sch:rule>"""), engine)
    assert found(message("<hund><alter>1</alter><name>REX</name></hund>"), rules, engine) == []
    assert found(message("<hund><alter>2</alter></hund>"), rules, engine) == [("schematron:a", "/antrag/hund")]


def test_a_report_says_what_is_wrong_when_its_test_holds(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, pattern(
        '<sch:rule context="h:hund"><sch:report id="r" test="h:name" role="warning">Name.</sch:report></sch:rule>'), engine)
    (finding,) = check(message("<hund><name/></hund><hund/>"), rules, engine, names=NAMES)
    assert (finding.rule, finding.path, finding.severity) == ("schematron:r", "/antrag/hund[1]", Severity.WARNING)


def test_in_a_pattern_only_the_first_rule_that_matches_a_node_judges_it(tmp_path: Path, engine: Saxon) -> None:
    first = '<sch:rule context="h:hund[h:alter]"><sch:assert id="erste" test="h:name">x</sch:assert></sch:rule>'
    second = '<sch:rule context="h:hund"><sch:assert id="zweite" test="false()">x</sch:assert></sch:rule>'
    both = message("<hund><alter/></hund><hund/>")
    together = ready(tmp_path, pattern(first, second), engine)
    apart = ready(tmp_path, pattern(first) + pattern(second), engine)
    assert found(both, together, engine) == [("schematron:erste", "/antrag/hund[1]"), ("schematron:zweite", "/antrag/hund[2]")]
    assert len(found(both, apart, engine)) == 3


def test_abstract_rules_are_extended_with_their_variables(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, pattern(
        '<sch:rule abstract="true" id="basis"><sch:let name="n" value="count(h:name)"/>'
        '<sch:assert id="b" test="$n eq 1">x</sch:assert></sch:rule>',
        '<sch:rule abstract="true" id="mehr"><sch:extends rule="basis"/>'
        '<sch:assert id="m" test="h:alter">x</sch:assert></sch:rule>',
        '<sch:rule context="h:antrag/h:hund"><sch:extends rule="mehr"/></sch:rule>'), engine)
    assert [rule for rule, _ in found(message("<hund/>"), rules, engine)] == ["schematron:b", "schematron:m"]


def test_abstract_patterns_are_filled_with_their_parameters(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, (
        '<sch:pattern abstract="true" id="muss"><sch:rule context="$wo">'
        '<sch:assert id="muss" test="$was">x</sch:assert></sch:rule></sch:pattern>'
        '<sch:pattern is-a="muss"><sch:param name="wo" value="h:hund"/><sch:param name="was" value="h:name"/></sch:pattern>'
    ), engine)
    assert found(message("<hund/><hund><name/></hund>"), rules, engine) == [("schematron:muss", "/antrag/hund[1]")]


def test_variables_of_the_schema_and_of_a_rule_are_known(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, '<sch:let name="grenze" value="2"/>' + pattern(
        '<sch:rule context="h:antrag"><sch:let name="n" value="count(h:hund)"/>'
        '<sch:assert id="n" test="$n le $grenze">x</sch:assert></sch:rule>'), engine)
    assert found(message("<hund/><hund/>"), rules, engine) == []
    assert found(message("<hund/><hund/><hund/>"), rules, engine) == [("schematron:n", "/antrag")]


def test_attributes_and_the_whole_document_can_be_contexts(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, pattern(
        '<sch:rule context="@art"><sch:assert id="art" test=". = \'neu\'">x</sch:assert></sch:rule>',
        '<sch:rule context="/"><sch:assert id="wurzel" test="h:brief">x</sch:assert></sch:rule>'), engine)
    assert found(message('<hund art="alt"/><hund art="neu"/>'), rules, engine) == [
        ("schematron:wurzel", None), ("schematron:art", "/antrag/hund[1]/@art")]


def test_only_the_patterns_of_the_default_phase_are_used(tmp_path: Path, engine: Saxon) -> None:
    named = pattern('<sch:rule context="h:hund"><sch:assert id="p" test="h:name">x</sch:assert></sch:rule>')
    file = schematron(
        tmp_path, '<sch:phase id="eins"><sch:active pattern="p"/></sch:phase>'
        + AGE.replace("<sch:pattern>", '<sch:pattern id="q">') + named.replace("<sch:pattern>", '<sch:pattern id="p">'),
        'queryBinding="xslt2" defaultPhase="eins"')
    rules, faults = prepare([file], engine)
    assert not faults
    assert found(message("<hund/>"), rules, engine) == [("schematron:p", "/antrag/hund")]


def test_a_rule_that_cannot_be_evaluated_on_a_message_is_a_warning_and_ends_no_other(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, AGE + pattern(
        '<sch:rule context="h:hund"><sch:assert id="name" test="h:name">Name fehlt.</sch:assert></sch:rule>'), engine)
    findings = check(message("<hund><alter>GEHEIM</alter></hund>"), rules, engine, names=NAMES)
    assert [(one.rule, one.severity) for one in findings] == [
        ("schematron-not-evaluated", Severity.WARNING), ("schematron:name", Severity.ERROR)]
    assert "GEHEIM" not in repr(findings)


def test_values_that_a_text_would_quote_are_left_out(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, pattern(
        '<sch:rule context="h:hund"><sch:assert id="a" test="h:alter">Der Hund „<sch:value-of select="h:name"/>“\n hat'
        '  <sch:emph>kein</sch:emph> Alter.</sch:assert></sch:rule>'), engine)
    (finding,) = check(message("<hund><name>GEHEIM</name></hund>"), rules, engine, names=NAMES)
    assert finding.de == "Der Hund „…“ hat kein Alter."


def test_no_more_findings_are_made_than_are_shown_though_a_hundred_thousand_are_wrong(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(
        tmp_path, pattern('<sch:rule context="h:hund"><sch:assert id="a" test="h:name">x</sch:assert></sch:rule>'), engine)
    findings = check(message("<hund/>" * 100_000), rules, engine, names=NAMES)
    assert len(findings) == 50
    assert findings[49].path == "/antrag/hund[50]"


# --- which rules apply ---------------------------------------------------------------------------------------------------


class Never(Saxon):
    def judge(self, sheet: str, view: bytes) -> list[tuple[int, str]] | None:
        raise AssertionError("the engine was asked")


def test_where_no_rule_can_apply_the_engine_is_not_asked(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, pattern(
        '<sch:rule context="h:brief//h:hund"><sch:assert id="a" test="false()">x</sch:assert></sch:rule>',
        '<sch:rule context="/h:brief[h:hund|h:name]/h:hund|h:zettel"><sch:assert id="b" test="false()">x</sch:assert></sch:rule>'
    ), engine)
    assert check(message("<hund/>"), rules, Never(), names=NAMES) == []
    assert found(message("<hund/>", root="brief"), rules, engine) == [("schematron:a", "/brief/hund")]
    assert found(message("<zettel/>"), rules, engine) == [("schematron:b", "/antrag/*")]


@pytest.mark.parametrize("context", [
    "*", "//*", "h:*", "*:hund", "@*", "/", "(h:brief)", "element(h:brief)", "child::h:hund", "h:hund union h:brief", ".",
    "h:brief | *", "id('x')/h:hund", "unbekannt:brief"])
def test_a_context_that_names_no_element_first_may_match_anything(context: str) -> None:
    assert _heads(context, {"h": "urn:hund"}) is None


def test_a_context_is_known_by_the_first_element_of_each_alternative() -> None:
    assert _heads(" h:brief [ @a='|' ] //h:hund|//zettel | /h:a", {"h": "urn:hund"}) == {
        "{urn:hund}brief", "zettel", "{urn:hund}a"}


# --- broken rules --------------------------------------------------------------------------------------------------------


def test_a_broken_assertion_is_named_at_install_and_the_others_stay(tmp_path: Path, engine: Saxon) -> None:
    file = schematron(tmp_path, "\n".join((
        '<sch:pattern>\n<sch:rule context="h:hund">',
        '<sch:assert id="gut" test="h:name">x</sch:assert>',
        '<sch:assert id="tippfehler" test="iif (exists(h:alter)) then true() else false()">x</sch:assert>',
        '<sch:assert id="unbekannt" test="$weg = 1">x</sch:assert></sch:rule>',
        '<sch:rule context="h:[">\n<sch:assert id="ort" test="true()">x</sch:assert></sch:rule>',
        '<sch:rule context="h:brief"><sch:assert id="auch-gut" test="h:name">x</sch:assert></sch:rule></sch:pattern>')))
    rules, faults = prepare([file], engine)
    assert [(fault.line, fault.de.partition(":")[0]) for fault in faults] == [
        (4, "tippfehler"), (5, "unbekannt"), (6, "die Regel ist fehlerhaft")]
    assert all(fault.file.endswith("regeln.sch") for fault in faults)
    assert found(message("<hund/><brief/>"), rules, engine) == [
        ("schematron:gut", "/antrag/hund"), ("schematron:auch-gut", "/antrag/brief")]


@pytest.mark.parametrize(("text", "says"), [
    ("<a", "not well-formed"), ("<a/>", "not ISO Schematron"),
    ('<schema xmlns="http://www.ascc.net/xml/schematron"/>', "not ISO Schematron"),
    ('<!DOCTYPE schema [<!ENTITY e "x">]><schema xmlns="http://purl.oclc.org/dsdl/schematron"/>', "DOCTYPE"),
    ('<schema xmlns="http://purl.oclc.org/dsdl/schematron" queryBinding="exslt"/>', "queryBinding"),
    ('<schema xmlns="http://purl.oclc.org/dsdl/schematron"><include href="/etc/passwd"/></schema>', "includes another file"),
    ('<schema xmlns="http://purl.oclc.org/dsdl/schematron"><f xmlns="http://www.w3.org/1999/XSL/Transform"/></schema>', "XSLT"),
    ('<schema xmlns="http://purl.oclc.org/dsdl/schematron"><ns prefix="1" uri="u"/></schema>', "namespace"),
    ('<schema xmlns="http://purl.oclc.org/dsdl/schematron"><pattern is-a="x"/></schema>', "abstract pattern x is missing"),
])
def test_what_is_not_supported_is_said(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "r.sch"
    file.write_text(text)
    rules, faults = prepare([file], None)
    assert rules.assertions == 0
    assert says in "\n".join(map(str, faults))


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert "cannot be read" in str(prepare([tmp_path / "weg.sch"], None)[1][0])


def test_an_abstract_rule_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    file = schematron(tmp_path, pattern('<sch:rule context="h:hund"><sch:extends rule="x"/></sch:rule>'))
    assert "abstract rule x is missing" in str(prepare([file], None)[1][0])


def test_an_abstract_rule_that_extends_itself_is_a_fault_and_no_loop(tmp_path: Path) -> None:
    file = schematron(tmp_path, pattern(
        '<sch:rule abstract="true" id="a"><sch:extends rule="a"/></sch:rule>',
        '<sch:rule context="h:hund"><sch:extends rule="a"/></sch:rule>'))
    assert "extends itself" in str(prepare([file], None)[1][0])


def test_two_files_that_disagree_on_a_prefix_are_not_mixed(tmp_path: Path, engine: Saxon) -> None:
    one = schematron(tmp_path, AGE)
    two = tmp_path / "zwei.sch"
    two.write_text(one.read_text().replace("urn:hund", "urn:katze"))
    rules, faults = prepare([one, two], engine)
    assert "prefix" in str(faults[0])
    assert rules.assertions == 1


def test_rules_of_another_format_are_refused() -> None:
    with pytest.raises(ValueError, match="format"):
        RuleSet.from_json({"format": 0})
