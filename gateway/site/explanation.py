"""Why a submission goes where it goes, or why it goes nowhere, in sentences for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from gateway.config.faults import nearest as nearest_name
from gateway.config.routing import EVERY, Considered, NoRoute, Route, RoutingTable
from gateway.submission import Purpose

_PURPOSES = {Purpose.CASE: ("Fall", "case"), Purpose.COPY: ("Kopie", "copy"), Purpose.NOTICE: ("Nachricht", "notice")}


@dataclass(frozen=True, slots=True)
class RouteExplanation:
    """Why here, or why not. ars: as asked; place: as it was looked up (successors applied). considered: the areas that
    were tried, in that order. nearest: routes of the same Leistung closest to this place, where there is no route."""

    leistung: str
    ars: str
    place: str
    on: date
    decision: Route | NoRoute
    considered: tuple[Considered, ...]
    nearest: tuple[Route, ...]
    de: str
    en: str


def explain(table: RoutingTable, leistung: str, ars: str, on: date, *, owners: Mapping[str, str]) -> RouteExplanation:
    """owners: name of the authority behind each target."""
    decision, considered = table.decide(leistung, ars, on)
    place = table.place("".join(ars.split()), on)
    if isinstance(decision, Route):
        de, en = _why_here(decision, place, owners)
        nearest: tuple[Route, ...] = ()
    else:
        nearest = table.nearest(leistung, place) if decision.code != "ars-malformed" else ()
        de, en = _why_not(decision, nearest, nearest_name(leistung, table.leistungen()))
    if place != "".join(ars.split()):
        de += f" Der Regionalschlüssel {ars} ist seit einer Gebietsreform {place}."
        en += f" Since a reform of areas the regional key {ars} is {place}."
    return RouteExplanation(leistung, ars, place, on, decision, considered, nearest, de, en)


def _why_here(route: Route, place: str, owners: Mapping[str, str]) -> tuple[str, str]:
    german, english = [], []
    for step in route.to:
        de, en = _PURPOSES[step.purpose]
        owner = f", {owners[step.target]}" if step.target in owners else ""
        german.append(f"{step.target} ({de}{owner}{f', nach {step.after}' if step.after else ''})")
        english.append(f"{step.target} ({en}{owner}{f', after {step.after}' if step.after else ''})")
    what = ("jede Leistung ohne eigenen Leitweg", "every service without a route of its own")
    what_de, what_en = what if route.leistung == EVERY else (f"„{route.leistung}“", f'"{route.leistung}"')
    return (
        f"{place} geht an {' und '.join(german)}: Leitweg für {what_de} im Gebiet {route.ars}, Zeile {route.line}.",
        f"{place} goes to {' and '.join(english)}: route for {what_en} in the area {route.ars}, line {route.line}.",
    )


def _why_not(decision: NoRoute, nearest: tuple[Route, ...], similar: str | None) -> tuple[str, str]:
    de, en = decision.de, decision.en
    if nearest:
        places = ", ".join(f"{route.ars} → {route.to[0].target} (Zeile {route.line})" for route in nearest)
        de += f" Am nächsten: {places}."
        en += f" Nearest: {places.replace('Zeile', 'line')}."
    elif decision.code == "leistung-unknown" and similar:
        de += f" Gemeint ist vielleicht „{similar}“."
        en += f' Perhaps you mean "{similar}".'
    return de, en
