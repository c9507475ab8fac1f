"""Schema files: read from disk and nowhere else, every fault with file and line, and what they declare."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from lxml import etree

from gateway.document import read
from gateway.packages.compiled import CompiledSchema, _compile
from gateway.packages.declarations import declared_in
from gateway.packages.schemafiles import Catalog, SchemaFaults, SchemaFiles, gather
from gateway.schemas import Registry
from gateway.validation import validate
from tests.unit.handmade import a_manifest, a_schema, a_site, faults_of


def test_includes_and_imports_are_followed_inside_the_root_folder(tmp_path: Path) -> None:
    a_site(tmp_path, {
        "basis/b.xsd": a_schema('<xs:simpleType name="B"><xs:restriction base="xs:int"/></xs:simpleType>', "urn:b"),
        "packages/p/a.xsd": a_schema(
            '<xs:include schemaLocation="ümlaut (1).xsd"/>'
            '<xs:import namespace="urn:b" schemaLocation="../../basis/b.xsd"/>'
            '<xs:element name="r" type="b:B" xmlns:b="urn:b"/>'
        ),
        "packages/p/ümlaut (1).xsd": a_schema('<xs:include schemaLocation="a.xsd"/><xs:element name="s" type="xs:date"/>'),
        "packages/p/manifest.toml": a_manifest(),
    })
    registry = Registry.load(tmp_path)
    package = registry.detect(read(b'<r xmlns="urn:t">1</r>'))
    assert package.roots == ("r", "s"), "a message is a global element of the namespace, whichever file declares it"
    assert validate(read(b'<r xmlns="urn:t">1</r>'), package).valid
    assert validate(read(b'<r xmlns="urn:t">x</r>'), package).findings[0].expected == ("xs:int",)


@pytest.mark.parametrize(("location", "said"), [
    ("http://example.org/o.xsd", "the import http://example.org/o.xsd is not in the catalog"),
    ("HTTPS://example.org/o.xsd", "is not in the catalog"),
    ("../../../../../../etc/passwd", "leaves the schema folder"),
    ("file:///etc/passwd", "only relative paths and addresses in the catalog"),
    ("/etc/passwd", "only relative paths"),
    ("ftp://example.org/o.xsd", "only relative paths"),
    ("missing.xsd", "missing.xsd is missing: no file"),
    ("%2e%2e/%2e%2e/%2e%2e/outside.xsd", "leaves the schema folder"),
])
def test_a_location_that_leads_elsewhere_is_refused_with_its_line(tmp_path: Path, location: str, said: str) -> None:
    a_site(tmp_path, {
        "outside.xsd": a_schema(namespace="urn:o"),
        "site/packages/p/a.xsd": a_schema(f'\n<xs:import namespace="urn:o" schemaLocation="{location}"/><xs:element name="r"/>'),
        "site/packages/p/manifest.toml": a_manifest(),
    })
    (fault,) = faults_of(tmp_path / "site")
    assert said in fault
    assert "/packages/p/a.xsd:3: " in fault


def test_a_link_that_leads_out_of_the_folder_counts_as_what_it_points_to(tmp_path: Path) -> None:
    a_site(tmp_path, {
        "outside.xsd": a_schema(),
        "site/packages/p/a.xsd": a_schema('<xs:include schemaLocation="b.xsd"/><xs:element name="s"/>'),
        "site/packages/p/manifest.toml": a_manifest(),
    })
    (tmp_path / "site/packages/p/b.xsd").symlink_to(tmp_path / "outside.xsd")
    assert "leaves the schema folder" in faults_of(tmp_path / "site")[0]


def test_an_import_by_url_is_answered_from_the_catalog_whether_http_or_https(tmp_path: Path) -> None:
    a_site(tmp_path, {
        "catalog/catalog.xml": """<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">
            <system systemId="http://example.org/o.xsd" uri="o.xsd"/></catalog>""",
        "catalog/o.xsd": a_schema('<xs:simpleType name="O"><xs:restriction base="xs:int"/></xs:simpleType>', "urn:o"),
        "packages/p/a.xsd": a_schema(
            '<xs:import namespace="urn:o" schemaLocation="https://example.org/o.xsd"/>'
            '<xs:element name="r" type="o:O" xmlns:o="urn:o"/>'
        ),
        "packages/p/manifest.toml": a_manifest(),
    })
    package = Registry.load(tmp_path).packages["probe@1"]
    assert not validate(read(b'<r xmlns="urn:t">x</r>'), package).valid


def test_a_catalog_entry_cannot_point_out_of_the_root(tmp_path: Path) -> None:
    a_site(tmp_path, {"catalog/catalog.xml": '<catalog><system systemId="http://a/b" uri="../../../etc/passwd"/></catalog>'})
    with pytest.raises(SchemaFaults, match="lies outside"):
        Catalog.load(tmp_path / "catalog/catalog.xml", inside=tmp_path)


def test_libxml2_gets_nothing_that_was_not_gathered(tmp_path: Path) -> None:
    secret = tmp_path / "secret.xsd"
    secret.write_text(a_schema())
    files = SchemaFiles(
        "urn:t", ("k",), {"k": a_schema(f'<xs:include schemaLocation="{secret}"/>').encode()}, {"k": tmp_path / "k.xsd"}
    )
    with pytest.raises(SchemaFaults):
        _compile(files, files.texts)
    importing = a_schema(f'<xs:import namespace="urn:o" schemaLocation="file://{secret}"/><xs:element name="r"/>')
    files = SchemaFiles("urn:t", ("k",), {"k": importing.encode()}, {"k": tmp_path / "k.xsd"})
    with pytest.raises(SchemaFaults, match="not part of the package"):
        _compile(files, files.texts)


@pytest.mark.parametrize("doctype", [
    '<!DOCTYPE a [<!ENTITY a "x"><!ENTITY b "&a;&a;">]>',
    '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    '<!DOCTYPE a [' + "".join(f'<!ENTITY e{n} "x">' for n in range(20)) + "]>",
])
def test_a_doctype_that_could_grow_or_fetch_is_refused(tmp_path: Path, doctype: str) -> None:
    a_site(tmp_path, {"packages/p/a.xsd": doctype + a_schema(), "packages/p/manifest.toml": a_manifest()})
    assert "DOCTYPE" in faults_of(tmp_path)[0]


def test_the_doctype_of_the_w3cs_own_schema_is_taken(tmp_path: Path) -> None:
    doctype = """<!DOCTYPE schema PUBLIC "-//W3C//DTD XMLSchema 200102//EN" "http://www.w3.org/2001/XMLSchema.dtd"
        [<!ATTLIST schema xmlns:ds CDATA #FIXED "urn:ds"><!ENTITY dsig 'urn:ds'><!ENTITY % p ''><!ENTITY % s ''>]>"""
    a_site(tmp_path, {"packages/p/a.xsd": doctype + a_schema(), "packages/p/manifest.toml": a_manifest()})
    assert "probe@1" in Registry.load(tmp_path).packages


@pytest.mark.parametrize(("text", "said"), [
    ("<xs:schema", "not well-formed XML"),
    ("<html/>", "its root element is not xs:schema"),
    (a_schema('\n<xs:element name="r" type="t:Fehlt"/>'), "a.xsd:3: "),
    (a_schema('<xs:group name="g"><xs:sequence><xs:group ref="t:g"/></xs:sequence></xs:group><xs:element name="r">'
              '<xs:complexType><xs:group ref="t:g"/></xs:complexType></xs:element>'), "not a valid schema"),
    (a_schema("<xs:annotation/>"), "no global element, so no message"),
])
def test_a_damaged_schema_is_named_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    a_site(tmp_path, {"packages/p/a.xsd": text, "packages/p/manifest.toml": a_manifest()})
    fault = faults_of(tmp_path)[0]
    assert said in fault
    assert "a.xsd:" in fault
    assert "nahtlos-schema-" not in fault, "our own names mean nothing to a reader"


def test_a_release_of_many_files_without_a_root_is_one_package(tmp_path: Path) -> None:
    a_site(tmp_path, {
        "packages/p/a.xsd": a_schema('<xs:include schemaLocation="c.xsd"/><xs:element name="a" type="t:C"/>'),
        "packages/p/b.xsd": a_schema('<xs:include schemaLocation="c.xsd"/><xs:element name="b" type="t:C"/>'),
        "packages/p/c.xsd": a_schema('<xs:simpleType name="C"><xs:restriction base="xs:int"/></xs:simpleType>'),
        "packages/p/manifest.toml": a_manifest(entry='"a.xsd", "b.xsd"'),
    })
    package = Registry.load(tmp_path).packages["probe@1"]
    assert package.roots == ("a", "b")
    assert validate(read(b'<b xmlns="urn:t">1</b>'), package).valid
    assert not validate(read(b'<a xmlns="urn:t">x</a>'), package).valid


def test_the_digest_changes_with_any_file_and_not_with_the_folder(tmp_path: Path) -> None:
    files = {"packages/p/a.xsd": a_schema('<xs:include schemaLocation="b.xsd"/><xs:element name="r"/>'),
             "packages/p/b.xsd": a_schema("<xs:annotation/>"), "packages/p/manifest.toml": a_manifest()}
    one = Registry.load(a_site(tmp_path / "one", files)).packages["probe@1"].digest
    two = Registry.load(a_site(tmp_path / "two", files)).packages["probe@1"].digest
    files["packages/p/b.xsd"] = a_schema("<xs:annotation/> ")
    assert one == two != Registry.load(a_site(tmp_path / "three", files)).packages["probe@1"].digest


def test_schema_files_travel_to_another_process(tmp_path: Path) -> None:
    a_site(tmp_path, {"a.xsd": a_schema()})
    files, roots = gather(tmp_path / "a.xsd", inside=tmp_path)
    again, declared = pickle.loads(pickle.dumps((files, declared_in(roots))))
    assert CompiledSchema(again, declared).check(read(b'<r xmlns="urn:t"/>')).valid


# --- declarations --------------------------------------------------------------------------------------------------------------


def test_references_are_found_through_derivation_groups_and_extension() -> None:
    root = etree.fromstring(a_schema("""
        <xs:simpleType name="Verweis"><xs:restriction base="xs:IDREF"/></xs:simpleType>
        <xs:attributeGroup name="g"><xs:attribute name="zu" type="t:Verweis"/></xs:attributeGroup>
        <xs:complexType name="B"><xs:attributeGroup ref="t:g"/></xs:complexType>
        <xs:complexType name="C"><xs:complexContent><xs:extension base="t:B"><xs:attribute name="nr" type="xs:ID"/>
        </xs:extension></xs:complexContent></xs:complexType>
        <xs:element name="c" type="t:C"/><xs:element name="v" type="t:Verweis"/>
        <xs:complexType name="X"><xs:sequence><xs:element name="lokal" type="t:B"/></xs:sequence></xs:complexType>"""))
    declared = declared_in({"k": root})
    assert declared.references == {("{urn:t}c", "zu"), ("{urn:t}v", ""), ("lokal", "zu")}
    assert declared.id_attributes == {"nr"}


def test_an_element_that_is_a_reference_here_and_text_there_is_not_judged() -> None:
    root = etree.fromstring(a_schema("""
        <xs:complexType name="X"><xs:sequence><xs:element name="v" type="xs:IDREF"/></xs:sequence></xs:complexType>
        <xs:complexType name="Y"><xs:sequence><xs:element name="v" type="xs:string"/></xs:sequence></xs:complexType>"""))
    assert not declared_in({"k": root}).references
