"""Are the codes of a message in the lists they are taken from?

An unknown list is a warning (S010): lists change more often than standards, and ours may be the older one. An unknown code
in a known list is an error (S011). Both names are those of the XInneres rejection reasons.

A list is read from its Genericode once, when a package is installed, and kept as a plain file of keys beside it: loading
11,000 of them takes 2 ms, parsing the 2.9 MB they come from fifty times as long.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from gateway.document import Document
from gateway.findings import Finding
from gateway.rules import MOST
from gateway.rules.codeuse import XSI_TYPE, CodeTable, CodeUse, Typing
from gateway.rules.genericode import CodeListFault, ListName, collapsed, identify, read_keys
from gateway.vocabulary import say
from gateway.xml.nodes import Paths, line_of

INDEX: Final = "codelists.json"
KEPT_KEYS: Final = 500_000
_SHOWN: Final = 20


def check(
    document: Document, table: CodeTable, lists: CodeLists, *, names: Container[str] | None = None, most: int = MOST
) -> list[Finding]:
    """table: of the document's package. lists: all that are known here. names: words of the schema, which a path may show.
    Each unknown list is named once."""
    if not table.keys:
        return []
    typing, paths, complained = Typing(table), Paths(table.names if names is None else names), set[ListName]()
    findings: list[Finding] = []
    for key in document.root.iter(*table.keys):
        holder = key.getparent()
        if holder is None or not (holder.tag in table.holders or XSI_TYPE in holder.attrib):
            continue
        entry = typing.of(holder)
        if entry is None or entry.code is None or key.tag != entry.code.key:
            continue
        # the schema has fixed what it fixes: an attribute that is there says the same
        name = ListName(
            collapsed(str(holder.get("listURI") or entry.code.uri or "")),
            collapsed(str(holder.get("listVersionID") or entry.code.version or "")),
        )
        code = collapsed(key.text or "")
        keys = lists.keys(name) if name.version else lists.keys_of_any(name.uri)
        if keys is not None and code in keys:
            continue
        if keys is None or not name.version:
            if name in complained:
                continue
            complained.add(name)
        fault = _fault(code, name, entry.code, keys, lists.versions(name.uri))
        findings.append(replace(fault, line=line_of(key), path=paths.of(key)))
        if len(findings) >= most:
            break
    return findings


def _fault(
    code: str, name: ListName, use: CodeUse, keys: frozenset[str] | None, versions: tuple[str, ...]
) -> Finding:
    """Names a list only where it is ours or the schema's, never in the sender's words."""
    if not code and keys is not None:
        return say("code-empty")
    if keys is not None and name.version:
        return say("code-unknown", {"uri": name.uri, "version": name.version},
                   expected=tuple(sorted(keys)) if len(keys) <= _SHOWN else ())
    if not name.uri:
        return say("code-list-unnamed")
    if versions:
        what = ("ist hier nicht bekannt", "is not known here") if name.version else ("fehlt", "is missing")
        return say("code-list-version-unknown", {"uri": name.uri, "what": what}, expected=versions[-_SHOWN:])
    return say("code-list-unknown", {"named": f" {name.uri}" if name.uri == use.uri else ""})


class CodeLists:
    """Lists by name, each loaded when it is first asked for. Safe in any thread; holds at most ``KEPT_KEYS`` keys.

    A list that cannot be read any more is an unknown list; ``faults`` says why.
    """

    def __init__(self, files: Mapping[ListName, Path] | None = None) -> None:
        self._files = dict(files or {})
        self._by_uri: defaultdict[str, list[str]] = defaultdict(list)
        for name in sorted(self._files, key=lambda name: (name.uri, name.version)):
            self._by_uri[name.uri].append(name.version)
        self._loaded: OrderedDict[ListName, frozenset[str]] = OrderedDict()
        self._lock = threading.Lock()
        self.faults: dict[Path, str] = {}

    @classmethod
    def open(cls, folder: Path) -> CodeLists:
        """What ``prepare`` has written. Raises ``CodeListFault``."""
        try:
            said = json.loads((folder / INDEX).read_bytes())
            return cls({ListName(one["uri"], one["version"]): folder / one["keys"] for one in said["lists"]})
        except (OSError, ValueError, KeyError, TypeError):
            raise CodeListFault(folder / INDEX, "das Verzeichnis der Codelisten fehlt oder ist beschädigt",
                                "the index of code lists is missing or damaged") from None

    def __or__(self, other: CodeLists) -> CodeLists:
        """Both; where both know a list, this one's."""
        return CodeLists({**other._files, **self._files})

    def __iter__(self) -> Iterator[ListName]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def versions(self, uri: str) -> tuple[str, ...]:
        return tuple(self._by_uri.get(uri, ()))

    def keys(self, name: ListName) -> frozenset[str] | None:
        """``None`` for a list that is not known."""
        if name not in self._files:
            return None
        with self._lock:
            found = self._loaded.get(name)
            if found is None:
                found = self._load(name)
            else:
                self._loaded.move_to_end(name)
            return found

    def keys_of_any(self, uri: str) -> frozenset[str] | None:
        """Keys of every version, for a message that does not say which."""
        sets = [self.keys(ListName(uri, version)) or frozenset() for version in self.versions(uri)]
        return frozenset().union(*sets) if sets else None

    def _load(self, name: ListName) -> frozenset[str] | None:
        path = self._files[name]
        try:
            keys = read_keys(path) if path.suffix == ".xml" else frozenset(path.read_text(encoding="utf-8").split("\n"))
        except (OSError, ValueError, CodeListFault) as error:
            self.faults[path] = type(error).__name__
            return None
        self._loaded[name] = keys
        while len(self._loaded) > 1 and sum(map(len, self._loaded.values())) > KEPT_KEYS:
            self._loaded.popitem(last=False)
        return keys


def prepare(files: Iterable[Path], folder: Path) -> tuple[CodeLists, list[CodeListFault]]:
    """Read the Genericode files of a package once and write their keys and an index into its folder.

    Returns what is usable and what is wrong with the others; two files for one list and version are a fault.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[ListName, Path] = {}
    faults: list[CodeListFault] = []
    for number, file in enumerate(sorted(files)):
        try:
            name = identify(file)
            keys = read_keys(file)
            if name in written:
                raise CodeListFault(file, "dieselbe Liste und Version steht schon in einer anderen Datei",
                                    "the same list and version is already in another file")
        except CodeListFault as fault:
            faults.append(fault)
            continue
        target = written[name] = folder / f"{number}.keys"
        target.write_text("\n".join(sorted(keys)), encoding="utf-8")
    said = [{"uri": name.uri, "version": name.version, "keys": path.name} for name, path in written.items()]
    (folder / INDEX).write_text(json.dumps({"lists": said}, ensure_ascii=False, indent=1), encoding="utf-8")
    return CodeLists(written), faults
