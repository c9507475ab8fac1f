"""Reading against a schema piece by piece: a flood of faults ends after the first few."""

from __future__ import annotations

import pytest
from lxml import etree

from gateway.document import CheckingReader, elements_begun


def _rows() -> etree.XMLSchema:
    return etree.XMLSchema(etree.fromstring(b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="a">
        <xs:complexType><xs:sequence><xs:element name="b" type="xs:int" maxOccurs="unbounded"/></xs:sequence></xs:complexType>
        </xs:element></xs:schema>"""))


def test_a_flood_of_faults_is_given_up_after_the_first_few() -> None:
    body = b"<a>" + b"<b>x</b>" * 100_000 + b"</a>"
    seen, upto = CheckingReader(_rows()).faults(body, enough=50)
    assert 50 <= seen < 2000
    assert upto < 20_000


def test_the_same_reader_serves_good_and_bad_documents_in_turn() -> None:
    reader = CheckingReader(_rows())
    good, bad = b"<a><b>1</b></a>", b"<a><b>1</b><b>x</b></a>"
    for _ in range(3):
        assert reader.faults(good, enough=50) == (0, len(good))
        assert reader.faults(bad, enough=50) == (1, len(bad))
        assert reader.faults(b"<a>" + b"<b>x</b>" * 10_000 + b"</a>", enough=50)[1] < 20_000


@pytest.mark.parametrize("aside", [b"", b"<!-- <b> -->", b"<![CDATA[<b>]]>", b"<?b <b>?>"])
def test_elements_begun_are_counted_whatever_else_looks_like_one(aside: bytes) -> None:
    body = b"<a>" + aside.join([b"<b>1</b>"] * 10) + b"</a>"
    assert elements_begun(body, len(body)) == 11
    assert elements_begun(body, body.rfind(b"<b>1")) == 10
