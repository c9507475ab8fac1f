"""Hand-written stylesheets: what they may do, and that they can read, write and reach nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from gateway.forms import transform
from gateway.mapping import MappingFault, MappingFaults, explain, load
from tests.unit.probe import CONTEXT, form, one

OURS = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:n="urn:nahtlos:mapping:1"
 xmlns:exsl="http://exslt.org/common" exclude-result-prefixes="n exsl">
 <xsl:output method="xml" encoding="UTF-8"/>
%s
</xsl:stylesheet>"""


def sheet(folder: Path, inside: str) -> Path:
    path = folder / "form.xslt"
    path.write_text(OURS % inside, encoding="utf-8")
    return path


def test_a_hand_written_stylesheet_maps_what_a_table_cannot_and_may_use_our_functions(tmp_path: Path) -> None:
    mapping = load(sheet(tmp_path, """<xsl:param name="ars"/><xsl:param name="received"/>
      <xsl:template match="/"><xsl:variable name="g" select="//posten/*"/>
        <summe ars="{$ars}" eingang="{$received}" anzahl="{count($g)}">
          <xsl:for-each select="$g"><xsl:sort select="n:date(tag)"/>
            <p tag="{n:date(tag)}" wert="{n:money(wert)}" siegel="{n:sha256(datei/base64Data)}"><xsl:value-of
              select="n:upper(n:line(was))"/></p>
          </xsl:for-each></summe></xsl:template>"""))
    file = "<datei><base64Data>QQ==</base64Data></datei>"
    document = form(f"<posten><instance_0><tag>2.3.2026</tag><wert>1,5</wert><was>b\n c</was>{file}</instance_0>"
                    f"<instance_1><tag>1.3.2026</tag><wert>2</wert><was>a</was>{file}</instance_1></posten>")
    root = etree.fromstring(mapping.apply(document, context=CONTEXT))
    assert dict(root.attrib) == {"ars": "08125", "eingang": "2026-03-02T08:15:00Z", "anzahl": "2"}
    assert [(p.get("tag"), p.get("wert"), p.text) for p in root] == [("2026-03-01", "2.00", "A"), ("2026-03-02", "1.50", "B C")]
    assert root[0].get("siegel", "").startswith("559aead08264d5795d39")


def test_a_fault_found_by_our_functions_stops_a_hand_written_stylesheet_too(tmp_path: Path) -> None:
    mapping = load(sheet(tmp_path, '<xsl:template match="/"><r><xsl:value-of select="n:date(//x)"/></r></xsl:template>'))
    with pytest.raises(MappingFault) as caught:
        mapping.apply(form(one("a", "<x>geheim</x>")), context=CONTEXT)
    assert caught.value.findings[0].path == "/serviceportal/serviceportal-fields/a/instance_0/x"


def test_a_text_put_together_by_the_stylesheet_is_not_blamed_on_another_field(tmp_path: Path) -> None:
    mapping = load(sheet(tmp_path, '<xsl:template match="/"><r><xsl:value-of select="n:line(//x)"/>'
                                   '<xsl:value-of select="n:date(concat(//y, 1))"/></r></xsl:template>'))
    with pytest.raises(MappingFault) as caught:
        mapping.apply(form(one("a", "<x>1</x><y>geheim</y>")), context=CONTEXT)
    assert caught.value.findings[0].path is None


@pytest.mark.parametrize("inside", [
    '<xsl:template match="/"><xsl:message terminate="yes"><xsl:value-of select="//x"/></xsl:message></xsl:template>',
    '<xsl:template match="/"><r><xsl:value-of select="n:first(\'x\')"/></r></xsl:template>',
    '<xsl:template match="/"><r><xsl:value-of select="n:date()"/></r></xsl:template>',
    '<xsl:template match="/"><xsl:apply-templates select="/"/></xsl:template>',
    '<xsl:template match="/"><r><xsl:value-of select="$nie"/></r></xsl:template>',
    '<xsl:template match="nie"/><xsl:template match="text()"/>',
])
def test_a_stylesheet_that_breaks_down_is_a_fault_without_values(tmp_path: Path, inside: str) -> None:
    mapping = load(sheet(tmp_path, inside))
    with pytest.raises(MappingFault) as caught:
        mapping.apply(form(one("a", "<x>geheim</x>")), context=CONTEXT)
    assert "geheim" not in str(caught.value) + repr(caught.value.findings)
    assert caught.value.__cause__ is None


def test_an_explanation_of_a_stylesheet_lists_fields_it_never_names(tmp_path: Path) -> None:
    mapping = load(sheet(tmp_path, '<xsl:template match="/"><r><k><xsl:value-of select="//x"/></k></r></xsl:template>'))
    rows = explain(mapping, form(one("a", "<x>1</x><y>2</y>")))
    assert [(row.message_field, row.form_field) for row in rows] == [("k", None), (None, "a/y")]


