"""``schemas remove``: a package goes when nothing needs it any more, neither a file nor a submission."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway import releases
from gateway.cli.connection import connected, is_running, state_settings
from gateway.cli.output import Exit, Json, err, fail, out, plain, show
from gateway.cli.service import run
from gateway.clocks import SystemClock
from gateway.opening import open_journal
from gateway.packageuse import PackageUse, use_of
from gateway.planning import schema_roots
from gateway.settings import Settings

Name = Annotated[str, typer.Argument(metavar="PAKET", help="Zum Beispiel xbau@2.6.")]


def remove(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Auch, wenn Einreichungen es noch brauchen.")] = False,
    json: bool = Json,
) -> None:
    """Ein hinzugefügtes Paket entfernen, wenn keine Leistung, kein Zielsystem und keine Einreichung es mehr braucht. / Remove an
    added package that nothing needs any more."""
    settings = state_settings()
    packages = settings.state / "schemas" / "packages"
    try:
        _, package_id = releases.known(name, packages)
        if not force:
            _require_unused(package_id, settings)
        removed = releases.remove(package_id, packages, roots=schema_roots(settings), site=settings.site)
    except releases.Unknown as unknown:
        fail(unknown.de, unknown.en, code=Exit.USAGE)
    except releases.InUse as used:
        listed = ", ".join(used.needed_by)
        fail(f"{name} wird noch gebraucht: {listed}", f"{name} is still needed: {listed}")
    show({"removed": removed}, lambda: out.print(f"[green]✓[/] {plain(removed)} entfernt"))


def _require_unused(package_id: str, settings: Settings) -> None:
    """Ends the command when submissions that are not settled need it. Where no gateway runs the journal itself is asked."""
    if is_running():
        with connected(timeout=3600) as gateway, err.status("Einreichungen werden durchgesehen …"):
            use = PackageUse(**gateway.get("/v1/maintenance/package-use", package=package_id))
    elif _has_a_journal(settings):
        use = run(_use_in_the_journal(package_id, settings))
    else:
        return
    if use.submissions:
        fail(
            f"{package_id} wird noch gebraucht: nicht erledigte Einreichungen: {use.submissions} (wartende Übermittlungen: "
            f"{use.waiting}, Klärfälle: {use.dead_letters}). Ohne das Paket lassen sie sich weder erneut übermitteln noch "
            "umleiten. --force entfernt es trotzdem.",
            f"{package_id} is still needed: submissions not settled: {use.submissions} (waiting deliveries: {use.waiting}, dead "
            f"letters: {use.dead_letters}). Without the package they can be neither replayed nor redirected. "
            "--force removes it all the same.",
        )


def _has_a_journal(settings: Settings) -> bool:
    """A file is only there once a gateway has run."""
    address = settings.journal.get_secret_value()
    return not address.startswith("sqlite:") or Path(address.removeprefix("sqlite:///")).exists()


async def _use_in_the_journal(package_id: str, settings: Settings) -> PackageUse:
    journal = await open_journal(settings, SystemClock())
    try:
        return await use_of(journal, package_id)
    finally:
        await journal.aclose()
