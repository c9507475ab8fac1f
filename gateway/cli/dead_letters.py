"""``nahtlos dead-letters``: what waits for a person, why, and what that person does about it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.commands import Commands
from gateway.cli.connection import connected
from gateway.cli.deliveries import all_of, id_of, print_dead_letter
from gateway.cli.output import Exit, Json, counted, err, fail, local, out, plain, short, show, table
from gateway.cli.reasons import Reason
from gateway.cli.words import CLASSES, state_of

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Klärfälle: was auf einen Menschen wartet. / What waits for a person.")

DeliveryId = Annotated[
    str, typer.Argument(metavar="ID", help="Eingangsnummer, oder Kennung der Übermittlung (ganz oder ihr eindeutiges Ende).")
]
TargetName = Annotated[str | None, typer.Option("--target", "-t", help="Nur dieses Zielsystem.")]
Slug = Annotated[str | None, typer.Option("--leistung", "-l", help="Nur diese Leistung.")]
DeadClass = Annotated[str | None, typer.Option("--class", "-c", help=", ".join(CLASSES))]
Cause = Annotated[str | None, typer.Option("--cause", help="Nur diese Ursache (aus: dead-letters groups).")]


@app.command("list")
def listed(
    target: TargetName = None,
    leistung: Slug = None,
    dead_class: DeadClass = None,
    cause: Cause = None,
    limit: Annotated[int, typer.Option(min=1, help="Höchstens so viele.")] = 100,
    json: bool = Json,
) -> None:
    """Klärfälle, die ältesten zuerst. / Dead letters, oldest first."""
    with connected() as gateway:
        rows = all_of(gateway, limit, target=target, leistung=leistung, cause=cause, **{"class": dead_class})
    show(
        {"dead_letters": rows},
        lambda: table(
            ("Übermittlung", "Eingangsnummer", "Eingang", "Art", "Leistung", "Zielsystem", "Ursache"),
            (
                (
                    short(r["id"]),
                    r["reference"],
                    local(r["received_at"]),
                    CLASSES.get(r["class"], r["class"]),
                    r["leistung"],
                    r["target"],
                    r["cause_de"],
                )
                for r in rows
            ),
            below=("Leistung", "Zielsystem", "Ursache"),
            empty="Keine Klärfälle.",
        ),
    )


@app.command()
def groups(target: TargetName = None, leistung: Slug = None, dead_class: DeadClass = None, json: bool = Json) -> None:
    """Klärfälle nach Ursachen: die häufigste zuerst. / Grouped by cause."""
    with connected() as gateway:
        found = gateway.get("/v1/dead-letters/groups", target=target, leistung=leistung, **{"class": dead_class})
    show(
        found,
        lambda: table(
            ("Anzahl", "seit", "Art", "Zielsystem", "Ursache", "Auswahl"),
            (
                (
                    g["count"],
                    local(g["oldest"]),
                    CLASSES.get(g["class"], g["class"]),
                    g["target"],
                    g["cause_de"],
                    f"--cause {g['cause']}" if g["cause"] else None,
                )
                for g in found["groups"]
            ),
            below=("Zielsystem", "Ursache", "Auswahl"),
            empty="Keine Klärfälle.",
        ),
    )


@app.command("show")
def shown(delivery: DeliveryId, json: bool = Json) -> None:
    """Ein Klärfall: Befunde, Dokumente und Verlauf. / One dead letter: findings, documents and history."""
    with connected() as gateway:
        found = gateway.get(f"/v1/dead-letters/{id_of(gateway, delivery)}")
    show(found, lambda: print_dead_letter(found))


@app.command()
def document(
    delivery: DeliveryId,
    no: Annotated[int, typer.Argument(metavar="NR", min=0, help="Nummer des Dokuments (aus: dead-letters show).")],
    to: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="In diese Datei; ohne: auf die Standardausgabe.")
    ] = None,
) -> None:
    """Ein gespeichertes Dokument holen; wer es ansah, steht im Verlauf. / Fetch a stored document; who looked is recorded."""
    with connected() as gateway:
        body = gateway.content(f"/v1/dead-letters/{id_of(gateway, delivery)}/documents/{no}")
    if to is None:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    try:
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(body)
    except FileExistsError:
        fail(f"{to} gibt es schon.", f"{to} exists already.", code=Exit.USAGE)
    except OSError as unwritable:
        fail(f"{to} lässt sich nicht schreiben ({unwritable.strerror}).", f"{to} cannot be written ({unwritable.strerror}).",
             code=Exit.USAGE)
    err.print(f"[green]✓[/] {plain(to)}: {counted(len(body), 'Byte', 'Byte')}, lesbar nur für Sie")


@app.command()
def replay(
    delivery: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="Einzelne Übermittlungen.")] = None,
    reason: Reason = "",
    target: TargetName = None,
    dead_class: DeadClass = None,
    cause: Cause = None,
    absent: Annotated[bool, typer.Option(help="Im Fachverfahren nachgesehen: dort ist sie nicht.")] = False,
    json: bool = Json,
) -> None:
    """Erneut übermitteln: einzelne, oder genau die, die der Filter jetzt zeigt. / Replay these, or what the filter shows now."""
    if not delivery and not (target or dead_class or cause):
        fail(
            "Welche? Kennungen angeben oder mit --target, --class, --cause auswählen.",
            "Which ones? Give ids, or choose by --target, --class, --cause.",
            code=Exit.USAGE,
        )
    done: list[tuple[str, Any]] = []
    skipped: list[tuple[str, Any]] = []
    with connected() as gateway:
        chosen = [gateway.get(f"/v1/dead-letters/{id_of(gateway, each)}") for each in delivery or ()]
        chosen += (
            all_of(gateway, None, target=target, cause=cause, **{"class": dead_class}) if target or dead_class or cause else []
        )
        for each in chosen:
            body: dict[str, Any] = {"reason": reason, "revision": each["revision"]} | ({"absent": True} if absent else {})
            answer = gateway.raw("POST", f"/v1/dead-letters/{each['id']}/replay", json=body)
            (done if answer.status_code < 400 else skipped).append((each["id"], answer))
    show(
        {"replayed": [i for i, _ in done], "skipped": [{"id": i, "problem": a.json()} for i, a in skipped]},
        lambda: _print_replayed([i for i, _ in done], [(i, a.json().get("detail_de", "")) for i, a in skipped]),
    )
    if skipped:
        raise typer.Exit(Exit.FOUND_FAULTS)


@app.command()
def redirect(
    delivery: DeliveryId,
    to: Annotated[str, typer.Option("--to", help="Anderes Zielsystem.")],
    reason: Reason = "",
    json: bool = Json,
) -> None:
    """An ein anderes Zielsystem umleiten. / Redirect to another target."""
    _act(delivery, "redirect", {"reason": reason, "target": to})


@app.command("return")
def returned(delivery: DeliveryId, reason: Reason = "", json: bool = Json) -> None:
    """An das Portal zurückgeben; es erfährt den Grund. / Return to the portal with the reason."""
    _act(delivery, "return", {"reason": reason})


@app.command()
def close(
    delivery: DeliveryId,
    reason: Reason = "",
    number: Annotated[str | None, typer.Option("--case-number", help="Aktenzeichen im Fachverfahren.")] = None,
    duplicate: Annotated[bool, typer.Option("--duplicate", help="Ist doppelt.")] = False,
    json: bool = Json,
) -> None:
    """Von Hand übernommen (ein gezählter Medienbruch) oder doppelt. / Taken over by hand, or a duplicate."""
    body = {"reason": reason, "closed_as": "duplicate" if duplicate else "by_hand"}
    _act(delivery, "close", body | ({"case_number": number} if number else {}))


@app.command()
def reopen(delivery: DeliveryId, reason: Reason = "", json: bool = Json) -> None:
    """Einen von Hand geschlossenen Klärfall wieder öffnen. / Reopen."""
    _act(delivery, "reopen", {"reason": reason})


def _act(delivery: str, action: str, body: dict[str, Any]) -> None:
    with connected() as gateway:
        found = gateway.get(f"/v1/dead-letters/{id_of(gateway, delivery)}")
        after = gateway.post(f"/v1/dead-letters/{found['id']}/{action}", body | {"revision": found["revision"]})
    show(after, lambda: out.print(f"[green]✓[/] {plain(after['reference'])} {plain(after['id'])}: {plain(state_of(after))}"))


def _print_replayed(done: list[str], skipped: list[tuple[str, str]]) -> None:
    out.print(f"[green]✓[/] {len(done)} erneut übermittelt")
    for delivery, why in skipped:
        out.print(f"[yellow]–[/] {plain(delivery)}: {plain(why)}")
