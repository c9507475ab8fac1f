"""Who takes part: two administrations, three case systems, and which of them serves what. The site file is written here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

PORTAL = "service-bw"

CITY = "081210000000"
DISTRICT = "081250000000"

NAMES: Mapping[str, str] = MappingProxyType({
    "hundesteuer": "Hundesteuer",
    "kleiner-waffenschein": "Kleiner Waffenschein",
    "meldebescheinigung": "Meldebescheinigung",
    "schwerbehindertenausweis": "Schwerbehindertenausweis",
    "wohngeld": "Wohngeld",
})

PLACES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "schwerbehindertenausweis": (DISTRICT,),  # for the city too, the Landratsamt decides
    "wohngeld": (DISTRICT, CITY),
    "kleiner-waffenschein": (DISTRICT, CITY),
    "hundesteuer": (CITY,),
    "meldebescheinigung": (CITY,),
})
"""Leistung → where it is decided. More than one place: the same service, different software."""

TROUBLED = "wohngeld"
"""What the Amtsregister does not take at first. Few enough in the programme that its breaker stays closed."""


@dataclass(frozen=True, slots=True)
class System:
    """A case system. target: its name in the site file. product: of the simulator; ``None`` is a folder.

    faults: what goes wrong there at first, see ``connectors.faults``.
    """

    target: str
    title: str
    speaks: str
    office: str
    product: str | None = None
    faults: tuple[Mapping[str, Any], ...] = ()

    def script(self, *, slow: bool) -> str:
        """The simulator's fault script. slow: cases are made at once and acknowledged late, so that a kill in between leaves
        a case that the gateway knows nothing of."""
        return json.dumps([*self.faults, *([{"kind": "late", "times": None, "seconds": 0.05}] if slow else [])])


FALLAKTE = System(
    "lra-fallakte", "Fallakte", "JSON", "Landratsamt Heilbronn", "fallakte",
    ({"status": 503, "times": 3, "retry_after": "2", "leistung": "schwerbehindertenausweis"},
     {"kind": "hang_after", "leistung": "kleiner-waffenschein"}),
)  # fmt: skip
AMTSREGISTER = System(
    "stadt-amtsregister", "Amtsregister", "XML", "Stadt Heilbronn", "amtsregister",
    ({"status": 400, "times": None, "leistung": TROUBLED, "reason": "Aktenplan fehlt"},),
)  # fmt: skip
E_AKTE = System("lra-e-akte", "E-Akte", "Ordner", "Landratsamt Heilbronn")

CASE_SYSTEMS = (FALLAKTE, AMTSREGISTER)
SYSTEMS = (*CASE_SYSTEMS, E_AKTE)


def secret_file(folder: Path, system: System) -> Path:
    """The log-in of a simulated case system, in a file that only its owner can read."""
    path = folder / f"{system.product}.geheim"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write("simulator\n")
    return path


def site_file(*, fallakte: str, amtsregister: str, e_akte: Path, secrets: Mapping[str, Path]) -> str:
    """nahtlos.toml. fallakte, amtsregister: URLs. secrets: target → file with its log-in."""
    return _SITE.format(
        portal=PORTAL, city=CITY, district=DISTRICT,
        fallakte=FALLAKTE.target, fallakte_url=fallakte, fallakte_secret=secrets[FALLAKTE.target],
        amtsregister=AMTSREGISTER.target, amtsregister_url=amtsregister, amtsregister_secret=secrets[AMTSREGISTER.target],
        e_akte=E_AKTE.target, e_akte_path=e_akte,
    )  # fmt: skip


_SITE = """\
# Der Standort dieser Vorführung: zwei Verwaltungen, die für dieselben Leistungen verschiedene Fachverfahren haben.
# The site of this demo: two administrations with different software for the same services.
site = "heilbronn-demo"

# --- Wer zuständig ist -----------------------------------------------------------------------------------------------

