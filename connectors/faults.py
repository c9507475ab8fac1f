"""What can go wrong at a case system, written down beforehand.

A script is a list of faults, each for a number of requests: ``503x3, 429:30, hang_after, 400:Aktenplan fehlt, reset*``
(``x3`` three times, ``*`` until told otherwise, ``:`` what it needs). The same as JSON: ``[{"kind": "status",
"status": 503, "times": 3}, …]``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    STATUS = "status"  # answers ``status``; with commit, the case exists all the same
    HANG_BEFORE = "hang_before"  # reads the document, does nothing, never answers
    HANG_AFTER = "hang_after"  # makes the case, never answers
    CLOSE_BEFORE = "close_before"  # closes without an answer, nothing done
    CLOSE_AFTER = "close_after"  # makes the case, closes without an answer
    RESET = "reset"  # makes the case, resets the connection in the middle of the answer
    DRIP = "drip"  # makes the case, answers one byte per ``seconds``
    LATE = "late"  # makes the case, answers after ``seconds``
    WRONG_TYPE = "wrong_type"  # makes the case, answers with something else altogether
    LOGIN_PAGE = "login_page"  # 200 and a web page that wants a password; nothing done
    HUGE = "huge"  # makes the case, answers with 8 MiB
    GARBAGE = "garbage"  # makes the case, answers with what is not HTTP


class On(StrEnum):
    """Which requests a fault is for."""

    DELIVER = "deliver"
    FIND = "find"
    CHECK = "check"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Fault:
    """times: for so many requests; ``None``: until the script is changed. commit: for ``STATUS``, is the case made?

    retry_after: sent as ``Retry-After``, seconds or an HTTP date. leistung: only for documents of this service.
    """

    kind: Kind
    times: int | None = 1
    status: int = 503
    reason: str = ""
    retry_after: str = ""
    commit: bool = False
    seconds: float = 0.2
    on: On = On.DELIVER
    leistung: str = ""

    def __post_init__(self) -> None:
        if self.kind is Kind.STATUS and not 200 <= self.status <= 599:
            raise ValueError(f"status {self.status} cannot be answered")
        if self.times is not None and self.times < 1:
            raise ValueError("times: expected 1 or more, or null for until told otherwise")


class FaultScript:
    """The faults still to come, in order. The first that fits a request is used."""

    def __init__(self, faults: Iterable[Fault | str] = ()) -> None:
        self._left: list[tuple[Fault, int | None]] = []
        self.used = 0
        self.set(faults)

    def set(self, faults: Iterable[Fault | str]) -> None:
        """Replace the script; ``set([])`` repairs the case system."""
        whole = [fault for each in faults for fault in ([each] if isinstance(each, Fault) else parse(each))]
        self._left = [(fault, fault.times) for fault in whole]

    def __bool__(self) -> bool:
        return bool(self._left)

    def next(self, on: On, *, leistung: str = "") -> Fault | None:
        """The fault for this request, and one less of it to come."""
        for place, (fault, left) in enumerate(self._left):
            if fault.on not in (on, On.ANY) or (fault.leistung and fault.leistung != leistung):
                continue
            if left == 1:
                del self._left[place]
            elif left is not None:
                self._left[place] = (fault, left - 1)
            self.used += 1
            return fault
        return None

    def rest(self) -> list[dict[str, Any]]:
        """What is still to come, as it would be written in JSON."""
        return [
            {"kind": str(fault.kind), "status": fault.status, "times": left, "on": str(fault.on), "leistung": fault.leistung}
            for fault, left in self._left
        ]


_SHORT = re.compile(
    r"(?P<what>[a-z_]+|\d{3})(?P<commit>!)?(?:(?P<forever>\*)|x(?P<times>\d+))?(?:@(?P<on>[a-z]+))?(?::(?P<arg>.*))?"
)


def parse(text: str) -> list[Fault]:
    """The short form or JSON. ``500!`` makes the case all the same; ``503*@find`` is for lookups. Raises ``ValueError``."""
    text = text.strip()
    if text.startswith(("[", "{")):
        return from_json(json.loads(text))
    return [_short(part.strip()) for part in text.split(",") if part.strip()]


def from_json(value: Any) -> list[Fault]:
    """Raises ``ValueError`` for what is no fault."""
    found: Sequence[Any] = value if isinstance(value, list) else [value]
    faults = []
    for each in found:
        if isinstance(each, str):
            faults += parse(each)
            continue
        try:
            known = dict(each)
            known["kind"] = Kind(known.get("kind", "status"))
            known["on"] = On(known.get("on", "deliver"))
            faults.append(Fault(**known))
        except (TypeError, ValueError) as fault:
            raise ValueError(f"not a fault: {fault}") from None
    return faults


def _short(part: str) -> Fault:
    match = _SHORT.fullmatch(part)
    if match is None:
        raise ValueError(f"{part!r}: expected for example 503x3, 429:30, hang_after or reset*")
    what, argument = match["what"], match["arg"] or ""
    common: dict[str, Any] = {
        "times": None if match["forever"] else int(match["times"] or 1),
        "on": On(match["on"] or "deliver"),
        "commit": match["commit"] is not None,
    }
    if what.isdigit():
        common["retry_after" if int(what) in (425, 429, 503) else "reason"] = argument
        return Fault(Kind.STATUS, status=int(what), **common)
    try:
        kind = Kind(what)
    except ValueError:
        names = ", ".join(kind for kind in Kind if kind is not Kind.STATUS)
        raise ValueError(f"{what!r}: known are a number such as 503, and {names}") from None
    if argument:
        common["seconds"] = float(argument)
    return Fault(kind, **common)
