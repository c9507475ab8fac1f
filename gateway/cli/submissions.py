"""``nahtlos submit`` and ``nahtlos status``: a portal's two calls from the command line."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.connection import connected
from gateway.cli.output import Exit, Json, fail, local, out, plain, show, table
from gateway.cli.words import PURPOSES, STATES, state_of

File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)]


def submit(
    file: File,
    leistung: Annotated[str | None, typer.Option("--leistung", "-l", help="Falls es nicht im Dokument steht.")] = None,
    ars: Annotated[str | None, typer.Option(help="Amtlicher Regionalschlüssel, falls er nicht im Dokument steht.")] = None,
    attach: Annotated[list[Path] | None, typer.Option("--attach", "-a", exists=True, dir_okay=False, help="Anlage.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency-Key; ohne: aus Namen und Inhalt der Datei.")] = None,
    check_only: Annotated[bool, typer.Option("--check", help="Nur prüfen, nichts speichern.")] = False,
    json: bool = Json,
) -> None:
    """Eine Einreichung abgeben, wie ein Portal es tut. / Hand in a submission as a portal does."""
    body = file.read_bytes()
    query = {name: value for name, value in (("leistung", leistung), ("ars", ars)) if value}
    headers = {"Idempotency-Key": key or hashlib.sha256(file.name.encode() + b"\0" + body).hexdigest()}
    request: dict[str, Any] = {"params": query, "headers": headers}
    if attach:
        files = [("submission", (file.name, body, "application/xml"))]
        files += [
            ("attachment", (each.name, each.read_bytes(), mimetypes.guess_type(each.name)[0] or "application/octet-stream"))
            for each in attach
        ]
        request["files"] = files
    else:
        request["content"] = body
        headers["Content-Type"] = "application/xml"
    with connected() as gateway:
        response = gateway.answer("POST", "/v1/validations" if check_only else "/v1/submissions", **request)
    answer = response.json()
    if check_only:
        show(answer, lambda: _print_report(answer))
        if not answer["valid"]:
            raise typer.Exit(Exit.FOUND_FAULTS)
    else:
        again = response.headers.get("idempotency-replayed") == "true"
        show(answer, lambda: _print_receipt(answer, key=key, again=again))


def status(
    submission: Annotated[str, typer.Argument(metavar="NUMMER", help="Eingangsnummer oder Kennung der Einreichung.")],
    wait: Annotated[int, typer.Option(min=0, max=60, help="So viele Sekunden auf eine Änderung warten.")] = 0,
    json: bool = Json,
) -> None:
    """Was aus einer Einreichung geworden ist. / What has become of a submission."""
    with connected(timeout=wait + 30) as gateway:
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        found = gateway.call("GET", f"/v1/submissions/{quote(submission, safe='')}", headers=headers)
    show(found, lambda: _print_status(found))


def _print_receipt(receipt: dict[str, Any], *, key: str | None, again: bool) -> None:
    reference = plain(receipt["reference"])
    out.print(f"[green]✓[/] Eingegangen am {local(receipt['received_at'])} unter [bold]{reference}[/]")
    if again:
        out.print("  Sie war schon da: dieselbe Eingangsbestätigung, nichts ist doppelt.")
    if again and key is None:
        out.print("  Ohne --key gilt: derselbe Dateiname mit demselben Inhalt ist dieselbe Einreichung.", style="dim")
    out.print(f"  nahtlos status {reference}", style="dim")


def _print_status(found: dict[str, Any]) -> None:
    out.print(
        f"[bold]{plain(found['reference'])}[/]  {STATES.get(found['state'], found['state'])}  "
        f"(Eingang {local(found['received_at'])}, {plain(found['leistung'])})"
    )
    table(
        ("Übermittlung", "Zweck", "Stand", "Nummer im Fachverfahren"),
        ((d["id"], PURPOSES.get(d["purpose"], d["purpose"]), state_of(d), d.get("case_number")) for d in found["deliveries"]),
        whole=("Übermittlung", "Nummer im Fachverfahren"),
    )


def _print_report(report: dict[str, Any]) -> None:
    if report["valid"]:
        out.print(f"[green]✓[/] gültig: {plain(report['message_type'])} → {plain(report['leistung'])}")
        return
    if report["findings"]:
        table(("Zeile", "Befund", "Stelle"), ((f.get("line"), f["de"], f.get("path")) for f in report["findings"]))
    problem = report["problem"] or {}
    fail(problem.get("detail_de") or "Nicht gültig.", problem.get("detail_en") or "Not valid.")
