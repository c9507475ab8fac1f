"""Groups of failures: one cause, one group, nothing personal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.causes import cause_of, code_of, gist_of, place_of, text_of
from gateway.submission import DeadClass


def test_ten_thousand_applicants_with_one_missing_field_are_one_group() -> None:
    reasons = [
        "Pflichtfeld 'Geburtsdatum' fehlt für Erika Mustermann, geb. 12.08.1964",
        "Pflichtfeld 'Geburtsdatum' fehlt für Sören Öztürk, geb. 1.1.2001",
        "Pflichtfeld „Geburtsdatum“ fehlt für Max Mustermann-Meyer, geb. 31.12.1999",
    ]

    causes = {cause_of(DeadClass.REFUSED, target="register", code="E17", reason=reason) for reason in reasons}

    assert len(causes) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"target": "wohngeld-hn"},
        {"code": "E18"},
        {"place": "/antrag/halter"},
        {"reason": "Schlüssel unbekannt"},
        {"kind": DeadClass.EXHAUSTED},
    ],
)
def test_another_target_class_code_place_or_gist_is_another_group(other: dict[str, str]) -> None:
    one = {"kind": DeadClass.REFUSED, "target": "register", "code": "E17", "place": "/antrag/hund", "reason": "Feld fehlt"}

    assert cause_of(**one).hash != cause_of(**(one | other)).hash


def test_the_sentence_is_plain_german_and_english() -> None:
    cause = cause_of(
        DeadClass.REFUSED, target="register", code="E17", place="/a:antrag[1]/a:hund/a:chip", reason="Wert 276098 ungültig"
    )

    assert cause.de == (
        "Das Zielsystem „register“ hat die Einreichung nicht angenommen (Code E17, Stelle /antrag/hund/chip, „Wert … ungültig“)."
    )
    assert cause.en.startswith("The target system “register” did not accept the submission (Code E17, place /antrag/hund/chip")


@pytest.mark.parametrize("kind", [*DeadClass, "blocked", "test-to-productive", "unavailable", "doubtful", "interrupted"])
def test_every_class_has_a_sentence(kind: str) -> None:
    cause = cause_of(kind, target="register")

    assert cause.de.endswith(".")
    assert cause.en.endswith(".")
    assert "{" not in cause.de + cause.en


def test_what_the_target_said_stays_with_the_delivery_and_out_of_the_group() -> None:
    cause = cause_of(DeadClass.REFUSED, target="register", reason="Erika Mustermann ist unbekannt")
    text = text_of(cause, reason="Erika Mustermann ist unbekannt", place="/antrag")

    assert text["said"] == "Erika Mustermann ist unbekannt"
    assert text["place"] == "/antrag"
    assert "Mustermann" not in text["de"] + text["en"]


@pytest.mark.parametrize(
    ("code", "kept"),
    [("E17", "E17"), ("http:422", "http:422"), ("4711123456", "#"), ("Erika Mustermann", None), ("<b>", None), (None, None)],
)
def test_only_what_looks_like_a_code_is_kept_as_one(code: str | None, kept: str | None) -> None:
    assert code_of(code) == kept


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("/a:antrag[2]/b:name[text()='Erika/Muster']/@art", "/antrag/name/@art"),
        ("antrag/person", "/antrag/person"),
        ("//*[local-name()='x']", None),
        ("Erika Mustermann", None),
        ("", None),
    ],
)
def test_a_place_is_element_names_and_nothing_else(place: str, kept: str | None) -> None:
    assert place_of(place) == kept


NAMES = st.text(st.characters(categories=["Lu", "Ll"]), min_size=3, max_size=12).map(lambda text: "Q" + text)


@given(names=st.lists(NAMES, min_size=1, max_size=5), digits=st.integers(100, 10**12))
def test_no_unknown_word_and_no_number_gets_through(names: list[str], digits: int) -> None:
    gist = gist_of(f"Feld fehlt {' '.join(names)} {digits} invalid value {digits}") or ""

    assert not any(name in gist for name in names)
    assert not any(character.isdigit() for character in gist)
    assert gist.startswith("Feld fehlt")
