"""What a site file says, as plain values. Where a field is written in a way of its own ("60s"), the field declares it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from gateway.config.binding import Duration, PositiveDuration
from gateway.config.faults import Where
from gateway.config.routing import NoRoute, Route, RoutingTable, Successor
from gateway.packages.leistungen import OnInvalid
from gateway.site import windows
from gateway.site.explanation import RouteExplanation, explain
from gateway.site.windows import Window

_VERSION = re.compile(r":v?(\d+(?:\.\d+)*)$")
_BOUND = re.compile(r"\s*(>=|<=|==|>|<)\s*(\d+(?:\.\d+)*)\s*")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def _fingerprint(text: object) -> object:
    """As ``openssl x509 -fingerprint -sha256`` prints it, or plain hex."""
    if not isinstance(text, str):
        return text
    plain = text.replace(":", "").replace(" ", "").lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise ValueError("kein SHA-256-Fingerabdruck (64 Hexziffern) / not a SHA-256 fingerprint (64 hex digits)")
    return plain


def _versions(text: object) -> object:
    if isinstance(text, str) and text and not all(_BOUND.fullmatch(part) for part in text.split(",")):
        raise ValueError('kein Versionsbereich wie „>=1.0,<2“ / not a range of versions such as ">=1.0,<2"')
    return text


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_PackageId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*@[A-Za-z0-9][A-Za-z0-9._-]*$")]


def _window(text: object) -> object:
    return Window.parse(text) if isinstance(text, str) else text


@dataclass(frozen=True, slots=True)
class Authority:
    """The administration that answers for a case (Verantwortlicher). ars: 12 digits, or the prefix of its area."""

    key: str
    ars: str
    name: str
    contact: str = ""


@dataclass(frozen=True, slots=True)
class PortalConfig:
    """A sender and its rights. leistungen: slugs, ("*",) for all. on_invalid: ``None`` leaves it to the Leistung.

    in_flight: requests at once. invalid_per_minute: budget for the expensive kind of input. certificates: SHA-256 over
    the DER form, 64 lower-case hex digits; more may be in the journal.
    """

    name: str
    leistungen: Annotated[tuple[str, ...], Field(min_length=1)]
    on_invalid: OnInvalid | None = None
    in_flight: Annotated[StrictInt, Field(ge=1)] = 32
    invalid_per_minute: Annotated[StrictInt, Field(ge=1)] = 600
    certificates: tuple[Annotated[str, BeforeValidator(_fingerprint)], ...] = ()


@dataclass(frozen=True, slots=True)
class FormBinding:
    """Which form of a portal is which Leistung here. form_id: ``*`` stands for anything; the version may be left out.

    versions: comma-separated bounds that all must hold (">=1.0,<2"); "" for any. mapping: field table or XSLT, absolute;
    ``None``: the one that ships with the Leistung. unescape: form values arrive escaped twice. ars: the place, where neither
    the address nor the form says it.
    """

    portal: str
    form_id: Annotated[str, Field(min_length=1)]
    versions: Annotated[str, BeforeValidator(_versions)]
    leistung: str
    mapping: Path | None = None
    unescape: StrictBool = False
    ars: str = ""
    line: int = 0

    def matches(self, portal: str, form_id: str) -> bool:
        """form_id: as the form carries it, "<tenant>:<name>:v1.0"."""
        if portal != self.portal:
            return False
        found = _VERSION.search(form_id)
        pattern = re.compile(".*".join(map(re.escape, self.form_id.split("*"))), re.DOTALL)
        unversioned = form_id[: found.start()] if found else form_id
        return bool(pattern.fullmatch(form_id) or pattern.fullmatch(unversioned)) and self._covers(found[1] if found else None)

    def _covers(self, version: str | None) -> bool:
        if not self.versions:
            return True
        return version is not None and all(_holds(version, bound) for bound in self.versions.split(","))


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """A Fachverfahren as configured here.

    productive: a test submission never goes there, which is the whole rule: a target that is not productive gets whatever
    its routes send it. concurrency: attempts at once. settle: shortest time between a doubtful attempt and asking whether
    it arrived. confirm_within: longest wait for the answer after a hand-over.
    give_up_after: of counted time. idempotent: ``None`` leaves it to the connector. lane: queue of the broker, one per
    connector unless a noisy target is given its own. timeout: seconds, ``None`` leaves it to the connector. expects:
    packages ("xbau@2.7") whose messages it takes; those of another version of the same name are converted. characters: all
    that it can hold; others are rewritten. options: as written, secrets still ``env:``/``file:``. doc_path: page for
    operators about this system. where: its table in the file, for faults that are found elsewhere.
    """

    name: str
    connector: Annotated[str, Field(min_length=1)]
    authority: str
    productive: StrictBool = True
    concurrency: Annotated[StrictInt, Field(ge=1, le=1000)] = 4
    settle: Duration = timedelta(seconds=60)
    confirm_within: PositiveDuration = timedelta(days=7)
    give_up_after: PositiveDuration = timedelta(hours=72)
    idempotent: StrictBool | None = None
    closed: tuple[Annotated[Window, BeforeValidator(_window)], ...] = ()
    contact: str = ""
    lane: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = ""
    timeout: Annotated[float, Field(gt=0)] | None = None
    expects: Annotated[tuple[_PackageId, ...], BeforeValidator(_one_or_several)] = ()
    characters: Literal["latin-1", "windows-1252", "ascii"] | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False, hash=False)
    doc_path: Path | None = None
    where: Where = field(default=Where(""), repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lane", self.lane or self.connector)

    @property
    def line(self) -> int:
        return self.where.line

    def is_closed(self, at: datetime) -> bool:
        """Is ``at`` within a maintenance window?"""
        return windows.is_closed(self.closed, at)

    def after_open_time(self, at: datetime, span: timedelta) -> datetime:
        """``at + span``, maintenance windows not counted."""
        return windows.after_open_time(self.closed, at, span) if self.closed else at + span

    def opens_at(self, at: datetime) -> datetime | None:
        """The first open moment from ``at`` on: ``at`` itself when open now; ``None`` if there is none for over a year."""
        return windows.opens_at(self.closed, at)


@dataclass(frozen=True, slots=True)
class Site:
    """The whole file, checked. path: absolute; paths inside are resolved against it. digest: SHA-256 of its bytes, hex. where:
    the file, for faults that are found elsewhere."""

    name: str
    path: Path
    digest: str
    authorities: Mapping[str, Authority] = field(hash=False)
    portals: Mapping[str, PortalConfig] = field(hash=False)
    forms: tuple[FormBinding, ...]
    targets: Mapping[str, TargetConfig] = field(hash=False)
    routes: tuple[Route, ...]
    successors: tuple[Successor, ...] = ()
    where: Where = field(default=Where(""), repr=False, compare=False)
    _table: RoutingTable = field(init=False, repr=False, compare=False)
    _decide: Callable[[str, str, date], tuple[Route | NoRoute, object]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = (authority.ars for authority in self.authorities.values())
        table = RoutingTable(self.routes, self.successors, known)
        object.__setattr__(self, "_table", table)
        object.__setattr__(self, "_decide", lru_cache(4096)(table.decide))

    def route(self, leistung: str, ars: str, on: date) -> Route | NoRoute:
        """Where a submission for this place goes on that day: the longest prefix wins, the Leistung itself before "*"."""
        return self._decide(leistung, ars, on)[0]

    def explain(self, leistung: str, ars: str, on: date) -> RouteExplanation:
        """The same decision with its reasons, for people."""
        owners = {
            name: self.authorities[target.authority].name
            for name, target in self.targets.items() if target.authority in self.authorities
        }
        return explain(self._table, leistung, ars, on, owners=owners)


def _holds(version: str, bound: str) -> bool:
    found = _BOUND.fullmatch(bound)
    if found is None:
        return False
    ours, theirs = _numbers(version), _numbers(found[2])
    return {">=": ours >= theirs, "<=": ours <= theirs, "==": ours == theirs, ">": ours > theirs, "<": ours < theirs}[found[1]]


def _numbers(version: str) -> tuple[int, ...]:
    """ "1.0" and "1" are the same version."""
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
