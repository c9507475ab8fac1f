"""Which targets serve a Leistung at a place: the longest prefix of the ARS wins. Pure.

A place is an Amtlicher Regionalschlüssel: Land 2, Regierungsbezirk 3, Kreis 5, Gemeindeverband 9, Gemeinde 12 digits. An
Amtlicher Gemeindeschlüssel (AGS, 8 digits) leaves the Gemeindeverband out; it is completed from what the site knows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from gateway.submission import Purpose

PREFIXES = (12, 9, 5, 3, 2)
EVERY = "*"

_ARS = re.compile(r"(?:0\d|1[0-6])(?:\d{0,1}|\d{3}|\d{6}|\d{7}|\d{10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class RouteStep:
    """One delivery that a submission gives rise to. after: the target whose delivery must have arrived first."""

    target: str
    purpose: Purpose = Purpose.CASE
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """``leistung`` ("*" for each that has no route of its own) in the area ``ars`` (2, 3, 5, 9, 12 digits, or an AGS).

    In force from ``valid_from`` to ``valid_until``, both days included; ``None`` is open. line: in the site file.
    """

    leistung: str
    ars: str
    valid_from: date | None = field(metadata={"toml": "from"})
    valid_until: date | None = field(metadata={"toml": "until"})
    to: tuple[RouteStep, ...]
    line: int = 0

    def in_force(self, on: date) -> bool:
        return (self.valid_from is None or self.valid_from <= on) and (self.valid_until is None or on <= self.valid_until)


@dataclass(frozen=True, slots=True)
class Successor:
    """Gebietsreform: from ``since`` on, the area ``old`` is the area ``new`` or part of it. Both have the same length."""

    old: str
    new: str
    since: date = field(metadata={"toml": "from"})
    line: int = 0


@dataclass(frozen=True, slots=True)
class NoRoute:
    """Not competent here, which is an answer and not a fault.

    code: ars-malformed | ars-ambiguous | leistung-unknown | area-unknown | not-in-force. missing: what the site file
    would have to say, or the sender.
    """

    code: str
    de: str
    en: str
    missing: str


@dataclass(frozen=True, slots=True)
class Considered:
    """One area that was tried, the longest first, and what came of it. route: the one that stands there, if any."""

    leistung: str
    ars: str
    route: Route | None
    taken: bool
    de: str
    en: str


def is_ars(text: str) -> bool:
    """2, 3, 5, 9 or 12 digits that begin with a Land (00 for the Bund), or an AGS of 8."""
    return _ARS.fullmatch(text) is not None


def ags_of(ars: str) -> str:
    """The AGS within an ARS of 12 digits."""
    return ars[:5] + ars[9:]


class RoutingTable:
    """All routes of a site, indexed: a look-up costs the same with ten routes and with ten thousand.

    A route for the Leistung itself goes before one for "*", however long the prefix: "*" is for what nobody named.
    known: further ARS of 12 digits by which an AGS may be completed.
    """

    def __init__(self, routes: Iterable[Route], successors: Iterable[Successor] = (), known: Iterable[str] = ()) -> None:
        self._routes: dict[str, dict[str, list[Route]]] = defaultdict(lambda: defaultdict(list))
        self._successors = tuple(sorted(successors, key=lambda successor: successor.since))
        self._associations: dict[tuple[str, str], list[Route]] = defaultdict(list)
        self._by_ags: dict[str, set[str]] = defaultdict(set)
        for route in routes:
            self._routes[route.leistung][route.ars].append(route)
            if len(route.ars) == 9:
                self._associations[route.leistung, route.ars[:5]].append(route)
        areas = [route.ars for by_area in self._routes.values() for found in by_area.values() for route in found]
        for ars in (*areas, *known, *(successor.new for successor in self._successors)):
            if len(ars) == 12:
                self._by_ags[ags_of(ars)].add(ars)

    def place(self, ars: str, on: date) -> str:
        """The ARS under which this place is known on that day (successors applied, in the order of their dates)."""
        for successor in self._successors:
            if on < successor.since:
                break
            if ars.startswith(successor.old):
                ars = successor.new + ars[len(successor.old):]
            elif len(ars) == 8 and len(successor.old) == 12 and ars == ags_of(successor.old):
                ars = successor.new
        return ars

    def decide(self, leistung: str, ars: str, on: date) -> tuple[Route | NoRoute, tuple[Considered, ...]]:
        """The route, or why there is none, and the areas that were tried."""
        digits = "".join(ars.split())
        if not is_ars(digits):
            return _malformed(), ()
        place = self.place(digits, on)
        candidates = self._completed(place)
        answers = [self._search(leistung, candidate, on) for candidate in candidates]
        different = {decision if isinstance(decision, Route) else None for decision, _ in answers}
        if len(different) > 1 or self._hidden_by_ags(leistung, candidates[0], on):
            return _ambiguous(place), tuple(step for _, considered in answers for step in considered)
        return answers[0]

    def nearest(self, leistung: str, ars: str, *, limit: int = 3) -> tuple[Route, ...]:
        """Routes of the same Leistung whose area shares the longest beginning with this place."""
        rows = [route for found in self._routes.get(leistung, {}).values() for route in found]
        rows.sort(key=lambda route: (-_shared(route.ars, ars), route.ars))
        return tuple(rows[:limit])

    def leistungen(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._routes if name != EVERY))

    def _completed(self, place: str) -> tuple[str, ...]:
        """An AGS becomes the ARS it can be; without further knowledge only a kreisfreie Stadt can be completed."""
        if len(place) != 8:
            return (place,)
        if known := self._by_ags.get(place):
            return tuple(sorted(known))
        return (place[:5] + "0000000",) if place.endswith("000") else (place,)

    def _hidden_by_ags(self, leistung: str, place: str, on: date) -> bool:
        """Is there a Gemeindeverband in this Kreis to which the Gemeinde may or may not belong?"""
        if len(place) != 8:
            return False
        for name in (leistung, EVERY):
            by_area = self._routes.get(name, {})
            taken = next((area for area in _areas(place) if any(route.in_force(on) for route in by_area.get(area, ()))), None)
            if taken != place and any(route.in_force(on) for route in self._associations.get((name, place[:5]), ())):
                return True
            if taken is not None:  # however short: it goes before all that is entered for "*"
                return False
        return False

    def _search(self, leistung: str, place: str, on: date) -> tuple[Route | NoRoute, tuple[Considered, ...]]:
        considered: list[Considered] = []
        outside: Route | None = None
        for name in (leistung, EVERY):
            by_area = self._routes.get(name, {})
            for area in _areas(place):
                routes = by_area.get(area, [])
                taken = next((route for route in routes if route.in_force(on)), None)
                if taken is not None:
                    considered.append(Considered(name, area, taken, True, "gilt an diesem Tag und ist die genaueste Angabe",
                                                 "is in force that day and the most precise entry"))
                    return taken, tuple(considered)
                outside = outside or next(iter(routes), None)
                considered.append(_passed_over(name, area, routes))
        return self._none(leistung, place, on, outside), tuple(considered)

    def _none(self, leistung: str, place: str, on: date, outside: Route | None) -> NoRoute:
        shown = _shown(leistung)
        if outside is not None:
            return NoRoute(
                "not-in-force",
                f"Für „{shown}“ in {place} gibt es einen Leitweg, aber keinen, der am {on:%d.%m.%Y} gilt.",
                f'There is a route for "{shown}" in {place}, but none in force on {on}.',
                f'[[route]] leistung = "{shown}", ars = "{outside.ars}", from/until: {on}',
            )
        missing = f'[[route]] leistung = "{shown}", ars = "{place}" (2, 3, 5, 9, 12)'
        if leistung in self._routes or EVERY in self._routes:
            return NoRoute(
                "area-unknown",
                f"Für „{shown}“ ist diese Stelle in {place} nicht zuständig: "
                "Es fehlt ein Leitweg für diesen ARS oder ein Gebiet darüber.",
                f'This office is not competent for "{shown}" in {place}: there is no route for this ARS or an area around it.',
                missing,
            )
        return NoRoute(
            "leistung-unknown",
            f"Für die Leistung „{shown}“ ist hier kein Leitweg eingetragen.",
            f'No route is entered here for the service "{shown}".',
            missing,
        )


def overlap(one: Route, other: Route) -> bool:
    """Are both in force on some day?"""
    return (one.valid_until is None or other.valid_from is None or other.valid_from <= one.valid_until) and (
        other.valid_until is None or one.valid_from is None or one.valid_from <= other.valid_until
    )


def _areas(place: str) -> list[str]:
    """The place itself and every area around it, the smallest first; a Gemeinde may also be entered by its AGS."""
    areas = [place[:length] for length in PREFIXES if length <= len(place)]
    if len(place) == 12:
        areas.insert(1, ags_of(place))
    return [place, *areas] if len(place) == 8 else areas


def _passed_over(name: str, area: str, routes: list[Route]) -> Considered:
    if routes:
        return Considered(name, area, routes[0], False, "gilt an diesem Tag nicht", "is not in force that day")
    return Considered(name, area, None, False, "kein Eintrag", "no entry")


def _shared(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _shown(leistung: str) -> str:
    """What a sender wrote is repeated only where it looks like a name."""
    return leistung if re.fullmatch(r"[\w.:-]{1,80}", leistung) else "?"


def _malformed() -> NoRoute:
    return NoRoute(
        "ars-malformed",
        "Der Regionalschlüssel (ARS) hat nicht 2, 3, 5, 9 oder 12 Ziffern (AGS: 8) oder beginnt mit keinem Land (01 bis 16).",
        "The regional key (ARS) does not have 2, 3, 5, 9 or 12 digits (AGS: 8), or does not begin with a Land (01 to 16).",
        "ars",
    )


def _ambiguous(place: str) -> NoRoute:
    return NoRoute(
        "ars-ambiguous",
        f"Der Gemeindeschlüssel {place} allein genügt hier nicht: In diesem Kreis sind Leitwege je Gemeindeverband eingetragen. "
        "Bitte den ARS mit 12 Ziffern angeben.",
        f"The key {place} alone does not do here: this district has routes per association of municipalities. "
        "Please give the ARS with 12 digits.",
        "ars (12)",
    )
