"""The steps that one document goes through against one schema: pure, in whatever thread or process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter

from gateway.checks.explanation import explain
from gateway.checks.references import damaged_base64, dangling_references
from gateway.document import Document
from gateway.findings import Finding, Severity
from gateway.packages.compiled import MOST, CompiledSchema
from gateway.vocabulary import say


@dataclass(frozen=True, slots=True)
class Outcome:
    """findings: at most 50, in document order within a step. complete: nothing more is wrong. timings: step → seconds.
    refused: by the XSD itself, so that nothing after it was looked at."""

    findings: tuple[Finding, ...]
    complete: bool
    timings: Mapping[str, float]
    refused: bool = False

    @property
    def passed(self) -> bool:
        """Is there a reason to look further?"""
        return not self.refused and ABORTED not in self.findings


ABORTED = say("validation-aborted")


def run_steps(document: Document, schema: CompiledSchema, stages: Mapping[str, str]) -> Outcome:
    """Schema first; what it refuses is not looked at further. Never raises."""
    began = perf_counter()
    verdict = schema.check(document)
    if verdict.aborted:
        return Outcome((ABORTED,), False, {"schema": perf_counter() - began})
    if not verdict.valid:
        findings = explain(verdict.errors, document.root, schema.declared)
        return Outcome(findings, verdict.complete, {"schema": perf_counter() - began}, refused=True)
    timings = {"schema": perf_counter() - began}
    found: list[Finding] = []
    for stage, step in (("ids", dangling_references), ("base64", damaged_base64)):
        if stages.get(stage, "reject") == "off":
            continue
        began = perf_counter()
        if findings := step(document, schema.declared, most=MOST + 1):
            severity = Severity.WARNING if stages.get(stage) == "warn" else Severity.ERROR
            found += (replace(finding, severity=severity) for finding in findings)
        timings[stage] = perf_counter() - began
    return Outcome(tuple(found[:MOST]), len(found) <= MOST, timings)
