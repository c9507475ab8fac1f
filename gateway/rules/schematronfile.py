"""Reads ISO Schematron files into plain rules: abstract rules and patterns resolved, texts flattened, faults with file and line.

What is not supported is said and never passed over: inclusion of other files, foreign XSLT, old namespaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from lxml import etree

from gateway.config.faults import Fault
from gateway.rules.xpathscreen import forbidden_in

NAMESPACE: Final = "http://purl.oclc.org/dsdl/schematron"
MAX_BYTES: Final = 16 * 1024 * 1024
_S: Final = f"{{{NAMESPACE}}}"
_BINDINGS: Final = frozenset({"xslt", "xslt1", "xslt2", "xslt3", "xpath", "xpath2", "xpath3", "xpath31"})
_ONLY_A_HINT: Final = frozenset({"warning", "warn", "info", "information", "hint", "hinweis", "warnung"})
_TEXT: Final = 1000


@dataclass(frozen=True, slots=True)
class Let:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """id: as the standard calls it, or made from file and line. when: True for a ``report``, whose test says what is wrong.
    text: as the standard words it; values that it would quote from the message are left out as "…"."""

    id: str
    test: str
    text: str
    when: bool
    hint: bool
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Rule:
    """context: XSLT pattern. lets: evaluated at each node, in order."""

    context: str
    lets: tuple[Let, ...]
    assertions: tuple[Assertion, ...]
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Schematron:
    """What one file or several say. patterns: in each, a node is judged by the first rule whose context it matches."""

    namespaces: Mapping[str, str] = field(default_factory=dict)
    lets: tuple[Let, ...] = ()
    patterns: tuple[tuple[Rule, ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Schematron:
        return cls(
            dict(said["namespaces"]), _lets(said["lets"]),
            tuple(
                tuple(
                    Rule(rule["context"], _lets(rule["lets"]), tuple(Assertion(**one) for one in rule["assertions"]),
                         rule["file"], rule["line"])
                    for rule in rules
                )
                for rules in said["patterns"]
            ),
        )


def read_schematron(file: Path) -> tuple[Schematron, list[Fault]]:
    """Never raises for what is in the file: a file that cannot be read at all is one fault and no rules."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True,
                             remove_pis=True)
    try:
        body = file.read_bytes()
        root = etree.fromstring(body[:MAX_BYTES], parser)
    except OSError as error:
        return Schematron(), [Fault(str(file), 0, f"nicht lesbar: {error.strerror}", f"cannot be read: {error.strerror}")]
    except etree.XMLSyntaxError as error:
        return Schematron(), [Fault(str(file), error.lineno or 1, "kein wohlgeformtes XML", "not well-formed XML")]
    if root.getroottree().docinfo.internalDTD is not None:
        return Schematron(), [Fault(str(file), 1, "eine Dokumenttyp-Deklaration (DOCTYPE) ist nicht erlaubt",
                                    "a DOCTYPE is not allowed")]
    return _Reading(str(file), root).run()


