"""The guarded read: what it takes, what it refuses and with which word, and that both of its ways agree."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway import document as reading
from gateway.document import Document, Limits, read
from gateway.findings import Finding, Unacceptable
from gateway.xml.bytecheck import looks_ordinary


def refusal(body: bytes, *, limits: Limits | None = None) -> tuple[int, Finding]:
    with pytest.raises(Unacceptable) as caught:
        read(body, limits=limits or Limits())
    (finding,) = caught.value.findings
    return caught.value.status, finding


# --- what is taken -----------------------------------------------------------------------------------------------------


def test_a_document_knows_its_root_and_keeps_the_bytes_as_they_came() -> None:
    body = b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>\r\n<!-- x --><k:antrag xmlns:k="urn:k"><k:a/></k:antrag>'
    document = read(body)
    assert (document.namespace, document.name, document.elements) == ("urn:k", "antrag", 2)
    assert document.body is body


def test_a_document_without_namespace_has_an_empty_one() -> None:
    assert (read(b"<serviceportal/>").namespace, read(b"<serviceportal/>").name) == ("", "serviceportal")


@pytest.mark.parametrize("value", [
    "amt@example.org<!-- -->.evil.example", "amt@example.org<?pi x?>.evil.example", "amt@<![CDATA[example.org.evil.example]]>",
    "amt&#64;example.org.evil.example",
])
def test_a_value_is_read_whole_whatever_cuts_through_it(value: str) -> None:
    document = read(f"<a><email> {value} </email></a>".encode())
    assert document.text("email") == "amt@example.org.evil.example"


def test_a_path_leads_by_local_names_to_the_first_value_there_is() -> None:
    document = read(b"""<a xmlns="urn:a" xmlns:x="urn:x" version=" 1.0 "><kopf><leer> </leer></kopf>
        <x:kopf><x:id x:typ="uuid">7</x:id></x:kopf><kopf><x:id>8</x:id></kopf></a>""")
    assert document.text("kopf/id") == "7"
    assert document.text("kopf/id/@typ") == "uuid"
    assert document.text("@version") == "1.0"
    assert document.text("kopf/leer") is None
    assert document.text("nichts/da") is None


def test_a_document_shows_nothing_of_its_content() -> None:
    document = read(b"<a><name>Mustermann</name></a>")
    assert "Mustermann" not in repr(document)
    assert "Mustermann" not in repr(replace(document, name="b"))


def test_a_legal_attachment_of_eleven_mebibytes_is_one_text_node() -> None:
    document = read(b"<a><datei>" + b"QUJD" * (11 * 1024 * 1024 // 4) + b"</datei></a>")
    assert len(document.root[0].text or "") == 11 * 1024 * 1024


def test_cdata_may_hold_what_looks_like_a_doctype_and_like_a_monstrous_tag() -> None:
    inside = "<!DOCTYPE html><b " + "c" * 300 + ">"
    assert read(f"<a><![CDATA[{inside}]]></a>".encode()).root.text == inside


# --- what is refused ---------------------------------------------------------------------------------------------------

PLAIN = "<a>ü</a>"


@pytest.mark.parametrize(("body", "status", "rule"), [
    (b"", 400, "empty"),
    (b" \r\n ", 400, "empty"),
    (PLAIN.encode("latin-1"), 400, "not-utf-8"),
    (PLAIN.encode("utf-16"), 400, "not-utf-8"),
    (PLAIN.encode("utf-16-le"), 400, "not-utf-8"),
    (PLAIN.encode("utf-16-be"), 400, "not-utf-8"),
    (PLAIN.encode("utf-32"), 400, "not-utf-8"),
    (b"<a>\xed\xa0\x80</a>", 400, "not-utf-8"),
    (b"<a>\xc0\xbc</a>", 400, "not-utf-8"),
    (b'<?xml version="1.0" encoding="UTF-7"?><a>+ADw-</a>', 415, "not-utf-8"),
    (b"<?xml version='1.0'" + b" " * 900 + b"encoding = 'ISO-8859-1'?><a/>", 415, "not-utf-8"),
    (b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-16"?><a/>', 415, "not-utf-8"),
    (b'<?xml version="1.1"?><a/>', 400, "xml-version"),
    (b' <?xml version="1.0"?><a/>', 400, "not-well-formed"),
    (b"<a>\0</a>", 400, "not-well-formed"),
    (b"<a>&#0;</a>", 400, "not-well-formed"),
    (b"<a>&#xFFFE;</a>", 400, "not-well-formed"),
    (b"<a/><b/>", 400, "not-well-formed"),
    (b"<a><b></a>", 400, "not-well-formed"),
    (b"<a>&nbsp;</a>", 400, "not-well-formed"),
    (b"<x:a/>", 400, "not-well-formed"),
    (b"kein XML", 400, "not-well-formed"),
    (b"<!DOCTYPE a><a/>", 400, "doctype-forbidden"),
    (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', 400, "doctype-forbidden"),
    (b'<?p?><!DOCTYPE a [<!ENTITY x "y">]><?p?><a>&x;</a>', 400, "doctype-forbidden"),
    (b'<!-- - --><!DOCTYPE a [<!ENTITY x "y">]><!-- --><a>&x;</a>', 400, "doctype-forbidden"),
    (b"<?p?>" * 40 + b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', 400, "doctype-forbidden"),
])
def test_it_is_refused_with_a_status_and_a_rule(body: bytes, status: int, rule: str) -> None:
    said, finding = refusal(body)
    assert (said, finding.rule) == (status, rule)
    assert finding.de
    assert finding.en


@pytest.mark.parametrize("before", [b"", b" " * (1 << 20)])
def test_a_doctype_is_told_with_its_line_and_not_that_of_a_comment_about_one(before: bytes) -> None:
    body = b'<?xml version="1.0"?>\n<!-- <!DOCTYPE a> -->\n' + before + b"<!DOCTYPE a [\n<!ELEMENT a ANY>]><a/>"
    assert refusal(body)[1].line == 3


LIMITS = Limits(bytes=2000, depth=5, name=20, attributes=6, elements=30)


@pytest.mark.parametrize(("body", "status", "rule"), [
    (b"<a>" + b" " * 2000 + b"</a>", 413, "too-large"),
    (b"<a>" * 6 + b"</a>" * 6, 400, "too-deep"),
    (b"<" + b"n" * 21 + b"/>", 400, "name-too-long"),
    (b'<a xmlns:' + b"p" * 21 + b'="u"/>', 400, "name-too-long"),
    (b'<a ' + b"p" * 21 + b'="u"/>', 400, "name-too-long"),
    (b'<a q="1" r="2" s="3" t="4" u="5" v="6" w="7"/>', 400, "too-many-attributes"),
    (b'<a q="1" r="2" s="3" xmlns:t="4" xmlns:u="5" xmlns:v="6" xmlns="7"/>', 400, "too-many-attributes"),
    (b"<a>" + b"<b/>" * 30 + b"</a>", 413, "too-many-elements"),
])
def test_every_limit_holds_at_its_edge(body: bytes, status: int, rule: str) -> None:
    said, finding = refusal(body, limits=LIMITS)
    assert (said, finding.rule) == (status, rule)


@pytest.mark.parametrize("body", [
    b"<a>" * 5 + b"</a>" * 5,
    b"<" + b"n" * 20 + b"/>",
    b'<a q="1" r="2" s="3" xmlns:t="4" xmlns:u="5" xmlns="7"/>',
    b"<a>" + b"<b/>" * 29 + b"</a>",
])
def test_what_just_reaches_a_limit_is_taken(body: bytes) -> None:
    assert read(body, limits=LIMITS).body is body


def test_more_attributes_than_elements_may_be_there_are_refused() -> None:
    many = b"<b " + b" ".join(b'a%d="1"' % n for n in range(250)) + b"/>"
    assert refusal(b"<a>" + many * 1300 + b"</a>")[1].rule == "too-many-elements"


def test_a_large_document_is_measured_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind the elements, well-formed or not, does not make them fewer."""
    built: list[int] = []
    monkeypatch.setattr(reading, "_parse", lambda body: built.append(len(body)))
    many, closed = b"<a>" + b"<b/>" * 110_000, b"</" * 100_000
    for rest in (b"</a>", closed, b"<!-- " + closed + b"--></a>", b"<![CDATA[" + closed + b"]]></a>"):
        assert refusal(many + rest, limits=Limits(elements=1000))[1].rule == "too-many-elements"
    assert built == []


