"""What a disk holds after a power cut: what was synced, and of the rest whatever chance lets through.

Writes within a file survive in any order, some torn at a 512-byte sector. Names of files (made, changed, taken away) become
durable in their order, when their folder is synced. A sync that fails is what Linux makes of it: the pages count as
written, and are not, until somebody writes to them again; a later sync says nothing about them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

_PAGE = 4096
Change = tuple[int, bytes] | int  # a write, or a truncation to a size


@dataclass(slots=True)
class File:
    """cache: as the program sees it. missed: pages that a failed sync took for written."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)
    cache: bytearray = field(default_factory=bytearray)
    missed: set[int] = field(default_factory=set)

    def change(self, change: Change) -> None:
        _apply(self.cache, change)
        if not isinstance(change, int):
            for page in self.missed & _pages(change):
                self.missed.discard(page)
                self.pending.append((page * _PAGE, bytes(self.cache[page * _PAGE:(page + 1) * _PAGE])))
        self.pending.append(change)

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()

    def fail_to_sync(self) -> None:
        for change in self.pending:
            if not isinstance(change, int):
                self.missed |= _pages(change)
        self.pending = [change for change in self.pending if isinstance(change, int)]

    def after_cut(self, chance: random.Random) -> bytes:
        content = bytearray(self.durable)
        survivors = [change for change in self.pending if chance.random() < 0.5]
        chance.shuffle(survivors)
        for change in survivors:
            if not isinstance(change, int) and chance.random() < 0.3:
                at, data = change
                change = (at, data[: 512 * chance.randint(0, len(data) // 512)])
            _apply(content, change)
        return bytes(content)


@dataclass(slots=True)
class Disk:
    """What the program sees, and what a cut leaves. Names in a folder become durable in the order in which they changed."""

    seen: dict[str, File] = field(default_factory=dict)
    durable: dict[str, File] = field(default_factory=dict)
    pending: list[tuple[str, File | None]] = field(default_factory=list)  # a name, and what it stands for from now on

    def file(self, name: str) -> File:
        return self.seen.get(name) or self.enter(name, File())

    def enter(self, name: str, file: File) -> File:
        self.seen[name] = file
        self.pending.append((name, file))
        return file

    def remove(self, name: str) -> File | None:
        self.pending.append((name, None))
        return self.seen.pop(name, None)

    def sync_folder(self, folder: str) -> None:
        inside = [entry for entry in self.pending if str(Path(entry[0]).parent) == folder]
        self.pending = [entry for entry in self.pending if entry not in inside]
        _enter_all(self.durable, inside)

    def after_cut(self, chance: random.Random) -> dict[str, bytes]:
        left = dict(self.durable)
        _enter_all(left, self.pending[: chance.randint(0, len(self.pending))])
        return {name: file.after_cut(chance) for name, file in left.items()}


def _enter_all(names: dict[str, File], entries: list[tuple[str, File | None]]) -> None:
    for name, file in entries:
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file


def _pages(write: tuple[int, bytes]) -> set[int]:
    at, data = write
    return set(range(at // _PAGE, -(-(at + len(data)) // _PAGE)))


def _apply(content: bytearray, change: Change) -> None:
    if isinstance(change, int):
        del content[change:]
        content.extend(bytes(change - len(content)))
        return
    at, data = change
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data
