"""What the gateway knows without running: ``leistung``, ``mapping``, ``route``, ``connector``."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from gateway import document as documents
from gateway import mapping as mappings
from gateway import plugins
from gateway.cli.commands import Commands
from gateway.cli.connection import state_settings
from gateway.cli.output import Exit, Json, as_json, fail, out, plain, show, table
from gateway.cli.service import _print_faults
from gateway.cli.trying import PROBE, try_mapping
from gateway.config.faults import Faults, did_you_mean
from gateway.config.routing import NoRoute
from gateway.findings import Finding, Unacceptable
from gateway.forms.portalform import recognise
from gateway.planning import schema_roots
from gateway.schemas import Leistung, Registry
from gateway.site import load
from gateway.validation import Report, validate

leistung = typer.Typer(cls=Commands, no_args_is_help=True, help="Leistungen. / Services.")
mapping = typer.Typer(cls=Commands, no_args_is_help=True, help="Feldzuordnungen. / Field tables.")
route = typer.Typer(cls=Commands, no_args_is_help=True, help="Leitwege. / Routes.")
connector = typer.Typer(cls=Commands, no_args_is_help=True, help="Konnektoren. / Connectors.")

Slug = Annotated[str, typer.Argument(metavar="LEISTUNG")]

mapping.command("try")(try_mapping)


@leistung.command("list")
def list_leistungen(json: bool = Json) -> None:
    """Alle Leistungen, die mitgeliefert oder hier eingerichtet sind. / All services."""
    rows = [
        {
            "slug": each.slug,
            "name_de": each.names["de"],
            "name_en": each.names["en"],
            "kind": each.kind.value,
            "leika": each.leika,
            "form": (each.folder / "form.toml").exists(),
        }
        for each in _registry().leistungen.values()
    ]
    show(
        rows,
        lambda: table(
            ("Leistung", "Name", "Art", "LeiKa", "Feldzuordnung"),
            ((r["slug"], r["name_de"], r["kind"], r["leika"], r["form"]) for r in rows),
        ),
    )


@leistung.command("check")
def check_leistung(slug: Slug, json: bool = Json) -> None:
    """Die Beispiele einer Leistung gegen ihre Schemas und Feldzuordnungen prüfen. / Check a service's samples."""
    registry = _registry()
    known = _known(registry, slug)
    rows = []
    for sample in sorted((known.folder / "samples").glob("*.xml")):
        expected = json_module.loads(sample.with_suffix("").with_suffix(".expected.json").read_text(encoding="utf-8"))
        report = _examine(registry, known, sample)
        rows.append(
            {
                "sample": sample.name,
                "expected_valid": expected["valid"],
                "valid": report.valid,
                "as_expected": report.valid == expected["valid"],
                "finding": _first(report),
            }
        )
    show(
        rows,
        lambda: table(
            ("Beispiel", "erwartet", "gefunden", "wie erwartet", "erster Befund"),
            (
                (
                    r["sample"],
                    "gültig" if r["expected_valid"] else "fehlerhaft",
                    "gültig" if r["valid"] else "fehlerhaft",
                    r["as_expected"],
                    r["finding"],
                )
                for r in rows
            ),
            empty="Keine Beispiele.",
        ),
    )
    if not all(r["as_expected"] for r in rows):
        raise typer.Exit(Exit.FOUND_FAULTS)


@leistung.command("new")
def new_leistung(
    slug: Slug,
    name: Annotated[str, typer.Option("--name", help="Name auf Deutsch.", prompt="Name (deutsch)")],
    name_en: Annotated[str, typer.Option("--name-en", prompt="Name (englisch)")],
    folder: Annotated[Path | None, typer.Option(help="Wurzel; ohne: eigene Pakete im Zustandsverzeichnis.")] = None,
    package: Annotated[str | None, typer.Option(help="Die Nachricht ist die dieses Schemapakets, zum Beispiel xbau@2.6.")] = None,
    message: Annotated[list[str] | None, typer.Option(help="Nur diese Nachricht des Pakets (mehrfach).")] = None,
) -> None:
    """Eine Leistung anlegen: Beschreibung, Schema und ein gültiges Beispiel zum Weiterschreiben. / Start a service."""
    from gateway.cli.scaffold import write_leistung, write_leistung_of_standard  # only this command writes packages

    shipped, root = schema_roots(state_settings())[0], folder or state_settings().state / "schemas"
    if package is not None:
        _require_messages(package, message or ())
    try:
        made = write_leistung(slug, name, name_en, root, basis=shipped / "basis") if package is None else (
            write_leistung_of_standard(slug, name, name_en, root, package=package, messages=tuple(message or ())))
    except ValueError as wrong:
        fail(str(wrong), code=Exit.USAGE)
    except FileExistsError as exists:
        fail(f"{exists.filename} gibt es schon.", f"{exists.filename} exists already.", code=Exit.USAGE)
    for each in made:
        out.print(f"[green]+[/] {plain(each)}")
    out.print(f"  nahtlos leistung check {plain(slug)}", style="dim")


