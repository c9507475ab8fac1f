"""deploy/systemd: read by systemd itself; hardened, and able to hold the socket while the gateway restarts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.conftest import ROOT

UNITS = ROOT / "deploy/systemd"
SERVICES = sorted(UNITS.glob("*.service"))
WORST = 3.5


def unit(path: Path) -> dict[str, dict[str, str]]:
    """Section → key → value; a key that is given again goes on in a new line."""
    sections: dict[str, dict[str, str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section[key] = f"{section[key]}\n{value}" if key in section else value
    return sections


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """systemd reads a unit; no systemd has to run for that."""
    assert shutil.which("systemd-analyze"), "tests/prerequisites.sh deploy"
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root directory with our units installed, the programs they start, and systemd's own units."""
    root = tmp_path_factory.mktemp("machine")
    (root / "etc/systemd/system").mkdir(parents=True)
    for path in (*SERVICES, *UNITS.glob("*.socket"), *UNITS.glob("*.timer")):
        shutil.copy(path, root / "etc/systemd/system")
    shutil.copytree("/usr/lib/systemd/system", root / "usr/lib/systemd/system", symlinks=True)
    for program in ("opt/nahtlos/bin/nahtlos", "bin/sh", "bin/kill"):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        (root / program).write_text("#!/bin/true\n")
        (root / program).chmod(0o755)
    return root


def instance(path: Path) -> str:
    return path.name.replace("@.", "@01.")


def test_systemd_understands_every_line(machine: Path) -> None:
    units = [instance(path) for path in sorted(UNITS.iterdir()) if path.suffix in (".service", ".socket", ".timer")]
    done = analyze("verify", f"--root={machine}", "--man=no", "--recursive-errors=yes", *units)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_misspelt_line_is_noticed(machine: Path) -> None:
    wrong = (UNITS / "nahtlos.service").read_text().replace("NoNewPrivileges", "NoNewPriviliges")
    (machine / "etc/systemd/system/falsch.service").write_text(wrong)
    done = analyze("verify", f"--root={machine}", "--man=no", "falsch.service")
    assert "NoNewPriviliges" in done.stderr


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_no_service_may_more_than_it_needs(path: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={int(WORST * 10)}", "--no-pager", str(path))
    found = re.search(r"Overall exposure level for \S+ ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= WORST


def test_the_socket_outlives_the_service() -> None:
    """Nothing ties the end of the socket to the end of the service; and the service says when it is ready and that it lives."""
    service, socket = unit(UNITS / "nahtlos.service"), unit(UNITS / "nahtlos.socket")
    assert service["Unit"]["Requires"] == "nahtlos.socket"
    assert "nahtlos.socket" in service["Unit"]["After"]
    assert socket["Socket"]["Accept"] == "no"
    assert socket["Socket"]["ListenStream"] == "127.0.0.1:8400"  # an address, because a socket file is refused
    assert "PartOf" not in socket["Unit"]
    assert service["Service"]["Type"] == "notify"
    assert service["Service"]["WatchdogSec"] == "60s"


def test_systemd_waits_longer_than_the_gateway_needs_for_its_end() -> None:
    drain = Settings.model_fields["drain"].default.total_seconds()
    for path in SERVICES:
        if "TimeoutStopSec" in unit(path)["Service"]:
            assert float(unit(path)["Service"]["TimeoutStopSec"].rstrip("s")) > drain + 5


def test_every_variable_is_one_the_gateway_reads() -> None:
    known = {f"NAHTLOS_{name.upper()}" for name in Settings.model_fields}
    for path in SERVICES:
        assert set(re.findall(r"\b(NAHTLOS_[A-Z_]+)=", unit(path)["Service"]["Environment"])) <= known


def test_all_services_are_guarded_alike() -> None:
    """What one of them may not, the others may not either; each may be stricter."""

    def guards(path: Path) -> set[str]:
        text = path.read_text(encoding="utf-8").partition("What a program that reads")[2].partition("\n\n")[0]
        return {line for line in text.splitlines() if re.match(r"[A-Z]\w+=", line)}

    first = guards(UNITS / "nahtlos.service")
    assert len(first) > 20
    for path in SERVICES:
        assert {line for line in first - guards(path) if not line.startswith("RestrictAddressFamilies=")} == set()
