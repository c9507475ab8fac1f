"""Maintenance windows, above all on the two nights on which the clock in Berlin changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.site.windows import BERLIN, Window, after_open_time, is_closed, opens_at


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


def closed(text: str, at: datetime) -> bool:
    return is_closed([Window.parse(text)], at)


@pytest.mark.parametrize(("window", "at", "expected"), [
    ("Mo-Fr 22:00-05:00", "2026-03-06T22:00", True),  # Friday evening
    ("Mo-Fr 22:00-05:00", "2026-03-07T04:59", True),  # belongs to Friday
    ("Mo-Fr 22:00-05:00", "2026-03-07T05:00", False),
    ("Mo-Fr 22:00-05:00", "2026-03-07T23:00", False),  # Saturday
    ("Mo-Fr 22:00-05:00", "2026-03-09T04:00", False),  # Sunday has no window that Monday could inherit
    ("Mon-Fri 22:00-05:00", "2026-03-06T22:00", True),
    ("Fr-Mo 08:00-09:00", "2026-03-08T08:30", True),  # over the weekend
    ("Fr-Mo 08:00-09:00", "2026-03-10T08:30", False),
    ("Mo,Mi 12:00-13:00", "2026-03-04T12:30", True),
    ("Mo, Mi 12:00-13:00", "2026-03-03T12:30", False),
    ("So", "2026-03-08T00:00", True),
    ("So", "2026-03-08T23:59", True),
    ("So", "2026-03-09T00:00", False),
    ("22:00-24:00", "2026-03-03T23:59", True),
    ("22:00-24:00", "2026-03-04T00:00", False),
    ("2026-12-24", "2026-12-24T12:00", True),
    ("2026-12-24", "2026-12-25T00:00", False),
    ("2026-12-24..2027-01-01", "2027-01-01T23:00", True),
    ("2026-12-24 12:00-24:00", "2026-12-24T11:59", False),
    ("2026-12-24 12:00-24:00", "2026-12-24T12:00", True),
])
def test_a_window_is_closed_by_the_clock_in_berlin(window: str, at: str, expected: bool) -> None:
    assert closed(window, berlin(at)) is expected


def test_summer_time_moves_the_window_with_the_clock_of_the_office() -> None:
    assert closed("22:00-23:00", datetime(2026, 7, 1, 20, 30, tzinfo=UTC))
    assert closed("22:00-23:00", datetime(2026, 1, 1, 21, 30, tzinfo=UTC))
    assert not closed("22:00-23:00", datetime(2026, 7, 1, 21, 30, tzinfo=UTC))


def test_an_end_that_happens_twice_counts_the_second_time() -> None:
    night = Window.parse("So 01:00-02:30")  # on 25 October 2026 the clock goes from 03:00 back to 02:00
    assert is_closed([night], berlin("2026-10-25T02:45", fold=0))
    assert is_closed([night], berlin("2026-10-25T02:15", fold=1))
    assert opens_at([night], berlin("2026-10-25T01:00")) == berlin("2026-10-25T02:30", fold=1)


def test_a_time_that_the_clock_skips_makes_a_window_longer_and_never_shorter() -> None:
    night = Window.parse("So 02:15-02:45")  # on 29 March 2026 the clock goes from 02:00 to 03:00
    assert is_closed([night], berlin("2026-03-29T03:00"))
    assert not is_closed([night], berlin("2026-03-29T04:00"))


def test_a_night_that_is_an_hour_longer_stays_closed_for_all_of_it() -> None:
    night = Window.parse("Sa 22:00-05:00")
    assert opens_at([night], berlin("2026-10-24T22:00")) - berlin("2026-10-24T22:00") == timedelta(hours=8)
    assert opens_at([night], berlin("2026-03-28T22:00")) - berlin("2026-03-28T22:00") == timedelta(hours=6)


def test_windows_that_touch_open_only_after_the_last() -> None:
    both = [Window.parse("Fr 20:00-24:00"), Window.parse("Sa"), Window.parse("So 00:00-06:00")]
    assert opens_at(both, berlin("2026-03-06T21:00")) == berlin("2026-03-08T06:00")


def test_what_is_open_now_opens_now() -> None:
    at = berlin("2026-03-06T12:00")
    assert opens_at([Window.parse("So")], at) == at
    assert opens_at([], at) == at


def test_windows_without_a_gap_never_open() -> None:
    assert opens_at([Window.parse("Mo-So")], berlin("2026-03-06T12:00")) is None


@pytest.mark.parametrize("text", [
    "", " ", "Mo-Fr 22-05", "Mo-Fr 22:00", "Xx 10:00-11:00", "Mo-Di-Mi", "25:00-26:00", "10:00-10:00", "24:00-05:00",
    "2026-02-30", "2026-12-24..2026-12-01", "2026-12-24..", "24.12.2026",
])
def test_what_is_no_window_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="Mo-Fr 22:00-05:00"):
        Window.parse(text)


moments = st.integers(0, 2 * 365 * 86_400).map(lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
spans = st.sampled_from([
    "Mo-Fr 22:00-05:00", "So", "01:00-02:30", "02:30-03:30", "Sa,So 02:00-03:00", "23:00-01:00", "2026-10-25",
    "2026-03-29 02:00-24:00",
])


@given(moments, st.lists(spans, max_size=3))
def test_the_moment_of_opening_is_open_and_everything_before_it_is_closed(at: datetime, texts: list[str]) -> None:
    windows = [Window.parse(text) for text in texts]
    opening = opens_at(windows, at)
    assert opening is not None
    assert not is_closed(windows, opening)
    if opening > at:
        for share in (0.0, 0.3, 0.6, 0.999):
            assert is_closed(windows, at + (opening - at) * share)


@pytest.mark.parametrize(("texts", "at", "hours", "expected"), [
    ((), "2026-03-02T08:00", 72, "2026-03-05T08:00"),
    (("22:00-05:00",), "2026-03-02T08:00", 14, "2026-03-02T22:00"),
    (("22:00-05:00",), "2026-03-02T08:00", 15, "2026-03-03T06:00"),
    (("22:00-05:00",), "2026-03-02T23:30", 1, "2026-03-03T06:00"),  # it is closed now
    (("22:00-05:00", "23:00-06:00", "So"), "2026-03-07T20:00", 4, "2026-03-09T08:00"),  # they overlap, and Sunday is one of them
    (("02:00-04:00",), "2026-03-28T12:00", 24, "2026-03-29T15:00"),  # the night that lacks an hour, and is closed for two
    (("2026-12-24..2027-01-01",), "2026-12-23T12:00", 24, "2027-01-02T12:00"),
])
def test_time_in_which_no_window_holds_is_counted_to_the_minute(
    texts: tuple[str, ...], at: str, hours: int, expected: str
) -> None:
    assert after_open_time([Window.parse(text) for text in texts], berlin(at), timedelta(hours=hours)) == berlin(expected)


def test_where_windows_leave_no_time_it_ends_all_the_same() -> None:
    end = after_open_time([Window.parse("00:00-24:00")], berlin("2026-03-02T08:00"), timedelta(hours=72))
    assert berlin("2026-04-13T08:00") <= end < berlin("2026-04-16T00:00")


@given(hour=st.integers(0, 8760), hours=st.integers(1, 200))
def test_as_much_time_is_open_as_was_asked_for(hour: int, hours: int) -> None:
    windows, quarter = [Window.parse(text) for text in ("Mo-Fr 22:00-05:00", "So 02:00-12:00")], timedelta(minutes=15)
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    end = after_open_time(windows, at, timedelta(hours=hours))
    assert sum(not is_closed(windows, at + n * quarter) for n in range((end - at) // quarter)) == 4 * hours
