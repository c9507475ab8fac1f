"""What a command says: tables for people, one JSON value for machines (``--json``), faults on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextvars import ContextVar
from datetime import datetime
from enum import IntEnum
from typing import Any, NoReturn

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from gateway.clocks import BERLIN

out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
as_json: ContextVar[bool] = ContextVar("as_json", default=False)

_NOTHING = "–"
_GAP = 2
_NARROW = 14  # columns of a terminal below which running text is no longer read with pleasure
_CONTROL = {code: "\N{REPLACEMENT CHARACTER}" for code in [*range(32), 127, *range(0x80, 0xA0)] if code != 10}


class Exit(IntEnum):
    OK = 0
    FOUND_FAULTS = 1
    USAGE = 2
    UNREACHABLE = 3


def _json_on(value: bool) -> bool:
    as_json.set(value)
    return value


Json = typer.Option(False, "--json", help="Ausgabe als JSON für Maschinen.", callback=_json_on)


def show(value: Any, human: Callable[[], None]) -> None:
    """``value`` as JSON if asked for, else what ``human`` prints."""
    if as_json.get():
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    else:
        human()


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, whole: Collection[str] = (), below: Collection[str] = (),
    empty: str = "Nichts da.",
) -> None:
    """Cells are plain text: nothing in them is markup or an escape sequence for the terminal, and nothing of them is left out.

    whole: columns that are copied and therefore never broken. below: columns that stand under their row. Where a terminal
    is too narrow even so, each row becomes a block of lines. Into a pipe or a file goes one line for each row.
    """
    cells = [[_text(cell) or _NOTHING for cell in row] for row in rows]
    if not cells:
        out.print(empty, style="dim")
        return
    if not out.is_terminal:
        _lines(columns, [[" ".join(cell.split()) for cell in row] for row in cells])
        return
    above = [n for n, name in enumerate(columns) if name not in below]
    widths = [max(cell_len(columns[n]), *(cell_len(row[n]) for row in cells)) for n in above]
    least = [
        width if below or columns[n] in whole else min(width, _NARROW) for n, width in zip(above, widths, strict=True)
    ]
    if sum(least) + _GAP * (len(least) - 1) > out.width:
        _blocks(columns, cells)
    elif below:
        under = [n for n in range(len(columns)) if n not in above]
        _lines([columns[n] for n in above], [[row[n] for n in above] for row in cells],
               under=[" · ".join(row[n] for n in under if row[n] != _NOTHING) for row in cells])
    else:
        made = Table(header_style="bold", box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
        for name in columns:
            made.add_column(name, no_wrap=name in whole, overflow="fold")
        for row in cells:
            made.add_row(*map(escape, row))
        out.print(made, soft_wrap=False)


def _lines(columns: Sequence[str], cells: Sequence[Sequence[str]], *, under: Sequence[str] = ()) -> None:
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        return (" " * _GAP).join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()

    out.print(line(columns), style="bold", markup=False)
    for n, row in enumerate(cells):
        out.print(line(row), markup=False)
        if under and under[n]:
            out.print(Padding(escape(under[n]), (0, 0, 0, _GAP)), style="dim", soft_wrap=False)


def _blocks(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    for n, row in enumerate(cells):
        made = Table.grid(padding=(0, _GAP, 0, 0))
        made.add_column(style="bold", no_wrap=True)
        made.add_column(overflow="fold")
        for name, cell in zip(columns, row, strict=True):
            made.add_row(name, escape(cell))
        out.print(*([""] if n else []), made, sep="\n", soft_wrap=False)


def short(name: str) -> str:
    """The end of a long id, enough to name it to any command: a terminal is narrow. In full for programs."""
    return name[-12:] if out.is_terminal else name


def plain(cell: Any) -> str:
    """Safe to print: texts from targets and portals may hold anything."""
    return escape(_text(cell))


def counted(number: int, one: str, many: str) -> str:
    """"1 Zielsystem", "2 Zielsysteme"."""
    return f"{number} {one if number == 1 else many}"


def _text(cell: Any) -> str:
    if cell is None:
        return _NOTHING
    if isinstance(cell, bool):
        return "ja" if cell else "nein"
    return str(cell).translate(_CONTROL)


def local(instant: str | None) -> str:
    """A stored instant (UTC) as an office reads it: Europe/Berlin, to the second."""
    return datetime.fromisoformat(instant).astimezone(BERLIN).strftime("%d.%m.%Y %H:%M:%S") if instant else "–"


def fail(de: str, en: str = "", *, code: Exit = Exit.FOUND_FAULTS) -> NoReturn:
    """Say it on standard error, German first, and end with ``code``."""
    err.print(f"[bold red]✗[/] {plain(de)}".replace("\n", "\n  "))
    if en and en != de:
        err.print(f"  {plain(en)}".replace("\n", "\n  "), style="dim")
    raise typer.Exit(code)
