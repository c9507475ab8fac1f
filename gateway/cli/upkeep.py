"""Looking after what is stored: ``migrate``, ``backup``, ``restore``, ``keys``, ``audit``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.adapters import backup as backups
from gateway.cli.commands import Commands
from gateway.cli.connection import connected, state_settings
from gateway.cli.deliveries import print_history
from gateway.cli.output import Exit, Json, counted, err, fail, out, plain, show
from gateway.cli.service import run
from gateway.clocks import SystemClock
from gateway.opening import open_journal, postgres_server
from gateway.seal import Verdict
from gateway.settings import Settings
from gateway.vault import Vault, VaultError

keys = typer.Typer(cls=Commands, no_args_is_help=True, help="Schlüssel der Verschlüsselung. / Encryption keys.")
audit = typer.Typer(cls=Commands, no_args_is_help=True, help="Protokoll. / Audit trail.")


def migrate(json: bool = Json) -> None:
    """Das Journal auf den Stand dieser Version bringen. / Bring the journal up to this version.

    Auf PostgreSQL auch, während Gateways der Version davor weiterarbeiten. / On PostgreSQL also while gateways of the version
    before work on.
    """
    settings = state_settings(migrate=True)

    async def opened_and_closed() -> tuple[str, ...]:
        journal = await open_journal(settings, SystemClock())
        await journal.aclose()
        return journal.migrated

    done = run(opened_and_closed())
    show(
        {"applied": list(done)},
        lambda: out.print("[green]✓[/] Das Journal ist auf dem Stand dieser Version" + (f": {', '.join(done)}" if done else ".")),
    )


def backup(to: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Vollständige Sicherung im laufenden Betrieb; Schlüssel gesondert aufbewahren. / Complete copy while it runs.

    Gelöschtes steht in älteren Sicherungen noch, bis deren Schlüssel vernichtet ist. / What was erased is still in older
    backups until their key is destroyed.
    """
    settings = state_settings()
    path = _file(settings)
    if path is None:
        fail(
            "PostgreSQL wird mit seinen eigenen Mitteln gesichert: pg_dump, oder pg_basebackup mit Archiv der WAL. Die Schlüssel "
            f"({settings.keys}) gesondert aufbewahren. Nach dem Einspielen: nahtlos restore --doubt",
            f"PostgreSQL is backed up by its own means: pg_dump, or pg_basebackup with an archive of the WAL. Keep the keys "
            f"({settings.keys}) elsewhere. After restoring: nahtlos restore --doubt",
            code=Exit.USAGE,
        )
    if not path.exists():
        fail(f"{path} gibt es nicht.", f"{path} does not exist.", code=Exit.USAGE)
    with _bar("Sicherung") as report:
        run(asyncio.to_thread(backups.copy, path, to, report))
    out.print(f"[green]✓[/] {plain(to)}: {to.stat().st_size:,} Byte. Die Schlüssel liegen nicht darin: {plain(settings.keys)}")


def restore(
    backup_file: Annotated[Path | None, typer.Argument(metavar="[FILE]", exists=True, dir_okay=False)] = None,
    doubt: Annotated[
        bool, typer.Option("--doubt", help="Das Journal wurde schon anders eingespielt (pg_restore, Abbild der Maschine).")
    ] = False,
    json: bool = Json,
) -> None:
    """Aus einer Sicherung das Journal herstellen; was offen war, gilt als ungeklärt und wird nachgesehen. / Restore.

    PostgreSQL: Gateways beenden, mit dessen Mitteln einspielen, dann --doubt, dann starten. / PostgreSQL: stop the gateways,
    restore by its own means, then --doubt, then start.
    """
    if doubt == (backup_file is not None):
        fail("Entweder FILE oder --doubt angeben.", "Give either FILE or --doubt.", code=Exit.USAGE)
    settings = state_settings()
    path = _file(settings)
    if path is None and backup_file is not None:
        fail(
            "PostgreSQL: zuerst mit dessen Mitteln einspielen (pg_restore, pg_basebackup), dann: nahtlos restore --doubt",
            "PostgreSQL: restore by its own means first (pg_restore, pg_basebackup), then: nahtlos restore --doubt",
            code=Exit.USAGE,
        )
    with _bar("Wiederherstellung") as report:
        restored = run(_restored(settings, path, backup_file, report))
    found = {
        "open_deliveries": restored.open_deliveries, "dead_letters": restored.dead_letters, "lost_keys": restored.lost_keys,
        "history_lines": restored.verdict.lines,
    }
    show(found, lambda: out.print(
        f"[green]✓[/] {restored.open_deliveries} offene Übermittlungen werden nachgesehen, {restored.dead_letters} Klärfälle "
        f"gelten als ungeklärt und werden vor dem erneuten Übermitteln nachgesehen, Protokoll unversehrt "
        f"({restored.verdict.lines} Zeilen)."
    ))
    if restored.lost_keys:
        fail(f"Schlüssel fehlen: {restored.lost_keys}", f"Keys are missing: {restored.lost_keys}")


