"""Rules see the message and nothing else: no file, no URL, no environment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest
from lxml import etree

from gateway.rules.saxon import Saxon
from gateway.rules.schematron import prepare
from gateway.rules.xpathscreen import forbidden_in
from tests.unit.schematrons import found, message, pattern, schematron

READERS = (
    "doc('{0}')", "doc-available('{0}')", "document('{0}')", "collection('{0}')", "uri-collection('{0}')",
    "unparsed-text('{0}')", "unparsed-text-lines('{0}')", "unparsed-text-available('{0}')",
    "json-doc('{0}')", "'{0}' ! doc(.)", "doc#1('{0}')", "transform(map{{'stylesheet-location': '{0}'}})?output",
    "fn:doc ( '{0}' )", "'{0}' => doc()", "(for $d in doc#1 return $d('{0}'))",
    "load-xquery-module('x', map{{'location-hints': '{0}'}})?functions",
    "parse-xml('&lt;!DOCTYPE a SYSTEM &quot;{0}&quot;>&lt;a/>')",
    "parse-xml('&lt;!DOCTYPE a [&lt;!ENTITY e SYSTEM &quot;{0}&quot;>]>&lt;a>&amp;e;&lt;/a>')",
    "saxon:doc('{0}', map{{}})", "Q{{http://saxon.sf.net/}}doc('{0}', map{{}})",
    "Q{{http://www.w3.org/2005/xpath-functions}}doc('{0}')",
    "function-lookup(xs:QName('fn:doc'), 1)('{0}')", "doc(: :)('{0}')",
)
TELLERS = ("environment-variable('HOME')", "available-environment-variables()", "system-property('user.home')",
           "Q{java:java.lang.System}getenv('HOME')")


@pytest.fixture(scope="module")
def engine() -> Iterator[Saxon]:
    one = Saxon(deadline=5)
    yield one
    one.close()


class Canary:
    def __init__(self) -> None:
        self.hits: list[str] = []
        canary = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                canary.hits.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"<geheim>S3CRET</geheim>")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/x.xml"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def canary() -> Iterator[Canary]:
    one = Canary()
    urlopen(one.url).close()
    assert one.hits.pop(), "it would tell"
    yield one
    one.close()


@pytest.mark.parametrize("reader", READERS)
def test_no_rule_can_read_a_file_or_a_url(reader: str, tmp_path: Path, canary: Canary, engine: Saxon) -> None:
    secret = tmp_path / "geheim.xml"
    secret.write_text("<geheim/>")
    for place in (secret.as_uri(), str(secret), canary.url):
        test = f"empty({reader.format(place)})"
        for where in (
            f'<sch:rule context="h:hund"><sch:assert id="a" test="{test}">x</sch:assert></sch:rule>',
            f'<sch:rule context="h:hund[{test}]"><sch:assert id="a" test="false()">x</sch:assert></sch:rule>',
            f'<sch:rule context="h:hund"><sch:let name="v" value="{test}"/><sch:assert test="$v">x</sch:assert></sch:rule>',
        ):
            file = schematron(tmp_path, '<sch:ns prefix="saxon" uri="http://saxon.sf.net/"/>' + pattern(where))
            rules, faults = prepare([file], engine)
            assert faults
            assert found(message("<hund/>"), rules, engine) == []
    assert canary.hits == []


@pytest.mark.parametrize("teller", TELLERS)
def test_no_rule_can_ask_about_the_machine(teller: str) -> None:
    assert forbidden_in(f"{teller} = 'x'") is not None


@pytest.mark.parametrize("reader", READERS[:9])
def test_the_engine_itself_refuses_as_well(reader: str, tmp_path: Path, canary: Canary, engine: Saxon) -> None:
    """The second lock, behind the one that reads the rules."""
    secret = tmp_path / "geheim.xml"
    secret.write_text("<geheim>S3CRET</geheim>")
    for place in (secret.as_uri(), str(secret), canary.url):
        sheet = etree.XML(
            '<x:stylesheet version="3.0" xmlns:x="http://www.w3.org/1999/XSL/Transform"><x:output method="text"/>'
            '<x:template match="/"><x:if test=""><x:text>1 /geheim</x:text></x:if></x:template></x:stylesheet>')
        sheet[1][0].set("test", f"matches(string-join(({reader.format(place)}) ! string(.)), 'S3CRET|true')")
        assert not engine.judge(etree.tostring(sheet, encoding="unicode"), b"<a/>")
    assert canary.hits == []


def test_the_child_sees_no_environment_and_can_write_no_file(
    tmp_path: Path, engine: Saxon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAHTLOS_SECRET", "geheim")
    space = 'xmlns:x="http://www.w3.org/1999/XSL/Transform"'
    asked = (f'<x:stylesheet version="3.0" {space}><x:output method="text"/><x:template match="/">'
             '<x:if test="environment-variable(\'NAHTLOS_SECRET\') = \'geheim\'">1 /a</x:if></x:template></x:stylesheet>')
    assert engine.judge(asked, b"<a/>") == []
    target = tmp_path / "geschrieben.txt"
    writing = (f'<x:stylesheet version="3.0" {space}><x:template match="/"><x:result-document href="{target.as_uri()}">x'
               "</x:result-document></x:template></x:stylesheet>")
    assert engine.fault_of(writing) is not None
    assert not target.exists()


@pytest.mark.parametrize("expression", [
    "if (a = 'doc(x)') then true() else not(b)", 'matches(., "^document\\(")', "count(//doc) + position()", "doc/collection",
    "xs:date(a) lt current-date()", "every $doc in a satisfies $doc/document", "string-join(a/doc, ', ')", "map:get($m, 'doc')",
    "@doc and node() or text()", "self::element(h:hund)", "current()/a", "''''", "a/doc[1]"])
def test_harmless_rules_are_not_refused(expression: str) -> None:
    assert forbidden_in(expression) is None
