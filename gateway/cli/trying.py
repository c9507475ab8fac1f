"""``nahtlos mapping try``: what a field table makes of one form, field by field, and whether that is a valid message."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway import document as documents
from gateway import mapping as mappings
from gateway.cli.connection import place_of, state_settings
from gateway.cli.output import Exit, Json, counted, fail, out, plain, show, table
from gateway.config.faults import Faults, did_you_mean
from gateway.document import Document
from gateway.findings import Severity, Unacceptable
from gateway.formbindings import shipped_mapping
from gateway.forms.portalform import PortalForm, recognise
from gateway.http.problems import finding_json
from gateway.planning import schema_roots
from gateway.schemas import Leistung, Registry
from gateway.site import load
from gateway.validation import Report, validate

PROBE = mappings.MappingContext(
    message_id="00000000-0000-4000-8000-000000000000", leistung="", ars="081250000000", portal="probe",
    received=datetime(2026, 1, 1, tzinfo=UTC), form_id="probe", version="1.0", test=True,
)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """leistung: ``None`` where a table names none that is here. by: what led to it."""

    path: Path
    leistung: Leistung | None
    by: str
    unescape: bool = False


def try_mapping(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    slug: Annotated[str | None, typer.Option("--leistung", "-l", help="Ohne: aus der formId des Formulars erkannt.")] = None,
    table_file: Annotated[
        Path | None, typer.Option("--table", exists=True, dir_okay=False, help="Diese Feldzuordnung statt der eingerichteten.")
    ] = None,
    json: bool = Json,
) -> None:
    """Was eine Feldzuordnung aus einem Formular macht, ohne Werte, und ob die Nachricht gültig wird. / Field by field."""
    registry = _registry()
    document, form = _form(file)
    chosen = _chosen(registry, form, slug, table_file)
    try:
        mapping = mappings.load(chosen.path, schema=_schema(chosen.leistung))
    except mappings.MappingFaults as faults:
        fail("\n".join(f"{each.file}:{each.line}: {each.de}" for each in faults.faults),
             "\n".join(f"{each.file}:{each.line}: {each.en}" for each in faults.faults))
    rows = mappings.explain(mapping, document)
    report = _report(registry, chosen, mapping, document, form)
    found = {
        "leistung": chosen.leistung.slug if chosen.leistung else None, "mapping": str(chosen.path),
        "fields": [asdict(row) for row in rows], "valid": report.valid,
        "findings": [finding_json(finding) for finding in report.findings],
    }

    def tell() -> None:
        out.print(f"{plain(chosen.path)} ({plain(chosen.by)})", style="dim")
        table(
            ("Feld der Nachricht", "Feld des Formulars", "gefüllt", "Hinweis"),
            ((row.message_field, row.form_field, row.filled, row.de) for row in rows),
        )
        _verdict(report, chosen)

    show(found, tell)
    if not report.valid:
        raise typer.Exit(Exit.FOUND_FAULTS)


def _verdict(report: Report, chosen: _Chosen) -> None:
    for finding in report.findings:
        said = finding_json(finding)
        place = place_of(said)
        mark = "[red]✗[/]" if finding.severity is Severity.ERROR else "[yellow]![/]"
        out.print(f"  {mark} {plain(f'{place}: ' if place else '')}{plain(finding.de)}")
    whose = f"Nachricht „{plain(chosen.leistung.slug)}“" if chosen.leistung else "Nachricht"
    if report.valid:
        out.print(f"[green]✓[/] Die gebildete {whose} ist gültig.  [dim]The message that was made is valid.[/]")
    else:
        faults = counted(sum(each.severity is Severity.ERROR for each in report.findings), "Fehler", "Fehler")
        out.print(f"[bold red]✗[/] Die gebildete {whose} ist nicht gültig: {faults}.  [dim]The message is not valid.[/]")


def _report(
    registry: Registry, chosen: _Chosen, mapping: mappings.Mapping, document: Document, form: PortalForm
) -> Report:
    """As intake would check it. Without a service there is nothing to check against but the mapping itself."""
    context = replace(
        PROBE, leistung=chosen.leistung.slug if chosen.leistung else mapping.name, form_id=form.form_id, version=form.version,
        unescape=chosen.unescape,
    )
    try:
        made = documents.read(mapping.apply(document, context=context))
        if chosen.leistung is None:
            return Report(())
        own = registry.package_of(chosen.leistung)
        detected = registry.detect(made)
        return validate(made, own if detected.id == own.id else detected)
    except (Unacceptable, mappings.MappingFault) as wrong:
        return Report(wrong.findings)


def _form(file: Path) -> tuple[Document, PortalForm]:
    try:
        document = documents.read(file.read_bytes())
    except Unacceptable as unreadable:
        fail("\n".join(f.de for f in unreadable.findings), "\n".join(f.en for f in unreadable.findings))
    form = recognise(document)
    if form is None:
        fail(
            "Das ist kein Portalformular (Wurzel serviceportal oder serviceportal-fields).",
            "This is no portal form (root serviceportal or serviceportal-fields).", code=Exit.USAGE,
        )
    return document, form


def _chosen(registry: Registry, form: PortalForm, slug: str | None, table_file: Path | None) -> _Chosen:
    """What the person named goes before what the form says of itself."""
    if slug is not None and slug not in registry.leistungen:
        de, en = did_you_mean(slug, registry.leistungen)
        fail(f"Die Leistung „{slug}“ gibt es nicht{de}.", f"There is no service “{slug}”{en}", code=Exit.USAGE)
    if table_file is not None:
        named = slug or _named_by(table_file)
        return _Chosen(table_file, registry.leistungen.get(named or ""), "--table")
    if slug is not None:
        return _Chosen(_mapping_of(registry.leistungen[slug]), registry.leistungen[slug], "--leistung")
    candidates = list(_bound(registry, form)) or list(_written_for(registry, form))
    slugs = sorted({each.leistung.slug for each in candidates if each.leistung})
    if len(slugs) != 1:
        _unclear(form, slugs)
    return candidates[0]


def _bound(registry: Registry, form: PortalForm) -> Iterator[_Chosen]:
    """By the site's ``[[form]]`` entries, where there is a site file."""
    if form.form_id is None:
        return
    with suppress(Faults, OSError):
        site = load(state_settings().site)
        for binding in site.forms:
            known = registry.leistungen.get(binding.leistung)
            if known is not None and binding.matches(binding.portal, form.form_id):
                where = f"[[form]] in {site.path}:{binding.line}"
                yield _Chosen(binding.mapping or _mapping_of(known), known, where, binding.unescape)


