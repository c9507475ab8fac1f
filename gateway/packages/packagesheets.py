"""The stylesheets that a package names: into another version of the standard, and to the answers it knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from gateway.config.faults import Fault, Faults, Where
from gateway.forms.transform import Sheet, SheetFault
from gateway.packages.manifests import Manifest
from gateway.packages.package import Answers, Conversion


@dataclass(frozen=True, slots=True)
class Sheets:
    """digest: over all of them, b"" for none."""

    conversion: Conversion | None
    answers: Answers
    digest: bytes = field(repr=False)


def sheets_of(manifest: Manifest, folder: Path, where: Where, *, roots: tuple[Path, ...]) -> Sheets:
    """Read and checked. Each lies beside the manifest, else in ``mappings`` of any root: some are shipped. Raises ``Faults``."""
    read = {(group, key): _sheet(folder, file, where.at(group, key), roots) for group, key, file in _named(manifest)}
    conversion = None
    if manifest.convert is not None:
        sheet = read["convert", "sheet"]
        conversion = Conversion(manifest.convert.to, sheet, sha256(sheet.source).hexdigest())
    answers = Answers(
        read.get(("answers", "acknowledgement")), read.get(("answers", "rejection")), frozenset(manifest.answers.roots),
    )
    return Sheets(conversion, answers, b"".join(sha256(sheet.source).digest() for sheet in read.values()))


def _named(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """Table, key and file of each stylesheet."""
    if manifest.convert is not None:
        yield "convert", "sheet", manifest.convert.sheet
    for key, file in (("acknowledgement", manifest.answers.acknowledgement), ("rejection", manifest.answers.rejection)):
        if file is not None:
            yield "answers", key, file


def _sheet(folder: Path, file: str, where: Where, roots: tuple[Path, ...]) -> Sheet:
    places = (folder / file, *(root / "mappings" / file for root in reversed(roots)))
    path = next((path for path in places if path.is_file()), folder / file)
    if not any(path.resolve().is_relative_to(root.resolve()) for root in roots):
        raise Faults([where.fault(f"{path} liegt außerhalb der Schema-Ordner", f"{path} lies outside the schema folders")])
    try:
        return Sheet(path.read_bytes())
    except OSError as error:
        raise Faults([where.fault(f"{path} kann nicht gelesen werden ({error.strerror})",
                                  f"{path} cannot be read ({error.strerror})")]) from None
    except SheetFault as fault:
        raise Faults([Fault(str(path), fault.line, fault.de, fault.en)]) from None
