"""``manifest.toml`` of a schema package, as people write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from gateway.config.binding import bind
from gateway.config.faults import Faults, Where, did_you_mean
from gateway.document import USUAL, Limits
from gateway.packages.headers import FAMILIES, FIELDS

STAGES: Final = MappingProxyType({
    "ids": "reject", "base64": "reject", "validity": "warn", "attachments": "warn", "codes": "warn", "rules": "warn",
    "characters": "off",
})
"""What follows the XSD, and how much it counts unless a package says otherwise."""

_Text = Annotated[str, Field(min_length=1)]
_Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*@[A-Za-z0-9][A-Za-z0-9._-]*$")]
_DataType = Literal["A", "B", "C", "D", "E"]


@dataclass(frozen=True)
class ConvertTable:
    """to: package that messages of this one can be made into. sheet: the XSLT 1.0 that does it, beside the manifest or in
    ``mappings``."""

    to: _Id
    sheet: _Text


@dataclass(frozen=True)
class AnswersTable:
    """acknowledgement, rejection: XSLT 1.0 that makes them from the message, beside the manifest or in ``mappings``. roots:
    messages of this package that are answers themselves."""

    acknowledgement: _Text | None = None
    rejection: _Text | None = None
    roots: tuple[_Text, ...] = ()


@dataclass(frozen=True)
class CharactersTable:
    """Data types of DIN 91379. fields: local name → type, before the built-in ones. whole: of all the rest of a message."""

    fields: Mapping[str, _DataType] = field(default_factory=dict)
    whole: _DataType | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """entry: XSD files beside it; several make one schema. roots: the message elements; none named = every global element of
    its namespace. family: of the header; what stands under ``header`` goes before it line by line, "" for a field that
    there is not. kind "library": no messages of its own, XSDs and code lists that others need."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    kind: Literal["standard", "own", "library"] = "standard"
    namespace: str = ""
    entry: tuple[_Text, ...] = ()
    roots: tuple[_Text, ...] = ()
    family: Literal["A", "B", "C", "D", "E", "F"] | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, Literal["off", "warn", "reject"]] = field(default_factory=dict)
    version_at: _Text | None = None
    leistung: _Text | None = None
    isolate: bool = False
    business_keys: tuple[str, ...] = ()
    codelists: tuple[str, ...] = ()
    schematron: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    editable: tuple[str, ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None
    limits: Limits = USUAL
    convert: ConvertTable | None = None
    answers: AnswersTable = field(default_factory=AnswersTable)
    characters: CharactersTable = field(default_factory=CharactersTable)

    @property
    def paths(self) -> dict[str, str]:
        """Header fields, with the family's where nothing else is said."""
        said = {**FAMILIES.get(self.family or "F", {}), **self.header}
        return {name: path for name, path in said.items() if path}


def read_manifest(table: Mapping[str, Any], where: Where) -> Manifest:
    """Raises ``Faults``."""
    said = bind(Manifest, table, where=where)
    faults = []
    if said.kind != "library":
        faults += [where.at(key).fault(f"„{key}“ fehlt", f'"{key}" is missing') for key in ("namespace", "entry")
                   if key not in table or (key == "entry" and not said.entry)]
    for group, known in (("header", FIELDS), ("stages", frozenset(STAGES))):
        for key in getattr(said, group):
            if key not in known:
                de, en = did_you_mean(key, known)
                faults.append(where.at(group, key).fault(f"unbekannter Schlüssel „{key}“{de}", f'unknown key "{key}"{en}'))
    if said.valid_from and said.valid_until and said.valid_until < said.valid_from:
        faults.append(where.at("valid_until").fault(
            "„valid_until“ liegt vor „valid_from“", '"valid_until" is before "valid_from"'))
    if faults:
        raise Faults(faults)
    return said
