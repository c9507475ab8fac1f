"""The command line ``nahtlos``. Every command is a function in ``gateway/cli``; this page is the list of them.

What a command needs is loaded when it is run: a glance at the dead letters does not wait for XML, databases and web servers.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from gateway import __version__
from gateway.cli.commands import OnDemand, Place


class _Nahtlos(OnDemand):
    places: ClassVar[Mapping[str, Place]] = {
        "serve": Place(
            "gateway.cli.service", "serve",
            "Annehmen und übermitteln, bis Strg-C oder SIGTERM. / Accept and deliver until told to stop.",
        ),
        "check": Place(
            "gateway.cli.service", "check",
            "Jedes Schema, jede Feldzuordnung, jeden Leitweg und Konnektor prüfen; Datei:Zeile je Fehler. / Check it all.",
        ),
        "demo": Place(
            "gateway.demo.command", "demo",
            "Alles einmal vorführen: Portal, Gateway, zwei Verwaltungen, Störungen, Klärfälle. / Watch the whole of it.",
        ),
        "submit": Place(
            "gateway.cli.submissions", "submit",
            "Eine Einreichung abgeben, wie ein Portal es tut. / Hand in a submission as a portal does.", local=False,
        ),
        "status": Place(
            "gateway.cli.submissions", "status",
            "Was aus einer Einreichung geworden ist. / What has become of a submission.", local=False,
        ),
        "dead-letters": Place(
            "gateway.cli.dead_letters", "app",
            "Klärfälle: was auf einen Menschen wartet. / What waits for a person.", local=False,
        ),
        "targets": Place("gateway.cli.targets", "app", "Zielsysteme: Zustand, anhalten, fortsetzen. / Targets.", local=False),
        "schemas": Place("gateway.cli.releases", "schemas", "Schemapakete: hinzufügen, ansehen, prüfen. / Schema packages."),
        "leistung": Place("gateway.cli.packages", "leistung", "Leistungen. / Services."),
        "mapping": Place("gateway.cli.packages", "mapping", "Feldzuordnungen. / Field tables."),
        "route": Place("gateway.cli.packages", "route", "Leitwege. / Routes."),
        "connector": Place("gateway.cli.packages", "connector", "Konnektoren. / Connectors."),
        "portal": Place("gateway.cli.keys", "portal", "Portale. / Portals.", local=False),
        "operator": Place("gateway.cli.keys", "operator", "Bedienstete. / Operators.", local=False),
        "simulate": Place(
            "gateway.cli.simulate", "simulate",
            "Ein Fachverfahren zum Ausprobieren, mit Fallregister und Störungen. / A case system to try things with.",
        ),
        "bench": Place(
            "gateway.cli.simulate", "bench",
            "Was diese Maschine trägt: Platte und Prüfung, einzeln gemessen. / What this machine can carry.",
        ),
        "migrate": Place(
            "gateway.cli.upkeep", "migrate",
            "Das Journal auf den Stand dieser Version bringen. / Bring the journal up to this version.",
        ),
        "journal": Place("gateway.cli.moving", "journal", "Das Journal umziehen. / Move the journal."),
        "backup": Place(
            "gateway.cli.upkeep", "backup",
            "Vollständige Sicherung im laufenden Betrieb; Schlüssel gesondert aufbewahren. / Complete copy while it runs.",
        ),
        "restore": Place(
            "gateway.cli.upkeep", "restore",
            "Aus einer Sicherung das Journal herstellen; was offen war, gilt als ungeklärt und wird nachgesehen. / Restore.",
        ),
        "keys": Place("gateway.cli.upkeep", "keys", "Schlüssel der Verschlüsselung. / Encryption keys."),
        "audit": Place("gateway.cli.upkeep", "audit", "Protokoll. / Audit trail."),
    }


app = typer.Typer(
    name="nahtlos",
    cls=_Nahtlos,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Trägt Anträge vom Portal ins Fachverfahren, ohne Medienbruch. / From the portal to the case system.",
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"nahtlos {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version zeigen.")] = False,
) -> None:
    pass


def main() -> None:
    place = _Nahtlos.places.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if place is not None and place.local:
        # what a command does in this process is told on standard error, and only if it matters; ``serve`` sets up its own
        from gateway import telemetry

        telemetry.configure(form="console" if sys.stderr.isatty() else "json", level="WARNING")
    app()


if __name__ == "__main__":
    main()
