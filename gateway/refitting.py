"""The document that a delivery hands over, made again for another target or for one whose expectations have changed.

Begun from what everybody means by the message (what was received, mapped or edited), never from what was made for a target.
Is the ``refit`` of ``operate.Operator``.
"""

from __future__ import annotations

import hashlib
from typing import Final

from gateway import fitting, provenance
from gateway.attempts.permits import NotAllowed
from gateway.findings import Unacceptable
from gateway.ports import DocumentInfo, Dossier, Journal, Part, Role
from gateway.preparing import Refitted
from gateway.site import TargetConfig
from gateway.validation import Inspector

_XML: Final = "application/xml"


class Refitter:
    def __init__(self, *, journal: Journal, inspector: Inspector) -> None:
        self._journal, self._inspector = journal, inspector

    async def __call__(self, dossier: Dossier, document: int, target: TargetConfig, *, edited: Part | None = None) -> Refitted:
        """document: what is handed over now, or the number that ``edited`` will have. Raises ``NotAllowed`` with what stands in
        the way."""
        base = document if edited is not None else _base(dossier, document)
        if not fitting.wants_its_own(target):
            return Refitted(base)
        body = edited.body if edited is not None else await self._body(dossier, base)
        try:
            read = await self._inspector.read(body)
            package = self._inspector.registry.detect(read)
            told = {"message_id": package.header_of(read).uuid or ""}
            fitted = await fitting.fit(self._inspector, read, package, target, parameters=told)
        except Unacceptable as fault:
            first = fault.findings[0]
            raise NotAllowed(
                first.rule, f"Für das Zielsystem „{target.name}“ geht das nicht: {first.de}",
                f"Not possible for the target “{target.name}”: {first.en}",
            ) from None
        if fitted is None:
            return Refitted(base)
        digest = hashlib.sha256(fitted.body).digest()
        known = next((info.no for info in dossier.documents if info.role is Role.MESSAGE
                      and (info.digest, info.made_by) == (digest, fitted.made_by)), None)
        if known is not None:
            return Refitted(known)
        number = max(info.no for info in dossier.documents) + (1 if edited is None else 2)
        part = Part(Role.MESSAGE, _XML, fitted.body, digest, made_from=base, made_by=fitted.made_by)
        return Refitted(number, (part,), fitted.facts)

    async def _body(self, dossier: Dossier, no: int) -> bytes:
        try:
            return await self._journal.body(dossier.submission.id, no)
        except LookupError:
            raise NotAllowed(
                "erased", "Das Dokument ist nach Ablauf seiner Aufbewahrungsfrist gelöscht.",
                "The document was erased when its retention ended.",
            ) from None


def _base(dossier: Dossier, no: int) -> int:
    documents: dict[int, DocumentInfo] = {info.no: info for info in dossier.documents}
    while (info := documents[no]).made_from is not None and provenance.is_for_a_target(info.made_by):
        no = info.made_from
    return no
