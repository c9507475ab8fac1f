"""Adds a release to the site's own packages, or refuses it; removes one that nothing needs.

Everything is made ready in a folder that no reader looks into, proven there, brought to stable storage, and then appears
under its name by one rename. Whoever reads the packages sees all of it or nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from gateway.config.faults import Fault
from gateway.packages.package import Package
from gateway.releases.layouts import standards_of
from gateway.releases.record import Checked, check_record, settle, write_record
from gateway.releases.refusing import Refused, refused
from gateway.releases.shelf import (
    installed,
    installed_sources,
    known,
    nearby_sources,
    own_source,
    put,
    take_away,
    workplace,
)
from gateway.releases.staging import Added, Staging, Wish, with_examples
from gateway.releases.survey import survey
from gateway.releases.unpacking import Unpacked, unpack
from gateway.schemas import PackageFaults, Registry


class InUse(Exception):
    """The package cannot go. needed_by: Leistungen, targets and files that name it."""

    def __init__(self, needed_by: Sequence[str]) -> None:
        super().__init__(", ".join(needed_by))
        self.needed_by = tuple(needed_by)


def add(release: Path, packages: Path, *, roots: Sequence[Path], at: datetime, wish: Wish | None = None) -> list[Added]:
    """One package for each standard in the release. packages: where the site's own lie. roots: of everything that is
    installed, for conflicts. Raises ``Refused``; then nothing has changed."""
    wish = wish or Wish()
    with workplace(packages) as place:
        work, staged = place / "unpacked", place / "staged"
        work.mkdir()
        unpacked = unpack(release, work)
        found = survey(work, unpacked.files)
        chosen = standards_of(found, unpacked.name, namespace=wish.namespace, entry=wish.entry)
        if not chosen:
            raise _nothing(unpacked)
        if len(chosen) > 1 and (wish.name or wish.version):
            raise refused(unpacked.name, "enthält mehrere Standards; --name und --version brauchen dann --namespace",
                          "holds several standards; --name and --version then need --namespace")
        others = [*nearby_sources(wish.nearby, place), *installed_sources(packages)]
        own = own_source(found)
        ready = [Staging(one, unpacked, own=own, others=others, wish=wish, staged=staged) for one in chosen]
        for one in ready:
            _refuse_taken(one.folder, unpacked.name, packages, replacing=wish.replace)
        added = [one.run() for one in ready]
        for each in added:
            _refuse_taken(each.folder.name, unpacked.name, packages, replacing=wish.replace)
        registry = _loaded(staged, roots, unpacked.name, replacing={each.id for each in added} if wish.replace else set())
        done = [with_examples(each, found, registry=registry) for each in added]
        for each in done:
            write_record(each.folder, release=unpacked.name, at=at.isoformat(timespec="seconds"), report=each.as_json())
            settle(each.folder)
        put([each.folder for each in done], packages)
    return [replace(each, folder=packages / each.folder.name) for each in done]


def remove(name: str, packages: Path, *, roots: Sequence[Path], site: Path | None = None) -> str:
    """Takes a package away and says its id. site: whose targets may expect it. Raises ``Unknown``, ``InUse``."""
    known(name, packages)
    with workplace(packages):
        folder, package_id = known(name, packages)
        if needed := [*_needed_by(package_id, roots), *_expected_by(package_id, site)]:
            raise InUse(needed)
        take_away(folder, packages)
    return package_id


def check(packages: Path, name: str | None = None) -> list[Checked]:
    """Every file of the installed releases against its digest. Raises ``Unknown``."""
    folders = [known(name, packages)[0]] if name else [folder for folder, _ in installed(packages)]
    return [checked for folder in folders if (checked := check_record(folder)) is not None]


def _refuse_taken(folder: str, release: str, packages: Path, *, replacing: bool) -> None:
    taken = (packages / folder).exists()
    if taken and not replacing:
        raise refused(release, f"{folder} ist schon da; --replace ersetzt es, --name gibt einen anderen Namen",
                      f"{folder} is there already; --replace replaces it, --name gives another name")
    if not taken and replacing:
        raise refused(release, f"{folder} gibt es noch nicht; bitte ohne --replace hinzufügen",
                      f"{folder} is not there yet; please add it without --replace")


def _loaded(staged: Path, roots: Sequence[Path], release: str, *, replacing: set[str]) -> Registry:
    """As a gateway will load it, with all that is there already. Raises ``Refused``."""
    try:
        if not replacing:
            return Registry.load(*roots, staged)
        registry, others = Registry.load(staged), Registry.load(*roots)
    except PackageFaults as faults:
        def short(said: str) -> str:
            return said.replace(f"{staged}/", "")

        raise Refused(Fault(short(one.file), one.line, short(one.de), short(one.en)) for one in faults.faults) from None
    for package in registry.packages.values():
        for other in others.packages.values():
            if other.id not in replacing and _overlap(package, other):
                raise refused(release, f"{package.id} überschneidet sich mit {other.id}", f"{package.id} overlaps {other.id}")
    return registry


def _overlap(one: Package, other: Package) -> bool:
    """The same messages at the same time, and nothing in them that tells which is meant."""
    both = set(one.roots) & set(other.roots) if one.namespace == other.namespace else set()
    if not both or None not in (one.version_at, other.version_at):
        return False
    begins = max(one.valid_from or date.min, other.valid_from or date.min)
    return begins <= min(one.valid_until or date.max, other.valid_until or date.max)


def _nothing(unpacked: Unpacked) -> Refused:
    listed = ", ".join(unpacked.archives[:5])
    de, en = (f"; darin liegen Archive, entpacken Sie diese: {listed}", f"; there are archives in it, unpack those: {listed}"
              ) if listed else ("", "")
    return refused(unpacked.name, f"enthält weder ein XML-Schema noch eine Codeliste{de}",
                   f"holds neither an XML schema nor a code list{en}")


def _needed_by(package_id: str, roots: Sequence[Path]) -> list[str]:
    """Leistungen whose message it is, packages that are converted into it, and mappings that read or write it. By text, so
    that it also works when what is installed cannot be loaded."""
    needing = []
    for root in roots:
        for path in sorted(root.glob("leistungen/*/leistung.toml")):
            table = _toml(path)
            if table.get("package") == package_id:
                needing.append(f"Leistung {table.get('slug', path.parent.name)}")
        for path in sorted((*root.glob("packages/*/manifest.toml"), *root.glob("*/manifest.toml"))):
            table = _toml(path)
            convert = table.get("convert")
            if isinstance(convert, dict) and convert.get("to") == package_id:
                needing.append(f"{table.get('name')}@{table.get('version')} [convert]")
        needing += [
            str(path) for path in sorted((*root.glob("mappings/**/*.toml"), *root.glob("leistungen/*/form.toml")))
            if f'"{package_id}"' in path.read_text(encoding="utf-8-sig", errors="replace")
        ]
    return needing


def _expected_by(package_id: str, site: Path | None) -> list[str]:
    """Targets that take this version of the standard and no other."""
    targets = _toml(site).get("target") if site is not None else None
    expecting = []
    for name, target in sorted(targets.items()) if isinstance(targets, dict) else ():
        expects = target.get("expects", ()) if isinstance(target, dict) else ()
        if package_id in ((expects,) if isinstance(expects, str) else expects):
            expecting.append(f"[target.{name}] expects")
    return expecting


def _toml(path: Path) -> dict[str, Any]:
    """Empty where it cannot be read: others say why."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
