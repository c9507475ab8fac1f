"""Files named in a message and files beside it: every one there, nothing extra, each what it is said to be."""

from __future__ import annotations

import base64
import hashlib
import unicodedata

from gateway.document import Document, read
from gateway.rules.attachments import KNOWN, Attached, Shape, check, shapes_among

OWN, KERNMODUL, XDOMEA = KNOWN[:3]
NAMES = frozenset({"antrag", "anlage", "anhang", "dateiname", "Dateiname", "Primaerdokument"})
PDF = b"%PDF-1.7 Mietvertrag"


def attached(name: str, body: bytes = PDF) -> Attached:
    return Attached(name, len(body), hashlib.sha256(body).digest())


def own(
    *names: str, size: int = len(PDF), digest: str = hashlib.sha256(PDF).hexdigest(), content: bytes | None = None
) -> Document:
    inside = "".join(
        f"<anlage><b:dateiname>{name}</b:dateiname><b:groesse>{size}</b:groesse><b:sha256>{digest}</b:sha256>"
        + (f"<b:inhalt>{base64.b64encode(content).decode()}</b:inhalt>" if content is not None else "") + "</anlage>"
        for name in names
    )
    return read(f'<antrag xmlns="urn:nahtlos:leistung:x:1" xmlns:b="urn:nahtlos:basis:1">{inside}</antrag>'.encode())


def xbau(inside: str) -> Document:
    return read(f'<k:antrag xmlns:k="http://www.xleitstelle.de/xbau/kernmodul/1/3/0">{inside}</k:antrag>'.encode())


def said(document: Document, *beside: Attached, shapes: tuple[Shape, ...] = KNOWN) -> list[tuple[str, str | None]]:
    return [(one.rule, one.path) for one in check(document, shapes, beside, names=NAMES)]


def test_every_named_file_is_there_and_nothing_else() -> None:
    assert said(own("a.pdf", "b.pdf"), attached("b.pdf"), attached("a.pdf")) == []


def test_a_named_file_that_did_not_come_is_told_at_its_place() -> None:
    assert said(own("a.pdf", "b.pdf"), attached("b.pdf")) == [("attachment-missing", "/antrag/anlage[1]/dateiname")]


def test_a_file_that_is_not_named_is_told_by_its_number_and_not_by_its_name() -> None:
    findings = check(own("a.pdf"), KNOWN, [attached("a.pdf"), attached("befund-mueller.pdf")], names=NAMES)
    assert [one.rule for one in findings] == ["attachment-unexpected"]
    assert "2." in findings[0].de
    assert "mueller" not in repr(findings)


def test_size_and_digest_are_compared_where_they_are_given() -> None:
    assert said(own("a.pdf", size=1), attached("a.pdf")) == [("attachment-size", "/antrag/anlage/dateiname")]
    assert said(own("a.pdf", digest="0" * 64), attached("a.pdf")) == [("attachment-digest", "/antrag/anlage/dateiname")]
    assert said(own("a.pdf", digest=hashlib.sha256(PDF).hexdigest().upper()), attached("a.pdf")) == []
    assert said(own("leer", size=0, digest=hashlib.sha256(b"").hexdigest()), attached("leer", b"")) == []
    assert said(own("leer", size=0, digest=hashlib.sha256(b"").hexdigest()), attached("leer"))[0][0] == "attachment-size"


def test_a_file_inside_the_message_needs_none_beside_it_and_is_compared_too() -> None:
    assert said(own("a.pdf", content=PDF)) == []
    assert said(own("a.pdf", content=PDF + b"!")) == [("attachment-size", "/antrag/anlage/dateiname")]
    assert said(own("a.pdf", content=PDF), attached("a.pdf")) == [("attachment-unexpected", None)]


def test_a_name_may_be_used_once() -> None:
    assert said(own("a.pdf", "a.pdf"), attached("a.pdf")) == [("attachment-named-twice", "/antrag/anlage[2]/dateiname")]
    assert said(own("a.pdf"), attached("a.pdf"), attached("a.pdf")) == [("attachment-twice", None)]


def test_a_decomposed_file_name_is_the_same_name() -> None:
    name = "Übersicht Gebäude.pdf"
    assert said(own(name), attached(unicodedata.normalize("NFD", name))) == []


def test_xbau_names_files_by_name_or_document_id_with_size_and_hash_as_attributes() -> None:
    digest = hashlib.sha256(PDF).hexdigest()
    document = xbau(
        f'<k:anhang filesize="{len(PDF)}" hashValue="{digest}"><k:dokumentid>cid:4711</k:dokumentid>'
        "<k:dateiname>plan.pdf</k:dateiname></k:anhang>"
        "<k:verlinkung><k:dateiname>anderswo.pdf</k:dateiname></k:verlinkung>"
    )
    assert said(document, attached("plan.pdf")) == []
    assert said(document, attached("4711")) == []
    assert said(document, attached("plan.pdf", b"x")) == [("attachment-size", "/antrag/anhang/dateiname")]
    assert said(document) == [("attachment-missing", "/antrag/anhang/dateiname")]


def test_a_message_of_a_standard_that_names_no_files_says_nothing_of_them() -> None:
    assert said(own("a.pdf"), attached("b.pdf"), shapes=()) == []


def test_the_shapes_of_a_package_follow_from_its_elements() -> None:
    assert shapes_among({"{urn:nahtlos:basis:1}dateiname", "{urn:x}y", "z"}) == (OWN,)
    assert shapes_among({"{http://www.xleitstelle.de/xbau/kernmodul/1/3/0}dateiname"}) == (KERNMODUL,)
    assert shapes_among({"{urn:xoev-de:xdomea:schema:3.0.0}Dateiname"}) == (XDOMEA,)
    assert shapes_among({"{urn:x}dateiname", "dateiname"}) == ()


def test_no_more_findings_are_made_than_are_shown() -> None:
    assert len(said(own(*(f"{number}.pdf" for number in range(200))))) == 50