def test_a_large_document_of_plain_elements_is_read_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_guard", lambda *_: pytest.fail("read twice"))
    assert read(b"<a>" + b"<b>text</b>" * 200_000 + b"</a>").elements == 200_001


def test_a_comment_of_more_than_a_mebibyte_is_refused_but_not_one_in_cdata() -> None:
    long = "c" * (1024 * 1024 + 1)
    assert refusal(f"<!--{long}--><a/>".encode())[1].rule == "aside-too-long"
    assert refusal(f"<?x {long}?><a/>".encode())[1].rule == "aside-too-long"
    assert read(f"<a><![CDATA[<!-- {long} -->]]></a>".encode()).elements == 1


def test_a_hundred_thousand_comments_cost_no_more_than_their_length() -> None:
    body = b"<a>" + b"<!---->" * 99_000 + b" " * (15 * 1024 * 1024) + b"</a>"
    assert read(body).elements == 1
    assert refusal(b"<a>" + b"<!---->" * 200_000 + b"</a>")[1].rule == "too-many-asides"


def test_a_fault_has_its_line_and_column_and_no_word_of_the_document() -> None:
    status, finding = refusal(b"<a>\n  <Geheimnis>\n</Verrat>\n</a>")
    assert status == 400
    assert (finding.code, finding.rule, finding.line, finding.column) == ("X000", "not-well-formed", 3, 10)
    assert "Geheimnis" not in repr(finding)
    assert "Verrat" not in repr(finding)


