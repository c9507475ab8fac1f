"""Which service and which place a message belongs to, by what it says, what was asked for and what is set up here. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from gateway.config.routing import ags_of
from gateway.findings import Unacceptable
from gateway.schemas import Header, Package, Registry
from gateway.vocabulary import say


class Why(StrEnum):
    """Reasons to refuse that are not faults of the document itself."""

    UNKNOWN_LEISTUNG = "unknown_leistung"
    NO_ROUTE = "no_route"
    KEY_REUSED = "key_reused"


class Refusal(Exception):
    """Understood and not taken; nothing was stored. de, en: what is missing and whom to ask, no values of the document.

    code: stable word. extra: further codes of ours for the answer.
    """

    def __init__(self, why: Why, code: str, *, de: str, en: str, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(code)
        self.why, self.code, self.de, self.en, self.extra = why, code, de, en, extra or {}


def service_of(package: Package, header: Header, *, asked: str | None, registry: Registry) -> str:
    """The slug: by the package, else by the services that name the package or the message, else as the message itself says.
    What was asked for (?leistung=) has to be one of them.

    Raises ``Refusal``, and ``Unacceptable`` (422) where the two contradict each other.
    """
    claiming = [package.leistung] if package.leistung else [
        each.slug for each in registry.leistungen_for(package, header.type)
    ]
    if asked is not None:
        if claiming and asked not in claiming:
            raise Unacceptable(422, say("leistung-contradiction"))
        return asked
    slug = claiming[0] if len(claiming) == 1 else header.leistung
    if slug is not None and slug in registry.leistungen:
        return slug
    if len(claiming) > 1:
        listed = ", ".join(sorted(claiming))
        raise Refusal(
            Why.UNKNOWN_LEISTUNG, "leistung-ambiguous",
            de=f"Diese Nachricht gehört hier zu mehreren Leistungen: {listed}. Bitte ?leistung= angeben.",
            en=f"This message belongs to several services here: {listed}. Please add ?leistung=.",
        )
    raise Refusal(
        Why.UNKNOWN_LEISTUNG, "leistung-unknown",
        de="Die Nachricht sagt nicht, zu welcher hier eingerichteten Leistung sie gehört. Bitte ?leistung= angeben.",
        en="The message does not say which service set up here it belongs to. Please add ?leistung=.",
    )


def place_of(asked: str, said: str | None) -> str:
    """The ARS: from the URL (or the form's binding) or from the message; where both speak, one must lie within the other."""
    if not asked or not said or asked == said:
        return asked or said or ""
    for narrow, wide in ((said, asked), (asked, said)):
        if narrow.startswith(area_of(wide)) or (len(wide) == 8 and len(narrow) == 12 and ags_of(narrow) == wide):
            return narrow
    raise Unacceptable(422, say("ars-contradiction"))


def area_of(ars: str) -> str:
    """A whole state, district or association is also written with noughts up to twelve digits. Noughts elsewhere belong to the
    key: 05370 is a district of its own, and so is the municipality 081250046040."""
    if len(ars) == 12:
        for digits in (2, 3, 5, 9):
            if not ars[digits:].strip("0"):
                return ars[:digits]
    return ars
