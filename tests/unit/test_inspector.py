"""Validation at a bounded price: whatever a document holds, however many threads ask, and what runs too long is killed."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from gateway.checks.sandbox import Sandbox
from gateway.checks.steps import ABORTED
from gateway.document import Document, read
from gateway.findings import Unacceptable
from gateway.schemas import Package
from gateway.validation import Inspector, validate
from tests.unit.validated import SCHEMA, XS, a_document, a_registry


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return a_registry(tmp_path_factory.mktemp("site")).packages["probe@1"]


# --- bounded ---------------------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_faults_make_fifty_findings_in_a_moment(package: Package) -> None:
    document = read(a_document("<ja>x</ja>" * 100_000))
    began = time.thread_time()
    said = validate(document, package)
    assert time.thread_time() - began < 1
    assert len(said.findings) == 50
    assert not said.complete
    assert (said.findings[0].path, said.findings[-1].path) == ("/r/ja[1]", "/r/ja[50]")


def test_faults_at_the_end_of_a_large_document_are_found_with_their_place(package: Package) -> None:
    said = validate(read(a_document("<ja>ja</ja>" * 15_000 + "<ja>x</ja>" * 3)), package)
    assert [finding.path for finding in said.findings] == [f"/r/ja[{n}]" for n in (15_001, 15_002, 15_003)]
    assert said.complete


def test_a_large_document_in_which_nothing_is_wrong_is_valid(package: Package) -> None:
    assert validate(read(a_document("<lang>c001</lang>" * 15_000)), package).valid


def test_the_tree_of_a_large_bad_document_is_left_as_it_was(package: Package) -> None:
    document = read(a_document("<ja>x</ja>" * 10_000))
    before = copy.deepcopy(document.root)
    validate(document, package)
    assert etree.tostring(document.root) == etree.tostring(before)


@pytest.mark.parametrize("pattern", ["(a|aa)+b", "(a{1,50}){1,50}b", "(a+)+b", "((a{1,10}){1,10}){1,10}b"])
def test_a_pattern_made_to_explode_ends_in_a_finding(tmp_path: Path, pattern: str) -> None:
    schema = f"""<xs:schema {XS} targetNamespace="urn:t"><xs:element name="r"><xs:simpleType><xs:restriction base="xs:string">
        <xs:pattern value="{pattern}"/></xs:restriction></xs:simpleType></xs:element></xs:schema>"""
    package = a_registry(tmp_path, schema).packages["probe@1"]
    began = time.perf_counter()
    said = validate(read(f'<r xmlns="urn:t">{"a" * 40}</r>'.encode()), package)
    assert said.findings[0].rule in ("pattern", "validation-aborted")
    assert time.perf_counter() - began < 5


# --- threads -----------------------------------------------------------------------------------------------------------------


def test_no_thread_sees_the_faults_of_another(package: Package) -> None:
    bad, good = read(a_document("<ja>x</ja>")), read(a_document("<ja>ja</ja>"))
    wrong: list[int] = []

    def check(document: Document, expected: int) -> None:
        seen = (len(package.schema.check(document).errors) for _ in range(1500))
        wrong.extend(errors for errors in seen if errors != expected)

    threads = [threading.Thread(target=check, args=pair) for pair in ((bad, 1), (good, 0), (bad, 1), (good, 0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- the inspector -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def inspector(tmp_path: Path) -> Iterator[Inspector]:
    made = Inspector(a_registry(tmp_path), deadline=20)
    yield made
    asyncio.run(made.aclose())


@pytest.mark.parametrize("many", [1, 3_000, 25_000])
async def test_wherever_a_document_is_checked_the_report_is_the_same(inspector: Inspector, many: int) -> None:
    good = await inspector.inspect(a_document("<ja>ja</ja>" * many))
    assert good.report.valid
    assert good.package is not None
    assert good.package.id == "probe@1"
    assert {"read", "detect", "schema"} <= set(good.report.timings)
    bad = await inspector.inspect(a_document("<ja>ja</ja>" * many + "<datum>x</datum>"))
    assert [(finding.rule, finding.path) for finding in bad.report.findings] == [("type", "/r/datum")]


async def test_a_portal_form_is_read_and_left_to_the_mapping(inspector: Inspector) -> None:
    inspection = await inspector.inspect(b"<serviceportal><x/></serviceportal>")
    assert inspection.package is None
    assert inspection.report.valid


async def test_limits_of_the_package_hold_even_before_it_is_known(tmp_path: Path) -> None:
    inspector = Inspector(a_registry(tmp_path, manifest="[limits]\nbytes = 100\nelements = 3"))
    with pytest.raises(Unacceptable, match="100 bytes"):
        await inspector.inspect(a_document("<text>" + "x" * 100 + "</text>"))
    with pytest.raises(Unacceptable, match="3 elements"):
        await inspector.inspect(a_document("<leer/>" * 3))
    await inspector.aclose()


async def test_what_takes_too_long_is_killed_and_the_next_one_is_checked(tmp_path: Path) -> None:
    slow = f"""<xs:schema {XS} targetNamespace="urn:t"><xs:element name="r"><xs:complexType><xs:sequence>
        <xs:element name="a" form="unqualified" maxOccurs="unbounded"><xs:simpleType><xs:restriction base="xs:string">
        <xs:pattern value="(a|aa)+b|c"/></xs:restriction></xs:simpleType></xs:element></xs:sequence></xs:complexType>
        </xs:element></xs:schema>"""
    registry = a_registry(tmp_path, slow)
    assert registry.packages["probe@1"].isolate, "found out at loading"
    inspector = Inspector(registry, threads=1, deadline=2)
    try:
        began = time.perf_counter()
        values = b"<a>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</a>" * 500
        inspection = await inspector.inspect(b'<t:r xmlns:t="urn:t">' + values + b"</t:r>")
        assert inspection.report.findings == (ABORTED,)
        assert not inspection.report.complete
        assert time.perf_counter() - began < 20
        assert not inspector._sandboxes[0].is_running, "killed, not talked into it"
        assert (await inspector.inspect(b'<t:r xmlns:t="urn:t"><a>c</a></t:r>')).report.valid
    finally:
        await inspector.aclose()


async def test_the_child_has_nothing_of_our_environment(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAHTLOS_SECRET", "geheim")
    await inspector.inspect(a_document("<ja>ja</ja>" * 25_000))
    children = [sandbox.pid for sandbox in inspector._sandboxes if sandbox.pid]
    assert children
    for child in children:
        assert b"geheim" not in Path(f"/proc/{child}/environ").read_bytes()


async def test_children_end_with_the_inspector(tmp_path: Path) -> None:
    inspector = Inspector(a_registry(tmp_path))
    await inspector.inspect(a_document("<ja>ja</ja>" * 25_000))
    child = next(sandbox.pid for sandbox in inspector._sandboxes if sandbox.pid)
    await inspector.aclose()
    assert not Path(f"/proc/{child}").exists()


def test_a_child_that_has_seen_many_schemas_still_knows_what_it_is_asked(tmp_path: Path) -> None:
    packages = [a_registry(tmp_path / str(n), SCHEMA.replace("c249", f"d{n}")).packages["probe@1"] for n in range(12)]
    sandbox, document = Sandbox(deadline=10), read(a_document("<ja>x</ja>"))
    try:
        for package in (*packages, *packages):
            outcome = sandbox.run(document, package.schema, package.stages, digest=package.digest)
            assert [finding.rule for finding in outcome.findings] == ["enumeration"]
    finally:
        sandbox.close()
