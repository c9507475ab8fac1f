"""``make bench``: what the gateway costs, as ratios against its own stages, or against others, measured in the same run.

Machines are noisy and disks fickle, so no absolute number is a goal. The table goes to the terminal, everything to
``.cache/bench.json``, the growth table to ``.cache/growth.md``. ``--quick`` measures less long and less often, ``--only`` some
parts; a bar that is missed ends with exit 1, and so does a part that could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench.bench import Bench
from tests.bench.child import NotMeasured, busy
from tests.bench.distributed import databases, intakes
from tests.bench.disturbed import backlog, outages
from tests.bench.growth import growth
from tests.bench.single import accepting, delivering, idling, refusing, remembering, schemas
from tests.bench.versus import comparing
from tests.conftest import ROOT

Part = Callable[[Bench], None]

PARTS: Final[tuple[Part, ...]] = (
    accepting, delivering, comparing, databases, intakes, outages, backlog, refusing, remembering, idling, growth, schemas,
)
QUIET = 0.1
"""Share of the machine that others may use while something is measured."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", default=[], metavar="PART", choices=(names := [part.__name__ for part in PARTS]),
                        help=", ".join(names))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers of our own would outlive us
    with tempfile.TemporaryDirectory(prefix="nahtlos-bench-") as folder:
        bench = Bench(Path(folder), quick=given.quick)
        try:
            loud = [run(bench, part) for part in PARTS if not given.only or part.__name__ in given.only]
        finally:
            bench.close()
    held = bench.show()
    if any(loud):
        print(f"Others used up to {max(loud):.0%} of this machine meanwhile: the numbers are worth little.", file=sys.stderr)
    write(bench)
    raise SystemExit(0 if held else 1)


def run(bench: Bench, part: Part) -> float:
    """The share of the machine that others used, where it was too much."""
    others = busy()
    print(f"{part.__name__} (others use {others:.0%} of this machine)", file=sys.stderr, flush=True)
    bench.numbers[f"used by others before {part.__name__}"] = round(others, 3)
    try:
        part(bench)
    except NotMeasured as reason:
        bench.missing.append(f"{part.__name__} was not measured: {reason}")
        bench.say(bench.missing[-1])
    return others if others > QUIET else 0.0


def write(bench: Bench) -> None:
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    result: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count(), "python": platform.python_version(),
        "machine": platform.machine(), "quick": bench.quick, "numbers": bench.numbers, "not measured": bench.missing,
        "bars": [dict(zip(("name", "value", "relation", "bound", "held"), row, strict=True)) for row in bench.rows],
    }
    (cache / "bench.json").write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
