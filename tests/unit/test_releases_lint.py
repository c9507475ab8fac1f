"""Lint: what libxml2 is weak at is named, and where it is wrong that is proven."""

from __future__ import annotations

import re

import pytest
from elementpath.regex import translate_pattern
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.packages.schemafiles import read_schema
from gateway.releases.lint import lint, remarks_on
from gateway.releases.remarks import summary
from gateway.releases.xsdpattern import atoms_of, parse
from tests.conftest import ROOT
from tests.unit.minirelease import element, xsd


def rules(pattern: str) -> list[str]:
    return [rule for rule, _, _ in remarks_on(pattern)]


@pytest.mark.parametrize(("pattern", "expected"), [
    ("[0-9]{5}|[0-9]{8}", ["engines-differ"]),
    ("(([0-9]{2})|([0-9]{4}))x", ["engines-differ"]),
    (r"[\P{L}]", ["negated-property", "engines-differ"]),
    ("[a-z-[aeiou]]+", ["class-subtraction"]),
    ("a{0,2000}", ["counter"]),
    (r"([a-z]{3}:\d+)|x{2}", ["counting-alternatives"]),
    ("[0-9]{5}([0-9]{3})?", []),
    (r"[\p{L}]{2,5}", []),
    ("[a-z]-[0-9]", []),
    (r"[a-z\-]", []),
    ("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}", []),
    ("[A-Z]{2}[0-9]{2}([A-Z0-9]{4}){2,7}", []),
    (".*", []),
])
def test_each_weak_construct_has_its_name_and_sound_ones_have_none(pattern: str, expected: list[str]) -> None:
    assert rules(pattern) == expected


def test_a_proven_difference_says_the_length_of_the_text_and_what_is_wrong() -> None:
    (_, de, en), = remarks_on("[0-9]{5}|[0-9]{8}")
    assert "Ein Text von 12 Zeichen wird angenommen, obwohl er nicht passt" in de
    assert "12 characters is taken although it does not fit" in en


def test_a_pattern_that_takes_forever_is_given_up() -> None:
    assert "engines-differ" not in rules("(a|a|aa)*(a|aa)*(a|aa)*b")


@pytest.mark.parametrize(("body", "rule"), [
    ('<xs:element name="a" type="xs:IDREF"/>', "idref"),
    ('<xs:element name="a"><xs:simpleType><xs:list itemType="xs:IDREF"/></xs:simpleType></xs:element>', "idref"),
    ('<xs:attribute name="a" type="xs:IDREFS"/>', "idref"),
    ('<xs:simpleType name="a"><xs:restriction base="xs:NOTATION"><xs:enumeration value="n"/></xs:restriction></xs:simpleType>',
     "notation"),
    ('<xs:notation name="n" public="p"/>', "notation"),
    (element(content='<xs:element name="b" type="xs:int" maxOccurs="1001"/>'), "bound"),
    (element(content='<xs:element name="b" type="xs:int" minOccurs="5000" maxOccurs="unbounded"/>'), "bound"),
])
def test_declarations_that_need_care_are_named(body: str, rule: str) -> None:
    (remark,) = lint({"k": etree.fromstring(xsd(body))}, {"k": "datei.xsd"})
    assert (remark.rule, remark.file, remark.line) == (rule, "datei.xsd", 2)


def test_ordinary_declarations_are_not_named() -> None:
    body = element(content='<xs:element name="b" type="xs:ID" maxOccurs="1000"/><xs:element name="IDREF" type="t:IDREF"/>')
    assert lint({"k": etree.fromstring(xsd(body))}, {"k": "datei.xsd"}) == []


def test_a_hundred_places_of_one_rule_are_one_remark_with_a_number() -> None:
    body = "".join(f'<xs:element name="a{n}" type="xs:IDREF"/>' for n in range(100))
    (remark,) = summary(lint({"k": etree.fromstring(xsd(body))}, {"k": "d.xsd"}))
    assert remark.count == 100


def test_the_atoms_of_a_pattern_are_found() -> None:
    assert atoms_of(r"(a|[b-d-[c]]{2}\p{Lu}+)x[\]\[]?.") == ["[b-d-[c]]", r"\p{Lu}", r"[\]\[]", "."]


_PIECES = st.sampled_from(["a", "[0-9]", "[a-c]{2}", "x{1,3}", "(ab)?", "(a|b{2})", r"\d+", r"\.", "[^x]", "(a{2}|b{3}|c)", ".*"])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(_PIECES, min_size=1, max_size=4).map("".join), min_size=1, max_size=3).map("|".join))
def test_texts_made_for_a_pattern_hit_both_sides_of_it(pattern: str) -> None:
    """At least one text fits and one does not, else a disagreement could not be seen."""
    fitting = {"[0-9]": "5", "[a-c]": "a", r"\d": "5", r"\.": ".", "[^x]": "a", ".": "a"}
    samples = {atom: fitting[atom] for atom in atoms_of(pattern)}
    tree = parse(pattern, samples)
    assert tree is not None
    fits = re.compile(translate_pattern(pattern, back_references=False, lazy_quantifiers=False, anchors=False)).fullmatch
    verdicts = {fits(text) is not None for text in tree.texts(400)}
    assert True in verdicts
    assert False in verdicts or fits("") is not None or ".*" in pattern or "[^x]" in pattern


def test_our_own_schemas_give_no_reason_for_a_remark() -> None:
    files = [*sorted(ROOT.glob("schemas/basis/*.xsd")), *sorted(ROOT.glob("schemas/leistungen/*/message.xsd"))]
    roots = {str(path): read_schema(path)[1] for path in files}
    assert len(roots) > 9
    assert lint(roots, {key: key for key in roots}) == []
