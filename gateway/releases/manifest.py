"""Writes the manifest of an installed release: short, complete, and commented for the person who will change a line of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from gateway.packages.headers import DESCRIPTIONS
from gateway.packages.manifests import STAGES
from gateway.releases.probing import Probed


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a manifest says. Paths are relative to the package."""

    title: str
    name: str
    version: str
    release: str
    namespace: str
    entry: Sequence[str]
    elements: Sequence[str]
    probed: Probed
    version_at: str | None
    codelists: Sequence[str]
    schematron: Sequence[str]
    stages: Mapping[str, str]


def manifest_of(facts: Facts) -> str:
    """TOML."""
    lines = [
        f"# {_comment(facts.title)} {_comment(facts.version)}, aus {_comment(facts.release)}",
        "# Diese Datei darf geändert werden; was in release/ und imports/ liegt, bleibt, wie es veröffentlicht wurde.",
        "# This file may be changed; what lies in release/ and imports/ stays as it was published.",
        f"name = {_text(facts.name)}",
        f"version = {_text(facts.version)}",
        f"kind = {_text('standard' if facts.elements else 'library')}",
    ]
    if facts.elements:
        lines += _messages(facts)
    lines += _list("codelists", facts.codelists)
    lines += _list("schematron", facts.schematron)
    if facts.elements:
        lines += [
            "", "# Ab wann und bis wann diese Fassung angenommen wird. / From and until when this version is taken.",
            "# valid_from = 2027-05-01", "# valid_until = 2027-10-31",
            "# Nur diese Leistung. / This service only.", '# leistung = "…"',
            "", "[stages]  # off | warn | reject", *(f"{name} = {_text(value)}" for name, value in facts.stages.items()),
        ]
        lines += _header(facts.probed)
    return "\n".join(lines) + "\n"


def catalog_of(addresses: Mapping[str, str]) -> str:
    """An OASIS catalog: which address of the web is which file of the package."""
    entries = "".join(
        f"  <system systemId={quoteattr(address)} uri={quoteattr(path)}/>\n" for address, path in sorted(addresses.items())
    )
    return ('<?xml version="1.0" encoding="UTF-8"?>\n<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">\n'
            f"{entries}</catalog>\n")


def stages_of(*, codes: bool, rules: bool) -> dict[str, str]:
    """The usual ones; what there is nothing for is off."""
    return {**STAGES, **({} if codes else {"codes": "off"}), **({} if rules else {"rules": "off"})}


def _messages(facts: Facts) -> list[str]:
    lines = [f"namespace = {_text(facts.namespace)}", *_list("entry", facts.entry)]
    if facts.version_at is not None:
        lines += ["# Der Namensraum nennt die Version nicht; sie steht in der Nachricht. / The message says its version here.",
                  f"version_at = {_text(facts.version_at)}"]
    family = facts.probed.family
    lines += [f"# Nachrichtenkopf: {DESCRIPTIONS[family]}. / Header family.", f"family = {_text(family)}"]
    return [*lines, "# Nachrichten, die angenommen werden. / Messages that are taken.", *_list("roots", facts.elements)]


def _header(probed: Probed) -> list[str]:
    lines = [
        "", '# Eine Zeile hier gilt statt der Zeile der Familie; "" nimmt sie weg.',
        '# A line here stands instead of the family\'s; "" takes it away.', "[header]",
    ]
    lines += [f"{field} = {_text(path)}" for field, path in probed.header.items()]
    lines += [f"# {field} = {_text(path)}" for field, path in probed.lines.items() if field not in probed.header]
    return lines


def _list(name: str, values: Iterable[str]) -> list[str]:
    listed = list(values)
    if len(listed) <= 1:
        return [f"{name} = [{', '.join(map(_text, listed))}]"] if listed else []
    return [f"{name} = [", *(f"    {_text(value)}," for value in listed), "]"]


def _text(value: str) -> str:
    """JSON's strings are TOML's, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