[authority.landratsamt]
ars = "{district}"
name = "Landratsamt Heilbronn"

[authority.stadt]
ars = "{city}"
name = "Stadt Heilbronn"

# --- Wer einreicht ---------------------------------------------------------------------------------------------------

[portal.{portal}]
leistungen = ["*"]

[[form]]                               # Welches Formular des Portals welche Leistung ist
portal = "{portal}"
form_id = "*Hundesteuer*"
versions = ">=1.0,<2"
leistung = "hundesteuer"
ars = "{city}"                 # der Ort, wo ihn weder Adresse noch Formular nennt

[[form]]
portal = "{portal}"
form_id = "*Meldebescheinigung*"
leistung = "meldebescheinigung"
ars = "{city}"

[[form]]
portal = "{portal}"
form_id = "*Schwerbehindertenausweis*"
leistung = "schwerbehindertenausweis"
ars = "{district}"

[[form]]
portal = "{portal}"
form_id = "*Waffenschein*"
leistung = "kleiner-waffenschein"

[[form]]
portal = "{portal}"
form_id = "*Wohngeld*"
leistung = "wohngeld"

# --- Womit die Verwaltungen arbeiten ---------------------------------------------------------------------------------
# Kurze Fristen, damit die Vorführung schnell ist; üblich sind settle = "60s" und read_timeout = 30.

[target.{fallakte}]               # spricht JSON, Anmeldung mit Token
connector = "rest"
authority = "landratsamt"
productive = false
settle = "1s"
[target.{fallakte}.options]
url = "{fallakte_url}"
token = "file:{fallakte_secret}"
read_timeout = 3

[target.{amtsregister}]         # spricht XML, Anmeldung mit Benutzer und Kennwort, andere Wege, andere Antworten
connector = "rest"
authority = "stadt"
productive = false
settle = "1s"
[target.{amtsregister}.options]
url = "{amtsregister_url}"
user = "nahtlos"
password = "file:{amtsregister_secret}"
deliver = "POST {{url}}/ws/antraege"
find = "GET {{url}}/ws/antraege/{{delivery_id}}"
check = "GET {{url}}/ws/status"
case_number = "xpath:string(//*[local-name()='aktenzeichen'])"
found = "xpath:string(//*[local-name()='aktenzeichen'])"
content_type = "application/xml; charset=utf-8"
read_timeout = 3

[target.{e_akte}]                 # ein Ordner, den die E-Akte einliest
connector = "folder"
authority = "landratsamt"
productive = false
options = {{ path = "{e_akte_path}" }}

# --- Was wohin geht --------------------------------------------------------------------------------------------------

[[route]]
leistung = "schwerbehindertenausweis"  # erst der Fall, dann mit dessen Nummer die Kopie in die E-Akte
ars = "08125"
to = [{{ target = "{fallakte}" }}, {{ target = "{e_akte}", purpose = "copy", after = "{fallakte}" }}]

[[route]]
leistung = "schwerbehindertenausweis"  # auch für die Stadt entscheidet das Landratsamt
ars = "08121"
to = [{{ target = "{fallakte}" }}, {{ target = "{e_akte}", purpose = "copy", after = "{fallakte}" }}]

[[route]]
leistung = "wohngeld"
ars = "08125"
to = [{{ target = "{fallakte}" }}]

[[route]]
leistung = "wohngeld"
ars = "08121"
to = [{{ target = "{amtsregister}" }}]

[[route]]
leistung = "kleiner-waffenschein"
ars = "08125"
to = [{{ target = "{fallakte}" }}]

[[route]]
leistung = "kleiner-waffenschein"
ars = "08121"
to = [{{ target = "{amtsregister}" }}]

[[route]]
leistung = "hundesteuer"
ars = "08121"
to = [{{ target = "{amtsregister}" }}]

[[route]]
leistung = "meldebescheinigung"
ars = "08121"
to = [{{ target = "{amtsregister}" }}]
"""
