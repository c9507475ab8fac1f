"""DIN 91379: which characters go where, and what a Latin-1 target gets instead."""

from __future__ import annotations

import unicodedata

import pytest

from gateway.document import Document, read
from gateway.rules.characters import CharacterRules, check
from gateway.rules.din91379 import REPERTOIRES, SEQUENCES, DataType
from gateway.rules.transliteration import basic_letters, transliterate

NAMES = frozenset({"antrag", "familienname", "strasse", "firma", "text", "art"})


def message(**fields: str) -> Document:
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    return read(f"<antrag>{inside}</antrag>".encode())


def said(document: Document, rules: CharacterRules | None = None) -> list[tuple[str, str | None]]:
    return [(one.rule, one.path) for one in check(document, rules or CharacterRules(), names=NAMES)]


# --- the repertoire ------------------------------------------------------------------------------------------------------


def test_each_data_type_contains_the_narrower_ones() -> None:
    a, b, c, d, e = (REPERTOIRES[kind].points for kind in DataType)
    assert a < b < c < e
    assert b < d < e
    assert [len(points) for points in (a, b, c, d, e)] == [518, 578, 588, 695, 761]


def test_every_character_and_sequence_of_the_norm_is_in_nfc() -> None:
    assert len(SEQUENCES) == 149
    for text in SEQUENCES | {chr(point) for point in REPERTOIRES[DataType.E].points}:
        assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize("kind", list(DataType))
def test_every_sequence_is_allowed_and_its_marks_are_not_elsewhere(kind: DataType) -> None:
    repertoire = REPERTOIRES[kind]
    for sequence in SEQUENCES:
        assert repertoire.first_foreign(f"x{sequence}y{sequence}") is None
    assert repertoire.first_foreign("ab\u0325") == 2
    assert repertoire.first_foreign("K\u035fx") == 1


@pytest.mark.parametrize(
    ("text", "allowed"),
    [("Łukasz-Jörg O'Brien", "ABCDE"), ("Nr. 5/7 (Hof)", "BCDE"), ("zwei\nZeilen", "CE"), ("Ελλάς", "DE"), ("Бойко", "E"),
     ("北京", ""), ("a\u00adb", ""), ("\u200b", ""), ("©", "BCDE"), ("„Café“", "DE"), ("§ 5", "BCDE")],
)
def test_a_text_is_allowed_where_the_norm_allows_it(text: str, allowed: str) -> None:
    assert "".join(kind for kind in DataType if REPERTOIRES[kind].first_foreign(text) is None) == allowed


# --- the stage -----------------------------------------------------------------------------------------------------------


def test_names_with_the_letters_of_europe_pass() -> None:
    assert said(message(familienname="Şimşek-Łoś", strasse="Über den Eichen 5/7", firma="Ωmega + Söhne")) == []


def test_a_foreign_letter_in_a_name_is_told_with_place_but_not_with_the_letter() -> None:
    findings = check(message(familienname="Ива Müller"), CharacterRules(), names=NAMES)
    assert [(one.rule, one.path, one.line, one.expected) for one in findings] == [
        ("character-not-allowed", "/antrag/familienname", 1, ("DIN 91379, Datentyp A",))]
    assert "An Stelle 1 steht ein Schriftzeichen" in findings[0].de
    assert "И" not in repr(findings)


def test_a_plain_ascii_sign_that_no_name_has_is_found() -> None:
    assert said(message(familienname="M%ller")) == [("character-not-allowed", "/antrag/familienname")]
    assert said(message(strasse="M%ller")) == []


@pytest.mark.parametrize("beside", ["a", "ä"])
def test_a_line_break_in_a_street_is_found_whatever_stands_beside_it(beside: str) -> None:
    assert said(message(familienname=beside, strasse="Haupt\nweg")) == [("character-not-allowed", "/antrag/strasse")]


def test_a_text_that_is_only_not_normalised_is_told_as_such() -> None:
    decomposed = unicodedata.normalize("NFD", "Müller-\u1e62\u0304")
    assert said(message(familienname=decomposed)) == [("not-normalised", "/antrag/familienname")]
    assert said(message(familienname=decomposed + "%")) == [("character-not-allowed", "/antrag/familienname")]
    assert said(message(familienname="\u1e62\u0304")) == []


