"""``nahtlos`` as people type it, against a real gateway process with a case system beside it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from connectors.simulator import SECRET
from gateway.__main__ import app
from tests.conftest import ROOT
from tests.servers import free_port

SAMPLES = ROOT / "schemas/leistungen/hundesteuer/samples"
SITE = """
site = "probe"
[authority.stadt]
ars = "081210000000"
name = "Stadt Probe"
[portal.portal]
leistungen = ["*"]
[target.fach]
connector = "rest"
authority = "stadt"
settle = "1s"
options = {{ url = "{url}", token = "env:PROBE_SECRET" }}
[[route]]
leistung = "hundesteuer"
ars = "08121"
to = [ {{ target = "fach" }} ]
"""
@dataclass
class Site:
    folder: Path
    environment: dict[str, str]
    register: str

    def run(self, *arguments: str, **more: str) -> Result:
        return CliRunner(env=self.environment | more).invoke(app, arguments)

    def json(self, *arguments: str, **more: str) -> Any:
        result = self.run(*arguments, "--json", **more)
        assert result.exit_code == 0, result.output
        # Loggers that other tests of this process have set up may write lines of their own before it.
        found = re.search(r"^[\[{]", result.stdout, re.MULTILINE)
        assert found, result.output
        return json.JSONDecoder().raw_decode(result.stdout[found.start():])[0]


@contextmanager
def process(log: Path, *arguments: str, **environment: str) -> Iterator[None]:
    with log.open("wb") as out:
        command = [sys.executable, "-m", *arguments]
        process = subprocess.Popen(command, env=os.environ | environment, stdout=out, stderr=out, cwd=ROOT)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def said(log: Path, word: str) -> str:
    for _ in range(300):
        for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
            if word in line and line.endswith("\n"):
                return line
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("cli"), free_port()
    with process(folder / "system.log", "connectors.simulator", "rest"):
        url = json.loads(said(folder / "system.log", "url"))["url"]
        (folder / "nahtlos.toml").write_text(SITE.format(url=url), encoding="utf-8")
        environment = {"NAHTLOS_STATE": str(folder / "state"), "NAHTLOS_SITE": str(folder / "nahtlos.toml"),
                       "NAHTLOS_PORT": str(port), "PROBE_SECRET": SECRET}
        with process(folder / "gateway.log", "gateway", "serve", **environment):
            said(folder / "gateway.log", "läuft")
            made = Site(folder, environment, url)
            key = made.json("portal", "key", "new", "portal")["key"]
            made.environment |= {"PORTAL_URL": f"http://127.0.0.1:{port}", "PORTAL_KEY": key}
            yield made


def as_portal(site: Site) -> dict[str, str]:
    return {"NAHTLOS_URL": site.environment["PORTAL_URL"], "NAHTLOS_KEY": site.environment["PORTAL_KEY"]}


def fresh(folder: Path, number: int) -> Path:
    text = (SAMPLES / "minimal.xml").read_text(encoding="utf-8")
    path = folder / f"{number}.xml"
    path.write_text(text.replace("000000001001", f"{number:012d}"), encoding="utf-8")
    return path


def dead(site: Site, count: int, first: int) -> list[dict[str, Any]]:
    """Dead letters, made by a case system that refuses."""
    httpx.put(f"{site.register}/_faults", content=f"400x{count}")
    for number in range(first, first + count):
        site.json("submit", str(fresh(site.folder, number)), **as_portal(site))
    for _ in range(200):
        found: list[dict[str, Any]] = site.json("dead-letters", "list")["dead_letters"]
        if len(found) == count:
            return found
        time.sleep(0.05)
    raise AssertionError(found)
