"""A case system that watches a folder: ``connector = "folder"``.

For each delivery, named after its delivery id and nothing else::

    <id>/manifest.json     Eingang, order, service, and which file is which attachment
    <id>/1.pdf, 2.bin …    the attachments
    <id>.xml               the message: appears last and whole, so that a watcher sees only complete sets

The watcher may move the message to ``done`` or delete it. It is known all the same: before the message appears, a
mark is left in ``.nahtlos``; mark without a message still to be renamed means that it had appeared. So nothing is ever
put there twice, and ``find`` needs no help from the case system.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from connectors.sdk import (
    Acknowledgement,
    Attachment,
    Blocked,
    Connector,
    Envelope,
    HandedOver,
    InDoubt,
    NotThere,
    Refused,
    StillOpen,
    Target,
    Unavailable,
)

THREADS = 8

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{7,63}")
_MARKS = ".nahtlos"
_MARKS_KEPT = 180 * 86_400
_REPLY_CAP = 1 << 20
_ASK_LATER = timedelta(minutes=5)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_SUFFIXES = {
    "application/pdf": "pdf", "image/jpeg": "jpg", "image/png": "png", "image/tiff": "tif", "text/plain": "txt",
    "application/xml": "xml", "text/xml": "xml", "application/zip": "zip",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOptions:
    """path: the folder; it must exist, an empty mount point is not made into one. done: where the watcher moves what it took.

    reply: folder in which the case system leaves ``<id>.reply.json`` (``{"case_number": "…"}`` or ``{"refused": "reason",
    "code": "…"}``); with it, a delivery counts only once that answer is there. suffix: of the message.
    """

    path: str
    done: str = "done"
    reply: str = ""
    suffix: str = "xml"

    def __post_init__(self) -> None:
        if not Path(self.path).is_absolute():
            raise ValueError("path: expected an absolute path")
        if not re.fullmatch(r"[A-Za-z0-9]{1,10}", self.suffix):
            raise ValueError("suffix: expected letters and digits, without the dot")


class FolderConnector(Connector):
    """Writes complete sets of files, each exactly once, synced before they can be seen."""

    name = "folder"
    Options: ClassVar[type] = FolderOptions
    idempotent = True

    def __init__(self) -> None:
        # Of its own: who calls upon a share that hangs does not come back, and would use up the threads that all others need.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="folder")

    def folders(self, target: Target) -> Mapping[str, str]:
        return {"path": target.options.path} | ({"reply": target.options.reply} if target.options.reply else {})

    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement | HandedOver:
        place = _Place(envelope, target.options)
        if not await self._guarded(place.was_there):
            try:
                await self._prepare(envelope, place)
            except Exception:  # who is told to stop does not wait for a share that may hang; the next attempt clears first, too
                await self._in_thread(place.clear)
                raise
            await self._guarded(place.mark)
            await self._guarded(place.appear, doubt=True)
        if place.reply is not None:
            return HandedOver("reply")
        return Acknowledgement(facts={"by": "folder"})

    async def find(self, envelope: Envelope, target: Target) -> Acknowledgement | NotThere | StillOpen:
        place = _Place(envelope, target.options)
        if not await self._guarded(place.was_there):
            return NotThere()
        if place.reply is None:
            return Acknowledgement(facts={"by": "folder"})
        said = await self._guarded(place.read_reply)
        if isinstance(said, dict) and said.get("refused"):
            raise Refused(str(said["refused"])[:500], code=str(said["code"])[:80] if said.get("code") else None)
        if isinstance(said, dict) and said.get("case_number"):
            return Acknowledgement(str(said["case_number"])[:200], {"by": "reply"})
        return StillOpen(_ASK_LATER)

    async def check(self, target: Target) -> None:
        await self._guarded(lambda: _check(target.options))

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _prepare(self, envelope: Envelope, place: _Place) -> None:
        await self._guarded(place.begin)
        files = []
        for no, attachment in enumerate(envelope.attachments, 1):
            name = f"{no}.{_SUFFIXES.get(attachment.media_type, 'bin')}"
            await self._write_attachment(attachment, place.part / name)
            files.append({
                "file": name, "name": attachment.name, "media_type": attachment.media_type,
                "size": attachment.size, "digest": attachment.digest,
            })  # fmt: skip
        manifest = json.dumps(_manifest(envelope, place.message.name, files), ensure_ascii=False, indent=1).encode()
        await self._guarded(lambda: _write(place.part / "manifest.json", manifest))
        await self._guarded(lambda: _write(place.hidden, envelope.document))
        await self._guarded(place.set_beside)

    async def _guarded(self, step: Callable[[], Any], *, doubt: bool = False) -> Any:
        """Run in a thread and say what an error of the file system means. doubt: could the message have appeared?"""
        try:
            return await self._in_thread(step)
        except OSError as failure:
            code = errno.errorcode.get(failure.errno or 0, "error")
            if doubt:
                raise InDoubt(f"folder: {code} while the message appeared") from None
            if failure.errno in _NOT_ALLOWED:
                raise Blocked(f"folder: {code}") from None
            reason = "full" if failure.errno in _FULL else code
            raise Unavailable(f"folder: {reason}") from None

    async def _in_thread(self, step: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, step)

    async def _write_attachment(self, attachment: Attachment, path: Path) -> None:
        digest = hashlib.sha256()
        file = await self._guarded(lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
        try:
            async for chunk in attachment.open():
                digest.update(chunk)
                await self._guarded(partial(_write_all, file, chunk))
            await self._guarded(lambda: os.fsync(file))
        finally:
            self._threads.submit(os.close, file)  # which waits for the server of a share
        if attachment.digest and digest.hexdigest() != attachment.digest:
            raise ValueError("an attachment is not what its digest says")


class _Place:
    """Where the files of one delivery are. Blocking; the caller runs it in a thread."""

    def __init__(self, envelope: Envelope, options: FolderOptions) -> None:
        if _ID.fullmatch(envelope.delivery_id) is None:
            raise Refused("the delivery id cannot be a file name", code="folder-id")
        self.base = Path(options.path)
        self.id = envelope.delivery_id
        self.message = self.base / f"{self.id}.{options.suffix}"
        self.hidden = self.base / _MARKS / f"{self.id}.message"
        self.part = self.base / _MARKS / f"{self.id}.set"
        self.marked = self.base / _MARKS / f"{self.id}.mark"
        self.done = self.base / options.done / self.message.name if options.done else None
        self.reply = Path(options.reply) / f"{self.id}.reply.json" if options.reply else None

    def was_there(self) -> bool:
        """Has the message appeared, now or ever? The rename takes ``hidden`` away in the same instant."""
        if self.message.exists() or (self.done is not None and self.done.exists()):
            return True
        _must_be_there(self.base)
        return self.marked.exists() and not self.hidden.exists()

    def begin(self) -> None:
        _must_be_there(self.base)
        self.hidden.parent.mkdir(mode=0o700, exist_ok=True)
        self.clear()
        self.part.mkdir()

    def clear(self) -> None:
        """Take back what an unfinished attempt left. The mark goes first: without it, nothing was handed over."""
        if self.marked.exists() and not self.hidden.exists():
            return
        with suppress(OSError):
            if self.marked.exists():
                self.marked.unlink()
                _sync_folder(self.marked.parent)  # a mark that outlived the hidden message would say: it had appeared
            self.hidden.unlink(missing_ok=True)
            shutil.rmtree(self.part, ignore_errors=True)

    def set_beside(self) -> None:
        """The set takes its place before the message does, replacing what an unfinished attempt left there."""
        _sync_folder(self.part)
        final = self.base / self.id
        if final.is_dir():
            shutil.rmtree(final)
        self.part.rename(final)
        _sync_folder(self.base)
        _sync_folder(self.hidden.parent)

    def mark(self) -> None:
        _write(self.marked, b"")
        _sync_folder(self.marked.parent)

    def appear(self) -> None:
        self.hidden.rename(self.message)
        _sync_folder(self.base)
        _sync_folder(self.hidden.parent)

    def read_reply(self) -> Any:
        """What the reply says; ``None`` while there is none that can be read (it may be half written)."""
        assert self.reply is not None
        try:
            with os.fdopen(os.open(self.reply, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                return json.loads(file.read(_REPLY_CAP))
        except (FileNotFoundError, ValueError, RecursionError):
            return None


def _manifest(envelope: Envelope, message: str, files: list[dict[str, Any]]) -> dict[str, Any]:
    predecessor = envelope.predecessor.case_number if envelope.predecessor is not None else None
    return {
        "delivery_id": envelope.delivery_id,
        "reference": envelope.reference,
        "received_at": envelope.received_at.isoformat(),
        "order": envelope.order,
        "leistung": envelope.leistung,
        "ars": envelope.ars,
        "test": envelope.test,
        "message": {"file": message, "type": envelope.message.type, "digest": hashlib.sha256(envelope.document).hexdigest()},
        "attachments": files,
        **({"predecessor": predecessor} if predecessor else {}),
    }


def _check(options: FolderOptions) -> None:
    """Can a file be made there? Also throws away marks that nobody will ask about any more."""
    base = Path(options.path)
    _must_be_there(base)
    if options.reply:
        _must_be_there(Path(options.reply))
    marks = base / _MARKS
    marks.mkdir(mode=0o700, exist_ok=True)
    probe = marks / f"probe-{os.getpid()}"
    _write(probe, b"?")
    probe.unlink()
    old = time.time() - _MARKS_KEPT
    for mark in marks.glob("*.mark"):
        if mark.stat().st_mtime < old:
            mark.unlink(missing_ok=True)


def _must_be_there(base: Path) -> None:
    if not base.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder is not there", str(base))


def _write(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        _write_all(file, content)
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
