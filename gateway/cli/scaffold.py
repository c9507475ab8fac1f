"""What ``nahtlos leistung new`` writes: a service that checks green from the start, to be written on from there."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date
from pathlib import Path

SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_leistung(slug: str, name_de: str, name_en: str, root: Path, *, basis: Path) -> list[Path]:
    """The files written. basis: the common types, copied beside where a root has none of its own, because schemas never
    reach outside of their root. Raises ``ValueError`` for a name that is no slug, ``FileExistsError``."""
    if not SLUG.fullmatch(slug):
        raise ValueError(f"„{slug}“: nur a–z, 0–9 und Bindestriche / only a–z, 0–9 and hyphens")
    folder = root / "leistungen" / slug
    (folder / "samples").mkdir(parents=True)
    if not (root / "basis").exists():
        shutil.copytree(basis, root / "basis")
    element = re.sub(r"-(\w)", lambda found: found[1].upper(), slug)
    words = {"slug": slug, "element": element, "de": _text(name_de), "en": _text(name_en), "today": date.today().isoformat()}  # noqa: DTZ011
    files = {
        "leistung.toml": _DESCRIPTION, "message.xsd": _SCHEMA, "samples/minimal.xml": _SAMPLE,
        "samples/broken-kein-anliegen.xml": _SAMPLE.replace("  <l:anliegen>Beispiel</l:anliegen>\n", ""),
    }
    written = []
    for name, text in files.items():
        path = folder / name
        path.write_text(text.format(**words), encoding="utf-8")
        written.append(path)
    for sample, expected in (
        ("minimal", {"valid": True, "findings": []}),
        ("broken-kein-anliegen", {"valid": False, "findings": [{"rule": "missing-element", "path": f"/{element}"}]}),
    ):
        path = folder / "samples" / f"{sample}.expected.json"
        path.write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")
        written.append(path)
    return written


def write_leistung_of_standard(
    slug: str, name_de: str, name_en: str, root: Path, *, package: str, messages: tuple[str, ...]
) -> list[Path]:
    """For a service whose message a standard brings along: its description alone. Raises as ``write_leistung``."""
    if not SLUG.fullmatch(slug):
        raise ValueError(f"„{slug}“: nur a–z, 0–9 und Bindestriche / only a–z, 0–9 and hyphens")
    folder = root / "leistungen" / slug
    (folder / "samples").mkdir(parents=True)
    said = f'package = "{package}"'
    listed = ", ".join(f'"{name}"' for name in messages)
    said += f"\nmessages = [{listed}]" if messages else "\n# messages = []                # nur diese Nachrichten des Pakets"
    text = _DESCRIPTION.replace('package = "message.xsd"', said)
    words = {"slug": slug, "de": _text(name_de), "en": _text(name_en), "today": date.today().isoformat()}  # noqa: DTZ011
    path = folder / "leistung.toml"
    path.write_text(text.format(**words), encoding="utf-8")
    return [path]


def _text(value: str) -> str:
    """Safe inside XML text and a TOML string alike."""
    return value.replace("&", "und").replace("<", "").replace('"', "").replace("\\", "")


_DESCRIPTION = """\
slug = "{slug}"
kind = "antrag"                 # antrag, anzeige, meldung, aeusserung, bestellung, buchung, wunsch
place = "wohnsitz"              # welcher Ort die Zuständigkeit bestimmt
level = {{ "*" = "kreis" }}       # gemeinde, kreis oder land; je Land verschieden: {{ "08" = "kreis", "*" = "land" }}
package = "message.xsd"
version = "1.0"
on_invalid = {{ message = "reject", form = "hold" }}
retention_days = 14
urgency = "normal"
order_by = ""
mask = []
business_keys = []
compared = {today}            # Tag des letzten Vergleichs mit dem amtlichen Formular

[names]
de = "{de}"
en = "{en}"

# [leika]                       # nur mit Quelle; nie erfinden
# key = ""
# source = ""

# [deadline]                    # was eilt, in einem Satz
# de = ""
# en = ""
"""

_SCHEMA = """\
<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:b="urn:nahtlos:basis:1" xmlns:l="urn:nahtlos:leistung:{slug}:1"
           targetNamespace="urn:nahtlos:leistung:{slug}:1" elementFormDefault="qualified" version="1.0">
  <xs:import namespace="urn:nahtlos:basis:1" schemaLocation="../../basis/basis.xsd"/>
  <xs:element name="{element}">
    <xs:annotation><xs:documentation xml:lang="de">{de}</xs:documentation></xs:annotation>
    <xs:complexType>
      <xs:sequence>
        <xs:element name="kopf" type="b:Kopf"/>
        <xs:element name="antragsteller" type="b:Antragsteller"/>
        <xs:element name="anliegen" type="xs:token"/>
      </xs:sequence>
      <xs:attribute name="version" type="xs:token" use="required" fixed="1.0"/>
    </xs:complexType>
  </xs:element>
</xs:schema>
"""

_SAMPLE = """\
<?xml version="1.0" encoding="UTF-8"?>
<l:{element} xmlns:l="urn:nahtlos:leistung:{slug}:1" xmlns:b="urn:nahtlos:basis:1" version="1.0">
  <l:kopf>
    <b:nachrichtId>0195a4c2-7b1e-7c3d-9a40-00000000f001</b:nachrichtId>
    <b:erstellt>2026-03-02T09:14:27.125+01:00</b:erstellt>
    <b:leistung>{slug}</b:leistung>
    <b:ars>081250000000</b:ars>
    <b:onlinedienst>
      <b:portal>service-bw</b:portal>
    </b:onlinedienst>
    <b:testnachricht>false</b:testnachricht>
  </l:kopf>
  <l:antragsteller>
    <b:person>
      <b:familienname>Baumann</b:familienname>
      <b:vornamen>Sabine</b:vornamen>
      <b:geburtsdatum>1979-05-14</b:geburtsdatum>
    </b:person>
  </l:antragsteller>
  <l:anliegen>Beispiel</l:anliegen>
</l:{element}>
"""
