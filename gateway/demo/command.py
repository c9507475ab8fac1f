"""``nahtlos demo``: the command. Runs the story, says what to try next, keeps serving if wanted, and ends cleanly."""

from __future__ import annotations

import asyncio
import json as json_module
import signal
import sys
from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from gateway.cli.output import Exit, plain
from gateway.demo import story
from gateway.demo.board import Board
from gateway.demo.gate import Gate, Unanswered
from gateway.demo.hints import hints
from gateway.demo.stage import Stage, StageFault
from gateway.demo.story import Told
from gateway.demo.tables import reason_of

INTERRUPTED = 130


def demo(
    chaos: Annotated[bool, typer.Option("--chaos", help="Das Gateway dabei mehrmals mit SIGKILL beenden.")] = False,
    serve: Annotated[
        bool | None, typer.Option("--serve/--no-serve", help="Danach weiterlaufen, bis Strg-C. Ohne Angabe: auf einem Terminal.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Das Verzeichnis der Vorführung am Ende behalten.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Am Ende das Ergebnis als JSON; der Verlauf geht nach stderr.")] = False,
) -> None:
    """Alles einmal vorführen: Portal, Gateway, zwei Verwaltungen, Störungen, Klärfälle. / Watch the whole of it."""
    console = _console(json=json)
    lasts = serve if serve is not None else sys.stdout.isatty() and not json
    told: list[Told] = []
    stage = Stage(kept=keep, slow=chaos)
    code: int = Exit.OK
    try:
        with stage, asyncio.Runner() as runner:
            runner.run(_play(stage, console, told, chaos=chaos, lasts=lasts, json=json))
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = Exit.OK if told else INTERRUPTED
        console.print("\nAlles beendet." if told else "\nAbgebrochen; alles beendet.", style="dim")
    except (StageFault, Unanswered) as fault:
        code = Exit.FOUND_FAULTS
        console.print(f"[bold red]✗[/] {plain(fault)}")
    if keep:
        console.print(f"Behalten: {plain(stage.folder)}", style="dim")
    raise typer.Exit(code or (Exit.OK if told and told[0].kept else Exit.FOUND_FAULTS))


async def _play(stage: Stage, console: Console, told: list[Told], *, chaos: bool, lasts: bool, json: bool) -> None:
    """told: gets the story once it is over, so that an end while serving is an end of a finished demo."""
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    board = Board(console)
    async with await story.set_up(stage, board) as gate:
        told.append(await story.tell(stage, gate, board, chaos=chaos))
        if json:
            sys.stdout.write(json_module.dumps(_as_json(stage, gate, told[0]), ensure_ascii=False, indent=2) + "\n")
            sys.stdout.flush()
        if not lasts:
            console.print("\nAlles wird beendet. Mit „nahtlos demo --serve“ läuft es weiter, zum Ausprobieren.", style="dim")
            return
        _print_hints(stage, gate, console, told[0])
    while stage.gateway_runs():  # noqa: ASYNC110  a process that ends sets no event
        await asyncio.sleep(0.5)
    raise StageFault("Das Gateway hat sich beendet.")


def _print_hints(stage: Stage, gate: Gate, console: Console, told: Told) -> None:
    console.print("\n[bold cyan]Zum Ausprobieren[/]  [dim]what to try next: every line can be pasted as it is[/]")
    for what, lines in hints(stage, gate, told):
        console.print(f"[dim]# {plain(what)}[/]", soft_wrap=True)
        for line in lines:
            console.print(line, markup=False, soft_wrap=True)
    console.print(f"[dim]# Schnittstelle[/]  {gate.url}/docs   [dim]Standort[/]  {stage.site}", soft_wrap=True)
    console.print(f"[dim]# Schlüssel des Betriebs[/]  {gate.operator_key}", soft_wrap=True)
    console.print("\n[bold]Läuft weiter, bis Sie Strg-C drücken.[/]  [dim]Serving until Ctrl-C.[/]")


def _as_json(stage: Stage, gate: Gate, told: Told) -> dict[str, Any]:
    """The whole result for machines. url and keys are of use only while it serves."""
    assert told.verdict is not None
    assert told.interim is not None
    return {
        "kept": told.kept,
        "verdict": asdict(told.verdict),
        "before_repair": asdict(told.interim),
        "replayed": told.replayed,
        "kills": told.kills,
        "sent_again": told.sent_again,
        "lookups": told.lookups,
        "cases": dict(Counter(case.target for case in told.cases)),
        "refused": [
            {"leistung": a.post.leistung, "sample": a.post.label, "status": a.status, "reason": reason_of(a)}
            for a in told.answers if not a.accepted
        ],
        "delivered": [
            {"leistung": c.leistung, "target": c.target, "case_number": c.number, "reference": c.reference} for c in told.cases
        ],
        "dead_letters": [
            {key: letter[key] for key in ("id", "reference", "leistung", "target", "class", "cause_de")} for letter in told.dead
        ],
        "url": gate.url, "portal_key": gate.portal_key, "operator_key": gate.operator_key,
        "site": str(stage.site), "state": str(stage.state),
    }  # fmt: skip


def _console(*, json: bool) -> Console:
    """Where the story is told: standard output, or standard error when standard output is for a machine."""
    stream = sys.stderr if json else sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else 200)
