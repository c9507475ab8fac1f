"""The folder in which a site's own packages lie: what is there, and how something comes and goes in one step."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.config.faults import did_you_mean
from gateway.releases.closing import OWN, Source
from gateway.releases.layouts import as_name
from gateway.releases.record import MANIFEST, addresses_in, read_record, settle_folder
from gateway.releases.survey import Survey, survey
from gateway.releases.unpacking import unpack

INCOMING: Final = ".incoming"


class Unknown(Exception):
    """There is no such package among those that were added here. Says German and English."""

    def __init__(self, de: str, en: str) -> None:
        super().__init__(f"{de} / {en}")
        self.de, self.en = de, en


def installed(packages: Path) -> list[tuple[Path, str]]:
    """Folder and id of each package that lies here."""
    found = []
    for path in sorted(packages.glob(f"*/{MANIFEST}")):
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):
            table = {}
        found.append((path.parent, f"{table.get('name', path.parent.name)}@{table.get('version', '?')}"))
    return found


def known(name: str, packages: Path) -> tuple[Path, str]:
    """Folder and id; the version may be left out where there is one only. Raises ``Unknown``."""
    there = installed(packages)
    found = [one for one in there if name in (one[1], one[0].name)] or [one for one in there if one[1].partition("@")[0] == name]
    if len(found) != 1:
        de, en = did_you_mean(name, (package_id for _, package_id in there))
        raise Unknown(f"„{name}“ ist hier nicht hinzugefügt worden{de}", f'"{name}" was not added here{en}')
    return found[0]


# --- places to find imports in -------------------------------------------------------------------------------------------


def own_source(found: Survey) -> Source:
    """The release itself, with what its own catalogs say."""
    return Source("release", found, _addresses(found))


def nearby_sources(paths: Sequence[Path], place: Path) -> list[Source]:
    """What a person named beside the release. place: a folder to unpack into. Raises ``Refused``."""
    sources = []
    for number, path in enumerate(paths, start=1):
        folder = place / f"nearby-{number}"
        folder.mkdir()
        found = survey(folder, unpack(path, folder).files)
        sources.append(Source(as_name(path.stem), found, _addresses(found)))
    return sources


def installed_sources(packages: Path) -> list[Source]:
    """What is installed: libraries first, then standards, then what those have copied from elsewhere."""
    libraries: list[Source] = []
    standards: list[Source] = []
    copies: list[Source] = []
    for folder, _ in installed(packages):
        record = read_record(folder)
        if record is None:
            continue
        schemas = [name for name in record.get("schemas", ()) if (folder / name).is_file()]
        own = survey(folder / OWN, [name.removeprefix(f"{OWN}/") for name in schemas if name.startswith(f"{OWN}/")])
        copied = survey(folder, [name for name in schemas if not name.startswith(f"{OWN}/")])
        said = addresses_in(folder / "catalog.xml", folder)
        inside = {address: path.removeprefix(f"{OWN}/") for address, path in said.items() if path.startswith(f"{OWN}/")}
        is_library = record["report"].get("kind") == "library"
        (libraries if is_library else standards).append(Source(folder.name, own, inside))
        copies.append(Source(f"{folder.name}-copies", copied, said))
    return [*libraries, *standards, *copies]


def _addresses(found: Survey) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name in found.catalogs:
        merged |= addresses_in(found.root / name, found.root)
    return merged


# --- coming and going ----------------------------------------------------------------------------------------------------


def put(folders: Sequence[Path], packages: Path) -> None:
    """Each appears under its own name, and takes the place of what had that name before; all of them or none."""
    with _swapping(packages) as aside:
        done: list[Path] = []
        try:
            for folder in folders:
                target = packages / folder.name
                if target.exists():
                    target.rename(aside / target.name)
                folder.rename(target)
                done.append(target)
        except OSError:
            for target in done:
                target.rename(aside / f"undone-{target.name}")
            for old in aside.iterdir():
                if not old.name.startswith("undone-"):
                    old.rename(packages / old.name)
            raise
        settle_folder(packages)


def take_away(folder: Path, packages: Path) -> None:
    with _swapping(packages) as aside:
        folder.rename(aside / folder.name)
        settle_folder(packages)


@contextmanager
def unchanging(packages: Path) -> Iterator[None]:
    """While inside, no package appears or goes. For readers; costs nothing where nothing was ever added."""
    if not packages.is_dir():
        yield
        return
    with _locked(packages / INCOMING / "swap.lock", fcntl.LOCK_SH):
        yield


@contextmanager
def workplace(packages: Path) -> Iterator[Path]:
    """A folder that readers pass over, for one at a time. What an earlier one has left behind is cleared away."""
    incoming = packages / INCOMING
    with _locked(incoming / "add.lock", fcntl.LOCK_EX):
        for left in incoming.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
        place = Path(tempfile.mkdtemp(prefix="work-", dir=incoming))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _swapping(packages: Path) -> Iterator[Path]:
    """Alone with the packages; yields a folder for what has to step aside. Only inside a ``workplace``."""
    aside = Path(tempfile.mkdtemp(prefix="aside-", dir=packages / INCOMING))
    try:
        with _locked(packages / INCOMING / "swap.lock", fcntl.LOCK_EX):
            yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, kind)
        yield
    finally:
        os.close(handle)
