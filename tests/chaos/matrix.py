"""The kill matrix: what was done to what, under how much load, and what came of it.

Tests write lines with ``note``; ``python -m tests.chaos.matrix`` puts those of the last run into the operators' handbook.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from tests.conftest import ROOT

NOTES = ROOT / ".cache" / "kill-matrix.jsonl"
HANDBOOK = ROOT / "deploy" / "README.md"
BEGIN, END = "<!-- kill-matrix -->", "<!-- /kill-matrix -->"


@dataclass(frozen=True, slots=True)
class Row:
    """form: of the gateway. times: how often it was struck. submissions: begun by the portal meanwhile; acknowledged: of
    these. replayed: dead letters that a person had to replay."""

    form: str
    component: str
    fault: str
    times: int
    submissions: int
    acknowledged: int
    lost: int
    doubled: int
    replayed: int = 0


def note(rows: Iterable[Row]) -> None:
    NOTES.parent.mkdir(exist_ok=True)
    with NOTES.open("a", encoding="utf-8") as notes:
        notes.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def rendered(rows: Iterable[Row], *, at: datetime, machine: str) -> str:
    """German Markdown: one line for each fault of each component, those of several runs added up."""
    totals: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        total = totals.setdefault((row.form, row.component, row.fault), [0] * 6)
        for place, n in enumerate((row.times, row.submissions, row.acknowledged, row.lost, row.doubled, row.replayed)):
            total[place] += n
    lines = [
        f"Gemessen am {at:%d.%m.%Y} mit `make chaos` ({machine}).", "",
        "| Form | Getroffen | Störung | Male | Einreichungen | davon bestätigt | verloren | doppelt | von Hand wiederholt |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
        *(f"| {' | '.join(key)} | {' | '.join(_number(n) for n in total)} |" for key, total in sorted(totals.items())),
        f"| **Summe** | | | {' | '.join(f'**{_number(sum(column))}**' for column in zip(*totals.values(), strict=True))} |",
    ]  # fmt: skip
    return "\n".join(lines)


def inserted(handbook: str, table: str) -> str:
    """Between its markers. Raises ``ValueError`` where there are none."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(handbook):
        raise ValueError(f"{HANDBOOK} has no place for it: {BEGIN} … {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n{table}\n{END}", handbook)


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} Kerne, {memory:.0f} GiB, {platform.system()} {platform.release().partition('-')[0]}"


def _number(n: int) -> str:
    return f"{n:,}".replace(",", ".")


def main() -> None:
    rows = [Row(**json.loads(line)) for line in NOTES.read_text("utf-8").splitlines()]
    table = rendered(rows, at=datetime.now(UTC), machine=machine())
    NOTES.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    print(table)
    if HANDBOOK.exists():
        HANDBOOK.write_text(inserted(HANDBOOK.read_text("utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
