"""Writes the XSLT that judges a document by Schematron rules, for those rules that can apply to it.

One mode for each pattern; in it a node is judged by the first rule that matches, as ISO 19757-3 says. The result is text:
a line for each fault, the number of the assertion and the path of the node. Paths are computed for the first few only,
because a path costs as much as the node has siblings. An assertion that cannot be evaluated on a document (a number that
is none) is told as such and does not end the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from gateway.rules.schematronfile import Assertion, Let, Rule, Schematron

_X: Final = "{http://www.w3.org/1999/XSL/Transform}"
_OTHER_NODES: Final = re.compile(r"@|::|\(")
_OURS: Final = "urn:nahtlos:rules"


@dataclass(frozen=True, slots=True)
class Sheet:
    """text: the stylesheet. assertions: by number, from 1."""

    text: str
    assertions: tuple[Assertion, ...]


def write(schematron: Schematron, patterns: Iterable[tuple[Rule, ...]], *, most: int) -> Sheet:
    """patterns: those rules of ``schematron`` that are wanted, in its order."""
    spaces = {"xsl": _X[1:-1], "nahtlos": _OURS, "xs": "http://www.w3.org/2001/XMLSchema",
              **schematron.namespaces}
    root = etree.Element(_X + "stylesheet", {"version": "3.0", "expand-text": "no"}, nsmap=spaces)
    etree.SubElement(root, _X + "output", method="text", encoding="utf-8")
    _lets(root, schematron.lets)
    wanted = list(patterns)
    _main(root, len(wanted), most)
    assertions: list[Assertion] = []
    for number, rules in enumerate(wanted):
        mode = f"nahtlos:m{number}"
        etree.SubElement(root, _X + "mode", {"name": mode, "on-no-match": "shallow-skip"})
        deeper = "@* | node()" if any(map(_needs_more_than_elements, rules)) else "*"
        etree.SubElement(
            etree.SubElement(root, _X + "template", match="/ | *", mode=mode, priority="0"), _X + "apply-templates",
            select=deeper, mode=mode,
        )
        for place, rule in enumerate(rules):
            template = etree.SubElement(root, _X + "template", match=rule.context, mode=mode, priority=str(len(rules) - place))
            _lets(template, rule.lets)
            for assertion in rule.assertions:
                assertions.append(assertion)
                _judge(template, assertion, len(assertions))
            etree.SubElement(template, _X + "apply-templates", select=deeper, mode=mode)
    return Sheet(etree.tostring(root, encoding="unicode"), tuple(assertions))


def _main(root: etree._Element, modes: int, most: int) -> None:
    template = etree.SubElement(root, _X + "template", match="/")
    found = etree.SubElement(template, _X + "variable", {"name": "nahtlos:found", "as": "item()*"})
    for number in range(modes):
        etree.SubElement(found, _X + "apply-templates", select="/", mode=f"nahtlos:m{number}")
    lines = etree.SubElement(template, _X + "for-each", select=f"1 to min(({most}, count($nahtlos:found) idiv 2))")
    etree.SubElement(lines, _X + "value-of", select=(
        "concat($nahtlos:found[2 * current() - 1], ' ', path($nahtlos:found[2 * current()]), codepoints-to-string(10))"
    ))


def _judge(template: etree._Element, assertion: Assertion, number: int) -> None:
    tried = etree.SubElement(template, _X + "try")
    wrong = assertion.test if assertion.when else f"not({assertion.test})"
    etree.SubElement(etree.SubElement(tried, _X + "if", test=wrong), _X + "sequence", select=f"{number}, .")
    etree.SubElement(etree.SubElement(tried, _X + "catch", errors="*"), _X + "sequence", select=f"-{number}, .")


def _lets(parent: etree._Element, lets: Iterable[Let]) -> None:
    for let in lets:
        etree.SubElement(parent, _X + "variable", name=let.name, select=let.value)


def _needs_more_than_elements(rule: Rule) -> bool:
    return _OTHER_NODES.search(rule.context) is not None
