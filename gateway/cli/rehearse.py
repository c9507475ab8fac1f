"""``nahtlos schemas rehearse``: what would break on a key date, before it does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import Annotated, Any, Protocol

import typer
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from gateway.cli.connection import connected, is_running, state_settings
from gateway.cli.output import Exit, Json, err, fail, out, plain, show, table
from gateway.cli.service import _planned, run
from gateway.clocks import BERLIN, SystemClock
from gateway.opening import open_journal
from gateway.rehearsal import Rehearsal, Rehearsals
from gateway.validation import Inspector


def rehearse(
    on: Annotated[str, typer.Option("--on", metavar="TAG", help="Stichtag (JJJJ-MM-TT).")],
    since: Annotated[str, typer.Option("--since", metavar="TAG", help="Was seit diesem Tag einging (JJJJ-MM-TT).")],
    json: bool = Json,
) -> None:
    """Eingegangenes gegen das prüfen, was am Stichtag gilt: Was bräche, bei wem, nach welcher Regel? / Rehearse a key date."""
    day, first = _day(on), datetime.combine(_day(since), time.min, BERLIN)
    with _counter() as count:
        found = _over_the_gateway(day, first, count) if is_running() else run(_on_the_journal(day, first, count))
    show(found, lambda: _tell(found))
    if found["breaking"]:
        raise typer.Exit(Exit.FOUND_FAULTS)


class Count(Protocol):
    def __call__(self, seen: int) -> None: ...


def _over_the_gateway(day: date, since: datetime, count: Count) -> dict[str, Any]:
    found: dict[str, Any] | None = None
    with connected(timeout=3600) as gateway:
        for line in gateway.lines("/v1/maintenance/rehearsal", on=day.isoformat(), since=since.isoformat()):
            found = line.get("rehearsal")
            count(line.get("seen", 0))
    if found is None:
        fail("Die Probe brach ab; das Gateway hat aufgehört zu antworten.",
             "The rehearsal broke off; the gateway stopped answering.", code=Exit.UNREACHABLE)
    return found


async def _on_the_journal(day: date, since: datetime, count: Count) -> dict[str, Any]:
    settings = state_settings()
    plan = _planned(settings)
    journal = await open_journal(settings, SystemClock())
    inspector = Inspector(plan.registry, threads=settings.threads)
    last: Rehearsal | None = None
    try:
        async for last in Rehearsals(journal=journal, inspector=inspector, site=plan.site).run(on=day, since=since):
            count(last.seen)
            await asyncio.sleep(0)
    finally:
        await inspector.aclose()
        await journal.aclose()
    assert last is not None
    return last.as_json()


def _tell(found: dict[str, Any]) -> None:
    table(
        ("Portal", "Paket", "Code", "Regel", "Folge", "Einreichungen", "Beispiel", "Befund"),
        (
            (row["portal"], row["package"], row["code"], row["rule"], "bricht" if row["severity"] == "error" else "Hinweis",
             row["count"], row["example"], row["de"])
            for row in found["rows"]
        ),
        empty="Nichts bräche.",
    )
    mark = "[bold red]✗[/]" if found["breaking"] else "[green]✓[/]"
    left = ", ".join(
        f"{found[name]} {words}" for name, words in (
            ("broken", "schon damals ungültig"), ("erased", "gelöscht"), ("forms", "Formulare ohne Nachricht"),
        ) if found[name]
    )
    out.print(
        f"{mark} Am {date.fromisoformat(found['on']):%d.%m.%Y}: {found['checked']} geprüft, {found['breaking']} brächen, "
        f"{found['hinted']} mit Hinweis{plain(f' (nicht gezählt: {left})') if left else ''}"
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"„{text}“ ist kein Tag (JJJJ-MM-TT).", f"“{text}” is no date (YYYY-MM-DD).", code=Exit.USAGE)


@contextmanager
def _counter() -> Iterator[Count]:
    with Progress(
        TextColumn("Probe"), TextColumn("{task.completed} Einreichungen"), TimeElapsedColumn(), console=err, transient=True,
        disable=not err.is_terminal,
    ) as progress:
        task = progress.add_task("rehearsal", total=None)
        yield lambda seen: progress.update(task, completed=seen)
