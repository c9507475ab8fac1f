"""What is wrong with a form is told by place, what is wrong with a table by line; never by value, and all at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.document import read
from gateway.forms import tablereader
from gateway.mapping import MappingFault, MappingFaults, load
from tests.conftest import ROOT
from tests.unit.probe import CONTEXT, form, one, shown, table, write_schema


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_schema(tmp_path)


def test_every_fault_of_a_form_is_told_at_once_with_place_and_line_and_no_value(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"tag" = "a/d"\n"art" = { from = "a/x", each = true }\n')
    document = form(one("a", "\n<d>geheim-1</d>\n<x><selectedValue>m</selectedValue><selectedValue>geheim-2</selectedValue></x>"))
    with pytest.raises(MappingFault) as caught:
        mapping.apply(document, context=CONTEXT)
    places = [(each.rule, each.path, each.line) for each in caught.value.findings]
    root = "/serviceportal/serviceportal-fields/a/instance_0"
    assert places == [("mapping-value", f"{root}/d", 2), ("mapping-code", f"{root}/x/selectedValue[2]", 3)]
    assert caught.value.findings[1].expected == ("m", "w")
    assert "a/d" in caught.value.findings[0].de
    assert "geheim" not in repr(caught.value.findings) + str(caught.value)
    assert caught.value.draft is not None
    assert b"geheim" not in caught.value.draft


def test_a_list_or_a_file_where_one_value_is_wanted_is_a_fault_and_not_a_guess(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"text" = "a/x"\n')
    one_value = form(one("a", "<x><selectedValue>1</selectedValue></x>"))
    assert shown(mapping, one_value) == ["text=1"]
    for inner in ("<selectedValue>1</selectedValue><selectedValue>2</selectedValue>", "<base64Data>QQ==</base64Data>"):
        with pytest.raises(MappingFault) as caught:
            mapping.apply(form(one("a", f"<x>{inner}</x>")), context=CONTEXT)
        assert [each.rule for each in caught.value.findings] == ["mapping-structure"]


def test_what_is_no_form_is_told_so(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"text" = "a/x"\n')
    for body in (b"<serviceportal/>", b"<serviceportal><metadata/></serviceportal>", b"<anderes/>"):
        with pytest.raises(MappingFault) as caught:
            mapping.apply(read(body), context=CONTEXT)
        assert [each.rule for each in caught.value.findings] == ["mapping-no-form"]


def test_a_form_with_absurdly_many_repetitions_is_not_worked_through(folder: Path) -> None:
    mapping = table(folder, '[[repeat]]\nto = "ding"\nfrom = "g"\nfields = { "wort" = "w" }\n')
    inner = "<g>" + "".join(f"<instance_{n}><w>x</w></instance_{n}>" for n in range(5001)) + "</g>"
    with pytest.raises(MappingFault) as caught:
        mapping.apply(form(inner), context=CONTEXT)
    assert [each.rule for each in caught.value.findings] == ["mapping-too-many"]


def test_at_most_fifty_faults_are_told(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"art" = { from = "a/x", each = true }\n')
    with pytest.raises(MappingFault) as caught:
        mapping.apply(form(one("a", "<x>" + "<selectedValue>?</selectedValue>" * 80 + "</x>")), context=CONTEXT)
    assert len(caught.value.findings) == 50


@pytest.mark.parametrize(("text", "line", "words"), [
    ('[fields]\n"name/vro" = "a/v"\n', 2, ("name/vro", "„vor“")),
    ('[fields]\n"nmae/vor" = "a/v"\n', 2, ("nmae", "„name“")),
    ('titel = "x"\n[fields]\n"text" = "a/v"\n', 1, ("titel", "„title“")),
    ('[fields]\n"text" = { form = "a/v" }\n', 2, ("form", "„from“")),
    ('[fields]\n"text" = { from = "a/v", as = "upperr" }\n', 2, ("upperr", "„upper“")),
    ('[fields]\n"art" = { from = "a/v", codes = "artt" }\n[codes.art]\n"x" = "m"\n', 2, ("artt", "„art“")),
    ('[fields]\n"art" = { from = "a/v", codes = { "x" = "q" } }\n', 2, ("„q“", "m, w")),
    ('[fields]\n"art" = { constant = "x" }\n', 2, ("„x“", "m, w")),
    ('[fields]\n"text" = "feld"\n', 2, ("feld", "gruppe/feld")),
    ('[fields]\n"text" = "grupe/größe"\n', 2, ("größe", "kann kein Formularfeld heißen")),
    ('[fields]\n"text" = "a/1x"\n', 2, ("1x", "kann kein Formularfeld heißen")),
    ('[fields]\n"text" = "a/x or //y"\n', 2, ("kann kein Formularfeld heißen",)),
    ('[fields]\n"text" = "@creationdate"\n', 2, ("@creationdate", "„creationDate“")),
    ('[fields]\n"name" = "a/v"\n', 2, ("name", "hat selbst Felder: vor, nach, land")),
    ('[fields]\n"name/vor" = "a/v"\n', 1, ("name/nach", "von keiner Zeile gefüllt")),
    ('[fields]\n"text" = { from = "a/v", each = true }\n', 2, ("nur einmal",)),
    ('[fields]\n"text" = {}\n', 2, ("„from“", "„constant“")),
    ('[fields]\n"text" = 3\n', 2, ("Formularfeld oder eine Tabelle",)),
    ('[fields]\n"text" = { constant = "\\u0001" }\n', 2, ("Zeichen, das in XML nicht erlaubt ist",)),
    ('[[repeat]]\nto = "name"\nfrom = "g"\nfields = { "vor" = "v", "nach" = "n" }\n', 1, ("nur einmal",)),
    ('[[repeat]]\nto = "ding"\nfrom = "g"\n', 1, ("„fields“",)),
    ('[fields]\n"text" = "a/b"\n[[repeat]]\nto = "ding"\nfrom = "g"\nfields = { "wrt" = "x" }\n', 6, ("ding/wrt", "„wort“")),
    ('[fields]\n"text" = "a/b\n', 2, ("kein gültiges TOML",)),
])
def test_a_fault_of_a_table_has_its_line_and_the_nearest_match(
    folder: Path, text: str, line: int, words: tuple[str, ...],
) -> None:
    with pytest.raises(MappingFaults) as caught:
        table(folder, text)
    fault = next((each for each in caught.value.faults if all(word in str(each) for word in words)), None)
    assert fault is not None, caught.value.faults
    assert f"form.toml:{line}: " in str(fault)


def test_all_faults_of_a_table_are_told_at_once(folder: Path) -> None:
    with pytest.raises(MappingFaults) as caught:
        table(folder, '[fields]\n"txet" = "a/v"\n"tga" = "a/d"\n"name/x" = "b/y"\n')
    assert len(caught.value.faults) == 3
    assert str(caught.value).count("form.toml:") == 3


def test_a_table_that_is_not_there_and_a_file_of_another_kind_are_faults(folder: Path) -> None:
    for path in (folder / "fehlt.toml", folder / "fehlt.xslt", folder / "form.xml"):
        with pytest.raises(MappingFaults):
            load(path)
    with pytest.raises(MappingFaults):
        load(folder / "form.toml", schema=folder / "fehlt.xsd")


def test_every_key_and_function_of_a_field_table_is_explained_to_authors() -> None:
    text = (ROOT / "schemas" / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## The field table"):text.index("## Rules for messages")]
    named = set(re.findall(r"[A-Za-z_0-9]+", section))
    assert {*tablereader.KEYS, *tablereader.AS} - named == set()
