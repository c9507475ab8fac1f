"""``nahtlos targets``: the case systems of this site, how they are, and holding them back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.commands import Commands
from gateway.cli.connection import connected
from gateway.cli.output import Json, local, out, plain, show, table
from gateway.cli.reasons import Reason

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Zielsysteme: Zustand, anhalten, fortsetzen. / Targets.")

Name = Annotated[str, typer.Argument(metavar="NAME")]


@app.command("list")
def listed(json: bool = Json) -> None:
    """Jedes Zielsystem mit Rückstand, Pause und Schutzschalter. / Every target with its backlog."""
    with connected() as gateway:
        found = gateway.get("/v1/targets")
    show(
        found,
        lambda: table(
            ("Zielsystem", "Verwaltung", "Zustand", "wartet", "unterwegs", "Klärfälle", "ungeklärt", "ältester Eingang"),
            (
                (
                    t["name"],
                    t["authority"],
                    _health(t),
                    t["counts"].get("pending", 0),
                    t["counts"].get("delivering", 0),
                    t["counts"].get("dead", 0),
                    t["in_doubt"],
                    local(t["oldest"]),
                )
                for t in found["targets"]
            ),
            whole=("Zielsystem",),
        ),
    )


@app.command()
def pause(
    name: Name,
    reason: Reason = "",
    until: Annotated[str | None, typer.Option(help="Zeitpunkt mit Zeitzone (ISO 8601); ohne: bis „resume“.")] = None,
    json: bool = Json,
) -> None:
    """Nichts mehr senden; Fristen stehen still. / Send nothing; deadlines stand still."""
    _change(name, "pause", {"reason": reason} | ({"until": until} if until else {}))


@app.command()
def resume(name: Name, reason: Reason = "", json: bool = Json) -> None:
    """Wieder senden. / Send again."""
    _change(name, "resume", {"reason": reason})


def _change(name: str, action: str, body: dict[str, Any]) -> None:
    with connected() as gateway:
        after = gateway.post(f"/v1/targets/{name}/{action}", body)
    show(after, lambda: out.print(f"[green]✓[/] {plain(name)}: {_health(after)}"))


def _health(target: dict[str, Any]) -> str:
    if target["paused"]:
        until = f" bis {local(target['paused_until'])}" if target.get("paused_until") else ""
        return f"angehalten{until}"
    if target["breaker"] != "closed":
        return "nicht erreichbar, wird geprüft"
    return "Wartungsfenster" if target["closed_now"] else "in Ordnung"