@route.command("explain")
def explain_route(
    slug: Slug,
    ars: Annotated[str, typer.Argument(metavar="ARS", help="Regionalschlüssel oder AGS.")],
    on: Annotated[str | None, typer.Option(help="Tag (JJJJ-MM-TT); ohne: heute.")] = None,
    json: bool = Json,
) -> None:
    """Warum geht es dorthin, oder warum nirgendwohin? / Why does it go there, or nowhere?"""
    try:
        site = load(state_settings().site)
        day = date.fromisoformat(on) if on else date.today()  # noqa: DTZ011 - the office's day, where the command is typed
    except Faults as faults:
        _print_faults(faults)
        return
    except ValueError:
        fail(f"„{on}“ ist kein Tag (JJJJ-MM-TT).", f"“{on}” is no date (YYYY-MM-DD).", code=Exit.USAGE)
    why = site.explain(slug, ars, day)
    there = not isinstance(why.decision, NoRoute)
    steps = [{"leistung": c.leistung, "ars": c.ars, "taken": c.taken, "de": c.de, "en": c.en} for c in why.considered]
    if not as_json.get():
        out.print(f"{'[green]✓[/]' if there else '[red]✗[/]'} {plain(why.de)}")
    show(
        {"leistung": slug, "ars": ars, "routed": there, "de": why.de, "en": why.en, "considered": steps},
        lambda: table(
            ("Leistung", "ARS", "genommen", "warum"),
            ((s["leistung"], s["ars"], s["taken"], s["de"]) for s in steps),
        ),
    )
    if not there:
        raise typer.Exit(Exit.FOUND_FAULTS)


@connector.command("list")
def list_connectors(json: bool = Json) -> None:
    """Installierte und eigene Konnektoren. / Installed connectors and your own."""
    found = plugins.find(state_settings().connectors)
    rows = [
        {"name": name, "class": f"{c.__module__}.{c.__qualname__}", "can_find": hasattr(c, "find"), "error": None}
        for name, c in sorted(found.classes.items())
    ]
    rows += [{"name": name, "class": None, "can_find": False, "error": error} for name, error in sorted(found.failed.items())]
    show(
        rows,
        lambda: table(
            ("Konnektor", "Klasse", "kann nachsehen", "Fehler"),
            ((r["name"], r["class"], r["can_find"], r["error"]) for r in rows),
            below=("Fehler",),
        ),
    )


def _registry() -> Registry:
    try:
        return Registry.load(*schema_roots(state_settings()))
    except Faults as faults:
        _print_faults(faults)
        raise


def _known(registry: Registry, slug: str) -> Leistung:
    if slug not in registry.leistungen:
        fail(
            f"Die Leistung „{slug}“ gibt es nicht: {', '.join(sorted(registry.leistungen))}",
            f"There is no service “{slug}”.",
            code=Exit.USAGE,
        )
    return registry.leistungen[slug]


def _require_messages(package: str, messages: Iterable[str]) -> None:
    known = _registry().packages
    if package not in known:
        de, en = did_you_mean(package, known)
        fail(f"Das Schemapaket „{package}“ gibt es hier nicht{de}.", f"There is no schema package “{package}” here{en}",
             code=Exit.USAGE)
    for name in messages:
        if name not in known[package].roots:
            de, en = did_you_mean(name, known[package].roots)
            fail(f"„{name}“ ist keine Nachricht von {package}{de}.", f"“{name}” is no message of {package}{en}.", code=Exit.USAGE)


def _examine(registry: Registry, known: Leistung, sample: Path) -> Report:
    """What intake would say of a sample: forms are mapped first."""
    package = registry.package_of(known)
    try:
        read = documents.read(sample.read_bytes())
        if recognise(read) is not None:
            table_file = mappings.load(known.folder / "form.toml", schema=known.folder / "message.xsd")
            context = replace(PROBE, leistung=known.slug)
            read = documents.read(table_file.apply(read, context=context))
        return validate(read, package if registry.detect(read).id == package.id else registry.detect(read))
    except Unacceptable as wrong:
        return Report(wrong.findings)
    except mappings.MappingFault as fault:
        return Report(fault.findings)


def _first(report: Report) -> str:
    first: Finding | None = report.findings[0] if report.findings else None
    return f"{first.path or ''} {first.de}".strip() if first else ""
