"""What a site file can get wrong about a target is said in a sentence; what answers hold is read or honestly not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.answers import Absent, check_place, read_place, reason, retry_after
from connectors.rest import RestConnector, RestOptions
from connectors.wire import Answer

URL = "https://fv.example"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "fv.example"}, "expected https://host/path"),
        ({"url": "ftp://fv.example"}, "expected https://host/path"),
        ({"url": "http://fv.example"}, "not encrypted"),
        ({"url": "https://a:b@fv.example"}, "must not hold a password"),
        ({"url": URL, "token": "a", "user": "b", "password": "c"}, "exclude each other"),
        ({"url": URL, "user": "b"}, "belong together"),
        ({"url": URL, "client_key": "k.pem"}, "needs client_certificate"),
        ({"url": URL, "token": "geheim\n"}, "token: holds a line break"),
        ({"url": URL, "read_timeout": 0}, "read_timeout"),
        ({"url": URL, "deliver": "{url}/x"}, "deliver: expected a method"),
        ({"url": URL, "deliver": "GET {url}/x"}, "deliver: expected a method"),
        ({"url": URL, "deliver": ""}, "deliver: expected a method"),
        ({"url": URL, "find": "POST {url}/x/{delivery_id}"}, "find: expected a method"),
        ({"url": URL, "find": "GET {url}/x"}, "needs {delivery_id}"),
        ({"url": URL, "find": "GET https://evil.example/{delivery_id}"}, "find: expected a method"),
        ({"url": URL, "check": "GET {url}/{password}"}, "unknown {password}"),
        ({"url": URL, "check": "GET {url}/{"}, "brace is not closed"),
        ({"url": URL, "case_number": "caseNumber"}, "case_number: .*expected json:"),
        ({"url": URL, "case_number": "xpath:///["}, "is not an XPath"),
        ({"url": URL, "found": ""}, "found: say where"),
    ],
)
def test_an_option_that_does_not_fit_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        RestOptions(**options)
    assert "geheim" not in str(raised.value)


def test_plain_http_is_for_this_machine_or_said_on_purpose() -> None:
    for url in ("http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"):
        RestOptions(url=url)
    RestOptions(url="http://fv.intern", plain_http=True)


def test_secrets_are_not_shown() -> None:
    shown = repr(RestOptions(url=URL, token="geheim1")) + repr(RestOptions(url=URL, user="geheim2", password="geheim3"))
    assert "geheim" not in shown


def test_the_connector_is_what_the_gateway_looks_for() -> None:
    assert (RestConnector.name, RestConnector.Options, RestConnector.idempotent) == ("rest", RestOptions, False)


def answered(body: bytes, *, media_type: str = "application/json", status: int = 200, **headers: str) -> Answer:
    return Answer(status, {"Content-Type": media_type, **headers}, body)


@pytest.mark.parametrize(
    ("body", "place", "value"),
    [
        (b'{"a": {"b/c": ["x", " HN-1 "]}}', "json:/a/b~1c/1", "HN-1"),
        (b'{"a": 17}', "json:/a", "17"),
        (b'"HN-1"', "json:", "HN-1"),
        (b'{"cases": []}', "json:/cases/0/n", Absent.EMPTY),
        (b'{"a": null}', "json:/a", Absent.EMPTY),
        (b'{"a": ""}', "json:/a", Absent.EMPTY),
        (b'{"b": 1}', "json:/a", Absent.UNREADABLE),
        (b'{"a": {"b": 1}}', "json:/a", Absent.UNREADABLE),
        (b'{"a": true}', "json:/a", Absent.UNREADABLE),
        (b'[', "json:/a", Absent.UNREADABLE),
        (b"[" * 200_000, "json:/a", Absent.UNREADABLE),
        (b"", "json:/a", Absent.UNREADABLE),
        (b'<a xmlns="urn:x"><n> 5/17 </n></a>', "xpath:string(//*[local-name()='n'])", "5/17"),
        (b"<a><n>5<b>1</b></n></a>", "xpath:/a/n", "51"),
        (b"<a><n x='7'/></a>", "xpath:/a/n/@x", "7"),
        (b"<a/>", "xpath:/a/n", Absent.EMPTY),
        (b"<a>", "xpath:/a", Absent.UNREADABLE),
        (b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>', "xpath:/a", Absent.UNREADABLE),
    ],
)
def test_a_place_in_an_answer_is_read_or_honestly_not(body: bytes, place: str, value: str | Absent) -> None:
    check_place(place)
    assert read_place(answered(body), place) == value


def test_the_number_can_stand_in_the_location() -> None:
    answer = answered(b"", status=201, Location="https://fv.example/faelle/50.3%2F17/")
    assert read_place(answer, "header:Location") == "50.3/17"
    assert read_place(answered(b""), "header:Location") is Absent.EMPTY


def test_a_broken_off_answer_is_not_read() -> None:
    assert read_place(Answer(200, {}, b'{"a": "1"}', complete=False), "json:/a") is Absent.UNREADABLE


@pytest.mark.parametrize(
    ("body", "media_type", "text", "code", "place"),
    [
        (b'{"detail": "nein", "type": "urn:x/E17", "path": "/a/b"}', "application/problem+json", "nein", "E17", "/a/b"),
        (b'{"title": "nein", "type": "about:blank"}', "application/problem+json", "nein", None, None),
        (b'{"message": "zu alt", "code": 12}', "application/json", "zu alt", "12", None),
        (b'{"error": {"x": 1}}', "application/json", "HTTP 422", None, None),
        (b'"nein"', "application/json", "nein", None, None),
        (b"{", "application/json", "HTTP 422", None, None),
        ("Zeile 1\r\n\x1b[31mZeile 2 größer".encode(), "text/plain; charset=utf-8", "Zeile 1 [31mZeile 2 größer", None, None),
        (b"<html>x</html>", "text/html", "HTTP 422", None, None),
        (b"<f><t>Feld</t> fehlt</f>", "application/xml", "Feld fehlt", None, None),
        (b"", "", "HTTP 422", None, None),
    ],
)
def test_the_reason_is_what_was_said(body: bytes, media_type: str, text: str, code: str | None, place: str | None) -> None:
    said = reason(answered(body, media_type=media_type, status=422))
    assert (said.text, said.code, said.place) == (text, code, place)
    assert text not in repr(said)


def test_a_number_over_two_lines_is_one_text_on_one_line() -> None:
    """It goes on into headers, and into what people read."""
    xml = b"<antwort><nr>AZ 4711\n   /26</nr></antwort>"
    assert read_place(answered(xml, media_type="application/xml"), "xpath:/antwort/nr") == "AZ 4711 /26"
    half = b'{"nr": "4711\\ud83d", "path": "/a\\n/b", "detail": "x"}'
    said = read_place(answered(half), "json:/nr")
    assert isinstance(said, str)
    assert said.encode().startswith(b"4711")
    assert reason(answered(half, status=422)).place == "/a /b"


@pytest.mark.parametrize("place", ["xpath:/c:antwort/c:nr", "xpath:gibtsnicht(/antwort)"])
def test_an_xpath_that_no_answer_could_be_asked_is_refused_when_the_site_file_is_read(place: str) -> None:
    with pytest.raises(ValueError, match="XPath"):
        RestOptions(url="http://127.0.0.1:1", case_number=place)


def test_a_reason_is_cut_at_500_characters() -> None:
    for media_type, body in (("text/plain", b"x" * 9999), ("application/json", b'{"detail": "%b"}' % (b"y" * 9999))):
        assert len(reason(answered(body, media_type=media_type)).text) == 500


def test_a_retry_after_date_counts_from_the_targets_own_clock() -> None:
    headers = {"Date": "Fri, 01 Jan 2027 10:00:00 GMT", "Retry-After": "Fri, 01 Jan 2027 10:02:00 GMT"}
    assert retry_after(Answer(503, headers, b"")) == timedelta(minutes=2)
    headers["Retry-After"] = "Fri, 01 Jan 2027 09:00:00 GMT"
    assert retry_after(Answer(503, headers, b"")) == timedelta()
    headers["Retry-After"] = "Fri, 01 Jan 99999999999999999999 09:00:00 GMT"
    assert retry_after(Answer(503, headers, b"")) is None
    assert retry_after(Answer(503, {"Retry-After": "9" * 400}, b"")) is not None
