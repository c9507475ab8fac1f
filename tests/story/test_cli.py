"""Every command of ``nahtlos``, against a real gateway process: what it says, as JSON and for people, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.story.commands import SAMPLES, Site, as_portal, dead, fresh, site

__all__ = ["site"]
pytestmark = pytest.mark.timeout(120)


def test_a_submission_and_its_status(site: Site) -> None:
    receipt = site.json("submit", str(fresh(site.folder, 1)), **as_portal(site))
    status = site.json("status", receipt["id"], "--wait", "10", **as_portal(site))
    again = site.json("submit", str(fresh(site.folder, 1)), **as_portal(site))

    assert status["state"] == "delivered"
    assert again["id"] == receipt["id"]
    assert "im Fachverfahren" in site.run("status", receipt["id"], **as_portal(site)).stdout


def test_a_faulty_file_is_refused_with_every_finding(site: Site) -> None:
    result = site.run("submit", str(SAMPLES / "broken-iban.xml"), **as_portal(site))

    assert result.exit_code == 1
    assert "422" in result.output
    assert "iban" in result.output


def test_checking_only_stores_nothing(site: Site) -> None:
    good = site.json("submit", str(SAMPLES / "vollstaendig.xml"), "--check", **as_portal(site))
    bad = site.run("submit", str(SAMPLES / "broken-iban.xml"), "--check", **as_portal(site))

    assert good["valid"]
    assert bad.exit_code == 1


def test_dead_letters_are_listed_grouped_shown_replayed_closed_and_reopened(site: Site) -> None:
    first, second, third = dead(site, 3, 100)

    [group] = site.json("dead-letters", "groups")["groups"]
    assert group["count"] == 3
    assert "nicht angenommen" in site.run("dead-letters", "list").stdout
    assert first["reference"] in site.run("dead-letters", "show", first["id"][-8:]).stdout
    assert site.json("dead-letters", "replay", first["id"], "-r", "probe")["replayed"] == [first["id"]]
    assert site.json("dead-letters", "close", second["id"], "-r", "probe", "--case-number", "HN-1")["state"] == "closed"
    assert site.json("dead-letters", "reopen", second["id"], "-r", "probe")["state"] == "dead"
    assert site.json("dead-letters", "return", third["id"], "-r", "probe")["state"] == "returned"
    done = site.json("dead-letters", "replay", "--target", "fach", "-r", "probe")
    assert done == {"replayed": [second["id"]], "skipped": []}
    assert site.run("dead-letters", "reopen", third["id"], "-r", "probe").exit_code == 1
    assert site.run("dead-letters", "show", "nicht-da").exit_code == 2
    assert site.run("dead-letters", "replay", "-r", "probe").exit_code == 2


def test_targets_are_paused_and_resumed(site: Site) -> None:
    assert site.json("targets", "pause", "fach", "-r", "Wartung")["paused"]
    assert "angehalten" in site.run("targets", "list").stdout
    assert not site.json("targets", "resume", "fach", "-r", "fertig")["paused"]
    assert site.run("targets", "pause", "gibtsnicht", "-r", "x").exit_code == 1


def test_keys_are_shown_once_listed_and_revoked(site: Site) -> None:
    made = site.json("portal", "key", "new", "portal", "-l", "wohngeld")
    listed = site.run("portal", "key", "list", "--json").stdout

    assert made["key"] not in listed
    assert made["id"] in listed
    assert site.run("portal", "key", "revoke", made["id"]).exit_code == 0
    assert site.run("status", "x", NAHTLOS_URL=site.environment["PORTAL_URL"], NAHTLOS_KEY=made["key"]).exit_code == 1
    assert site.run("portal", "key", "new", "gibtsnicht").exit_code == 1


def test_the_history_is_listed_and_verified(site: Site) -> None:
    assert site.json("audit", "list")["entries"]
    assert site.json("audit", "verify")["broken"] is None


def test_a_backup_of_the_running_gateway_is_restored(site: Site, tmp_path: Path) -> None:
    assert site.run("backup", str(tmp_path / "copy.db")).exit_code == 0
    assert site.run("backup", str(tmp_path / "copy.db")).exit_code == 1
    elsewhere = {"NAHTLOS_JOURNAL": f"sqlite:///{tmp_path}/restored.db"}

    restored = site.json("restore", str(tmp_path / "copy.db"), **elsewhere)

    assert (restored["dead_letters"], restored["lost_keys"]) == (0, {})
    assert site.json("audit", "verify", **elsewhere)["broken"] is None


def test_the_sites_key_is_changed_while_it_runs(site: Site) -> None:
    receipt = site.json("submit", str(fresh(site.folder, 900)), **as_portal(site))
    rotated = site.json("keys", "rotate")

    assert rotated["rewrapped"] >= 1
    assert site.json("status", receipt["id"], "--wait", "10", **as_portal(site))["state"] == "delivered"


def test_a_second_gateway_on_the_same_journal_says_who_holds_it(site: Site) -> None:
    result = subprocess.run([sys.executable, "-m", "gateway", "serve"], env=os.environ | site.environment | {"NAHTLOS_PORT": "0"},
                            capture_output=True, text=True, cwd=ROOT, timeout=30)

    assert result.returncode == 1
    assert "gehört gerade dem Prozess" in result.stderr
    assert "held by process" in result.stderr


def test_check_finds_every_fault_with_its_line(site: Site, tmp_path: Path) -> None:
    wrong = tmp_path / "nahtlos.toml"
    text = (site.folder / "nahtlos.toml").read_text()
    wrong.write_text(text.replace("settle =", "setle =").replace('target = "fach"', 'target = "fch"'))

    result = site.run("check", NAHTLOS_SITE=str(wrong))

    assert site.run("check").exit_code == 0
    assert result.exit_code == 1
    assert "nahtlos.toml:11" in result.output
    assert "settle" in result.output
    assert "nahtlos.toml:16" in result.output
    assert site.run("check", NAHTLOS_SITE=str(tmp_path / "none.toml")).exit_code == 1
    assert site.run("check", "--against-journal").exit_code == 0


def test_check_against_the_journal_names_targets_that_are_gone_with_work_left(site: Site, tmp_path: Path) -> None:
    site.run("targets", "pause", "fach", "-r", "probe")
    site.json("submit", str(fresh(site.folder, 901)), **as_portal(site))
    other = tmp_path / "nahtlos.toml"
    other.write_text((site.folder / "nahtlos.toml").read_text().replace("fach", "neu"))

    result = site.run("check", "--against-journal", NAHTLOS_SITE=str(other))
    site.run("targets", "resume", "fach", "-r", "probe")

    assert result.exit_code == 1
    assert "fach" in result.output


def test_routes_explain_themselves(site: Site) -> None:
    assert site.json("route", "explain", "hundesteuer", "081210000000")["routed"]
    assert site.run("route", "explain", "hundesteuer", "09").exit_code == 1
    assert site.run("route", "explain", "hundesteuer", "08121", "--on", "gestern").exit_code == 2


def test_what_is_shipped_is_listed(site: Site) -> None:
    assert len(site.json("leistung", "list")) == 5
    assert len(site.json("schemas", "list")) >= 5
    assert {row["name"] for row in site.json("connector", "list")} >= {"rest", "folder"}
    assert site.run("schemas", "check").exit_code == 0


@pytest.mark.parametrize("slug", sorted(folder.name for folder in (ROOT / "schemas/leistungen").iterdir()))
def test_the_samples_of_a_service_are_what_they_claim(site: Site, slug: str) -> None:
    result = site.run("leistung", "check", slug)

    assert result.exit_code == 0, result.output


def test_a_new_service_checks_green_from_the_start(site: Site, tmp_path: Path) -> None:
    elsewhere = {"NAHTLOS_STATE": str(tmp_path)}

    made = site.run("leistung", "new", "fundanzeige", "--name", "Fund & Anzeige", "--name-en", "Found", **elsewhere)

    assert made.exit_code == 0
    assert all(row["as_expected"] for row in site.json("leistung", "check", "fundanzeige", **elsewhere))
    assert site.run("leistung", "new", "fundanzeige", "--name", "x", "--name-en", "x", **elsewhere).exit_code == 2
    assert site.run("leistung", "new", "../x", "--name", "x", "--name-en", "x", **elsewhere).exit_code == 2
    assert site.run("leistung", "check", "gibtsnicht").exit_code == 2


def test_without_a_gateway_the_end_is_three_and_says_what_to_do(site: Site, tmp_path: Path) -> None:
    result = site.run("dead-letters", "list", NAHTLOS_STATE=str(tmp_path))

    assert result.exit_code == 3
    assert "nahtlos serve" in result.output


def test_a_misspelt_variable_is_named_with_the_nearest(site: Site) -> None:
    result = site.run("check", NAHTLOS_STAET="x")

    assert result.exit_code == 2
    assert "NAHTLOS_STATE" in result.output


def test_help_is_there_for_every_command(site: Site) -> None:
    commands = ("serve check demo submit status dead-letters targets schemas leistung mapping route connector simulate portal "
                "operator migrate backup restore keys audit bench")
    for command in commands.split():
        result = site.run(command, "--help")
        assert result.exit_code == 0, command
        assert len(result.stdout.splitlines()) > 3


def test_the_help_of_backup_says_that_what_was_erased_lives_on_in_older_ones(site: Site) -> None:
    words = " ".join(site.run("backup", "--help").stdout.replace("│", " ").split())
    assert "Gelöschtes steht in älteren Sicherungen noch, bis deren Schlüssel vernichtet ist" in words
