"""The model of a disk must be neither kinder nor harsher than a disk."""

from __future__ import annotations

import random
from pathlib import Path

from tests.chaos.disks import Disk, File


def _left(disk: Disk, times: int = 200) -> list[dict[str, bytes]]:
    return [disk.after_cut(random.Random(seed)) for seed in range(times)]


def _disk_with(name: str, content: bytes) -> tuple[Disk, File]:
    disk = Disk()
    file = disk.file(name)
    file.change((0, content))
    file.sync()
    disk.sync_folder(".")
    return disk, file


def test_what_is_synced_is_always_there() -> None:
    disk, _ = _disk_with("a", b"durable")

    assert _left(disk, 20) == [{"a": b"durable"}] * 20


def test_what_is_not_synced_may_be_there_or_not_in_any_order_and_torn() -> None:
    disk, file = _disk_with("a", b"")
    file.change((0, bytes([1]) * 1024))
    file.change((1024, bytes([2]) * 1024))

    found = {left["a"] for left in _left(disk)}

    assert {b"", bytes([1]) * 1024, bytes([1]) * 1024 + bytes([2]) * 1024, bytes(1024) + bytes([2]) * 1024} <= found
    assert bytes([1]) * 512 in found, "torn at a sector"


def test_a_new_file_is_there_only_once_its_folder_is_synced() -> None:
    disk = Disk()
    disk.file("keys/a").sync()
    assert {tuple(left) for left in _left(disk)} == {(), ("keys/a",)}

    disk.sync_folder(str(Path("keys")))
    assert {tuple(left) for left in _left(disk)} == {("keys/a",)}


def test_a_file_that_was_renamed_has_one_of_its_two_names() -> None:
    disk, file = _disk_with("draft", b"key")
    disk.remove("draft")
    disk.enter("key", file)

    assert {tuple(left) for left in _left(disk)} == {("draft",), (), ("key",)}


def test_after_a_failed_sync_a_good_one_brings_nothing_back() -> None:
    disk, file = _disk_with("a", b"old")
    file.change((0, b"new"))
    file.fail_to_sync()
    file.sync()

    assert _left(disk, 5) == [{"a": b"old"}] * 5


def test_a_page_that_is_written_again_after_a_failed_sync_is_there_as_a_whole() -> None:
    disk, file = _disk_with("a", b"")
    file.change((0, b"first"))
    file.fail_to_sync()
    file.change((5, b" second"))
    file.sync()

    assert _left(disk, 5) == [{"a": b"first second"}] * 5
