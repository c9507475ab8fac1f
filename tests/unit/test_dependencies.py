"""What pyproject.toml asks for is used, and the container gets exactly one version of it."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.conftest import ROOT

UNSEEN = {
    "tzdata": "zoneinfo reads it where the system has no time zones",
    "jinja2": "the console",
}

DECLARED = [
    re.split(r"[<>=;\[ ]", line, maxsplit=1)[0]
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
]


@pytest.mark.parametrize("name", [name for name in DECLARED if name not in UNSEEN])
def test_every_dependency_is_imported_somewhere(name: str) -> None:
    statement = re.compile(rf"^\s*(?:from|import) {name.replace('-', '_')}\b", re.MULTILINE)
    files = [path for folder in ("gateway", "connectors") for path in (ROOT / folder).rglob("*.py")]
    assert any(statement.search(path.read_text(encoding="utf-8")) for path in files), f"nothing imports {name}"


def test_every_dependency_is_pinned_once() -> None:
    lines = (ROOT / "deploy/constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line]
    assert len(pinned) == len(set(pinned))
    assert set(DECLARED) <= set(pinned)
