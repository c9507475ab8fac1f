"""The folder: complete sets only, each once, whatever happens in between and whoever takes them away."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors import folder as module
from connectors.contract import sample_attachment, sample_envelope
from connectors.folder import FolderConnector, FolderOptions
from connectors.sdk import Acknowledgement, Blocked, HandedOver, InDoubt, NotThere, Refused, StillOpen, Target, Unavailable


def target(path: Path, **options: Any) -> Target:
    return Target("e-akte", "lk-heilbronn", FolderOptions(path=str(path), **options))


def visible(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if ".nahtlos" not in each.parts and each.is_file())


async def test_a_set_is_complete_and_named_by_us_alone(tmp_path: Path) -> None:
    attached = (sample_attachment(b"%PDF", name="../../x.pdf"), sample_attachment(b"?", name="a/b", media_type="x/../y"))
    envelope = sample_envelope(attachments=attached, predecessor=Acknowledgement("HN-7"))
    said = await FolderConnector().deliver(envelope, target(tmp_path))
    assert isinstance(said, Acknowledgement)
    name = envelope.delivery_id
    assert visible(tmp_path) == sorted([f"{name}.xml", f"{name}/1.pdf", f"{name}/2.bin", f"{name}/manifest.json"])
    manifest = json.loads((tmp_path / name / "manifest.json").read_text())
    assert manifest["received_at"] == envelope.received_at.isoformat()
    assert (manifest["order"], manifest["reference"], manifest["predecessor"]) == (17, envelope.reference, "HN-7")
    assert [each["name"] for each in manifest["attachments"]] == ["../../x.pdf", "a/b"]
    assert manifest["message"]["digest"] == envelope.digest


async def test_the_message_appears_last_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    genuine = os.fsync

    def look(file: int) -> None:
        seen.append(visible(tmp_path))
        genuine(file)

    monkeypatch.setattr(os, "fsync", look)
    envelope = sample_envelope(attachments=(sample_attachment(b"x" * 3_000_000),))
    await FolderConnector().deliver(envelope, target(tmp_path))
    with_message = [files for files in seen if f"{envelope.delivery_id}.xml" in files]
    assert all(len(files) == 3 for files in with_message)
    assert len(seen) > len(with_message) > 0


@pytest.mark.parametrize("taken", ["left", "moved to done", "deleted"])
async def test_it_is_put_there_once_whatever_the_watcher_does_with_it(tmp_path: Path, taken: str) -> None:
    envelope, here = sample_envelope(), target(tmp_path)
    await FolderConnector().deliver(envelope, here)
    message = tmp_path / f"{envelope.delivery_id}.xml"
    if taken == "moved to done":
        (tmp_path / "done").mkdir()
        message.rename(tmp_path / "done" / message.name)
    elif taken == "deleted":
        message.unlink()
    connector = FolderConnector()
    assert isinstance(await connector.find(envelope, here), Acknowledgement)
    assert isinstance(await connector.deliver(replace(envelope, attempt=2), here), Acknowledgement)
    assert message.exists() is (taken == "left")


STEPS = ("begin", "set_beside", "mark", "appear")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_at_any_step_neither_loses_nor_doubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    """The process dies (nothing is tidied up), comes back, asks and sends again if it was not there."""

    class Killed(BaseException):
        pass

    genuine: Callable[[Any], None] = getattr(module._Place, step)

    def die(place: Any) -> None:
        if when == "after":
            genuine(place)
        raise Killed

    envelope, here = sample_envelope(attachments=(sample_attachment(b"1"),)), target(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(module._Place, step, die)
        broken.setattr(module._Place, "clear", lambda _: None)
        with pytest.raises(Killed):
            await FolderConnector().deliver(envelope, here)
    appeared = (tmp_path / f"{envelope.delivery_id}.xml").exists()
    assert appeared is (step == "appear" and when == "after")
    if appeared:
        (tmp_path / f"{envelope.delivery_id}.xml").unlink()  # the watcher is quick
    found = await FolderConnector().find(envelope, here)
    assert isinstance(found, Acknowledgement if appeared else NotThere)
    await FolderConnector().deliver(envelope, here)
    assert (tmp_path / f"{envelope.delivery_id}.xml").exists() is not appeared
    assert not list((tmp_path / ".nahtlos").glob("*.set"))


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(errno.ENOSPC, Unavailable), (errno.EDQUOT, Unavailable), (errno.EIO, Unavailable), (errno.ESTALE, Unavailable),
     (errno.EACCES, Blocked), (errno.EROFS, Blocked), (errno.EPERM, Blocked)],
)  # fmt: skip
async def test_what_the_file_system_says_has_its_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, outcome: type[Exception]
) -> None:
    envelope, here = sample_envelope(attachments=(sample_attachment(b"x"),)), target(tmp_path)

    def fail(file: int, content: bytes) -> None:
        raise OSError(code, os.strerror(code), "/secret/path")

    with monkeypatch.context() as broken:
        broken.setattr(module, "_write_all", fail)
        with pytest.raises(outcome) as raised:
            await FolderConnector().deliver(envelope, here)
    assert "/secret" not in str(raised.value)
    assert visible(tmp_path) == []
    assert isinstance(await FolderConnector().find(envelope, here), NotThere)
    assert isinstance(await FolderConnector().deliver(envelope, here), Acknowledgement)


async def test_a_full_disk_is_unavailable_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A real one: the file that is written is limited by the kernel's own means for lack of a small disk."""
    here = target(tmp_path)
    (tmp_path / ".nahtlos").mkdir()
    envelope = sample_envelope()
    (tmp_path / ".nahtlos" / f"{envelope.delivery_id}.message").symlink_to("/dev/full")
    with pytest.raises(Unavailable, match="full"):
        await _deliver_without_clearing(envelope, here)


