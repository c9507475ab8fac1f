"""What was learned of a package when it was installed, and lies beside it ever since: reading it costs milliseconds, learning
it cost seconds and a second schema engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.rules.codelists import CodeLists
from gateway.rules.codeuse import CodeTable
from gateway.rules.genericode import CodeListFault
from gateway.rules.ruleset import RuleSet

FOLDER: Final = "knowledge"
CODES: Final = "codes.json"
LISTS: Final = "codelists"
RULES: Final = "rules.json"


@dataclass(frozen=True, slots=True)
class Knowledge:
    """codes: where codes stand. lists: those that came with the package. rules: Schematron, without what does not compile."""

    codes: CodeTable = field(default_factory=CodeTable)
    lists: CodeLists = field(default_factory=CodeLists)
    rules: RuleSet = field(default_factory=RuleSet)

    @classmethod
    def of(cls, package: Path) -> Knowledge:
        """Empty where a package was not installed but written. Raises ``ValueError`` where it is damaged or of an older
        format: then the release has to be added again."""
        folder = package / FOLDER
        codes, rules = _json(folder / CODES), _json(folder / RULES)
        try:
            lists = CodeLists.open(folder / LISTS) if (folder / LISTS).is_dir() else CodeLists()
        except CodeListFault as fault:
            raise ValueError(str(fault)) from None
        return cls(
            CodeTable() if codes is None else CodeTable.from_json(codes), lists,
            RuleSet() if rules is None else RuleSet.from_json(rules),
        )


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.is_file() else None
