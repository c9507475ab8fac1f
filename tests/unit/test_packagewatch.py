"""The watch over the packages: what is sound is put in force, what is not leaves the old there."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway import releases
from gateway.packagewatch import PackageWatch, fingerprint
from gateway.schemas import Registry
from tests.unit.minirelease import PLAIN, Shelf, element, xsd

OTHER = {"zwei.xsd": xsd(element("z.0001"), namespace="urn:zwei", standard="zwei")}


class Process:
    """What one gateway process has in force."""

    def __init__(self, root: Path) -> None:
        self.root, self.taken = root, list[list[str]]()
        self.watch = PackageWatch(
            lambda: (root,), self.load, self.take, seen=fingerprint((root,)),
        )

    def load(self) -> Registry:
        return Registry.load(self.root)

    def take(self, registry: Registry) -> None:
        self.taken.append(sorted(registry.packages))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


async def test_nothing_is_loaded_while_nothing_changes(shelf: Shelf) -> None:
    shelf.add(PLAIN)
    process = Process(shelf.root)
    assert await process.watch.once() is False
    assert process.taken == []


async def test_a_package_that_comes_changes_or_goes_is_taken_up(shelf: Shelf) -> None:
    process = Process(shelf.root)
    (added,) = shelf.add(PLAIN)
    assert await process.watch.once() is True
    shelf.add(OTHER)
    assert await process.watch.once() is True
    manifest = added.folder / "manifest.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('version = "1.0"', 'version = "1.0.1"'), encoding="utf-8")
    assert await process.watch.once() is True
    releases.remove("zwei", shelf.packages, roots=(shelf.root,))
    assert await process.watch.once() is True
    assert await process.watch.once() is False
    assert process.taken == [["probe@1.0"], ["probe@1.0", "zwei@1.0"], ["probe@1.0.1", "zwei@1.0"], ["probe@1.0.1"]]


async def test_the_very_first_package_is_seen_although_its_folder_did_not_exist(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    process = Process(shelf.root)
    assert not shelf.root.exists()
    shelf.add(PLAIN)
    assert await process.watch.once() is True


async def test_a_broken_package_is_told_once_and_the_old_ones_stay(shelf: Shelf) -> None:
    process = Process(shelf.root)
    (added,) = shelf.add(PLAIN)
    await process.watch.once()
    manifest = added.folder / "manifest.toml"
    good = manifest.read_text(encoding="utf-8")
    manifest.write_text(good.replace("[stages]", "[stufen]"), encoding="utf-8")
    with capture_logs() as lines:
        assert await process.watch.once() is False
        assert await process.watch.once() is False
    assert [line["event"] for line in lines] == ["packages.refused"]
    assert str(lines[0]["path"]).startswith(str(manifest))
    manifest.write_text(good, encoding="utf-8")
    assert await process.watch.once() is True
    assert process.taken == [["probe@1.0"], ["probe@1.0"]]


async def test_two_processes_over_one_folder_come_to_the_same_packages(shelf: Shelf) -> None:
    one, two = Process(shelf.root), Process(shelf.root)
    for files in (PLAIN, OTHER):
        shelf.add(files)
        assert await one.watch.once() is await two.watch.once() is True
    assert one.taken == two.taken
    assert one.watch._seen == two.watch._seen


async def test_no_reader_looks_while_a_package_takes_its_place(shelf: Shelf) -> None:
    process = Process(shelf.root)
    shelf.add(PLAIN)
    handle = os.open(shelf.packages / ".incoming" / "swap.lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    threading.Timer(0.3, os.close, (handle,)).start()
    began = time.monotonic()
    assert await process.watch.once() is True
    assert time.monotonic() - began > 0.2


def test_what_is_being_made_ready_is_not_seen(shelf: Shelf) -> None:
    shelf.add(PLAIN)
    before = fingerprint((shelf.root,))
    staged = shelf.packages / ".incoming" / "work" / "staged" / "x"
    staged.mkdir(parents=True)
    (staged / "manifest.toml").write_text("", encoding="utf-8")
    assert fingerprint((shelf.root,)) == before
