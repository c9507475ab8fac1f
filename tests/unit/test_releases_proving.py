"""Proving a release: both engines, within bounds, and what is found beside the schemas."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.packages.knowledge import Knowledge
from gateway.packages.package import Package
from gateway.releases import proving, provingchild
from gateway.rules.genericode import ListName
from gateway.schemas import Registry
from tests.unit.minirelease import LIBRARY, PLAIN, Shelf, codelist, element, imported, include, message, schematron, xsd

CODE = "http://xoev.de/schemata/code/1_0"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def loaded(shelf: Shelf) -> Package:
    return Registry.load(shelf.root).packages["probe@1.0"]


GROUP = '<xs:group ref="t:g"/>'
CIRCLE = f'<xs:group name="g"><xs:sequence>{GROUP}</xs:sequence></xs:group>'
PATTERN = '<xs:restriction base="xs:string"><xs:pattern value="["/></xs:restriction>'


@pytest.mark.parametrize(("body", "said"), [
    ('<xs:element name="a" type="t:Fehlt"/>', "does not resolve"),
    (f'{CIRCLE}<xs:element name="a"><xs:complexType>{GROUP}</xs:complexType></xs:element>', "Circular"),
    (f'<xs:element name="a"><xs:simpleType>{PATTERN}</xs:simpleType></xs:element>', "pattern"),
    ('<xs:element name="a"/><xs:element name="a"/>', "a"),
])
def test_a_schema_that_does_not_compile_refuses_the_release_and_says_where(shelf: Shelf, body: str, said: str) -> None:
    refused = shelf.refusal({"xsd/p.xsd": xsd(body, standard="probe")})
    assert all(fault.file == "xsd/p.xsd" for fault in refused.faults)
    assert said in str(refused)
    assert str(shelf.root) not in str(refused)


def test_what_only_the_second_engine_refuses_refuses_the_release(shelf: Shelf) -> None:
    """An attribute of a type that does not exist inside a group that nobody uses: libxml2 passes over it."""
    body = element() + '<xs:group name="g"><xs:sequence><xs:element ref="t:fehlt"/></xs:sequence></xs:group>'
    refused = shelf.refusal({"p.xsd": xsd(body, standard="probe")})
    assert "fehlt" in str(refused)


def test_a_damaged_file_refuses_the_release(shelf: Shelf) -> None:
    assert "wohlgeformt" in str(shelf.refusal({**PLAIN, "zwei.xsd": b"<xs:schema"}))
    assert "wohlgeformt" in str(shelf.refusal({"p.xsd": PLAIN["probe.xsd"][:-20]}))


def test_an_entity_bomb_in_a_schema_refuses_it_at_once(shelf: Shelf) -> None:
    bomb = '<!ENTITY e0 "lol">' + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    body = PLAIN["probe.xsd"].replace(b"?>\n", f"?><!DOCTYPE xs:schema [{bomb}]>".encode(), 1)
    began = time.process_time()
    assert "DOCTYPE" in str(shelf.refusal({"p.xsd": body}))
    assert time.process_time() - began < 1


def test_the_harmless_doctype_of_the_w3c_passes_both_engines(shelf: Shelf) -> None:
    signature = b'<!DOCTYPE xs:schema [<!ENTITY sig "urn:sig">]>'
    body = xsd(element("signature"), namespace="urn:sig").replace(b"?>\n", b"?>" + signature, 1).replace(
        b'targetNamespace="urn:sig"', b'targetNamespace="&sig;"')
    (added,) = shelf.add({"p.xsd": xsd(element(), standard="probe", links=imported("urn:sig", "sig.xsd")), "sig.xsd": body})
    assert (added.folder / "release" / "sig.xsd").read_bytes() == body


def test_a_checker_that_takes_too_long_is_ended_and_the_release_refused(shelf: Shelf) -> None:
    began = time.monotonic()
    assert "zu viel Zeit" in str(shelf.refusal(PLAIN, seconds=0.05))
    assert time.monotonic() - began < 10


def test_a_checker_that_needs_too_much_memory_or_crashes_refuses_the_release(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crashed:
        returncode, stdout = -11, b""

    monkeypatch.setattr(proving.subprocess, "run", lambda *_, **__: Crashed())
    assert "Absturz" in str(shelf.refusal(PLAIN))


def test_the_checker_can_reach_no_network_and_start_no_process() -> None:
    program = (
        "import sys, socket, subprocess, urllib.request\n"
        "from gateway.releases.provingchild import _no_network\n"
        "sys.addaudithook(_no_network)\n"
        "for act in (lambda: socket.create_connection(('127.0.0.1', 9)), lambda: subprocess.run(['true']),\n"
        "            lambda: urllib.request.urlopen('http://127.0.0.1:9/')):\n"
        "    try:\n"
        "        act()\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    sys.exit(1)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_every_byte_is_kept_as_it_was_published(shelf: Shelf) -> None:
    files = {**PLAIN, "listen/l.xml": codelist(), "regeln.sch": schematron("true()"), "NOTICE.md": b"CC BY-ND\r\n"}
    (added,) = shelf.add(files, zipped=True)
    assert {path.relative_to(added.folder / "release").as_posix(): path.read_bytes()
            for path in (added.folder / "release").rglob("*") if path.is_file()} == files


CODED = xsd(
    element(content='<xs:element name="art" type="t:Art"/>')
    + '<xs:complexType name="Art"><xs:complexContent><xs:restriction base="c:Code"><xs:sequence>'
      '<xs:element name="code" type="xs:token" form="unqualified"/></xs:sequence>'
      '<xs:attribute name="listURI" type="xs:anyURI" fixed="urn:probe:liste"/>'
      '<xs:attribute name="listVersionID" type="xs:token" fixed="1"/></xs:restriction></xs:complexContent></xs:complexType>',
    standard="probe", head=f'xmlns:c="{CODE}"', links=imported(CODE, "xoev-code.xsd"),
)


def test_code_lists_and_where_codes_stand_are_learned_at_install(shelf: Shelf) -> None:
    files = {"p.xsd": CODED, "xoev-code.xsd": LIBRARY["xsd/xoev-code.xsd"], "c/l.xml": codelist(keys=("a", "b", "c"))}
    (added,) = shelf.add(files)
    assert (added.lists, added.keys, added.places) == (1, 3, 2)
    knowledge = Knowledge.of(added.folder)
    assert knowledge.lists.keys(ListName("urn:probe:liste", "1")) == {"a", "b", "c"}
    assert ("urn:probe:liste", "1") in {(entry.code.uri, entry.code.version) for entry in knowledge.codes.types if entry.code}


def test_a_code_list_that_cannot_be_used_is_told_and_the_rest_installed(shelf: Shelf) -> None:
    unnamed = codelist().replace(b"<CanonicalUri>urn:probe:liste</CanonicalUri>", b"")
    (added,) = shelf.add({**PLAIN, "a.xml": codelist(), "b.xml": unnamed})
    assert added.lists == 1
    assert any("b.xml" in en for _, en in added.warnings)


def test_code_lists_alone_are_a_library(shelf: Shelf) -> None:
    (added,) = shelf.add({"a.xml": codelist()}, "listen-3")
    assert (added.kind, added.id, added.lists) == ("library", "listen@3", 1)
    assert Registry.load(shelf.root).packages == {}


def test_every_assert_is_compiled_and_a_broken_one_named(shelf: Shelf) -> None:
    (added,) = shelf.add({**PLAIN, "regeln.sch": schematron("t:wert &gt; 0", "iif (exists(t:wert))", "t:wert &lt; 9")})
    assert (added.rules.assertions, added.rules.compiled) == (2, True)
    (told,) = [de for de, _ in added.rules.faults]
    assert told.startswith("regeln.sch:1: ")
    assert "r1" in told
    assert Knowledge.of(added.folder).rules.assertions == 2


def test_messages_that_came_with_the_release_are_judged(shelf: Shelf) -> None:
    (added,) = shelf.add({
        **PLAIN, "beispiele/gut.xml": message("1"), "beispiele/schlecht.xml": message("x"),
        "beispiele/alt.xml": message("1", namespace="urn:probe:standard:0.9"), "beispiele/fremd.xml": b"<x/>",
        "beispiele/kaputt.xml": b"<x",
    })
    assert added.examples == (1, 1, 1)
    assert any("schlecht.xml" in en for _, en in added.warnings)
    assert not any("beispiele" in path for path in shelf.contents())


def test_a_manifest_is_written_that_a_person_can_edit(shelf: Shelf) -> None:
    (added,) = shelf.add({**PLAIN, "l.xml": codelist(), "r.sch": schematron("true()")})
    manifest = added.folder / "manifest.toml"
    text = manifest.read_text(encoding="utf-8")
    for line in ('name = "probe"', 'version = "1.0"', 'entry = ["release/probe.xsd"]', 'roots = ["antrag.stellen.0001"]',
                 'family = "F"', 'codelists = ["release/l.xml"]', 'schematron = ["release/r.sch"]', "# valid_from = ",
                 'ids = "reject"', "[header]"):
        assert line in text
    manifest.write_text(text.replace("# valid_from = 2027-05-01", "valid_from = 2027-05-01") + '\nuuid = "kopf/nummer"\n',
                        encoding="utf-8")
    package = loaded(shelf)
    assert package.valid_from is not None
    assert package.header["uuid"] == "kopf/nummer"


def test_odd_characters_in_names_cannot_break_out_of_the_manifest(shelf: Shelf) -> None:
    title = 'x" ]\n[header]\nuuid = "böse'
    body = PLAIN["probe.xsd"].replace(b"<nameKurz>Probe", f"<nameKurz>{title}".encode())
    (added,) = shelf.add({'zu"satz [1].xsd': body}, 'a"b')
    assert loaded(shelf).header == {}
    assert added.id == "probe@1.0"


def test_global_elements_that_one_engine_does_not_know_are_told(tmp_path: Path) -> None:
    """A comparison that cannot fail would be none: the child is given a schema whose engines are made to differ."""
    (tmp_path / "p.xsd").write_bytes(PLAIN["probe.xsd"])
    proof = provingchild._Proof(tmp_path)
    proof.schema(0, ["p.xsd"], is_library=False)
    assert proof.answer()["unknown"] == []
    proof._compare(_KnowsNothing(), {}, *_files(tmp_path))  # type: ignore[arg-type]
    assert proof.answer()["unknown"] == ["antrag.stellen.0001"]


class _KnowsNothing:
    def check(self, document: object) -> object:
        class Verdict:
            errors = (type("E", (), {"kind": provingchild._UNKNOWN})(),)

        return Verdict()


def _files(folder: Path) -> tuple[object, object]:
    from gateway.packages.schemafiles import gather

    return gather(folder / "p.xsd", inside=folder)


def test_the_record_says_what_was_found_that_day(shelf: Shelf) -> None:
    (added,) = shelf.add(PLAIN)
    said = json.loads((added.folder / "installed.json").read_bytes())
    assert said["installed_at"] == "2026-11-01T12:00:00+00:00"
    assert said["report"]["messages"] == ["antrag.stellen.0001"]
    assert set(said["files"]) == {"manifest.toml", "catalog.xml", "release/probe.xsd"}


def test_a_release_of_many_files_compiles_as_one(shelf: Shelf) -> None:
    files = {f"n{n:02}.xsd": xsd(element(f"a.{n:04}"), standard="probe", links=include("b.xsd")) for n in range(40)}
    (added,) = shelf.add({**files, "b.xsd": xsd('<xs:element name="gemeinsam" type="xs:string"/>', standard="probe")})
    assert len(added.messages) == 41
