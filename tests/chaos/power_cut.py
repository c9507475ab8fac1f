"""A power cut without pulling a plug: a process's own system calls are recorded and the disk as it could have been is rebuilt.

``record`` runs a program under strace. ``images`` replays the record and stops at acknowledgements (lines the program
writes to a file named ``acknowledged``) and at moments between them; ``disks`` says what is then there. A program that
acknowledges only what it has synced survives every image.

Not modelled: the durability of new folders, memory-mapped writes (SQLite maps only the index of its log, which it makes
anew after a crash).
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.disks import Disk

_CALLS = (
    "openat,pwrite64,write,writev,pwritev,fsync,fdatasync,ftruncate,unlink,unlinkat,rename,renameat,renameat2,link,linkat"
)
_HEX = r"(?:\\x[0-9a-f]{2})*"
_CALL = re.compile(r"^(?:\d+ +)?(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_DESCRIPTOR = re.compile(rf"^\d+<(?P<path>{_HEX})>")
_WRITTEN = re.compile(rf'^\d+<{_HEX}>, "(?P<data>{_HEX})", \d+(?:, (?P<at>\d+))?$')
_NAMED = re.compile(rf'"(?P<path>{_HEX})"')
_UNFINISHED = re.compile(r"^(?P<pid>\d+) +(?P<head>.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. \w+ resumed>(?P<tail>.*)$")


@dataclass(frozen=True, slots=True)
class Image:
    """A disk after a power cut. acknowledged: the lines that had been written before it. no: number of the call it follows."""

    no: int
    acknowledged: tuple[str, ...] = field(repr=False)
    files: dict[str, bytes] = field(repr=False)

    def lay_out(self, folder: Path) -> None:
        """Folders 0700 and files 0600, as the program under test makes them."""
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(content)


def record(program: Sequence[str], *, into: Path, failing_syncs: str = "", timeout: float = 120) -> Path:
    """Run the program to its end under strace; the record's path. Raises ``CalledProcessError`` if it fails.

    failing_syncs: which of a thread's syncs end with EIO, as strace counts: "20" the 20th, "20+7" every seventh from then.
    """
    log = into / "calls"
    fault = ["-e", f"inject=fsync,fdatasync:error=EIO:when={failing_syncs}"] if failing_syncs else []
    subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "2200000", "-o", str(log), "-e", f"trace={_CALLS}",
         "-e", "signal=none", *fault, *program],
        check=True, timeout=timeout, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return log


def images(log: Path, *, folder: Path, count: int, seed: int) -> Iterator[Image]:
    """``count`` disks that a cut during the record could have left of ``folder``: half of them right after an
    acknowledgement, the others after any call, from the first on that touched it."""
    chance, below = random.Random(seed), str(folder)
    calls = [call for call in map(_parsed, _whole_lines(log)) if call is not None]
    calls = [call for call in calls if call.path == below or call.path.startswith(below + "/") or call.is_acknowledgement]
    points = [n for n, call in enumerate(calls) if call.is_acknowledgement]
    if not points:
        raise ValueError("the record holds no acknowledgement")
    wanted = sorted(chance.choices(points, k=count // 2) + chance.choices(range(len(calls)), k=count - count // 2))
    disk, acknowledged, next_wanted = Disk(), [], 0
    for n, call in enumerate(calls):
        if call.is_acknowledgement:
            acknowledged.extend(call.data.decode().split())
        else:
            _follow(call, disk, below)
        while next_wanted < count and wanted[next_wanted] == n:
            next_wanted += 1
            yield Image(n, tuple(acknowledged), disk.after_cut(chance))


@dataclass(frozen=True, slots=True)
class _Call:
    """path: the file it is about; other: the second name of a rename. at: ``None`` for a write at the end."""

    name: str
    arguments: str = field(repr=False)
    result: int
    path: str
    other: str = ""
    data: bytes = field(default=b"", repr=False)
    at: int | None = None

    @property
    def is_acknowledgement(self) -> bool:
        return self.name == "write" and self.path.endswith("/acknowledged")


def _whole_lines(log: Path) -> Iterator[str]:
    """strace splits calls that overlap with other threads'. A call counts when it returned."""
    begun: dict[str, str] = {}
    with log.open(encoding="ascii") as lines:
        for raw in lines:
            line = raw.rstrip("\n")
            if found := _UNFINISHED.match(line):
                begun[found["pid"]] = f"{found['pid']} {found['head']}"
            elif found := _RESUMED.match(line):
                yield begun.pop(found["pid"]) + found["tail"]
            else:
                yield line


def _parsed(line: str) -> _Call | None:
    """``None`` for what is no call, or failed and is not a sync."""
    call = _CALL.match(line)
    if call is None or (int(call["result"]) < 0 and not call["name"].endswith("sync")):
        return None
    name, arguments, result = call["name"], call["arguments"], int(call["result"])
    if found := _DESCRIPTOR.match(arguments):
        written = _WRITTEN.match(arguments)
        data = _unhex(written["data"])[:result] if written else b""
        return _Call(name, arguments, result, _text(found["path"]), "", data, _number(written and written["at"]))
    names = [_text(found["path"]) for found in _NAMED.finditer(arguments)]
    return _Call(name, arguments, result, names[0], names[1] if len(names) > 1 else "") if names else None


def _follow(call: _Call, disk: Disk, below: str) -> None:
    name = call.path.removeprefix(below).removeprefix("/")
    match call.name:
        case "openat":
            if "O_CREAT" in call.arguments or name in disk.seen:
                file = disk.file(name)
                if "O_TRUNC" in call.arguments and file.cache:
                    file.change(0)
        case "pwrite64" | "write" if name in disk.seen:
            file = disk.file(name)
            file.change((len(file.cache) if call.at is None else call.at, call.data))
        case "fsync" | "fdatasync":
            if call.result < 0:
                disk.file(name).fail_to_sync()
            elif name in disk.seen:
                disk.file(name).sync()
            else:
                disk.sync_folder(name or ".")
        case "ftruncate":
            disk.file(name).change(int(call.arguments.rsplit(", ", 1)[1]))
        case "unlink" | "unlinkat":
            disk.remove(name)
        case "rename" | "renameat" | "renameat2" if (moved := disk.remove(name)) is not None:
            disk.enter(call.other.removeprefix(below).removeprefix("/"), moved)
        case "link" | "linkat":
            disk.enter(call.other.removeprefix(below).removeprefix("/"), disk.file(name))
        case _:
            raise ValueError(f"cannot replay this call: {call.name} {call.path}")


def _text(escaped: str) -> str:
    return _unhex(escaped).decode()


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None else None
