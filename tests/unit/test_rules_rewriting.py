"""A whole message for a system that knows fewer characters: every place is found, nothing else is touched."""

from __future__ import annotations

import pytest
from lxml import etree

from gateway.document import read
from gateway.rules.rewriting import fits, rewrite


def rewritten(body: str, encoding: str = "latin-1") -> tuple[str, list[tuple[str, str, int]]]:
    """The message, and of each place its element, attribute and how many changes."""
    root, places = rewrite(read(body.encode()).root, encoding)
    said = [(etree.QName(place.node).localname, place.attribute, len(place.changes)) for place in places]
    return etree.tostring(root, encoding="unicode"), said


def test_texts_attributes_and_what_follows_a_child_are_rewritten_and_nothing_else() -> None:
    body = '<a n="Łódź"><b>Jürgen Dvořák</b>ő<c>plain</c></a>'
    text, places = rewritten(body)
    assert text == '<a n="Lódz"><b>Jürgen Dvorák</b>o<c>plain</c></a>'
    assert places == [("a", "n", 2), ("b", "", 1), ("a", "", 1)]


def test_the_document_that_was_read_stays_as_it_is() -> None:
    document = read("<a>Łódź</a>".encode())
    rewrite(document.root, "latin-1")
    assert document.root.text == "Łódź"


def test_what_nothing_stands_for_is_left_and_told() -> None:
    root, (place,) = rewrite(read("<a>Ło Ива</a>".encode()).root, "latin-1")
    assert root.text == "Lo Ива"
    assert place.unmapped == (3, 4, 5)


@pytest.mark.parametrize(("body", "encoding", "fitting"), [
    ("<a>Jürgen</a>", "latin-1", True),
    ("<a>Jürgen</a>", "ascii", False),
    ("<a>Łódź</a>", "latin-1", False),
    ("<a>&#321;</a>", "latin-1", False),
    ("<a>&#252;</a>", "latin-1", True),
    ("<a b='&#x141;'/>", "latin-1", False),
    ("<a>5 €</a>", "latin-1", False),
    ("<a>5 €</a>", "cp1252", True),
    ("<a>u\u0308</a>", "latin-1", False),
])
def test_a_message_fits_if_every_character_can_be_held_however_it_is_written(body: str, encoding: str, fitting: bool) -> None:
    assert fits(read(body.encode()), encoding) is fitting


def test_a_decomposed_letter_is_put_together_and_told() -> None:
    assert rewritten("<a>Ju\u0308rgen</a>") == ("<a>Jürgen</a>", [("a", "", 0)])
