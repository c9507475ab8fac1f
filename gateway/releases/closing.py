"""Everything a standard includes and imports, found without ever asking the network.

An address of the web is answered by the release itself, by what was named beside it, or by what is installed: by address
where a catalog says it, by the name of a file that some tool made of the address, by namespace and file name, or by
namespace where only one file can be meant. Nothing is changed: the files are copied as they are, and a catalog beside them
says which address is which file.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway.config.faults import Fault
from gateway.releases.layouts import resolved
from gateway.releases.refusing import Refused
from gateway.releases.survey import Link, Survey, Xsd

OWN: Final = "release"
COPIES: Final = "imports"
_WEB: Final = re.compile(r"(?i)https?://")
_SCHEME: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]+:")


@dataclass(frozen=True, slots=True)
class Source:
    """A place where XSDs lie. addresses: address → path within it, as its own catalog says."""

    name: str
    survey: Survey
    addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Closure:
    """files: path within the package → where it lies now. addresses: address → path within the package. own: those of
    ``files`` that belong to the release. doubts: imports that several different files could answer, German and English."""

    files: Mapping[str, tuple[Source, str]]
    addresses: Mapping[str, str]
    doubts: tuple[tuple[str, str], ...]

    @property
    def own(self) -> list[str]:
        return [path for path in self.files if path.startswith(OWN + "/")]


def close(entry: Iterable[str], own: Source, others: Sequence[Source]) -> Closure:
    """Raises ``Refused`` with every import that is not to be had and every location that leads out."""
    return _Closing(own, others).run(entry)


def plain(address: str) -> str:
    """http and https are the same."""
    return _WEB.sub("//", address.strip(), count=1)


class _Closing:
    def __init__(self, own: Source, others: Sequence[Source]) -> None:
        self._own, self._others = own, others
        self._places: dict[tuple[str, str], str] = {}
        self._files: dict[str, tuple[Source, str]] = {}
        self._answers: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self._faults: dict[Fault, None] = {}
        self._missing: dict[str, tuple[str, int]] = {}
        self._doubts: dict[tuple[str, str], None] = {}
        self._waiting: list[tuple[Source, Xsd]] = []

    def run(self, entry: Iterable[str]) -> Closure:
        for path in entry:
            self._place(self._own, path)
        while self._waiting:
            source, xsd = self._waiting.pop(0)
            for link in xsd.links:
                if link.location:
                    self._follow(source, xsd, link)
        for address, (file, line) in self._missing.items():
            self._faults[_not_known(address, file, line)] = None
        if self._faults:
            raise Refused(self._faults)
        return Closure(self._files, self._addresses, tuple(self._doubts))

    def _place(self, source: Source, path: str) -> str:
        """Where the file will lie within the package."""
        key = (source.name, path)
        if key not in self._places:
            place = f"{OWN}/{path}" if source is self._own else f"{COPIES}/{source.name}/{path}"
            self._places[key] = place
            self._files[place] = (source, path)
            self._waiting.append((source, source.survey.xsds[path]))
        return self._places[key]

    def _follow(self, source: Source, xsd: Xsd, link: Link) -> None:
        shown = xsd.path if source is self._own else f"{source.name}: {xsd.path}"
        if _WEB.match(link.location):
            self._answer(source, xsd, link, shown)
            return
        target = resolved(xsd.path, link.location)
        if not target or link.location.startswith(("/", "\\")) or _SCHEME.match(link.location) or target.split("/")[0] == "..":
            self._faults[Fault(shown, link.line, f"„{link.location}“ führt aus dem Paket hinaus; das wird nie gelesen",
                               f'"{link.location}" leads out of the package; that is never read')] = None
        elif target not in source.survey.xsds:
            self._faults[Fault(shown, link.line, f"„{link.location}“ fehlt im Paket; nehmen Sie den ganzen Ordner der "
                               f"Veröffentlichung", f'"{link.location}" is not in the package; take the whole folder of the '
                               f"release")] = None
        else:
            self._place(source, target)

    def _answer(self, source: Source, xsd: Xsd, link: Link, shown: str) -> None:
        address = plain(link.location.split("#")[0])
        if address not in self._answers:
            found = self._find(source, address, xsd.namespace if link.inner else link.namespace, link.location)
            if found is None:
                self._missing.setdefault(link.location, (shown, link.line))
                return
            self._answers[address] = self._place(*found)
        self._addresses[link.location] = self._answers[address]

    def _find(self, source: Source, address: str, namespace: str, location: str) -> tuple[Source, str] | None:
        """The nearest source that has an answer; within one, the surest answer."""
        nearest = dict.fromkeys(one.name for one in (source, self._own, *self._others))
        by_name = {one.name: one for one in (source, self._own, *self._others)}
        for way in (_by_catalog, _by_digest, _by_file_name, _by_namespace):
            found = [(by_name[name], path) for name in nearest for path in way(by_name[name], address, namespace)]
            if found:
                first = found[0]
                digests = {one.survey.xsds[path].digest for one, path in found}
                if len(digests) > 1 and first[0] not in (source, self._own):
                    told = ", ".join(dict.fromkeys(one.name for one, _ in found))
                    self._doubts[(
                        f"{location}: in {told} liegen verschiedene Fassungen; genommen wurde die aus {first[0].name}",
                        f"{location}: {told} hold different versions of it; the one of {first[0].name} was taken",
                    )] = None
                return first
        return None


def _by_catalog(source: Source, address: str, namespace: str) -> list[str]:
    path = source.addresses.get(address)
    return [path] if path in source.survey.xsds and path else []


def _by_digest(source: Source, address: str, namespace: str) -> list[str]:
    """Caches call a file by a digest of its address."""
    names = {
        made(f"{scheme}{address}".encode(), usedforsecurity=False).hexdigest()
        for made in (hashlib.md5, hashlib.sha1, hashlib.sha256) for scheme in ("http:", "https:")
    }
    return [path for path in source.survey.of(namespace) if posixpath.splitext(posixpath.basename(path))[0] in names]


def _by_file_name(source: Source, address: str, namespace: str) -> list[str]:
    """Those whose path agrees longest with the end of the address come first."""
    wanted = [part for part in unquote(urlsplit(address).path).split("/") if part]
    if not wanted:
        return []
    found = [path for path in source.survey.of(namespace) if posixpath.basename(path) == wanted[-1]]
    return sorted(found, key=lambda path: (-_agreeing(path.split("/"), wanted), path))


def _by_namespace(source: Source, address: str, namespace: str) -> list[str]:
    """Only where all files of the namespace hang from one."""
    files = source.survey.of(namespace)
    inside = {resolved(path, link.location) for path, xsd in files.items() for link in xsd.links if link.inner}
    tops = [path for path in files if path not in inside]
    return tops if len(tops) == 1 and namespace else []


def _agreeing(path: Sequence[str], wanted: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(path), reversed(wanted), strict=False):
        if one != other:
            break
        count += 1
    return count


def _not_known(address: str, file: str, line: int) -> Fault:
    return Fault(
        file, line,
        f"der Import {address} steht nicht im Katalog; fügen Sie ihn hinzu: nahtlos schemas add DATEI (für alle Pakete) oder "
        "--with DATEI (nur für dieses); aus dem Netz wird nichts geholt",
        f"import {address} is not in the catalog; add it with: nahtlos schemas add FILE (for all packages) or --with FILE (for "
        "this one); nothing is fetched from the network",
    )
