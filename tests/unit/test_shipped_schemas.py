"""The messages, samples and descriptions that are shipped: true to the field list, in both schema engines."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import xmlschema
from lxml import etree

from tests.unit.fieldlist import CODES, REQUIRED, REQUIRED_EVERYWHERE, REQUIRED_IN_TYPE, ROOTS

SCHEMAS = Path(__file__).parents[2] / "schemas"
XS = "{http://www.w3.org/2001/XMLSchema}"
BASIS = "urn:nahtlos:basis:1"
XSDS = sorted(SCHEMAS.glob("basis/*.xsd")) + sorted(SCHEMAS.glob("leistungen/*/message.xsd"))
MESSAGES = [
    path
    for path in sorted(SCHEMAS.glob("leistungen/*/samples/*.xml"))
    if path.parts[-3] in ROOTS and not path.name.startswith("form-")
]
VALID = [path for path in MESSAGES if not path.name.startswith("broken-")]
BROKEN = [path for path in MESSAGES if path.name.startswith("broken-")]

KEYS = """slug version package kind place level on_invalid retention_days urgency order_by mask business_keys compared
    names deadline limits"""


@pytest.mark.parametrize("slug", ROOTS)
def test_every_message_compiles_in_both_engines_without_a_network_and_has_one_root(slug: str) -> None:
    fast, second = engines(slug)
    own = [element.name for element in second.elements.values() if element.target_namespace != BASIS]
    assert own == [f"{{urn:nahtlos:leistung:{slug}:1}}{ROOTS[slug]}"]
    assert fast.validate(etree.fromstring(full_sample(slug)))


@pytest.mark.parametrize("path", VALID, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_every_good_sample_is_valid_in_both_engines(path: Path) -> None:
    fast, second = engines(path.parts[-3])
    assert fast.validate(etree.fromstring(path.read_bytes())), fast.error_log
    second.validate(path.read_text(encoding="utf-8"))
    assert expected(path) == {"valid": True, "findings": []}


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_every_broken_sample_fails_in_both_engines_at_the_place_that_is_written_beside_it(path: Path) -> None:
    fast, second = engines(path.parts[-3])
    place, rule = expected(path)["findings"][0]["path"], expected(path)["findings"][0]["rule"]
    assert rule in {"missing-element", "unexpected-element", "enumeration", "pattern", "type", "length"}
    assert not fast.validate(etree.fromstring(path.read_bytes()))
    assert local(fast.error_log[0].path or "") == place  # type: ignore[index]
    places = [local(error.path or "") for error in second.iter_errors(path.read_text(encoding="utf-8"))]
    # For a wrong order of elements xmlschema names the parent, libxml2 the element that came instead.
    assert places[0] == (place.rpartition("/")[0] if rule == "unexpected-element" else place)
    assert expected(path)["valid"] is False


@pytest.mark.parametrize("slug", ROOTS)
def test_every_service_has_enough_good_and_broken_samples(slug: str) -> None:
    assert len([path for path in VALID if path.parts[-3] == slug]) >= 3
    assert len([path for path in BROKEN if path.parts[-3] == slug]) >= 4


@pytest.mark.parametrize(
    ("slug", "place"), [(slug, place) for slug in ROOTS for place in (REQUIRED_EVERYWHERE + REQUIRED[slug]).split()]
)
def test_a_required_field_cannot_be_left_out(slug: str, place: str) -> None:
    fast, second = engines(slug)
    root = etree.fromstring(full_sample(slug, needs=place))
    for element in find(root, place):
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)
    assert not fast.validate(root)
    assert not second.is_valid(etree.tostring(root, encoding="unicode"))


@pytest.mark.parametrize("path", XSDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_is_required_that_the_field_list_does_not_require(path: Path) -> None:
    for owner in etree.parse(path).getroot().iter(f"{XS}complexType"):
        name = owner.get("name") or "message"
        required = {
            element.get("name")
            for element in owner.iter(f"{XS}element")
            if element.get("minOccurs") != "0" and not any(True for _ in element.iterancestors(f"{XS}choice"))
        }
        of_the_service = REQUIRED.get(path.parent.name, "") if name == "message" else ""
        roots = {place for place in of_the_service.split() if "/" not in place} | {"kopf", "antragsteller"}
        allowed = roots if name == "message" else set(REQUIRED_IN_TYPE.get(name, "").split())
        assert required - {"code"} == allowed, name


@pytest.mark.parametrize("path", XSDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_type_element_and_code_says_in_german_what_it_is(path: Path) -> None:
    for node in etree.parse(path).getroot().iter(f"{XS}complexType", f"{XS}simpleType", f"{XS}element", f"{XS}enumeration"):
        if node.tag == f"{XS}simpleType" and node.get("name") is None:
            continue  # the list of a code: its values are documented one by one
        text = node.findtext(f"{XS}annotation/{XS}documentation") or ""
        assert len(text.strip()) > 2, f"line {node.sourceline}: {node.get('name') or node.get('value')}"


@pytest.mark.parametrize("path", XSDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_names_are_plain_ascii_in_the_case_that_the_rules_ask_for(path: Path) -> None:
    root = etree.parse(path).getroot()
    assert (root.get("elementFormDefault"), root.get("attributeFormDefault")) == ("qualified", "unqualified")
    assert re.fullmatch(r"\d+\.\d+", root.get("version") or "")
    for node in root.iter(f"{XS}element"):
        assert re.fullmatch(r"[a-z][A-Za-z0-9]*", node.get("name") or ""), node.get("name")
    for node in root.iter(f"{XS}complexType", f"{XS}simpleType"):
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]*(\.[A-Z][A-Za-z0-9]*)*", node.get("name") or "Anonym"), node.get("name")


@pytest.mark.parametrize("slug", CODES)
def test_every_closed_list_has_exactly_the_values_of_the_field_list_and_a_name_and_version(slug: str) -> None:
    folder = SCHEMAS / "basis" / "codes.xsd" if slug == "basis" else SCHEMAS / "leistungen" / slug / "message.xsd"
    found, lists = {}, set()
    for node in etree.parse(folder).getroot().iter(f"{XS}complexType"):
        values = [value.get("value") or "" for value in node.iter(f"{XS}enumeration")]
        if values and (node.get("name") or "").startswith("Code."):
            found[(node.get("name") or "").removeprefix("Code.")] = "|".join(values)
            fixed = {a.get("name"): a.get("fixed") for a in node.iter(f"{XS}attribute")}
            assert fixed["listVersionID"]
            assert (fixed["listURI"] or "").startswith("urn:nahtlos:codeliste:")
            lists.add(fixed["listURI"])
    assert found == CODES[slug]
    assert len(lists) == len(found)


@pytest.mark.parametrize("path", XSDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_pattern_uses_what_the_two_engines_read_differently(path: Path) -> None:
    for node in etree.parse(path).getroot().iter(f"{XS}pattern"):
        value = node.get("value") or ""
        assert not re.search(r"\[[^]]*-\[", value), "class subtraction"
        assert "\\p" not in value.lower(), "character property"
        # libxml2 mixes up the counters of alternatives: [0-9]{5}|[0-9]{8} also accepts twelve digits.
        assert not ("|" in value and "{" in value), f"line {node.sourceline}: alternatives with counters"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "Ars",
            ["08", "081", "08125", "08125000", "081250000", "081250000000"],
            ["0812", "081250", "0812500000", "0812500000000", "08125A"],
        ),
        (
            "Iban",
            ["DE89370400440532013000", "NO9386011117947"],
            ["DE89 3704 0044 0532 0130 00", "DE8937040044", "de89370400440532013000", "DE" + "1" * 33],
        ),
        ("Bic", ["COBADEFF", "COBADEFFXXX"], ["COBADEFFX", "COBADEFFXXXX", "COBA1EFF"]),
        (
            "Uuid",
            ["0195a4c2-7b1e-7c3d-9a40-000000000001"],
            ["0195a4c27b1e7c3d9a40000000000001", "0195a4c2-7b1e-7c3d-9a40-00000000000"],
        ),
        (
            "String.Name",
            ["Nguyễn-Đặng", "O\u2019Brien", "C\u0328\u0306abej", "ẞ", "Ǧuǧu", "van der", "Þórður"],
            ["R2D2", "Иванов", " ", "", "Ä" * 201],
        ),
        ("String.Text", ["Zeile 1\nZeile 2 – „so“ …", "½ m²", "Ελλάδα"], ["😀", "", "漢字"]),
        ("Datum", ["2026-02-28", "2024-02-29"], ["2026-02-29", "28.02.2026", "2026-02-28Z", "2026-2-8"]),
        ("Datum.Teilbekannt", ["1961", "1961-05", "1961-05-30"], ["1961-00-00", "61", "00.00.1961", "1961-13"]),
        ("Betrag", ["0", "640.50", "1000000"], ["640,50", "-1", "1.005", "1e3"]),
        ("Email", ["a@b.example"], ["a.example", "a b@c.example"]),
        ("Dateiname", ["Bescheid Müller.pdf"], ["../geheim.pdf", "a\\b.pdf", ""]),
        ("Sha256", ["0" * 64], ["0" * 63, "G" * 64, "A" * 64]),
    ],
)
def test_a_simple_type_accepts_and_refuses_the_same_in_both_engines(kind: str, good: list[str], bad: list[str]) -> None:
    wrapper = (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:b="{BASIS}" targetNamespace="{BASIS}">'
        f'<xs:include schemaLocation="{(SCHEMAS / "basis" / "basis.xsd").as_uri()}"/>'
        f'<xs:element name="wert" type="b:{kind}"/></xs:schema>'
    )
    fast = etree.XMLSchema(etree.fromstring(wrapper))
    second = xmlschema.XMLSchema(wrapper)
    for word in good + bad:
        document = etree.Element(f"{{{BASIS}}}wert")
        document.text = word
        verdicts = (fast.validate(document), second.is_valid(etree.tostring(document, encoding="unicode")))
        assert verdicts == (word in good,) * 2, word


@pytest.mark.parametrize("slug", ROOTS)
def test_the_samples_show_every_field_of_the_message(slug: str) -> None:
    declared = set(names(SCHEMAS / "leistungen" / slug / "message.xsd"))
    namespace = f"urn:nahtlos:leistung:{slug}:1"
    shown = {e.tag for path in VALID if path.parts[-3] == slug for e in etree.parse(path).iter("*")}
    assert {f"{{{namespace}}}{name}" for name in declared} <= shown


def test_the_samples_show_every_field_of_the_common_blocks() -> None:
    blocks = (path for path in XSDS if path.parent.name == "basis" and path.name != "eingangsbestaetigung.xsd")  # an answer
    declared = {f"{{{BASIS}}}{name}" for path in blocks for name in names(path)}
    assert declared <= {element.tag for path in VALID for element in etree.parse(path).iter("*")}


@pytest.mark.parametrize("path", VALID, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_a_good_sample_would_also_pass_the_rules_that_no_schema_can_say(path: Path) -> None:
    tree = etree.parse(path)
    for iban in tree.iter(f"{{{BASIS}}}iban"):
        turned = (iban.text or "")[4:] + (iban.text or "")[:4]
        assert int("".join(str(int(character, 36)) for character in turned)) % 97 == 1
    for file in tree.iter("{*}inhalt"):
        content, block = base64.b64decode(file.text or ""), file.getparent()
        assert block is not None
        assert hashlib.sha256(content).hexdigest() == block.findtext(f"{{{BASIS}}}sha256")
        assert str(len(content)) == block.findtext(f"{{{BASIS}}}groesse")
    files = [node.text for node in tree.iter(f"{{{BASIS}}}dateiname")]
    assert len(files) == len(set(files))
    text = path.read_text(encoding="utf-8")
    assert unicodedata.is_normalized("NFC", text)


def test_a_sample_is_a_test_message_only_where_its_name_says_so() -> None:
    for path in MESSAGES:
        flag = etree.parse(path).findtext(f"*/{{{BASIS}}}testnachricht")
        assert flag in (None, "true" if path.stem == "testnachricht" else "false"), path


def test_no_two_samples_share_a_message_id_and_each_names_its_own_service() -> None:
    ids = [etree.parse(path).findtext(f"*/{{{BASIS}}}nachrichtId") for path in MESSAGES]
    assert len(ids) == len(set(ids))
    for path in MESSAGES:
        assert etree.parse(path).findtext(f"*/{{{BASIS}}}leistung") == path.parts[-3]


@pytest.mark.parametrize("slug", ROOTS)
def test_a_service_description_says_everything_and_invents_no_catalogue_key(slug: str) -> None:
    facts = tomllib.loads((SCHEMAS / "leistungen" / slug / "leistung.toml").read_text(encoding="utf-8"))
    assert set(facts) - {"leika"} == set(KEYS.split())
    assert (facts["slug"], facts["version"], facts["package"]) == (slug, "1.0", "message.xsd")
    assert facts["on_invalid"] == {"message": "reject", "form": "hold"}
    assert set(facts["names"]) == set(facts["deadline"]) == {"de", "en"}
    assert ("leika" in facts) == (slug == "kleiner-waffenschein"), "a key needs a named source"
    assert facts.get("leika", {"source": "no key, no source"})["source"]
    known = {name for path in XSDS if path.parent.name in {"basis", slug} for name in names(path)}
    for path in facts["mask"] + facts["business_keys"]:
        assert set(path.split("/")) <= known, path


@cache
def engines(slug: str) -> tuple[etree.XMLSchema, xmlschema.XMLSchema]:
    path = SCHEMAS / "leistungen" / slug / "message.xsd"
    parser = etree.XMLParser(no_network=True, resolve_entities=False)
    return etree.XMLSchema(etree.parse(path, parser)), xmlschema.XMLSchema(path, allow="local", defuse="always")


def full_sample(slug: str, *, needs: str = "kopf") -> bytes:
    """The sample that shows all fields; where it chose the other branch, another good one that has the field."""
    mine = [path for path in VALID if path.parts[-3] == slug]
    for path in sorted(mine, key=lambda path: "vollstaendig" not in path.stem):
        if find(etree.parse(path).getroot(), needs):
            return path.read_bytes()
    raise AssertionError(f"no sample of {slug} has {needs}")


def find(root: etree._Element, place: str) -> list[etree._Element]:
    steps = "/".join(f"*[local-name()='{step}']" for step in re.sub(r"\[\d+\]", "", place).split("/"))
    found = root.xpath(steps)
    assert isinstance(found, list)
    return [element for element in found if isinstance(element, etree._Element)]


def names(path: Path) -> Iterator[str]:
    """Names of the elements that a schema declares, codes left out (they carry no namespace)."""
    for node in etree.parse(path).getroot().iter(f"{XS}element"):
        if node.get("form") != "unqualified":
            yield node.get("name") or ""


def local(path: str) -> str:
    return re.sub(r"(?<=/)[A-Za-z]\w*:", "", path)


def expected(path: Path) -> dict:  # type: ignore[type-arg]
    return json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
