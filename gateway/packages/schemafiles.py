"""Reads the XSD files of a package and all they include or import, from disk, once, and from nowhere else.

Every place a schema names is decided here: inside the root folder, or by URL through the offline catalog. libxml2 then
compiles from these bytes alone (``compiled``); it is never let near a file or the network.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from lxml import etree

from gateway.config.faults import Fault, Faults
from gateway.xml.nodes import line_of

XS: Final = "{http://www.w3.org/2001/XMLSchema}"
MAX_FILE: Final = 16 * 1024 * 1024
MAX_FILES: Final = 1000

_LINKS: Final = (XS + "include", XS + "import", XS + "redefine", XS + "override")
_URL = re.compile(r"(?i)https?://")
_SCHEME = re.compile(r"(?i)[a-z][a-z0-9+.-]+:")
_LOCATION = re.compile(rb"""(\bschemaLocation\s*=\s*)("[^"]*"|'[^']*')""")


class SchemaFaults(Faults):
    """These files make no schema."""


@dataclass(frozen=True, slots=True)
class SchemaFiles:
    """A closed set of XSD files. texts: key → bytes in which every location is a key of this set. paths: key → file.
    entry: keys of the files that hold the messages. namespace: of the messages. Picklable; holds no libxml2 object."""

    namespace: str
    entry: tuple[str, ...]
    texts: Mapping[str, bytes] = field(repr=False)
    paths: Mapping[str, Path] = field(repr=False)

    @property
    def digest(self) -> bytes:
        """SHA-256 over names and contents, whatever the folder they lie in."""
        total = hashlib.sha256()
        for key in sorted(self.texts):
            total.update(f"{key} {self.paths[key].name} ".encode() + hashlib.sha256(self.texts[key]).digest())
        return total.digest()


class Catalog:
    """Offline answers to imports by URL: URL → file. http and https are the same to it."""

    def __init__(self, entries: Mapping[str, Path] | None = None) -> None:
        self._entries = {_plain(url): path for url, path in (entries or {}).items()}

    @classmethod
    def load(cls, file: Path, *, inside: Path) -> Catalog:
        """An OASIS XML catalog (``system`` and ``uri`` entries). Raises ``SchemaFaults``."""
        if not file.is_file():
            return cls()
        entries, faults = {}, []
        for url, target in cls.entries(file):
            path = (file.parent / target).resolve()
            if not path.is_relative_to(inside.resolve()):
                faults.append(_fault(file, None, f"{target} liegt außerhalb von {inside}", f"{target} lies outside {inside}"))
            else:
                entries[url] = path
        if faults:
            raise SchemaFaults(faults)
        return cls(entries)

    @staticmethod
    def entries(file: Path) -> list[tuple[str, str]]:
        """Address and relative target of every entry, wherever it leads. Raises ``SchemaFaults``."""
        found, faults = [], []
        for entry in _parsed(file, _bytes(file)).iter("{*}system", "{*}uri"):
            url, target = entry.get("systemId") or entry.get("name"), entry.get("uri")
            if not url or not target or _SCHEME.match(target):
                faults.append(_fault(file, entry, "ein Eintrag braucht systemId (oder name) und eine relative uri",
                                     "an entry needs systemId (or name) and a relative uri"))
            else:
                found.append((str(url), str(target)))
        if faults:
            raise SchemaFaults(faults)
        return found

    def find(self, url: str) -> Path | None:
        return self._entries.get(_plain(url))

    def __or__(self, other: Catalog) -> Catalog:
        merged = Catalog()
        merged._entries = self._entries | other._entries
        return merged


def _plain(url: str) -> str:
    return _URL.sub("//", url.strip(), count=1)


def gather(*entry: Path, inside: Path, catalog: Catalog | None = None) -> tuple[SchemaFiles, Mapping[str, etree._Element]]:
    """The closure of these schemas, and the parsed root of each file by key. Raises ``SchemaFaults`` with all faults.

    inside: the folder that no relative location may leave; links count as what they point to.
    """
    return _Gathering(inside.resolve(), catalog or Catalog()).run([path.resolve() for path in entry])


