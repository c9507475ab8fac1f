"""What made a document is told from one word in the journal: who reads it, and which version a connector is told."""

from __future__ import annotations

import pytest

from gateway import provenance
from gateway.attempts.envelope import envelope_of
from gateway.ports import DocumentInfo, Dossier, Role
from tests.clock import EPOCH
from tests.deliveries import a_delivery, a_submission

CONVERTED = provenance.conversion("xbau@2.7", "ab" * 32)
LATIN = provenance.characters("latin-1")


@pytest.mark.parametrize(("made_by", "for_a_target", "package"), [
    (None, False, None),
    (provenance.mapping("ab" * 32), False, None),
    (CONVERTED, True, "xbau@2.7"),
    (LATIN, True, None),
    (provenance.together([CONVERTED, LATIN]), True, "xbau@2.7"),
    ("conversion:" + "ab" * 32, True, None),  # as it was written before it named the package
])
def test_a_document_for_a_target_is_told_from_one_for_everybody(
    made_by: str | None, for_a_target: bool, package: str | None
) -> None:
    assert provenance.is_for_a_target(made_by) is for_a_target
    assert provenance.package_of(made_by) == package


@pytest.mark.parametrize(("document", "version"), [(0, "2.6"), (1, "2.7"), (2, "2.6")])
def test_a_connector_is_told_the_version_of_what_it_gets(document: int, version: str) -> None:
    submission = a_submission(package="xbau@2.6")
    documents = tuple(
        DocumentInfo(no, Role.MESSAGE, "application/xml", 4, b"d", made_by=made_by)
        for no, made_by in enumerate((None, CONVERTED, LATIN))
    )
    delivery = a_delivery(submission, document=document)
    dossier = Dossier(submission, (delivery,), documents)
    envelope = envelope_of(dossier, delivery, b"<a/>", chunks=lambda *_: iter(()), at=EPOCH)  # type: ignore[arg-type,return-value]
    assert (envelope.message.standard, envelope.message.version) == ("xbau", version)
