"""What the tables of a site file say about each other: names that lead nowhere, areas, dates, orders that cannot be kept."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from gateway.config.faults import Fault, Where, did_you_mean
from gateway.config.routing import EVERY, Route, RouteStep, Successor, ags_of, is_ars, overlap
from gateway.site.model import FormBinding, Site
from gateway.submission import Purpose

Named = Mapping[str, frozenset[str]]

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_WORDS = {"authority": "die Verwaltung", "portal": "das Portal", "target": "das Zielsystem"}


def cross_faults(
    site: Site, root: Where, *, named: Named, forms: Sequence[tuple[Where, FormBinding]],
    routes: Sequence[tuple[Where, Route]], successors: Sequence[tuple[Where, Successor]],
) -> Iterator[Fault]:
    """named: the names of every kind that the file uses, broken tables included, so that one mistake is one fault."""
    for authority in site.authorities.values():
        yield from _area(authority.ars, root.at("authority", authority.key, "ars"))
    for portal in site.portals.values():
        for n, leistung in enumerate(portal.leistungen):
            yield from _slug(leistung, root.at("portal", portal.name, "leistungen", n))
    for target in site.targets.values():
        yield from _known("authority", target.authority, named, target.where.at("authority"))
    for where, form in forms:
        yield from _known("portal", form.portal, named, where.at("portal"))
        yield from _slug(form.leistung, where.at("leistung"))
        if form.ars:
            yield from _area(form.ars, where.at("ars"))
    yield from _twice(forms)
    for where, route in routes:
        yield from _route(where, route, named)
    yield from _overlapping(routes)
    for where, successor in successors:
        yield from _successor(where, successor, routes)


def _route(where: Where, route: Route, named: Named) -> Iterator[Fault]:
    yield from _slug(route.leistung, where.at("leistung"))
    yield from _area(route.ars, where.at("ars"))
    if route.valid_from and route.valid_until and route.valid_until < route.valid_from:
        yield where.at("until").fault("„until“ liegt vor „from“", '"until" is before "from"')
    targets = [step.target for step in route.to]
    for n, step in enumerate(route.to):
        place = where.at("to", n)
        yield from _known("target", step.target, named, place.at("target"))
        if step.target in targets[:n]:
            yield place.at("target").fault(f"„{step.target}“ steht zweimal in „to“", f'"{step.target}" is in "to" twice')
        if step.after is not None and step.after not in targets:
            de, en = did_you_mean(step.after, targets)
            yield place.at("after").fault(f"„after“ nennt kein Ziel dieses Leitwegs: „{step.after}“{de}",
                                          f'"after" names no target of this route: "{step.after}"{en}')
    if _waits_in_a_circle(route.to):
        yield where.at("to").fault("„after“ bildet einen Kreis: Keine Übermittlung könnte beginnen",
                                   '"after" forms a circle: no delivery could begin')
    if not any(step.purpose is Purpose.CASE for step in route.to):
        yield where.at("to").fault('kein Ziel mit purpose = "case": Niemand bekäme den Fall',
                                   'no target with purpose = "case": nobody would get the case')


def _waits_in_a_circle(steps: Sequence[RouteStep]) -> bool:
    waits = {step.target: step.after for step in steps}
    for target in waits:
        seen, following = {target}, waits[target]
        while following is not None and following in waits:
            if following in seen:
                return True
            seen.add(following)
            following = waits[following]
    return False


def _overlapping(routes: Sequence[tuple[Where, Route]]) -> Iterator[Fault]:
    same: dict[tuple[str, str], list[tuple[Where, Route]]] = defaultdict(list)
    for where, route in routes:
        same[route.leistung, route.ars].append((where, route))
    for group in same.values():
        for (_, first), (where, second) in combinations(group, 2):
            if overlap(first, second):
                yield where.fault(
                    f"gilt zur selben Zeit wie der Leitweg in Zeile {first.line} für „{second.leistung}“ in {second.ars}; "
                    "setzen Sie dort „until“ oder hier „from“",
                    f'is in force at the same time as the route in line {first.line} for "{second.leistung}" in {second.ars}; '
                    'set "until" there or "from" here',
                )


def _successor(where: Where, successor: Successor, routes: Sequence[tuple[Where, Route]]) -> Iterator[Fault]:
    yield from _area(successor.old, where.at("old"))
    yield from _area(successor.new, where.at("new"))
    if len(successor.old) != len(successor.new) or len(successor.old) == 8 or successor.old == successor.new:
        yield where.fault("„old“ und „new“ müssen zwei verschiedene ARS gleicher Länge sein",
                          '"old" and "new" must be two different ARS of the same length')
    for place, route in routes:
        if _is_replaced(route.ars, successor) and (route.valid_until is None or route.valid_until >= successor.since):
            yield place.at("ars").fault(
                f"{route.ars} gehört ab {successor.since:%d.%m.%Y} zu {successor.new} (Zeile {where.line}); dieser Leitweg würde "
                "nicht mehr gefunden: „until“ auf den Tag davor setzen und einen für das neue Gebiet eintragen",
                f"{route.ars} belongs to {successor.new} from {successor.since} on (line {where.line}); this route would no "
                'longer be found: set "until" to the day before and enter one for the new area',
            )


def _is_replaced(ars: str, successor: Successor) -> bool:
    """Is this area of a route, which may be written as AGS, known by another key from then on?"""
    if len(ars) == 8 and len(successor.old) == 12:
        return ars == ags_of(successor.old) != ags_of(successor.new)
    return ars.startswith(successor.old)


def _twice(forms: Sequence[tuple[Where, FormBinding]]) -> Iterator[Fault]:
    seen: dict[tuple[str, str, str], int] = {}
    for where, form in forms:
        key = (form.portal, form.form_id, form.versions)
        if key in seen:
            yield where.at("form_id").fault(f"dasselbe Formular steht schon in Zeile {seen[key]}; die erste Angabe gilt",
                                            f"the same form is already in line {seen[key]}; the first entry counts")
        seen.setdefault(key, where.line)


def _known(kind: str, name: str, named: Named, where: Where) -> Iterator[Fault]:
    if name not in named[kind]:
        de, en = did_you_mean(name, named[kind])
        yield where.fault(f"{_WORDS[kind]} „{name}“ ist nicht eingetragen{de}", f'{kind} "{name}" is not entered{en}')


def _slug(leistung: str, where: Where) -> Iterator[Fault]:
    if leistung != EVERY and not _SLUG.fullmatch(leistung):
        yield where.fault(f"„{leistung}“ ist kein Kurzname einer Leistung (wie „kleiner-waffenschein“)",
                          f'"{leistung}" is not the short name of a service (like "kleiner-waffenschein")')


def _area(ars: str, where: Where) -> Iterator[Fault]:
    if not is_ars(ars):
        yield where.fault(
            f"„{ars}“ ist kein Regionalschlüssel: 2, 3, 5, 9 oder 12 Ziffern (AGS: 8), am Anfang das Land",
            f'"{ars}" is not a regional key: 2, 3, 5, 9 or 12 digits (AGS: 8), beginning with the Land',
        )
