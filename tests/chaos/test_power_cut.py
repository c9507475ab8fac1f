"""P1: what the journal has acknowledged survives a power cut at any moment, and it opens without repair.

The same images find a journal that does not sync, or speaks before it has committed: else they would prove nothing.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.sqlite import SqliteJournal
from gateway.claims import by_key
from gateway.ports import Accepted
from gateway.vault import Vault
from tests.chaos.inspection import inspect
from tests.chaos.power_cut import Image, images, record
from tests.clock import EPOCH, TurnableClock

pytestmark = pytest.mark.timeout(240)

SHARES = 3
"""Recordings, each with a seed of its own, so that they can run beside one another."""


@pytest.mark.parametrize("share", range(SHARES))
def test_nothing_acknowledged_is_lost_by_a_power_cut(tmp_path: Path, share: int, long: int) -> None:
    seen = 0
    for image in _images(tmp_path, count=100 * long, seed=100 + share):
        damage = _damage(image, tmp_path / f"image-{image.no}")
        assert not damage, f"seed {100 + share}, after call {image.no}: {damage[:5]}"
        seen += len(image.acknowledged)

    assert seen > 4_000 * long


@pytest.mark.parametrize("defect", ["off", "normal", "early"])
def test_a_journal_that_speaks_too_early_is_found(tmp_path: Path, defect: str) -> None:
    damaged = [
        bool(_damage(image, tmp_path / f"image-{image.no}"))
        for image in _images(tmp_path, count=16, seed=7, defect=defect)
    ]

    assert sum(damaged) >= 3, f"{defect}: only {sum(damaged)} of {len(damaged)} images show it"


def test_a_claim_that_was_acknowledged_still_answers_the_repeat(tmp_path: Path) -> None:
    """P4 across a power cut: the portal repeats its key and gets the receipt it may never have seen."""
    *_, image = _images(tmp_path, count=4, seed=11)
    image.lay_out(tmp_path / "image")

    found = asyncio.run(_repeat_all(tmp_path / "image", image))

    assert len(found) > 50
    assert all(expected == told for expected, told in found)


def test_a_sync_that_fails_is_never_taken_for_done(tmp_path: Path, long: int) -> None:
    """After a failed sync the system takes pages for written that are not: whatever is acknowledged later must not lean
    on them."""
    for image in _images(tmp_path, count=60 * long, seed=21, failing_syncs="30+17"):
        damage = _damage(image, tmp_path / f"image-{image.no}")
        assert not damage, f"after call {image.no}: {damage[:5]}"

    assert len(image.acknowledged) > 60, "it went on after every failure"


def test_a_journal_that_does_not_hear_of_failed_syncs_is_found(tmp_path: Path) -> None:
    """In some recordings, as the syncs fall, no failed one is the last before a cut: there are several."""
    assert any(
        _damage(image, folder / f"image-{image.no}")
        for folder in (tmp_path / f"recording-{n}" for n in range(6))
        for image in _images(folder, count=24, seed=21, failing_syncs="30+17", defect="deaf")
    )


def _images(folder: Path, *, count: int, seed: int, defect: str = "", failing_syncs: str = "") -> Iterator[Image]:
    folder.mkdir(exist_ok=True)
    if shutil.which("strace") is None:
        pytest.fail("strace is missing: as root, apt-get install strace")
    try:
        calls = record(
            [sys.executable, "-m", "tests.chaos.journal_writer", str(folder), "120", str(seed), *([defect] if defect else [])],
            into=folder, failing_syncs=failing_syncs,
        )
    except subprocess.CalledProcessError as failed:
        pytest.fail(f"the writer ended with {failed.returncode}; may this process be traced (ptrace)?")
    yield from images(calls, folder=folder / "state", count=count, seed=seed)


def _damage(image: Image, folder: Path) -> list[str]:
    """What is wrong with this disk: the journal's own faults, and every acknowledgement that it does not keep."""
    if "journal.db" not in image.files and not image.acknowledged:
        return []  # cut before there was anything
    image.lay_out(folder)
    found = asyncio.run(inspect(folder / "journal.db", folder / "keys"))
    shutil.rmtree(folder)
    lost = list(found.faults)
    for line in image.acknowledged:
        match line.split(":"):
            case "accepted", submission, delivery, digest, *_:
                if submission not in found.submissions or found.digests.get(delivery) != digest:
                    lost.append(f"lost: {submission}")
            case "at", delivery, revision, state:
                now = found.deliveries.get(delivery)
                if now is None or now.revision < int(revision) or (now.revision == int(revision) and now.state != state):
                    lost.append(f"lost: {delivery} was {state}")
    return lost


async def _repeat_all(state: Path, image: Image) -> list[tuple[str, str | None]]:
    journal = await SqliteJournal.open(
        state / "journal.db", vault=Vault.open(state / "keys"), clock=TurnableClock(), reserve=lambda total: 0
    )
    told = []
    for line in image.acknowledged:
        if line.startswith("accepted:"):
            _, submission, _, _, key, fingerprint = line.split(":")
            claim = by_key(key.encode(), at=EPOCH)
            answer = await journal.replayed("service-bw", [claim], bytes.fromhex(fingerprint))
            told.append((submission, answer.submission.id if isinstance(answer, Accepted) else None))
    await journal.aclose()
    return told
