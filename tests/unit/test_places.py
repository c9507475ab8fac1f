"""Where a finding is: line, column and a path with the prefixes of the schema; and what that costs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.checks.columns import MOST_BYTES, with_columns
from gateway.document import read
from gateway.schemas import Package, Registry
from gateway.validation import Circumstances, Inspector, validate
from gateway.vocabulary import say
from gateway.xml.nodes import Names, Paths
from tests.conftest import corpus
from tests.unit.minirelease import Shelf
from tests.unit.validated import a_document, a_registry, report

TWO = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:a="urn:t" xmlns:g="urn:g" targetNamespace="urn:t">
<xs:import namespace="urn:g" schemaLocation="g.xsd"/><xs:element name="r"><xs:complexType><xs:sequence>
<xs:element name="innen" type="xs:int" minOccurs="0" maxOccurs="9"/><xs:element ref="g:fremd" minOccurs="0"/>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""
OTHER = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:g">
<xs:element name="fremd" type="xs:int"/></xs:schema>"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return a_registry(tmp_path_factory.mktemp("site")).packages["probe@1"]


def test_prefixes_are_the_schemas_own_and_unqualified_children_have_none(tmp_path: Path) -> None:
    (tmp_path / "packages" / "probe").mkdir(parents=True)
    (tmp_path / "packages" / "probe" / "g.xsd").write_text(OTHER)
    (tmp_path / "packages" / "probe" / "probe.xsd").write_text(TWO)
    (tmp_path / "packages" / "probe" / "manifest.toml").write_text(
        'name = "probe"\nversion = "1"\nnamespace = "urn:t"\nentry = ["probe.xsd"]\n')
    package = Registry.load(tmp_path).packages["probe@1"]
    body = b'<x:r xmlns:x="urn:t"><innen>a</innen><innen>b</innen><q:fremd xmlns:q="urn:g">c</q:fremd></x:r>'
    paths = [finding.path for finding in validate(read(body), package).findings]
    assert paths == ["/a:r/innen[1]", "/a:r/innen[2]", "/a:r/g:fremd"]


def test_a_prefix_of_the_sender_is_never_shown() -> None:
    names = Names.of({"r", "b"}, {"urn:t": "p"})
    root = read(b'<geheim:r xmlns:geheim="urn:t"><b xmlns="urn:fremd"/><geheim:c/></geheim:r>').root
    assert [Paths(names).of(node) for node in root.iter()] == ["/p:r", "/p:r/b", "/p:r/*"]


def test_a_message_on_one_line_has_columns(package: Package) -> None:
    (finding,) = validate(read('<r xmlns="urn:t"><text>ÄÖ</text><ja>x</ja></r>'.encode()), package).findings
    assert (finding.line, finding.column) == (1, 33), "counted in characters"


@pytest.mark.parametrize("body", [
    b'<?xml version="1.0"?>\n<!-- <ja> -->\n<r xmlns="urn:t"><text><![CDATA[<ja>]]></text><?p <ja> ?>\n  <ja\n>x</ja></r>',
    b'\xef\xbb\xbf<r xmlns="urn:t"><text a-b="&gt;">y</text>\n\n\n  <ja>x</ja></r>',
])
def test_what_only_looks_like_a_tag_is_not_counted(package: Package, body: bytes) -> None:
    finding = validate(read(body), package).findings[-1]
    line = body.decode("utf-8-sig").split("\n")[(finding.line or 0) - 1]
    assert line[(finding.column or 0) - 1:].startswith("<ja")


@given(places=st.lists(st.sampled_from([
    "<ja>x</ja>", "<ja>ja</ja>", "\n", "<!-- <ja> -->", "<text>ä</text>", '<attr q="x"/>', '<k v="&lt;ja&gt;"/>', "  ",
    "<zahl>1</zahl>",
]), max_size=12))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_line_and_column_always_lead_to_the_element_that_is_meant(package: Package, places: list[str]) -> None:
    body = a_document("".join(places))
    for finding in validate(read(body), package).findings:
        if finding.column is not None:
            rest = body.decode().split("\n")[(finding.line or 0) - 1][finding.column - 1:]
            name = (finding.path or "").partition("/@")[0].rpartition("/")[2].partition("[")[0]
            assert rest.startswith(f"<{name}"), (finding, rest)


def test_a_path_that_may_mean_two_elements_has_no_column(package: Package) -> None:
    names = package.schema.declared.names
    document = read(b'<r xmlns="urn:t"><x/><y/><ja>x</ja></r>')
    (unknown,) = with_columns([say("schema", {"place": "x"}, path="/r/*[2]")], document, names)
    (gone,) = with_columns([say("schema", {"place": "x"}, path="/r/ja[7]")], document, names)
    (nowhere,) = with_columns([say("schema", {"place": "x"})], document, names)
    assert (unknown.column, gone.column, nowhere.column) == (None, None, None)


def test_columns_cost_nothing_for_large_documents(package: Package) -> None:
    said = report(package, "<text>" + "x" * MOST_BYTES + "</text><ja>x</ja>")
    assert said.findings[0].column is None
    assert said.findings[0].line


@pytest.mark.parametrize("inside", [
    "<ja>x</ja>", "<x/>", '<attr q="x"/>', "<folge/>", '<attr q="ja" ref="x"/>', "<lang>x</lang>", '<k v="a"/>',
    "<datei>!</datei>",
])
async def test_a_hundred_thousand_violations_of_any_kind_cost_less_than_a_second(tmp_path: Path, inside: str) -> None:
    """From the bytes to the report, with everything that makes findings readable: 0.4 to 0.9 s; the bound is for a machine
    that has other things to do."""
    inspector = Inspector(a_registry(tmp_path), threads=1, deadline=10)
    warm = a_document("<ja>ja</ja>" * 25_000)
    body = a_document(inside * 100_000)
    try:
        await inspector.inspect(warm)
        began = time.perf_counter()
        report = (await inspector.inspect(body, known=Circumstances(attached=()))).report
        seconds = time.perf_counter() - began
    finally:
        await inspector.aclose()
    assert not report.valid
    assert len(report.findings) <= 50
    assert not report.complete or len(report.findings) == 1, "libxml2 leaves off at the first name that it does not know"
    assert seconds < 6


@pytest.mark.corpus
def test_a_path_of_xbau_reads_as_its_authors_write_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.add_path(corpus("xoev") / "_library")
    shelf.add_path(corpus("xoev") / "xbau-kernmodul-1.3.0")
    shelf.add_path(corpus("xoev") / "xbau-2.6")
    registry = Registry.load(shelf.root)
    body = (b'<a:baugenehmigung.antrag.0200 xmlns:a="http://www.xleitstelle.de/xbau/2/6" produkt="p" produkthersteller="h" '
            b'standard="XBau-Hochbau" version="2.6"><nachrichtenkopf.g2g><identifikation.nachricht><nachrichtenUUID>x'
            b"</nachrichtenUUID></identifikation.nachricht></nachrichtenkopf.g2g><bezug/></a:baugenehmigung.antrag.0200>")
    document = read(body)
    findings = validate(document, registry.detect(document)).findings
    assert findings[0].path == (
        "/xbau:baugenehmigung.antrag.0200/nachrichtenkopf.g2g/identifikation.nachricht/nachrichtenUUID")
