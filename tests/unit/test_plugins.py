"""Connectors are found, and one that is broken stops nobody else."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest

from connectors import sdk
from gateway import plugins
from gateway.site import parse

GOOD = """
from dataclasses import dataclass
from nahtlos_sdk import Acknowledgement, Connector

@dataclass(frozen=True)
class Options:
    url: str
    token: str = ""

class Own(Connector):
    name = "own"
    Options = Options
    async def deliver(self, envelope, target):
        return Acknowledgement("1")
"""

SITE = """
site = "probe"
[authority.stadt]
ars = "081210000000"
name = "Stadt"
{targets}
"""


def site(*targets: str) -> plugins.Site:
    return parse(SITE.format(targets="\n".join(targets)).encode(), Path("/probe/nahtlos.toml"))


def target(name: str, connector: str, options: str) -> str:
    return f'[target.{name}]\nconnector = "{connector}"\nauthority = "stadt"\noptions = {{ {options} }}'


def test_the_connectors_that_ship_are_found() -> None:
    assert {"rest", "folder"} <= set(plugins.find().classes)


def test_a_file_in_the_folder_is_a_connector(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(GOOD)
    (tmp_path / "_helper.py").write_text("raise RuntimeError")
    found = plugins.find(tmp_path)
    assert issubclass(found.classes["own"], sdk.Connector)
    assert found.failed == {}


@pytest.mark.parametrize(("broken", "why"), [
    ("# x\ndef", "a_broken.py:2: SyntaxError: "), ("import gibt_es_nicht", "a_broken.py:1: ModuleNotFoundError: No module named"),
    ("\n\nraise SystemError", "a_broken.py:3: SystemError"), ("1/0", "a_broken.py:1: ZeroDivisionError: division by zero"),
    ("import json\njson.loads('{')", "a_broken.py:2: JSONDecodeError: "),
])
def test_one_that_cannot_be_imported_stops_no_other(tmp_path: Path, broken: str, why: str) -> None:
    (tmp_path / "a_broken.py").write_text(broken)
    (tmp_path / "own.py").write_text(GOOD)
    found = plugins.find(tmp_path)
    assert {"own", "rest"} <= set(found.classes)
    assert list(found.failed) == ["a_broken"]
    assert f"{tmp_path}/{why}" in found.failed["a_broken"]


async def test_a_target_of_a_broken_connector_is_there_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("1/0")
    live = plugins.live_targets(site(target("t", "own", 'url = "x"')), plugins.find(tmp_path))
    with pytest.raises(sdk.Blocked, match="own is not loaded"):
        await live["t"].connector.check(live["t"].target)


def test_options_and_secrets_are_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(GOOD)
    monkeypatch.setenv("PROBE_TOKEN", "geheim")
    live = plugins.live_targets(site(target("t", "own", 'url = "x", token = "env:PROBE_TOKEN"')), plugins.find(tmp_path))
    assert live["t"].target.options.token == "geheim"
    assert "geheim" not in repr(live["t"])


def test_every_fault_of_every_target_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(GOOD)
    with pytest.raises(plugins.TargetFaults) as raised:
        plugins.live_targets(site(
            target("eins", "own", 'urll = "x"'), target("zwei", "gibt-es-nicht", ""),
            target("drei", "own", 'url = "x", token = "env:FEHLT_HIER"'),
        ), plugins.find(tmp_path))
    told = [str(fault) for fault in raised.value.faults]
    assert any("[target.eins]" in fault and "url" in fault for fault in told)
    assert any("[target.zwei]" in fault and "rest" in fault for fault in told)
    assert any("[target.drei]" in fault and "FEHLT_HIER" in fault for fault in told)
    assert all("nahtlos.toml:" in fault for fault in told)


def test_an_empty_folder_and_none_are_the_same(tmp_path: Path) -> None:
    assert plugins.find(tmp_path / "nirgends").classes == plugins.find(None).classes
    assert isinstance(plugins.find().failed, dict | MappingProxyType)
