"""What a Leistung is: the description that ships in ``leistungen/<slug>/leistung.toml`` and holds for every site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.config.binding import bind
from gateway.config.faults import Faults, Where
from gateway.document import USUAL, Limits


class LeistungKind(StrEnum):
    ANTRAG = "antrag"
    ANZEIGE = "anzeige"
    MELDUNG = "meldung"
    AEUSSERUNG = "aeusserung"
    BESTELLUNG = "bestellung"
    BUCHUNG = "buchung"
    WUNSCH = "wunsch"


class Place(StrEnum):
    """Whose ARS is competent."""

    RESIDENCE = "wohnsitz"
    BUSINESS = "betriebssitz"
    SITE = "ort"
    SCHOOL = "schule"
    EVENT = "ereignis"
    AUTHORITY = "behoerde"


class OnInvalid(StrEnum):
    """What happens to a submission that is understood but wrong: told to the portal (422), or kept for an operator."""

    REJECT = "reject"
    HOLD = "hold"


class Urgency(StrEnum):
    NORMAL = "normal"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Leistung:
    """A service, the same for every site.

    names, deadline_note: {"de", "en"}. level: who is competent, by state ("08", "07", "*" for all others): "gemeinde",
    "kreis" or "land". on_invalid: None = reject messages, hold portal forms. retention: after the last delivery.
    deadline: for the authority, from receipt. order_by: header path that keeps deliveries in order, or None.
    package: id of the schema package of its message. messages: those root elements of it that belong to this service, () for
    all. mask: paths of what is sensitive (Art. 9, 10 DSGVO): recorded, and hidden by nothing yet.
    """

    slug: str
    names: Mapping[str, str]
    kind: LeistungKind
    place: Place
    level: Mapping[str, str]
    leika: str | None
    leika_source: str | None
    on_invalid: OnInvalid | None
    retention: timedelta
    urgency: Urgency
    deadline: timedelta | None
    deadline_note: Mapping[str, str]
    order_by: str | None
    limits: Limits
    folder: Path
    package: str
    messages: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    editable: tuple[str, ...] = ()
    business_keys: tuple[str, ...] = ()
    compared: date | None = None


def read_leistung(folder: Path, table: Mapping[str, Any], where: Where) -> tuple[Leistung, str]:
    """The Leistung of a folder, and its version. Raises ``Faults``. Its package is "slug@version", unless the table names
    a package that stands elsewhere ("package = "xbau@2.6""), which the registry then looks up."""
    said = bind(_Table, table, where=where)
    if said.slug != folder.name:
        raise Faults([where.at("slug").fault(
            f"„slug“ muss wie der Ordner heißen: „{folder.name}“", f'"slug" has to be the name of its folder: "{folder.name}"'
        )])
    if (said.on_invalid.message, said.on_invalid.form) == (OnInvalid.HOLD, OnInvalid.REJECT):
        raise Faults([where.at("on_invalid").fault(
            "Nachrichten zu halten und Formulare abzuweisen ist nicht vorgesehen: Beim Formular ist der Bürger schon gegangen",
            "holding messages while rejecting forms is not provided for: a form's citizen has left",
        )])
    return Leistung(
        slug=said.slug, names={"de": said.names.de, "en": said.names.en}, kind=said.kind, place=said.place, level=said.level,
        leika=said.leika.key if said.leika else None, leika_source=said.leika.source if said.leika else None,
        on_invalid=said.on_invalid.message if said.on_invalid.message is said.on_invalid.form else None,
        retention=timedelta(days=said.retention_days), urgency=said.urgency,
        deadline=timedelta(days=said.deadline_days) if said.deadline_days else None,
        deadline_note={"de": said.deadline.de, "en": said.deadline.en} if said.deadline else {},
        order_by=said.order_by or None, limits=said.limits, folder=folder,
        package=f"{said.slug}@{said.version}" if said.package.endswith(".xsd") else said.package,
        messages=said.messages, mask=said.mask, editable=said.editable, business_keys=said.business_keys, compared=said.compared,
    ), said.version


# --- the file as people write it -----------------------------------------------------------------------------------------

_Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class _Both:
    de: _Text
    en: _Text


@dataclass(frozen=True)
class _Leika:
    key: Annotated[str, Field(pattern=r"^\d{14}$")]
    source: _Text


@dataclass(frozen=True)
class _OnInvalid:
    message: OnInvalid = OnInvalid.REJECT
    form: OnInvalid = OnInvalid.HOLD


@dataclass(frozen=True, kw_only=True)
class _Table:
    slug: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    version: _Text
    package: _Text = "message.xsd"
    messages: tuple[_Text, ...] = ()
    names: _Both
    kind: LeistungKind
    place: Place
    level: Mapping[str, Literal["gemeinde", "kreis", "land"]]
    leika: _Leika | None = None
    on_invalid: _OnInvalid = field(default_factory=_OnInvalid)
    retention_days: Annotated[int, Field(ge=0, le=3650)] = 30
    urgency: Urgency = Urgency.NORMAL
    deadline_days: Annotated[int, Field(ge=1)] | None = None
    deadline: _Both | None = None
    order_by: str = ""
    mask: tuple[str, ...] = ()
    editable: tuple[str, ...] = ()
    business_keys: tuple[str, ...] = ()
    compared: date | None = None
    limits: Limits = USUAL
