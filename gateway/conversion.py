"""From one version of a standard to the next, for targets that expect the other one.

A package names the stylesheet that makes its messages into those of another package (``[convert]`` in its manifest); several
steps are taken one after the other. What comes out is a document of its own, valid in its own package or not delivered at
all. Stylesheets can read and write nothing but the document (``transform``).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway import provenance
from gateway.config.faults import Fault, did_you_mean
from gateway.document import Document, read
from gateway.findings import Severity, Unacceptable
from gateway.packages.package import Conversion, Package
from gateway.schemas import Registry
from gateway.site import Site, TargetConfig
from gateway.validation import Circumstances, Inspector
from gateway.vocabulary import say

_INLINE: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Converted:
    """document: the message in its new version, which is package's. made_by: which stylesheets made it, for the journal."""

    document: Document
    package: Package
    made_by: str


def expected_by(target: TargetConfig, package: Package) -> str | None:
    """Id of the package that the target wants instead of this one; ``None``: it takes it as it is."""
    wanted = [one for one in target.expects if one.partition("@")[0] == package.name]
    return wanted[0] if wanted and package.id not in wanted else None


def way(registry: Registry, package: Package, to: str) -> tuple[Conversion, ...]:
    """The steps that lead there; () when none do."""
    steps: list[Conversion] = []
    at: Package | None = package
    while at is not None and at.conversion is not None and len(steps) < len(registry.packages):
        steps.append(at.conversion)
        if at.conversion.to == to:
            return tuple(steps)
        at = registry.packages.get(at.conversion.to)
    return ()


async def convert(
    inspector: Inspector, document: Document, package: Package, to: str, *, target: str, parameters: Mapping[str, str]
) -> Converted:
    """The document as the target expects it. Raises ``Unacceptable`` (422): there is no way, a step fails, or the result is
    not valid as ``to``. target: its name, for the finding."""
    steps = way(inspector.registry, package, to)
    versions = {"version": package.id, "expected": to}
    if not steps:
        raise Unacceptable(422, say("version-not-expected", {**versions, "target": target}), package=package.id)
    for step in steps:
        made = await _one(step, document, parameters)
        if made is None:
            raise Unacceptable(422, say("conversion-failed", versions), package=package.id)
        document = _read(made, versions)
    try:
        inspection = await inspector.inspect(document.body, known=Circumstances())
    except Unacceptable as fault:
        raise Unacceptable(422, say("conversion-failed", versions), *fault.findings, package=package.id) from None
    wrong = [finding for finding in inspection.report.findings if finding.severity is Severity.ERROR]
    if inspection.package is None or inspection.package.id != to or wrong:
        detail = (wrong[0].de, wrong[0].en) if wrong else ("", "")
        raise Unacceptable(422, say("conversion-invalid", {**versions, "finding": detail}), *wrong, package=to)
    return Converted(document, inspection.package, provenance.conversion(to, _digest(steps)))


def faults_of(site: Site, registry: Registry) -> list[Fault]:
    """Targets that expect what is not there. A target may expect a version before any package can be converted to it."""
    found = []
    for target in site.targets.values():
        for number, name in enumerate(target.expects):
            if name not in registry.packages:
                de, en = did_you_mean(name, registry.packages)
                where = target.where.at("expects", number) if len(target.expects) > 1 else target.where.at("expects")
                found.append(where.fault(f"das Schema-Paket „{name}“ fehlt{de}", f'the schema package "{name}" is missing{en}'))
    return found


def _read(made: bytes, versions: Mapping[str, str]) -> Document:
    """What a stylesheet wrote in another encoding, or too large, is our fault and not that of the message."""
    try:
        return read(made)
    except Unacceptable as fault:
        raise Unacceptable(422, say("conversion-failed", versions), *fault.findings) from None


async def _one(step: Conversion, document: Document, parameters: Mapping[str, str]) -> bytes | None:
    if len(document.body) <= _INLINE:
        result = step.sheet.run(document.root, parameters)
    else:
        result = await asyncio.to_thread(step.sheet.run, document.root, parameters)
    return result.body if result.body and not result.findings else None


def _digest(steps: Sequence[Conversion]) -> str:
    return steps[0].digest if len(steps) == 1 else hashlib.sha256("".join(step.digest for step in steps).encode()).hexdigest()
