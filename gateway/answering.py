"""Acknowledgement and rejection in the words of the standard that the message was written in.

A package may name stylesheets for both; they see the message as it is delivered and what the gateway knows (``PARAMETERS``).
Made when asked for, the same each time, and given out only when valid in the package of its own. A message that is itself an
answer is never answered: two systems must not reject each other's rejections.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from gateway import __version__, provenance
from gateway.clocks import BERLIN
from gateway.document import read
from gateway.findings import Unacceptable
from gateway.forms.transform import Sheet
from gateway.packages.package import Package
from gateway.ports import Dossier, HistoryEntry, Journal, Role
from gateway.site import Site
from gateway.submission import Event, PublicState, public_state
from gateway.validation import Inspector
from gateway.vocabulary import RULES

PARAMETERS: Final = (
    "message_id", "created", "submission", "reference", "received", "received_on", "portal", "authority", "leistung", "ars",
    "test", "digest", "product", "product_version", "manufacturer", "code", "reason", "original",
)
"""message_id: UUID of the answer, the same each time. created, received: ISO 8601, UTC, milliseconds. received_on: as an
office writes it. reference: Eingangsnummer. authority: name. test: true | false. digest: SHA-256 of the message as received,
hex. code: neutral code (``vocabulary``), reason: as the operator told the portal, original: the message in base64; these
three for rejections only."""

_IDS: Final = uuid.UUID("0b0ff1ce-5a3e-5c1d-8e55-9f1f0c1a7e01")
_PRODUCT: Final = {"product": "Nahtlos", "product_version": __version__, "manufacturer": "Nahtlos"}


class NoAnswer(Exception):
    """There is no such answer. code: no-message | no-template | answer-to-an-answer | not-returned | erased |
    answer-invalid (a defect of the template). de, en: one sentence."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        self.de, self.en = _SENTENCES[code]


class Answering:
    def __init__(self, *, journal: Journal, inspector: Inspector, site: Site) -> None:
        self._journal, self._inspector, self._site = journal, inspector, site

    async def acknowledgement(self, dossier: Dossier) -> bytes:
        """Raises ``NoAnswer``."""
        package = self._package(dossier)
        sheet = package.answers.acknowledgement
        if sheet is None:
            raise NoAnswer("no-template")
        return await self._answer(dossier, sheet, {}, kind="acknowledgement", created=dossier.submission.received_at)

    async def rejection(self, dossier: Dossier, history: Sequence[HistoryEntry]) -> bytes:
        """Of a submission that was returned. Raises ``NoAnswer``."""
        package = self._package(dossier)
        sheet = package.answers.rejection
        if sheet is None:
            raise NoAnswer("no-template")
        returned = next((entry for entry in reversed(history) if entry.event == Event.RETURN), None)
        if returned is None or public_state(dossier.deliveries) is not PublicState.RETURNED:
            raise NoAnswer("not-returned")
        received = await self._body(dossier, 0)
        told = {
            "code": _code_of(dossier), "reason": (returned.private or {}).get("reason", ""),
            "original": base64.b64encode(received).decode("ascii"),
        }
        return await self._answer(dossier, sheet, told, kind="rejection", created=returned.at)

    def _package(self, dossier: Dossier) -> Package:
        package = self._inspector.registry.packages.get(dossier.submission.package)
        if package is None:
            raise NoAnswer("no-message")
        if dossier.submission.message_type in package.answers.roots:
            raise NoAnswer("answer-to-an-answer")
        return package

    async def _answer(
        self, dossier: Dossier, sheet: Sheet, told: Mapping[str, str], *, kind: str, created: datetime
    ) -> bytes:
        try:
            message = read(await self._body(dossier, message_of(dossier)))
            parameters = {**self._known(dossier, kind, created), **told}
            result = await asyncio.to_thread(sheet.run, message.root, parameters)
            if not result.findings and not result.body:  # the standard has no such answer to this message
                raise NoAnswer("no-template")
            if result.findings:
                raise NoAnswer("answer-invalid")
            inspection = await self._inspector.inspect(result.body)
        except Unacceptable:
            raise NoAnswer("answer-invalid") from None
        if inspection.package is None or not inspection.report.valid:
            raise NoAnswer("answer-invalid")
        return result.body

    def _known(self, dossier: Dossier, kind: str, created: datetime) -> dict[str, str]:
        submission = dossier.submission
        authority = self._site.authorities.get(submission.authority)
        return {
            **dict.fromkeys(PARAMETERS, ""), **_PRODUCT,
            "message_id": str(uuid.uuid5(_IDS, f"{kind} {submission.id}")),
            "created": _instant(created),
            "submission": submission.id,
            "reference": submission.reference,
            "received": _instant(submission.received_at),
            "received_on": f"{submission.received_at.astimezone(BERLIN):%d.%m.%Y um %H:%M:%S Uhr}",
            "portal": submission.portal,
            "authority": authority.name if authority else "",
            "leistung": submission.leistung,
            "ars": submission.ars,
            "test": "true" if submission.test else "false",
            "digest": submission.digest.hex(),
        }

    async def _body(self, dossier: Dossier, no: int) -> bytes:
        try:
            return await self._journal.body(dossier.submission.id, no)
        except LookupError:
            raise NoAnswer("erased") from None


def message_of(dossier: Dossier) -> int:
    """The message as it was understood: what a mapping made of a form, else what was received; no later version of it."""
    return next((
        info.no for info in dossier.documents
        if info.role is Role.MESSAGE and not provenance.is_for_a_target(info.made_by)
    ), 0)


def _code_of(dossier: Dossier) -> str:
    """The neutral code of what was wrong with the message, where that was the reason."""
    rules = (RULES.get(delivery.code or "") for delivery in dossier.deliveries)
    return next((rule.code for rule in rules if rule is not None), "S999")


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_SENTENCES: Final = {
    "no-message": (
        "Diese Einreichung ist keine Nachricht eines hier bekannten Standards; die Eingangsbestätigung gibt es nur als JSON.",
        "This submission is no message of a standard known here; its receipt exists as JSON only."),
    "no-template": (
        "Zu diesem Standard ist hier keine solche Antwort eingerichtet; die Eingangsbestätigung gibt es als JSON.",
        "No such answer is set up here for this standard; the receipt exists as JSON."),
    "answer-to-an-answer": (
        "Diese Nachricht ist selbst eine Antwort; sie wird nicht beantwortet.",
        "This message is an answer itself and is not answered."),
    "not-returned": (
        "Diese Einreichung wurde nicht an das Portal zurückgegeben; es gibt keine Zurückweisung.",
        "This submission was not returned to the portal; there is no rejection."),
    "erased": (
        "Die Nachricht ist nach Ablauf ihrer Aufbewahrungsfrist gelöscht.", "The message was erased when its retention ended."),
    "answer-invalid": (
        "Die Vorlage dieser Antwort ergibt keine gültige Nachricht ihres Standards; der Betrieb muss sie berichtigen.",
        "The template of this answer makes no valid message of its standard; operators have to correct it."),
}
