"""``journal move``: from a file into PostgreSQL, when one process is no longer enough."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from gateway.adapters.sql import JournalUnusable
from gateway.adapters.sqlite_file import JournalInUse
from gateway.cli.commands import Commands
from gateway.cli.output import Exit, Json, err, fail, out, plain, show

journal = typer.Typer(cls=Commands, no_args_is_help=True, help="Das Journal umziehen. / Move the journal.")


@journal.callback()
def _group() -> None:
    pass


@journal.command()
def move(
    source: Annotated[str, typer.Argument(metavar="FROM", help="sqlite:///…/journal.db")],
    target: Annotated[str, typer.Argument(metavar="TO", help="postgresql://…, eine leere Datenbank")],
    json: bool = Json,
) -> None:
    """Ein Journal von SQLite nach PostgreSQL; unterbrechbar, am Ende Zeile für Zeile verglichen. / SQLite to PostgreSQL.

    Vorher das Gateway beenden. Die Datei bleibt als „….moved“ liegen; das Schlüsselverzeichnis gilt weiter. / Stop the
    gateway first. The file stays as "….moved"; the key directory stays in use.
    """
    if not (source.startswith("sqlite:///") and target.startswith("postgresql://")):
        fail(
            "Erwartet: nahtlos journal move sqlite:///PFAD postgresql://…",
            "Expected: nahtlos journal move sqlite:///PATH postgresql://…", code=Exit.USAGE,
        )
    try:
        from gateway.adapters import moving
    except ImportError:
        fail("Es fehlt: pip install 'nahtlos[postgres]'", "Missing: pip install 'nahtlos[postgres]'", code=Exit.USAGE)
    tasks: dict[str, TaskID] = {}
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=err, transient=True,
        disable=not err.is_terminal,
    ) as progress:

        def report(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = progress.add_task(_NAMES.get(table, table), total=total)
            progress.update(tasks[table], completed=done, total=total)

        try:
            moved = asyncio.run(moving.move(Path(source.removeprefix("sqlite:///")), target, progress=report))
        except JournalUnusable as unusable:
            fail(unusable.de, unusable.en)
        except JournalInUse as in_use:
            fail(in_use.de, in_use.en)
        except moving.NotTheSame as different:
            fail(
                f"Die Kopie weicht ab: {different}. Die Datei gilt weiter.",
                f"The copy differs: {different}. The file stays valid.",
            )
        except KeyboardInterrupt:
            fail("Unterbrochen; derselbe Befehl macht weiter.", "Broken off; the same command goes on.", code=Exit.FOUND_FAULTS)
    found = {"rows": moved.rows, "set_aside": str(moved.set_aside)}
    show(found, lambda: out.print(
        f"[green]✓[/] {moved.rows['submission']} Einreichungen, {moved.rows['history']} Zeilen Protokoll, alles verglichen. "
        f"Die Datei liegt jetzt unter {plain(moved.set_aside)}.\n"
        "  Weiter mit NAHTLOS_JOURNAL=postgresql://… und demselben Schlüsselverzeichnis."
    ))


_NAMES = {"submission": "Einreichungen", "history": "Protokoll", "compare": "Vergleich"}
