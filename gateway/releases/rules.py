"""Compiles the Schematron of a release, assertion by assertion, so that a broken one is named now and not by a message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.config.faults import Fault
from gateway.packages.knowledge import FOLDER, RULES
from gateway.rules import schematron
from gateway.rules.saxon import RulesUnavailable, Saxon, is_installed

_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class RuleReport:
    """assertions: that can be used. compiled: by the engine; False where it is not installed. faults: German and English."""

    files: int = 0
    assertions: int = 0
    compiled: bool = False
    faults: tuple[tuple[str, str], ...] = ()


def compile_rules(folder: Path, names: Sequence[str]) -> RuleReport:
    """Keeps what compiles in ``knowledge``; what does not is told, and left out from then on."""
    files = [folder / name for name in names]
    if not files:
        return RuleReport()
    engine = Saxon(deadline=_SECONDS) if is_installed() else None
    told: list[tuple[str, str]] = []
    try:
        ready, broken = schematron.prepare(files, engine)
    except RulesUnavailable as unavailable:
        told.append((f"Schematron: die Regeln ließen sich nicht übersetzen ({unavailable.why})",
                     f"Schematron: the rules could not be compiled ({unavailable.why})"))
        ready, broken = schematron.prepare(files, None)
    finally:
        if engine is not None:
            engine.close()
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / RULES).write_text(json.dumps(ready.to_json(), ensure_ascii=False), encoding="utf-8")
    if engine is None and ready.assertions:
        told.append(("Schematron wurde nicht übersetzt: pip install 'nahtlos[schematron]'",
                     "Schematron was not compiled: pip install 'nahtlos[schematron]'"))
    compiled = engine is not None and not told
    return RuleReport(len(files), ready.assertions, compiled, (*told, *(_said(fault, folder) for fault in broken)))


def _said(fault: Fault, folder: Path) -> tuple[str, str]:
    place = fault.file.removeprefix(f"{folder}/release/") + (f":{fault.line}" if fault.line else "")
    return f"{place}: {fault.de}", f"{place}: {fault.en}"
