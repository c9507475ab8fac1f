"""The named functions of the field table: what a form writes, and what arrives."""

from __future__ import annotations

import base64
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.forms.formvalues import FUNCTIONS, Unfit, measured, unescaped

READS = [
    ("date", "2015-08-09", "2015-08-09"),
    ("date", "2015-07-08T00:00:00.000+02:00", "2015-07-08"),
    ("date", "2026-01-15T00:00:00.000+01:00", "2026-01-15"),
    ("date", "2015-08-08T22:00:00+0000", "2015-08-09"),
    ("date", "2015-08-08T22:00:00Z", "2015-08-09"),
    ("date", "1947-06-01T00:00:00.000+03:00", "1947-06-01"),
    ("date", "9.8.2015", "2015-08-09"),
    ("date", "09. 08. 2015", "2015-08-09"),
    ("partial_date", "1961", "1961"),
    ("partial_date", "00.00.1961", "1961"),
    ("partial_date", "00.05.1961", "1961-05"),
    ("partial_date", "05.1961", "1961-05"),
    ("partial_date", "1961-05", "1961-05"),
    ("partial_date", "1961-05-07", "1961-05-07"),
    ("time", "10:44:00", "10:44:00"),
    ("time", "9:05", "09:05:00"),
    ("time", "9:05 Uhr", "09:05:00"),
    ("time", "1970-01-01T11:55:00.000+01:00", "11:55:00"),
    ("time", "1970-01-01T09:44:00+0000", "10:44:00"),
    ("datetime", "2026-01-15T09:30:00.000+01:00", "2026-01-15T09:30:00+01:00"),
    ("datetime", "2026-07-15T09:30:00", "2026-07-15T09:30:00+02:00"),
    ("datetime", "2026-01-15T08:30:00Z", "2026-01-15T08:30:00+00:00"),
    ("money", "5.66", "5.66"),
    ("money", "12.00", "12.00"),
    ("money", "1234", "1234.00"),
    ("money", "1.234,56", "1234.56"),
    ("money", "1.234.567", "1234567.00"),
    ("money", "1234,5 €", "1234.50"),
    ("money", "EUR 500,-", "500.00"),
    ("money", "1.0E7", "10000000.00"),
    ("money", "-3,50", "-3.50"),
    ("money_german", "1.234", "1234.00"),
    ("number", "72,5", "72.5"),
    ("number", "72.50", "72.5"),
    ("number", "100", "100"),
    ("number", "0", "0"),
    ("integer", "3", "3"),
    ("integer", "3.0", "3"),
    ("integer", "007", "7"),
    ("boolean", "true", "true"),
    ("boolean", "Ja", "true"),
    ("boolean", "0", "false"),
    ("iban", "de02 1203 0000 0000 2020 51", "DE02120300000000202051"),
    ("phone", "+49 (0) 7131 / 994-0", "+4971319940"),
    ("phone", "0049 7131 994", "+497131994"),
    ("phone", "07131 994, Durchwahl 12", "07131 994, Durchwahl 12"),
    ("digits", "276 0981-0654/3210", "276098106543210"),
    ("filename", "C:\\fakepath\\Bild.png", "Bild.png"),
    ("filename", "ordner/Bild\n1.png", "Bild 1.png"),
    ("mimetype", "Image/PNG; charset=binary", "image/png"),
    ("line", "Familie\n  Müller ", "Familie Müller"),
    ("text", " a\nb ", "a\nb"),
    ("upper", "straße", "STRASSE"),
]
REFUSES = [
    ("date", "31.02.2026"), ("date", "2026-13-01"), ("date", "gestern"), ("date", "9.8.15"), ("date", "0000-00-00"),
    ("date", "９.８.２０１５"), ("time", "25:00"), ("time", "mittags"), ("datetime", "2026-01-15"), ("money", "1.234"),
    ("money", "5,666"), ("money", "1,234.56"), ("money", "zehn"), ("money", "1.0E99"), ("money", "9" * 30),
    ("money_german", "5.66"), ("number", "1.234"),
    ("integer", "3,5"), ("integer", "drei"), ("boolean", "vielleicht"), ("digits", "12a"), ("filename", "ordner/"),
    ("partial_date", "13.1961"),
]


@pytest.mark.parametrize(("name", "value", "result"), READS)
def test_a_value_is_written_as_the_message_wants_it(name: str, value: str, result: str) -> None:
    assert FUNCTIONS[name](value) == result


@pytest.mark.parametrize(("name", "value"), REFUSES)
def test_what_cannot_be_read_surely_is_refused_without_being_repeated(name: str, value: str) -> None:
    with pytest.raises(Unfit) as caught:
        FUNCTIONS[name](value)
    assert value not in caught.value.de + caught.value.en


@given(st.sampled_from(sorted(FUNCTIONS)), st.text(min_size=1).filter(lambda text: text.strip() == text and text != ""))
def test_no_text_makes_a_function_fail_in_any_other_way(name: str, value: str) -> None:
    with contextlib.suppress(Unfit):
        assert isinstance(FUNCTIONS[name](value), str)


@given(st.text())
def test_what_the_portal_escapes_once_more_is_unescaped_exactly_once(value: str) -> None:
    escaped = value
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;")):
        escaped = escaped.replace(char, entity)
    assert unescaped(escaped) == value


@given(st.binary(max_size=5000))
def test_a_file_is_measured_whatever_the_line_breaks(content: bytes) -> None:
    expected = (len(content), hashlib.sha256(content).hexdigest())
    assert measured(base64.b64encode(content).decode()) == expected
    assert measured(base64.encodebytes(content).decode()) == expected


def test_a_file_longer_than_one_piece_is_measured_whole() -> None:
    content = bytes(range(256)) * 10_000
    assert measured(base64.b64encode(content).decode()) == (len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("text", ["JVBER", "JV=BER==", "ÄÖÜ=", "JVBE*R==", "===="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(Unfit):
        measured(text)
