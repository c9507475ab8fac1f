"""One table says everything that can be wrong: every finding is made from it, and schemas/README.md shows it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.findings import Severity
from gateway.vocabulary import RULES, Rule, say
from tests.conftest import ROOT

SOURCES = sorted((ROOT / "gateway").rglob("*.py"))
MAY_BUILD = {"gateway/vocabulary.py", "gateway/checks/sandbox.py"}  # the table, and the way back out of a child process
CODE = re.compile(r"[TXVS]\d{3}")


def calls(path: Path, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in names:
                yield node


def test_no_finding_is_made_anywhere_else() -> None:
    """Others may have a class of that name; what counts is the one of ``gateway.findings``."""
    built = {
        path.relative_to(ROOT).as_posix() for path in SOURCES
        if re.search(r"from gateway\.findings import|from gateway import .*findings", path.read_text(encoding="utf-8"))
        and any(calls(path, "Finding"))
    }
    assert built == MAY_BUILD


def test_every_rule_of_the_table_is_used_and_every_used_rule_is_in_the_table() -> None:
    said = {text for path in SOURCES if path.name != "vocabulary.py" for text in _words(path)}
    unused = {key for key in RULES if key not in said}
    assert not unused
    for path in SOURCES:
        if "from gateway.vocabulary import" not in path.read_text(encoding="utf-8"):
            continue
        for call in calls(path, "say"):
            first = call.args[0] if call.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                assert first.value in RULES, (path.name, first.value)


def _words(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize(("key", "rule"), RULES.items(), ids=RULES)
def test_each_rule_has_a_neutral_code_and_a_sentence_in_both_languages(key: str, rule: Rule) -> None:
    assert CODE.fullmatch(rule.code)
    assert re.fullmatch(r"[a-z][a-z0-9-]*(#[a-z0-9-]+)?", key)
    for text in (rule.de, rule.en):
        assert text[0].isupper() or text[0] == "{"
        assert text.endswith((".", "}"))
    assert set(re.findall(r"{(\w+)}", rule.de)) >= set(re.findall(r"{(\w+)}", rule.en)) - {"id"}
    assert not re.search(r"\b(ae|oe|ue)\b|Zustell|abgelehnt|Vorgang", rule.de)


def test_a_pair_of_words_is_german_and_english_and_braces_in_words_are_words() -> None:
    finding = say("type", {"place": ("des Elements „{x}“", "the element “{x}”"), "what": ("ein Tag", "a day")}, line=3)
    assert finding.de == "Der Wert des Elements „{x}“ muss ein Tag sein."
    assert finding.en == "The value of the element “{x}” must be a day."
    assert (finding.code, finding.rule, finding.line, finding.severity) == ("X001", "type", 3, Severity.ERROR)
    assert say("code-list-unnamed").severity is Severity.WARNING
    assert say("type#base64").rule == "type"


def test_the_readme_shows_the_table() -> None:
    text = (ROOT / "schemas" / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- findings -->\n(.*?)<!-- /findings -->", text, re.DOTALL)
    assert shown is not None
    assert shown[1] == table(), "write what tests/unit/test_vocabulary.py: table() returns between the marks"


def table() -> str:
    rows = ["| code | rule | | Deutsch | English |", "|---|---|---|---|---|"]
    for key, rule in RULES.items():
        mark = "hint" if rule.severity is Severity.WARNING else ""
        rows.append(f"| {rule.code} | `{key.partition('#')[0]}` | {mark} | {_shown(rule.de)} | {_shown(rule.en)} |")
    return "\n".join(rows) + "\n"


def _shown(text: str) -> str:
    return re.sub(r"{\w+}", "…", text).replace("|", "\\|")


if __name__ == "__main__":
    print(table(), end="")
