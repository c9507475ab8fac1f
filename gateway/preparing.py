"""What a delivery hands over is prepared again before it is sent again: after a cause was repaired, or for another target.

Who makes messages and documents (``remaking``, ``refitting``) is told from outside; here is decided when.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.attempts.permits import NotAllowed
from gateway.ports import Dossier, Part
from gateway.site import TargetConfig
from gateway.submission import DeadClass, Delivery, Origin


@dataclass(frozen=True, slots=True)
class Remade:
    """A delivery prepared again. document: number of the part to deliver, counted on from the submission's last if it is among
    ``parts``. opens: further deliveries of its route. facts: for the history."""

    target: str | None
    document: int
    authority: str
    leistung: str
    order_key: bytes | None = None
    parts: Sequence[Part] = field(default=(), repr=False)
    opens: Sequence[Delivery] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refitted:
    """The document for one target: ``document``, ``parts`` and ``facts`` as in ``Remade``."""

    document: int
    parts: Sequence[Part] = field(default=(), repr=False)
    facts: Mapping[str, object] = field(default_factory=dict)


Remake = Callable[[Dossier, Delivery], Awaitable[Remade | None]]
"""Intake does its work again (mapping, validation, route). ``None``: nothing has changed. Raises ``NotAllowed`` with what is
still wrong."""


class Refit(Protocol):
    """Makes of the message what this target can take. document: what is handed over now. edited: the document itself, where it
    is not stored yet and ``document`` the number it will have. Raises ``NotAllowed`` with what stands in the way."""

    async def __call__(
        self, dossier: Dossier, document: int, target: TargetConfig, *, edited: Part | None = None
    ) -> Refitted: ...


class Preparing:
    def __init__(self, *, targets: Mapping[str, TargetConfig], remake: Remake | None, refit: Refit | None) -> None:
        self._targets, self._remake, self._refit = targets, remake, refit

    async def again(self, dossier: Dossier, delivery: Delivery) -> Remade:
        """Before a replay: a form is mapped again, what was held is examined again, and the target gets what it expects now;
        never while in doubt. Raises ``NotAllowed``."""
        held = delivery.dead_class in (DeadClass.INVALID, DeadClass.UNROUTABLE)
        made = None
        if self._remake is not None and not delivery.in_doubt and (held or dossier.submission.origin is Origin.FORM):
            made = await self._remake(dossier, delivery)
        if made is None and held:
            raise NotAllowed(
                "still-faulty",
                "Die Ursache besteht noch: Bitte erst Feldzuordnung, Leitweg oder Dokument berichtigen.",
                "The cause is still there: please correct the mapping, the route or the document first.",
            )
        return made or await self._refitted(dossier, delivery)

    async def document_for(
        self, target: str | None, dossier: Dossier, document: int, *, edited: Part | None = None
    ) -> Refitted:
        """As ``Refit``; the document as it is where nobody refits or the target is not entered any more."""
        config = self._targets.get(target or "")
        if self._refit is None or config is None:
            return Refitted(document)
        return await self._refit(dossier, document, config, edited=edited)

    async def _refitted(self, dossier: Dossier, delivery: Delivery) -> Remade:
        fitted = Refitted(delivery.document)
        if not delivery.in_doubt:
            fitted = await self.document_for(delivery.target, dossier, delivery.document)
        changed = {"document": fitted.document} if fitted.document != delivery.document else {}
        return Remade(
            delivery.target, fitted.document, delivery.authority, delivery.leistung, delivery.order_key, fitted.parts,
            facts={**changed, **fitted.facts},
        )
