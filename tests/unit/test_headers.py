"""Header families A to F: found in the declarations, read from messages, changed line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.document import read
from gateway.findings import Severity, Unacceptable
from gateway.packages.headers import FAMILIES, contradicts
from gateway.packages.package import Package
from gateway.schemas import Registry
from tests.unit.minirelease import NAMESPACE, Shelf, imported, xsd

UUID = "7e6ab0f1-0d3f-4c36-9d4a-6f3b6d2b8a11"
UQ = ' form="unqualified"'


def sequence(name: str, *content: str, form: str = "", attributes: str = "", more: str = "") -> str:
    return (f'<xs:element name="{name}"{form}{more}><xs:complexType><xs:sequence>{"".join(content)}</xs:sequence>{attributes}'
            "</xs:complexType></xs:element>")


def leaf(name: str, form: str = "", more: str = "") -> str:
    return f'<xs:element name="{name}" type="xs:string"{form} minOccurs="0"{more}/>'


def basic_head(form: str, party: str, name: str = "nachrichtenkopf.g2g") -> str:
    return sequence(
        name,
        sequence("identifikation.nachricht", leaf("nachrichtenUUID", form),
                 sequence("nachrichtentyp", leaf("code", UQ), form=form), leaf("erstellungszeitpunkt", form), form=form),
        sequence("leser", party, form=form), sequence("autor", party, form=form), leaf("referenzUUID", form), form=form,
    )


ROOT_ATTRIBUTES = "".join(f'<xs:attribute name="{name}"/>' for name in ("produkt", "standard", "test", "version"))
DIRECTORY = sequence("verzeichnisdienst", leaf("code", UQ), form=UQ, more=' minOccurs="0"') + leaf("kennung", UQ)
KEYS = sequence("behoerdenkennung", sequence("praefix", leaf("code", UQ)), sequence("kennung", leaf("code", UQ)))
XDOMEA = sequence("Behoerdenkennung", sequence("Behoerdenschluessel", leaf("code", UQ)), sequence("Praefix", leaf("code", UQ)))

SCHEMAS = {
    "A": sequence("antrag.stellen.0001", basic_head(UQ, DIRECTORY), attributes=ROOT_ATTRIBUTES),
    "B": sequence("antrag.stellen.0001", '<xs:element ref="g:nachrichtenkopf.g2g"/>', attributes=ROOT_ATTRIBUTES),
    "C": sequence("antrag.stellen.0001", basic_head("", KEYS, "nachrichtenkopf"), attributes=ROOT_ATTRIBUTES),
    "D": sequence("Abgabe.Abgabe.0401", sequence(
        "Kopf", leaf("ProzessID"), sequence("Nachrichtentyp", leaf("code", UQ)), leaf("Erstellungszeitpunkt"),
        sequence("Absender", XDOMEA), sequence("Empfaenger", XDOMEA), sequence("SendendesSystem", leaf("Produktname")))),
    "E": sequence("nachricht.gds.probe.0005006", sequence(
        "nachrichtenkopf", leaf("erstellungszeitpunkt"),
        '<xs:element name="auswahl_absender"><xs:complexType><xs:choice>'
        + sequence("absender.gericht", leaf("code", UQ)) + leaf("absender.sonstige")
        + "</xs:choice></xs:complexType></xs:element>",
        sequence("auswahl_empfaenger", leaf("empfaenger.sonstige")), leaf("eigeneNachrichtenID"), leaf("fremdeNachrichtenID"),
        sequence("herstellerinformation", leaf("nameDesProdukts")),
        attributes='<xs:attribute name="xjustizVersion" use="required" fixed="{version}"/>')),
    "F": sequence("schueler.zeugnis.0003", leaf("name")),
}


def release(family: str, *, version: str = "1.0", namespace: str = NAMESPACE) -> dict[str, bytes]:
    body = SCHEMAS[family].replace("{version}", version)
    if family != "B":
        return {"p.xsd": xsd(body, standard="probe", version=version, namespace=namespace)}
    g2g = "urn:probe:g2g:1.1"
    return {
        "p.xsd": xsd(body, standard="probe", version=version, namespace=namespace, head=f'xmlns:g="{g2g}"',
                     links=imported(g2g, "g2g.xsd")),
        "g2g.xsd": xsd(basic_head("", DIRECTORY), namespace=g2g),
    }


BASIC = (
    '<t:antrag.stellen.0001 xmlns:t="{ns}" produkt="Portal" standard="Probe" version="1.0"{test}><{p}{head}>'
    "<{p}identifikation.nachricht><{p}nachrichtenUUID>" + UUID + "</{p}nachrichtenUUID><{p}nachrichtentyp><code>0001</code>"
    "</{p}nachrichtentyp><{p}erstellungszeitpunkt>2026-11-01T12:00:00</{p}erstellungszeitpunkt></{p}identifikation.nachricht>"
    "<{p}leser>{reader}</{p}leser><{p}autor>{author}</{p}autor></{p}{head}></t:antrag.stellen.0001>"
)
A_MESSAGE = BASIC.format(ns=NAMESPACE, p="", head="nachrichtenkopf.g2g", test="", reader="<kennung>ags:08125000</kennung>",
                         author="<verzeichnisdienst><code>DVDV</code></verzeichnisdienst><kennung>psw:01003110</kennung>")
MESSAGES = {
    "A": A_MESSAGE,
    "B": BASIC.format(ns=NAMESPACE, p="g:", head="nachrichtenkopf.g2g", test=' xmlns:g="urn:probe:g2g:1.1"',
                      reader="<kennung>ags:08125000</kennung>", author="<kennung>psw:01003110</kennung>"),
    "C": BASIC.format(
        ns=NAMESPACE, p="t:", head="nachrichtenkopf", test="",
        **{who: f"<t:behoerdenkennung><t:praefix><code>{prefix}</code></t:praefix><t:kennung><code>{key}</code></t:kennung>"
                "</t:behoerdenkennung>" for who, prefix, key in (("reader", "ags", "08125000"), ("author", "psw", "01003110"))}),
    "D": f"<x:Abgabe.Abgabe.0401 xmlns:x='{NAMESPACE}'><x:Kopf><x:ProzessID>{UUID}</x:ProzessID><x:Nachrichtentyp>"
         "<code>0401</code></x:Nachrichtentyp><x:Erstellungszeitpunkt>2026-11-01T12:00:00</x:Erstellungszeitpunkt><x:Absender><x:Behoerdenkennung>"
         "<x:Behoerdenschluessel><code>01003110</code></x:Behoerdenschluessel><x:Praefix><code>psw</code></x:Praefix>"
         "</x:Behoerdenkennung></x:Absender><x:Empfaenger><x:Behoerdenkennung><x:Behoerdenschluessel><code>08125000</code>"
         "</x:Behoerdenschluessel><x:Praefix><code>ags</code></x:Praefix></x:Behoerdenkennung></x:Empfaenger><x:SendendesSystem>"
         "<x:Produktname>Portal</x:Produktname></x:SendendesSystem></x:Kopf></x:Abgabe.Abgabe.0401>",
    "E": "<x:nachricht.gds.probe.0005006 xmlns:x='{ns}'><x:nachrichtenkopf xjustizVersion='{version}'><x:erstellungszeitpunkt>"
         "2026-11-01T12:00:00</x:erstellungszeitpunkt><x:auswahl_absender><x:absender.gericht><code>psw:01003110</code>"
         "</x:absender.gericht></x:auswahl_absender><x:auswahl_empfaenger><x:empfaenger.sonstige>ags:08125000"
         f"</x:empfaenger.sonstige></x:auswahl_empfaenger><x:eigeneNachrichtenID>{UUID}</x:eigeneNachrichtenID>"
         "<x:herstellerinformation><x:nameDesProdukts>Portal</x:nameDesProdukts></x:herstellerinformation></x:nachrichtenkopf>"
         "</x:nachricht.gds.probe.0005006>",
    "F": f"<x:schueler.zeugnis.0003 xmlns:x='{NAMESPACE}'><x:name>N</x:name></x:schueler.zeugnis.0003>",
}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def installed(shelf: Shelf, family: str) -> Package:
    (added,) = shelf.add(release(family))
    assert added.family == family
    return Registry.load(shelf.root).packages["probe@1.0"]


@pytest.mark.parametrize("family", ["A", "B", "C", "D", "E"])
def test_the_family_is_found_and_every_field_of_it_read(shelf: Shelf, family: str) -> None:
    package = installed(shelf, family)
    assert package.family == family
    document = read(MESSAGES[family].replace("{ns}", NAMESPACE).replace("{version}", "1.0").encode())
    assert package.schema.check(document).valid
    header = package.header_of(document)
    assert header.author == "psw:01003110"
    assert header.reader == "ags:08125000"
    assert header.created == "2026-11-01T12:00:00"
    assert header.product == "Portal"
    assert (header.reference if family == "D" else header.uuid) == UUID
    assert header.code in (None, "0001", "0401")
    assert header.test is False
    assert package.contradiction(document) is None


def test_a_message_without_a_header_says_nothing_of_itself_but_its_type(shelf: Shelf) -> None:
    package = installed(shelf, "F")
    header = package.header_of(read(MESSAGES["F"].encode()))
    assert (header.type, header.uuid, header.author, header.test) == ("schueler.zeugnis.0003", None, None, False)


@pytest.mark.parametrize("value", ["true", "100", "", "false", "nein"])
def test_the_mere_presence_of_test_makes_a_test_message(shelf: Shelf, value: str) -> None:
    package = installed(shelf, "A")
    assert package.header_of(read(A_MESSAGE.replace(' version="1.0"', f' version="1.0" test="{value}"').encode())).test is True


def test_a_prefix_alone_identifies_nobody(shelf: Shelf) -> None:
    package = installed(shelf, "C")
    without = MESSAGES["C"].replace("<t:kennung><code>01003110</code></t:kennung>", "<t:kennung/>")
    assert package.header_of(read(without.encode())).author is None


def test_a_type_code_that_is_not_the_roots_is_a_warning_that_does_not_quote_it(shelf: Shelf) -> None:
    package = installed(shelf, "A")
    document = read(A_MESSAGE.replace("<code>0001</code>", "<code>0815</code>").encode())
    finding = package.contradiction(document)
    assert finding is not None
    assert (finding.rule, finding.severity, finding.expected) == ("type-code-differs", Severity.WARNING, ("0001",))
    assert "0815" not in repr(finding)
    assert finding.path == "/t:antrag.stellen.0001/nachrichtenkopf.g2g/identifikation.nachricht/nachrichtentyp/code"
    assert finding.line == 1 + A_MESSAGE.partition("<code>0001</code>")[0].count("\n")
    assert package.header_of(document).type == "antrag.stellen.0001"


@pytest.mark.parametrize(("root", "code", "warned"), [
    ("a.b.0401", "0401", False), ("a.b.0401", "401", False), ("a.b.0401", "0402", True), ("a.b.0401", None, False),
    ("a.b.0401", "a.b.0401", False), ("Invoice", "380", False), ("nachricht.eeb.2200007", "2200007", False),
])
def test_only_numbered_messages_can_contradict_themselves(root: str, code: str | None, warned: bool) -> None:
    assert (contradicts(root, code) is not None) is warned


def test_single_lines_of_a_family_are_changed_and_taken_away_in_the_manifest(shelf: Shelf) -> None:
    (added,) = shelf.add(release("A"))
    manifest = added.folder / "manifest.toml"
    lines = '[header]\nauthor = "nachrichtenkopf.g2g/autor/verzeichnisdienst/code"\nproduct = ""'
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("[header]", lines), encoding="utf-8")
    package = Registry.load(shelf.root).packages["probe@1.0"]
    header = package.header_of(read(A_MESSAGE.encode()))
    assert (header.author, header.product, header.uuid) == ("DVDV", None, UUID)
    assert "product" not in package.header


def test_messages_of_two_families_in_one_standard_are_both_read(shelf: Shelf) -> None:
    other = sequence("anderes.0002", basic_head("", KEYS, "nachrichtenkopf"), attributes=ROOT_ATTRIBUTES)
    (added,) = shelf.add({"p.xsd": xsd(SCHEMAS["A"] + other + sequence("leer.0003"), standard="probe")})
    package = Registry.load(shelf.root).packages["probe@1.0"]
    second = MESSAGES["C"].replace("antrag.stellen.0001", "anderes.0002")
    assert package.header_of(read(A_MESSAGE.encode())).uuid == package.header_of(read(second.encode())).uuid == UUID
    assert any("1 messages have no header" in en for _, en in added.warnings)


def test_two_versions_in_one_namespace_stand_side_by_side_and_the_message_decides(shelf: Shelf) -> None:
    for version in ("3.4.1", "3.5.1"):
        (added,) = shelf.add(release("E", version=version), f"x-{version}")
        assert added.id == f"probe@{version}"
    registry = Registry.load(shelf.root)
    for version in ("3.4.1", "3.5.1"):
        document = read(MESSAGES["E"].replace("{ns}", NAMESPACE).replace("{version}", version).encode())
        assert registry.detect(document).id == f"probe@{version}"
        assert registry.detect(document).header_of(document).version == version
    with pytest.raises(Unacceptable) as unknown:
        registry.detect(read(MESSAGES["E"].replace("{ns}", NAMESPACE).replace("{version}", "9.9").encode()))
    (finding,) = unknown.value.findings
    assert (finding.code, finding.expected) == ("V000", ("probe@3.4.1", "probe@3.5.1"))


def test_the_version_that_messages_must_name_is_the_version_of_the_package(shelf: Shelf) -> None:
    body = SCHEMAS["E"].replace("{version}", "3.5.1")
    (added,) = shelf.add({"p.xsd": xsd(body, standard="probe", version="3.5")})
    assert added.id == "probe@3.5.1"


def test_an_unknown_version_of_a_known_standard_names_the_known_ones(shelf: Shelf) -> None:
    shelf.add(release("A"))
    registry = Registry.load(shelf.root)
    with pytest.raises(Unacceptable) as unknown:
        registry.detect(read(A_MESSAGE.replace("standard:1.0", "standard:2.0").encode()))
    assert unknown.value.findings[0].expected == ("probe@1.0",)


def test_every_family_reads_only_fields_that_there_are() -> None:
    from gateway.packages.headers import FIELDS

    assert all(set(lines) <= FIELDS for lines in FAMILIES.values())
