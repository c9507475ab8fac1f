"""The guide for portal developers is executed: every shell block, in order, as it stands."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from gateway.http.problems import Kind
from tests.conftest import ROOT
from tests.story.conftest import House

GUIDE = ROOT / "gateway" / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


async def test_every_line_works_when_pasted(gateway: House, tmp_path: Path) -> None:
    environment = os.environ | {"NAHTLOS": gateway.url, "KEY": gateway.keys["portal"], "NO_PROXY": "*"}
    script = "set -e\n" + "\necho; echo ----\n".join(blocks())
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=tmp_path, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )
    output = (await asyncio.wait_for(shell.communicate(), 50))[0].decode()
    assert shell.returncode == 0, output
    said = output.split("----")
    assert len(said) == len(blocks())
    first, again, attached, checked, refused, status, listed, withdrawn, catalogue, form = said
    assert "HTTP/1.1 202 Accepted" in first
    assert "idempotency-replayed: true" in again
    assert re.findall(r'"reference":"(\w+)"', first) == re.findall(r'"reference":"(\w+)"', again)
    assert '"state":"received"' in attached
    assert '"outcome":"refused"' in checked
    assert 'geburtsdatum","expected":' in checked
    assert '"title":"The document is not valid."' in refused
    assert '"case_number":"' in status
    assert '"next":' in listed
    assert "urn:nahtlos:problem:conflict" in withdrawn
    assert '"slug":"hundesteuer"' in catalogue
    assert '"health":"ok"' in catalogue
    assert '"leistung":"hundesteuer"' in form
    assert (await gateway.client("betrieb").get("/v1/dead-letters")).json()["dead_letters"] == []


def test_the_guide_names_every_problem_with_its_status() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for kind in Kind:
        line = next((line for line in guide.splitlines() if line.startswith("|") and f"`{kind.slug}`" in line), "")
        assert str(kind.status) in line, kind.slug
