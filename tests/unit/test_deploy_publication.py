"""What publication asks for: who may use it, what it is, how to report a weakness, where each requirement is met."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import __version__
from tests.conftest import ROOT

PUBLICCODE: dict[str, Any] = yaml.safe_load((ROOT / "publiccode.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# The rules of publiccode.yml 0.4 (yml.publiccode.tools, schema.core): there is no validator on PyPI or npm that is kept.
MANDATORY = {
    "publiccodeYmlVersion", "name", "url", "platforms", "developmentStatus", "softwareType", "description", "legal",
    "maintenance", "localisation",
}
OPTIONAL = {
    "applicationSuite", "landingURL", "isBasedOn", "softwareVersion", "releaseDate", "logo", "categories", "usedBy", "roadmap",
    "intendedAudience", "dependsOn", "organisation", "fundedBy",
}
CATEGORIES = {"application-development", "business-process-management", "digital-citizenship", "workflow-management",
              "document-management", "compliance-management", "it-management"}
SCOPES = {"government", "local-authorities"}


def test_every_file_says_who_owns_it_and_how_it_may_be_used() -> None:
    reuse = Path(sys.executable).with_name("reuse")
    done = subprocess.run([str(reuse), "--root", str(ROOT), "lint", "--lines"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_licence_is_the_same_wherever_it_is_named() -> None:
    assert (ROOT / "LICENSES/EUPL-1.2.txt").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert PROJECT["license"] == PUBLICCODE["legal"]["license"] == "EUPL-1.2"
    assert 'org.opencontainers.image.licenses="EUPL-1.2"' in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_publiccode_has_every_key_it_must_have_and_none_that_is_not_known() -> None:
    assert set(PUBLICCODE) >= MANDATORY
    assert set(PUBLICCODE) <= MANDATORY | OPTIONAL
    assert PUBLICCODE["publiccodeYmlVersion"] == "0.4"
    assert PUBLICCODE["softwareVersion"] == __version__ == PROJECT["version"]
    assert re.match(r"https://\S+$", PUBLICCODE["url"])


def test_publiccode_uses_the_words_of_the_standard() -> None:
    assert PUBLICCODE["developmentStatus"] in ("concept", "development", "beta", "stable", "obsolete")
    assert PUBLICCODE["softwareType"] in ("standalone/web", "standalone/backend", "standalone/other", "library")
    assert set(PUBLICCODE["platforms"]) <= {"web", "windows", "mac", "linux", "ios", "android"}
    assert set(PUBLICCODE["categories"]) <= CATEGORIES
    assert set(PUBLICCODE["intendedAudience"]["scope"]) <= SCOPES
    assert set(PUBLICCODE["maintenance"]) == {"type", "contacts"}
    assert PUBLICCODE["maintenance"]["type"] in ("internal", "community")  # which both ask for contacts
    assert all(contact["name"] for contact in PUBLICCODE["maintenance"]["contacts"])
    assert isinstance(PUBLICCODE["localisation"]["localisationReady"], bool)
    assert PUBLICCODE["localisation"]["availableLanguages"] == ["de", "en"]


@pytest.mark.parametrize("language", PUBLICCODE["description"])
def test_publiccode_describes_within_the_bounds_of_the_standard(language: str) -> None:
    text = PUBLICCODE["description"][language]
    assert set(text) <= {"localisedName", "shortDescription", "longDescription", "documentation", "apiDocumentation", "features"}
    assert len(text["shortDescription"]) <= 150
    assert "\n" not in text["shortDescription"].strip()
    assert 150 <= len(text["longDescription"]) <= 10_000
    assert text["features"]


def test_the_oldest_python_is_the_one_of_the_project() -> None:
    (python,) = (each for each in PUBLICCODE["dependsOn"]["open"] if each["name"] == "Python")
    assert PROJECT["requires-python"] == f">={python['versionMin']}"


def test_how_to_report_a_weakness_is_said_in_both_languages_and_what_is_supported() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for heading in ("Schwachstellen melden", "Was unterstützt wird", "Reporting a vulnerability", "What is supported"):
        assert f"## {heading}\n" in text
    assert __version__.rpartition(".")[0] in text


def test_every_requirement_of_the_verwaltungscloud_has_a_verdict_and_a_place_that_exists() -> None:
    text = (ROOT / "deploy/dvc.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if re.match(r"\| (WP_EC|DS)_", line)]
    assert len(rows) >= 12
    for number, _, verdict, where in rows:
        assert verdict.strip() in ("erfüllt", "Betrieb", "abweichend"), number
        assert where.strip(), number
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.*-]*|Dockerfile|SECURITY\.md|[\w-]+\.(?:yaml|yml|sh|md))`", text))
    assert len(named) > 15
    for place in named:
        starts = (ROOT, ROOT / "deploy", ROOT / "tests/unit")
        assert any(list(start.glob(place.rstrip("/"))) for start in starts), place


def test_what_the_audit_and_the_bill_of_materials_need_is_pinned() -> None:
    extras = PROJECT["optional-dependencies"]
    lines = (ROOT / "deploy/constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    for extra in ("dev", "supply", "postgres", "schematron"):
        wanted = {re.split(r"[<>=\[; ]", each, maxsplit=1)[0] for each in extras[extra]} - {"nahtlos"}
        assert wanted <= pinned, extra
