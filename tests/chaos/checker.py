"""The independent judge: what the client was told against what the case systems hold.

It knows nothing of the gateway. It reads two kinds of JSON lines, written outside the system under test:

client log, one line per answer or broken connection::

    {"key": "…", "digest": "<sha256 hex of the posted message>", "status": 202 | null, "submission": "…", "deliveries": ["…"]}

receiver log, one line per case that a case system has made::

    {"delivery_id": "…", "digest": "<sha256 hex of what arrived>", "case_number": "…"}
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """Each list names keys or delivery ids; all empty means that every promise was kept.

    lost: acknowledged, and no case. doubled: more than one case for one delivery or for one message. corrupted: a case
    with other bytes than were sent. unstable: one key, two receipts. invented: a case that nobody posted.
    """

    acknowledged: int
    cases: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    corrupted: list[str] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        return not (self.lost or self.doubled or self.corrupted or self.unstable or self.invented)


def judge(client: Path, receivers: Iterable[Path]) -> Verdict:
    """Every message is expected to be unlike every other (its own UUID), so that equal bytes twice are a doubled case."""
    receipts: dict[str, set[tuple[str, tuple[str, ...]]]] = defaultdict(set)
    digest_of_key: dict[str, str] = {}
    for line in _lines(client):
        digest_of_key[line["key"]] = line["digest"]
        if line["status"] == 202:
            receipts[line["key"]].add((line["submission"], tuple(line["deliveries"])))

    cases: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for receiver in receivers:
        for line in _lines(receiver):
            cases[line["delivery_id"]].append(line)

    sent = set(digest_of_key.values())
    of_digest: dict[str, set[str]] = defaultdict(set)
    doubled, invented = set(), set()
    for delivery, made in cases.items():
        if len({case["case_number"] for case in made}) > 1:
            doubled.add(delivery)
        for case in made:
            of_digest[case["digest"]].add(delivery)
            if case["digest"] not in sent:
                invented.add(delivery)
    doubled |= {delivery for those in of_digest.values() if len(those) > 1 for delivery in those}

    lost, corrupted = [], []
    for key, told in receipts.items():
        for delivery in {d for _, deliveries in told for d in deliveries}:
            if delivery not in cases:
                lost.append(key)
            elif any(case["digest"] != digest_of_key[key] for case in cases[delivery]):
                corrupted.append(key)
    return Verdict(
        acknowledged=len(receipts),
        cases=len(cases),
        lost=sorted(set(lost)),
        doubled=sorted(doubled),
        corrupted=sorted(set(corrupted)),
        unstable=sorted(key for key, told in receipts.items() if len(told) > 1),
        invented=sorted(invented),
    )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines only: a log that was cut off by a kill may end in half a line, which nobody was told of."""
    with path.open(encoding="utf-8") as log:
        for line in log:
            if line.endswith("\n"):
                yield json.loads(line)
