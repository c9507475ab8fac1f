"""``nahtlos demo`` as anybody starts it: a process, from another folder, with what happens to be in the environment."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway.demo.stage import Stage
from tests.conftest import ROOT

pytestmark = [pytest.mark.timeout(420), pytest.mark.xdist_group("demo")]

# A short folder: the gateway's local socket has a path of at most 108 characters.
RESULT = re.compile(r"(\d+) angenommen = (\d+) im Fachverfahren \+ (\d+) Klärfälle · doppelt (\d+) · verloren (\d+)")


@contextmanager
def demo(place: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(place), "NAHTLOS_STATE": "/nowhere", "NAHTLOS_PROT": "1"}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is begun in the background is deaf to it, and so its children
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", *options], cwd=place, env=environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stderr.close()


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("d")


def assert_clean(place: Path) -> None:
    assert list(place.iterdir()) == []
    left = [p for p in psutil.process_iter(["cmdline", "environ"]) if str(place) in str(p.info["cmdline"])]
    assert left == []


def test_it_runs_without_a_terminal_and_ends_with_the_table(place: Path) -> None:
    with demo(place) as process:
        said, wrong = process.communicate(timeout=300)
    assert process.returncode == 0, said[-3000:] + wrong[-3000:]
    assert wrong == ""
    assert "\x1b" not in said

    [row] = re.findall(r"^Summe +([\d ]+)$", said, re.MULTILINE)
    sent, again, refused, taken, arrived, dead, doubled, lost = map(int, row.split())
    assert sent == again + refused + taken
    assert taken == arrived + dead
    assert (doubled, lost) == (0, 0)
    assert min(again, refused, arrived, dead) > 0

    found = RESULT.search(said)
    assert found
    accepted, delivered, waiting, *bad = map(int, found.groups())
    assert accepted == taken == delivered + waiting
    assert delivered - arrived == said.count("✓ erneut übermittelt:") == dead - waiting > 0
    assert bad == [0, 0]

    wohngeld = next(line for line in said.splitlines() if line.startswith("Kleiner Waffenschein") and "50.3/" in line)
    assert "HN-" in wohngeld  # the same service, two administrations, two kinds of number
    assert "Zeile 32: Der Wert des Elements „iban“ hat nicht die verlangte Form." in said
    assert "1 × war ungeklärt, ob der Fall angelegt ist" in said
    assert_clean(place)


def test_killed_again_and_again_it_keeps_every_202_once(place: Path) -> None:
    with demo(place, "--chaos", "--json") as process:
        said, told = process.communicate(timeout=400)
    assert process.returncode == 0, told[-3000:]
    result = json.loads(said)
    assert result["kept"]
    assert result["kills"] == 3
    assert result["sent_again"] > 0
    verdict = result["verdict"]
    assert verdict["accepted"] == verdict["delivered"] + verdict["dead"] > 250
    assert [verdict[crime] for crime in ("lost", "doubled", "changed", "unexpected")] == [[], [], [], []]
    assert result["lookups"] > 0
    assert "SIGKILL nach" in told
    assert_clean(place)


async def test_a_killed_gateway_waits_for_its_port_when_somebody_took_it_meanwhile() -> None:
    with Stage() as stage:
        await stage.open()
        await stage.start_gateway()
        port = stage.port
        stage.kill_gateway()
        with socket.create_server(("127.0.0.1", port)):
            coming_back = asyncio.create_task(stage.start_gateway())
            await asyncio.sleep(0)
            while stage.gateway_runs():  # until it has found the port taken
                await asyncio.sleep(0.05)
        await coming_back
        assert stage.port == port


def test_a_case_that_vanishes_from_a_register_is_reported_as_lost(place: Path) -> None:
    """A line is taken out of the Amtsregister's own file while the demo runs, as a disk that lies would."""
    with demo(place, "--json") as process:
        taken = threading.Thread(target=_take_a_case_away, args=(place, process))
        taken.start()
        said, told = process.communicate(timeout=300)
        taken.join()
    assert process.returncode == 1, told[-3000:]
    result = json.loads(said)
    assert not result["kept"]
    assert len(result["verdict"]["lost"]) >= 1
    assert re.search(r"verloren [1-9]", told)
    assert "verloren: hundesteuer/" in told or "verloren: meldebescheinigung/" in told or "verloren: kleiner-w" in told
    assert_clean(place)


def test_every_line_it_proposes_works_when_pasted_and_ctrl_c_ends_it_all(place: Path) -> None:
    with demo(place, "--serve") as process:
        said = _until(process, "Läuft weiter, bis")
        lines = _commands(said)
        assert len(lines) == 10
        answers = [_paste(line, place) for line in lines]
        again = _paste(lines[0], place)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    submitted, form, broken, status, _, waiting, _, letters, targets, audit = answers
    assert json.loads(submitted)["reference"] == json.loads(again)["reference"]
    assert json.loads(form)["leistung"] == "wohngeld"
    assert json.loads(broken)["status"] == 422
    assert json.loads(broken)["findings"][0]["line"] == 32
    assert json.loads(status)["state"] == "delivered"
    assert json.loads(waiting)["state"] == "received"
    assert "fehlerhaft" in letters
    assert "stadt-amtsregister" in targets
    assert "bestätigt" in audit
    assert process.returncode == 0
    assert_clean(place)


def test_ctrl_c_in_the_middle_ends_every_process_and_leaves_nothing(place: Path) -> None:
    with demo(place) as process:
        _until(process, "Gateway:")
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert process.stdout
        assert "Abgebrochen; alles beendet." in process.stdout.read()
    assert process.returncode == 130
    assert_clean(place)


def test_a_demo_that_is_killed_takes_its_processes_along(place: Path) -> None:
    with demo(place) as process:
        _until(process, "Gateway:")
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 3
        process.kill()
        process.wait(10)
        gone, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert len(gone) == len(children)


def _until(process: subprocess.Popen[str], mark: str) -> str:
    """What it has said up to the line that holds ``mark``."""
    said = ""
    assert process.stdout
    for line in process.stdout:
        said += line
        if mark in line:
            return said
    raise AssertionError(f"ended without {mark!r}: {said[-3000:]}")


def _commands(said: str) -> list[str]:
    """The lines between the heading and the addresses, those with a backslash at their end joined with the next."""
    block = said.partition("Zum Ausprobieren")[2].partition("\n")[2].partition("# Schnittstelle")[0]
    plain = "\n".join(line for line in block.splitlines() if not line.startswith("#"))
    return [line for line in plain.replace("\\\n", "\\\x00").splitlines() if line]


def _paste(line: str, place: Path) -> str:
    shell = {name: value for name, value in os.environ.items() if not name.startswith("NAHTLOS_")}
    ran = subprocess.run(
        ["bash", "-c", line.replace("\x00", "\n")], cwd=place, env=shell, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
    assert ran.stdout
    return ran.stdout


def _take_a_case_away(place: Path, process: subprocess.Popen[str]) -> None:
    """In place: the case system goes on appending to the same file."""
    while process.poll() is None:
        for register in place.glob("*/registers/stadt-amtsregister/cases.jsonl"):
            lines = register.read_bytes().splitlines(keepends=True)
            if len(lines) >= 5 and (case := _first_delivered(lines)):
                with register.open("r+b") as file:
                    file.write(b"".join(line for line in lines if line != case))
                    file.truncate()
                return
        time.sleep(0.02)


def _first_delivered(lines: list[bytes]) -> bytes | None:
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return next((line for line, entry in zip(lines, entries, strict=False) if not entry["repeat"]), None)
