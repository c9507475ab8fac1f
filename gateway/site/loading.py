"""Reads the site file: first every table for itself, then what they say about each other. All faults in one go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tomllib import TOMLDecodeError
from types import MappingProxyType
from typing import Any, TypeVar, cast

from gateway.config import toml_lines
from gateway.config.binding import bind, clear_text_secrets
from gateway.config.faults import Fault, Faults, Where, did_you_mean
from gateway.config.routing import Route, Successor
from gateway.site.checking import cross_faults
from gateway.site.model import Authority, FormBinding, PortalConfig, Site, TargetConfig

T = TypeVar("T")

_NAMED = ("authority", "portal", "target")
_LISTED = ("form", "route", "successor")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class SiteFaults(Faults):
    """The site file cannot be used. ``faults``: every one, sorted by line; ``str()`` of one is "file:line: German / English"."""


def load(path: Path) -> Site:
    """Raises ``SiteFaults`` with every fault, never only the first."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SiteFaults([Fault(
            str(path), 0,
            f"kann nicht gelesen werden ({error.strerror}); NAHTLOS_SITE nennt den Pfad, ein Beispiel gibt „nahtlos demo“",
            f'cannot be read ({error.strerror}); NAHTLOS_SITE names the path, "nahtlos demo" gives an example',
        )]) from None
    return parse(content, path)


def parse(content: bytes, path: Path) -> Site:
    """The site from the bytes of its file. path: named in faults, and what paths inside are relative to."""
    data, lines = _read(content, str(path))
    return _Reader(data, Where(str(path), lines), path.absolute()).site(sha256(content).hexdigest())


def _read(content: bytes, file: str) -> tuple[dict[str, Any], Mapping[toml_lines.Place, int]]:
    try:
        return toml_lines.parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fault = Fault(file, line, "kein UTF-8; speichern Sie die Datei als UTF-8", "not UTF-8; save the file as UTF-8")
    except TOMLDecodeError as error:
        said = re.sub(r" \(at .*\)$", "", str(error))
        fault = Fault(file, toml_lines.line_of_error(error), f"kein gültiges TOML: {said}", f"not valid TOML: {said}")
    raise SiteFaults([fault])


