"""Whatever well-formed form arrives: a message, or a ``MappingFault``; nothing else, and no value in it."""

from __future__ import annotations

import base64
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.document import read
from gateway.forms import portalform
from gateway.mapping import Mapping, MappingFault, explain, load
from tests.conftest import ROOT
from tests.unit.probe import CONTEXT

SLUGS = ("hundesteuer", "kleiner-waffenschein", "meldebescheinigung", "schwerbehindertenausweis", "wohngeld")
MARK = "Geheimnis"

GROUPS = ("antragsteller", "hunde", "anlagen", "antrag", "haushalt", "person", "zahlung", "wohnung", "instance_0", "x")
INSTANCES = ("instance_0", "instance_1", "instance_10", "instance_2", "instance_x", "instance_", f"instance_{9 * 10**19}", "y")
NAMES = (
    "familienname", "geburtsdatum", "geschlecht", "rufname", "haltungSeit", "merkmale", "versicherung", "weitere", "lichtbild",
    "betrag", "flaeche", "art", "anzahl", "fuerMich", "base64Data", "selectedValue", "filename", "mimetype", "ä",
)
VALUES = ["", " ", "true", "1.234", "2015-07-08T00:00:00.000+02:00", "31.02.2026", "männlich", "&amp;", "QQ==", "QQ=", "]]>"]
_LETTERS = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
texts = st.one_of(st.sampled_from(VALUES), st.text(_LETTERS, max_size=12).map(lambda text: MARK + text))


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> etree._Element:
    """Mostly group/instance/field, sometimes anything inside anything."""
    pool = (GROUPS, INSTANCES, NAMES)[min(depth, 2)] if draw(st.integers(0, 9)) else GROUPS + INSTANCES + NAMES
    element = etree.Element(draw(st.sampled_from(pool)))
    if depth >= 2 and draw(st.integers(0, 3)):
        element.text = draw(texts)
        return element
    element.text = draw(texts) if not draw(st.integers(0, 5)) else None
    if depth < 5:
        for _ in range(draw(st.integers(0, 3))):
            element.append(draw(elements(depth + 1)))
    return element


@st.composite
def forms(draw: st.DrawFn) -> bytes:
    root = etree.Element(draw(st.sampled_from(portalform.ROOTS)))
    holder = root
    if root.tag == "serviceportal":
        if draw(st.booleans()):
            metadata = etree.SubElement(root, "metadata")
            for name in ("creationDate", "formId", "postfachHandleId", "pdfApplicantFormBase64"):
                if draw(st.booleans()):
                    etree.SubElement(metadata, name).text = draw(texts)
        holder = etree.SubElement(root, "serviceportal-fields")
    for _ in range(draw(st.integers(0, 5))):
        holder.append(draw(elements()))
    return etree.tostring(root, encoding="UTF-8")


@cache
def mapping(slug: str) -> Mapping:
    return load(ROOT / "schemas" / "leistungen" / slug / "form.toml")


@pytest.mark.parametrize("slug", SLUGS)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=forms())
def test_any_well_formed_form_is_mapped_or_told_what_is_wrong(slug: str, body: bytes) -> None:
    document = read(body)
    found = portalform.recognise(document)
    assert found is not None
    assert MARK not in repr(explain(mapping(slug), document))
    try:
        message = mapping(slug).apply(document, context=CONTEXT)
    except MappingFault as found_fault:
        fault = found_fault
    else:
        assert message == mapping(slug).apply(document, context=CONTEXT)
        etree.fromstring(message)
        return
    assert fault.findings
    assert MARK not in repr(fault.findings) + str(fault)


@given(body=forms())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_personal_handle_never_shows(body: bytes) -> None:
    found = portalform.recognise(read(body))
    assert "postfach" not in repr(found).lower()


def test_a_file_of_eleven_megabytes_arrives_whole() -> None:
    content = base64.b64encode(bytes(range(256)) * 45_056).decode()
    body = (f"<serviceportal-fields><anlagen><instance_0><weitere><base64Data>{content}</base64Data><mimetype>a/b</mimetype>"
            "<filename>gross.bin</filename></weitere></instance_0></anlagen></serviceportal-fields>").encode()
    message = mapping("hundesteuer").apply(read(body), context=CONTEXT)
    assert content.encode() in message
    assert b"groesse>11534336<" in message
