"""What to try next: lines that work when they are pasted, with the real port, real keys and files that are really there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.demo.gate import Gate
from gateway.demo.posting import fresh
from gateway.demo.stage import Stage
from gateway.demo.story import Told
from gateway.demo.town import AMTSREGISTER, CITY, DISTRICT
from gateway.planning import shipped_schemas


def hints(stage: Stage, gate: Gate, told: Told) -> Iterator[tuple[str, list[str]]]:
    """What it shows, in German, and the lines that do: each is one command for a shell, from any folder."""
    folder, url = stage.folder, gate.url
    options = _write_examples(folder, gate.portal_key)
    to = f"curl -K {options}"
    in_full = (
        f"curl -sSw '\\n' {url}/v1/submissions -H 'Content-Type: application/xml' \\\n"
        f"-H 'Authorization: Bearer {gate.portal_key}' \\\n"
        f"--data-binary @{folder}/hundesteuer.xml"
    )
    yield "Einreichen wie ein Portal; noch einmal gesandt: dieselbe Eingangsbestätigung, kein zweiter Fall", [in_full]
    by_address = f"{to} '{url}/v1/submissions?leistung=wohngeld&ars={DISTRICT}' \\\n--data-binary @{folder}/wohngeld-formular.xml"
    yield "Dasselbe kürzer (der Schlüssel steht in der Datei): ein Formular, Leistung und Ort in der Adresse", [by_address]
    yield "Etwas Fehlerhaftes: alle Befunde auf einmal, gespeichert wird nichts", [
        f"{to} {url}/v1/submissions --data-binary @{folder}/fehlerhaft.xml",
    ]
    if sent := next((answer.said["id"] for answer in told.answers if answer.accepted), None):
        yield "Was aus einer Einreichung wurde", [f"{to} {url}/v1/submissions/{sent}"]
    system = stage.urls[AMTSREGISTER.target]
    yield f"{AMTSREGISTER.title} fällt aus, eine Einreichung wartet; es geht wieder, und nach 5 s ist sie da", [
        f"curl -sSw '\\n' -X PUT -d '503*' {system}/_faults",
        f"{to} {url}/v1/submissions --data-binary @{folder}/waffenschein.xml",
        f"curl -sSw '\\n' -X DELETE {system}/_faults",
    ]
    ours = f"NAHTLOS_STATE={shlex.quote(str(stage.state))} {_command()}"
    yield "Als Betrieb: Klärfälle, Zielsysteme, Protokoll", [
        f"{ours} dead-letters list", f"{ours} targets list", f"{ours} audit list --limit 20",
    ]  # fmt: skip


def _write_examples(folder: Path, key: str) -> Path:
    """Messages that nobody has sent yet, and what curl needs to be the portal: readable by nobody else."""
    samples = shipped_schemas() / "leistungen"
    for name, slug in (("hundesteuer", "hundesteuer"), ("waffenschein", "kleiner-waffenschein")):
        (folder / f"{name}.xml").write_bytes(fresh((samples / slug / "samples/minimal.xml").read_bytes(), CITY))
    shutil.copyfile(samples / "hundesteuer/samples/broken-iban.xml", folder / "fehlerhaft.xml")
    form = (samples / "wohngeld/samples/form-minimal.xml").read_bytes()
    made = datetime.now(UTC).isoformat(timespec="milliseconds").encode()  # another form than the one that was sent
    (folder / "wohngeld-formular.xml").write_bytes(re.sub(rb"(?<=<creationDate>)[^<]*", made, form))
    options = folder / "portal.curl"
    with os.fdopen(os.open(options, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f'silent\nshow-error\nwrite-out = "\\n"\nheader = "Authorization: Bearer {key}"\n'
                   'header = "Content-Type: application/xml"\n')
    return options


def _command() -> str:
    """How this installation's command is called from here."""
    beside = Path(sys.executable).with_name("nahtlos")
    on_path = shutil.which("nahtlos")
    if on_path and Path(on_path).resolve() == beside.resolve():
        return "nahtlos"
    if beside.exists():
        near = os.path.relpath(beside)
        return shlex.quote(near if not near.startswith("..") else str(beside))
    return f"{shlex.quote(sys.executable)} -m gateway"