class _Reading:
    def __init__(self, file: str, root: etree._Element) -> None:
        self._file, self._root = file, root
        self._faults: list[Fault] = []
        self._abstract = {str(rule.get("id")): rule for rule in root.iter(_S + "rule") if rule.get("abstract") == "true"}
        self._templates = {str(one.get("id")): one for one in root.iter(_S + "pattern") if one.get("abstract") == "true"}

    def run(self) -> tuple[Schematron, list[Fault]]:
        if self._root.tag != _S + "schema":
            self._fault(self._root, "kein ISO-Schematron (Wurzelelement sch:schema)", "not ISO Schematron (root sch:schema)")
            return Schematron(), self._faults
        if self._root.get("queryBinding", "xslt").lower() not in _BINDINGS:
            self._fault(self._root, "diese Abfragesprache (queryBinding) wird nicht unterstützt",
                        "this queryBinding is not supported")
            return Schematron(), self._faults
        self._refuse_foreign()
        active = self._active_patterns()
        patterns, lets = [], [*self._lets(self._root, {})]
        for node in self._root.iter(_S + "pattern"):
            if node.get("abstract") == "true" or (active is not None and node.get("id") not in active):
                continue
            template, values = self._instance(node)
            if template is None:
                continue
            lets += self._lets(template, values)
            rules = tuple(self._rules(template, values))
            if rules:
                patterns.append(rules)
        return Schematron(dict(self._namespaces()), tuple(lets), tuple(patterns)), self._faults

    def _namespaces(self) -> Iterator[tuple[str, str]]:
        for node in self._root.iter(_S + "ns"):
            prefix, uri = node.get("prefix", ""), node.get("uri", "")
            if not uri or not re.fullmatch(r"[^\W\d][\w.-]*", prefix) or prefix.startswith("nahtlos"):
                self._fault(node, "dieser Namensraum ist falsch vereinbart", "this namespace is declared wrongly")
            elif prefix not in ("xml", "xsl"):
                yield str(prefix), str(uri)

    def _refuse_foreign(self) -> None:
        for node in self._root.iter(etree.Element):
            if node.tag == _S + "include" or (node.tag == _S + "extends" and node.get("href") is not None):
                self._fault(node, "bindet eine andere Datei ein; das wird nicht unterstützt",
                            "includes another file; not supported")
            elif node.tag.startswith("{http://www.w3.org/1999/XSL/Transform}"):
                self._fault(node, "enthält XSLT-Anweisungen; das wird nicht unterstützt",
                            "holds XSLT instructions; not supported")

    def _active_patterns(self) -> frozenset[str | None] | None:
        """Of the default phase; ``None`` for all."""
        chosen = self._root.get("defaultPhase", "#ALL")
        phase = next((one for one in self._root.iter(_S + "phase") if one.get("id") == chosen), None)
        return None if phase is None else frozenset(one.get("pattern") for one in phase.iter(_S + "active"))

    def _instance(self, node: etree._Element) -> tuple[etree._Element | None, dict[str, str]]:
        name = node.get("is-a")
        if name is None:
            return node, {}
        if name not in self._templates:
            self._fault(node, f"das abstrakte Muster {name} fehlt", f"the abstract pattern {name} is missing")
            return None, {}
        return self._templates[name], {str(one.get("name")): str(one.get("value", "")) for one in node.iter(_S + "param")}

    def _rules(self, pattern: etree._Element, values: Mapping[str, str]) -> Iterator[Rule]:
        for node in pattern.iterchildren(_S + "rule"):
            if node.get("abstract") == "true":
                continue
            context = _filled(node.get("context", ""), values)
            if not context.strip():
                self._fault(node, "die Regel hat keinen Kontext", "the rule has no context")
                continue
            if (called := forbidden_in(context)) is not None:
                self._fault(node, f"der Kontext verwendet {called}; das ist nicht erlaubt",
                            f"the context uses {called}; not allowed")
                continue
            lets, assertions = self._content(node, values, ())
            if assertions:
                yield Rule(context, tuple(lets), tuple(assertions), self._file, _line(node))

    def _content(
        self, rule: etree._Element, values: Mapping[str, str], above: tuple[etree._Element, ...]
    ) -> tuple[list[Let], list[Assertion]]:
        lets, assertions = list(self._lets(rule, values)), list[Assertion]()
        for child in rule.iterchildren(_S + "extends", _S + "assert", _S + "report"):
            if child.tag != _S + "extends":
                assertion = self._assertion(child, values)
                if assertion is not None:
                    assertions.append(assertion)
                continue
            base = self._abstract.get(str(child.get("rule")))
            if base is None or base in above:
                if child.get("href") is None:
                    self._fault(child, f"die abstrakte Regel {child.get('rule')} fehlt oder erweitert sich selbst",
                                f"the abstract rule {child.get('rule')} is missing or extends itself")
                continue
            more_lets, more = self._content(base, values, (*above, base))
            lets += more_lets
            assertions += more
        return lets, assertions

    def _assertion(self, node: etree._Element, values: Mapping[str, str]) -> Assertion | None:
        test = _filled(node.get("test", ""), values)
        name = node.get("id") or f"{Path(self._file).name}:{_line(node)}"
        if (called := forbidden_in(test)) is not None or not test.strip():
            what = (f"verwendet {called}; das ist nicht erlaubt", f"uses {called}; not allowed") if called else (
                "hat keinen Test", "has no test")
            self._faults.append(Fault(self._file, _line(node), *(f"{name}: {said}" for said in what)))
            return None
        role = (node.get("role") or node.get("flag") or "").strip().lower()
        return Assertion(name, test, _text(node), node.tag == _S + "report", role in _ONLY_A_HINT, self._file, _line(node))

    def _lets(self, node: etree._Element, values: Mapping[str, str]) -> Iterator[Let]:
        for let in node.iterchildren(_S + "let"):
            value = let.get("value")
            called = None if value is None else forbidden_in(value)
            if value is None or called:
                self._fault(let, "diese Variable (let) wird nicht unterstützt", "this variable (let) is not supported")
            else:
                yield Let(str(let.get("name")), _filled(value, values))

    def _fault(self, node: etree._Element, de: str, en: str) -> None:
        self._faults.append(Fault(self._file, _line(node), de, en))


def together(all_of: Iterable[Schematron]) -> tuple[Schematron, list[Fault]]:
    """Several files of one package as one. A file in which a prefix means something else than before is left out."""
    total, faults = Schematron(), list[Fault]()
    for one in all_of:
        if any(total.namespaces.get(prefix, uri) != uri for prefix, uri in one.namespaces.items()):
            rule = next((rule for rules in one.patterns for rule in rules), None)
            faults.append(Fault(rule.file if rule else "", 1,
                                "ein Präfix steht für einen anderen Namensraum als in den anderen Dateien",
                                "a prefix stands for another namespace than in the other files"))
            continue
        total = replace(total, namespaces={**total.namespaces, **one.namespaces}, lets=total.lets + one.lets,
                        patterns=total.patterns + one.patterns)
    return total, faults


def _lets(said: Iterable[Mapping[str, str]]) -> tuple[Let, ...]:
    return tuple(Let(one["name"], one["value"]) for one in said)


def _filled(expression: str, values: Mapping[str, str]) -> str:
    """Parameters of an abstract pattern stand as $name; other variables are left."""
    return re.sub(r"\$([\w.-]+)", lambda found: values.get(found[1], found[0]), expression) if values else expression


def _text(node: etree._Element) -> str:
    parts = [node.text or ""]
    for child in node:
        parts.append("…" if child.tag in (_S + "value-of", _S + "name") else _text(child))
        parts.append(child.tail or "")
    return " ".join("".join(parts).split())[:_TEXT]


def _line(node: etree._Element) -> int:
    line: object = node.sourceline
    return line if isinstance(line, int) else 1
