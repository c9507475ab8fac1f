"""Which files of a release are the standard, and where its messages begin.

Releases come flat, in folders, with an aggregating root file or with dozens of siblings and none, and now and then with the
same files twice (once with addresses of the web in their imports, once with local names). What is found here is what a
person would point at.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from gateway.config.faults import did_you_mean
from gateway.releases.refusing import refused
from gateway.releases.survey import Survey, Xsd

_URL: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]+:")


@dataclass(frozen=True, slots=True)
class Standard:
    """entry: files that together include all of the namespace; several make one schema through a wrapper in memory.
    elements: what a message can begin with. A library has none. left: the same files in another folder, not taken."""

    name: str
    title: str
    version: str
    namespace: str
    entry: tuple[str, ...]
    elements: tuple[str, ...]
    left: tuple[str, ...] = ()

    @property
    def is_library(self) -> bool:
        return not self.elements


def standards_of(survey: Survey, release: str, *, namespace: str | None = None, entry: str | None = None) -> list[Standard]:
    """Each standard in a release, or one library for all of it. namespace: take this one. entry: look for it only in this
    folder or file. Raises ``Refused`` when the choice names nothing that is there."""
    among = _within(survey, entry)
    namespaces = list(dict.fromkeys(xsd.namespace for xsd in among.values()))
    if namespace is not None:
        if namespace not in namespaces:
            de, en = did_you_mean(namespace, namespaces)
            raise refused(release, f"kein Schema mit diesem Namensraum{de}", f"no schema of this namespace{en}")
        return [_standard(survey, among, namespace, release)]
    chosen = _chosen(among, namespaces)
    if not chosen:
        return [_library(among, release)] if among or survey.codelists else []
    return [_standard(survey, among, one, release) for one in chosen]


def others_of(survey: Survey, taken: Iterable[Standard]) -> list[Standard]:
    """Standards with messages of their own that are in the release because others import them."""
    known = {one.namespace for one in taken}
    marked = {xsd.namespace for xsd in survey.xsds.values() if xsd.standard and xsd.elements} - known
    return [_standard(survey, survey.xsds, one, "") for one in sorted(marked)]


def _within(survey: Survey, entry: str | None) -> dict[str, Xsd]:
    if entry is None:
        return dict(survey.xsds)
    wanted = entry.strip("/")
    found = {path: xsd for path, xsd in survey.xsds.items() if path == wanted or path.startswith(wanted + "/")}
    if not found:
        folders = {posixpath.dirname(path) for path in survey.xsds}
        de, en = did_you_mean(wanted, folders | set(survey.xsds))
        raise refused(wanted, f"dort liegt kein Schema{de}", f"there is no schema{en}")
    return found


def _chosen(among: Mapping[str, Xsd], namespaces: list[str]) -> list[str]:
    """Namespaces that are standards: marked as such by XÖV, or else the only one that nothing here imports."""
    imported = {
        link.namespace for xsd in among.values() for link in xsd.links if not link.inner and link.namespace != xsd.namespace
    }
    with_elements = [one for one in namespaces if any(xsd.elements for xsd in among.values() if xsd.namespace == one)]
    marked = [one for one in with_elements if any(xsd.standard for xsd in among.values() if xsd.namespace == one)]
    if marked:
        return [one for one in marked if one not in imported] or marked
    if any(xsd.standard for xsd in among.values()):
        return []
    tops = [one for one in with_elements if one not in imported]
    return tops if len(tops) == 1 else []


def _standard(survey: Survey, among: Mapping[str, Xsd], namespace: str, release: str) -> Standard:
    files = {path: xsd for path, xsd in among.items() if xsd.namespace == namespace}
    taken, left = _one_layout(files)
    entry = _beginnings(taken)
    name, title, version = _called(taken.values(), entry, release)
    elements = tuple(dict.fromkeys(element for xsd in taken.values() for element in xsd.elements))
    return Standard(name, title, version, namespace, entry, elements, tuple(left))


def _library(among: Mapping[str, Xsd], release: str) -> Standard:
    marked = [xsd for xsd in among.values() if xsd.standard]
    name, title, version = _called(marked, (), release)
    entry: list[str] = []
    for namespace in dict.fromkeys(xsd.namespace for xsd in among.values()):
        taken, _ = _one_layout({path: xsd for path, xsd in among.items() if xsd.namespace == namespace})
        entry += _beginnings(taken)
    return Standard(name, title, version, "", tuple(entry), ())


def _called(files: Collection[Xsd], entry: tuple[str, ...], release: str) -> tuple[str, str, str]:
    """Name, title and version: as the standard calls itself, or from the names of the files."""
    stem = re.sub(r"(?i)\.(zip|xsd|xml)$", "", release)
    from_stem = re.match(r"(.*?)[-_ ]?v?(\d+(?:[._]\d+)*[a-z]?)?$", stem)
    own, said = (from_stem[1] or stem, from_stem[2] or "") if from_stem else (stem, "")
    if len(entry) == 1 and posixpath.basename(entry[0]).endswith(".xsd"):
        own = posixpath.basename(entry[0])[:-4]
    stated = next((xsd.stated for xsd in files if xsd.path in entry and xsd.stated), "")
    name = _usual(xsd.standard for xsd in files) or own
    title = _usual(xsd.title for xsd in files) or own
    version = _usual(xsd.version for xsd in files) or stated or said.replace("_", ".") or "1"
    return as_name(name), title, re.sub(r"[^A-Za-z0-9._-]+", "-", version).strip("-._") or "1"


def as_name(text: str) -> str:
    """Fit for a folder and for ``name`` in a manifest."""
    plain = text.lower()
    for umlaut, written in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
        plain = plain.replace(umlaut, written)
    return re.sub(r"[^a-z0-9.-]+", "-", plain).strip("-.") or "paket"


def _usual(texts: Iterable[str]) -> str:
    counted = Counter(filter(None, texts))
    return counted.most_common(1)[0][0] if counted else ""


# --- one of several layouts ----------------------------------------------------------------------------------------------


def _one_layout(files: Mapping[str, Xsd]) -> tuple[dict[str, Xsd], list[str]]:
    """Of parts that hold the same files, the one that needs nothing from outside; parts that differ belong together."""
    taken: dict[str, Xsd] = {}
    left: list[str] = []
    for part in sorted(_parts(files), key=lambda one: (_addresses(one), min(one))):
        names = {posixpath.basename(path) for path in taken}
        elements = {element for xsd in taken.values() for element in xsd.elements}
        if names & {posixpath.basename(path) for path in part} or elements & {e for xsd in part.values() for e in xsd.elements}:
            left.append(posixpath.dirname(min(part)) or ".")
        else:
            taken |= part
    return taken, left


def _parts(files: Mapping[str, Xsd]) -> list[dict[str, Xsd]]:
    """Files that lie together or include each other."""
    near: dict[str, set[str]] = {path: set() for path in files}
    by_folder: dict[str, str] = {}
    for path, xsd in files.items():
        first = by_folder.setdefault(posixpath.dirname(path), path)
        for other in (first, *included(xsd, files)):
            near[path].add(other)
            near[other].add(path)
    parts: list[dict[str, Xsd]] = []
    unseen = dict.fromkeys(files)
    while unseen:
        waiting, part = [next(iter(unseen))], {}
        while waiting:
            path = waiting.pop()
            if path in unseen:
                del unseen[path]
                part[path] = files[path]
                waiting += near[path]
        parts.append(part)
    return parts


def included(xsd: Xsd, files: Collection[str]) -> list[str]:
    """Files of its namespace that it includes by relative location."""
    return [target for link in xsd.links if link.inner and (target := resolved(xsd.path, link.location)) in files]


def resolved(path: str, location: str) -> str:
    """Where a relative location leads from a file of a release; begins with "../" where it leaves it, "" for an address."""
    if not location or _URL.match(location):
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(location.split("#")[0])))


def _addresses(part: Mapping[str, Xsd]) -> int:
    return sum(1 for xsd in part.values() for link in xsd.links if _URL.match(link.location))


def _beginnings(files: Mapping[str, Xsd]) -> tuple[str, ...]:
    """The fewest files that include all others. Where some include each other in a circle, its first one."""
    reached: set[str] = set()
    entry: list[str] = []
    inside = {target for path, xsd in files.items() for target in included(xsd, files) if target != path}
    for path in (*sorted(set(files) - inside), *sorted(inside)):
        if path in reached:
            continue
        entry.append(path)
        waiting = [path]
        while waiting:
            at = waiting.pop()
            if at not in reached:
                reached.add(at)
                waiting += included(files[at], files)
    return tuple(sorted(entry))
