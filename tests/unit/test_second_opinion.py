"""The second opinion: adds what it knows of a place, never a value, never at the hot path's expense."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import telemetry
from gateway.checks.opinion import Patience, Refused, SecondOpinion
from gateway.document import read
from gateway.findings import Finding
from gateway.schemas import Package
from gateway.validation import Circumstances, Inspector, validate
from gateway.vocabulary import say
from tests.unit.validated import a_document, a_registry

SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:p="urn:t" targetNamespace="urn:t"
 elementFormDefault="qualified">
<xs:simpleType name="Kennzahl"><xs:restriction base="xs:int"><xs:maxInclusive value="9"/></xs:restriction></xs:simpleType>
<xs:complexType name="Folge"><xs:sequence><xs:element name="eins" type="p:Kennzahl"/><xs:element name="zwei" type="xs:int"/>
</xs:sequence><xs:attribute name="q" type="p:Kennzahl"/></xs:complexType>
<xs:element name="r"><xs:complexType><xs:choice minOccurs="0" maxOccurs="unbounded"><xs:element name="folge" type="p:Folge"/>
<xs:element name="zahl" type="p:Kennzahl"/><xs:element name="datei" type="xs:base64Binary"/>
<xs:element name="text" type="xs:string"/></xs:choice></xs:complexType></xs:element></xs:schema>"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return a_registry(tmp_path_factory.mktemp("site"), SCHEMA).packages["probe@1"]


@pytest.fixture(scope="module")
def opinion() -> Iterator[SecondOpinion]:
    second = SecondOpinion(deadline=5)
    yield second
    second.close()


def refused(package: Package, inside: str) -> Refused:
    document = read(a_document(inside))
    return Refused(package.id, package.digest, package.schema, document.body, validate(document, package).findings)


@pytest.mark.parametrize(("inside", "reason"), [
    ("<zahl>MARK</zahl>", "Das Schema gibt ihm den Typ p:Kennzahl, abgeleitet von xs:decimal."),
    ('<folge q="MARK"><eins>1</eins><zwei>2</zwei></folge>', "Das Schema gibt ihm den Typ xs:int."),
    ("<folge><eins>1</eins></folge>", "Nach dem 1. Kind von „p:folge“ (Typ p:Folge) erwartet das Schema noch „p:zwei“."),
    ("<folge/>", "Das Schema erwartet in „p:folge“ (Typ p:Folge) zuerst „p:eins“."),
    ("<folge><zwei>1</zwei></folge>", "„p:zwei“ ist das 1. Kind von „p:folge“ (Typ p:Folge); dort erwartet das Schema „p:eins“."),
    ("<folge><MARK/></folge>",
     "Ein unbekanntes Element ist das 1. Kind von „p:folge“ (Typ p:Folge); dort erwartet das Schema „p:eins“."),
])
def test_a_finding_gets_the_type_and_the_position_that_the_second_engine_knows(
    package: Package, opinion: SecondOpinion, inside: str, reason: str
) -> None:
    asked = refused(package, inside)
    (finding,) = opinion.on(asked, Patience.FULL)
    assert finding.reason_de == reason
    assert finding.reason_en
    assert finding.reason_en.endswith(".")
    assert (finding.rule, finding.path, finding.de) == (asked.findings[0].rule, asked.findings[0].path, asked.findings[0].de)
    assert "MARK" not in repr(finding)


def test_without_patience_nobody_is_asked(package: Package) -> None:
    second = SecondOpinion()
    asked = refused(package, "<zahl>x</zahl>")
    assert second.on(asked, Patience.NONE) == asked.findings
    assert not second._child.is_running


def test_intake_never_waits_for_the_engine_to_compile_and_finds_it_warm_the_next_time(package: Package) -> None:
    second = SecondOpinion(deadline=5)
    try:
        asked = refused(package, "<zahl>x</zahl>")
        began = time.perf_counter()
        assert second.on(asked, Patience.SPARE) == asked.findings
        assert time.perf_counter() - began < 0.2, "starting and compiling happen elsewhere"
        end = time.monotonic() + 30
        while second._lock.locked() or not second._sent.get(package.digest):
            assert time.monotonic() < end
            time.sleep(0.05)
        second._rested_at = 0.0
        assert second.on(asked, Patience.SPARE)[0].reason_de
        assert not second.is_idle, "it rests nine times as long as it worked"
        assert second.on(asked, Patience.SPARE) == asked.findings
    finally:
        second.close()


def test_one_document_at_a_time_and_whoever_is_in_a_hurry_goes_without(package: Package) -> None:
    second = SecondOpinion()
    asked = refused(package, "<zahl>x</zahl>")
    with second._lock:
        assert not second.is_idle
        done = threading.Event()

        def ask() -> None:
            second.on(asked, Patience.SPARE)
            done.set()

        threading.Thread(target=ask, daemon=True).start()
        assert done.wait(2)


def test_large_base64_is_blanked_and_a_large_text_is_not_looked_at(package: Package, opinion: SecondOpinion) -> None:
    file = "<datei>" + "QUJD" * 700_000 + "</datei>"
    (finding,) = opinion.on(refused(package, file + "<zahl>x</zahl>"), Patience.FULL)
    assert finding.reason_de
    text = "<text>" + "x" * 1_100_000 + "</text>"
    assert opinion.on(refused(package, text + "<zahl>x</zahl>"), Patience.FULL)[0].reason_de is None
    assert opinion.on(refused(package, file + text + "<zahl>x</zahl>"), Patience.FULL)[0].reason_de is None


def test_a_child_that_dies_costs_a_reason_and_nothing_else(package: Package) -> None:
    second = SecondOpinion(deadline=5)
    try:
        asked = refused(package, "<zahl>x</zahl>")
        assert second.on(asked, Patience.FULL)[0].reason_de
        second._child.kill()
        assert [finding.rule for finding in second.on(asked, Patience.FULL)] == ["type"]
        assert second.on(asked, Patience.FULL)[0].reason_de, "another child answers"
    finally:
        second.close()


def test_when_the_engines_disagree_that_is_logged_by_package_and_rule_alone(package: Package, opinion: SecondOpinion) -> None:
    lines = io.BytesIO()
    telemetry.configure(stream=lines, strict=True)
    made_up = (say("pattern", {"place": ("MARK", "MARK")}, path="/p:r/p:zahl"),)
    good = read(a_document("<zahl>3</zahl><text>MARK</text>"))
    assert opinion.on(Refused("probe@1", package.digest, package.schema, good.body, made_up), Patience.FULL) == made_up
    hidden = read(a_document("<zahl>3</zahl><datei>" + "QUJD" * 2000 + "</datei>"))
    opinion.on(Refused("probe@1", package.digest, package.schema, hidden.body, made_up), Patience.FULL)
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert {name: line[name] for name in line.keys() - {"at", "level"}} == {
        "event": "validator-disagreement", "package": "probe@1", "rule": "pattern",
    }, "only where it had seen every value"


def test_a_schema_that_the_second_engine_cannot_take_is_not_tried_again(package: Package, opinion: SecondOpinion) -> None:
    asked = refused(package, "<zahl>x</zahl>")
    broken = Refused("probe@1", b"other", package.schema, asked.body, asked.findings)
    opinion._hopeless.add(b"other")
    assert opinion.on(broken, Patience.FULL) == asked.findings


async def test_an_inspection_has_reasons_when_they_are_asked_for(tmp_path: Path) -> None:
    inspector = Inspector(a_registry(tmp_path, SCHEMA))
    try:
        patient = await inspector.inspect(a_document("<zahl>x</zahl>"), known=Circumstances(patience=Patience.FULL))
        assert patient.report.findings[0].reason_de
        assert patient.report.timings["opinion"] > 0
        valid = await inspector.inspect(a_document("<zahl>3</zahl>"), known=Circumstances(patience=Patience.FULL))
        assert "opinion" not in valid.report.timings
    finally:
        await inspector.aclose()


def test_findings_without_reasons_say_nothing_of_them() -> None:
    assert Finding("X001", "type", "de", "en").reason_de is None


def test_closing_while_it_warms_up_ends_at_once_and_leaves_no_child(package: Package) -> None:
    second = SecondOpinion()
    second.on(refused(package, "<zahl>x</zahl>"), Patience.SPARE)
    began = time.perf_counter()
    second.close()
    assert time.perf_counter() - began < 10
    time.sleep(0.2)
    assert not second._child.is_running
    asked = refused(package, "<zahl>x</zahl>")
    assert second.on(asked, Patience.FULL) == asked.findings
    assert not second._child.is_running
