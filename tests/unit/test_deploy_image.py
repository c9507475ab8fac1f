"""Dockerfile: what hadolint says, what gets to the builder and what does not, and the health check that is in the image."""

from __future__ import annotations

import fnmatch
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.alive import is_alive
from tests.conftest import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
_LINES = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
IGNORED = [line for line in _LINES if line and not line.startswith("#")]


def instructions(name: str) -> list[str]:
    joined = re.sub(r"\\\n(\s*#.*\n)*", " ", DOCKERFILE)
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def reaches_the_builder(path: str) -> bool:
    """As .dockerignore says: the last line that fits decides; a folder that is let in brings what is in it."""
    let_in = True
    for line in IGNORED:
        pattern = line.lstrip("!").removeprefix("**/")
        ways = [path, *(str(parent) for parent in Path(path).parents)]
        places = [Path(way).name for way in ways] if "**/" in line else ways
        if any(fnmatch.fnmatch(place, pattern) for place in places):
            let_in = line.startswith("!")
    return let_in


@pytest.mark.parametrize("path", ["pyproject.toml", "README.md", "LICENSE", "gateway/app.py", "connectors/sdk.py",
                                  "schemas/leistungen/hundesteuer/message.xsd", "deploy/constraints.txt"])
def test_what_the_image_is_made_of_reaches_the_builder(path: str) -> None:
    assert (ROOT / path).exists()
    assert reaches_the_builder(path)


@pytest.mark.parametrize("path", [
    ".git/config", "state/keys/site-0001.key", "deploy/secrets/postgres_password", ".venv/bin/python", "nahtlos.toml", ".env",
    "tests/conftest.py", "gateway/__pycache__/app.pyc", "dist/x.whl",
])
def test_no_secret_no_state_and_no_test_reaches_the_builder(path: str) -> None:
    assert not reaches_the_builder(path)


def test_whatever_is_copied_is_there_and_reaches_the_builder() -> None:
    sources = [source for line in instructions("COPY") if not line.startswith("--from") for source in line.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        files = list((ROOT / source).rglob("*.py")) or [ROOT / source]
        assert reaches_the_builder(str(files[0].relative_to(ROOT))), source


def test_it_ends_as_a_numbered_user_without_a_word_of_a_secret() -> None:
    assert instructions("USER") == ["10001:10001"]
    spoken = re.sub(r"^#.*$", "", DOCKERFILE, flags=re.MULTILINE)
    assert not re.search(r"PASSWORD|SECRET|TOKEN|PRIVATE", spoken.upper())
    assert all("latest" not in image for image in [*instructions("FROM"), *instructions("ARG")])


def test_every_image_it_starts_from_can_be_taken_from_elsewhere() -> None:
    assert [line.split()[0] for line in instructions("FROM")] == ["${PYTHON_IMAGE}"] * 2


def test_the_list_of_parts_is_made_of_what_is_installed() -> None:
    (steps,) = (line for line in instructions("RUN") if "cyclonedx-py" in line)
    order = [steps.index(step) for step in ("pip install", "pip uninstall", "cyclonedx-py environment")]
    assert order == sorted(order)
    assert "/opt/nahtlos/sbom.cdx.json" in steps


@pytest.mark.parametrize(("answer", "alive"), [
    (b"HTTP/1.1 200 OK\r\n\r\n", True), (b"HTTP/1.1 503 \r\n\r\n", False), (b"", False), (b"x", False),
])
def test_the_health_check_believes_nothing_but_200(tmp_path: Path, answer: bytes, alive: bool) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen()

        def once() -> None:
            asking, _ = listening.accept()
            with asking:
                asking.recv(1000)
                asking.sendall(answer)

        answering = threading.Thread(target=once)
        answering.start()
        assert is_alive(tmp_path / "control.sock") is alive
        answering.join()


def test_the_health_check_of_a_gateway_that_is_gone_fails_quickly_and_without_a_word(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.alive"], cwd=ROOT, env={"NAHTLOS_STATE": str(tmp_path)}, capture_output=True, check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_the_health_check_loads_nothing_that_costs_time() -> None:
    """It runs every ten seconds in every container."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, gateway.alive; print(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()
    assert not {"lxml", "fastapi", "pydantic", "aiohttp", "asyncio"} & set(loaded)
