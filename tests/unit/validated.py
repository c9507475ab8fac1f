"""A schema with every kind of thing that can be wrong, and messages of it: what the tests of validation share."""

from __future__ import annotations

from pathlib import Path

from gateway.document import read
from gateway.schemas import Package, Registry
from gateway.validation import Report, validate

XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
CODES = "".join(f'<xs:enumeration value="c{n:03}"/>' for n in range(250))
SCHEMA = f"""<xs:schema {XS} xmlns="urn:t" targetNamespace="urn:t" elementFormDefault="qualified">
<xs:simpleType name="Ja"><xs:restriction base="xs:token"><xs:enumeration value="ja"/><xs:enumeration value="nein"/>
</xs:restriction></xs:simpleType>
<xs:simpleType name="Lang"><xs:restriction base="xs:token">{CODES}</xs:restriction></xs:simpleType>
<xs:simpleType name="Tag"><xs:union memberTypes="xs:date xs:gYear"/></xs:simpleType>
<xs:complexType name="Abstrakt" abstract="true"/>
<xs:element name="r"><xs:complexType><xs:choice minOccurs="0" maxOccurs="unbounded">
<xs:element name="ja" type="Ja"/><xs:element name="lang" type="Lang"/><xs:element name="tag" type="Tag"/>
<xs:element name="nah"><xs:simpleType><xs:restriction base="xs:token">{CODES}</xs:restriction></xs:simpleType></xs:element>
<xs:element name="liste"><xs:simpleType><xs:list itemType="Ja"/></xs:simpleType></xs:element>
<xs:element name="zahl"><xs:simpleType><xs:restriction base="xs:int"><xs:minInclusive value="3"/><xs:maxExclusive value="9"/>
</xs:restriction></xs:simpleType></xs:element>
<xs:element name="plz"><xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="[0-9]{{5}}"/></xs:restriction>
</xs:simpleType></xs:element>
<xs:element name="kurz"><xs:simpleType><xs:restriction base="xs:string"><xs:minLength value="2"/><xs:maxLength value="4"/>
</xs:restriction></xs:simpleType></xs:element>
<xs:element name="genau"><xs:simpleType><xs:restriction base="xs:string"><xs:length value="2"/></xs:restriction></xs:simpleType>
</xs:element>
<xs:element name="geld"><xs:simpleType><xs:restriction base="xs:decimal"><xs:totalDigits value="4"/>
<xs:fractionDigits value="2"/></xs:restriction></xs:simpleType></xs:element>
<xs:element name="datum" type="xs:date"/><xs:element name="wahr" type="xs:boolean"/>
<xs:element name="fest" type="xs:string" fixed="F"/><xs:element name="nullbar" type="xs:int" nillable="true"/>
<xs:element name="abstrakt" type="Abstrakt"/>
<xs:element name="attr"><xs:complexType><xs:attribute name="q" type="Ja" use="required"/>
<xs:attribute name="lang" type="Lang"/><xs:attribute name="fest" type="xs:string" fixed="z"/>
<xs:attribute name="id" type="xs:ID"/>
<xs:attribute name="ref" type="xs:IDREF"/><xs:attribute name="refs" type="xs:IDREFS"/></xs:complexType></xs:element>
<xs:element name="leer"><xs:complexType/></xs:element><xs:element name="text" type="xs:string"/>
<xs:element name="datei" type="xs:base64Binary"/>
<xs:element name="folge"><xs:complexType><xs:sequence><xs:element name="eins" type="xs:int"/>
<xs:element name="zwei" type="xs:int"/>
<xs:any namespace="##other" processContents="strict" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>
<xs:element name="k"><xs:complexType><xs:attribute name="v" type="xs:string"/></xs:complexType></xs:element>
<xs:element name="kr"><xs:complexType><xs:attribute name="v" type="xs:string"/></xs:complexType></xs:element>
</xs:choice></xs:complexType>
<xs:key name="K"><xs:selector xpath="t:k" xmlns:t="urn:t"/><xs:field xpath="@v"/></xs:key>
<xs:keyref name="KR" refer="K"><xs:selector xpath="t:kr" xmlns:t="urn:t"/><xs:field xpath="@v"/></xs:keyref>
</xs:element></xs:schema>"""
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def a_registry(folder: Path, schema: str = SCHEMA, manifest: str = "") -> Registry:
    package = folder / "packages" / "probe"
    package.mkdir(parents=True)
    (package / "probe.xsd").write_text(schema)
    (package / "manifest.toml").write_text(
        f'name = "probe"\nversion = "1"\nnamespace = "urn:t"\nentry = ["probe.xsd"]\n{manifest}\n'
    )
    return Registry.load(folder)


def a_document(inside: str) -> bytes:
    return f'<r xmlns="urn:t">\n{inside}</r>'.encode()


def report(package: Package, inside: str) -> Report:
    return validate(read(a_document(inside)), package)
