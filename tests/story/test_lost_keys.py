"""A key directory that is not there is an error and no first start; one that goes away meanwhile is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.keyneeds import KeysMissing
from tests.deployments import ON_ALL
from tests.story.conftest import ARS, house, sample


async def one_delivered(tmp_path: Path) -> str:
    async with house(tmp_path) as up:
        answer = await up.client("portal").post(
            "/v1/submissions", content=sample("minimal"), params={"leistung": "hundesteuer", "ars": ARS},
            headers={"content-type": "application/xml"},
        )
        assert answer.status_code == 202, answer.text
        submission_id: str = answer.json()["id"]
        await up.settled(submission_id)
    return submission_id


@ON_ALL
async def test_a_key_directory_that_was_not_mounted_stops_the_start_and_nothing_is_made(tmp_path: Path) -> None:
    submission_id = await one_delivered(tmp_path)
    keys = tmp_path / "state" / "keys"
    names = {path.name for path in keys.iterdir()}
    keys.rename(tmp_path / "elsewhere")

    for empty in (False, True):
        if empty:
            keys.mkdir(mode=0o700)
        with pytest.raises(KeysMissing) as refused:
            async with house(tmp_path):
                pass
        assert set(refused.value.missing) == names
        assert all(name in refused.value.de and name in refused.value.en for name in (*names, str(keys), "NAHTLOS_KEYS"))
        assert not keys.exists() or not list(keys.iterdir())

    keys.rmdir()
    (tmp_path / "elsewhere").rename(keys)
    async with house(tmp_path) as up:
        said = await up.settled(submission_id)
        assert all(each["case_number"] for each in said["deliveries"])


@ON_ALL
@pytest.mark.parametrize("kind", ["site", "sign"])
async def test_one_key_that_is_lost_is_named(tmp_path: Path, kind: str) -> None:
    await one_delivered(tmp_path)
    (lost,) = (tmp_path / "state" / "keys").glob(f"{kind}-*.key")
    lost.rename(tmp_path / lost.name)

    with pytest.raises(KeysMissing) as refused:
        async with house(tmp_path):
            pass

    assert list(refused.value.missing) == [lost.name]


async def test_who_has_given_a_key_up_goes_on_without_it(tmp_path: Path) -> None:
    """On PostgreSQL all processes must agree on a new key first: ``nahtlos restore --doubt``."""
    submission_id = await one_delivered(tmp_path)
    keys = tmp_path / "state" / "keys"
    names = tuple(path.name for path in keys.iterdir())
    keys.rename(tmp_path / "elsewhere")

    async with house(tmp_path, lost_keys=names) as up:
        said = (await up.client("betrieb").get(f"/v1/submissions/{submission_id}")).json()
        assert said["state"] == "delivered"
        assert [each["case_number"] for each in said["deliveries"]] == [None, None]


@ON_ALL
async def test_keys_that_go_away_meanwhile_are_seen(tmp_path: Path) -> None:
    await one_delivered(tmp_path)
    keys = tmp_path / "state" / "keys"
    async with house(tmp_path) as up:
        api = up.client(None)
        (older,) = keys.glob("site-*.key")
        assert (await up.client("betrieb").post("/v1/maintenance/keys/rotate", json={"reason": "jährlich"})).status_code == 200

        older.rename(tmp_path / older.name)
        assert (await api.get("/readyz")).json() == {"status": "ok", "wrong": []}

        (signing,) = keys.glob("sign-*.key")
        signing.rename(tmp_path / signing.name)
        degraded = await api.get("/readyz")
        assert (degraded.status_code, [each["code"] for each in degraded.json()["wrong"]]) == (200, ["keys"])
        assert signing.name in degraded.json()["wrong"][0]["de"]

        keys.rename(tmp_path / "away")
        unready = await api.get("/readyz")
        assert (unready.status_code, [each["code"] for each in unready.json()["wrong"]]) == (503, ["key-in-force"])

        (tmp_path / "away").rename(keys)
        (tmp_path / signing.name).rename(signing)
        assert (await api.get("/readyz")).status_code == 200
