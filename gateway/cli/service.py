"""Running the gateway: ``serve``, ``check``."""

from __future__ import annotations

import asyncio
import os
import ssl
from functools import partial
from typing import Annotated, Any, Final, NoReturn

import typer

from gateway import process
from gateway.adapters.sql import JournalUnusable
from gateway.adapters.sqlite_file import JournalInUse
from gateway.checks import stages
from gateway.cli.connection import connected, state_settings
from gateway.cli.output import Exit, Json, counted, err, fail, out, plain, show
from gateway.config.faults import Faults
from gateway.planning import Plan, checked
from gateway.ports import BrokerUnusable
from gateway.server import Tls
from gateway.settings import Settings
from gateway.vault import VaultError

UNUSABLE: Final = (JournalInUse, JournalUnusable, VaultError, FileExistsError, FileNotFoundError, PermissionError)


def serve(
    role: Annotated[str | None, typer.Option(help="intake, worker oder all (alles außer all braucht PostgreSQL).")] = None,
) -> None:
    """Annehmen und übermitteln, bis Strg-C oder SIGTERM. / Accept and deliver until told to stop."""
    settings = state_settings(**({"role": role} if role else {}))
    _require_certificates(settings)

    async def announce(serving: process.Serving) -> None:
        err.print(f"[green]✓[/] Nahtlos läuft: {serving.url}  (Standort {plain(serving.gateway.site.name)}, Strg-C beendet)")

    try:
        process.run(settings, announce=announce)
    except Faults as faults:
        _print_faults(faults)
    except BrokerUnusable as unusable:
        fail(unusable.de, unusable.en)
    except UNUSABLE as unusable:
        say_unusable(unusable)
    except OSError as taken:
        why = os.strerror(taken.errno) if taken.errno else str(taken)
        fail(f"{settings.host}:{settings.port}: lässt sich nicht öffnen ({why}). Einen anderen Anschluss wählt NAHTLOS_PORT.",
             f"{settings.host}:{settings.port}: {why}. NAHTLOS_PORT chooses another port.")


def _require_certificates(settings: Settings) -> None:
    """Each file by its name, before anything is started: what OpenSSL says of two or three of them names none."""
    files = {"NAHTLOS_TLS_CERT": settings.tls_cert, "NAHTLOS_TLS_KEY": settings.tls_key,
             "NAHTLOS_TLS_CLIENT_CA": settings.tls_client_ca}
    for name, path in files.items():
        try:
            if path is not None:
                path.read_bytes()
        except OSError as error:
            why = os.strerror(error.errno or 0)
            fail(f"{name}: {path} ist nicht lesbar ({why}).", f"{name}: {path} cannot be read ({why}).", code=Exit.USAGE)
    if settings.tls_cert is None or settings.tls_key is None:
        return
    try:
        Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca).context()
    except ssl.SSLError as unfit:
        named = ", ".join(f"{name}={path}" for name, path in files.items() if path is not None)
        why = unfit.reason or str(unfit)
        fail(f"TLS: {named} passen nicht zusammen oder sind keine PEM-Dateien ({why}).",
             f"TLS: {named} do not belong together or are no PEM files ({why}).", code=Exit.USAGE)


