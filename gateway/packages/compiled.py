"""A schema compiled by libxml2, and what it finds wrong with a document, at a bounded price.

libxml2 keeps errors inside the compiled schema, and would show one sender's to another: an instance is only ever used by
one thread at a time. It also writes every allowed value into each message about a code list; a sender of nothing but wrong
codes would cost ten times a good one. After such a document the next ones are first tried on a *terse* twin of the schema,
in which a code list is wrapped so that its errors are short. The twin may only refuse, and only what it can show; whatever
is accepted was accepted by the schema as its author wrote it.
"""

from __future__ import annotations

import copy
import re
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, cast

from lxml import etree

from gateway.config.faults import Fault
from gateway.document import CheckingReader, Document, elements_begun
from gateway.packages.declarations import Declarations
from gateway.packages.schemafiles import XS, SchemaFaults, SchemaFiles
from gateway.packages.terse import terse_texts
from gateway.xml.nodes import node_at

MOST: Final = 50
_HEAVY: Final = 4000
_WARY_FOR: Final = 64


Codes = Mapping[str, tuple[str, ...]]


class SchemaError(NamedTuple):
    """One error as libxml2 says it. message quotes the document: only ``explanation`` reads it. allowed: the values of the
    code list, if that is what the error is about. wrapped: found by the twin where it differs from the schema."""

    kind: int
    line: int
    path: str | None
    message: str
    allowed: tuple[str, ...] = ()
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """errors: at most ``MOST``, in document order. complete: these are all. aborted: libxml2 gave up."""

    errors: tuple[SchemaError, ...] = ()
    complete: bool = True
    aborted: bool = False

    @property
    def valid(self) -> bool:
        return not self.errors and not self.aborted


_VALID: Final = Verdict()


class CompiledSchema:
    """The schema of one package, for any number of threads. Raises ``SchemaFaults`` where libxml2 cannot compile it."""

    def __init__(self, files: SchemaFiles, declared: Declarations) -> None:
        self.files, self.declared = files, declared
        self._terse: tuple[Mapping[str, bytes], Codes] | None = None
        self._free: deque[_Instance] = deque([_Instance(self)])

    def check(self, document: Document) -> Verdict:
        try:
            instance = self._free.pop()
        except IndexError:
            instance = _Instance(self)
        try:
            verdict = instance.check(document)
        except etree.XMLSchemaError:  # "Internal error": a state of libxml2 that nothing should be built on
            return Verdict(complete=False, aborted=True)
        self._free.append(instance)
        return verdict

    def terse(self) -> tuple[etree.XMLSchema | None, Codes]:
        """The twin, and the values of each code list in it by type; no twin where there is no long code list."""
        if self._terse is None:
            self._terse = terse_texts(self.files)
        texts, codes = self._terse
        try:
            return (_compile(self.files, texts) if codes else None), codes
        except SchemaFaults:
            self._terse = ({}, {})
            return None, {}


class _Instance:
    """What one thread holds while it checks one document."""

    def __init__(self, schema: CompiledSchema) -> None:
        self._schema = schema
        self._strict = _compile(schema.files, schema.files.texts)
        self._twin: etree.XMLSchema | None = None
        self._codes: Codes = {}
        self._reader: CheckingReader | None = None
        self._wary = 0

    def check(self, document: Document) -> Verdict:
        if document.elements > _HEAVY or document.weight > _HEAVY:
            return self._check_heavy(document)
        if self._wary and self._twin is not None and not self._twin.validate(document.root):
            errors = _errors(self._twin, self._codes)
            if any(_proven(error, document.root) for error in errors):
                self._wary = _WARY_FOR
                return _verdict(errors)
        self._wary = max(0, self._wary - 1)
        if self._strict.validate(document.root):
            return _VALID
        errors = _errors(self._strict)
        if any(error.kind == _ENUMERATION for error in errors):
            self._be_wary()
        return _verdict(errors)

    def _be_wary(self) -> None:
        if not self._wary and self._twin is None:
            self._twin, self._codes = self._schema.terse()
        self._wary = _WARY_FOR

    def _check_heavy(self, document: Document) -> Verdict:
        """Piece by piece first, because libxml2 cannot be stopped once it walks a tree, and numbers the siblings of every
        node it complains about: 100,000 faults would take it half a minute."""
        if self._reader is None:
            self._reader = CheckingReader(self._strict)
        seen, upto = self._reader.faults(document.body, enough=MOST)
        if not seen:
            return _VALID
        self._be_wary()
        explaining = self._strict if self._twin is None else self._twin
        whole = upto >= len(document.body)
        explaining.validate(document.root if whole else _beginning(document, upto))
        errors = _errors(explaining, self._codes)
        return Verdict(errors[:MOST], complete=whole and len(errors) <= MOST)


_ENUMERATION: Final = etree.ErrorTypes.SCHEMAV_CVC_ENUMERATION_VALID
_UNION: Final = etree.ErrorTypes.SCHEMAV_CVC_DATATYPE_VALID_1_2_3
_ATTRIBUTE: Final = re.compile(r"Element '[^']*', attribute '([^']*)': ")


def _proven(error: SchemaError, root: etree._Element) -> bool:
    """An error of the twin holds for the schema itself, unless it comes from the wrapping: then the value must indeed be
    missing from the list."""
    if not error.wrapped:
        return True
    place = node_at(root, error.path)
    if place is None:
        return False
    attribute = _ATTRIBUTE.match(error.message)
    value = place.text if attribute is None else place.get(attribute[1])
    return value is not None and value not in error.allowed and " ".join(value.split()) not in error.allowed


