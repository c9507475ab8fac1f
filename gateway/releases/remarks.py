"""What lint has to say of a schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remark:
    """rule: stable name. file, line: of the first place. count: places."""

    rule: str
    de: str
    en: str
    file: str = ""
    line: int = 0
    count: int = 1


def summary(remarks: Iterable[Remark]) -> list[Remark]:
    """One remark for each rule, the first of its kind with all places counted; facts are all kept."""
    found: dict[str, Remark] = {}
    kept: list[Remark] = []
    for remark in remarks:
        if remark.rule == "engines-differ":
            kept.append(remark)
        elif remark.rule in found:
            first = found[remark.rule]
            found[remark.rule] = Remark(first.rule, first.de, first.en, first.file, first.line, first.count + remark.count)
        else:
            found[remark.rule] = remark
    return [*kept, *found.values()]
