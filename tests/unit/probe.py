"""A small message, and forms and tables for it: what the tests of mappings share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from lxml import etree

from gateway.document import Document, read
from gateway.mapping import Mapping, MappingContext, load

CONTEXT = MappingContext(
    message_id="0195a4c2-7b1e-7c3d-9a40-000000001001", leistung="probe", ars="08125", portal="service-bw",
    received=datetime(2026, 3, 2, 8, 15, tzinfo=UTC), form_id="1:Probe:v1.0", version="1.0",
)
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:p="urn:probe" targetNamespace="urn:probe"
 elementFormDefault="qualified">
<xs:simpleType name="Wort"><xs:restriction base="xs:token"/></xs:simpleType>
<xs:simpleType name="Art"><xs:restriction base="xs:token"><xs:enumeration value="m"/><xs:enumeration value="w"/></xs:restriction>
</xs:simpleType>
<xs:complexType name="Code"><xs:sequence><xs:element name="code" type="p:Art" form="unqualified"/></xs:sequence></xs:complexType>
<xs:complexType name="Name"><xs:sequence><xs:element name="vor" type="p:Wort"/><xs:element name="nach" type="p:Wort"/>
  <xs:element name="land" type="p:Wort" minOccurs="0"/></xs:sequence></xs:complexType>
<xs:element name="probe"><xs:complexType><xs:sequence>
  <xs:element name="name" type="p:Name" minOccurs="0"/>
  <xs:element name="tag" type="xs:date" minOccurs="0"/>
  <xs:element name="art" type="p:Code" minOccurs="0" maxOccurs="unbounded"/>
  <xs:element name="text" type="xs:string" minOccurs="0"/>
  <xs:element name="ding" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
    <xs:element name="wort" type="p:Wort" minOccurs="0" maxOccurs="unbounded"/>
    <xs:element name="wem" type="p:Wort" minOccurs="0"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:sequence><xs:attribute name="version" use="required" fixed="1.{0}"/></xs:complexType></xs:element>
</xs:schema>"""


def write_schema(folder: Path) -> Path:
    (folder / "message.xsd").write_text(XSD, encoding="utf-8")
    return folder


def table(folder: Path, text: str) -> Mapping:
    path = folder / "form.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def form(inner: str, metadata: str = "") -> Document:
    head = f"<metadata>{metadata}</metadata>"
    return read(f"<serviceportal>{head}<serviceportal-fields>{inner}</serviceportal-fields></serviceportal>".encode())


def one(group: str, fields: str) -> str:
    return f"<{group}><instance_0>{fields}</instance_0></{group}>"


def shown(mapping: Mapping, document: Document, context: MappingContext = CONTEXT) -> list[str]:
    """"ding/wort=x" for every element that holds text."""
    root = etree.fromstring(mapping.apply(document, context=context))
    rows = []
    for node in root.iter():
        if not len(node):
            steps = [etree.QName(each).localname for each in (*reversed(list(node.iterancestors())), node)][1:]
            rows.append(f"{'/'.join(steps)}={node.text}")
    return rows
