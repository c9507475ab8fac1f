"""Which portal form is which Leistung here, and how it becomes that Leistung's message."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gateway import mapping, provenance
from gateway.config.faults import Fault
from gateway.document import Document
from gateway.findings import Unacceptable
from gateway.forms import portalform
from gateway.forms.portalform import PortalForm
from gateway.schemas import Leistung, Registry
from gateway.site import FormBinding, Site
from gateway.vocabulary import say

SHIPPED = ("form.toml", "form.xslt")
INLINE = 16 * 1024

_MESSAGE_IDS = uuid.UUID("6f4f4a1c-7a0c-5d0e-9f0a-6e6168746c73")


@dataclass(frozen=True, slots=True)
class KnownForm:
    """A portal form whose Leistung is known. mapping: ``None`` when there is none for it. ars: as the site's binding says."""

    leistung: Leistung
    form: PortalForm = field(repr=False)
    mapping: mapping.Mapping | None
    unescape: bool
    ars: str = ""

    @property
    def made_by(self) -> str:
        return provenance.mapping(self.mapping.digest.hex()) if self.mapping else ""


class Unmappable(Unacceptable):
    """The mapping does not take this form. draft: the message as far as it could be made, or ``None``."""

    def __init__(self, fault: mapping.MappingFault) -> None:
        super().__init__(422, *fault.findings)
        self.draft = fault.draft


class Forms:
    """The bindings of the site and the mappings they name, all loaded before the first request."""

    def __init__(
        self, bindings: tuple[FormBinding, ...], leistungen: Mapping[str, Leistung], mappings: Mapping[Path, mapping.Mapping]
    ) -> None:
        self._bindings, self._leistungen, self._mappings = bindings, leistungen, mappings

    @classmethod
    def load(cls, site: Site, registry: Registry) -> Forms:
        """Raises ``mapping.MappingFaults`` with every fault of every mapping."""
        faults: list[Fault] = []
        loaded: dict[Path, mapping.Mapping] = {}
        schemas = {path: each.folder for each in registry.leistungen.values() if (path := shipped_mapping(each))}
        schemas |= {b.mapping: each.folder for b in site.forms if b.mapping and (each := registry.leistungen.get(b.leistung))}
        for path, folder in schemas.items():
            try:
                loaded[path] = mapping.load(path, schema=folder / "message.xsd")
            except mapping.MappingFaults as found:
                faults.extend(found.faults)
        if faults:
            raise mapping.MappingFaults(faults)
        return cls(site.forms, registry.leistungen, loaded)

    def recognise(self, portal: str, document: Document, *, leistung: Leistung | None) -> KnownForm:
        """leistung: as the URL says; it goes before the site's bindings. Raises ``Unacceptable`` for a form nobody bound."""
        form = portalform.recognise(document)
        assert form is not None
        bound = self._binding(portal, form.form_id, leistung) if form.form_id else None
        if leistung is None and bound is None:
            raise Unacceptable(422, _UNBOUND)
        known = leistung or self._leistungen[bound.leistung]  # type: ignore[union-attr]
        path = bound.mapping if bound and bound.mapping else shipped_mapping(known)
        return KnownForm(
            known, form, self._mappings.get(path) if path else None,
            unescape=bound.unescape if bound else False, ars=bound.ars if bound else "",
        )

    async def map(
        self, known: KnownForm, document: Document, *, submission_id: str, portal: str, ars: str, received: datetime, test: bool
    ) -> mapping.Mapped:
        """The message. The same form, submission and mapping give the same bytes. Raises ``Unacceptable`` (422), and
        ``Unmappable`` where there is a mapping."""
        if known.mapping is None:
            raise Unacceptable(422, _UNMAPPED)
        context = mapping.MappingContext(
            message_id=str(uuid.uuid5(_MESSAGE_IDS, submission_id)),
            leistung=known.leistung.slug,
            ars=ars,
            portal=portal,
            received=received,
            form_id=known.form.form_id,
            version=known.form.version,
            test=test,
            unescape=known.unescape,
        )
        try:
            if len(document.body) <= INLINE:
                return known.mapping.run(document, context=context)
            return await asyncio.to_thread(known.mapping.run, document, context=context)
        except mapping.MappingFault as fault:
            raise Unmappable(fault) from None

    def _binding(self, portal: str, form_id: str, leistung: Leistung | None) -> FormBinding | None:
        return next((
            each for each in self._bindings
            if each.matches(portal, form_id)
            and each.leistung in self._leistungen
            and (leistung is None or each.leistung == leistung.slug)
        ), None)


def shipped_mapping(leistung: Leistung) -> Path | None:
    """The mapping that comes with the Leistung, a field table before an XSLT."""
    return next((path for name in SHIPPED if (path := leistung.folder / name).is_file()), None)


_UNBOUND = say("form-unbound", path="/serviceportal/metadata/formId")
_UNMAPPED = say("form-unmapped")
