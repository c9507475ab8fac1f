"""Brings a release to a quiet folder: every entry checked before a byte of it is written, sizes counted as they come.

A release is a zip, a folder or one file. Only what can matter is kept: XML of whatever name, and licence texts; a
specification in PDF stays where it is. Anything that only an attack has (links, absolute names, "..", two entries of one
name, thousands of files, absurd compression) refuses the whole.
"""

from __future__ import annotations

import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from gateway.releases.refusing import Refused, refused

MAX_ENTRIES: Final = 5000
MAX_KEPT: Final = 256 * 1024 * 1024
MAX_FILE: Final = 64 * 1024 * 1024
MAX_RATIO: Final = 250
MAX_DEPTH: Final = 24

LICENCE: Final = re.compile(r"(?i)(licen[cs]e|lizenz|notice|copying)")
_LICENCE_BYTES: Final = 1024 * 1024
_ARCHIVES: Final = (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PIECE: Final = 1 << 16
_NO_FILE: Final = ("ist eine Verknüpfung oder keine gewöhnliche Datei", "is a link or no ordinary file")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """name: of the release, as people know it. files: what was kept, relative. left: how many other files there were.
    archives: names of archives within, which are not looked into."""

    name: str
    files: tuple[str, ...]
    left: int
    archives: tuple[str, ...]


def unpack(release: Path, into: Path) -> Unpacked:
    """into: an empty folder. Raises ``Refused``."""
    if release.is_symlink() or not release.exists():
        raise refused(str(release), "gibt es nicht oder ist eine Verknüpfung", "does not exist or is a link")
    try:
        if release.is_dir():
            return _Taking(release.name, into).run(_of_folder(release))
        if zipfile.is_zipfile(release):
            with zipfile.ZipFile(release) as archive:
                return _Taking(release.name, into).run(_of_zip(release.name, archive))
        return _Taking(release.name, into).run(iter([_Entry(release.name, release.stat().st_size, release)]))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise refused(release.name, f"das Archiv ist beschädigt oder verschlüsselt ({type(error).__name__})",
                      f"the archive is damaged or encrypted ({type(error).__name__})") from None
    except OSError as error:
        why = error.strerror
        raise refused(release.name, f"kann nicht gelesen werden ({why})", f"cannot be read ({why})") from None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of the release. size: as stated. source: how to open it."""

    name: str
    size: int
    source: Path | tuple[zipfile.ZipFile, zipfile.ZipInfo]

    def open(self) -> IO[bytes]:
        return self.source.open("rb") if isinstance(self.source, Path) else self.source[0].open(self.source[1])


def _of_folder(folder: Path) -> Iterator[_Entry]:
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            name = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                waiting.append(path)
            elif stat.S_ISREG(mode):
                yield _Entry(name, path.lstat().st_size, path)
            else:
                raise refused(name, *_NO_FILE)


def _of_zip(archive_name: str, archive: zipfile.ZipFile) -> Iterator[_Entry]:
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise _too_many(archive_name)
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise refused(info.orig_filename, *_NO_FILE)
        if info.flag_bits & 0x1 or info.compress_type not in _METHODS:
            raise refused(info.orig_filename, "ist verschlüsselt oder ungewöhnlich gepackt",
                          "is encrypted or packed in an unusual way")
        if info.file_size > 1 << 20 and info.file_size > MAX_RATIO * info.compress_size:
            raise refused(info.orig_filename, f"entpackt sich auf mehr als das {MAX_RATIO}-fache",
                          f"unpacks to more than {MAX_RATIO} times its size")
        # zipfile cuts a name at NUL and turns the machine's separator round; what was written decides
        name = info.orig_filename
        if name.endswith("/"):
            _check_name(name.rstrip("/"))
        else:
            yield _Entry(name, info.file_size, (archive, info))


class _Taking:
    def __init__(self, name: str, into: Path) -> None:
        self._name, self._into = name, into
        self._kept: list[str] = []
        self._archives: list[str] = []
        self._seen: set[str] = set()
        self._left = self._total = 0

    def run(self, entries: Iterator[_Entry]) -> Unpacked:
        for number, entry in enumerate(entries, start=1):
            if number > MAX_ENTRIES:
                raise _too_many(self._name)
            self._take(entry)
        return Unpacked(self._name, tuple(sorted(self._kept)), self._left, tuple(self._archives))

    def _take(self, entry: _Entry) -> None:
        _check_name(entry.name)
        known = unicodedata.normalize("NFC", entry.name)
        if known in self._seen:
            raise refused(entry.name, "ist zweimal enthalten; welche Datei gilt, ist nicht zu sagen",
                          "is there twice; nobody can say which one counts")
        self._seen.add(known)
        with entry.open() as source:
            head = source.read(512)
            if head.startswith(_ARCHIVES):
                self._archives.append(entry.name)
            elif _looks_like_xml(head) or (LICENCE.search(Path(entry.name).name) and entry.size <= _LICENCE_BYTES):
                self._write(entry, head, source)
            else:
                self._left += 1

    def _write(self, entry: _Entry, head: bytes, source: IO[bytes]) -> None:
        target = self._into / entry.name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                size, piece = 0, head
                while piece:
                    size += len(piece)
                    self._total += len(piece)
                    if size > MAX_FILE or self._total > MAX_KEPT:
                        raise _too_large(entry.name if size > MAX_FILE else self._name)
                    file.write(piece)
                    piece = source.read(_PIECE)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise refused(entry.name, "ist zugleich Datei und Ordner oder zweimal enthalten",
                          "is a file and a folder at once, or there twice") from None
        self._kept.append(entry.name)


def _check_name(name: str) -> None:
    """Only names that mean one place inside the release, on every system."""
    parts = name.split("/")
    shown = "".join(character if character.isprintable() else "?" for character in name)[:200]
    if not name or name.startswith("/") or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise refused(shown or "?", "ist kein relativer Pfad mit „/“", 'is not a relative path with "/"')
    if any(part in ("", ".", "..") for part in parts):
        raise refused(shown, "führt aus dem Paket hinaus oder im Kreis", "leads out of the package or in a circle")
    if any(unicodedata.category(character).startswith("C") for character in name):
        raise refused(shown, "der Name enthält Steuerzeichen", "the name holds control characters")
    if len(parts) > MAX_DEPTH or any(len(part.encode("utf-8", "replace")) > 250 for part in parts):
        raise refused(shown, "der Name ist zu lang oder zu tief", "the name is too long or too deep")


def _looks_like_xml(head: bytes) -> bool:
    if head.startswith((b"<\x00", b"\x00<", b"\xff\xfe<", b"\xfe\xff\x00<")):
        return True
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _too_many(name: str) -> Refused:
    return refused(name, f"mehr als {MAX_ENTRIES} Dateien", f"more than {MAX_ENTRIES} files")


def _too_large(name: str) -> Refused:
    one, total = MAX_FILE // 1024 // 1024, MAX_KEPT // 1024 // 1024
    return refused(name, f"zu groß (eine Datei höchstens {one} MiB, alle zusammen {total} MiB)",
                   f"too large (one file at most {one} MiB, all together {total} MiB)")
