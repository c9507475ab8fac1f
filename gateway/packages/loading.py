"""Reads and compiles every package and Leistung below some folders, and gathers every fault on the way."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from lxml import etree

from gateway.config import toml_lines
from gateway.config.faults import Fault, Faults, Where, did_you_mean
from gateway.packages.compiled import CompiledSchema
from gateway.packages.declarations import Declarations, declared_in
from gateway.packages.knowledge import Knowledge
from gateway.packages.leistungen import Leistung, read_leistung
from gateway.packages.manifests import STAGES, AnswersTable, CharactersTable, Manifest, read_manifest
from gateway.packages.package import OWN_HEADER, Package
from gateway.packages.packagesheets import sheets_of
from gateway.packages.patterns import explosive
from gateway.packages.schemafiles import XS, Catalog, SchemaFaults, SchemaFiles, gather
from gateway.rules.attachments import shapes_among
from gateway.rules.characters import NAME_FIELDS, CharacterRules
from gateway.rules.codelists import CodeLists
from gateway.rules.din91379 import DataType
from gateway.rules.saxon import SaxonMissing, is_installed

OWN_RECEIPT: Final = "eingangsbestaetigung.xslt"


class PackageFaults(Faults):
    """Packages or Leistungen cannot be used. ``faults``: every one, "file:line: what is wrong, and what to do"."""


def load(roots: tuple[Path, ...]) -> tuple[Mapping[str, Leistung], Mapping[str, Package]]:
    """Leistungen by slug, packages by id. Raises ``PackageFaults`` with every fault found."""
    return _Loading(roots).run()


class _Loading:
    def __init__(self, roots: tuple[Path, ...]) -> None:
        self._roots = roots
        self._faults: list[Fault] = []
        self._leistungen: dict[str, Leistung] = {}
        self._packages: dict[str, Package] = {}
        self._converting: list[tuple[Package, Where]] = []
        self._catalog = Catalog()
        self._lists = CodeLists()
        receipts = (root.resolve() / "basis" / OWN_RECEIPT for root in roots)
        self._receipt = next((path for path in receipts if path.is_file()), None)

    def run(self) -> tuple[Mapping[str, Leistung], Mapping[str, Package]]:
        for root in self._roots:
            with self._noting():
                self._catalog = self._catalog | Catalog.load(root / "catalog" / "catalog.xml", inside=root)
        for root in self._roots:
            for folder in _folders(root, "leistungen/*/leistung.toml"):
                with self._noting():
                    self._take_leistung(root, folder)
            for folder in _folders(root, "packages/*/manifest.toml", "*/manifest.toml"):
                with self._noting():
                    self._take_package(root, folder)
        for leistung in self._leistungen.values():
            self._check_package_of(leistung)
        for package, where in self._converting:
            self._check_conversion_of(package, where)
        if self._faults:
            raise PackageFaults(dict.fromkeys(self._faults))
        packages = {package.id: _knowing(package, self._lists) for package in self._packages.values()}
        return MappingProxyType(self._leistungen), MappingProxyType(packages)

    def _noting(self) -> _Noting:
        return _Noting(self._faults)

    def _take_leistung(self, root: Path, folder: Path) -> None:
        path = folder / "leistung.toml"
        table, where, text = _toml(path)
        leistung, version = read_leistung(folder, table, where)
        if leistung.slug in self._leistungen:
            raise Faults([where.at("slug").fault(
                f"die Leistung „{leistung.slug}“ steht schon in {self._leistungen[leistung.slug].folder}",
                f'the service "{leistung.slug}" is already in {self._leistungen[leistung.slug].folder}',
            )])
        self._leistungen[leistung.slug] = leistung
        if str(table.get("package", "message.xsd")).endswith(".xsd"):
            manifest = Manifest(
                name=leistung.slug, version=version, kind="own", namespace="", header=OWN_HEADER, leistung=leistung.slug,
                entry=(str(table.get("package", "message.xsd")),), business_keys=leistung.business_keys,
                mask=leistung.mask, editable=leistung.editable, limits=leistung.limits,
                answers=AnswersTable(acknowledgement=str(self._receipt) if self._receipt else None),
            )
            self._add(self._package(manifest, folder, root, self._catalog, text, where), where)

    def _take_package(self, root: Path, folder: Path) -> None:
        table, where, text = _toml(folder / "manifest.toml")
        manifest = read_manifest(table, where)
        if manifest.kind == "library":  # checked and copied from when others are installed; its code lists count for all
            self._lists = _knowledge(folder).lists | self._lists
            return
        catalog = self._catalog | Catalog.load(folder / "catalog.xml", inside=root)
        self._add(self._package(manifest, folder, root, catalog, text, where), where)

    def _package(
        self, manifest: Manifest, folder: Path, root: Path, catalog: Catalog, text: bytes, where: Where
    ) -> Package:
        missing = [name for name in manifest.entry if not (folder / name).is_file()]
        if missing:
            raise Faults(where.at("entry").fault(f"die Datei {folder / name} fehlt", f"the file {folder / name} is missing")
                         for name in missing)
        files, documents = gather(*(folder / name for name in manifest.entry), inside=root, catalog=catalog)
        roots = _roots_of(manifest, files, documents, folder, where)
        declared = declared_in(documents)
        sheets = sheets_of(manifest, folder, where, roots=self._roots)
        return Package(
            name=manifest.name, version=manifest.version, kind=manifest.kind, namespace=files.namespace,
            roots=roots, folder=folder, header=manifest.paths, family=manifest.family,
            stages={**STAGES, **manifest.stages}, leistung=manifest.leistung,
            digest=sha256(files.digest + text + sheets.digest).digest(), schema=CompiledSchema(files, declared),
            limits=manifest.limits, business_keys=manifest.business_keys, version_at=manifest.version_at,
            isolate=manifest.isolate or explosive(documents), valid_from=manifest.valid_from,
            valid_until=manifest.valid_until, mask=manifest.mask, editable=manifest.editable,
            codelists=manifest.codelists, schematron=manifest.schematron, knowledge=_knowledge(folder),
            shapes=_shapes(declared), characters=_characters(manifest.characters),
            conversion=sheets.conversion, answers=sheets.answers,
        )

    def _add(self, package: Package, where: Where) -> None:
        for other in self._packages.values():
            if other.id == package.id or (_same_messages(other, package) and _same_days(other, package)):
                raise Faults([where.fault(
                    f"{package.id} überschneidet sich mit {other.id} ({other.folder}): gleicher Name oder gleiche Nachrichten "
                    "zur selben Zeit; „version_at“ oder „valid_from“ und „valid_until“ können sie unterscheiden",
                    f'{package.id} overlaps {other.id} ({other.folder}): same name or same messages at the same time; '
                    '"version_at" or "valid_from" and "valid_until" can tell them apart',
                )])
        self._packages[package.id] = package
        self._lists = package.knowledge.lists | self._lists
        if package.stages["rules"] == "reject" and package.knowledge.rules.assertions and not is_installed():
            missing = SaxonMissing([package.id])
            raise Faults([where.at("stages", "rules").fault(missing.de, missing.en)])
        if package.conversion is not None:
            self._converting.append((package, where))

    def _check_package_of(self, leistung: Leistung) -> None:
        package = self._packages.get(leistung.package)
        missing = [] if package is None else [name for name in leistung.messages if name not in package.roots]
        if (package is not None and not missing) or self._faults:
            return
        _, where, _ = _toml(leistung.folder / "leistung.toml")
        if package is None:
            de, en = did_you_mean(leistung.package, self._packages)
            self._faults.append(where.at("package").fault(
                f"das Schema-Paket „{leistung.package}“ fehlt{de}", f'the schema package "{leistung.package}" is missing{en}'
            ))
        for name in missing:
            de, en = did_you_mean(name, package.roots if package else ())
            self._faults.append(where.at("messages", leistung.messages.index(name)).fault(
                f"„{name}“ ist keine Nachricht von {leistung.package}{de}", f'"{name}" is no message of {leistung.package}{en}'
            ))

    def _check_conversion_of(self, package: Package, where: Where) -> None:
        """Forth and back may both be there; who converts counts the steps."""
        assert package.conversion is not None
        to = package.conversion.to
        if to not in self._packages or to == package.id:
            de, en = did_you_mean(to, self._packages)
            self._faults.append(where.at("convert", "to").fault(
                f"„{to}“ ist kein anderes Paket{de}", f'"{to}" is no other package{en}'
            ))


class _Noting:
    """Takes note of the faults raised inside and goes on behind it."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        if isinstance(error, Faults):
            self._faults.extend(error.faults)
            return True
        return False


