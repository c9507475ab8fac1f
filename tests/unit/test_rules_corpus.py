"""The stages after the schema, held against real standards: their code lists, rules, characters and messages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from xmlschema.validators import XsdComplexType

from gateway.document import read
from gateway.rules import attachments, characters, codelists, schematron
from gateway.rules.attachments import Attached, shapes_among
from gateway.rules.codelists import CodeLists
from gateway.rules.din91379 import REPERTOIRES, SEQUENCES, DataType
from gateway.rules.genericode import ListName
from gateway.rules.saxon import Saxon
from tests.conftest import ROOT, corpus
from tests.unit.releases_of_xoev import SETS, code_table, compiled, folder, messages

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(120)]
AGS = "urn:de:bund:destatis:bevoelkerungsstatistik:schluessel:ags"


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> CodeLists:
    total = CodeLists()
    for name in SETS:
        files = sorted((folder(name) / "codelists").glob("*.xml"))
        found, faults = codelists.prepare(files, tmp_path_factory.mktemp("lists"))
        assert not faults
        assert len(found) == len(files)
        total = total | found
    return total


@pytest.fixture(scope="module")
def engine() -> Iterator[Saxon]:
    one = Saxon(deadline=10)
    yield one
    one.close()


# --- code lists ----------------------------------------------------------------------------------------------------------


def test_every_list_beside_the_standards_is_read(lists: CodeLists) -> None:
    keys = lists.keys(ListName(AGS, "2026-06-30"))
    assert keys is not None
    assert len(keys) == 11_227
    assert "08121000" in keys
    assert all(lists.keys(name) for name in lists)


def test_a_list_of_three_megabytes_costs_less_than_ten() -> None:
    """In a process of its own, where nothing else grows."""
    file = folder("xbau-2.6") / "codelists" / "urn-de-bund-destatis-bevoelkerungsstatistik-schluessel-ags_2026-06-30.xml"
    small = folder("xjustiz-3.5.1") / "codelists" / "GDS.Gerichte.xml"
    said = subprocess.run(
        [sys.executable, "-c", _GROWN, str(small), str(file)], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert int(said) < 10 * 1024


_GROWN = """
import resource, sys
from pathlib import Path
from gateway.rules.genericode import read_keys
grown = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_keys(Path(sys.argv[1]))
before = grown()
keys = read_keys(Path(sys.argv[2]))
print(grown() - before)
"""


@pytest.mark.parametrize("name", SETS)
def test_the_values_a_schema_enumerates_are_the_keys_of_its_list(name: str, lists: CodeLists) -> None:
    """Proves the key column and the reading, list by list, against what the authors of the standard wrote into the XSD."""
    compared = 0
    for one in compiled(name)[1].maps.types.values():
        if not isinstance(one, XsdComplexType) or "listURI" not in one.attributes or "listVersionID" not in one.attributes:
            continue
        uri, version = one.attributes["listURI"].fixed, one.attributes["listVersionID"].fixed
        values = next((element.type.enumeration for element in one.content.iter_elements()
                       if element.local_name == "code"), None) if hasattr(one.content, "iter_elements") else None
        keys = lists.keys(ListName(str(uri), str(version)))
        if keys is None or not values:
            continue
        compared += 1
        assert {str(value) for value in values} == keys, uri
    assert compared == COMPARED[name]


COMPARED = {"xbau-2.6": 77, "xbau-kernmodul-1.3.0": 1, "xdomea-3.0.0": 45, "xdomea-2.4.0": 47, "xbildung-1.2": 7,
            "xschule-1.2": 25, "xhochschule": 14, "xjustiz-3.5.1": 0}
CODES = {
    "xdomea-3.0.0": {"code-unknown": 8, "code-list-unnamed": 4, "code-list-version-unknown": 1},
    "xdomea-2.4.0": {"code-list-unnamed": 4},
    "xschule-1.2": {"code-unknown": 43, "code-list-unknown": 60, "code-list-version-unknown": 6},
    "xhochschule": {"code-list-unknown": 39},
}


@pytest.mark.parametrize("name", CODES)
def test_the_codes_of_real_messages_are_judged(name: str, lists: CodeLists) -> None:
    """The examples of the standards do contain codes that their lists do not have."""
    schema, table = compiled(name)[0], code_table(name)
    rules: Counter[str] = Counter()
    for file in messages(name):
        document = read(file.read_bytes())
        if schema.check(document).valid:
            rules.update(one.rule for one in codelists.check(document, table, lists))
    assert rules == CODES[name]


# --- Schematron ----------------------------------------------------------------------------------------------------------

RULES = {
    "xbau-2.6/schematron/xbau-schematron-leere-elemente.sch": 1, "xbau-2.6/schematron/xbau-schematron.sch": 349,
    "xbau-kernmodul-1.3.0/schematron/xbau-schematron-leere-elemente.sch": 1, "xbildung-1.2/schematron/xbildung-schematron.sch": 0,
    "xhochschule/schematron/xhochschule-schematron.sch": 49, "xschule-1.2/schematron/xschule-schematron.sch": 37,
}


@pytest.mark.parametrize("name", RULES)
def test_every_real_rule_compiles(name: str, engine: Saxon) -> None:
    rules, faults = schematron.prepare([corpus("xoev") / name], engine)
    assert not faults
    assert rules.assertions == RULES[name]


def test_a_typing_error_once_published_is_found_and_only_that_assertion_is_left_out(tmp_path: Path, engine: Saxon) -> None:
    text = (folder("xbau-2.6") / "schematron" / "xbau-schematron.sch").read_text(encoding="utf-8")
    name = re.search(r'<sch:assert id="(sch-stat-\d+)"\s+test="if \(exists\(', text)
    assert name is not None
    broken = tmp_path / "regeln.sch"
    broken.write_text(text[:name.end()].removesuffix("if (exists(") + "iif (exists(" + text[name.end():], encoding="utf-8")
    rules, faults = schematron.prepare([broken], engine)
    assert {fault.de.partition(":")[0] for fault in faults} == {name[1]}
    assert 330 < rules.assertions < 349


@pytest.mark.parametrize("name", ["xschule-1.2", "xhochschule"])
def test_the_examples_of_a_standard_keep_its_rules_and_a_damaged_one_does_not(name: str, engine: Saxon) -> None:
    schema = compiled(name)[0]
    rules, _ = schematron.prepare(sorted((folder(name) / "schematron").glob("*.sch")), engine)
    asked = 0
    for file in messages(name):
        document = read(file.read_bytes())
        if schema.check(document).valid:
            asked += rules.sheet_for(document) is not None
            assert schematron.check(document, rules, engine, names=schema.declared.names) == []
    assert asked >= 5


def test_a_rule_of_xhochschule_says_in_german_what_is_wrong(engine: Saxon) -> None:
    schema = compiled("xhochschule")[0]
    rules, _ = schematron.prepare(sorted((folder("xhochschule") / "schematron").glob("*.sch")), engine)
    body = (folder("xhochschule") / "instances" / "Transcript_of_Records.xml").read_bytes()
    document = read(re.sub(rb"<(\w+:)?note>[^<]*<", rb"<\1note>sehr gut<", body))
    findings = schematron.check(document, rules, engine, names=schema.declared.names)
    assert {one.rule for one in findings} == {"schematron:SCH-XHS-0018-Benotungsschema"}
    assert "Im Feld Note dürfen nur" in findings[0].de
    assert findings[0].line
    assert findings[0].path == "/xhs:transcriptOfRecords/xhs:leistung/xhs:benotung/xbd:note"


# --- characters ----------------------------------------------------------------------------------------------------------


def test_our_table_of_characters_is_the_one_of_the_norm() -> None:
    types = etree.parse(corpus("xoev") / "_library" / "xsd" / "din-norm-91379-datatypes.xsd").getroot()
    for kind in DataType:
        pattern = types.find(f"{{*}}simpleType[@name='datatype{kind}']//{{*}}pattern")
        assert pattern is not None
        points, sequences = _units(pattern.get("value", ""))
        assert points == REPERTOIRES[kind].points
        assert sequences == SEQUENCES


def _units(pattern: str) -> tuple[set[int], set[str]]:
    """"(a|[b-c]|d(e|fg))*" → single characters and sequences."""
    points: set[int] = set()
    sequences: set[str] = set()
    for unit in re.split(r"\|(?![^()]*\))", pattern.removeprefix("(").removesuffix(")*")):
        if ranged := re.fullmatch(r"\[(.)-\\?(.)\]", unit, re.DOTALL):
            points.update(range(ord(ranged[1]), ord(ranged[2]) + 1))
        elif len(unit) == 1:
            points.add(ord(unit))
        else:
            base, _, rest = unit.partition("(")
            sequences.update(base + tail for tail in rest.removesuffix(")").split("|"))
    return points, sequences


def test_the_names_in_real_messages_keep_the_norm_and_their_running_text_nearly() -> None:
    """One of 38 has dashes (U+2013), which the norm leaves out."""
    strict = []
    for name in CODES:
        for file in messages(name):
            document = read(file.read_bytes())
            assert characters.check(document, characters.CharacterRules(), names=()) == [], file
            if characters.check(document, characters.CharacterRules(whole=DataType.E), names=()):
                strict.append(file.name)
    assert strict == ["Transcript_of_Records.xml"]


# --- attachments ---------------------------------------------------------------------------------------------------------


def test_the_files_of_an_xdomea_message_are_those_it_names() -> None:
    schema = compiled("xdomea-3.0.0")[0]
    shapes = shapes_among(place[0] for place in schema.declared.kinds)
    assert [shape.holder for shape in shapes] == ["Primaerdokument"]
    seen = 0
    for file in messages("xdomea-3.0.0"):
        document = read(file.read_bytes())
        named = [str(node.text) for node in document.root.iter("{*}Dateiname")]
        beside = [Attached(name, 1, b"") for name in dict.fromkeys(named)]
        assert attachments.check(document, shapes, beside, names=schema.declared.names) == []
        missing = attachments.check(document, shapes, [], names=schema.declared.names)
        assert len(missing) == min(50, len(named))
        seen += len(named)
    assert seen
