"""Stylesheets that a package names: found beside it or among the shipped ones, and every fault with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.schemas import PackageFaults, Registry
from tests.unit.validated import a_registry

SHEET = '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">\n{}</xsl:stylesheet>'


def faults(folder: Path, manifest: str, sheet: str | None = None, *, at: str = "packages/probe/s.xslt") -> str:
    if sheet is not None:
        (folder / at).parent.mkdir(parents=True, exist_ok=True)
        (folder / at).write_text(sheet)
    with pytest.raises(PackageFaults) as caught:
        a_registry_with(folder, manifest)
    (fault,) = caught.value.faults
    return str(fault)


def a_registry_with(folder: Path, manifest: str) -> Registry:
    (folder / "packages" / "probe").mkdir(parents=True, exist_ok=True)
    package = folder / "packages" / "probe"
    (package / "probe.xsd").write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t"><xs:element name="r"/></xs:schema>')
    (package / "manifest.toml").write_text(
        f'name = "probe"\nversion = "1"\nnamespace = "urn:t"\nentry = ["probe.xsd"]\n{manifest}\n')
    return Registry.load(folder)


def test_a_sheet_that_is_missing_is_named_with_the_line_of_the_manifest(tmp_path: Path) -> None:
    said = faults(tmp_path, '[answers]\nrejection = "nein.xslt"')
    assert "manifest.toml:6" in said
    assert "nein.xslt" in said


def test_a_sheet_that_wants_a_file_is_refused_with_its_own_line(tmp_path: Path) -> None:
    reading = SHEET.format('<xsl:template match="/"><xsl:copy-of select="document(\'/etc/passwd\')"/></xsl:template>')
    said = faults(tmp_path, '[answers]\nacknowledgement = "s.xslt"', reading)
    assert "s.xslt:2" in said
    assert "document" in said


def test_a_sheet_outside_of_the_schema_folders_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "draussen.xslt").write_text(SHEET.format(""))
    said = faults(tmp_path / "site", '[convert]\nto = "a@1"\nsheet = "../../../draussen.xslt"')
    assert "außerhalb" in said


def test_a_conversion_into_nothing_is_a_fault(tmp_path: Path) -> None:
    assert "„probe@2“" in faults(tmp_path, '[convert]\nto = "probe@2"\nsheet = "s.xslt"', SHEET.format(""))
    assert "„probe@1“" in faults(tmp_path, '[convert]\nto = "probe@1"\nsheet = "s.xslt"')


def test_an_answer_that_is_no_message_of_the_package_is_a_fault(tmp_path: Path) -> None:
    said = faults(tmp_path, '[answers]\nroots = ["rr"]')
    assert "manifest.toml:6" in said
    assert "rr" in said


def test_the_nearest_sheet_counts_and_each_of_its_bytes_is_part_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "s.xslt").write_text(SHEET.format("<!-- shipped -->"))
    shipped = a_registry_with(tmp_path, '[answers]\nrejection = "s.xslt"').packages["probe@1"]
    assert shipped.answers.rejection is not None
    assert b"shipped" in shipped.answers.rejection.source
    (tmp_path / "packages" / "probe" / "s.xslt").write_text(SHEET.format("<!-- own -->"))
    own = a_registry_with(tmp_path, '[answers]\nrejection = "s.xslt"').packages["probe@1"]
    assert own.answers.rejection is not None
    assert b"own" in own.answers.rejection.source
    assert own.digest != shipped.digest


def test_a_package_without_sheets_has_none(tmp_path: Path) -> None:
    package = a_registry(tmp_path).packages["probe@1"]
    assert package.conversion is None
    assert (package.answers.acknowledgement, package.answers.rejection, package.answers.roots) == (None, None, frozenset())
