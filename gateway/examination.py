"""What an upload is: which message, for which Leistung and place, whether it is valid and where it would go.

Nothing is stored here. What is wrong with a document that could be read is kept in ``Examination.fault``, because the
site decides whether the portal is told (reject) or an operator repairs it (hold).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from gateway import fitting
from gateway.access import Identity, require_submit
from gateway.belonging import Refusal, Why, place_of, service_of
from gateway.checks.opinion import Patience
from gateway.clocks import BERLIN
from gateway.findings import Severity, Unacceptable
from gateway.formbindings import Forms, KnownForm, Unmappable
from gateway.ports import Part, Role
from gateway.rules.attachments import Attached
from gateway.schemas import Header, Leistung, Package, Registry
from gateway.site import NoRoute, PortalConfig, Route, Site
from gateway.submission import Origin
from gateway.validation import Circumstances, Inspection, Inspector, Report
from gateway.vocabulary import say
from gateway.xml.nodes import line_of


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file beside the message, as received. name: what the sender called it; data, never a path."""

    name: str = field(repr=False)
    media_type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Incoming:
    """One upload. identity: a portal's. leistung, ars: from the URL. key: Idempotency-Key."""

    identity: Identity
    body: bytes = field(repr=False)
    attachments: tuple[Attachment, ...] = field(default=(), repr=False)
    leistung: str | None = None
    ars: str | None = None
    key: bytes | None = field(default=None, repr=False)
    test: bool = False
    traceparent: str | None = None

    @property
    def portal(self) -> PortalConfig:
        assert self.identity.portal is not None, "only a portal submits"
        return self.identity.portal


@dataclass(slots=True)
class Examination:
    """What is known so far; later fields stay empty where an earlier step failed.

    parts: what would be stored, the received message first. document: number of the part to deliver; fitted: by target, where
    that expects another version of the standard or knows fewer characters. ars: "" unknown.
    order_value: what keeps deliveries in order, from the message. counts: of what was made of it, e.g. {"files": 1}.
    fault: the first thing that stands in the way.
    """

    origin: Origin
    parts: list[Part] = field(repr=False)
    document: int = 0
    fitted: Mapping[str, int] = field(default_factory=dict)
    leistung: Leistung | None = None
    ars: str = ""
    package: Package | None = None
    header: Header | None = field(default=None, repr=False)
    report: Report | None = None
    route: Route | None = None
    order_value: str | None = field(default=None, repr=False)
    form_id: str | None = field(default=None, repr=False)
    creation_date: str | None = field(default=None, repr=False)
    counts: Mapping[str, int] = field(default_factory=dict)
    fault: Unacceptable | Refusal | None = None

    @property
    def slug(self) -> str:
        return self.leistung.slug if self.leistung else ""

    def document_for(self, target: str) -> int:
        return self.fitted.get(target, self.document)


def received_parts(incoming: Incoming) -> list[Part]:
    """The message is part 0, then the attachments as they came."""
    return [
        Part(Role.RECEIVED, "application/xml", incoming.body, hashlib.sha256(incoming.body).digest()),
        *(
            Part(Role.ATTACHMENT, file.media_type, file.body, hashlib.sha256(file.body).digest(), name=file.name)
            for file in incoming.attachments
        ),
    ]


