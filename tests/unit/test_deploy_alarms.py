"""deploy/prometheus: every alarm is understood, rings when it must and stays silent when it must, and leads to a chapter."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

PROMETHEUS, HANDBOOK = ROOT / "deploy/prometheus", ROOT / "deploy/README.md"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
_GERMAN = r"\b(ist|wird|werden|wartet|warten|läuft|haben|sind|gibt|fällt|startet|schreibt|reicht)\b"


def promtool(*arguments: str) -> str:
    """What it says; raises when it is not content."""
    found = shutil.which("promtool") or str(ROOT / ".cache/prometheus/usr/bin/promtool")
    assert Path(found).exists(), "tests/prerequisites.sh deploy"
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_understands_configuration_and_rules() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", str(PROMETHEUS / "rules.yml"))
    promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))


def test_alarms_ring_and_stay_silent_as_their_tests_say() -> None:
    promtool("test", "rules", str(PROMETHEUS / "rules.test.yml"))


def test_every_alarm_has_a_test_in_which_it_rings() -> None:
    tests = yaml.safe_load((PROMETHEUS / "rules.test.yml").read_text(encoding="utf-8"))["tests"]
    ringing = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert ringing == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alarm_says_in_german_what_is_the_matter_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "summary_en", "runbook"}
    assert re.search(_GERMAN, rule["annotations"]["summary"])
    assert rule["annotations"]["runbook"] == f"deploy/README.md#{rule['alert'].lower()}"


def test_the_handbook_has_a_chapter_for_every_alarm() -> None:
    """Its heading is the alarm's name, so that whoever was woken finds it by searching for what he was told."""
    if HANDBOOK.exists():  # a handbook that is there is complete
        headings = re.findall(r"^#+ (Nahtlos\w+)$", HANDBOOK.read_text(encoding="utf-8"), re.MULTILINE)
        assert sorted(headings) == sorted(NAMES)


def test_every_question_of_the_dashboard_is_one_that_prometheus_understands(tmp_path: Path) -> None:
    """Each panel's expression as a recording rule; Grafana's own words are put in as it does."""
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/nahtlos.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    plain = [each.replace("$__rate_interval", "1m").replace("$target", ".*") for each in asked]
    assert "$" not in "".join(plain)
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(plain)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", str(tmp_path / "panels.yml"))


def test_the_dashboard_asks_the_source_that_is_provisioned_and_stands_in_order() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/nahtlos.json").read_text(encoding="utf-8"))
    (source,) = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"] if panel["type"] != "row"} == {source["uid"]}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
