"""What can be wrong with a document, said once for every reader.

A finding names the place, the rule and what was expected, in German and English. It never holds the value that
was found: findings travel into answers, logs and dead letters, and the value may be personal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of a document.

    code, rule: see ``vocabulary``, which makes findings. de, en: one sentence each, made from our own words and names out of
    the schema, never from the document. line: 1-based line in the received bytes; column: 1-based where known. path:
    "/xbau:antrag.0200/bauvorhaben[2]/@art" with the prefixes of the schema. reason_de, reason_en: what the second engine
    knows of the place (type, position), in names of the schema.
    """

    code: str
    rule: str
    de: str
    en: str
    line: int | None = None
    column: int | None = None
    path: str | None = None
    expected: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR
    reason_de: str | None = None
    reason_en: str | None = None


class Unacceptable(Exception):
    """The document cannot be taken as it is. Carries every finding, at most 50, and the HTTP status that fits.

    status: 400 not well-formed or forbidden construct · 413 too large · 415 not the type we read · 422 understood but wrong.
    package: id of the schema package it was held against, where it is known.
    """

    def __init__(self, status: int, *findings: Finding, package: str | None = None) -> None:
        super().__init__(findings[0].en if findings else "unacceptable")
        self.status = status
        self.findings = findings
        self.package = package
