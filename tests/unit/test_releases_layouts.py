"""Layouts and imports of a release: what is found, what answers an address, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.document import read
from gateway.packages.package import Package
from gateway.schemas import Registry
from tests.unit.minirelease import CODES, LIBRARY, NAMESPACE, PLAIN, Shelf, element, imported, include, message, xsd

CODE = "http://xoev.de/schemata/code/1_0"
CODED = xsd(
    element(content='<xs:element name="art" type="c:Code"/>'), standard="probe", head=f'xmlns:c="{CODE}"',
    links=imported(CODE, CODES),
)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def loaded(shelf: Shelf, package_id: str) -> Package:
    return Registry.load(shelf.root).packages[package_id]


def test_a_release_calls_itself_by_the_name_and_version_in_its_files(shelf: Shelf) -> None:
    (added,) = shelf.add({"x.xsd": xsd(element(), standard="xprobe", version="2.6")}, "irgendwas")
    assert (added.id, added.title, added.messages) == ("xprobe@2.6", "Xprobe", ("antrag.stellen.0001",))


def test_without_a_name_inside_the_names_of_files_have_to_do(shelf: Shelf) -> None:
    assert shelf.add({"x.xsd": xsd(element(), head='version="3.1"')}, "Große Prüfung")[0].id == "x@3.1"
    assert shelf.add({"a.xsd": xsd(element(), namespace="urn:b"), "b.xsd": xsd(element("zwei"), namespace="urn:b")},
                     "Große_Prüfung-1.2")[0].id == "grosse-pruefung@1.2"


def test_name_and_version_can_be_said(shelf: Shelf) -> None:
    assert shelf.add(PLAIN, name="mein paket", version="9")[0].id == "mein-paket@9"


SIBLINGS = {
    "typen.xsd": xsd('<xs:simpleType name="W"><xs:restriction base="xs:int"/></xs:simpleType>', standard="probe"),
    **{f"n{n}.xsd": xsd(element(f"antrag.{n}.000{n}", '<xs:element name="wert" type="t:W"/>'), standard="probe",
                        links=include("typen.xsd")) for n in range(1, 4)},
}


def test_siblings_of_one_namespace_without_a_root_become_one_schema(shelf: Shelf) -> None:
    (added,) = shelf.add(SIBLINGS)
    assert added.messages == ("antrag.1.0001", "antrag.2.0002", "antrag.3.0003")
    package = loaded(shelf, "probe@1.0")
    for root in added.messages:
        assert package.schema.check(read(message(root=root))).valid
        assert not package.schema.check(read(message("x", root=root))).valid


def test_a_root_that_includes_all_is_the_only_entry(shelf: Shelf) -> None:
    shelf.add({**SIBLINGS, "alles.xsd": xsd(links="".join(include(f"n{n}.xsd") for n in range(1, 4)))})
    assert len(loaded(shelf, "probe@1.0").schema.files.entry) == 1


def test_files_that_include_each_other_in_a_circle_have_a_beginning(shelf: Shelf) -> None:
    (added,) = shelf.add({
        "a.xsd": xsd(element("a.0001"), standard="probe", links=include("b.xsd")),
        "b.xsd": xsd(element("b.0002"), standard="probe", links=include("a.xsd")),
    })
    assert added.messages == ("a.0001", "b.0002")


def test_includes_may_lead_to_a_parent_directory_within_the_release(shelf: Shelf) -> None:
    main = CODED.replace(CODES.encode(), b"../xoev/code/xoev-code.xsd")
    (added,) = shelf.add({"xsd/probe/p.xsd": main, "xsd/xoev/code/xoev-code.xsd": LIBRARY["xsd/xoev-code.xsd"]})
    assert added.imports == ()
    assert loaded(shelf, "probe@1.0").schema.check(read(
        f'<t:antrag.stellen.0001 xmlns:t="{NAMESPACE}"><t:art><code>1</code></t:art></t:antrag.stellen.0001>'.encode())).valid


def test_a_missing_import_is_named_with_what_to_do_in_both_languages(shelf: Shelf) -> None:
    refused = shelf.refusal({"p.xsd": CODED})
    (fault,) = refused.faults
    assert (fault.file, fault.line) == ("p.xsd", 2)
    assert f"der Import {CODES} steht nicht im Katalog" in fault.de
    assert f"import {CODES} is not in the catalog; add it with" in fault.en


def test_every_missing_import_is_named_at_once(shelf: Shelf) -> None:
    links = imported("urn:x", "https://example.org/x.xsd") + imported("urn:y", "http://example.org/y.xsd")
    assert len(shelf.refusal({"p.xsd": xsd(element(), links=links)}).faults) == 2


@pytest.mark.parametrize("address", [CODES, CODES.replace("http:", "https:")])
def test_an_installed_library_answers_http_and_https(shelf: Shelf, address: str) -> None:
    (library,) = shelf.add(LIBRARY, "bibliothek")
    assert (library.kind, library.messages) == ("library", ())
    (added,) = shelf.add({"p.xsd": CODED.replace(CODES.encode(), address.encode())})
    assert added.imports == (address,)


def test_a_package_is_whole_in_itself_and_outlives_the_library_it_was_made_with(shelf: Shelf) -> None:
    shelf.add(LIBRARY, "bibliothek")
    (added,) = shelf.add({"p.xsd": CODED})
    copies = list((added.folder / "imports").rglob("*.xsd"))
    assert [path.read_bytes() for path in copies] == list(LIBRARY.values())
    from gateway.releases import remove

    remove("bibliothek", shelf.packages, roots=(shelf.root,))
    assert loaded(shelf, "probe@1.0").roots == ("antrag.stellen.0001",)


def test_what_one_package_has_copied_answers_for_the_next(shelf: Shelf) -> None:
    shelf.add({"p.xsd": CODED}, nearby=(shelf.folder(LIBRARY, "daneben"),))
    following = CODED.replace(b"standard:1.0", b"standard:1.1").replace(b"<version>1.0", b"<version>1.1")
    (added,) = shelf.add({"p.xsd": following}, "neu")
    assert added.id == "probe@1.1"


@pytest.mark.parametrize("zipped", [False, True])
def test_files_named_beside_the_release_answer_for_it_alone(shelf: Shelf, zipped: bool) -> None:
    beside = shelf.zipped(LIBRARY, "daneben") if zipped else shelf.folder(LIBRARY, "daneben") / "xsd" / "xoev-code.xsd"
    (added,) = shelf.add({"p.xsd": CODED}, nearby=(beside,))
    assert added.imports == (CODES,)


def hashed(scheme: str) -> Mapping[str, bytes]:
    name = hashlib.sha1(CODES.replace("http:", scheme).encode()).hexdigest()
    return {"haupt": CODED, f"cache/{name}": LIBRARY["xsd/xoev-code.xsd"],
            "cache/anderes": xsd(namespace=CODE, body='<xs:simpleType name="X"><xs:restriction base="xs:int"/></xs:simpleType>')}


@pytest.mark.parametrize("scheme", ["http:", "https:"])
def test_files_named_by_a_digest_of_their_address_are_found(shelf: Shelf, scheme: str) -> None:
    (added,) = shelf.add(hashed(scheme))
    assert (added.id, added.imports) == ("probe@1.0", (CODES,))


def test_a_file_of_any_name_answers_when_it_is_the_only_one_of_its_namespace(shelf: Shelf) -> None:
    (added,) = shelf.add({"haupt": CODED, "9f8e": LIBRARY["xsd/xoev-code.xsd"]})
    assert added.imports == (CODES,)


def test_two_files_that_could_be_meant_answer_nothing(shelf: Shelf) -> None:
    other = xsd(namespace=CODE, body='<xs:simpleType name="X"><xs:restriction base="xs:int"/></xs:simpleType>')
    assert "steht nicht im Katalog" in str(shelf.refusal({"haupt": CODED, "eins": LIBRARY["xsd/xoev-code.xsd"], "zwei": other}))


def test_the_catalog_of_a_release_is_believed_only_within_it(shelf: Shelf) -> None:
    def catalog(target: str) -> bytes:
        return (f'<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog"><system systemId="{CODES}" uri="{target}"/>'
                "</catalog>").encode()

    two = xsd(namespace=CODE, body='<xs:simpleType name="X"><xs:restriction base="xs:int"/></xs:simpleType>')
    files = {"haupt.xsd": CODED, "eins": LIBRARY["xsd/xoev-code.xsd"], "zwei": two}
    shelf.folder({"geheim.xsd": LIBRARY["xsd/xoev-code.xsd"]}, "woanders")
    for target in ("../woanders/geheim.xsd", "../../downloads/woanders/geheim.xsd", "/etc/passwd", "file:///etc/passwd"):
        assert "steht nicht im Katalog" in str(shelf.refusal({**files, "catalog.xml": catalog(target)}, "boese"))
    (added,) = shelf.add({**files, "catalog.xml": catalog("eins")})
    assert added.imports == (CODES,)


def test_different_versions_of_an_import_are_told(shelf: Shelf) -> None:
    shelf.add(LIBRARY, "bibliothek-a")
    shelf.add({"xsd/xoev-code.xsd": LIBRARY["xsd/xoev-code.xsd"] + b"<!-- anders -->"}, "bibliothek-b")
    (added,) = shelf.add({"p.xsd": CODED})
    assert any("different versions" in en and "bibliothek-a" in en for _, en in added.warnings)


@pytest.mark.parametrize("location", [
    "../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "FILE:/etc/passwd", "ftp://example.org/a.xsd",
    "..%2f..%2fa.xsd", "\\\\host\\a.xsd", "jar:file:///a.jar!/b.xsd", "data:text/xml,x",
])
def test_a_location_that_leads_out_of_the_package_is_refused_and_never_read(shelf: Shelf, location: str) -> None:
    refused = shelf.refusal({"p.xsd": xsd(element(), links=include(location))})
    assert "führt aus dem Paket hinaus" in str(refused)


def test_a_file_that_the_release_forgot_is_named(shelf: Shelf) -> None:
    assert "„typen.xsd“ fehlt im Paket" in str(shelf.refusal({"p.xsd": xsd(element(), links=include("typen.xsd"))}))


def test_the_same_files_in_two_layouts_are_taken_once_from_the_one_that_needs_nothing(shelf: Shelf) -> None:
    local = CODED.replace(CODES.encode(), b"xoev-code.xsd")
    (added,) = shelf.add({"netz/p.xsd": CODED, "lokal/p.xsd": local, "lokal/xoev-code.xsd": LIBRARY["xsd/xoev-code.xsd"]})
    assert added.imports == ()
    assert (added.folder / "release" / "lokal" / "p.xsd").exists()
    assert not (added.folder / "release" / "netz").exists()
    assert any("--entry netz" in en for _, en in added.warnings)


def test_the_other_layout_can_be_asked_for(shelf: Shelf) -> None:
    local = CODED.replace(CODES.encode(), b"xoev-code.xsd")
    files = {"netz/p.xsd": CODED, "lokal/p.xsd": local, "lokal/xoev-code.xsd": LIBRARY["xsd/xoev-code.xsd"]}
    (added,) = shelf.add(files, entry="netz")
    assert added.imports == (CODES,)
    assert "dort liegt kein Schema" in str(shelf.refusal(files, "zwei", entry="lokel"))


def test_each_standard_of_a_release_becomes_a_package_and_all_of_them_or_none(shelf: Shelf) -> None:
    two = {"a.xsd": xsd(element("a.0001"), namespace="urn:a", standard="xa"),
           "b.xsd": xsd(element("b.0001"), namespace="urn:b", standard="xb")}
    assert [one.id for one in shelf.add(two)] == ["xa@1.0", "xb@1.0"]
    broken = {**two, "b.xsd": xsd('<xs:element name="b" type="t:Fehlt"/>', namespace="urn:b", standard="xb2")}
    shelf.refusal({name: body.replace(b"xa<", b"xc<").replace(b"urn:a", b"urn:d") for name, body in broken.items()}, "kaputt")


def test_one_of_several_standards_can_be_chosen_by_namespace(shelf: Shelf) -> None:
    two = {"a.xsd": xsd(element("a.0001"), namespace="urn:a", standard="xa"),
           "b.xsd": xsd(element("b.0001"), namespace="urn:b", standard="xb")}
    assert [one.id for one in shelf.add(two, namespace="urn:b", name="anders")] == ["anders@1.0"]
    assert "kein Schema mit diesem Namensraum" in str(shelf.refusal(two, "x", namespace="urn:c"))


def test_a_standard_that_another_imports_is_mentioned_and_not_taken(shelf: Shelf) -> None:
    (added,) = shelf.add({
        "kern.xsd": xsd(element("kern.0001"), namespace="urn:kern", standard="kern"),
        "fach.xsd": xsd(element("fach.0001"), standard="fach", links=imported("urn:kern", "kern.xsd")),
    })
    assert added.id == "fach@1.0"
    assert any("--namespace urn:kern" in en for _, en in added.warnings)


def test_a_release_without_schemas_is_refused(shelf: Shelf) -> None:
    assert "weder ein XML-Schema noch eine Codeliste" in str(shelf.refusal({"a.xml": b"<a/>", "b.txt": b"x"}))


def test_another_release_of_the_same_name_is_refused_unless_it_replaces(shelf: Shelf) -> None:
    shelf.add(PLAIN)
    assert "schon da" in str(shelf.refusal(PLAIN))
    assert "überschneidet sich" in str(shelf.refusal(PLAIN, name="anders"))
    changed = {"probe.xsd": PLAIN["probe.xsd"].replace(b"xs:int", b"xs:date")}
    shelf.add(changed, "neu", replace=True)
    assert loaded(shelf, "probe@1.0").schema.check(read(message("2026-01-01"))).valid
    assert "gibt es noch nicht" in str(shelf.refusal(PLAIN, name="fremd", replace=True))


def test_a_replacement_must_not_overlap_a_third(shelf: Shelf) -> None:
    shelf.add(PLAIN)
    other = {"probe.xsd": xsd(element(), namespace="urn:x", standard="zweites")}
    shelf.add(other, "zwei")
    clash = {"probe.xsd": xsd(element(), standard="zweites")}
    assert "überschneidet sich mit probe@1.0" in str(shelf.refusal(clash, "drei", replace=True))
