"""What a target gets of a message: the version of the standard that it expects, in the characters that it can hold.

What was received stays what it is; what a target cannot take is made into a document of its own, which is checked against its
own package, and what was rewritten is said place by place. Where that is not possible nothing is delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from gateway import conversion, provenance
from gateway.document import Document
from gateway.findings import Finding, Severity, Unacceptable
from gateway.packages.package import Package
from gateway.rules import MOST
from gateway.rules.rewriting import Rewritten, fits, rewrite
from gateway.site import TargetConfig
from gateway.validation import Circumstances, Inspector
from gateway.vocabulary import Words, say
from gateway.xml.nodes import Paths, line_of

_ENCODINGS: Final = {"latin-1": "latin-1", "windows-1252": "cp1252", "ascii": "ascii"}
_NAMES: Final = {"latin-1": "ISO 8859-1", "windows-1252": "Windows-1252", "ascii": "ASCII"}
_INLINE: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Fitted:
    """body: the message as the target can take it. made_by: what made it, for the journal. rewritten: in how many places
    characters were. hints: a finding for each of these places, at most ``MOST``."""

    body: bytes = field(repr=False)
    made_by: str
    rewritten: int = 0
    hints: tuple[Finding, ...] = ()

    @property
    def facts(self) -> dict[str, int]:
        """For the history."""
        return {"transliterated": self.rewritten} if self.rewritten else {}


def wants_its_own(target: TargetConfig) -> bool:
    """Could it get another document than everybody else?"""
    return bool(target.expects or target.characters)


async def for_targets(
    inspector: Inspector, document: Document, package: Package, targets: Iterable[TargetConfig], *, parameters: Mapping[str, str]
) -> dict[str, Fitted]:
    """By target, what those of them get that cannot take it as it is. Raises ``Unacceptable`` (422)."""
    made: dict[str, conversion.Converted] = {}
    found: dict[str, Fitted] = {}
    for target in targets:
        fitted = await fit(inspector, document, package, target, parameters=parameters, made=made)
        if fitted is not None:
            found[target.name] = fitted
    return found


async def fit(
    inspector: Inspector, document: Document, package: Package, target: TargetConfig, *, parameters: Mapping[str, str],
    made: dict[str, conversion.Converted] | None = None,
) -> Fitted | None:
    """``None``: the target takes the document as it is. made: conversions of it by package, for several targets. Raises
    ``Unacceptable`` (422): it cannot be converted or rewritten, or is not valid afterwards."""
    made = {} if made is None else made
    steps = []
    if (expected := conversion.expected_by(target, package)) is not None:
        if expected not in made:
            told = {**parameters, "from": package.id, "to": expected}
            made[expected] = await conversion.convert(inspector, document, package, expected, target=target.name, parameters=told)
        document, package = made[expected].document, made[expected].package
        steps.append(made[expected].made_by)
    if target.characters is None or fits(document, _ENCODINGS[target.characters]):
        return Fitted(document.body, provenance.together(steps)) if steps else None
    steps.append(provenance.characters(target.characters))
    body, places = await _rewritten(document, target.characters)
    paths = Paths(package.schema.declared.names)
    if lost := [place for place in places if place.unmapped]:
        raise Unacceptable(422, *(_lost(place, target, paths) for place in lost[:MOST]), package=package.id)
    await _must_be_valid(inspector, body, package, target)
    hints = tuple(_hint(place, target, paths) for place in places[:MOST])
    return Fitted(body, provenance.together(steps), len(places), hints)


async def _rewritten(document: Document, characters: str) -> tuple[bytes, list[Rewritten]]:
    """In another thread where it takes long."""
    def run() -> tuple[bytes, list[Rewritten]]:
        root, places = rewrite(document.root, _ENCODINGS[characters])
        return etree.tostring(root, encoding="utf-8", xml_declaration=True), places

    return run() if len(document.body) <= _INLINE else await asyncio.to_thread(run)


async def _must_be_valid(inspector: Inspector, body: bytes, package: Package, target: TargetConfig) -> None:
    """A name may have become too long: "Œ" is one letter and "OE" are two."""
    inspection = await inspector.inspect(body, known=Circumstances())
    wrong = [finding for finding in inspection.report.findings if finding.severity is Severity.ERROR]
    if wrong:
        words: dict[str, Words] = {"target": target.name, "finding": (wrong[0].de, wrong[0].en)}
        raise Unacceptable(422, say("transliteration-invalid", words), *wrong, package=package.id)


def _hint(place: Rewritten, target: TargetConfig, paths: Paths) -> Finding:
    usual = sum(not change.normative for change in place.changes)
    words: dict[str, Words] = {"target": target.name, "repertoire": _name_of(target), "count": len(place.changes), "usual": usual}
    return say("transliterated#signs" if usual else "transliterated", words, line=line_of(place.node), path=_path(place, paths))


def _lost(place: Rewritten, target: TargetConfig, paths: Paths) -> Finding:
    words: dict[str, Words] = {"target": target.name, "repertoire": _name_of(target), "position": place.unmapped[0] + 1}
    return say("character-not-held", words, line=line_of(place.node), path=_path(place, paths), expected=(_name_of(target),))


def _path(place: Rewritten, paths: Paths) -> str:
    return paths.of(place.node) + (f"/@{place.attribute}" if place.attribute else "")


def _name_of(target: TargetConfig) -> str:
    return _NAMES[target.characters or ""]
