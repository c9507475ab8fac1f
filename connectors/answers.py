"""What a case system answered, read: its case number, or its reason for a no. Pure: bytes in, text out.

A place in an answer is written ``json:/caseNumber`` (JSON pointer, RFC 6901), ``xpath:/a/b`` (``{*}`` is not needed:
``xpath:string(//*[local-name()='aktenzeichen'])`` fits any namespace) or ``header:Location`` (last part of the path).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any
from urllib.parse import unquote, urlsplit

from lxml import etree

from connectors.wire import Answer

REASON_CAP = 500


class Absent(Enum):
    """Why there is no value at a place."""

    EMPTY = "empty"  # the answer has the expected shape, and nothing there
    UNREADABLE = "unreadable"  # another kind of answer altogether: it proves nothing


@dataclass(frozen=True, slots=True)
class Reason:
    """text: what was said, at most ``REASON_CAP`` characters; it may hold personal data. code, place: where it named them."""

    text: str = field(repr=False)
    code: str | None = None
    place: str | None = None


def check_place(place: str) -> None:
    """Raises ``ValueError`` with the reason if ``place`` is not written as this module reads it."""
    kind, _, rest = place.partition(":")
    if kind == "json" and (rest == "" or rest.startswith("/")):
        return
    if kind == "header" and re.fullmatch(r"[A-Za-z0-9-]+", rest):
        return
    if kind == "xpath":
        try:
            etree.XPath(rest)(etree.Element("answer"))  # prefixes and functions are looked up only here
        except etree.XPathError as fault:
            raise ValueError(f"{place!r} is not an XPath: {fault}") from None
        return
    raise ValueError(f"{place!r}: expected json:/pointer, xpath:/expression or header:Name")


def read_place(answer: Answer, place: str) -> str | Absent:
    """The text at ``place``, on one line, at most ``REASON_CAP`` characters and never empty."""
    found = _read(answer, place)
    return found if isinstance(found, Absent) else _short(found) or Absent.EMPTY


def _read(answer: Answer, place: str) -> str | Absent:
    kind, _, rest = place.partition(":")
    if kind == "header":
        value = answer.headers.get(rest, "").strip()
        if rest.lower() in ("location", "content-location"):
            value = unquote(urlsplit(value).path.rstrip("/").rpartition("/")[2])
        return value or Absent.EMPTY
    if not answer.complete:
        return Absent.UNREADABLE
    return _from_json(answer.body, rest) if kind == "json" else _from_xml(answer.body, rest)


def reason(answer: Answer) -> Reason:
    """What the case system gave as its reason: RFC 9457 problem, a JSON message, or plain text."""
    fallback = f"HTTP {answer.status}"
    media_type = answer.media_type
    if media_type.endswith(("/json", "+json")):
        said = _json(answer.body)
        if isinstance(said, dict):
            text = _first(said, "detail", "message", "reason", "error_description", "error", "fehler", "title")
            kind = (_first(said, "type") or "").removeprefix("about:blank")
            code = _first(said, "code", "errorCode", "error_code") or kind.rstrip("/").rpartition("/")[2] or None
            place = _first(said, "xpath", "path", "pointer")
            return Reason(_short(text or fallback), code and _short(code, 80), place and _short(place))
        return Reason(_short(said) if isinstance(said, str) else fallback)
    if media_type.endswith(("/xml", "+xml")):
        tree = _xml(answer.body)
        if tree is not None:
            return Reason(_short(_text(tree)) or fallback)
    if media_type == "text/plain":
        return Reason(_short(answer.body[: 4 * REASON_CAP].decode("utf-8", "replace")) or fallback)
    return Reason(fallback)


def retry_after(answer: Answer) -> timedelta | None:
    """``Retry-After`` in both forms. A date counts from the answer's own ``Date``, so that no two clocks are compared."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:12]), 10**8))
    until = _http_date(value)
    if until is None:
        return None
    now = _http_date(answer.headers.get("Date", "")) or datetime.now(UTC)
    return max(until - now, timedelta())


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _from_json(body: bytes, pointer: str) -> str | Absent:
    value = _json(body)
    if value is None:
        return Absent.UNREADABLE
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and key.isdigit():
            if int(key) >= len(value):
                return Absent.EMPTY
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return Absent.UNREADABLE
        if value is None:
            return Absent.EMPTY
    if isinstance(value, bool) or not isinstance(value, str | int):
        return Absent.UNREADABLE
    return str(value).strip() or Absent.EMPTY


def _from_xml(body: bytes, expression: str) -> str | Absent:
    tree = _xml(body)
    if tree is None:
        return Absent.UNREADABLE
    found: Any = etree.XPath(expression)(tree)
    if isinstance(found, list):
        found = found[0] if found else ""
    if isinstance(found, etree._Element):
        found = _text(found)
    return str(found).strip() or Absent.EMPTY


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _xml(body: bytes) -> etree._Element | None:
    """A target is trusted with cases, not with our memory or network: no entities, no DTD, lxml's own limits."""
    if b"<!DOCTYPE" in body:
        return None
    try:
        return etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except (etree.XMLSyntaxError, ValueError):
        return None


def _text(element: etree._Element) -> str:
    return str(etree.XPath("string()")(element))


def _first(said: dict[str, Any], *names: str) -> str | None:
    for name in names:
        value = said.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value)
    return None


def _short(text: str, cap: int = REASON_CAP) -> str:
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 4 * cap]).split())
    return plain if len(plain) <= cap else plain[: cap - 1] + "…"