class Examiner:
    """Read, detect, map, validate, route: the steps of intake before the commit."""

    def __init__(self, *, inspector: Inspector, site: Site, forms: Forms) -> None:
        self._inspector, self._site, self._forms = inspector, site, forms

    @property
    def leistungen(self) -> Mapping[str, Leistung]:
        return self._inspector.registry.leistungen

    def take(self, registry: Registry, forms: Forms) -> None:
        """Other packages are in force from now on; what is being examined goes on with the old."""
        self._inspector.registry, self._forms = registry, forms

    def permit(self, incoming: Incoming, slug: str | None) -> None:
        """May this sender submit this service, and is there such a service? ``None``: not known yet.

        Raises ``Refusal`` and ``access.Forbidden``.
        """
        if slug is None:
            return
        if slug not in self.leistungen:
            raise Refusal(
                Why.UNKNOWN_LEISTUNG, "leistung-unknown",
                de="Die gewünschte Leistung ist hier nicht eingerichtet. GET /v1/leistungen nennt alle.",
                en="The service asked for is not set up here. GET /v1/leistungen lists all of them.",
            )
        require_submit(incoming.identity, slug)

    async def examine(
        self, incoming: Incoming, received: list[Part], *, at: datetime, submission_id: str, routed_at: datetime | None = None,
        patience: Patience = Patience.SPARE, attached: tuple[Attached, ...] | None = None,
    ) -> Examination:
        """at: time of receipt. routed_at: whose routes count, if not those of that time. patience: for a second opinion.
        attached: the files that came with it, where they are not among ``received``.

        Raises ``Unacceptable`` for what cannot be read at all (400, 413, 415), ``Refusal`` for an unknown service in the
        URL and ``access.Forbidden``; every other fault is in the answer."""
        self.permit(incoming, incoming.leistung)
        hint = self.leistungen[incoming.leistung] if incoming.leistung else None
        found = Examination(Origin.MESSAGE, received, leistung=hint, ars=incoming.ars or "")
        try:
            files = attached if attached is not None else attached_among(received)
            known = Circumstances(_day(at), test=incoming.test, attached=files, patience=patience)
            inspection = await self._inspector.inspect(incoming.body, leistung=hint, known=known)
            if inspection.package is None:
                inspection = await self._map(incoming, found, inspection, at=at, submission_id=submission_id)
            self._identify(incoming, found, inspection)
            if found.origin is Origin.FORM and not found.ars:  # first, for it leaves a hole in the message that was made
                raise _place_missing(found)
            if not inspection.report.valid:
                worst_first = sorted(inspection.report.findings, key=lambda finding: finding.severity is Severity.WARNING)
                raise Unacceptable(422, *worst_first, package=found.package.id if found.package else None)
            found.route = self._route(found, routed_at or at)
            await self._fit(found, inspection)
        except Unacceptable as fault:
            if fault.status != 422:
                raise
            found.fault = fault
        except Refusal as refusal:
            found.fault = refusal
        return found

    async def _map(
        self, incoming: Incoming, found: Examination, inspection: Inspection, *, at: datetime, submission_id: str
    ) -> Inspection:
        """A portal form becomes the service's message, which is a document of its own, and that is inspected.

        Where the mapping fails, its draft is kept for the operator; what is to be delivered is still the form, so that
        nobody sends half an application.
        """
        found.origin = Origin.FORM
        known = self._forms.recognise(incoming.portal.name, inspection.document, leistung=found.leistung)
        found.form_id, found.creation_date = known.form.form_id, known.form.creation_date
        self.permit(incoming, known.leistung.slug)
        found.leistung, found.ars = known.leistung, found.ars or known.ars
        try:
            mapped = await self._forms.map(
                known, inspection.document, submission_id=submission_id, portal=incoming.portal.name,
                ars=found.ars, received=at, test=incoming.test,
            )
        except Unmappable as fault:
            if fault.draft is not None:
                found.parts = [*found.parts, _made(known, fault.draft)]
            raise
        message, found.counts = mapped.body, mapped.facts
        found.parts = [*found.parts, _made(known, message)]
        found.document = len(found.parts) - 1
        circumstances = Circumstances(_day(at), test=incoming.test)
        try:
            return await self._inspector.inspect(message, leistung=known.leistung, known=circumstances)
        except Unacceptable as fault:  # too large, another encoding: what was made here is for us to repair, not for the citizen
            raise Unacceptable(422, *fault.findings, package=fault.package) from None

    def _identify(self, incoming: Incoming, found: Examination, inspection: Inspection) -> None:
        """What kind of message it is, for which service and which place."""
        package = inspection.package
        assert package is not None, "a mapping made another portal form"
        found.package, found.report = package, inspection.report
        found.header = header = package.header_of(inspection.document)
        if header.type in package.answers.roots:
            raise Unacceptable(422, say("answer-not-taken", line=line_of(inspection.document.root)), package=package.id)
        slug = service_of(package, header, asked=found.slug or None, registry=self._inspector.registry)
        self.permit(incoming, slug)
        found.leistung = self.leistungen[slug]
        found.ars = place_of(found.ars, header.ars)
        if found.leistung.order_by is not None:
            found.order_value = inspection.document.text(found.leistung.order_by)

    async def _fit(self, found: Examination, inspection: Inspection) -> None:
        """A document of its own for each target on the route that cannot take it as it is; what was rewritten is said."""
        assert found.package is not None
        assert found.route is not None
        assert found.report is not None
        targets = [target for step in found.route.to if fitting.wants_its_own(target := self._site.targets[step.target])]
        if not targets:
            return
        made = await fitting.for_targets(
            self._inspector, inspection.document, found.package, targets,
            parameters={"message_id": (found.header.uuid if found.header else None) or ""},
        )
        numbers: dict[bytes, int] = {}
        for name, fitted in made.items():
            if fitted.body not in numbers:
                numbers[fitted.body] = len(found.parts)
                digest = hashlib.sha256(fitted.body).digest()
                found.parts = [*found.parts, Part(Role.MESSAGE, "application/xml", fitted.body, digest,
                                                  made_from=found.document, made_by=fitted.made_by)]
            found.fitted = {**found.fitted, name: numbers[fitted.body]}
            found.report = found.report.with_hints(fitted.hints)
        found.counts = Counter(found.counts) + Counter[str](transliterated=sum(fitted.rewritten for fitted in made.values()))

    def _route(self, found: Examination, at: datetime) -> Route:
        if not found.ars:
            raise _place_missing(found)
        route = self._site.route(found.slug, found.ars, _day(at))
        if isinstance(route, NoRoute):
            raise Refusal(
                Why.NO_ROUTE, route.code, de=route.de, en=route.en, extra={"leistung": found.slug, "missing": route.missing},
            )
        return route


def _place_missing(found: Examination) -> Refusal:
    if found.origin is Origin.FORM:
        de = ("Der Ort (ARS) fehlt: Weder das Formular noch die Adresse nennt den amtlichen Regionalschlüssel. Bitte ?ars= "
              "angeben, oder der Betrieb trägt ars in [[form]] ein.")
        en = ("The place (ARS) is missing: neither the form nor the URL names the regional key. Please add ?ars=, or operators "
              "enter ars in [[form]].")
    else:
        de = "Weder die Nachricht noch die Adresse nennt den amtlichen Regionalschlüssel (ARS). Bitte ?ars= angeben."
        en = "Neither the message nor the URL names the regional key (ARS). Please add ?ars=."
    return Refusal(Why.NO_ROUTE, "ars-missing", de=de, en=en, extra={"leistung": found.slug})


def attached_among(parts: Sequence[Part]) -> tuple[Attached, ...]:
    return tuple(Attached(part.name or "", len(part.body), part.digest) for part in parts if part.role is Role.ATTACHMENT)


def _day(at: datetime) -> date:
    return at.astimezone(BERLIN).date()


def _made(known: KnownForm, message: bytes) -> Part:
    digest = hashlib.sha256(message).digest()
    return Part(Role.MESSAGE, "application/xml", message, digest, made_from=0, made_by=known.made_by)
