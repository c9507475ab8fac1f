"""Nothing in a table or a form is code, nothing is read or written beside them, and the same gives the same."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.document import read
from gateway.forms.tablesheet import literal
from gateway.mapping import MappingFault
from tests.unit.probe import CONTEXT, XSD, form, one, shown, table, write_schema


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_schema(tmp_path)


_LETTERS = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
XML_TEXT = st.text(_LETTERS, min_size=1).map(lambda text: text + """'"{}$&<>]]>concat('a',"b")""")


@given(XML_TEXT)
def test_a_literal_is_always_exactly_its_text(text: str) -> None:
    assert etree.XML("<a/>").xpath(literal(text)) == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(constant=XML_TEXT, key=XML_TEXT, value=XML_TEXT)
def test_hostile_text_in_tables_and_forms_arrives_as_text(tmp_path: Path, constant: str, key: str, value: str) -> None:
    def quoted(text: str) -> str:
        return '"' + "".join(f"\\U{ord(char):08X}" for char in text) + '"'

    mapping = table(tmp_path, f'''root = "r"\n[fields]
"a" = {{ constant = {quoted(constant)} }}
"b" = {{ from = "g/x", codes = {{ {quoted(key)} = {quoted(constant)} }}, otherwise = "=" }}
"c" = {{ from = ["g/x", "g/x"], join = {quoted(constant)}, as = "raw" }}
"d" = {{ constant = "d", when = {{ "g/x" = {quoted(value)} }} }}
"e" = {{ from = "g/leer", default = {quoted(constant)} }}
"f" = {{ from = "g/x", as = "raw" }}
''')
    fields = etree.Element("serviceportal-fields")
    etree.SubElement(etree.SubElement(etree.SubElement(fields, "g"), "instance_0"), "x").text = value
    root = etree.fromstring(mapping.apply(read(etree.tostring(fields, encoding="UTF-8")), context=CONTEXT))
    stripped = value.strip()
    assert root.findtext("a") == constant
    assert root.findtext("b") == (constant if stripped == key.strip() else stripped)
    assert root.findtext("c") == f"{stripped}{constant}{stripped}"
    assert root.findtext("d") == "d"
    assert root.findtext("e") == constant
    assert root.findtext("f") == value


def test_the_same_form_in_the_same_context_gives_the_same_bytes_in_every_thread(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"text" = "a/t"\n"art" = { from = "a/x", each = true }\n')
    document = form(one("a", "<t>Ñ</t><x><selectedValue>m</selectedValue></x>"))
    bodies = {mapping.apply(document, context=CONTEXT)}
    threads = [threading.Thread(target=lambda: bodies.add(mapping.apply(document, context=CONTEXT))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bodies) == 1


def test_one_forms_faults_never_show_in_anothers(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"tag" = "a/d"\n')
    with pytest.raises(MappingFault):
        mapping.apply(form(one("a", "<d>x</d>")), context=CONTEXT)
    assert shown(mapping, form(one("a", "<d>2026-01-01</d>"))) == ["tag=2026-01-01"]


def test_the_digest_changes_with_everything_that_changes_the_result(folder: Path) -> None:
    text = '[fields]\n"art" = { from = "a/x", codes = { "y" = "m" } }\n'
    first = table(folder, text).digest
    assert table(folder, "# nur ein Kommentar\n" + text).digest == first
    assert table(folder, text.replace('"m"', '"w"')).digest != first
    assert table(folder, text.replace("a/x", "a/z")).digest != first
    assert table(folder, "unescape = true\n" + text).digest != first
    (folder / "message.xsd").write_text(XSD.replace('fixed="1.{0}"', 'fixed="2"'), encoding="utf-8")
    assert table(folder, text).digest != first
