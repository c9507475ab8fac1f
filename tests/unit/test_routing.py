"""Which route a place gets, and why."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.routing import NoRoute, Route, RouteStep, RoutingTable, Successor, ags_of, is_ars

DAY = date(2026, 3, 1)


def route(ars: str, target: str, leistung: str = "wohngeld", since: date | None = None, until: date | None = None) -> Route:
    return Route(leistung, ars, since, until, (RouteStep(target),))


def target(table: RoutingTable, ars: str, leistung: str = "wohngeld", on: date = DAY) -> str:
    decision, _ = table.decide(leistung, ars, on)
    return decision.code if isinstance(decision, NoRoute) else decision.to[0].target


def test_the_longest_prefix_wins() -> None:
    areas = {"08": "land", "08125": "kreis", "081250046": "verband", "081250046046": "ort"}
    table = RoutingTable(route(ars, name) for ars, name in areas.items())
    assert target(table, "081250046046") == "ort"
    assert target(table, "081250046047") == "verband"
    assert target(table, "081250047001") == "kreis"
    assert target(table, "081150047001") == "land"
    assert target(table, "091150047001") == "area-unknown"


def test_prefixes_count_only_where_the_key_has_a_boundary() -> None:
    assert target(RoutingTable([route("081", "bezirk")]), "081250046046") == "bezirk"
    assert not is_ars("0812")
    assert not is_ars("0812504")


def test_a_route_for_the_leistung_goes_before_one_for_all() -> None:
    table = RoutingTable([route("081250046046", "alles", "*"), route("08", "wohngeld-land")])
    assert target(table, "081250046046") == "wohngeld-land"
    assert target(table, "081250046046", "hundesteuer") == "alles"


def test_an_ags_finds_the_gemeinde_whose_ars_the_site_knows() -> None:
    table = RoutingTable([route("08125", "kreis"), route("081250046046", "ort")])
    assert target(table, "08125046") == "ort"
    assert target(table, "08125047") == "kreis"


def test_an_ags_of_an_authority_is_completed_with_its_gemeindeverband() -> None:
    table = RoutingTable([route("08125", "kreis"), route("081250046", "verband")], known=["081250046046"])
    assert target(table, "08125046") == "verband"


def test_an_ags_that_may_belong_to_a_gemeindeverband_is_asked_back_instead_of_guessed() -> None:
    table = RoutingTable([route("08125", "kreis"), route("081250046", "verband")])
    assert target(table, "08125047") == "ars-ambiguous"
    assert target(table, "081250047047") == "kreis"


def test_an_ags_with_a_route_for_its_leistung_is_not_asked_back_because_of_one_for_all() -> None:
    for own in ("08125047", "08125"):
        table = RoutingTable([route(own, "eigen"), route("081250046", "verband", "*")])
        assert target(table, "08125047") == "eigen"
    assert target(table, "081250046047") == "eigen"


def test_a_route_by_ags_that_is_not_in_force_any_more_hides_no_gemeindeverband() -> None:
    over = route("08125047", "ort", until=date(2025, 1, 1))
    table = RoutingTable([over, route("08125", "kreis"), route("081250046", "verband")])
    assert target(table, "08125047") == "ars-ambiguous"


def test_a_kreisfreie_stadt_is_completed_with_zeros() -> None:
    assert target(RoutingTable([route("081210000", "stadt")]), "08121000") == "stadt"


def test_a_route_may_name_the_ags() -> None:
    table = RoutingTable([route("08125046", "ort"), route("08125", "kreis")])
    assert target(table, "081250046046") == "ort"
    assert target(table, "08125046") == "ort"


def test_a_whole_kreis_may_be_asked_for() -> None:
    table = RoutingTable([route("08125", "kreis"), route("081250046046", "ort")])
    assert target(table, "08125") == "kreis"


@pytest.mark.parametrize("ars", ["", "0812", "99125", "0812x", "1234567890123", "0٨125", "<script>"])
def test_a_malformed_key_is_named_and_not_repeated(ars: str) -> None:
    decision, _ = RoutingTable([route("08125", "kreis")]).decide("wohngeld", ars, DAY)
    assert isinstance(decision, NoRoute)
    assert decision.code == "ars-malformed"
    assert not ars or ars not in decision.de + decision.en


def test_blanks_within_a_key_do_not_count() -> None:
    assert target(RoutingTable([route("08125", "kreis")]), "08 1 25 0046 046 ") == "kreis"


def test_dates_decide_which_of_two_routes_is_in_force() -> None:
    table = RoutingTable([route("08125", "alt", until=date(2026, 5, 31)), route("08125", "neu", since=date(2026, 6, 1))])
    assert target(table, "08125", on=date(2026, 5, 31)) == "alt"
    assert target(table, "08125", on=date(2026, 6, 1)) == "neu"


def test_a_route_that_is_not_in_force_says_so() -> None:
    table = RoutingTable([route("08125", "neu", since=date(2026, 6, 1))])
    decision, considered = table.decide("wohngeld", "081250046046", DAY)
    assert isinstance(decision, NoRoute)
    assert decision.code == "not-in-force"
    assert "01.03.2026" in decision.de
    assert [step.en for step in considered if step.ars == "08125" and step.leistung == "wohngeld"] == ["is not in force that day"]


def test_an_unknown_leistung_is_told_from_an_unknown_area() -> None:
    table = RoutingTable([route("08125", "kreis")])
    assert target(table, "08125", "hundesteuer") == "leistung-unknown"
    assert target(table, "09162") == "area-unknown"


def test_what_a_sender_wrote_is_repeated_only_where_it_looks_like_a_name() -> None:
    decision, _ = RoutingTable([]).decide("Max Mustermann <b>", "08125", DAY)
    assert isinstance(decision, NoRoute)
    assert "Mustermann" not in decision.de + decision.en + decision.missing


def test_after_a_reform_the_old_key_leads_to_the_new_area() -> None:
    table = RoutingTable(
        [route("03159", "goettingen"), route("03156", "osterode", until=date(2016, 10, 31))],
        [Successor("03156", "03159", date(2016, 11, 1))],
    )
    assert target(table, "031560011011", on=date(2016, 10, 31)) == "osterode"
    assert target(table, "031560011011", on=date(2016, 11, 1)) == "goettingen"


def test_reforms_follow_each_other() -> None:
    table = RoutingTable(
        [route("081250099099", "neu")],
        [
            Successor("081250002002", "081250099099", date(2024, 1, 1)),
            Successor("081250001001", "081250002002", date(2020, 1, 1)),
        ],
    )
    assert target(table, "081250001001") == "neu"
    assert target(table, "08125001") == "neu"  # the AGS of the first


digits = st.sampled_from(["08", "081", "08125", "081250046", "081250046046", "081250046047", "091250046046", "08126", "08125046"])


@given(st.lists(digits, unique=True, max_size=6), digits.filter(lambda ars: len(ars) != 8))
def test_no_longer_matching_route_is_ever_passed_over(areas: list[str], asked: str) -> None:
    decision, _ = RoutingTable([route(area, area) for area in areas]).decide("wohngeld", asked, DAY)
    fits = [a for a in areas if asked.startswith(a) or (len(a) == 8 and len(asked) == 12 and a == ags_of(asked))]
    if not fits:
        assert isinstance(decision, NoRoute)
    else:
        assert isinstance(decision, Route)
        assert decision.ars == max(fits, key=lambda area: (12 if len(area) == 12 else 11) if len(area) in (8, 12) else len(area))
