"""Bodies of operators' changes: small, flat JSON objects, read strictly.

A key that occurs twice, NaN, a number of a million digits or a hundred thousand brackets are refused (400), not interpreted.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from gateway.http.problems import Kind, Problem
from gateway.http.upload import Pace, headers_of, pour, refuse_encoding

MAX_BYTES = 64 * 1024
MAX_DEPTH = 16


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body. Raises ``Problem`` 400, 413, 415."""
    headers = headers_of(request.scope)
    refuse_encoding(headers)
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        raise Problem(
            Kind.MEDIA_TYPE, de="Hier wird application/json erwartet.", en="application/json is expected here.", close=True,
        )
    chunks: list[bytes] = []
    await pour(request.receive, chunks.append, limit=MAX_BYTES, pace=Pace())
    return parse_object(b"".join(chunks))


def parse_object(body: bytes) -> dict[str, Any]:
    if _depth(body) > MAX_DEPTH:
        raise _wrong("zu tief geschachtelt", "nested too deeply")
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_no_twins, parse_constant=_no_constant, parse_int=_int)
    except Problem:
        raise
    except (ValueError, RecursionError):
        raise _wrong("nicht lesbar", "unreadable") from None
    if not isinstance(value, dict):
        raise _wrong("kein Objekt", "not an object")
    return value


def text(body: dict[str, Any], name: str, *, longest: int = 2000) -> str:
    """A text member, stripped. Raises ``Problem`` when it is missing, empty, no text or too long."""
    value = body.pop(name, None)
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        raise Problem(
            Kind.BAD_REQUEST,
            de=f"{name} fehlt, ist leer oder länger als {longest} Zeichen.",
            en=f"{name} is missing, empty or longer than {longest} characters.",
            extra={"member": name},
        )
    return value.strip()


def optional_text(body: dict[str, Any], name: str, *, longest: int = 2000) -> str | None:
    """As ``text``; ``None`` where there is no such member."""
    return text(body, name, longest=longest) if body.get(name) is not None else body.pop(name, None)


def whole_number(body: dict[str, Any], name: str) -> int | None:
    value = body.pop(name, None)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise Problem(
            Kind.BAD_REQUEST,
            de=f"{name} muss eine ganze Zahl sein.", en=f"{name} must be a whole number.", extra={"member": name},
        )
    return value


def flag(body: dict[str, Any], name: str) -> bool:
    value = body.pop(name, False)
    if not isinstance(value, bool):
        raise Problem(
            Kind.BAD_REQUEST,
            de=f"{name} muss true oder false sein.", en=f"{name} must be true or false.", extra={"member": name},
        )
    return value


def nothing_else(body: dict[str, Any]) -> None:
    """What nobody asked for is a mistake of the caller, and silence would hide it."""
    if body:
        raise _wrong("unbekannte Angaben", "unknown members")


def _depth(body: bytes) -> int:
    """Deepest nesting, counted without recursion; brackets inside strings do not count."""
    depth = deepest = 0
    quoted = escaped = False
    for byte in body:
        if quoted:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                quoted = False
        elif byte == 0x22:
            quoted = True
        elif byte in (0x7B, 0x5B):
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (0x7D, 0x5D):
            depth -= 1
    return deepest


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _wrong("ein Name kommt doppelt vor", "a name occurs twice")
    return value


def _no_constant(_: str) -> None:
    raise _wrong("NaN und Infinity sind keine Zahlen", "NaN and Infinity are no numbers")


def _int(digits: str) -> int:
    if len(digits) > 20:
        raise _wrong("eine Zahl ist zu lang", "a number is too long")
    return int(digits)


def _wrong(de: str, en: str) -> Problem:
    return Problem(Kind.BAD_REQUEST, de=f"Das JSON ist falsch: {de}.", en=f"The JSON is wrong: {en}.", close=True)
