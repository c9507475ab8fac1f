"""Makes one standard of a release ready to be installed, in a folder that no reader looks into."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from gateway.checks.steps import run_steps
from gateway.document import read
from gateway.findings import Severity, Unacceptable
from gateway.packages.headers import VERSION_AT
from gateway.releases.closing import OWN, Closure, Source, close
from gateway.releases.layouts import Standard, as_name, others_of
from gateway.releases.manifest import Facts, catalog_of, manifest_of, stages_of
from gateway.releases.proving import SECONDS, Proof, prove
from gateway.releases.record import MANIFEST
from gateway.releases.refusing import refused
from gateway.releases.remarks import Remark
from gateway.releases.rules import RuleReport, compile_rules
from gateway.releases.survey import Survey
from gateway.releases.unpacking import LICENCE, Unpacked
from gateway.schemas import Registry

_EXAMPLES: Final = 500


@dataclass(frozen=True, slots=True)
class Added:
    """What was installed. header: field → path that can be read. schemas: XSDs in the
    package. places: types that carry a code. examples: how many messages
    of the release are valid, not valid, and of no known version. warnings: German and English."""

    id: str
    title: str
    folder: Path
    release: str
    namespace: str
    kind: str
    messages: tuple[str, ...]
    family: str
    header: Mapping[str, str]
    files: int
    imports: tuple[str, ...]
    lists: int
    keys: int
    places: int
    rules: RuleReport
    schemas: tuple[str, ...]
    examples: tuple[int, int, int]
    remarks: tuple[Remark, ...]
    warnings: tuple[tuple[str, str], ...]
    seconds: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As it is kept and told to machines."""
        return {**asdict(self), "folder": self.folder.name}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person who adds a release says beside its path. nearby: further XSDs to find imports in."""

    nearby: tuple[Path, ...] = ()
    namespace: str | None = None
    entry: str | None = None
    name: str | None = None
    version: str | None = None
    replace: bool = False
    seconds: float = SECONDS


class Staging:
    """``run`` leaves a whole package below ``staged``, proven, and says what it is. Raises ``Refused``."""

    def __init__(
        self, standard: Standard, unpacked: Unpacked, *, own: Source, others: Sequence[Source], wish: Wish, staged: Path
    ) -> None:
        self._unpacked, self._own, self._others, self._wish, self._staged = unpacked, own, others, wish, staged
        self._standard = replace(
            standard, name=as_name(wish.name) if wish.name else standard.name, version=wish.version or standard.version,
        )
        self._warnings: list[tuple[str, str]] = []

    @property
    def folder(self) -> str:
        return f"{self._standard.name}-{self._standard.version}"

    def run(self) -> Added:
        standard, found = self._standard, self._own.survey
        closure = close(standard.entry, self._own, self._others)
        folder = self._staged / self.folder
        folder.mkdir(parents=True)
        self._copy(folder, closure)
        (folder / "catalog.xml").write_text(catalog_of(closure.addresses), encoding="utf-8")
        groups = self._groups(standard, found)
        codelists = [f"{OWN}/{name}" for name in found.codelists]
        schematron = [f"{OWN}/{name}" for name in found.schematron]
        proof = prove(folder, groups, codelists=codelists, is_library=standard.is_library, release=self._unpacked.name,
                      seconds=self._wish.seconds)
        began = perf_counter()
        rules = compile_rules(folder, schematron)
        if (said := self._versioned(standard, proof)) != standard:
            self._standard = standard = said
            folder = folder.rename(self._staged / self.folder)
        facts = Facts(
            title=standard.title, name=standard.name, version=standard.version, release=self._unpacked.name,
            namespace=standard.namespace, entry=[f"{OWN}/{name}" for name in standard.entry], elements=proof.elements,
            probed=proof.probed, version_at=VERSION_AT.get(proof.probed.family), codelists=codelists, schematron=schematron,
            stages=stages_of(codes=bool(proof.places), rules=bool(rules.assertions)),
        )
        (folder / MANIFEST).write_text(manifest_of(facts), encoding="utf-8")
        self._warn(closure, proof, rules)
        return Added(
            id=f"{standard.name}@{standard.version}", title=standard.title, folder=folder, release=self._unpacked.name,
            namespace=standard.namespace, kind="library" if standard.is_library else "standard", messages=proof.elements,
            family=proof.probed.family, header=proof.probed.lines, files=len(closure.own),
            imports=tuple(sorted(closure.addresses)), lists=proof.lists, keys=proof.keys, places=proof.places, rules=rules,
            schemas=tuple(sorted(closure.files)), examples=(0, 0, 0), remarks=proof.remarks, warnings=tuple(self._warnings),
            seconds={**proof.seconds, "schematron": round(perf_counter() - began, 3)},
        )

    def _copy(self, folder: Path, closure: Closure) -> None:
        """Byte for byte: licences allow to pass the files on, not to change them."""
        survey_ = self._own.survey
        copies = {place: source.survey.root / path for place, (source, path) in closure.files.items()}
        beside = (*survey_.codelists, *survey_.schematron, *(name for name in survey_.others if LICENCE.search(Path(name).name)))
        copies |= {f"{OWN}/{name}": survey_.root / name for name in beside}
        for place, source in copies.items():
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    @staticmethod
    def _groups(standard: Standard, found: Survey) -> list[list[str]]:
        """One schema for a standard; one for each namespace of a library."""
        by_namespace: dict[str, list[str]] = {}
        for name in standard.entry:
            by_namespace.setdefault(found.xsds[name].namespace, []).append(f"{OWN}/{name}")
        return list(by_namespace.values())

    def _versioned(self, standard: Standard, proof: Proof) -> Standard:
        """Where the message itself says its version, that is what the package has to be called by."""
        fixed = proof.probed.version
        if fixed is None or fixed == standard.version:
            return standard
        if self._wish.version is not None:
            raise refused(self._unpacked.name, f"die Nachrichten nennen sich Version {fixed}, nicht {standard.version}",
                          f"the messages call themselves version {fixed}, not {standard.version}")
        return replace(standard, version=fixed)

    def _warn(self, closure: Closure, proof: Proof, rules: RuleReport) -> None:
        warn = self._warnings.append
        self._warnings += closure.doubts
        self._warnings += proof.list_faults
        self._warnings += rules.faults
        for name in self._standard.left:
            warn((f"{name}: dieselben Dateien noch einmal, nicht genommen (--entry {name} nähme sie)",
                  f"{name}: the same files again, not taken (--entry {name} would)"))
        for one in others_of(self._own.survey, [self._standard]) if not self._standard.is_library else ():
            what = f"{one.title} {one.version} ({len(one.elements)})"
            warn((f"enthält auch Nachrichten von {what}; als eigenes Paket: --namespace {one.namespace}",
                  f"also holds messages of {what}; as a package of its own: --namespace {one.namespace}"))
        if proof.unknown:
            warn((f"Diese Elemente kennt nur einer der beiden Prüfer: {', '.join(proof.unknown[:10])}",
                  f"Only one of the two engines knows these elements: {', '.join(proof.unknown[:10])}"))
        if proof.probed.without:
            warn((f"{len(proof.probed.without)} Nachrichten haben keinen Nachrichtenkopf",
                  f"{len(proof.probed.without)} messages have no header"))
        if self._unpacked.archives:
            warn((f"Archive im Archiv bleiben unbeachtet: {', '.join(self._unpacked.archives[:5])}",
                  f"archives within the archive are left alone: {', '.join(self._unpacked.archives[:5])}"))


def with_examples(added: Added, found: Survey, *, registry: Registry) -> Added:
    """Messages that came with the release, as intake would judge them."""
    package = registry.packages.get(added.id)
    if package is None:
        return added
    valid = wrong = unknown = 0
    warnings = list(added.warnings)
    for name, namespace, _ in found.messages[:_EXAMPLES]:
        try:
            document = read((found.root / name).read_bytes(), limits=package.limits)
            of = registry.detect(document)
            if of.id != added.id:
                continue
            outcome = run_steps(document, of.schema, of.stages)
        except Unacceptable:
            unknown += namespace != "" and _alike(namespace, added.namespace)
            continue
        if any(finding.severity is Severity.ERROR for finding in outcome.findings):
            wrong += 1
            first = outcome.findings[0]
            warnings.append((f"Beispiel {name}: {first.de}", f"example {name}: {first.en}"))
        else:
            valid += 1
    return replace(added, examples=(valid, wrong, unknown), warnings=tuple(warnings))


def _alike(one: str, other: str) -> bool:
    """The same but for digits: another version of the standard."""
    return [c for c in one if not c.isdigit() and c not in "._/-"] == [c for c in other if not c.isdigit() and c not in "._/-"]
