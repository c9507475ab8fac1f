"""Packages come and go in one step, and what lies there is what was published."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import releases
from gateway.releases import InUse, Refused, Unknown
from gateway.releases import shelf as shelves
from gateway.schemas import Registry
from tests.unit.minirelease import PLAIN, Shelf, element, xsd

OTHER = {"zwei.xsd": xsd(element("z.0001"), namespace="urn:zwei", standard="zwei")}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def ids(shelf: Shelf) -> list[str]:
    return sorted(Registry.load(shelf.root).packages)


def test_a_package_appears_only_when_all_of_it_is_there(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        seen.append({path.parent.name for path in shelf.packages.glob("*/manifest.toml")})
        assert ids(shelf) == []
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    shelf.add(PLAIN)
    monkeypatch.undo()
    assert seen == [set()]
    assert ids(shelf) == ["probe@1.0"]


def test_when_the_last_step_fails_all_steps_are_undone(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.add(PLAIN)
    before = shelf.contents()
    rename, done = Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        done.append(self)
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space"):
        shelf.add({"probe.xsd": PLAIN["probe.xsd"].replace(b"xs:int", b"xs:date")}, replace=True)
    monkeypatch.undo()
    assert shelf.contents() == before


def test_what_a_killed_add_left_behind_is_no_package_and_is_cleared_away(shelf: Shelf) -> None:
    left = shelf.packages / ".incoming" / "work-x" / "staged" / "halb-1"
    left.mkdir(parents=True)
    (left / "manifest.toml").write_text('name = "halb"', encoding="utf-8")
    assert ids(shelf) == []
    shelf.add(PLAIN)
    assert not left.exists()


def test_two_who_add_the_same_at_once_make_one_package(shelf: Shelf) -> None:
    folder, outcomes = shelf.folder(PLAIN), []

    def add() -> None:
        try:
            outcomes.append(shelf.add_path(folder)[0].id)
        except Refused as refused:
            outcomes.append("schon da" if "schon da" in str(refused) else str(refused))

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["probe@1.0", "schon da"]


def test_nobody_reads_in_the_middle_of_a_swap(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader's lock and the swap exclude each other."""
    tried: list[bool] = []
    settle = shelves.settle_folder

    def probing(folder: Path) -> None:
        handle = os.open(shelf.packages / ".incoming" / "swap.lock", os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            tried.append(True)
        except BlockingIOError:
            tried.append(False)
        finally:
            os.close(handle)
        settle(folder)

    monkeypatch.setattr(shelves, "settle_folder", probing)
    shelf.add(PLAIN)
    assert tried == [False]
    with releases.unchanging(shelf.packages):
        pass


def test_an_unwritable_shelf_leaves_everything_as_it_was(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.add(OTHER)
    monkeypatch.setattr("gateway.releases.installing.settle", _no_space)
    before = shelf.contents()
    with pytest.raises(OSError, match="No space"):
        shelf.add(PLAIN)
    assert shelf.contents() == before


def _no_space(*_: Any) -> Iterator[None]:
    raise OSError(28, "No space left on device")


def test_check_tells_what_was_changed_added_or_lost_and_allows_the_manifest(shelf: Shelf) -> None:
    (added,) = shelf.add(PLAIN)
    (whole,) = releases.check(shelf.packages)
    assert (whole.faults, whole.edited) == ((), False)
    manifest = added.folder / "manifest.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8") + "\n# Notiz\n", encoding="utf-8")
    (edited,) = releases.check(shelf.packages, "probe@1.0")
    assert (edited.faults, edited.edited) == ((), True)
    (added.folder / "release" / "probe.xsd").write_bytes(PLAIN["probe.xsd"] + b" ")
    (added.folder / "release" / "neu.xsd").write_bytes(b"")
    (added.folder / "catalog.xml").unlink()
    (damaged,) = releases.check(shelf.packages, "probe")
    assert [en for _, en in damaged.faults] == [
        "catalog.xml: is missing", "release/neu.xsd: was added", "release/probe.xsd: was changed",
    ]


