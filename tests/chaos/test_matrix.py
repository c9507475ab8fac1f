"""The kill matrix: what runs wrote down becomes one German table between its markers in the handbook."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.chaos.matrix import BEGIN, END, Row, inserted, rendered

AT = datetime(2026, 11, 22, tzinfo=UTC)


def test_lines_of_one_fault_are_added_up_and_all_of_them_too() -> None:
    table = rendered(
        [
            Row("PostgreSQL", "Annahme", "SIGKILL", 20, 1000, 990, 0, 0, 1),
            Row("PostgreSQL", "Annahme", "SIGKILL", 20, 500, 500, 0, 1, 0),
            Row("PostgreSQL", "Übermittlung", "SIGKILL", 5, 100, 100, 2, 0, 0),
        ],
        at=AT, machine="2 Kerne, 24 GiB",
    )  # fmt: skip

    assert "Gemessen am 22.11.2026 mit `make chaos` (2 Kerne, 24 GiB)." in table
    assert "| PostgreSQL | Annahme | SIGKILL | 40 | 1.500 | 1.490 | 0 | 1 | 1 |" in table
    assert "| **Summe** | | | **45** | **1.600** | **1.590** | **2** | **1** | **1** |" in table


def test_it_stands_between_its_markers_and_touches_nothing_else() -> None:
    handbook = f"# Vorher\n{BEGIN}\nalt\n{END}\nnachher\n"

    assert inserted(handbook, "neu") == f"# Vorher\n{BEGIN}\nneu\n{END}\nnachher\n"


def test_a_handbook_without_a_place_for_it_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no place"):
        inserted("# Handbuch\n", "neu")
