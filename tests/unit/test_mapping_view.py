"""What ``nahtlos mapping try`` shows the author of a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.mapping import Row, explain
from tests.unit.probe import form, one, table, write_schema


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_schema(tmp_path)


def test_an_explanation_shows_what_is_filled_what_is_empty_and_what_is_left_behind(folder: Path) -> None:
    mapping = table(folder, 'ignore = ["a/egal"]\n[fields]\n"text" = "a/t"\n"tag" = "a/d"\n'
                            '[[repeat]]\nto = "ding"\nfrom = "g"\nfields = { "wort" = "w" }\n')
    inner = ("<a><instance_0><t>geheim</t><egal>geheim</egal><rest>geheim</rest></instance_0>"
             "<instance_1><t>geheim</t></instance_1></a><g><instance_0><w>geheim</w></instance_0></g>")
    rows = explain(mapping, form(inner, "<postfachHandleId>geheim</postfachHandleId>"))
    assert rows == [
        Row("text", "a/t", filled=True),
        Row("tag", "a/d", False, "im Formular leer", "empty in the form"),
        Row("ding/wort", "g/w", filled=True),
        Row(None, "a/rest", False, "wird nicht übernommen", "is left behind"),
        Row(None, "a/t", False, "nur die erste Angabe wird übernommen, das Formular hat mehrere",
            "only the first is taken, the form has several"),
        Row(None, "@postfachHandleId", False, "wird nicht übernommen", "is left behind"),
    ]


def test_an_explanation_names_the_fault_beside_its_line(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"tag" = "a/d"\n')
    row = explain(mapping, form(one("a", "<d>geheim</d>")))[0]
    assert (row.message_field, row.filled) == ("tag", False)
    assert "erwartet wird ein Datum" in row.de


def test_a_name_that_no_portal_can_have_is_told_as_such(folder: Path) -> None:
    rows = explain(table(folder, '[fields]\n"text" = "a/t"\n'), form(one("a", "<größe>1</größe>")))
    assert rows[-1].form_field == "a/größe"
    assert "kann kein Formularfeld heißen" in rows[-1].de
