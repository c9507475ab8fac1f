"""Every block of code in the integrators' README runs as it stands there."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from connectors.rest import RestConnector
from connectors.sdk import Connector
from gateway.plugins import find

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "connectors" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
FILES = {info.split("=")[1]: code for _, info, code in BLOCKS if "file=" in info}


def of(language: str, info: str) -> list[str]:
    return [code for each, said, code in BLOCKS if each == language and said.strip() == info]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The reader's folder, with the SDK's name as an installation gives it."""
    for name, code in FILES.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    shutil.copy(ROOT / "connectors" / "nahtlos_sdk.py", tmp_path)
    return tmp_path


def test_the_connector_keeps_its_contract(written: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(written), "test_register.py"]
    path = {"PYTHONPATH": f"{written}:{ROOT}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=written, env=path, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "12 passed" in done.stdout


def test_its_length_is_what_the_text_says() -> None:
    lines = [line for line in FILES["register_connector.py"].splitlines() if line.strip()]
    assert len(lines) <= 30
    assert len(FILES["test_register.py"].strip().splitlines()) <= 6


def test_the_gateway_finds_it_in_the_drop_in_folder(written: Path) -> None:
    (written / "test_register.py").unlink()
    (written / "nahtlos_sdk.py").unlink()
    found = find(written)
    assert not found.failed
    assert issubclass(found.classes["register"], Connector)
    assert found.classes["rest"] is RestConnector


@pytest.mark.parametrize("code", of("python", ""))
def test_a_block_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("code", of("python", "async"))
def test_an_asynchronous_block_runs(code: str) -> None:
    scope: dict[str, object] = {}
    exec(compile("async def story():\n" + textwrap.indent(code, "    "), "README.md", "exec"), scope)
    story = scope["story"]
    assert callable(story)
    asyncio.run(story())


@pytest.mark.parametrize("code", of("toml", ""))
def test_the_toml_is_toml(code: str) -> None:
    assert tomllib.loads(code)


def test_no_block_is_left_out() -> None:
    ran = len(FILES) + len(of("python", "")) + len(of("python", "async"))
    assert ran == sum(language == "python" for language, _, _ in BLOCKS)
    assert ran >= 5
