"""``nahtlos mapping try``: finds the field table by itself, shows no values, and ends with a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.__main__ import app
from tests.conftest import ROOT

SERVICE = ROOT / "schemas/leistungen/hundesteuer"
MINIMAL, WHOLE = SERVICE / "samples/form-minimal.xml", SERVICE / "samples/form-vollstaendig.xml"
SITE = """
site = "probe"
[authority.stadt]
ars = "081210000000"
name = "Stadt Probe"
[portal.portal]
leistungen = ["*"]
[[form]]
portal = "portal"
form_id = "4711:Ganz_anders"
leistung = "hundesteuer"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "nahtlos.toml"
    path.write_text(SITE, encoding="utf-8")
    return path


def tried(site: Path, *arguments: str) -> Result:
    environment = {"NAHTLOS_SITE": str(site), "NAHTLOS_STATE": str(site.parent)}
    return CliRunner(env=environment).invoke(app, ["mapping", "try", *arguments])


def said(result: Result) -> Any:
    return json.loads(result.stdout)


def changed(form: Path, to: Path, *replacements: tuple[str, str]) -> str:
    text = form.read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    to.write_text(text, encoding="utf-8")
    return str(to)


def test_it_finds_the_table_by_what_the_form_calls_itself_and_shows_no_value(site: Path) -> None:
    result = tried(site, str(WHOLE), "--json")

    found = said(result)
    assert (result.exit_code, found["leistung"], found["valid"]) == (0, "hundesteuer", True)
    assert any(row["filled"] for row in found["fields"])
    assert "Hohenstein" not in result.stdout


def test_the_sites_binding_goes_before_what_tables_say_of_themselves(site: Path, tmp_path: Path) -> None:
    form_id = WHOLE.read_text(encoding="utf-8").partition("<formId>")[2].partition("</formId>")[0]
    bound = changed(WHOLE, tmp_path / "f.xml", (form_id, "4711:Ganz_anders:v7"))
    unknown = changed(WHOLE, tmp_path / "g.xml", (form_id, "4711:Noch_einer:v7"))

    assert said(tried(site, bound, "--json"))["leistung"] == "hundesteuer"
    assert "nahtlos.toml" in tried(site, bound).stdout
    result = tried(site, unknown)
    assert result.exit_code == 2
    assert "4711:Noch_einer:v7" in result.output
    assert "--leistung" in result.output


def test_the_last_line_is_the_verdict(site: Path, tmp_path: Path) -> None:
    good = tried(site, str(WHOLE))
    faulty = tried(site, changed(WHOLE, tmp_path / "f.xml", ("<plz>", "<plz>kein Ort ")))

    assert good.stdout.splitlines()[-1].startswith("✓ Die gebildete Nachricht „hundesteuer“ ist gültig")
    assert faulty.exit_code == 1
    assert faulty.stdout.splitlines()[-1].startswith("✗ Die gebildete Nachricht „hundesteuer“ ist nicht gültig")
    assert "kein Ort" not in faulty.stdout


def test_a_valid_minimal_form_does_not_look_broken(site: Path) -> None:
    result = tried(site, str(MINIMAL))

    assert result.exit_code == 0
    assert "Pflichtfeld" not in result.stdout
    assert "ist gültig" in result.stdout


def test_a_required_field_that_is_missed_is_still_called_so(site: Path, tmp_path: Path) -> None:
    form = changed(MINIMAL, tmp_path / "f.xml", ("<familienname>", "<unbekannt>"), ("</familienname>", "</unbekannt>"))

    result = tried(site, form)

    assert result.exit_code == 1
    assert "Pflichtfeld" in result.stdout


def test_a_table_alone_finds_its_messages_schema_by_its_service(site: Path, tmp_path: Path) -> None:
    table = tmp_path / "eigene.toml"
    text = (SERVICE / "form.toml").read_text(encoding="utf-8")
    table.write_text(text, encoding="utf-8")
    assert said(tried(site, str(WHOLE), "--table", str(table), "--json"))["valid"]

    table.write_text(text.replace('"antragsteller/person/vornamen"', '"antragsteller/person/vorname"'), encoding="utf-8")
    result = tried(site, str(WHOLE), "--table", str(table))
    assert result.exit_code == 1
    assert "eigene.toml:" in result.output


def test_what_is_no_form_is_a_fault_of_usage(site: Path) -> None:
    assert tried(site, str(SERVICE / "samples/minimal.xml"), "-l", "hundesteuer").exit_code == 2
    assert "hundesteuer" in tried(site, str(WHOLE), "-l", "hundesteur").output
