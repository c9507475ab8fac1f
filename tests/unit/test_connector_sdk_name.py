"""``nahtlos_sdk`` and ``connectors.sdk`` are one module, also where an integrator's own ``connectors/`` hides ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """What the wheel puts into site-packages, as far as it matters here."""
    place = tmp_path / "site-packages"
    for package in ("connectors", "gateway"):
        (place / package).mkdir(parents=True)
        shutil.copy(ROOT / package / "__init__.py", place / package)
    shutil.copy(ROOT / "connectors" / "sdk.py", place / "connectors")
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, there in wheel["force-include"].items():
        if there.endswith(".py"):
            shutil.copy(ROOT / source, place / there)
    return place


def run(code: str, *path: Path) -> str:
    """In a new Python that knows the standard library and ``path``."""
    start = f"import sys; sys.path[:0] = {[str(each) for each in path]!r}\n"
    command = [sys.executable, "-I", "-S", "-c", start + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def shadow(folder: Path) -> Path:
    (folder / "mine" / "connectors").mkdir(parents=True)
    (folder / "mine" / "connectors" / "__init__.py").write_text("MINE = True\n")
    return folder / "mine"


@pytest.mark.parametrize("first", ["import nahtlos_sdk, connectors.sdk as sdk", "import connectors.sdk as sdk, nahtlos_sdk"])
def test_both_names_mean_the_same_classes(installed: Path, first: str) -> None:
    assert run(f"{first}\nprint(all(getattr(nahtlos_sdk, n) is getattr(sdk, n) for n in "
               "('Connector', 'Envelope', 'Refused', 'CanFind')))", installed) == "True"  # fmt: skip


def test_a_folder_of_the_same_name_does_not_shadow_it(installed: Path, tmp_path: Path) -> None:
    code = f"""
import connectors, nahtlos_sdk
import connectors.sdk as later
class Mine(nahtlos_sdk.Connector):
    name = "mine"
    async def deliver(self, envelope, target): ...
print(connectors.MINE, issubclass(Mine, later.Connector), later.__file__ == {str(installed / "connectors" / "sdk.py")!r})
print(connectors.sdk is later)
"""
    assert run(code, shadow(tmp_path), installed) == "True True True\nTrue"


def test_a_checkout_installed_in_place_is_found_beside_the_gateway(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (installed / "nahtlos_sdk.py").rename(tmp_path / "elsewhere" / "nahtlos_sdk.py")
    code = "import nahtlos_sdk, connectors.sdk; print(nahtlos_sdk.Connector is connectors.sdk.Connector)"
    assert run(code, tmp_path / "elsewhere", installed) == "True"


def test_it_offers_every_public_name_and_no_private_one(installed: Path) -> None:
    code = """
import nahtlos_sdk, connectors.sdk as sdk
public = {name for name in vars(sdk) if not name.startswith("_")}
print(sorted(public ^ {name for name in vars(nahtlos_sdk) if not name.startswith("_")}))
"""
    assert run(code, installed) == "[]"


def test_an_incomplete_installation_says_what_is_missing(installed: Path) -> None:
    (installed / "connectors" / "sdk.py").unlink()
    code = "\ntry:\n import nahtlos_sdk\nexcept ImportError as e: print(e)"
    assert "connectors/sdk.py is missing" in run(code, installed)
