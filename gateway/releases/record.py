"""What was installed, written beside it: digests of every file, and what was found that day."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.packages.schemafiles import Catalog, SchemaFaults
from gateway.releases.closing import plain

RECORD: Final = "installed.json"
MANIFEST: Final = "manifest.toml"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Checked:
    """faults: German and English, one for each file that is not as it was installed. edited: the manifest was changed,
    which is allowed."""

    folder: Path
    faults: tuple[tuple[str, str], ...]
    edited: bool


def digests_of(folder: Path) -> dict[str, str]:
    """Of every file but the record itself."""
    return {
        path.relative_to(folder).as_posix(): _digest(path)
        for path in sorted(folder.rglob("*")) if path.is_file() and path.name != RECORD
    }


def write_record(folder: Path, *, release: str, at: str, report: dict[str, Any]) -> None:
    """at: ISO 8601. report: as JSON; its "schemas" are the XSDs of the package, found by others without looking at all."""
    said = {
        "format": _FORMAT, "release": release, "installed_at": at, "files": digests_of(folder), "schemas": report.pop("schemas"),
        "report": report,
    }
    (folder / RECORD).write_text(json.dumps(said, ensure_ascii=False, indent=1), encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any] | None:
    """``None`` for a package that was put there by hand."""
    try:
        said: dict[str, Any] = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    return said if said.get("format") == _FORMAT and isinstance(said.get("files"), dict) else None


def check_record(folder: Path) -> Checked | None:
    """Every file against its digest; ``None`` where there is no record."""
    record = read_record(folder)
    if record is None:
        return None
    noted, found = dict(record["files"]), digests_of(folder)
    edited = noted.pop(MANIFEST, None) != found.pop(MANIFEST, None)
    faults = [(f"{name}: fehlt", f"{name}: is missing") for name in noted.keys() - found.keys()]
    faults += [(f"{name}: ist dazugekommen", f"{name}: was added") for name in found.keys() - noted.keys()]
    faults += [(f"{name}: wurde verändert", f"{name}: was changed")
               for name in noted.keys() & found.keys() if noted[name] != found[name]]
    return Checked(folder, tuple(sorted(faults)), edited)


def addresses_in(catalog: Path, root: Path) -> dict[str, str]:
    """Address → path below ``root`` as a catalog says, as far as it stays there and the file exists."""
    try:
        entries = Catalog.entries(catalog)
    except SchemaFaults:
        return {}
    inside = root.resolve()
    found = {}
    for address, target in entries:
        path = (catalog.parent / target).resolve()
        if path.is_relative_to(inside) and path.is_file():
            found[plain(address)] = path.relative_to(inside).as_posix()
    return found


def settle(folder: Path) -> None:
    """On stable storage, files before folders."""
    for path in (*sorted(folder.rglob("*"), key=lambda one: -len(one.parts)), folder):
        settle_folder(path)


def settle_folder(folder: Path) -> None:
    """The names in it; not what lies below them."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
