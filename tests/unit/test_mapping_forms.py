"""Which form it is, and what an XSD says about the message it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.document import read
from gateway.forms import portalform
from gateway.forms.messageshape import Kind, ShapeFault
from gateway.forms.messageshape import read as read_shape
from gateway.forms.portalform import PortalForm
from tests.unit.probe import form, one


def test_the_form_id_carries_tenant_name_and_version() -> None:
    metadata = "<formId>6000357:Muster:Stadt_Hund:v1.10</formId><postfachHandleId>x</postfachHandleId>"
    found = portalform.recognise(form("", metadata))
    assert found == PortalForm("6000357:Muster:Stadt_Hund:v1.10", "6000357", "Muster:Stadt_Hund", "1.10", None, has_handle=True)


@pytest.mark.parametrize(("form_id", "tenant", "name", "version"), [
    ("a:b", "a", "b", None), ("b", None, "b", None), (":b:v1", None, "b", "1"), ("a:b:vx", "a", "b:vx", None),
    ("a:b:v2.0-RC", "a", "b:v2.0-RC", None),
])
def test_a_form_id_of_another_build_is_taken_apart_as_far_as_it_goes(form_id: str, tenant: str, name: str, version: str) -> None:
    found = portalform.recognise(form("", f"<formId>{form_id}</formId>"))
    assert found is not None
    assert (found.tenant, found.form_name, found.version) == (tenant, name, version)


@pytest.mark.parametrize("body", [
    b"<x/>", b'<serviceportal xmlns="urn:x"/>', b'<p:serviceportal-fields xmlns:p="urn:x"/>', b"<Serviceportal/>",
])
def test_what_only_looks_like_a_portal_form_is_none(body: bytes) -> None:
    assert portalform.recognise(read(body)) is None


@pytest.mark.parametrize(("pattern", "versions", "holds"), [
    ("*:*Hund*", "", True), ("7:*", "", False), ("*", ">=1.2,<2", True), ("*", ">=1.11", False), ("*", "==1.10", True),
    ("*", "<1.9", False), ("6000357:Stadt_Hundesteuer", "", True), ("6000357:Stadt_Hundesteuer:v1.10", "", True),
    ("6000357:Stadt_Hundesteuer:v1.1", "", False),
    ("*[H]und*", "", False), ("?000357:*", "", False),
])
def test_a_binding_speaks_of_a_form_by_pattern_and_version(pattern: str, versions: str, *, holds: bool) -> None:
    found = PortalForm("6000357:Stadt_Hundesteuer:v1.10", "6000357", "Stadt_Hundesteuer", "1.10", None, has_handle=False)
    assert portalform.fits(found, pattern, versions=versions) is holds


def test_a_form_without_metadata_or_version_fits_no_binding_that_asks_for_it() -> None:
    assert not portalform.fits(PortalForm(None, None, None, None, None, has_handle=False), "*")
    assert not portalform.fits(PortalForm("a:b", "a", "b", None, None, has_handle=False), "*", versions=">=1")


def test_a_bound_that_is_none_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="not a version bound"):
        portalform.in_range("1.0", ">=eins")


def test_values_come_with_their_instances_in_order_and_without_what_is_empty() -> None:
    document = form("<g><instance_10><a>x</a></instance_10><instance_9><a>x</a><b/></instance_9></g>" + one("h", ""))
    assert [value.place for value in portalform.values(document.root)] == ["g/instance_9/a", "g/instance_10/a"]
    assert "x" not in repr(list(portalform.values(document.root))).replace("instance", "")


@pytest.mark.parametrize(("name", "legal"), [
    ("a", True), ("_a.b-c1", True), ("123illegalNameForXmlNode", False), ("größe", False), ("xmlFeld", False), ("XMLFeld", False),
    ("a b", False), ("", False), ("a\n", False),
])
def test_only_names_that_the_portal_itself_accepts_are_ids(name: str, *, legal: bool) -> None:
    assert portalform.is_id(name) is legal


SHAPE = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:t" targetNamespace="urn:t">
<xs:include schemaLocation="teil.xsd"/><xs:import namespace="urn:o" schemaLocation="fremd.xsd"/>
<xs:complexType name="Basis"><xs:sequence><xs:element name="eins" type="xs:int"/></xs:sequence></xs:complexType>
<xs:complexType name="Mehr"><xs:complexContent><xs:extension base="t:Basis"><xs:choice>
  <xs:element name="zwei" type="t:Betrag"/><xs:group ref="t:Gruppe"/></xs:choice></xs:extension></xs:complexContent>
</xs:complexType>
<xs:group name="Gruppe"><xs:sequence maxOccurs="unbounded"><xs:element name="drei" form="qualified" type="t:Tag"/>
  <xs:element xmlns:o="urn:o" ref="o:fremd" minOccurs="0"/></xs:sequence></xs:group>
<xs:complexType name="Kreis"><xs:sequence><xs:element name="kreis" type="t:Kreis" minOccurs="0"/></xs:sequence></xs:complexType>
<xs:element name="wurzel" type="t:Mehr"/><xs:element name="rund" type="t:Kreis"/></xs:schema>"""
PART = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
<xs:simpleType name="Betrag"><xs:restriction base="xs:decimal"><xs:fractionDigits value="2"/></xs:restriction></xs:simpleType>
<xs:simpleType name="Tag"><xs:union memberTypes="T2 T1"/></xs:simpleType>
<xs:simpleType name="T1"><xs:restriction base="xs:gYear"/></xs:simpleType>
<xs:simpleType name="T2"><xs:restriction base="xs:date"/></xs:simpleType></xs:schema>"""
FOREIGN = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:o">
<xs:element name="fremd" type="xs:boolean"/></xs:schema>"""


@pytest.fixture
def xsd(tmp_path: Path) -> Path:
    for name, text in (("teil.xsd", PART), ("fremd.xsd", FOREIGN), ("message.xsd", SHAPE)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / "message.xsd"


def test_a_shape_has_order_namespaces_kinds_and_what_is_required(xsd: Path) -> None:
    shape = read_shape(xsd, "wurzel")
    seen = [(each.name, each.namespace, each.required, each.repeats, each.simple.kind if each.simple else None)
            for each in shape.children.values()]
    assert seen == [
        ("eins", "", True, False, Kind.INTEGER), ("zwei", "", False, False, Kind.MONEY),
        ("drei", "urn:t", False, True, Kind.PARTIAL_DATE), ("fremd", "urn:o", False, True, Kind.BOOLEAN),
    ]


def test_a_type_that_holds_itself_is_read_as_deep_as_asked(xsd: Path) -> None:
    assert read_shape(xsd, "rund").at(*["kreis"] * 30) is not None


def test_a_shape_that_is_not_clear_says_what_there_is(xsd: Path) -> None:
    with pytest.raises(ShapeFault, match="rund, wurzel"):
        read_shape(xsd)
    (xsd.parent / "fremd.xsd").unlink()
    with pytest.raises(ShapeFault, match=r"fremd\.xsd"):
        read_shape(xsd, "wurzel")
