"""Which service a message of a standard belongs to: the one that names its package, and its root element before all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.belonging import Refusal, area_of, service_of
from gateway.document import read
from gateway.findings import Unacceptable
from gateway.schemas import PackageFaults, Registry
from tests.unit.handmade import a_manifest, a_schema, a_site

ROOTS = '<xs:element name="antrag.0200"/><xs:element name="anfrage.0300"/>'


def a_leistung(slug: str, more: str = 'package = "bau@2.6"') -> dict[str, str]:
    return {f"leistungen/{slug}/leistung.toml": (
        f'slug = "{slug}"\nversion = "1"\n{more}\nkind = "antrag"\nplace = "ort"\nnames = {{ de = "X", en = "X" }}\n'
        'level = { "*" = "gemeinde" }\n'
    )}


def a_registry(root: Path, *leistungen: dict[str, str], header: str = "") -> Registry:
    files = {
        "packages/a/a.xsd": a_schema(ROOTS, "urn:bau:6"), "packages/a/manifest.toml": a_manifest("bau", "2.6", header),
        "packages/b/a.xsd": a_schema(ROOTS, "urn:bau:7"), "packages/b/manifest.toml": a_manifest("bau", "2.7", header),
    }
    return Registry.load(a_site(root, {name: text for part in (files, *leistungen) for name, text in part.items()}))


def service(
    registry: Registry, root: str = "antrag.0200", *, version: str = "6", asked: str | None = None, inside: str = ""
) -> str:
    document = read(f'<{root} xmlns="urn:bau:{version}">{inside}</{root}>'.encode())
    package = registry.detect(document)
    return service_of(package, package.header_of(document), asked=asked, registry=registry)


def test_a_service_that_names_a_package_gets_its_messages(tmp_path: Path) -> None:
    registry = a_registry(tmp_path, a_leistung("bauantrag"))
    assert service(registry) == "bauantrag"
    assert service(registry, asked="bauantrag") == "bauantrag"


def test_it_gets_them_in_every_version_of_the_standard_but_its_own_comes_first(tmp_path: Path) -> None:
    both = a_registry(tmp_path / "one", a_leistung("bauantrag"), a_leistung("neu", 'package = "bau@2.7"'))
    assert (service(both), service(both, version="7")) == ("bauantrag", "neu")
    old = a_registry(tmp_path / "two", a_leistung("bauantrag"))
    assert service(old, version="7") == "bauantrag"


def test_a_service_that_names_the_message_goes_before_one_that_takes_the_package(tmp_path: Path) -> None:
    registry = a_registry(
        tmp_path, a_leistung("bau"), a_leistung("anfrage", 'package = "bau@2.6"\nmessages = ["anfrage.0300"]'))
    assert (service(registry), service(registry, "anfrage.0300")) == ("bau", "anfrage")


def test_where_several_claim_it_the_address_has_to_say_and_the_answer_names_them(tmp_path: Path) -> None:
    registry = a_registry(tmp_path, a_leistung("eins"), a_leistung("zwei"))
    with pytest.raises(Refusal) as refusal:
        service(registry)
    assert refusal.value.code == "leistung-ambiguous"
    assert "eins, zwei" in refusal.value.de
    assert service(registry, asked="zwei") == "zwei"


def test_the_message_itself_says_it_where_several_claim_it(tmp_path: Path) -> None:
    registry = a_registry(tmp_path, a_leistung("eins"), a_leistung("zwei"), header='[header]\nleistung = "dienst"')
    assert service(registry, inside="<dienst>zwei</dienst>") == "zwei"


def test_the_address_may_not_name_a_service_that_does_not_take_the_message(tmp_path: Path) -> None:
    registry = a_registry(tmp_path, a_leistung("bau"), a_leistung("fremd", 'package = "bau@2.7"'))
    with pytest.raises(Unacceptable) as refused:
        service(registry, asked="fremd")
    assert refused.value.findings[0].rule == "leistung-contradiction"


def test_a_message_that_nobody_claims_needs_a_word_in_the_address(tmp_path: Path) -> None:
    registry = a_registry(tmp_path, a_leistung("nur", 'package = "bau@2.6"\nmessages = ["antrag.0200"]'))
    with pytest.raises(Refusal) as refusal:
        service(registry, "anfrage.0300")
    assert refusal.value.code == "leistung-unknown"
    assert service(registry, "anfrage.0300", asked="nur") == "nur"


def test_a_message_that_the_package_does_not_have_is_a_fault_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(PackageFaults) as faults:
        a_registry(tmp_path, a_leistung("bau", 'package = "bau@2.6"\nmessages = ["antrag.0200", "anfrage.030"]'))
    (fault,) = faults.value.faults
    assert fault.line == 4
    assert "anfrage.0300" in fault.de


@pytest.mark.parametrize(("ars", "area"), [
    ("080000000000", "08"), ("081000000000", "081"), ("081250000000", "08125"), ("081250046000", "081250046"),
    ("081250046040", "081250046040"),  # a municipality whose own number ends with a nought
    ("053700000000", "05370"), ("05370", "05370"), ("10", "10"), ("100000000000", "10"),
])
def test_noughts_are_left_out_where_they_stand_for_the_whole_and_nowhere_else(ars: str, area: str) -> None:
    assert area_of(ars) == area
