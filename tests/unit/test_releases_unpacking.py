"""Unpacking a release: whatever only an attack has refuses the whole, and nothing is left."""

from __future__ import annotations

import os
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.releases import unpacking
from tests.unit.minirelease import PLAIN, Shelf, xsd


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.parametrize("name", [
    "../evil.xsd", "a/../../evil.xsd", "/etc/evil.xsd", "C:/evil.xsd", "c:evil.xsd", "a\\evil.xsd", "\\\\host\\evil.xsd",
    "./evil.xsd",
    "a//evil.xsd", "a/./evil.xsd", "a\x01b.xsd", "a\u202eb.xsd", "a\nb.xsd", "a\x00b.xsd", "/".join("a" * 30) + "/evil.xsd",
    "x" * 300 + ".xsd", "..",
])
def test_a_name_that_means_another_place_or_hides_something_refuses_the_zip(shelf: Shelf, name: str) -> None:
    info = zipfile.ZipInfo("platzhalter")
    info.filename = name  # as written: the library would clean it
    refused = shelf.refusal(shelf.archive("boese", ("probe.xsd", PLAIN["probe.xsd"]), (info, b"<a/>")))
    assert "evil.xsd" in str(refused) or "lang" in str(refused) or "Steuerzeichen" in str(refused) or "hinaus" in str(refused)
    assert "\x01" not in str(refused)
    assert not [path for path in shelf.root.parent.rglob("*evil*") if path.is_file()]


def test_two_entries_of_one_name_refuse_the_zip(shelf: Shelf) -> None:
    with warnings.catch_warnings(action="ignore"):
        path = shelf.archive("doppelt", ("probe.xsd", PLAIN["probe.xsd"]), ("probe.xsd", xsd()))
    assert "zweimal" in str(shelf.refusal(path))


def test_names_that_differ_only_in_how_an_umlaut_is_written_are_one_name(shelf: Shelf) -> None:
    assert "zweimal" in str(shelf.refusal(shelf.archive("umlaut", ("ä.xsd", PLAIN["probe.xsd"]), ("a\u0308.xsd", xsd()))))


def test_a_name_cannot_be_a_file_and_a_folder(shelf: Shelf) -> None:
    assert "zugleich" in str(shelf.refusal(shelf.archive("beides", ("a", b"<a/>"), ("a/b", b"<a/>"))))


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_a_link_or_device_in_a_zip_refuses_it(shelf: Shelf, mode: int) -> None:
    info = zipfile.ZipInfo("probe.xsd")
    info.external_attr = (mode | 0o777) << 16
    assert "Verknüpfung" in str(shelf.refusal(shelf.archive("link", (info, b"/etc/passwd"))))


@pytest.mark.parametrize("make", [
    lambda path: path.symlink_to("/etc/hostname"), lambda path: path.symlink_to("probe.xsd"), lambda path: os.mkfifo(path),
])
def test_a_link_or_pipe_in_a_folder_refuses_it(shelf: Shelf, make: Callable[[Path], None]) -> None:
    folder = shelf.folder(PLAIN)
    make(folder / "fremd.xsd")
    assert "Verknüpfung" in str(shelf.refusal(folder))