def test_a_text_within_the_norm_is_always_in_nfc() -> None:
    units = sorted(SEQUENCES | {chr(point) for point in REPERTOIRES[DataType.E].points})
    for unit in units:
        assert unicodedata.is_normalized("NFC", units[7] + unit + units[-7])
        assert not unicodedata.combining(unit[0])


def test_the_rest_of_the_message_is_looked_at_only_on_request() -> None:
    document = read("<antrag art='北'><text>京 <familienname>Ok</familienname>都</text></antrag>".encode())
    assert said(document) == []
    assert said(document, CharacterRules(whole=DataType.C)) == [
        ("character-not-allowed", "/antrag/@art"), ("character-not-allowed", "/antrag/text"),
        ("character-not-allowed", "/antrag/text")]


def test_a_delete_character_is_found_in_ascii_text() -> None:
    assert said(message(text="a\x7fb"), CharacterRules(whole=DataType.C)) == [("character-not-allowed", "/antrag/text")]


def test_white_space_around_a_name_is_no_fault() -> None:
    assert said(message(familienname="\n   Müller\n  ")) == []


def test_no_more_findings_are_made_than_are_shown() -> None:
    document = read(("<antrag>" + "<familienname>北</familienname>" * 500 + "</antrag>").encode())
    assert len(check(document, CharacterRules(), names=NAMES)) == 50


# --- transliteration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letter", "basic"),
    [("ä", "ae"), ("Ö", "OE"), ("ß", "ss"), ("ẞ", "SS"), ("Å", "AA"), ("Ǻ", "AA"), ("Æ", "AE"), ("Ǽ", "AE"), ("Ø", "OE"),
     ("Ǿ", "OE"),
     ("Þ", "TH"), ("Ð", "D"), ("Đ", "D"), ("Ł", "L"), ("Ŋ", "N"), ("ŉ", "n"), ("Œ", "OE"), ("Ĳ", "IJ"), ("ĸ", "k"), ("Ŀ", "L"),
     ("Ə", "E"), ("Ʒ", "Z"), ("Ǯ", "Z"), ("Ɨ", "I"), ("ı", "i"), ("İ", "I"), ("Ő", "O"), ("Ű", "U"), ("A\u030b", "A"), ("Ë", "E"),
     ("Ǖ", "UE"), ("Ǟ", "AE"), ("Ȫ", "OE"), ("\u1ea0\u0308", "AE"), ("\u1ee4\u0308", "UE"), ("Z\u0308", "Z"), ("Ơ", "O"),
     ("Ǥ", "G")],
)
def test_letters_become_the_basic_letters_of_the_norm(letter: str, basic: str) -> None:
    assert basic_letters(letter) == basic


def test_every_letter_of_the_norm_has_basic_letters() -> None:
    points = map(chr, REPERTOIRES[DataType.A].points)
    letters = SEQUENCES | {letter for letter in points if unicodedata.category(letter) in ("Lu", "Ll")}
    assert len(letters) > 600
    for letter in letters:
        whole = transliterate(letter, encoding="ascii")
        assert whole.complete
        assert whole.text.isascii()
        assert whole.text.isalpha()


def test_only_what_the_target_cannot_hold_is_changed() -> None:
    result = transliterate("Jürgen Dvořák-Łoś, Straße")
    assert result.text == "Jürgen Dvorák-Los, Straße"
    assert [(one.at, one.normative) for one in result.changes] == [(10, True), (14, True), (16, True)]
    assert transliterate("Jürgen").changes == ()


def test_case_is_kept() -> None:
    assert transliterate("Œuvre ŒUVRE œ").text == "Oeuvre OEUVRE oe"
    assert transliterate("Ǽsop ǼSOP", encoding="ascii").text == "Aesop AESOP"


def test_signs_have_usual_substitutes_which_are_not_called_normative() -> None:
    result = transliterate("O’Brien 5 €")
    assert result.text == "O'Brien 5 EUR"
    assert [one.normative for one in result.changes] == [False, False]
    assert transliterate("5 €", encoding="cp1252").text == "5 €"


def test_what_has_no_substitute_is_left_and_told() -> None:
    result = transliterate("Ива")
    assert result.text == "Ива"
    assert result.unmapped == (0, 1, 2)
    assert not result.complete


def test_the_text_stays_out_of_repr() -> None:
    assert "Dvo" not in repr(transliterate("Dvořák"))
