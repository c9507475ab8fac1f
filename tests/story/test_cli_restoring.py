"""Putting a backup back from the command line, when not everything is there or whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.chaos.processes import until
from tests.story.commands import SAMPLES, Site, as_portal, site

__all__ = ["site"]


def keys_of(site: Site) -> Path:
    return Path(site.environment["NAHTLOS_STATE"]) / "keys"


@pytest.fixture(scope="module")
def copy(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a gateway whose history has been signed."""
    path = tmp_path_factory.mktemp("backup") / "copy.db"
    assert site.run("submit", str(SAMPLES / "minimal.xml"), **as_portal(site)).exit_code == 0
    until(lambda: site.json("audit", "verify")["signed"] > 0, within=30, what="a signed history")
    assert site.run("backup", str(path)).exit_code == 0
    return path


def test_a_backup_is_restored_though_the_signing_key_is_lost_for_good(site: Site, copy: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for file in keys_of(site).glob("site-*"):
        shutil.copy2(file, keys)
    lost = {file.name for file in keys_of(site).glob("sign-*")}
    there = {"NAHTLOS_JOURNAL": f"sqlite:///{tmp_path}/restored.db", "NAHTLOS_KEYS": str(keys)}

    refused = site.run("restore", str(copy), **there)
    assert refused.exit_code == 1
    assert site.run("restore", str(copy), NAHTLOS_LOST_KEYS=",".join(lost), **there).exit_code == 0


def test_no_keys_are_made_where_the_key_directory_is_not_mounted(site: Site, copy: Path, tmp_path: Path) -> None:
    """Beside the true ones, put back later, nobody could tell which is the newest."""
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    there = {"NAHTLOS_JOURNAL": f"sqlite:///{tmp_path}/restored.db", "NAHTLOS_KEYS": str(keys)}
    refused = site.run("restore", str(copy), **there)

    assert refused.exit_code == 1
    assert str(keys) in refused.stderr.replace("\n", "")
    assert list(keys.iterdir()) == []
    assert not (tmp_path / "restored.db").exists()


@pytest.mark.parametrize("command", [("audit", "verify"), ("restore", "--doubt")], ids=" ".join)
def test_a_damaged_file_is_said_to_be_damaged(site: Site, copy: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    damaged = tmp_path / "damaged.db"
    whole = copy.read_bytes()
    damaged.write_bytes(whole[:4096] + b"Z" * (len(whole) - 4096))
    damaged.chmod(0o600)
    refused = site.run(*command, NAHTLOS_JOURNAL=f"sqlite:///{damaged}")

    assert isinstance(refused.exception, SystemExit)
    assert refused.exit_code == 1
    assert "beschädigt" in refused.stderr
    assert "damaged" in refused.stderr
