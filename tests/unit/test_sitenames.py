"""Names of the site file that lead nowhere are told with their line, and with what was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.faults import Faults
from gateway.planning import checked, plan
from gateway.settings import Settings

SITE = """site = "probe"
[authority.stadt]
ars = "081210000000"
name = "Stadt"
[portal.p]
leistungen = ["wohngeld", "hundestuer"]
[[form]]
portal = "p"
form_id = "*"
leistung = "wohngelt"
[target.ordner]
connector = "folder"
authority = "stadt"
options = {{ path = "{folder}" }}
[[route]]
leistung = "hundesteur"
ars = "08121"
to = [ {{ target = "ordner" }} ]
"""


def settings(tmp_path: Path, text: str, **others: object) -> Settings:
    site = tmp_path / "nahtlos.toml"
    site.write_text(text, encoding="utf-8")
    return Settings(site=site, state=tmp_path / "state", **others)  # type: ignore[arg-type]


def test_unknown_services_and_missing_folders_are_named_with_their_line_and_the_nearest_name(tmp_path: Path) -> None:
    here = settings(tmp_path, SITE.format(folder=tmp_path / "weg"))

    with pytest.raises(Faults) as found:
        checked(here)

    assert [(fault.line, fault.en) for fault in found.value.faults] == [
        (6, 'there is no service "hundestuer" here; did you mean "hundesteuer"?'),
        (10, 'there is no service "wohngelt" here; did you mean "wohngeld"?'),
        (14, f"the folder {tmp_path / 'weg'} does not exist; it is not made, so that an empty mount point never becomes one"),
        (16, 'there is no service "hundesteur" here; did you mean "hundesteuer"?'),
    ]
    assert plan(here).site.name == "probe", "a start is not refused for it: the package may still come"


def test_a_site_whose_names_are_all_there_is_fine(tmp_path: Path) -> None:
    text = SITE.format(folder=tmp_path).replace("hundestuer", "*").replace("wohngelt", "wohngeld")
    checked(settings(tmp_path, text.replace("hundesteur", "hundesteuer")))


def test_certificates_of_portals_need_a_way_in(tmp_path: Path) -> None:
    text = SITE.format(folder=tmp_path).replace("wohngelt", "wohngeld").replace("hundesteur", "hundesteuer")
    text = text.replace('leistungen = ["wohngeld", "hundestuer"]', f'leistungen = ["*"]\ncertificates = ["{"ab" * 32}"]')

    with pytest.raises(Faults, match=r"nahtlos.toml:7: .*NAHTLOS_TLS_CLIENT_CA"):
        checked(settings(tmp_path, text))
    checked(settings(tmp_path, text, trusted_proxies="10.0.0.0/8"))