def test_the_refusal_does_not_carry_libxml2s_own_words_with_it() -> None:
    with pytest.raises(Unacceptable) as caught:
        read(b"<Geheimnis>")
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


# --- both ways agree ---------------------------------------------------------------------------------------------------

_SMALL = Limits(bytes=5000, depth=4, name=10, attributes=3, elements=8)
_names = st.sampled_from(["a", "b", "n" * 10, "n" * 11, "ö" * 6, "x:a", "p" * 10 + ":b"])
_declared = st.sampled_from(['xmlns:x="urn:x"', f'xmlns:{"p" * 10}="urn:p"', f'xmlns:{"q" * 11}="urn:q"', 'xmlns="urn:d"', ""])
_attributes = st.lists(st.sampled_from(
    ['a="1"', "b='<'", 'b=">"', f'{"c" * 10}="2"', f'{"d" * 11}="2"', 'e="' + "f" * 40 + '"', 'g="=\'= ="']), max_size=4)
_texts = st.sampled_from([
    "", "text", "ü&amp;", "<!-- c -->", "<![CDATA[<!DOCTYPE x><aaaaaaaaaaaaaaaaa b=\"\">]]>", "<?pi x?>", "&#65;", "]]&gt;", "&",
    "=" * 30, "l" * 60,
])


@st.composite
def _elements(draw: st.DrawFn, depth: int = 0) -> str:
    name, declared, attributes, text = draw(_names), draw(_declared), draw(_attributes), draw(_texts)
    children = draw(st.lists(_elements(depth + 1), max_size=3)) if depth < 5 else []
    closing = draw(st.sampled_from([name] * 12 + ["z"]))
    return f"<{name} {declared} {' '.join(attributes)}>{text}{''.join(children)}</{closing}>"


_prologues = st.sampled_from([""] * 8 + [
    "<!DOCTYPE a>", '<?xml version="1.0"?>', "<!-- <!DOCTYPE a> -->", " ", "<?p?><!DOCTYPE a><?p?>", "<!--> --><!DOCTYPE a>",
    "<?p <a> ?>",
])


@given(prologue=_prologues, element=_elements())
@settings(max_examples=400, deadline=None)
def test_the_guard_and_the_ordinary_way_come_to_the_same(prologue: str, element: str) -> None:
    body = (prologue + element).encode()

    def outcome(ordinary: bool) -> object:
        with pytest.MonkeyPatch.context() as patch:
            if not ordinary:
                patch.setattr(reading, "looks_ordinary", lambda *_: False)
            try:
                found = read(body, limits=_SMALL)
            except Unacceptable as refused:
                return refused.status < 500
            return found.namespace, found.name, found.elements, etree.tostring(found.root)

    assert outcome(ordinary=True) == outcome(ordinary=False)


@given(element=_elements())
@settings(max_examples=200, deadline=None)
def test_what_looks_ordinary_breaks_no_limit_on_names_and_attributes(element: str) -> None:
    body = element.encode()
    if not looks_ordinary(body, _SMALL):
        return
    try:
        root = etree.fromstring(body)
    except etree.XMLSyntaxError:
        return
    for node in root.iter(etree.Element):
        parent = node.getparent()
        declared = set(node.nsmap.items()) - set(parent.nsmap.items() if parent is not None else ())
        assert len(node.attrib) + len(declared) <= _SMALL.attributes
        assert all(len(str(name).rpartition("}")[2]) <= _SMALL.name for name in (node.tag, *node.attrib))


# --- threads ----------------------------------------------------------------------------------------------------------------


def test_threads_never_share_a_parser() -> None:
    seen: list[object] = []

    def note() -> None:
        read(b"<a/>")
        seen.append(reading._tools.parser)

    threads = [threading.Thread(target=note) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(parser) for parser in seen}) == 3


def test_a_document_read_in_one_thread_can_be_read_in_another() -> None:
    made: list[Document] = []
    thread = threading.Thread(target=lambda: made.append(read(b"<a><b>1</b></a>")))
    thread.start()
    thread.join()
    assert made[0].text("b") == "1"
