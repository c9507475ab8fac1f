"""Proves in a child process that a staged package is what it should be: for both engines, within a deadline and memory.

A schema is a program for a compiler written in C and another that knows no limits; what a hostile one does to them happens
to a process that can be killed and has nothing to give away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.config.faults import Fault
from gateway.releases.probing import Probed
from gateway.releases.refusing import Refused, refused
from gateway.releases.remarks import Remark

SECONDS: Final = 90.0
_ANSWER: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Proof:
    """elements: global ones of the standard that both engines know. unknown: those that only one of them knows. remarks:
    lint. lists, keys: code lists and their keys; list_faults: German and English. places: types that carry a code."""

    elements: tuple[str, ...]
    unknown: tuple[str, ...]
    probed: Probed
    remarks: tuple[Remark, ...]
    lists: int
    keys: int
    list_faults: tuple[tuple[str, str], ...]
    places: int
    seconds: Mapping[str, float]
    memory: int


def prove(
    folder: Path, groups: Sequence[Sequence[str]], *, codelists: Sequence[str], is_library: bool, release: str,
    seconds: float = SECONDS,
) -> Proof:
    """folder: the staged package, which gets its ``knowledge``. groups: entry files, each group one schema.

    Raises ``Refused``.
    """
    job = {"folder": str(folder), "groups": [list(one) for one in groups], "codelists": list(codelists), "library": is_library,
           "seconds": int(seconds)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "gateway.releases.provingchild"], input=json.dumps(job).encode(), capture_output=True,
            timeout=seconds, check=False, cwd="/",
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "LANG": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        raise _too_much(release) from None
    if done.returncode or not 0 < len(done.stdout) <= _ANSWER:
        raise _too_much(release)
    said: dict[str, Any] = json.loads(done.stdout)
    if said["faults"]:
        raise Refused(Fault(*fault) for fault in said["faults"])
    return Proof(
        tuple(said["elements"]), tuple(said["unknown"]),
        Probed(**{**said["probed"], "without": tuple(said["probed"]["without"])}),
        tuple(Remark(**remark) for remark in said["remarks"]), said["lists"], said["keys"],
        tuple((de, en) for de, en in said["list_faults"]), said["places"], said["seconds"], said["memory"],
    )


def _too_much(release: str) -> Refused:
    return refused(release, "die Schemas brauchen zu viel Zeit oder Speicher, oder sie bringen den Prüfer zum Absturz",
                   "the schemas need too much time or memory, or they crash the checker")