async def _restored(settings: Settings, path: Path | None, backup: Path | None, report: backups.Progress) -> backups.Restored:
    vault, clock = _vault(settings, make=bool(settings.lost_keys)), SystemClock()
    if not vault.key_ids:
        raise VaultError(
            f"there is no site key in {settings.keys}: mount the key directory, or put its files back; nothing was restored and "
            "no new key was made. If they are lost for good, NAHTLOS_LOST_KEYS names them",
            f"in {settings.keys} liegt kein Standortschlüssel: das Schlüsselverzeichnis einhängen oder zurückspielen; es wurde "
            "nichts wiederhergestellt und kein Schlüssel erzeugt. Sind sie endgültig verloren, so nennt NAHTLOS_LOST_KEYS sie",
        )
    if path is None:
        from gateway.adapters import postgres_upkeep

        server = postgres_server(settings)
        return await postgres_upkeep.put_in_doubt(server, vault=vault, clock=clock, progress=report)
    if backup is None:
        return await backups.put_in_doubt_there(path, vault=vault, clock=clock)
    return await backups.restore(backup, path, vault=vault, clock=clock, progress=report)


@keys.command()
def new(json: bool = Json) -> None:
    """Einen Schlüssel nur erzeugen: zuerst auf alle Rechner verteilen, dann rotate. / Only make one: copy it to all first."""
    vault = Vault.open(state_settings().keys)
    key_id = vault.make()
    show({"key_id": key_id}, lambda: out.print(
        f"[green]✓[/] {plain(state_settings().keys)}/site-{plain(key_id)}.key: auf alle Rechner dieses Journals kopieren, dann "
        "nahtlos keys rotate"
    ))


@keys.command()
def rotate(json: bool = Json) -> None:
    """Auf den neuesten Schlüssel umstellen, sonst auf einen, der jetzt erzeugt wird; unterbrechbar. / Re-wrap everything.

    Arbeiten mehrere Rechner auf einem Journal, dann zuerst nahtlos keys new. / Where several machines work on one journal,
    nahtlos keys new first.
    """
    with connected(timeout=3600) as gateway:
        done = gateway.post("/v1/maintenance/keys/rotate", {"reason": "nahtlos keys rotate"})
    show(
        done,
        lambda: out.print(f"[green]✓[/] neuer Schlüssel {plain(done['key_id'])}, {done['rewrapped']} umgestellt"),
    )


@audit.command()
def verify(json: bool = Json) -> None:
    """Die Kette des Protokolls nachrechnen, auch im laufenden Betrieb. / Recompute the chain of the history."""
    settings = state_settings()
    path = _file(settings)
    with _bar("Protokoll") as report:
        vault = _vault(settings, make=False)
        if path is not None:
            verdict = run(backups.verified(path, vault=vault, progress=lambda n: report(n, n)))
        else:
            from gateway.adapters import postgres_upkeep

            server = postgres_server(settings)
            verdict = run(postgres_upkeep.verified(server, vault=vault, progress=lambda n: report(n, n)))
    found: dict[str, Any] = {"lines": verdict.lines, "sealed": verdict.sealed, "signed": verdict.signed, "broken": None}
    if verdict.broken:
        found["broken"] = {"no": verdict.broken.no, "what": verdict.broken.what, "de": verdict.broken.de, "en": verdict.broken.en}
    show(found, lambda: _print_verdict(verdict))
    if verdict.broken:
        fail(verdict.broken.de, verdict.broken.en)


def _print_verdict(verdict: Verdict) -> None:
    mark = "[bold red]✗[/]" if verdict.broken else "[green]✓[/]"
    out.print(
        f"{mark} {counted(verdict.lines, 'Zeile', 'Zeilen')} im Protokoll; davon hängen {verdict.sealed} in der Kette, bis Nr. "
        f"{verdict.signed} ist sie unterschrieben."
    )
    if not verdict.broken:
        out.print("  Jede Zeile der Kette nennt den Abdruck der vorigen: Keine ist geändert, keine fehlt. Was seit der letzten "
                  "Unterschrift\n  dazukam, wird binnen Sekunden verkettet und später unterschrieben.", style="dim")


@audit.command("list")
def listed(
    after: Annotated[int | None, typer.Option(min=0, help="Die Zeilen nach dieser Nummer; 0: von Anfang an.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So viele; ohne --after die letzten.")] = 50,
    submission: Annotated[str | None, typer.Option(help="Nur diese Einreichung (Eingangsnummer oder Kennung).")] = None,
    json: bool = Json,
) -> None:
    """Wer wann was warum getan hat, das Neueste am Ende. / Who did what when and why, the newest at the end."""
    with connected() as gateway:
        if submission is not None:
            submission = gateway.get(f"/v1/submissions/{quote(submission, safe='')}")["id"]
        which = {"last": limit} if after is None else {"after": after, "limit": limit}
        found = gateway.get("/v1/audit", submission=submission, **which)
    show(found, lambda: print_history(found["entries"], with_subject=True))


def _vault(settings: Settings, *, make: bool) -> Vault:
    return Vault.open(settings.keys, make=make, lost=settings.lost_keys)


def _file(settings: Settings) -> Path | None:
    """Of an SQLite journal."""
    address = settings.journal.get_secret_value()
    return Path(address.removeprefix("sqlite:///")) if address.startswith("sqlite:") else None


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Progress on standard error, so that it never gets into what a program reads."""
    with Progress(
        TextColumn(what), BarColumn(), MofNCompleteColumn(), console=err, transient=True, disable=not err.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
