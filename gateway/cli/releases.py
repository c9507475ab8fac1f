"""``schemas``: official releases of message standards, added as they are downloaded, and what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gateway import releases
from gateway.cli.commands import Commands
from gateway.cli.connection import state_settings
from gateway.cli.output import Exit, Json, err, fail, local, out, plain, show, table
from gateway.cli.rehearse import rehearse
from gateway.cli.removal import Name, remove
from gateway.cli.service import _print_faults
from gateway.config.faults import Faults
from gateway.packages.headers import DESCRIPTIONS
from gateway.packages.package import Package
from gateway.planning import schema_roots
from gateway.schemas import Registry

schemas = typer.Typer(cls=Commands, no_args_is_help=True, help="Schemapakete: hinzufügen, ansehen, prüfen. / Schema packages.")



@schemas.command("add")
def add_release(
    release: Annotated[Path, typer.Argument(metavar="PFAD", exists=True, help="Zip, Ordner oder XSD, wie veröffentlicht.")],
    nearby: Annotated[list[Path] | None, typer.Option("--with", exists=True, help="Weitere XSDs für Importe (mehrfach).")] = None,
    namespace: Annotated[str | None, typer.Option(help="Welcher Standard, wenn es mehrere sind.")] = None,
    entry: Annotated[str | None, typer.Option(help="Ordner oder Datei darin, wo die Schemas liegen.")] = None,
    name: Annotated[str | None, typer.Option(help="Name des Pakets; ohne: wie der Standard sich nennt.")] = None,
    version: Annotated[str | None, typer.Option(help="Version; ohne: wie der Standard sie nennt.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Dasselbe Paket ersetzen.")] = False,
    json: bool = Json,
) -> None:
    """Eine Veröffentlichung prüfen und hinzufügen. Ein laufendes Gateway übernimmt sie von selbst. / Check and add a release."""
    wish = releases.Wish(tuple(nearby or ()), namespace, entry, name, version, replace)
    try:
        with err.status("Wird geprüft …"):
            added = releases.add(release, _packages(), roots=_roots(), at=datetime.now(UTC), wish=wish)
    except releases.Refused as refused:
        _refuse(refused)
    show([one.as_json() for one in added], lambda: _show_added(added))


@schemas.command("list")
def list_packages(json: bool = Json) -> None:
    """Alle Schemapakete, eigene und mitgelieferte. / All packages."""
    registry = _registry()
    rows: list[dict[str, Any]] = [
        {"id": p.id, "kind": p.kind, "family": p.family, "namespace": p.namespace, "roots": list(p.roots), "leistung": p.leistung,
         "valid_from": _day(p.valid_from), "valid_until": _day(p.valid_until)}
        for p in registry.packages.values()
    ]
    for folder, package_id in releases.installed(_packages()):
        record = releases.read_record(folder)
        if record is not None and record["report"]["kind"] == "library":
            rows.append({"id": package_id, "kind": "library", "family": None, "namespace": None, "roots": [], "leistung": None,
                         "valid_from": None, "valid_until": None})
    show(
        rows,
        lambda: table(
            ("Paket", "Art", "Kopf", "Namensraum", "Nachrichten", "Leistung", "von", "bis"),
            ((r["id"], _KINDS[r["kind"]], r["family"], r["namespace"], len(r["roots"]), r["leistung"], r["valid_from"],
              r["valid_until"]) for r in rows),
        ),
    )


@schemas.command("show")
def show_package(name: Name, json: bool = Json) -> None:
    """Was ein Paket enthält und was bei der Prüfung auffiel. / What is in a package, and what was found in it."""
    registry = _registry()
    package = registry.packages.get(name) or _only(name, registry)
    try:
        folder, package_id = releases.known(package.id if package else name, _packages())
        record = releases.read_record(folder)
    except releases.Unknown as unknown:
        if package is None:
            fail(unknown.de, unknown.en, code=Exit.USAGE)
        folder, package_id, record = package.folder, package.id, None
    said = {**_facts(package), "id": package_id, "folder": str(folder), "installed": record}
    show(said, lambda: _show_package(package_id, folder, package, record))


@schemas.command("check")
def check_packages(
    name: Annotated[str | None, typer.Argument(metavar="PAKET", help="Ohne: alle.")] = None, json: bool = Json
) -> None:
    """Jede Datei gegen ihre Prüfsumme halten, dann alles laden. / Compare every digest, then load everything."""
    try:
        checked = releases.check(_packages(), name)
    except releases.Unknown as unknown:
        fail(unknown.de, unknown.en, code=Exit.USAGE)
    registry = _registry()
    damaged = [one for one in checked if one.faults]
    rows = [{"folder": one.folder.name, "faults": [en for _, en in one.faults], "edited": one.edited} for one in checked]
    show(rows, lambda: _show_checked(checked, registry))
    if damaged:
        raise typer.Exit(Exit.FOUND_FAULTS)


schemas.command("rehearse")(rehearse)
schemas.command("remove")(remove)


# --- what is shown -------------------------------------------------------------------------------------------------------

_KINDS = {"standard": "Standard", "own": "eigen", "library": "Bibliothek"}
_FIELDS = {
    "uuid": "Nummer der Nachricht", "type": "Nachrichtentyp", "created": "erstellt", "author": "Autor", "reader": "Leser",
    "product": "Software", "reference": "Bezug", "version": "Version", "test": "Testkennzeichen", "ars": "Ort",
    "leistung": "Leistung",
}


def _show_added(added: Sequence[releases.Added]) -> None:
    for one in added:
        _show_one(one)
    out.print("  Ändern: manifest.toml im Ordner. Ein laufendes Gateway übernimmt es binnen Sekunden.", style="dim")


def _show_one(one: releases.Added) -> None:
    out.print(f"[green]✓[/] [bold]{plain(one.id)}[/] {plain(one.title)}, aus {plain(one.release)}")
    valid, wrong, unknown = one.examples
    examples = f"{valid} gültig, {wrong} fehlerhaft, {unknown} in anderer Version" if valid + wrong + unknown else "keine dabei"
    rules = f"{one.rules.assertions} Regeln" + ("" if one.rules.compiled or not one.rules.assertions else " (nicht übersetzt)")
    rows = [
        ("Art", _KINDS[one.kind]),
        ("Namensraum", one.namespace or None),
        ("Nachrichten", len(one.messages)),
        ("Nachrichtenkopf", f"{one.family}: {DESCRIPTIONS[one.family]}" if one.kind == "standard" else None),
        ("  lesbar", ", ".join(_FIELDS[name] for name in one.header) or None),
        ("Schemas", f"{one.files} Dateien, {len(one.imports)} Importe aus dem Katalog"),
        ("Codelisten", f"{one.lists} mit {one.keys} Schlüsseln; {one.places} Typen mit Code"),
        ("Schematron", rules),
        ("Beispiele", examples),
        ("Ordner", one.folder),
    ]
    table(("", ""), rows)
    for de, en in one.warnings:
        out.print(f"[yellow]![/] {plain(de)}")
        out.print(f"  {plain(en)}", style="dim")
    for remark in one.remarks:
        out.print(f"[yellow]~[/] {plain(remark.file)}:{remark.line} ({remark.count}×) {plain(remark.de)}")
        out.print(f"  {plain(remark.en)}", style="dim")


def _show_checked(checked: Sequence[releases.Checked], registry: Registry) -> None:
    for one in checked:
        mark = "[red]✗[/]" if one.faults else "[green]✓[/]"
        out.print(f"{mark} {plain(one.folder.name)}{' (manifest.toml geändert)' if one.edited else ''}")
        for de, en in one.faults:
            out.print(f"    {plain(de)}")
            out.print(f"    {plain(en)}", style="dim")
    out.print(f"[green]✓[/] {len(registry.packages)} Pakete, {len(registry.leistungen)} Leistungen geladen")


def _show_package(package_id: str, folder: Path, package: Package | None, record: dict[str, Any] | None) -> None:
    report = record["report"] if record else {}
    out.print(f"[bold]{plain(package_id)}[/] {plain(report.get('title', ''))}  {plain(folder)}")
    if record:
        out.print(f"  aus {plain(record['release'])}, hinzugefügt {local(record['installed_at'])}", style="dim")
    if package is not None:
        fields = ((_FIELDS.get(name, name), path) for name, path in package.header.items())
        table(("Feld", "Pfad"), fields, empty="Kein Nachrichtenkopf.")
        table(("Stufe", ""), package.stages.items())
        table(("Nachricht",), ((root,) for root in package.roots))
    for de, _ in report.get("warnings", ()):
        out.print(f"[yellow]![/] {plain(de)}")
    for remark in report.get("remarks", ()):
        out.print(f"[yellow]~[/] {plain(remark['file'])}:{remark['line']} ({remark['count']}×) {plain(remark['de'])}")


def _facts(package: Package | None) -> dict[str, Any]:
    if package is None:
        return {}
    return {
        "kind": package.kind, "family": package.family, "namespace": package.namespace, "roots": list(package.roots),
        "header": dict(package.header), "stages": dict(package.stages), "leistung": package.leistung,
        "valid_from": _day(package.valid_from), "valid_until": _day(package.valid_until), "digest": package.digest.hex(),
    }


def _day(day: Any) -> str | None:
    return day.isoformat() if day else None


# --- where things are ----------------------------------------------------------------------------------------------------


def _packages() -> Path:
    return state_settings().state / "schemas" / "packages"


def _roots() -> tuple[Path, ...]:
    return schema_roots(state_settings())


def _registry() -> Registry:
    try:
        return Registry.load(*_roots())
    except Faults as faults:
        _print_faults(faults)
        raise


def _only(name: str, registry: Registry) -> Package | None:
    found = [package for package in registry.packages.values() if package.name == name]
    return found[0] if len(found) == 1 else None


def _refuse(faults: Faults) -> NoReturn:
    for fault in faults.faults:
        place = f"{fault.file}:{fault.line}" if fault.line else fault.file
        err.print(f"[bold red]✗[/] {plain(place)}: {plain(fault.de)}")
        err.print(f"  {plain(fault.en)}", style="dim")
    err.print("Nichts wurde hinzugefügt. / Nothing was added.")
    raise typer.Exit(Exit.FOUND_FAULTS)
