"""The judge. Believes only what the portal was told and what stands in the case systems' own registers.

The gateway is asked nothing but which dead letters a person can see: that is where an undelivered submission must be.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.demo.posting import Expected, Post


@dataclass(frozen=True, slots=True)
class Case:
    """What one case system has made of one delivery. digest: SHA-256 of what arrived, hex. predecessor: case number that
    came along with a copy."""

    target: str
    delivery: str
    number: str | None
    reference: str
    digest: str
    received_at: str
    leistung: str
    predecessor: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the portal was told for one post. receipt: of a 202, else the problem. tries: connections broken included."""

    post: Post
    status: int
    said: Mapping[str, Any] = field(repr=False)
    tries: int = 1

    @property
    def accepted(self) -> bool:
        return self.status == 202


@dataclass(frozen=True, slots=True)
class Verdict:
    """Numbers of posts, by Leistung and in all. Everything in the second half must be empty; texts say what and where.

    delivered: their every delivery is in a register. waiting: a dead letter that is seen.
    """

    sent: int
    accepted: int
    repeated: int
    refused: int
    delivered: int
    dead: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    changed: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def kept(self) -> bool:
        return not (self.lost or self.doubled or self.changed or self.unexpected)


def judge(answers: Iterable[Answer], cases: Iterable[Case], dead: Collection[str], *, final: bool = False) -> Verdict:
    """answers: every post has one. dead: ids of deliveries that wait for a person. final: everything has been repaired, so
    that only what was to be held may still be among them, and all of it must be."""
    by_delivery: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_delivery[case.delivery].append(case)
    answers = list(answers)
    first = {answer.post.no: answer for answer in answers}
    lost, doubled, changed, unexpected = [], list(_doubled(by_delivery)), [], []
    accepted: dict[str, Answer] = {}
    repeated = delivered = waiting = 0
    for answer in answers:
        label = f"{answer.post.leistung}/{answer.post.label}"
        if not answer.accepted:
            if answer.post.expected is not Expected.REFUSED:
                unexpected.append(f"{label}: {answer.status} {answer.said.get('type', '')}")
            continue
        if answer.post.expected is Expected.REFUSED:
            unexpected.append(f"{label}: angenommen, obwohl fehlerhaft")
        if answer.post.expected is Expected.SAME:
            earlier = first[answer.post.again] if answer.post.again is not None else answer
            repeated += answer.said["id"] == earlier.said.get("id")
            if answer.said["id"] != earlier.said.get("id"):
                doubled.append(f"{label}: die Wiederholung bekam eine andere Eingangsbestätigung")
            continue
        if answer.said["id"] in accepted:
            lost.append(f"{label}: bekam die Eingangsbestätigung einer anderen Einreichung")
            continue
        accepted[answer.said["id"]] = answer
        open_ = [d["id"] for d in answer.said["deliveries"] if d["id"] not in by_delivery]
        if open_ and any(one in dead for one in open_):  # a copy waits until the case is there
            waiting += 1
        elif open_:
            lost.append(f"{label}: {answer.said['reference']}")
        else:
            delivered += 1
        changed += [f"{label}: {what}" for what in _changed(answer, by_delivery)]
        if final and answer.post.expected in (Expected.DELIVERED, Expected.HELD):
            is_dead = any(d["id"] in dead for d in answer.said["deliveries"])
            if is_dead != (answer.post.expected is Expected.HELD):
                unexpected.append(f"{label}: {'noch' if is_dead else 'kein'} Klärfall")
    known = {d["id"] for answer in accepted.values() for d in answer.said["deliveries"]}
    doubled += [
        f"{found[0].target}: {found[0].number or one} hat niemand eingereicht"
        for one, found in by_delivery.items() if one not in known
    ]  # fmt: skip
    return Verdict(
        sent=len(answers), accepted=len(accepted), repeated=repeated, refused=sum(not answer.accepted for answer in answers),
        delivered=delivered, dead=waiting, lost=tuple(lost), doubled=tuple(doubled), changed=tuple(changed),
        unexpected=tuple(unexpected),
    )  # fmt: skip


def cases_of(register: Path, target: str) -> Iterator[Case]:
    """A simulated case system's register, whole lines only. No file yet: no case yet."""
    if not register.exists():
        return
    for line in register.read_bytes().split(b"\n")[:-1]:
        entry = json.loads(line)
        yield Case(
            target, entry["delivery_id"], entry["case_number"], entry["reference"], entry["digest"], entry["received_at"],
            entry["leistung"],
        )  # fmt: skip


def copies_of(folder: Path, target: str) -> Iterator[Case]:
    """What the folder connector has put down: a message counts once it is there whole, under its own name."""
    for message in sorted(folder.glob("*.xml")):
        manifest = json.loads((folder / message.stem / "manifest.json").read_text(encoding="utf-8"))
        yield Case(
            target, manifest["delivery_id"], None, manifest["reference"], hashlib.sha256(message.read_bytes()).hexdigest(),
            manifest["received_at"], manifest["leistung"], manifest.get("predecessor"),
        )  # fmt: skip


def _doubled(by_delivery: Mapping[str, list[Case]]) -> Iterator[str]:
    """More than one case for one delivery, for one reference in one system, or for the same message."""
    references: dict[tuple[str, str], str] = {}
    digests: dict[tuple[str, str], str] = {}
    for delivery, found in by_delivery.items():
        case = found[0]
        if len(found) > 1:
            yield f"{case.target}: {', '.join(each.number or each.delivery for each in found)} für eine Übermittlung"
        for seen, mark in ((references, case.reference), (digests, case.digest)):
            if seen.setdefault((case.target, mark), delivery) != delivery:
                yield f"{case.target}: {case.number or delivery} ist zum zweiten Mal da"


def _changed(answer: Answer, by_delivery: Mapping[str, list[Case]]) -> Iterator[str]:
    """The bytes of a message and the time of receipt travel unchanged; a copy names the case it belongs to."""
    received = datetime.fromisoformat(answer.said["received_at"])
    digest = hashlib.sha256(answer.post.body).hexdigest()
    found = [case for d in answer.said["deliveries"] for case in by_delivery.get(d["id"], ())]
    numbers = {case.number for case in found if case.number is not None}
    for case in found:
        if not answer.post.form and case.digest != digest:
            yield f"{case.target} bekam anderen Inhalt"
        if datetime.fromisoformat(case.received_at) != received:
            yield f"{case.target} bekam eine andere Eingangszeit"
        if case.number is None and case.predecessor not in numbers:
            yield f"{case.target} kennt das Aktenzeichen nicht"