# --- parts of a package --------------------------------------------------------------------------------------------------


def _roots_of(
    manifest: Manifest, files: SchemaFiles, documents: Mapping[str, etree._Element], folder: Path, where: Where
) -> tuple[str, ...]:
    declared = {
        str(element.get("name")) for document in documents.values()
        if document.get("targetNamespace", files.namespace) == files.namespace
        for element in document.iterchildren(XS + "element")
    }
    if manifest.namespace and manifest.namespace != files.namespace:
        raise Faults([where.at("namespace").fault(
            f"der Namensraum der Schemas ist {files.namespace}", f"the namespace of the schemas is {files.namespace}"
        )])
    for key, names in (("roots", manifest.roots), ("answers", manifest.answers.roots)):
        for name in names:
            if name not in declared:
                de, en = did_you_mean(name, declared)
                raise Faults([(where.at("answers", "roots") if key == "answers" else where.at(key)).fault(
                    f"kein globales Element „{name}“ in den Schemas{de}", f'no global element "{name}" in the schemas{en}'
                )])
    if not declared:
        raise SchemaFaults([Fault(str(folder / manifest.entry[0]), 1, "kein globales Element, also keine Nachricht",
                                  "no global element, so no message")])
    return manifest.roots or tuple(sorted(declared))


def _knowledge(folder: Path) -> Knowledge:
    try:
        return Knowledge.of(folder)
    except (OSError, ValueError) as error:
        raise Faults([Fault(
            str(folder), 0, f"was bei der Aufnahme gelernt wurde, ist nicht lesbar ({type(error).__name__}); bitte die Lieferung "
            "noch einmal aufnehmen: nahtlos schemas add --replace",
            f"what was learned when it was added cannot be read ({type(error).__name__}); please add the release again: nahtlos "
            "schemas add --replace",
        )]) from None


