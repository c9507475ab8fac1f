"""Field tables: what their lines mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from gateway.mapping import MappingFaults
from tests.unit.probe import CONTEXT, XSD, form, one, shown, table, write_schema


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_schema(tmp_path)


def test_elements_come_in_the_order_of_the_message_whatever_the_order_of_the_lines(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"text" = "a/t"\n"tag" = "a/d"\n"name/nach" = "a/n"\n"name/vor" = "a/v"\n')
    document = form(one("a", "<t>x</t><d>2026-01-02</d><n>N</n><v>V</v>"))
    assert shown(mapping, document) == ["name/vor=V", "name/nach=N", "tag=2026-01-02", "text=x"]


def test_an_element_with_a_fixed_attribute_bears_it_even_with_braces(folder: Path) -> None:
    body = table(folder, '[fields]\n"text" = "a/t"\n').apply(form(one("a", "<t>x</t>")), context=CONTEXT)
    root = etree.fromstring(body)
    assert root.get("version") == "1.{0}"
    assert etree.XMLSchema(etree.fromstring(XSD.encode())).validate(root)


def test_empty_and_absent_are_both_not_given(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"text" = "a/t"\n"tag" = "a/d"\n"name/vor" = "a/v"\n"name/nach" = "a/n"\n')
    for inner in ("", one("a", ""), one("a", "<t/><d></d><v>  </v><n>\n</n>")):
        assert shown(mapping, form(inner)) == ["=None"]


def test_instances_come_in_the_order_of_their_numbers_with_gaps(folder: Path) -> None:
    mapping = table(folder, '[[repeat]]\nto = "ding"\nfrom = "g"\nfields = { "wort" = "w" }\n')
    inner = "<g>" + "".join(f"<instance_{n}><w>{n}</w></instance_{n}>" for n in (10, 2, 33, 0)) + "</g>"
    assert shown(mapping, form(inner)) == ["ding/wort=0", "ding/wort=2", "ding/wort=10", "ding/wort=33"]


def test_the_first_instance_is_the_one_with_the_lowest_number(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"text" = "g/w"\n')
    inner = "<g><instance_7><w>sieben</w></instance_7><instance_3><w>drei</w></instance_3></g>"
    assert shown(mapping, form(inner)) == ["text=drei"]


def test_what_is_no_instance_is_never_taken_for_one(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"text" = "g/w"\n[[repeat]]\nto = "ding"\nfrom = "g"\nfields = { "wort" = "w" }\n')
    for name in ("instance_", "instance_x", "instance_-1", "instance_1e1", "instance_1.5", "Instance_0", "n:instance_0"):
        inner = f'<g xmlns:n="urn:x"><{name}><w>x</w></{name}></g>'
        assert shown(mapping, form(inner)) == ["=None"]


def test_a_chosen_value_each_makes_one_element_and_codes_are_translated(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"art" = { from = "a/x", each = true, codes = { "männlich" = "m" } }\n')
    document = form(one("a", "<x><selectedValue>männlich</selectedValue><selectedValue/><selectedValue> w </selectedValue></x>"))
    assert shown(mapping, document) == ["art/code=m", "art/code=w"]


def test_values_of_a_list_can_be_blocks_of_their_own(folder: Path) -> None:
    mapping = table(folder, '[[repeat]]\nto = "ding"\nfrom = "a/x"\nfields = { "wort" = ".", "wem" = "a/wem" }\n')
    document = form(one("a", "<x><selectedValue>1</selectedValue><selectedValue>2</selectedValue></x><wem>W</wem>"))
    assert shown(mapping, document) == ["ding/wort=1", "ding/wem=W", "ding/wort=2", "ding/wem=W"]


def test_the_first_given_field_wins_and_several_can_be_joined(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"text" = { from = ["a/x", "a/y"] }\n'
                            '[[repeat]]\nto = "ding"\nfields = { "wort" = { from = ["a/x", "a/y", "a/z"], join = ", " } }\n')
    assert shown(mapping, form(one("a", "<x/><y>Y</y><z>Z</z>"))) == ["text=Y", "ding/wort=Y, Z"]


def test_the_first_alternative_that_holds_fills_the_field(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"text" = [ { from = "a/x", when = { "a/k" = ["1", "2"] } }, { constant = "ohne" } ]\n')
    assert shown(mapping, form(one("a", "<x>X</x><k>2</k>"))) == ["text=X"]
    assert shown(mapping, form(one("a", "<x>X</x><k>3</k>"))) == ["text=ohne"]
    assert shown(mapping, form(one("a", "<k>1</k>"))) == ["text=ohne"]


@pytest.mark.parametrize(("wanted", "fields", "holds"), [
    ('"ja"', "<k>ja</k>", True), ('"ja"', "<k>nein</k>", False), ('"ja"', "", False),
    ('["a", "b"]', "<k>b</k>", True), ("true", "<k>true</k>", True), ("true", "<k>Ja</k>", True),
    ("true", "<k>false</k>", False), ("false", "<k>false</k>", True), ("false", "", True), ("false", "<k>1</k>", False),
    ('"*"', "<k>x</k>", True), ('"*"', "<k/>", False), ('""', "<k/>", True), ('""', "<k>x</k>", False),
    ('"A & B"', "<k><selectedValue>A &amp;amp; B</selectedValue></k>", True), ('"A & B"', "<k>A &amp; B</k>", True),
    ('"x"', "<k><selectedValue>y</selectedValue><selectedValue>x</selectedValue></k>", True),
])
def test_a_condition_holds_when_it_should(folder: Path, wanted: str, fields: str, *, holds: bool) -> None:
    mapping = table(folder, f'[fields]\n"text" = {{ constant = "C", when = {{ "a/k" = {wanted} }} }}\n')
    assert shown(mapping, form(one("a", fields))) == (["text=C"] if holds else ["=None"])


def test_constants_and_defaults_alone_bring_no_element_about(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"name/vor" = "a/v"\n"name/nach" = { from = "a/n", default = "unbekannt" }\n'
                            '"name/land" = { constant = "DE" }\n')
    assert shown(mapping, form("")) == ["=None"]
    assert shown(mapping, form(one("a", "<v>V</v>"))) == ["name/vor=V", "name/nach=unbekannt", "name/land=DE"]


def test_a_field_that_never_stands_alone_comes_only_with_others(folder: Path) -> None:
    mapping = table(folder, '[[repeat]]\nto = "ding"\nfrom = "g"\n'
                            'fields = { "wort" = { from = "w", alone = false }, "wem" = "wem" }\n')
    inner = "<g><instance_0><w>1</w></instance_0><instance_1><w>2</w><wem>W</wem></instance_1></g>"
    assert shown(mapping, form(inner)) == ["ding/wort=2", "ding/wem=W"]


def test_the_date_of_a_form_is_read_because_the_message_wants_a_date(folder: Path) -> None:
    mapping = table(folder, '[fields]\n"tag" = "a/d"\n')
    assert shown(mapping, form(one("a", "<d>2015-07-08T00:00:00.000+02:00</d>"))) == ["tag=2015-07-08"]


# --- double escaping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_site", [True, False])
def test_only_what_the_portal_escapes_twice_is_unescaped_and_only_once(folder: Path, *, by_site: bool) -> None:
    head = "" if by_site else "unescape = true\n"
    mapping = table(folder, head + '[fields]\n"text" = "a/plain"\n[[repeat]]\nto = "ding"\n'
                                   'fields = { "wort" = { from = "a/list", each = true }, "wem" = "@formId" }\n')
    document = form(
        one("a", "<plain>A &amp;amp; B</plain><list><selectedValue>A &amp;amp; B</selectedValue>"
                 "<selectedValue>&amp;amp;amp;</selectedValue></list>"),
        "<formId>M &amp;amp; N</formId>",
    )
    context = replace(CONTEXT, unescape=by_site)
    assert shown(mapping, document, context) == ["text=A &amp; B", "ding/wort=A & B", "ding/wort=&amp;", "ding/wem=M & N"]
    assert mapping.run(document, context=context).facts == {"unescaped": 3}


def test_a_field_that_happens_to_be_called_filename_is_a_plain_field(folder: Path) -> None:
    mapping = table(folder, 'unescape = true\n[fields]\n"text" = "a/filename"\n')
    assert shown(mapping, form(one("a", "<filename>&amp;amp;</filename>"))) == ["text=&amp;"]


def test_a_table_without_an_xsd_keeps_its_own_order_and_needs_a_root(tmp_path: Path) -> None:
    mapping = table(tmp_path, 'root = "x"\nnamespace = "urn:x"\n[fields]\n"b" = "a/1b"\n'.replace("1b", "b") + '"a" = "a/a"\n')
    assert shown(mapping, form(one("a", "<a>1</a><b>2</b>"))) == ["b=2", "a=1"]
    with pytest.raises(MappingFaults, match="root"):
        table(tmp_path, '[fields]\n"b" = "a/b"\n')
