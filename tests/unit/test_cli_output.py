"""What commands print: nothing of a cell is ever left out, on no terminal and in no pipe."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from enum import StrEnum

import pytest
from rich.console import Console

from gateway.attempts.outcomes import Said
from gateway.cli import output, words
from gateway.ports import Role
from gateway.submission import DeadClass, Event, Purpose, State, WaitingFor

IDS = ("0195a4c2-7b1e-7c3d-9a40-00000000f001", "0195a4c2-7b1e-7c3d-9a40-00000000f002")
CAUSE = "Das Zielsystem hat die Nachricht nicht angenommen: " + "Aktenplan " * 30 + "Ende"
COLUMNS = ("Kennung", "Eingangsnummer", "Zeit", "Zielsystem", "Ursache")
ROWS = tuple((each, "7K3M9QX2ABC", "22.11.2026 02:50:00", "stadt-fachverfahren", CAUSE) for each in IDS)
WHOLE = ("Kennung", "Eingangsnummer", "Zeit")

Printed = Callable[[int | None], str]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Printed:
    """What ``table`` prints on a terminal of so many columns; ``None``: into a pipe."""
    def on(width: int | None) -> str:
        stream = io.StringIO()
        made = Console(file=stream, force_terminal=width is not None, width=width or 80, highlight=False, soft_wrap=True,
                       color_system=None)
        monkeypatch.setattr(output, "out", made)
        output.table(COLUMNS, ROWS, **request.param)
        return stream.getvalue()
    return on


HOW = [{"whole": WHOLE}, {"below": ("Zielsystem", "Ursache")}]


@pytest.mark.parametrize("printed", HOW, indirect=True)
@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_ids_numbers_and_times_stay_in_one_piece_on_every_terminal(printed: Printed, width: int) -> None:
    text = printed(width)

    if width >= 60:
        for each in (*IDS, "7K3M9QX2ABC", "22.11.2026 02:50:00"):
            assert each in text
    assert max(map(len, text.splitlines())) <= width
    assert re.sub(r"\s", "", text).count("Ende") == 2
    assert "…" not in text


@pytest.mark.parametrize("printed", HOW, indirect=True)
def test_into_a_pipe_goes_one_line_for_each_row_with_everything(printed: Printed) -> None:
    head, *lines = printed(None).splitlines()

    assert head.split() == list(COLUMNS)
    assert len(lines) == 2
    for line, each in zip(lines, IDS, strict=True):
        assert line.startswith(each)
        assert line.endswith(CAUSE)


def test_an_id_is_shortened_to_its_end_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "out", Console(force_terminal=True))
    assert output.short(IDS[0]) == "00000000f001"
    monkeypatch.setattr(output, "out", Console(force_terminal=False))
    assert output.short(IDS[0]) == IDS[0]


@pytest.mark.parametrize(("known", "said"), [
    (State, words.STATES), (Event, words.EVENTS), (DeadClass, words.CLASSES), (Purpose, words.PURPOSES), (Role, words.ROLES),
    (Said, words.OUTCOMES), (WaitingFor, words.WAITS),
])
def test_everything_the_journal_can_say_has_a_german_word(known: type[StrEnum], said: dict[str, str]) -> None:
    assert set(known) <= set(said)


def test_what_was_redirected_is_not_called_taken_over_by_hand() -> None:
    assert words.state_of({"state": "closed", "closed_as": "redirected"}) == "umgeleitet"
    assert words.state_of({"state": "closed", "closed_as": "by_hand"}) == "von Hand übernommen"
    assert words.state_of({"state": "pending", "waiting_for": "paused"}) == "wartet: angehalten"
    assert words.state_of({"state": "dead"}) == "Klärfall"


def test_brackets_and_colons_of_others_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(output, "out", Console(file=stream, force_terminal=True, width=80, color_system=None, emoji=False))
    output.table(("A", "B"), [("[red]x[/]", "a:smile:b\x1b[2J")], whole=("A",))
    assert "[red]x[/]" in stream.getvalue()
    assert "a:smile:b�[2J" in stream.getvalue()