class _Gathering:
    def __init__(self, inside: Path, catalog: Catalog) -> None:
        self._inside, self._catalog = inside, catalog
        self._faults: list[Fault] = []
        self._keys: dict[Path, str] = {}
        self._roots: dict[str, etree._Element] = {}
        self._texts: dict[str, bytes] = {}
        self._waiting: list[Path] = []

    def run(self, entry: list[Path]) -> tuple[SchemaFiles, Mapping[str, etree._Element]]:
        keys = tuple(self._key(path) for path in entry)
        while self._waiting:
            path = self._waiting.pop(0)
            try:
                self._take(path)
            except SchemaFaults as faults:
                self._faults.extend(faults.faults)
        if self._faults:
            raise SchemaFaults(dict.fromkeys(self._faults))
        namespace = next((self._roots[key].get("targetNamespace", "") for key in keys), "")
        paths = {key: path for path, key in self._keys.items()}
        return SchemaFiles(str(namespace), keys, self._texts, paths), self._roots

    def _key(self, path: Path) -> str:
        """A name without meaning to libxml2: no path, no address, nothing to fetch."""
        if path not in self._keys:
            if len(self._keys) >= MAX_FILES:
                raise SchemaFaults([_fault(path, None, f"mehr als {MAX_FILES} Dateien", f"more than {MAX_FILES} files")])
            self._keys[path] = f"nahtlos-schema-{len(self._keys)}.xsd"
            self._waiting.append(path)
        return self._keys[path]

    def _take(self, path: Path) -> None:
        body = _bytes(path)
        root = _parsed(path, body)
        if root.tag != XS + "schema":
            raise SchemaFaults([_fault(path, root, "kein XML-Schema: Das Wurzelelement ist nicht xs:schema",
                                       "no XML schema: its root element is not xs:schema")])
        keys: dict[str, str] = {}
        for link in root.iterchildren(*_LINKS):
            location = link.get("schemaLocation")
            target = self._target(path, link, str(location)) if location else None
            if target is not None:
                keys[str(location)] = self._key(target)
        key = self._keys[path]
        self._roots[key] = root
        self._texts[key] = _LOCATION.sub(lambda found: _renamed(found, keys), body)

    def _target(self, path: Path, link: etree._Element, location: str) -> Path | None:
        """Which file a location means; ``None`` after noting a fault."""
        def fault(de: str, en: str) -> None:
            self._faults.append(_fault(path, link, de, en))

        if _URL.match(location):
            found = self._catalog.find(location)
            if found is None:
                entry = f'<system systemId="{location}" uri="…"/>'
                fault(f"der Import {location} steht nicht im Katalog; legen Sie die Datei dazu und tragen Sie sie in catalog.xml "
                      f"ein: {entry}; aus dem Netz wird nichts geholt",
                      f"the import {location} is not in the catalog; put the file beside the package and enter it in "
                      f"catalog.xml: {entry}; nothing is fetched from the network")
            return found
        if _SCHEME.match(location) or location.startswith(("/", "\\")):
            fault(f"{location} ist nicht erlaubt: nur relative Pfade und Adressen aus dem Katalog",
                  f"{location} is refused: only relative paths and addresses in the catalog")
            return None
        target = (path.parent / unquote(location.split("#")[0])).resolve()
        if not target.is_relative_to(self._inside) and not target.is_relative_to(path.parent):
            fault(f"{location} führt aus dem Schema-Ordner hinaus ({self._inside})",
                  f"{location} leaves the schema folder ({self._inside})")
            return None
        if not target.is_file():
            fault(f"{location} fehlt: keine Datei {target}", f"{location} is missing: no file {target}")
            return None
        return target


def _renamed(found: re.Match[bytes], keys: Mapping[str, str]) -> bytes:
    location = unescape(found[2][1:-1].decode("utf-8", "replace"))
    key = keys.get(location)
    return found[0] if key is None else found[1] + b'"' + key.encode() + b'"'


# --- reading one file --------------------------------------------------------------------------------------------------


def read_schema(path: Path) -> tuple[bytes, etree._Element]:
    """A schema file and its root element, without comments. Raises ``SchemaFaults``."""
    body = _bytes(path)
    return body, _parsed(path, body)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE + 1)
    except OSError as error:
        raise SchemaFaults([
            _fault(path, None, f"kann nicht gelesen werden ({error.strerror})", f"cannot be read ({error.strerror})")
        ]) from None
    if len(body) > MAX_FILE:
        size = f"{MAX_FILE // 1024 // 1024} MiB"
        raise SchemaFaults([_fault(path, None, f"größer als {size}", f"larger than {size}")])
    return body


def _parsed(path: Path, body: bytes) -> etree._Element:
    """The root element. A DOCTYPE is taken only as the W3C writes it (xmldsig): a few plain entities, none made of others."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True, huge_tree=False
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise SchemaFaults([Fault(
            str(path), error.lineno or 1, f"kein wohlgeformtes XML: {error.msg}", f"not well-formed XML: {error.msg}"
        )]) from None
    doctype = root.getroottree().docinfo.internalDTD
    if doctype is not None:
        entities = list(doctype.iterentities())  # type: ignore[union-attr]
        if len(entities) > 16 or any(
            entity.content is None or len(entity.content) > 1024 or re.search("[&%]", entity.orig or entity.content)
            for entity in entities
        ):
            raise SchemaFaults([_fault(
                path, None, "sein DOCTYPE vereinbart Entitäten, die extern, groß oder aus anderen gemacht sind",
                "its DOCTYPE declares entities that are external, large or made of others",
            )])
    return root


def _fault(path: Path, node: etree._Element | None, de: str, en: str) -> Fault:
    return Fault(str(path), 1 if node is None else line_of(node), de, en)
