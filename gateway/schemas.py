"""Every schema package and Leistung of a site: which message is which, on which day.

A root folder holds ``basis/*.xsd``, ``leistungen/<slug>/`` (leistung.toml, message.xsd), ``catalog/`` (XSDs that others
import by URL, with catalog.xml) and ``packages/<name>/manifest.toml`` (a site's own packages and XÖV standards).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from types import MappingProxyType

from gateway.document import USUAL, Document, Limits
from gateway.findings import Finding, Unacceptable
from gateway.packages import loading as packageloading
from gateway.packages.leistungen import Leistung, LeistungKind, OnInvalid, Place, Urgency
from gateway.packages.loading import PackageFaults
from gateway.packages.package import Header, Package
from gateway.vocabulary import say
from gateway.xml.nodes import line_of

__all__ = [
    "Header", "Leistung", "LeistungKind", "OnInvalid", "Package", "PackageFaults", "Place", "Registry", "Urgency",
]

_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Registry:
    """packages: by id. limits: until the package of a document is known, what any package may hold. Immutable: a change is
    another registry, loaded beside this one and then put in its place."""

    leistungen: Mapping[str, Leistung]
    packages: Mapping[str, Package]
    roots: tuple[Path, ...] = ()
    limits: Limits = field(init=False, repr=False, compare=False)
    _messages: Mapping[tuple[str, str], tuple[Package, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        messages: dict[tuple[str, str], tuple[Package, ...]] = {}
        for package in self.packages.values():
            for root in package.roots:
                messages[package.namespace, root] = (*messages.get((package.namespace, root), ()), package)
        object.__setattr__(self, "_messages", MappingProxyType(messages))
        limits = [package.limits for package in self.packages.values()] or [USUAL]
        widest = Limits(*(max(getattr(each, one.name) for each in limits) for one in fields(Limits)))
        object.__setattr__(self, "limits", widest)

    @classmethod
    def load(cls, *roots: Path) -> Registry:
        """Read and compile everything. Raises ``PackageFaults`` with every fault found."""
        leistungen, packages = packageloading.load(roots)
        return cls(leistungen, packages, roots)

    def detect(self, document: Document, *, on: date | None = None) -> Package:
        """The package of this message, by namespace and root element and, where that is not enough, by the version it
        names, then by the day: of packages that differ in nothing else the one that is valid ``on`` it, or was or will be
        next to it. Raises ``Unacceptable`` (422): unknown message; known standard, unknown version."""
        candidates = self._messages.get((document.namespace, document.name), ())
        if len(candidates) == 1 and candidates[0].version_at is None:
            return candidates[0]
        fitting = [
            package for package in candidates
            if package.version_at is None or document.text(package.version_at) == package.version
        ]
        if not fitting:
            raise Unacceptable(422, self._unknown(document, candidates))
        return fitting[0] if on is None else min(fitting, key=lambda package: _days_from(package, on))

    def package_of(self, leistung: Leistung) -> Package:
        return self.packages[leistung.package]

    def leistungen_for(self, package: Package, message: str) -> tuple[Leistung, ...]:
        """The services that a message of a standard belongs to, as their ``leistung.toml`` says: by this version before
        another one of the standard, by the root element before the whole package. Several where nothing tells them apart."""
        standard = [each for each in self.leistungen.values() if each.package.partition("@")[0] == package.name
                    and (not each.messages or message in each.messages)]
        version = [each for each in standard if each.package == package.id] or standard
        return tuple([each for each in version if each.messages] or version)

    def valid_instead_of(self, package: Package, on: date) -> tuple[str, ...]:
        """Ids of the versions of the same standard that are valid that day, if any."""
        stem = _stem(package.namespace)
        return tuple(sorted(
            other.id for other in self.packages.values()
            if other.id != package.id and (other.name == package.name or _stem(other.namespace) == stem)
            and other.is_valid_on(on)
        ))

    def _unknown(self, document: Document, candidates: tuple[Package, ...]) -> Finding:
        """Only names of packages are said, never the namespace that was sent."""
        line = line_of(document.root)
        same = sorted({root for package in self.packages.values() if package.namespace == document.namespace
                       for root in package.roots if root not in package.answers.roots})
        if same and document.namespace and not candidates:
            return say("unknown-message#of-standard", line=line, expected=tuple(same[:_MOST_NAMED]))
        stem = _stem(document.namespace)
        versions = candidates or tuple(
            package for package in self.packages.values() if document.namespace and _stem(package.namespace) == stem
        )
        if versions:
            known = tuple(sorted({package.id for package in versions}))
            return say("unknown-version", {"known": ", ".join(known)}, line=line, expected=known)
        taken = (package.id for package in self.packages.values() if not package.answers.roots.issuperset(package.roots))
        return say("unknown-message", line=line, expected=tuple(sorted(taken)[:_MOST_NAMED]))


def _stem(namespace: str) -> str:
    """The namespace without what looks like a version: only for the text of an error."""
    return re.sub(r"\d+[a-z]?(?:[._/-]\d+[a-z]?)*", "#", namespace)


def _days_from(package: Package, day: date) -> int:
    """How far the day is from the days on which the package is valid; 0 within them."""
    if package.valid_from is not None and day < package.valid_from:
        return (package.valid_from - day).days
    if package.valid_until is not None and day > package.valid_until:
        return (day - package.valid_until).days
    return 0
