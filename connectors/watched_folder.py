"""A case system that watches a folder, for tests and demos: takes complete sets, counts cases, leaves replies."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

from connectors.register import CaseRegister


class WatchedFolder:
    """Use with ``async with``. Looks at the folder whenever ``register`` is read. stop, start: an unmounted share.

    replies: does it answer with a case number? deletes: does it delete what it took, or move it to ``done``?
    """

    def __init__(self, *, replies: bool = False, deletes: bool = False, data: Path | None = None) -> None:
        self._replies, self._deletes = replies, deletes
        self._own = tempfile.TemporaryDirectory() if data is None else None
        self._data = data if data is not None else Path(self._own.name if self._own else "")
        self._register = CaseRegister(None, numbers="A/{n:05d}-{year}")
        self.folder, self._reply, self._away = self._data / "in", self._data / "reply", self._data / "away"

    async def __aenter__(self) -> Self:
        for folder in (self.folder, self._reply):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.cleanup()

    async def stop(self) -> None:
        self.folder.rename(self._away)

    async def start(self) -> None:
        self._away.rename(self.folder)

    @property
    def options(self) -> dict[str, Any]:
        return {"path": str(self.folder)} | ({"reply": str(self._reply)} if self._replies else {})

    @property
    def register(self) -> CaseRegister:
        for message in sorted(self.folder.glob("*.xml")):
            self._take(message)
        return self._register

    def _take(self, message: Path) -> None:
        beside = message.with_suffix("")
        manifest = json.loads((beside / "manifest.json").read_text(encoding="utf-8"))
        document = message.read_bytes()
        self._register.attempt(message.stem)
        entry = self._register.take(
            manifest["delivery_id"],
            hashlib.sha256(document).hexdigest(),
            len(document),
            received_at=manifest["received_at"],
            order=str(manifest["order"]),
            leistung=manifest["leistung"],
            attachments=[hashlib.sha256((beside / each["file"]).read_bytes()).hexdigest() for each in manifest["attachments"]],
        )
        if self._deletes:
            message.unlink()
        else:
            (self.folder / "done").mkdir(exist_ok=True)
            message.rename(self.folder / "done" / message.name)
        shutil.rmtree(beside)
        if self._replies:
            reply = self._reply / f"{message.stem}.reply.json"
            reply.write_text(json.dumps({"case_number": entry.case_number}), encoding="utf-8")