def test_a_package_can_be_removed_by_name_or_id_and_is_gone_at_once(shelf: Shelf) -> None:
    shelf.add(PLAIN)
    shelf.add(OTHER)
    assert releases.remove("probe", shelf.packages, roots=(shelf.root,)) == "probe@1.0"
    assert ids(shelf) == ["zwei@1.0"]
    assert releases.remove("zwei@1.0", shelf.packages, roots=(shelf.root,)) == "zwei@1.0"
    assert not [path for path in shelf.contents() if not path.endswith(".lock")]


def test_a_name_that_means_none_or_several_removes_nothing(shelf: Shelf) -> None:
    shelf.add(PLAIN)
    second = PLAIN["probe.xsd"].replace(b"standard:1.0", b"standard:1.1").replace(b"<version>1.0", b"<version>1.1")
    shelf.add({"probe.xsd": second}, "neu")
    for name in ("probe", "andere", "../probe-1.0", ""):
        with pytest.raises(Unknown):
            releases.remove(name, shelf.packages, roots=(shelf.root,))
    assert ids(shelf) == ["probe@1.0", "probe@1.1"]


LEISTUNG = """
slug = "probeleistung"
version = "1"
package = "probe@1.0"
kind = "antrag"
place = "ort"
names = { de = "Probe", en = "Probe" }
level = { "*" = "gemeinde" }
"""


def test_a_package_that_a_leistung_needs_stays(shelf: Shelf) -> None:
    shelf.add(PLAIN)
    leistung = shelf.root / "leistungen" / "probeleistung"
    leistung.mkdir(parents=True)
    (leistung / "leistung.toml").write_text(LEISTUNG, encoding="utf-8")
    assert Registry.load(shelf.root).leistungen["probeleistung"].package == "probe@1.0"
    with pytest.raises(InUse) as used:
        releases.remove("probe", shelf.packages, roots=(shelf.root,))
    assert used.value.needed_by == ("Leistung probeleistung",)
    assert ids(shelf) == ["probe@1.0"]


def test_a_package_that_a_mapping_names_stays(shelf: Shelf) -> None:
    shelf.add(PLAIN)
    mappings = shelf.root / "mappings"
    mappings.mkdir()
    (mappings / "neu.toml").write_text('from = "probe@1.0"\n', encoding="utf-8")
    with pytest.raises(InUse, match=r"neu\.toml"):
        releases.remove("probe", shelf.packages, roots=(shelf.root,))


def test_a_damaged_package_can_still_be_removed(shelf: Shelf) -> None:
    (added,) = shelf.add(PLAIN)
    (added.folder / "manifest.toml").write_text("kaputt [", encoding="utf-8")
    assert releases.remove("probe-1.0", shelf.packages, roots=(shelf.root,))
    assert ids(shelf) == []


def test_a_package_that_another_one_is_converted_into_or_that_a_target_expects_stays(shelf: Shelf, tmp_path: Path) -> None:
    shelf.add(PLAIN)
    other = shelf.packages / "alt-1"
    other.mkdir()
    (other / "manifest.toml").write_text('name = "alt"\nversion = "1"\n[convert]\nto = "probe@1.0"\nsheet = "x.xslt"\n')
    site = tmp_path / "nahtlos.toml"
    site.write_text('[target.eins]\nexpects = "probe@1.0"\n[target.zwei]\nexpects = ["probe@0.9", "probe@1.0"]\n[target.drei]\n')
    with pytest.raises(InUse) as used:
        releases.remove("probe", shelf.packages, roots=(shelf.root,), site=site)
    assert used.value.needed_by == ("alt@1 [convert]", "[target.eins] expects", "[target.zwei] expects")
    site.write_text("kein TOML [")
    (other / "manifest.toml").unlink()
    assert releases.remove("probe", shelf.packages, roots=(shelf.root,), site=site) == "probe@1.0"
