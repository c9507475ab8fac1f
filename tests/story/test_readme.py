"""The README is executed: its story, as it stands there, in one shell. What it says will happen has to be in the output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.servers import free_port


def story() -> str:
    """The blocks of the section "A story", in order."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## A story")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))


@pytest.mark.timeout(120)
def test_the_story_happens_as_it_is_told(tmp_path: Path) -> None:
    gateway, system = free_port(), free_port()
    script = story().replace("8400", str(gateway)).replace("8471", str(system))
    script = script.replace("/tmp/nahtlos-story", str(tmp_path / "story"))
    script = script.replace(". .venv/bin/activate", f'export PATH="{Path(sys.executable).parent}:$PATH"')
    script = f"trap 'kill $(jobs -p) 2>/dev/null' EXIT\n{script}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NAHTLOS_")}

    told = subprocess.run(
        ["bash", "-m", "-euo", "pipefail", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110,
    )

    assert told.returncode == 0, told.stdout + told.stderr
    assert '"state":"received"' in told.stdout
    assert "im Fachverfahren" in told.stdout
    assert "nicht angenommen" in told.stdout
    assert "1 erneut übermittelt" in told.stdout
    assert "Keine Klärfälle." in told.stdout
    assert '"cases":2' in told.stdout.replace(" ", "")
    assert '"duplicates":0' in told.stdout.replace(" ", "")


def test_every_file_that_the_readme_names_is_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:tests|gateway|connectors|schemas|deploy)/[\w./-]+)`", readme))

    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