async def _deliver_without_clearing(envelope: Any, here: Target) -> None:
    place = module._Place(envelope, here.options)
    await FolderConnector()._guarded(lambda: module._write(place.hidden, envelope.document))


async def test_an_error_while_the_message_appears_is_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise OSError(errno.EIO, "io")

    monkeypatch.setattr(module._Place, "appear", fail)
    with pytest.raises(InDoubt):
        await FolderConnector().deliver(sample_envelope(), target(tmp_path))


async def test_a_folder_that_is_not_mounted_is_unavailable_and_not_created(tmp_path: Path) -> None:
    here = target(tmp_path / "share")
    for ask in (FolderConnector().deliver(sample_envelope(), here), FolderConnector().find(sample_envelope(), here),
                FolderConnector().check(here)):  # fmt: skip
        with pytest.raises(Unavailable):
            await ask
    assert not (tmp_path / "share").exists()


async def test_with_a_reply_folder_only_the_reply_settles_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    here, envelope, connector = target(tmp_path / "in", reply=str(tmp_path / "out")), sample_envelope(), FolderConnector()
    reply = tmp_path / "out" / f"{envelope.delivery_id}.reply.json"
    assert isinstance(await connector.find(envelope, here), NotThere)
    said = await connector.deliver(envelope, here)
    assert isinstance(said, HandedOver)
    envelope = replace(envelope, token=said.token)
    for unsettled in (None, "", '{"case_nu', "[]", '{"something": 1}'):
        if unsettled is not None:
            reply.write_text(unsettled)
        assert isinstance(await connector.find(envelope, here), StillOpen)
    reply.write_text('{"case_number": "A/00017"}')
    assert await connector.find(envelope, here) == Acknowledgement("A/00017", {"by": "reply"})
    reply.write_text('{"refused": "Gemeinde unbekannt", "code": "G12"}')
    with pytest.raises(Refused) as refused:
        await connector.find(envelope, here)
    assert (refused.value.reason, refused.value.code) == ("Gemeinde unbekannt", "G12")


async def test_a_reply_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    here, envelope, connector = target(tmp_path, reply=str(tmp_path)), sample_envelope(), FolderConnector()
    await connector.deliver(envelope, here)
    (tmp_path / "elsewhere").write_text('{"case_number": "1"}')
    (tmp_path / f"{envelope.delivery_id}.reply.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable):
        await connector.find(envelope, here)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b-1234567", "", "x" * 65, ".hidden-123", "12345678\n"])
async def test_an_id_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused):
        await FolderConnector().deliver(sample_envelope(delivery_id=name), target(tmp_path))
    assert visible(tmp_path) == []


async def test_check_throws_away_marks_of_last_year_only(tmp_path: Path) -> None:
    here, old, new = target(tmp_path), sample_envelope(), sample_envelope()
    for envelope in (old, new):
        await FolderConnector().deliver(envelope, here)
    os.utime(tmp_path / ".nahtlos" / f"{old.delivery_id}.mark", (0, 0))
    await FolderConnector().check(here)
    assert {each.stem for each in (tmp_path / ".nahtlos").iterdir()} == {new.delivery_id}


@pytest.mark.parametrize(("options", "words"), [({"path": "relative"}, "absolute"), ({"path": "/x", "suffix": "../y"}, "suffix")])
def test_options_that_do_not_fit_say_so(options: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FolderOptions(**options)


async def test_a_share_that_hangs_uses_up_nobody_elses_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call upon a share whose server is away does not come back, and cannot be taken back either."""
    back = threading.Event()
    monkeypatch.setattr(module, "_must_be_there", lambda base: back.wait())
    connector = FolderConnector()
    hanging = [asyncio.create_task(connector.deliver(sample_envelope(), target(tmp_path))) for _ in range(40)]
    try:
        await asyncio.sleep(0.1)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "well"), 10) == "well"
    finally:
        for task in hanging:
            task.cancel()
        back.set()
        await connector.aclose()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_an_attempt_on_a_share_that_hangs_ends_when_its_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the middle of it, where nothing more can be put away."""
    back, writing = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(*_: Any) -> None:
        loop.call_soon_threadsafe(writing.set)
        back.wait()

    monkeypatch.setattr(module, "_write", hang)
    monkeypatch.setattr(module, "THREADS", 1)
    connector = FolderConnector()
    attempt = asyncio.create_task(connector.deliver(sample_envelope(), target(tmp_path)))
    try:
        await asyncio.wait_for(writing.wait(), 10)
        attempt.cancel()
        done, _ = await asyncio.wait([attempt], timeout=5)
        assert done
    finally:
        back.set()
        await connector.aclose()
        await asyncio.gather(attempt, return_exceptions=True)