def _written_for(registry: Registry, form: PortalForm) -> Iterator[_Chosen]:
    """By ``forms =`` of the tables that come with the services."""
    for known in registry.leistungen.values():
        if (path := shipped_mapping(known)) is not None:
            with suppress(mappings.MappingFaults):
                if mappings.load(path, schema=_schema(known)).fits(form):
                    yield _Chosen(path, known, "forms = der Feldzuordnung")


def _unclear(form: PortalForm, slugs: list[str]) -> NoReturn:
    said = f"formId {form.form_id}" if form.form_id else "ohne formId"
    said_en = f"formId {form.form_id}" if form.form_id else "without formId"
    if slugs:
        listed = ", ".join(slugs)
        fail(f"Das Formular ({said}) passt zu mehreren Leistungen: {listed}; --leistung wählt eine.",
             f"The form ({said_en}) fits several services: {listed}; --leistung chooses one.", code=Exit.USAGE)
    fail(
        f"Zu diesem Formular ({said}) gehört hier keine Leistung: --leistung oder --table angeben, oder in nahtlos.toml binden.",
        f"No service belongs to this form ({said_en}) here: give --leistung or --table, or bind it in nahtlos.toml.",
        code=Exit.USAGE,
    )


def _mapping_of(known: Leistung) -> Path:
    path = shipped_mapping(known)
    if path is None:
        fail(f"Zur Leistung „{known.slug}“ gehört keine Feldzuordnung; --table nennt eine.",
             f"The service “{known.slug}” has no field table; --table names one.", code=Exit.USAGE)
    return path


def _named_by(table_file: Path) -> str | None:
    """The ``leistung`` of a table; what else is wrong with it is said when it is loaded."""
    try:
        named = tomllib.loads(table_file.read_text(encoding="utf-8")).get("leistung")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    return named if isinstance(named, str) else None


def _schema(known: Leistung | None) -> Path | None:
    path = known.folder / "message.xsd" if known else None
    return path if path is not None and path.exists() else None


def _registry() -> Registry:
    try:
        return Registry.load(*schema_roots(state_settings()))
    except Faults as faults:
        fail("\n".join(f"{each.file}:{each.line}: {each.de}" for each in faults.faults),
             "\n".join(f"{each.file}:{each.line}: {each.en}" for each in faults.faults))
