"""A schema package: one message standard in one version, ours or another's, and what its messages say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.document import USUAL, Document, Limits
from gateway.findings import Finding
from gateway.forms.transform import Sheet
from gateway.packages.compiled import CompiledSchema
from gateway.packages.headers import FIELDS, contradiction, contradicts
from gateway.packages.knowledge import Knowledge
from gateway.rules.attachments import Shape
from gateway.rules.characters import CharacterRules

OWN_HEADER: Final = MappingProxyType({
    "uuid": "kopf/nachrichtId",
    "created": "kopf/erstellt",
    "author": "kopf/onlinedienst/portal|kopf/onlinedienst",
    "test": "kopf/testnachricht",
    "ars": "kopf/ars",
    "leistung": "kopf/leistung",
    "reference": "kopf/bezug/aktenzeichen|kopf/bezug/nachrichtId|kopf/bezug/eigeneReferenz|kopf/bezug",
    "version": "@version",
})


@dataclass(frozen=True, slots=True)
class Header:
    """What the message says of itself; whatever the package has no path for is None. May hold personal data.

    type: its root element. code: the type as the header has it, which may differ.
    """

    type: str
    code: str | None = field(default=None, repr=False)
    uuid: str | None = field(default=None, repr=False)
    created: str | None = field(default=None, repr=False)
    author: str | None = field(default=None, repr=False)
    reader: str | None = field(default=None, repr=False)
    product: str | None = field(default=None, repr=False)
    reference: str | None = field(default=None, repr=False)
    leistung: str | None = None
    ars: str | None = None
    version: str | None = None
    test: bool = False


@dataclass(frozen=True, slots=True)
class Conversion:
    """Makes messages of one package into those of another, usually the next version. to: its id. digest: of the sheet, hex."""

    to: str
    sheet: Sheet = field(repr=False, compare=False)
    digest: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What a standard says back, in its own words. roots: messages that are answers themselves and get none."""

    acknowledgement: Sheet | None = field(default=None, repr=False, compare=False)
    rejection: Sheet | None = field(default=None, repr=False, compare=False)
    roots: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Package:
    """A message standard in one version.

    id: "name@version", what a submission stores. header: field → path (see ``headers``). family: of its header, A to F, None
    for our own. stages: what follows the schema (``manifests.STAGES``) → "off" | "warn" | "reject". version_at: path that
    tells two packages with the same root apart. isolate: checked in a child process only. digest: SHA-256 over all that
    belongs to it. valid_from, valid_until: first and last day, both included. knowledge: learned when it was installed.
    shapes: how its messages name files. characters: which fields hold which characters.
    """

    name: str
    version: str
    kind: str
    namespace: str
    roots: tuple[str, ...]
    folder: Path
    header: Mapping[str, str]
    stages: Mapping[str, str]
    leistung: str | None
    digest: bytes = field(repr=False)
    schema: CompiledSchema = field(repr=False, compare=False)
    limits: Limits = USUAL
    business_keys: tuple[str, ...] = ()
    version_at: str | None = None
    isolate: bool = False
    valid_from: date | None = None
    valid_until: date | None = None
    mask: tuple[str, ...] = ()
    editable: tuple[str, ...] = ()
    codelists: tuple[str, ...] = ()
    schematron: tuple[str, ...] = ()
    family: str | None = None
    knowledge: Knowledge = field(default_factory=Knowledge, repr=False, compare=False)
    shapes: tuple[Shape, ...] = field(default=(), repr=False)
    characters: CharacterRules = field(default_factory=CharacterRules, repr=False)
    conversion: Conversion | None = None
    answers: Answers = field(default_factory=lambda: Answers())

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"

    def is_valid_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_until is None or day <= self.valid_until)

    def header_of(self, document: Document) -> Header:
        """The header fields of a message of this package. Its type is its root element, whatever code it carries."""
        found = document.texts(_single_paths(tuple(self.header.values())))
        values = {_TEXTS[name]: _first(found, paths) for name, paths in self.header.items() if name in _TEXTS}
        return Header(type=document.name, test=self._is_test(document, found), **values)

    def contradiction(self, document: Document) -> Finding | None:
        """A warning when header and root element name different types."""
        if not (paths := self.header.get("type")):
            return None
        found = document.texts(_single_paths((paths,)))
        if (number := contradicts(document.name, _first(found, paths))) is None:
            return None
        path = next(path for path in _single_paths((paths,)) if path in found)
        return contradiction(number, document.element(path), names=self.schema.declared.names)

    def _is_test(self, document: Document, found: Mapping[str, str]) -> bool:
        """An element says true or 1; an attribute means it by standing there at all (XÖV: any text, also none)."""
        path = self.header.get("test", "")
        if path.startswith("@"):
            return any(str(name).rpartition("}")[2] == path[1:] for name in document.root.attrib)
        return _first(found, path) in ("true", "1") if path else False


_TEXTS: Final = MappingProxyType({name: name for name in FIELDS - {"type", "test"}} | {"type": "code"})


@lru_cache(1024)
def _single_paths(written: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for paths in written for path in paths.split("|") for one in path.split("+")))


@lru_cache(1024)
def _ways(written: str) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The alternatives of a header path; each a value and what is put before it."""
    return tuple((tuple(before), last) for *before, last in (path.split("+") for path in written.split("|")))


def _first(found: Mapping[str, str], paths: str) -> str | None:
    """Where several paths make one value, the last of them must be there: a prefix alone identifies nobody."""
    for before, last in _ways(paths):
        if (value := found.get(last)) is not None:
            return ":".join((*filter(None, map(found.get, before)), value)) if before else value
    return None
