"""Schematron: the rules of a standard that no XSD can say, in XPath 2 or 3, judged by Saxon.

A package's rules are compiled when it is installed, each assertion for itself where something is wrong, so that a broken
one is named then and never fails a message. For each document only the rules that can apply to it are evaluated; where
there are none, the engine is not asked. What the engine sees is our own serialisation of the guarded read view, never the
bytes of a portal. The texts of the rules are German and are passed on; values of the document are never put into them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from lxml import etree

from gateway.config.faults import Fault
from gateway.document import Document
from gateway.findings import Finding, Severity
from gateway.rules import MOST
from gateway.rules.ruleset import RuleSet
from gateway.rules.saxon import Saxon
from gateway.rules.schematronfile import Assertion, Rule, Schematron, read_schematron, together
from gateway.rules.stylesheet import write
from gateway.vocabulary import say
from gateway.xml.nodes import Paths, line_of


def check(document: Document, rules: RuleSet, engine: Saxon, *, names: Container[str], most: int = MOST) -> list[Finding]:
    """names: words of the schema, which a path may show. Blocks while the engine works; raises ``RulesUnavailable`` when it
    cannot say in time."""
    sheet = rules.sheet_for(document)
    if sheet is None:
        return []
    found = engine.judge(sheet.text, etree.tostring(document.root, encoding="utf-8", with_tail=False))
    if found is None:
        return [_not_evaluated("")]
    paths = Paths(names)
    findings = []
    for number, path in found[:most]:
        assertion = sheet.assertions[abs(number) - 1]
        node, attribute = _node_at(document.root, path)
        finding = _finding(assertion) if number > 0 else _not_evaluated(assertion.id)
        if node is not None:
            finding = replace(finding, line=line_of(node), path=paths.of(node) + attribute)
        findings.append(finding)
    return findings


def prepare(files: Iterable[Path], engine: Saxon | None) -> tuple[RuleSet, list[Fault]]:
    """Read and compile the rules of a package. Returns what can be used and each thing that cannot, with file and line.

    engine: None where it is not installed: then only what can be seen without it is found. Raises ``RulesUnavailable``.
    """
    read = [read_schematron(file) for file in sorted(files)]
    faults = [fault for _, some in read for fault in some]
    schematron, clashes = together(one for one, _ in read)
    faults += clashes
    if engine is not None:
        schematron, broken = _without_broken(schematron, engine)
        faults += broken
    return RuleSet(schematron), faults


def _without_broken(schematron: Schematron, engine: Saxon) -> tuple[Schematron, list[Fault]]:
    """All at once first; only where that fails each rule, and in a broken rule each assertion, for itself."""
    def why(*patterns: tuple[Rule, ...]) -> str | None:
        said = engine.fault_of(write(schematron, patterns, most=1).text)
        return None if said is None else " ".join(said.split())[:300]

    if why(*schematron.patterns) is None:
        return schematron, []
    if (said := why()) is not None:
        return Schematron(), [Fault("", 0, f"eine Variable (let) ist fehlerhaft: {said}", f"a variable (let) is broken: {said}")]
    faults: list[Fault] = []

    def sound(rule: Rule) -> Rule | None:
        if why((rule,)) is None:
            return rule
        if (said := why((replace(rule, assertions=()),))) is not None:
            faults.append(Fault(rule.file, rule.line, f"die Regel ist fehlerhaft: {said}", f"the rule is broken: {said}"))
            return None
        good = []
        for one in rule.assertions:
            if (said := why((replace(rule, assertions=(one,)),))) is None:
                good.append(one)
            else:
                faults.append(Fault(one.file, one.line, f"{one.id}: der Test ist fehlerhaft: {said}",
                                    f"{one.id}: the test is broken: {said}"))
        return replace(rule, assertions=tuple(good))

    patterns = tuple(tuple(kept for rule in rules if (kept := sound(rule)) is not None) for rules in schematron.patterns)
    return replace(schematron, patterns=patterns), list(dict.fromkeys(faults))


# --- findings ------------------------------------------------------------------------------------------------------------

_STEP: Final = re.compile(r"/(?P<attribute>@)?(?:Q\{(?P<space>[^}]*)\})?(?P<name>[^/\[\]]+)(?:\[(?P<number>\d+)\])?")


def _node_at(root: etree._Element, path: str) -> tuple[etree._Element | None, str]:
    """The element at a path such as "/Q{ns}a[1]/Q{}b[2]/@c" and the rest of the path, "" or "/@c"."""
    node: etree._Element | None = None
    for step in _STEP.finditer(path):
        if step["attribute"]:
            return node, f"/@{step['name']}"
        if "(" in step["name"]:
            return node, ""
        tag = f"{{{step['space']}}}{step['name']}" if step["space"] else step["name"]
        if node is None:
            node = root if root.tag == tag else None
            if node is None:
                return None, ""
            continue
        number = int(step["number"] or 1)
        node = next((child for place, child in enumerate(node.iterchildren(tag), start=1) if place == number), None)
        if node is None:
            return None, ""
    return node, ""


def _finding(assertion: Assertion) -> Finding:
    text = assertion.text or f"Die Regel {assertion.id} des Standards ist verletzt."
    found = say("schematron", {"id": assertion.id, "text": text}, severity=Severity.WARNING if assertion.hint else None)
    return replace(found, rule=f"schematron:{assertion.id}")


def _not_evaluated(name: str) -> Finding:
    which = (f"Die Regel {name} des Standards ließ sich", f"Rule {name} of the standard") if name else (
        "Die Regeln des Standards ließen sich", "The rules of the standard")
    return say("schematron-not-evaluated", {"which": which})
