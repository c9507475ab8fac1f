"""What follows the XSD, stage by stage; each is off, warns or rejects as the package's manifest says.

In this order: does the header contradict the root element, are the named files there, are the codes in their lists, are the
characters those of DIN 91379, and last, because another process has to be asked, the standard's own Schematron.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Final

from gateway.checks.steps import Outcome
from gateway.document import Document
from gateway.findings import Finding, Severity
from gateway.packages.package import Package
from gateway.rules import MOST, attachments, characters, codelists, schematron
from gateway.rules.attachments import Attached
from gateway.rules.saxon import RulesUnavailable, Saxon, SaxonMissing, Why, is_installed
from gateway.vocabulary import say

_UNAVAILABLE: Final = say("schematron-not-evaluated", {
    "which": ("Die Regeln des Standards ließen sich", "The rules of the standard"),
})


def check(document: Document, package: Package, attached: Sequence[Attached] | None) -> Outcome:
    """All but Schematron. attached: the files that came with it; ``None`` where nobody knows them, and nothing is said."""
    names = package.schema.declared.names
    course = _Course(package)
    contradiction = package.contradiction(document)
    if contradiction is not None:
        course.findings.append(contradiction)
    if attached is not None:
        files = attached
        course.run("attachments", lambda: attachments.check(document, package.shapes, files, names=names, most=MOST + 1))
    course.run("codes", lambda: codelists.check(document, package.knowledge.codes, package.knowledge.lists, names=names,
                                                most=MOST + 1))
    course.run("characters", lambda: characters.check(document, package.characters, names=names, most=MOST + 1))
    return course.outcome()


def has_rules(package: Package) -> bool:
    return package.stages.get("rules") != "off" and package.knowledge.rules.assertions > 0


def missing_engine(packages: Iterable[Package]) -> SaxonMissing | None:
    """What to say at start when rules will not be evaluated, because the engine is not installed."""
    needing = [package.id for package in packages if has_rules(package)]
    return SaxonMissing(needing) if needing and not is_installed() else None


def check_rules(document: Document, package: Package, engine: Saxon) -> Outcome:
    """The standard's own rules. Blocks while they are evaluated; never raises. Where they could not be, a package that
    rejects does not take the message, and one that warns says so."""
    course = _Course(package)
    names = package.schema.declared.names

    def judged() -> list[Finding]:
        try:
            return schematron.check(document, package.knowledge.rules, engine, names=names, most=MOST + 1)
        except RulesUnavailable as unavailable:
            rejects = package.stages.get("rules") == "reject"
            if unavailable.why is Why.MISSING and not rejects:
                return []  # said at start, not to every sender
            return [replace(_UNAVAILABLE, severity=Severity.ERROR if rejects else Severity.WARNING)]

    course.run("rules", judged)
    return course.outcome()


class _Course:
    def __init__(self, package: Package) -> None:
        self.package = package
        self.findings: list[Finding] = []
        self.timings: dict[str, float] = {}

    def run(self, stage: str, step: Callable[[], list[Finding]]) -> None:
        weight = self.package.stages.get(stage, "warn")
        if weight == "off":
            return
        began = perf_counter()
        found = step()
        if weight == "warn":
            found = [replace(finding, severity=Severity.WARNING) for finding in found]
        self.findings += found
        self.timings[stage] = perf_counter() - began

    def outcome(self) -> Outcome:
        return Outcome(tuple(self.findings[:MOST]), len(self.findings) <= MOST, self.timings)
