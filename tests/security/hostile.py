"""The hostile corpus beside the project: its cases, and the bytes of each, made on demand.

``../shared/hostile/README.md`` describes the format. Small bodies are files; large ones are generators, and streamed, so
that a case of a gigabyte needs no gigabyte.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.conftest import corpus

HOSTILE = corpus("hostile")
PIECE = 1 << 20


@dataclass(frozen=True)
class Case:
    """schema: file under ``schemas/`` to install for the test service. expect: the manifest's words."""

    name: str
    family: str
    kind: str
    content_type: str
    expect: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    schema: str | None = field(repr=False)
    size: int | None = field(repr=False)
    given: Mapping[str, Any] = field(repr=False)

    @property
    def charset(self) -> str | None:
        _, found, value = self.content_type.partition("charset=")
        return value if found else None

    @property
    def outcome(self) -> str:
        return str(self.expect["outcome"])

    @property
    def statuses(self) -> frozenset[int]:
        return frozenset(int(status) for status in self.expect["http_status"] if str(status).isdigit())


def cases(*kinds: str) -> list[Case]:
    """Every case of these kinds ("body", "schema-upload", "json-body", "raw-http", "stream"); [] without the corpus."""
    return [_case(given) for given in _manifest().get("cases", ()) if not kinds or given["kind"] in kinds]


def assumptions() -> Mapping[str, Any]:
    """canary_listener, canary_file, canary_file_content, max_body_bytes, placeholders."""
    return dict(_manifest()["assumptions"])


def chunks_of(case: Case) -> Iterator[bytes]:
    """The body of a case in pieces of about a mebibyte."""
    if "file" in case.given:
        with (HOSTILE / case.given["file"]).open("rb") as file:
            yield from iter(lambda: file.read(PIECE), b"")
        return
    generator = case.given["generator"]
    stream: Iterable[bytes] = _gathered(piece for part in generator["parts"] for piece in _part(part, generator))
    for transform in generator.get("transform", ()):
        stream = _transformed(stream, transform)
    yield from stream


def body_of(case: Case) -> bytes:
    """The whole body, for cases that fit into memory."""
    return b"".join(chunks_of(case))


def schema_of(case: Case) -> Path:
    assert case.schema is not None
    return HOSTILE / "schemas" / case.schema


@cache
def _manifest() -> dict[str, Any]:
    path = HOSTILE / "manifest.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _case(given: Mapping[str, Any]) -> Case:
    return Case(
        name=given["name"], family=given["family"], kind=given["kind"], content_type=given.get("content_type", ""),
        expect=given.get("expect", {}), headers=given.get("headers") or {}, schema=given.get("schema"),
        size=given.get("bytes"), given=given,
    )


def _part(part: Mapping[str, Any], generator: Mapping[str, Any]) -> Iterator[bytes]:
    encoding = part.get("encoding", generator.get("encoding", "utf-8"))
    if "counter" in part:
        for number in range(part.get("from", 0), part["to"]):
            yield part["counter"].replace("%d", str(number)).encode(encoding)
        return
    unit, left = _unit(part, encoding), part.get("repeat", 1)
    while left > 0:
        now = min(left, max(1, PIECE // max(1, len(unit))))
        yield unit * now
        left -= now


def _unit(part: Mapping[str, Any], encoding: str) -> bytes:
    if "hex" in part:
        return bytes.fromhex(part["hex"])
    if "b64" in part:
        return b64decode(part["b64"])
    return str(part["text"]).encode(encoding)


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


_WINDOW = {"gzip": 31, "zlib": 15, "deflate-raw": -15}


def _transformed(stream: Iterable[bytes], transform: str) -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, _WINDOW[transform])
    for piece in stream:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