def _knowing(package: Package, lists: CodeLists) -> Package:
    """With the code lists of all: which package brought a list does not matter to who needs it."""
    return replace(package, knowledge=replace(package.knowledge, lists=lists)) if len(lists) else package


def _shapes(declared: Declarations) -> tuple[Any, ...]:
    return shapes_among({element for element, _ in declared.kinds})


def _characters(said: CharactersTable) -> CharacterRules:
    own = {name.lower(): DataType(kind) for name, kind in said.fields.items()}
    return replace(CharacterRules(), fields={**NAME_FIELDS, **own}, whole=DataType(said.whole) if said.whole else None)


def _same_messages(one: Package, other: Package) -> bool:
    """Could a document be a message of both, for all that stands in it?"""
    both = one.namespace == other.namespace and set(one.roots) & set(other.roots)
    return bool(both) and None in (one.version_at, other.version_at)


def _same_days(one: Package, other: Package) -> bool:
    first, second = sorted((one, other), key=lambda package: (package.valid_from is not None, package.valid_from))
    return first.valid_until is None or second.valid_from is None or second.valid_from <= first.valid_until


# --- files ---------------------------------------------------------------------------------------------------------------


def _folders(root: Path, *patterns: str) -> Iterator[Path]:
    yield from dict.fromkeys(path.parent for pattern in patterns for path in sorted(root.glob(pattern)))


def _toml(path: Path) -> tuple[dict[str, Any], Where, bytes]:
    text = path.read_bytes()
    try:
        table, lines = toml_lines.parse(text.decode("utf-8-sig"))
        return table, Where(str(path), lines), text
    except UnicodeDecodeError:
        fault = Fault(str(path), 1, "kein UTF-8; speichern Sie die Datei als UTF-8", "not UTF-8; save the file as UTF-8")
    except tomllib.TOMLDecodeError as error:
        fault = Fault(str(path), toml_lines.line_of_error(error) or 1, f"kein gültiges TOML: {error}", f"not valid TOML: {error}")
    raise Faults([fault])