def test_a_folder_that_is_itself_a_link_is_not_followed(shelf: Shelf, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(shelf.folder(PLAIN))
    assert "Verknüpfung" in str(shelf.refusal(link))


def test_an_entry_that_unpacks_to_hundreds_of_times_its_size_refuses_the_zip(shelf: Shelf) -> None:
    bomb = shelf.archive("bombe", ("probe.xsd", PLAIN["probe.xsd"]), ("a.xml", b"<a>" + b" " * (8 << 20) + b"</a>"))
    assert "250" in str(shelf.refusal(bomb))


def test_sizes_are_counted_and_not_believed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_FILE", 4096)
    assert "zu groß" in str(shelf.refusal({**PLAIN, "gross.xml": b"<a>" + os.urandom(4096).hex().encode() + b"</a>"}))
    monkeypatch.setattr(unpacking, "MAX_FILE", 1 << 20)
    monkeypatch.setattr(unpacking, "MAX_KEPT", 4096)
    assert "zu groß" in str(shelf.refusal({**PLAIN, **{f"{n}.xml": b"<a>" + b"x" * 2000 + b"</a>" for n in range(3)}}))


def test_a_flood_of_entries_refuses_the_release(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_ENTRIES", 10)
    flood = {f"{n}.txt": b"x" for n in range(11)}
    assert "mehr als 10" in str(shelf.refusal({**PLAIN, **flood}))
    assert "mehr als 10" in str(shelf.refusal(shelf.zipped({**PLAIN, **flood}, "flut")))


def test_an_encrypted_a_damaged_and_an_oddly_packed_zip_are_refused(shelf: Shelf) -> None:
    whole = shelf.zipped(PLAIN).read_bytes()
    encrypted, cut, odd = (shelf.root.parent / f"{name}.zip" for name in ("verschluesselt", "halb", "bzip2"))
    encrypted.write_bytes(_with_flag(whole))
    cut.write_bytes(whole.replace(b"xs:schema", b"xs:sch\x00ma", 1)[:80] + b"\x00" * 40 + whole[120:])
    odd.write_bytes(shelf.archive("b", *PLAIN.items(), method=zipfile.ZIP_BZIP2).read_bytes())
    assert "verschlüsselt" in str(shelf.refusal(encrypted))
    assert "beschädigt" in str(shelf.refusal(cut))
    assert "ungewöhnlich" in str(shelf.refusal(odd))


def test_a_truncated_zip_is_no_zip_and_holds_nothing(shelf: Shelf) -> None:
    path = shelf.root.parent / "halb.zip"
    path.write_bytes(shelf.zipped(PLAIN).read_bytes()[:-30])
    assert "weder" in str(shelf.refusal(path))


def test_archives_inside_are_left_alone_and_named(shelf: Shelf) -> None:
    inner = shelf.zipped({"../evil.xsd": xsd()}, "innen").read_bytes()
    (added,) = shelf.add({**PLAIN, "mehr.zip": inner}, zipped=True)
    assert any("mehr.zip" in en for _, en in added.warnings)
    assert "mehr.zip" in str(shelf.refusal(shelf.archive("nur-innen", ("mehr.zip", inner))))


def test_only_xml_and_licences_are_kept_and_every_byte_of_them(shelf: Shelf) -> None:
    files = {**PLAIN, "LIZENZ.txt": "CC BY-ND ä".encode("latin-1"), "spezifikation.pdf": b"%PDF-1.7", "l.docx": b"PK\x03\x04"}
    (added,) = shelf.add(files, zipped=True)
    kept = {path.name for path in (added.folder / "release").rglob("*")}
    assert kept == {"probe.xsd", "LIZENZ.txt"}
    assert all((added.folder / "release" / name).read_bytes() == files[name] for name in kept)


def test_a_single_file_a_folder_and_a_zip_of_it_become_the_same_package(tmp_path: Path) -> None:
    made = []
    for name in ("datei", "ordner", "archiv"):
        shelf = Shelf(tmp_path / name)
        path = {"datei": shelf.folder(PLAIN) / "probe.xsd", "ordner": shelf.folder(PLAIN), "archiv": shelf.zipped(PLAIN)}[name]
        (added,) = shelf.add_path(path)
        made.append((added.id, added.messages, (added.folder / "release" / "probe.xsd").read_bytes()))
    assert made[0] == made[1] == made[2]


def _with_flag(body: bytes) -> bytes:
    """Sets "encrypted" in the local header and in the directory."""
    changed = bytearray(body)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[changed.index(mark) + offset] |= 1
    return bytes(changed)
