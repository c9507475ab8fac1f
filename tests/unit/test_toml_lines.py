"""The walk that finds lines must see exactly what tomllib sees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.toml_lines import Place, line_of_error, parse

AWKWARD = '''# [not.a.table]
site = "x" # [y]
a.b."c d" = 1
[authority.lk]
ars = "1"  # = 2
text = """
[nope]
x = "1" \\"""
"""
raw = \'\'\'
[[no]]\'\'\'
[[route]]
to = [ # ] } ,
  { target = "a, b]" },

  { target = 'c"', deep = {y = [1,
     2], z = {}} },
]
from = 2026-01-01 00:00:00
[route.sub]
z = 1.5
[[route]]
"q.r" = 'a#b'
[route.sub]
z=2
["odd.name" . x]
k = true
'''


def places(value: Any, at: Place = ()) -> set[Place]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {at} if at else set()
    for key, item in inner:
        found |= places(item, (*at, key))
    return found


def test_every_key_table_and_element_has_its_line() -> None:
    data, lines = parse(AWKWARD)
    assert set(lines) == places(data)
    assert lines["authority", "lk", "ars"] == 5
    assert lines["route", 0, "to", 1, "deep", "y", 1] == 17
    assert lines["route", 1] == 22
    assert lines["route", 1, "sub", "z"] == 25
    assert lines["odd.name", "x", "k"] == 27


def test_windows_line_ends_count_as_one_line() -> None:
    _, lines = parse("a = 1\r\nb = '''x\r\ny'''\r\n[c]\r\nd = 2\r\n")
    assert (lines["b",], lines["c",], lines["c", "d"]) == (2, 4, 5)


def test_a_table_that_was_mentioned_before_gets_the_line_of_its_own_header() -> None:
    _, lines = parse("[a.b]\nx = 1\n[a]\ny = 2\n")
    assert (lines["a",], lines["a", "b"]) == (3, 1)


def test_a_syntax_error_names_its_line() -> None:
    import tomllib

    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        parse("a = 1\nb = \n")
    assert line_of_error(caught.value) == 2


keys = st.text("abAB09_- .\"'#=[]ä", min_size=1, max_size=6)
texts = st.text("ab \"'\\#[]{}=,\n\tä", max_size=12)


def quoted(text: str) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" if c in '"\\\n\t' else c for c in text) + '"'


values = st.recursive(
    st.one_of(texts, st.integers(-9, 9), st.booleans(), st.floats(0, 9)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)


def written(value: Any, newline: str = "") -> str:
    """TOML for a value; arrays over several lines and with comments when ``newline`` says so."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case dict():
            return "{" + ", ".join(f"{quoted(k)} = {written(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + "".join(f"{newline}{written(v, newline)}," for v in value) + newline + "]"
    return str(value)


@given(
    st.dictionaries(keys, st.dictionaries(keys, values, max_size=3), max_size=3),
    st.dictionaries(keys, st.lists(st.dictionaries(keys, values, max_size=2), min_size=1, max_size=2), max_size=2),
    st.sampled_from(["", "\n", " # ] } \" '\n\n"]),
)
def test_the_walk_and_tomllib_see_the_same_keys(tables: dict[str, Any], arrays: dict[str, Any], newline: str) -> None:
    lines = []
    for name, table in tables.items():
        lines += [f"[{quoted(name)}]", *(f"{quoted(k)} = {written(v, newline)}" for k, v in table.items())]
    for name, rows in arrays.items():
        if name not in tables:
            for row in rows:
                lines += [f"[[ {quoted(name)} ]] # [x]", *(f"{quoted(k)}={written(v, newline)}" for k, v in row.items())]
    data, found = parse("\n".join(lines))
    assert set(found) == places(data)
