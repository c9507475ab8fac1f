"""Maintenance windows: when a target wants to be left alone. Pure; every answer depends on the arguments alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from gateway.clocks import BERLIN

HORIZON = timedelta(days=400)

_GERMAN, _ENGLISH = ("mo", "di", "mi", "do", "fr", "sa", "so"), ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAYS = {name: n for names in (_GERMAN, _ENGLISH) for n, name in enumerate(names)}
_SHAPE = re.compile(
    r"""(?:(?P<first>\d{4}-\d\d-\d\d)(?:\.\.(?P<last>\d{4}-\d\d-\d\d))?|(?P<days>[A-Za-z]+(?:\s*[-,]\s*[A-Za-z]+)*))?
        (?:(?:^|\s+)(?P<start>\d\d:\d\d)\s*-\s*(?P<end>\d\d:\d\d))?""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Window:
    """A span that comes again on weekdays, or on given dates. Local time of Europe/Berlin.

    Starts on a day in ``weekdays`` or ``dates`` at ``start`` (minutes since midnight) and ends at ``end``, on the next
    day when ``end`` is not after ``start``. On the two nights when the clock changes, a window is rather longer than
    shorter: a start that happens twice counts from the first, an end that happens twice until the second.
    """

    text: str
    weekdays: frozenset[int]
    first: date | None
    last: date | None
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Window:
        """``"Mo-Fr 22:00-05:00"``, ``"So"``, ``"Sa,So 08:00-12:00"``, ``"22:00-24:00"`` (daily), ``"2026-12-24"``,
        ``"2026-12-24..2027-01-01"``, ``"2026-12-24 12:00-24:00"``. Raises ``ValueError`` with German and English text."""
        written = text.strip()
        found = _SHAPE.fullmatch(written)
        if not written or found is None:
            raise ValueError(_expected(text))
        try:
            first = date.fromisoformat(found["first"]) if found["first"] else None
            last = date.fromisoformat(found["last"]) if found["last"] else first
            weekdays = frozenset() if first else _weekdays(found["days"])
            start, end = (_minutes(found["start"]), _minutes(found["end"])) if found["start"] else (0, 24 * 60)
        except (ValueError, KeyError):
            raise ValueError(_expected(text)) from None
        if start == end or start == 24 * 60 or (first and last and last < first):
            raise ValueError(_expected(text))
        return cls(text=written, weekdays=weekdays, first=first, last=last, start=start, end=end)

    def end_if_closed(self, at: datetime) -> datetime | None:
        """When the span that covers ``at`` ends (UTC), or ``None`` if none covers it."""
        ends = [end for start, end in self._spans_near(at) if start <= at < end]
        return max(ends, default=None)

    def _spans_near(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        today = at.astimezone(BERLIN).date()
        for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
            if span := self.on(day):
                yield span

    def on(self, day: date) -> tuple[datetime, datetime] | None:
        """Start and end (UTC) of the span that starts on this day in Berlin, if one does."""
        if not self._starts_on(day):
            return None
        end_day = day if self.end > self.start else day + timedelta(days=1)
        return min(_instants(day, self.start)), max(_instants(end_day, self.end))

    def _starts_on(self, day: date) -> bool:
        if self.first is not None and self.last is not None:
            return self.first <= day <= self.last
        return day.weekday() in self.weekdays


def is_closed(windows: Iterable[Window], at: datetime) -> bool:
    return any(window.end_if_closed(at) for window in windows)


def opens_at(windows: Iterable[Window], at: datetime) -> datetime | None:
    """The first moment not before ``at`` that no window covers: ``at`` itself when open now, ``None`` when the windows
    leave no gap within ``HORIZON``."""
    all_windows = tuple(windows)
    moment = at
    while moment - at < HORIZON:
        ends = [end for window in all_windows if (end := window.end_if_closed(moment))]
        if not ends:
            return moment
        moment = max(ends)
    return None


def after_open_time(windows: Iterable[Window], at: datetime, span: timedelta) -> datetime:
    """When ``span`` of time that no window covers has passed since ``at``; where windows leave too little of it, four spans and a
    month later all the same."""
    all_windows, moment, left, limit = tuple(windows), at, span, at + 4 * span + timedelta(days=30)
    day = at.astimezone(BERLIN).date() - timedelta(days=1)  # its windows may reach until now
    while moment < limit:
        spans = [window.on(day) for window in all_windows]
        day += timedelta(days=1)
        midnight = min(_instants(day, 0))
        for start, end in (*sorted(each for each in spans if each), (midnight, midnight)):
            if start - moment >= left:
                return moment + left
            left -= max(start - moment, timedelta())
            moment = max(moment, end)
    return moment


def _weekdays(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for span in text.lower().split(","):
        ends = [_DAYS[name.strip()] for name in span.split("-")]
        if len(ends) > 2:
            raise ValueError(text)
        days.update((ends[0] + n) % 7 for n in range((ends[-1] - ends[0]) % 7 + 1))
    return frozenset(days)


def _minutes(text: str) -> int:
    if text == "24:00":
        return 24 * 60
    clock = time.fromisoformat(text)
    return clock.hour * 60 + clock.minute


def _instants(day: date, minutes: int) -> tuple[datetime, datetime]:
    """The one or two moments at which a clock in Berlin shows this (UTC), earlier reading and later reading."""
    shown = datetime.combine(day, time()) + timedelta(minutes=minutes)
    return (shown.replace(tzinfo=BERLIN, fold=0).astimezone(UTC), shown.replace(tzinfo=BERLIN, fold=1).astimezone(UTC))


def _expected(text: str) -> str:
    examples = '"Mo-Fr 22:00-05:00", "So", "22:00-24:00", "2026-12-24", "2026-12-24..2027-01-01 00:00-12:00"'
    return (
        f"„{text}“ ist kein Wartungsfenster; erwartet wird zum Beispiel {examples} "
        f'/ "{text}" is not a maintenance window; expected for example {examples}'
    )