REFUSED = {
    "import": '<xsl:import href="%(file)s"/>',
    "import http": '<xsl:import href="%(http)s"/>',
    "include": '<xsl:include href="%(file)s"/>',
    "include http": '<xsl:include href="%(http)s"/>',
    "include beside": '<xsl:include href="other.xslt"/>',
    "document": '<xsl:template match="/"><r><xsl:copy-of select="document(\'%(file)s\')"/></r></xsl:template>',
    "document http": '<xsl:template match="/"><r><xsl:copy-of select="document(\'%(http)s\')"/></r></xsl:template>',
    "document of data": '<xsl:template match="/"><r><xsl:copy-of select="document (//x)"/></r></xsl:template>',
    "document in an attribute": '<xsl:template match="/"><r a="{document(\'%(file)s\')}"/></xsl:template>',
    "exsl:document": '<xsl:template match="/"><exsl:document href="%(out)s">x</exsl:document><r/></xsl:template>',
    "xsl:document": '<xsl:template match="/"><xsl:document href="%(out)s">x</xsl:document><r/></xsl:template>',
    "write": '<xsl:template match="/" xmlns:x="http://icl.com/saxon" extension-element-prefixes="x">'
             '<x:output href="%(out)s">x</x:output><r/></xsl:template>',
    "evaluate": '<xsl:template match="/" xmlns:d="http://exslt.org/dynamic"><r a="{d:evaluate(//x)}"/></xsl:template>',
    "clock": '<xsl:template match="/" xmlns:d="http://exslt.org/dates-and-times"><r a="{d:date()}"/></xsl:template>',
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_stylesheet_that_reaches_out_is_refused_when_it_is_loaded_with_its_line(tmp_path: Path, case: str) -> None:
    with pytest.raises(MappingFaults) as caught:
        load(sheet(tmp_path, REFUSED[case] % {"file": "file:///etc/passwd", "http": "http://127.0.0.1:9/", "out": "file:///tmp/x"}))
    assert "form.xslt:4: " in str(caught.value.faults[0])


@pytest.mark.parametrize("case", REFUSED)
def test_behind_the_first_wall_stands_a_second(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch, canary: Canary,
) -> None:
    """The check at loading is switched off here: lxml's access control and our resolver alone must hold."""
    monkeypatch.setattr(transform, "_refuse", lambda _: None)
    secret = tmp_path / "secret.xml"
    secret.write_text('<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/">'
                      "<geheimnis/></xsl:template></xsl:stylesheet>", encoding="utf-8")
    (tmp_path / "other.xslt").write_bytes(secret.read_bytes())
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.xml"
    body = b""
    places = {"file": secret.as_uri(), "http": canary.url, "out": out.as_uri()}
    with contextlib.suppress(MappingFaults, MappingFault):
        mapping = load(sheet(tmp_path, REFUSED[case] % places))
        body = mapping.apply(form(one("a", f"<x>{secret.as_uri()}</x>")), context=CONTEXT)
    assert b"geheimnis" not in body
    assert not out.exists()
    assert canary.visits == 0


def test_the_canary_sings_when_it_is_visited(canary: Canary) -> None:
    with socket.create_connection(canary.address):
        pass
    canary.wait()
    assert canary.visits == 1


def test_without_the_walls_the_secret_would_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text("<geheimnis/>", encoding="utf-8")
    places = {"file": secret.as_uri(), "http": "", "out": ""}
    bare = etree.XSLT(etree.fromstring((OURS % (REFUSED["document"] % places)).encode()))
    assert b"geheimnis" in bytes(bare(etree.XML("<a/>")))


@pytest.mark.parametrize("text", [
    '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    "<offen>",
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template/></xsl:stylesheet>',
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="///"/></xsl:stylesheet>',
])
def test_what_is_no_stylesheet_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "form.xslt").write_text(text, encoding="utf-8")
    with pytest.raises(MappingFaults):
        load(tmp_path / "form.xslt")


def test_a_misspelt_function_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(MappingFaults, match=r"mony.*money"):
        load(sheet(tmp_path, '<xsl:template match="/"><r><xsl:value-of select="n:mony(//x)"/></r></xsl:template>'))


class Canary:
    """A server that only counts who comes by."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = self._socket.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}/secret.xml"
        self.visits = 0
        self._visited = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        assert self._visited.wait(5)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _count(self) -> None:
        while True:
            try:
                visitor, _ = self._socket.accept()
            except OSError:
                return
            visitor.close()
            self.visits += 1
            self._visited.set()


@pytest.fixture
def canary() -> Iterator[Canary]:
    bird = Canary()
    yield bird
    bird.close()