def _verdict(errors: tuple[SchemaError, ...]) -> Verdict:
    return Verdict(errors[:MOST], complete=len(errors) <= MOST)


def _errors(schema: etree.XMLSchema, codes: Codes | None = None) -> tuple[SchemaError, ...]:
    entries = cast("Iterable[etree._LogEntry]", schema.error_log)
    return tuple(_error(entry, codes or {}) for entry in islice(entries, MOST + 1))


def _error(entry: etree._LogEntry, codes: Codes) -> SchemaError:
    """In the messages, everything before the last mark may come from the document and hold anything, even the mark."""
    kind, message = entry.type, entry.message or ""
    if kind == _ENUMERATION:
        _, _, listed = message.rpartition(" is not an element of the set {'")
        return SchemaError(kind, entry.line, entry.path, message, tuple(listed.rstrip("\n").removesuffix("'}.").split("', '")))
    if kind == _UNION and codes:
        name = message.rpartition(" is not a valid value of the union type '")[2].rstrip("\n").removesuffix("'.")
        if name in codes:
            return SchemaError(_ENUMERATION, entry.line, entry.path, message, codes[name], wrapped=True)
    return SchemaError(kind, entry.line, entry.path, message)


def _beginning(document: Document, upto: int) -> etree._Element:
    """A copy of the tree as far as the first ``upto`` bytes reach, so that explaining costs what has been seen."""
    root = copy.deepcopy(document.root)
    first_left_out = next(islice(root.iter(), elements_begun(document.body, upto), None), None)
    node, keep = first_left_out, 0
    while node is not None:
        parent = node.getparent()
        if parent is not None:
            del parent[parent.index(node) + keep:]
        node, keep = parent, 1
    return root


# --- compiling ---------------------------------------------------------------------------------------------------------


class _OnlyThese(etree.Resolver):
    """Gives libxml2 the texts of the package by key, and for everything else an empty text: never a file, never a fetch."""

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self._texts = texts
        self.refused: list[str] = []

    def resolve(self, system_url: str, public_id: str, context: object) -> object:  # type: ignore[override]
        text = self._texts.get(system_url)
        if text is None:
            self.refused.append(system_url)
        return self.resolve_string(text or b"<refused/>", context, base_url=system_url)


_compiling = threading.Lock()
_TRIES: Final = 10


def _compile(files: SchemaFiles, texts: Mapping[str, bytes]) -> etree.XMLSchema:
    """libxml2 has one loader of documents for the whole process. lxml borrows it while it compiles and while it parses, and
    whoever is done gives it back, also when another still needs it: libxml2 then does not ask us but looks for a file of
    that name. Nothing else makes it complain about files, so that it shows; then the same is done once more.
    """
    with _compiling:  # two that compile are sure to meet, one that parses a large document elsewhere may
        for tries_left in reversed(range(_TRIES)):
            resolver = _OnlyThese(texts)
            try:
                compiled = etree.XMLSchema(_entry(files, texts, resolver))
            except etree.XMLSchemaParseError as error:
                entries = tuple(cast("Iterable[etree._LogEntry]", error.error_log))
                if tries_left and _was_not_asked(entries):
                    continue
                faults = [_fault(files, entry) for entry in entries if entry.level_name in ("ERROR", "FATAL")]
                raise SchemaFaults(_not_ours(files, resolver.refused) or faults or [
                    _about(files.paths[files.entry[0]], 1, str(error))
                ]) from None
            if not _was_not_asked(cast("Iterable[etree._LogEntry]", compiled.error_log)):
                break
    if resolver.refused:
        raise SchemaFaults(_not_ours(files, resolver.refused))
    return compiled


def _entry(files: SchemaFiles, texts: Mapping[str, bytes], resolver: etree.Resolver) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    parser.resolvers.add(resolver)
    if len(files.entry) == 1:
        return etree.fromstring(texts[files.entry[0]], parser, base_url=files.entry[0])
    return etree.fromstring(_wrapper(files), parser, base_url="nahtlos-wrapper.xsd")


def _was_not_asked(entries: Iterable[etree._LogEntry]) -> bool:
    return any(entry.domain == etree.ErrorDomains.IO for entry in entries)


def _wrapper(files: SchemaFiles) -> bytes:
    """For a release of many files and no root: one schema that includes them all."""
    wrapper = etree.Element(XS + "schema", {"targetNamespace": files.namespace} if files.namespace else {})
    for key in files.entry:
        etree.SubElement(wrapper, XS + "include", schemaLocation=key)
    return etree.tostring(wrapper)


def _not_ours(files: SchemaFiles, refused: Iterable[str]) -> list[Fault]:
    return [_about(files.paths[files.entry[0]], 1, f"{url} is not part of the package") for url in refused]


def _fault(files: SchemaFiles, entry: etree._LogEntry) -> Fault:
    message = entry.message or ""
    for key, file in files.paths.items():
        message = message.replace(key, file.name)
    return _about(files.paths.get(entry.filename or "", files.paths[files.entry[0]]), entry.line, message)


def _about(path: Path, line: int, message: str) -> Fault:
    return Fault(str(path), line, f"kein gültiges Schema: {message}", f"not a valid schema: {message}")
