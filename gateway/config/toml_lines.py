"""TOML with the line of every key. ``tomllib`` decides what the text means; this only finds where it stands.

The standard library and the kept TOML packages drop positions or keep them to themselves, so the text, once ``tomllib``
has found it valid, is walked a second time. A test over generated documents shows that both see the same keys.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

Place = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:\'{0,2})|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'', re.DOTALL
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


def parse(text: str) -> tuple[dict[str, Any], Mapping[Place, int]]:
    """The document, and for the place of every key, table and array element its 1-based line.

    A place is the path of keys and indexes from the root: ``("route", 2, "to", 0, "target")``. Where a table is opened
    more than once (``[a.b]`` before ``[a]``), its own header counts. Raises ``tomllib.TOMLDecodeError``.
    """
    data = tomllib.loads(text)
    return data, _Walk(text.replace("\r\n", "\n")).lines


def line_of_error(error: tomllib.TOMLDecodeError) -> int:
    """The line a syntax error names; 0 where it names none."""
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else 0


class _Walk:
    """One pass over text that is known to be valid; it may therefore be simple."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.lines: dict[Place, int] = {}
        self._counted, self._line = 0, 1
        self._arrays: dict[Place, int] = {}
        table: Place = ()
        while self._skip(_BLANK) < len(text):
            if text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Place:
        line, double = self._here(), self.text.startswith("[[", self.at)
        self.at += 2 if double else 1
        keys = self._keys("]")
        self.at += 2 if double else 1
        place: Place = ()
        for depth, key in enumerate(keys):
            place += (key,)
            last = depth == len(keys) - 1
            if last and double:
                self._arrays[place] = self._arrays.get(place, -1) + 1
            self.lines.setdefault(place, line)
            if place in self._arrays:
                place += (self._arrays[place],)
                self.lines.setdefault(place, line)
            elif last:
                self.lines[place] = line
        return place

    def _pair(self, table: Place) -> None:
        line, place = self._here(), table
        for key in self._keys("="):
            place += (key,)
            self.lines.setdefault(place, line)
        self.at += 1
        self._skip(_SPACE)
        self._value(place)

    def _keys(self, until: str) -> list[str]:
        """Dotted key up to ``until``, which is left standing."""
        keys = []
        while self._skip(_SPACE) < len(self.text) and self.text[self.at] != until:
            if self.text[self.at] == ".":
                self.at += 1
                continue
            found = _KEY.match(self.text, self.at)
            assert found is not None
            self.at = found.end()
            keys.append(next(iter(tomllib.loads(found[0] + "=0"))) if found[0][0] in "\"'" else found[0])
        return keys

    def _value(self, place: Place) -> None:
        opening = self.text[self.at]
        if opening == "[":
            self._array(place)
        elif opening == "{":
            self._inline_table(place)
        else:
            self._skip(_STRING if opening in "\"'" else _SCALAR)

    def _array(self, place: Place) -> None:
        self.at += 1
        index = 0
        while self._skip(_BLANK) < len(self.text) and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.lines[*place, index] = self._here()
            self._value((*place, index))
            index += 1
        self.at += 1

    def _inline_table(self, place: Place) -> None:
        self.at += 1
        while self._skip(_BLANK) < len(self.text) and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(place)
        self.at += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return self.at

    def _here(self) -> int:
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line
