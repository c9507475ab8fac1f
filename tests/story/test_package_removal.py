"""A package goes when nothing needs it any more: the journal is asked, whether a gateway runs or not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.__main__ import app
from gateway.packageuse import PackageUse, use_of
from tests.story.conftest import House, house
from tests.story.test_versions import ROUTES, XML, message, write_versions

CONVERT = '\n[convert]\nto = "meldung@2"\nsheet = "nach-2.xslt"'


def write_two_packages(tmp: Path) -> Path:
    """Two versions that know nothing of each other; the folder they lie in."""
    write_versions(tmp / "state")
    packages = tmp / "state" / "schemas" / "packages"
    manifest = packages / "meldung-1" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace(CONVERT, ""))
    return packages


async def submitted(up: House, version: str, portal: str = "portal", name: str = "Rex") -> str:
    answer = await up.client(portal).post("/v1/submissions?ars=081210000000", content=message(version, name), headers=XML)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def remove(tmp: Path, name: str, *more: str) -> Result:
    environment = {"NAHTLOS_STATE": str(tmp / "state"), "NAHTLOS_SITE": str(tmp / "nahtlos.toml")}
    return await asyncio.to_thread(CliRunner(env=environment).invoke, app, ["schemas", "remove", name, *more])


@pytest.mark.parametrize("running", [True, False])
async def test_a_package_that_open_submissions_need_is_not_removed_and_the_answer_counts_them(
    tmp_path: Path, running: bool
) -> None:
    packages = write_two_packages(tmp_path)
    async with house(tmp_path, more=ROUTES) as up:
        await up.pause("stadt-fach")
        await submitted(up, "1")
        await submitted(up, "1", "sammler", "viel zu lang")
        if running:
            refused = await remove(tmp_path, "meldung@1")
    if not running:
        refused = await remove(tmp_path, "meldung@1")
    assert refused.exit_code == 1, refused.output
    assert "nicht erledigte Einreichungen: 2 (wartende Übermittlungen: 1, Klärfälle: 1)" in refused.output.replace("\n", " ")
    assert (packages / "meldung-1").is_dir()
    assert (await remove(tmp_path, "meldung@2")).exit_code == 0, "nobody needs that one"
    forced = await remove(tmp_path, "meldung@1", "--force")
    assert forced.exit_code == 0, forced.output
    assert not (packages / "meldung-1").exists()


async def test_what_has_arrived_needs_its_package_no_longer(tmp_path: Path) -> None:
    write_two_packages(tmp_path)
    async with house(tmp_path, more=ROUTES) as up:
        await up.settled(await submitted(up, "1"))
        await up.pause("stadt-fach")
        await submitted(up, "2")
        journal = up.gateway.journal
        assert await use_of(journal, "meldung@1") == PackageUse("meldung@1")
        assert await use_of(journal, "meldung@2") == PackageUse("meldung@2", submissions=1, waiting=1)
        assert (await remove(tmp_path, "meldung@1")).exit_code == 0
        answer = await up.client("leser").get("/v1/maintenance/package-use?package=meldung@2")
        assert answer.status_code == 403


async def test_where_no_journal_is_yet_none_is_made_to_be_asked(tmp_path: Path) -> None:
    write_two_packages(tmp_path)
    assert (await remove(tmp_path, "meldung@2")).exit_code == 0
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["schemas"]