def check(
    against_journal: Annotated[
        bool, typer.Option("--against-journal", help="Auch: wartet etwas auf ein Zielsystem, das es nicht mehr gibt?")
    ] = False,
    json: bool = Json,
) -> None:
    """Jedes Schema, jede Feldzuordnung, jeden Leitweg und Konnektor prüfen; Datei:Zeile je Fehler. / Check it all."""
    plan = _planned(state_settings())
    left = _left_behind(plan) if against_journal else []
    found = {
        "site": plan.site.name, "leistungen": len(plan.registry.leistungen), "packages": len(plan.registry.packages),
        "targets": len(plan.targets), "routes": len(plan.site.routes), "forms": len(plan.site.forms),
        "failed_connectors": dict(plan.connectors.failed), "left_behind": left,
    }
    show(found, lambda: out.print(
        f"[green]✓[/] Standort {plain(plan.site.name)}: {counted(len(plan.registry.leistungen), 'Leistung', 'Leistungen')}, "
        f"{counted(len(plan.registry.packages), 'Schemapaket', 'Schemapakete')}, "
        f"{counted(len(plan.targets), 'Zielsystem', 'Zielsysteme')}, {counted(len(plan.site.routes), 'Leitweg', 'Leitwege')}, "
        f"{counted(len(plan.site.forms), 'Formularbindung', 'Formularbindungen')}"
    ))
    if (missing := stages.missing_engine(plan.registry.packages.values())) is not None:
        err.print(f"[yellow]![/] {plain(missing.de)}")
        err.print(f"  {plain(missing.en)}", style="dim")
    for name, error in plan.connectors.failed.items():
        using = [target.name for target in plan.site.targets.values() if target.connector == name]
        waits = f"Es wartet, was an {', '.join(using)} geht." if using else "Kein Zielsystem benutzt ihn."
        waits_en = f"What goes to {', '.join(using)} waits." if using else "No target uses it."
        err.print(f"[bold red]✗[/] Konnektor {plain(name)} lässt sich nicht laden. {plain(waits)}")
        err.print(f"  {plain(error)}")
        err.print(f"  The connector {plain(name)} cannot be loaded. {plain(waits_en)}", style="dim")
    for each in left:
        waits = f"Auf {each['target']} wartet noch etwas ({each['counts']}), aber es ist nicht eingetragen"
        err.print(f"[bold red]✗[/] {plain(waits)}")
        err.print("  Work is left for a target that is not entered: enter it, or redirect its dead letters first", style="dim")
    if plan.connectors.failed or left:
        raise typer.Exit(Exit.FOUND_FAULTS)


def _planned(settings: Settings) -> Plan:
    try:
        return checked(settings)
    except Faults as faults:
        listed = [{"file": f.file, "line": f.line, "de": f.de, "en": f.en} for f in faults.faults]
        show({"faults": listed}, partial(_list, faults))
        raise typer.Exit(Exit.FOUND_FAULTS) from None
    except FileNotFoundError as missing:
        fail(
            f"{missing.filename} fehlt; NAHTLOS_SITE nennt die Datei des Standorts.",
            f"{missing.filename} is missing; NAHTLOS_SITE names the site file.", code=Exit.USAGE,
        )


def _left_behind(plan: Plan) -> list[dict[str, Any]]:
    with connected() as gateway:
        open_work = gateway.get("/v1/maintenance/open-work")["targets"]
    return [each for each in open_work if each["target"] not in plan.site.targets]


def run(work: Any) -> Any:
    """A coroutine to its end; what cannot be used is said."""
    try:
        return asyncio.run(work)
    except UNUSABLE as unusable:
        say_unusable(unusable)


def say_unusable(unusable: Exception) -> NoReturn:
    """German first."""
    match unusable:
        case JournalInUse() | JournalUnusable() | VaultError():
            fail(unusable.de, unusable.en)
        case FileExistsError():
            fail(f"{unusable.filename} gibt es schon.", f"{unusable.filename} exists already.")
        case OSError() if unusable.filename:
            why = os.strerror(unusable.errno or 0)
            fail(f"Kein Zugriff auf {unusable.filename} ({why}).", f"{unusable.filename} cannot be used ({why}).")
    fail(str(unusable))


def _print_faults(faults: Faults) -> None:
    _list(faults)
    raise typer.Exit(Exit.FOUND_FAULTS)


def _list(faults: Faults) -> None:
    for fault in faults.faults:
        place = f"{fault.file}:{fault.line}" if fault.line else fault.file
        err.print(f"[bold red]✗[/] [bold]{plain(place)}[/]: {plain(fault.de)}")
        err.print(f"  {plain(fault.en)}", style="dim")
    err.print(f"{len(faults.faults)} Fehler")