class _Reader:
    """One reading of one file; gathers faults so that a person repairs them in one go."""

    def __init__(self, data: Mapping[str, Any], root: Where, path: Path) -> None:
        self.data, self.root, self.path = data, root, path
        self.faults: list[Fault] = []

    def site(self, digest: str) -> Site:
        self._top_level()
        authorities = self._named("authority", Authority, "key")
        portals = self._named("portal", PortalConfig, "name")
        targets = {name: self._settled(target) for name, target in self._named("target", TargetConfig, "name").items()}
        forms = [(where, self._with_mapping(where, form)) for where, form in self._listed("form", FormBinding, {"versions": ""})]
        routes = list(self._listed("route", Route, {"valid_from": None, "valid_until": None}))
        successors = list(self._listed("successor", Successor, {}))
        site = Site(
            name=self._name(), path=self.path, digest=digest,
            authorities=MappingProxyType(authorities), portals=MappingProxyType(portals), targets=MappingProxyType(targets),
            forms=tuple(form for _, form in forms), routes=tuple(route for _, route in routes),
            successors=tuple(successor for _, successor in successors), where=self.root,
        )
        # A table that is broken itself still counts as named: one mistake, one fault.
        named = {kind: frozenset(self._tables(kind)) for kind in _NAMED}
        faults = {*self.faults, *cross_faults(site, self.root, named=named, forms=forms, routes=routes, successors=successors)}
        if faults:
            raise SiteFaults(faults)
        return site

    def _top_level(self) -> None:
        for key, value in self.data.items():
            if key not in ("site", *_NAMED, *_LISTED):
                de, en = did_you_mean(key, ("site", *_NAMED, *_LISTED))
                self._fault(self.root.at(key), f"unbekannter Schlüssel „{key}“{de}", f'unknown key "{key}"{en}')
            elif key in _NAMED and not (isinstance(value, dict) and _are_tables(value.values())):
                self._fault(self.root.at(key), f"muss [{key}.name] heißen: Es fehlt der Name",
                            f"must be [{key}.name]: the name is missing")
            elif key in _LISTED and not (isinstance(value, list) and _are_tables(value)):
                self._fault(self.root.at(key), f"muss [[{key}]] heißen, in doppelten Klammern",
                            f"must be [[{key}]], in double brackets")

    def _name(self) -> str:
        name = self.data.get("site")
        if isinstance(name, str) and _NAME.fullmatch(name):
            return name
        self._fault(self.root.at("site"), 'es fehlt site = "name" (Buchstaben, Ziffern, . _ -)',
                    'site = "name" is missing (letters, digits, . _ -)')
        return ""

    def _named(self, kind: str, cls: type[T], name_field: str) -> dict[str, T]:
        found = {}
        for name, table in self._tables(kind).items():
            where = self.root.at(kind, name)
            if not _NAME.fullmatch(name):
                self._fault(where, f"„{name}“ ist kein Name: Buchstaben, Ziffern, . _ -, höchstens 63 Zeichen",
                            f'"{name}" is not a name: letters, digits, . _ -, at most 63 characters')
            given = {name_field: name} | ({"where": where} if kind == "target" else {})
            if (bound := self._bound(cls, table, where, given, {})) is not None:
                found[name] = bound
        return found

    def _listed(self, kind: str, cls: type[T], defaults: Mapping[str, Any]) -> Iterator[tuple[Where, T]]:
        tables = self.data.get(kind, [])
        for n, table in enumerate(tables if isinstance(tables, list) else []):
            where = self.root.at(kind, n)
            if not isinstance(table, dict):
                continue
            if (bound := self._bound(cls, table, where, {"line": where.line}, defaults)) is not None:
                yield where, bound

    def _tables(self, kind: str) -> dict[str, dict[str, Any]]:
        tables = self.data.get(kind, {})
        return {name: table for name, table in tables.items() if isinstance(table, dict)} if isinstance(tables, dict) else {}

    def _bound(
        self, cls: type[T], table: Mapping[str, Any], where: Where, given: Mapping[str, Any], defaults: Mapping[str, Any],
    ) -> T | None:
        try:
            return bind(cls, table, where=where, given=given, defaults=defaults)
        except Faults as found:
            self.faults += found.faults
            return cast(T | None, found.remainder)

    def _settled(self, target: TargetConfig) -> TargetConfig:
        self.faults += clear_text_secrets(target.options, target.where.at("options"))
        if target.closed and target.opens_at(datetime(2026, 1, 1, tzinfo=UTC)) is None:
            self._fault(target.where.at("closed"),
                        "die Wartungsfenster lassen keine Zeit zum Senden; anhalten geht mit „nahtlos targets pause“",
                        'the maintenance windows leave no time to send; to hold a target use "nahtlos targets pause"')
        page = self._file(target.doc_path, target.where.at("doc_path")) if target.doc_path else None
        return replace(target, options=MappingProxyType(dict(target.options)), doc_path=page)

    def _with_mapping(self, where: Where, form: FormBinding) -> FormBinding:
        if form.mapping is None:
            return form
        where = where.at("mapping")
        if form.mapping.suffix not in (".toml", ".xslt", ".xsl"):
            self._fault(where, "eine Feldzuordnung endet auf .toml oder .xslt", "a mapping ends in .toml or .xslt")
        return replace(form, mapping=self._file(form.mapping, where))

    def _file(self, named: Path, where: Where) -> Path:
        path = self.path.parent / named
        if not path.is_file():
            self._fault(where, f"„{named}“ gibt es nicht unter {self.path.parent}",
                        f'"{named}" does not exist under {self.path.parent}')
        return path

    def _fault(self, where: Where, de: str, en: str) -> None:
        self.faults.append(where.fault(de, en))


def _are_tables(values: Iterable[object]) -> bool:
    return all(isinstance(value, dict) for value in values)
