"""P5 where the journal is elsewhere: while the disk of PostgreSQL is full nothing is acknowledged, quickly; then all goes on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.campaign import Campaign, under_load
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.matrix import note
from tests.chaos.processes import until
from tests.chaos.small_disk import SmallDisk, small_disk
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.xdist_group("cluster"), pytest.mark.timeout(240)]

MIB = 1 << 20
LATE = 12.0
"""Seconds within which a no must come, however busy this machine is."""


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    """Where the user that PostgreSQL runs as can get to, too."""
    with tempfile.TemporaryDirectory(prefix="nahtlos-disk-") as folder:
        Path(folder).chmod(0o755)
        with small_disk(Path(folder) / "disk", size=160 * MIB) as mounted:
            mounted.folder.chmod(0o777)
            yield mounted


def test_a_full_disk_of_the_database_acknowledges_nothing_and_loses_nothing(disk: SmallDisk, tmp_path: Path, long: int) -> None:
    with (
        PostgresServer(disk=disk.folder, min_wal_size="32MB", max_wal_size="48MB") as database,
        cluster(tmp_path, database, intakes=1, workers=1) as several,
    ):
        several.start(margin=3.0)
        with under_load(several, tmp_path, form="PostgreSQL") as campaign:
            for n in range(min(long, 5)):
                campaign.strike("PostgreSQL", "Platte voll", partial(_fill, disk, several, campaign, refusals=5 + 50 * n))
            campaign.finish()
    if long > 1:
        note(campaign.rows())
    assert campaign.verdict is not None
    assert campaign.verdict.kept, campaign.verdict
    assert not campaign.faults
    assert max(line["seconds"] for line in _refusals(tmp_path)) < LATE


def _fill(disk: SmallDisk, several: Cluster, campaign: Campaign, *, refusals: int) -> None:
    """Until portals are told no so often, and then space again. A database that ended is started by whoever looks after it."""
    before = len(_refusals(campaign.folder))

    def refused() -> bool:
        disk.leave(0)
        return len(_refusals(campaign.folder)) >= before + refusals

    until(refused, within=90, what="portals are told no")
    disk.give_back()
    if not several.database.is_alive():
        several.database.start()


def _refusals(folder: Path) -> list[dict[str, float]]:
    """But for a line that is being written."""
    whole, _, _ = (folder / "client.jsonl").read_text("utf-8").rpartition("\n")
    return [line for line in map(json.loads, whole.splitlines()) if line["status"] in (503, 507)]
