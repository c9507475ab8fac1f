"""Small Schematron files and messages about dogs, and what is found in them."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.document import Document, read
from gateway.rules.ruleset import RuleSet
from gateway.rules.saxon import Saxon
from gateway.rules.schematron import check, prepare

NAMES = frozenset({"antrag", "hund", "name", "alter", "brief"})


def schematron(tmp_path: Path, inside: str, attributes: str = 'queryBinding="xslt2"') -> Path:
    file = tmp_path / "regeln.sch"
    file.write_text(
        f'<sch:schema xmlns:sch="http://purl.oclc.org/dsdl/schematron" {attributes}>'
        f'<sch:ns prefix="h" uri="urn:hund"/>{inside}</sch:schema>', encoding="utf-8")
    return file


def ready(tmp_path: Path, inside: str, engine: Saxon) -> RuleSet:
    rules, faults = prepare([schematron(tmp_path, inside)], engine)
    assert not faults, [str(fault) for fault in faults]
    return RuleSet.from_json(json.loads(json.dumps(rules.to_json())))


def message(inside: str, root: str = "antrag") -> Document:
    return read(f'<{root} xmlns="urn:hund">{inside}</{root}>'.encode())


def found(document: Document, rules: RuleSet, engine: Saxon) -> list[tuple[str, str | None]]:
    return [(one.rule, one.path) for one in check(document, rules, engine, names=NAMES)]


def pattern(*rules: str) -> str:
    return f"<sch:pattern>{''.join(rules)}</sch:pattern>"


AGE = pattern(
    '<sch:rule context="h:hund"><sch:assert id="alter" test="xs:integer(h:alter) ge 0">Zu jung.</sch:assert></sch:rule>'
)
