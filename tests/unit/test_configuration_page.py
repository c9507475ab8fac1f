"""CONFIGURATION.md names every setting and every key of a site file, with the default that the program has."""

from __future__ import annotations

import re
from dataclasses import MISSING, Field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from gateway.config.routing import Route, RouteStep, Successor
from gateway.settings import DiskReserve, Settings
from gateway.site import Authority, FormBinding, PortalConfig, TargetConfig, parse
from tests.conftest import ROOT

PAGE = (ROOT / "gateway" / "CONFIGURATION.md").read_text(encoding="utf-8")
SITE_SECTIONS: dict[str, tuple[type[Any], frozenset[str]]] = {
    "[authority.NAME]": (Authority, frozenset({"key"})),
    "[portal.NAME]": (PortalConfig, frozenset({"name"})),
    "[target.NAME]": (TargetConfig, frozenset({"name", "where"})),
    "[[form]]": (FormBinding, frozenset({"line"})),
    "[[route]]": (Route, frozenset({"line"})),
    "[[successor]]": (Successor, frozenset({"line"})),
}
SAID_IN_WORDS = {"NAHTLOS_STATE", "NAHTLOS_JOURNAL", "NAHTLOS_KEYS", "NAHTLOS_CONNECTORS", "NAHTLOS_INSTANCE", "NAHTLOS_THREADS"}
OPTIONAL = {"valid_from", "valid_until", "versions"}
"""Left out in a file although the dataclass wants them."""


def rows(text: str) -> dict[str, str]:
    """Name → default, of every table row that begins with a name."""
    return dict(re.findall(r"^\| `([A-Za-z_.]+)` \| (.*?) \|", text, re.MULTILINE))


def section(heading: str) -> str:
    found = re.search(rf"^### `{re.escape(heading)}`\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def test_every_variable_is_there_with_its_default() -> None:
    page = PAGE.partition("## Datei des Standorts")[0]

    assert rows(page).keys() == {f"NAHTLOS_{name.upper()}" for name in Settings.model_fields}
    for name, info in Settings.model_fields.items():
        if (variable := f"NAHTLOS_{name.upper()}") not in SAID_IN_WORDS:
            assert rows(page)[variable] == written(info), variable


@pytest.mark.parametrize("heading", SITE_SECTIONS)
def test_every_key_of_the_site_file_is_there_with_its_default(heading: str) -> None:
    cls, given = SITE_SECTIONS[heading]
    expected = {key(each): default(each) for each in fields(cls) if each.name not in given}
    if cls is Route:
        expected |= {f"to.{key(each)}": default(each) for each in fields(RouteStep)}
    if cls is TargetConfig:
        expected["lane"] = "Name des Konnektors"

    assert rows(section(heading)) == expected


def test_the_example_is_a_site_file() -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    assert parse(example[1].encode(), Path("nahtlos.toml")).name == "landkreis"


def written(info: FieldInfo) -> str:
    value = info.default.get_secret_value() if isinstance(info.default, SecretStr) else info.default
    if isinstance(value, ByteSize):
        return f"`{value.human_readable().replace('.0', '')}`"
    if isinstance(value, timedelta):
        return f"`{value.total_seconds():g}s`"
    if isinstance(value, DiskReserve):
        return f"`{value.share:.0%}`"
    return f"`{value}`" if value not in (None, (), "") else "–"


def key(each: Field[Any]) -> str:
    return str(each.metadata.get("toml", each.name))


def default(each: Field[Any]) -> str:
    if each.default is MISSING and each.default_factory is MISSING:
        return ("–" if each.name != "versions" else '`""`') if each.name in OPTIONAL else "Pflicht"
    value = each.default if each.default_factory is MISSING else each.default_factory()
    if value is None:
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        return f'`"{seconds // 86400}d"`' if seconds >= 86400 and seconds != 72 * 3600 else (
            f'`"{seconds // 3600}h"`' if seconds >= 3600 else f'`"{seconds}s"`')
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, tuple):
        return "`[]`"
    return "`{}`" if not isinstance(value, int) else f"`{value}`"
