"""The field tables that ship: every sample form becomes the message it should, or is told what is wrong with it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import xmlschema
from lxml import etree

from gateway.document import Document, read
from gateway.forms import portalform
from gateway.mapping import Mapping, MappingContext, MappingFault, explain, load
from gateway.schemas import Registry
from gateway.validation import Report, validate
from tests.conftest import ROOT, corpus

LEISTUNGEN = ROOT / "schemas" / "leistungen"
SLUGS = ("hundesteuer", "kleiner-waffenschein", "meldebescheinigung", "schwerbehindertenausweis", "wohngeld")
FORMS = [path for slug in SLUGS for path in sorted((LEISTUNGEN / slug / "samples").glob("form-*.xml"))]
GOOD = [path for path in FORMS if "broken" not in path.name]
BROKEN = [path for path in FORMS if "broken" in path.name]


def label(path: Path) -> str:
    return f"{path.parts[-3]}/{path.stem}"


@pytest.mark.parametrize("path", GOOD, ids=label)
def test_a_good_form_becomes_a_message_that_both_schema_engines_take(path: Path) -> None:
    body = mapping_of(path).apply(form(path), context=context(path))
    lxml_schema, other_schema = schemas(path.parts[-3])
    root = etree.fromstring(body)
    assert lxml_schema.validate(root), lxml_schema.error_log
    assert list(other_schema.iter_errors(root)) == []


@pytest.mark.parametrize("path", GOOD, ids=label)
def test_a_good_form_arrives_with_the_values_that_were_meant(path: Path) -> None:
    expected = wanted(path)
    mapped = mapping_of(path).run(form(path), context=context(path))
    root = etree.fromstring(mapped.body)
    assert {place: text_at(root, place) for place in expected["message"]} == expected["message"]
    assert mapped.facts == expected["facts"]


@pytest.mark.parametrize("path", GOOD, ids=label)
def test_a_good_form_passes_every_step_that_a_message_passes(path: Path) -> None:
    assert examined(path, mapping_of(path).apply(form(path), context=context(path))).findings == ()


@pytest.mark.parametrize("path", GOOD, ids=label)
def test_no_field_of_a_good_form_is_left_behind(path: Path) -> None:
    left = [row.form_field for row in explain(mapping_of(path), form(path)) if row.message_field is None]
    assert left == []


@pytest.mark.parametrize("path", FORMS, ids=label)
def test_a_form_is_recognised_by_its_id_and_without_metadata_by_its_root(path: Path) -> None:
    found = portalform.recognise(form(path))
    assert found is not None
    assert mapping_of(path).fits(found) == (found.form_id is not None)
    if path in GOOD:
        assert found.form_id == wanted(path)["form_id"]


@pytest.mark.parametrize("path", BROKEN, ids=label)
def test_a_broken_form_is_told_where_and_why_and_no_value(path: Path) -> None:
    expected = wanted(path)
    if expected["found_by"] == "mapping":
        with pytest.raises(MappingFault) as caught:
            mapping_of(path).apply(form(path), context=context(path))
        assert [{"rule": each.rule, "path": each.path} for each in caught.value.findings] == expected["findings"]
        for value in ("unbestimmt", "Winter", "XY", "31.02", "dreißig", "VORGEMERKT", "1.250", "Heizkosten", "Brieftaube"):
            assert value not in repr(caught.value.findings)
    else:
        report = examined(path, mapping_of(path).apply(form(path), context=context(path)))
        plain = [{"rule": each.rule, "path": re.sub(r"(?<=/)[\w.-]+:", "", each.path or "")} for each in report.findings]
        assert plain == expected["findings"]


@pytest.mark.parametrize("slug", SLUGS)
def test_every_service_has_a_form_with_metadata_one_without_and_broken_ones(slug: str) -> None:
    mine = [path for path in FORMS if path.parts[-3] == slug]
    roots = {etree.fromstring(path.read_bytes()).tag for path in mine}
    assert roots == set(portalform.ROOTS)
    assert len([path for path in mine if path in BROKEN]) >= 2


@pytest.mark.corpus
def test_the_form_of_a_real_portals_structure_is_recognised_and_mapped() -> None:
    document = form(corpus("fit-connect") / "portal-seitenbau" / "sample-with-metadata.synthetic.xml")
    found = portalform.recognise(document)
    assert found is not None
    assert (found.tenant, found.form_name, found.version) == ("6000357", "Musterlandkreis_Hundesteuer_ApplicantForm", "1.0")
    assert found.has_handle
    table = load(LEISTUNGEN / "hundesteuer" / "form.toml")
    assert table.fits(found)
    mapped = table.run(document, context=CONTEXT)
    root = etree.fromstring(mapped.body)
    assert text_at(root, "anlage[1]/dateiname") == "Police Meier & Co.pdf"
    assert text_at(root, "hund[1]/kastriert") == "true"
    assert [row.form_field for row in explain(table, document) if row.message_field is None] == ["antragsteller/uhrzeit"]


@pytest.mark.corpus
def test_the_older_root_without_metadata_is_recognised() -> None:
    folder = corpus("fit-connect") / "portal-seitenbau"
    found = portalform.recognise(form(folder / "sample-pre-2025-06-no-metadata.synthetic.xml"))
    assert found == portalform.PortalForm(None, None, None, None, None, has_handle=False)


@pytest.mark.corpus
def test_the_names_a_portal_refuses_are_the_names_a_table_refuses() -> None:
    for name, legal in (("formContent_allFields.json", True), ("formContent_withIllegalXmlName.json", False)):
        content = json.loads((corpus("fit-connect") / "portal-seitenbau" / name).read_text(encoding="utf-8"))
        names = {part for key in content["fields"] for part in (key.split(":")[0], key.split(":")[2])}
        assert all(map(portalform.is_id, names)) is legal


CONTEXT = MappingContext(
    message_id="0195a4c2-7b1e-7c3d-9a40-000000001001", leistung="hundesteuer", ars="081250000000", portal="service-bw",
    received=datetime(2026, 3, 2, 8, 15, tzinfo=UTC),
)


def context(path: Path) -> MappingContext:
    found = portalform.recognise(form(path))
    assert found is not None
    return MappingContext(
        message_id=CONTEXT.message_id, leistung=path.parts[-3], ars=CONTEXT.ars, portal=CONTEXT.portal, received=CONTEXT.received,
        form_id=found.form_id, version=found.version,
    )


def form(path: Path) -> Document:
    return read(path.read_bytes())


def examined(path: Path, body: bytes) -> Report:
    known = registry()
    return validate(read(body), known.package_of(known.leistungen[path.parts[-3]]))


@cache
def registry() -> Registry:
    return Registry.load(ROOT / "schemas")


def wanted(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8")))


def mapping_of(path: Path) -> Mapping:
    return shipped(path.parts[-3])


@cache
def shipped(slug: str) -> Mapping:
    return load(LEISTUNGEN / slug / "form.toml")


@cache
def schemas(slug: str) -> tuple[etree.XMLSchema, xmlschema.XMLSchema]:
    path = LEISTUNGEN / slug / "message.xsd"
    return etree.XMLSchema(etree.parse(str(path))), xmlschema.XMLSchema(str(path))


def text_at(root: etree._Element, place: str) -> str | None:
    """"hund[2]/rufname" by local names."""
    node: etree._Element | None = root
    for step in place.split("/"):
        name, _, number = step.rstrip("]").partition("[")
        same = [child for child in node if etree.QName(child).localname == name] if node is not None else []
        node = same[int(number or 1) - 1] if len(same) >= int(number or 1) else None
    return node.text if node is not None else None
