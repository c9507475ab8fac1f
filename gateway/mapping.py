"""From a portal's form to the message of the service: a field table (TOML) or a hand-written XSLT.

Both run as XSLT 1.0 that can read and write nothing (``gateway.forms.transform``). The same input with the same context gives
the same bytes. What cannot be mapped is told by field and place, never by value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

from gateway.config.faults import Fault, Faults
from gateway.findings import Finding
from gateway.forms.fieldtable import Table
from gateway.forms.mappingview import Row, view_of_sheet, view_of_table
from gateway.forms.messageplan import Plan, plan
from gateway.forms.messageshape import ShapeFault
from gateway.forms.messageshape import read as read_shape
from gateway.forms.portalform import ROOTS, PortalForm, fields_of, fits
from gateway.forms.tablereader import read as read_table
from gateway.forms.tablesheet import stylesheet
from gateway.forms.transform import Result, Sheet, SheetFault
from gateway.vocabulary import say

if TYPE_CHECKING:
    from gateway.document import Document

__all__ = ["Mapped", "Mapping", "MappingContext", "MappingFault", "MappingFaults", "Row", "explain", "load"]

MOST_INSTANCES = 5_000  # of all groups together: more is no form but an attack on our time
_ENGINE = b"1"  # part of every digest: goes up when our functions give other results for the same table


@dataclass(frozen=True, slots=True)
class MappingContext:
    """What the gateway knows and the form does not.

    message_id: UUID for the message's head, derived from the submission's id, so that mapping again gives the same.
    leistung: slug. form_id, version: of the portal form, where known. received: time of receipt, aware. test: a test
    message. unescape: the site says that this source escapes twice (the table may say so as well).
    """

    message_id: str
    leistung: str
    ars: str
    portal: str
    received: datetime
    form_id: str | None = None
    version: str | None = None
    test: bool = False
    unescape: bool = False

    def parameters(self) -> dict[str, str]:
        """As stylesheets see them (``transform.PARAMETERS``)."""
        received = self.received.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {
            "message_id": self.message_id, "leistung": self.leistung, "ars": self.ars, "portal": self.portal,
            "form_id": self.form_id or "", "version": self.version or "", "received": received,
            "test": "true" if self.test else "false",
        }


@dataclass(frozen=True, slots=True)
class Mapped:
    """body: the message, UTF-8. facts: counts for the history, e.g. {"unescaped": 2, "files": 1}."""

    body: bytes = field(repr=False)
    facts: Dictionary[str, int]


class MappingFault(Exception):
    """This form cannot be mapped. Every fault as a finding (place in the form, rule, what was expected), no values.

    draft: the message as far as it could be made, for the operator who repairs it.
    """

    def __init__(self, *findings: Finding, draft: bytes | None = None) -> None:
        super().__init__(findings[0].en if findings else "the form cannot be mapped")
        self.findings = findings
        self.draft = draft


class MappingFaults(Faults):
    """The mapping itself cannot be used. ``faults``: every one of them, with file, line and the nearest match."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """digest: SHA-256 over everything that decides the result. forms, versions: the formIds it was written for, which a
    site may narrow. Safe in any thread."""

    digest: bytes
    name: str
    forms: tuple[str, ...]
    versions: str
    sheet: Sheet = field(repr=False)
    table: Table | None = field(default=None, repr=False)
    plan: Plan | None = field(default=None, repr=False)

    def fits(self, form: PortalForm) -> bool:
        """Whether it was written for this form, going by the formId."""
        return any(fits(form, pattern, versions=self.versions) for pattern in self.forms)

    def apply(self, document: Document, *, context: MappingContext) -> bytes:
        """The message. Raises ``MappingFault``, and nothing else whatever the document holds."""
        return self.run(document, context=context).body

    def run(self, document: Document, *, context: MappingContext) -> Mapped:
        """The message and what happened on the way. Raises ``MappingFault``."""
        result = self.attempt(document.root, context)
        if result.findings or not result.body:
            raise MappingFault(*(result.findings or (_EMPTY,)), draft=result.body or None)
        facts = {"unescaped": result.unescaped, "files": result.files}
        return Mapped(result.body, {name: count for name, count in facts.items() if count})

    def attempt(self, root: etree._Element, context: MappingContext) -> Result:
        """As far as it goes: the message and every fault. Never raises."""
        holder = fields_of(root) if root.tag in ROOTS else None
        if self.table is not None and holder is None:
            return Result(b"", (_NO_FORM,), 0, 0)
        if holder is not None and sum(map(len, holder)) > MOST_INSTANCES:
            return Result(b"", (_TOO_MANY,), 0, 0)
        unescape = context.unescape or (self.table is not None and self.table.unescape)
        return self.sheet.run(root, context.parameters(), unescape=unescape)


def load(path: Path, *, schema: Path | None = None) -> Mapping:
    """A ``.toml`` field table or an ``.xslt``. schema: the message's XSD, by default ``message.xsd`` beside the file; with
    it the order of elements is right by itself and misspelt message fields are found. Raises ``MappingFaults``."""
    beside = path.with_name("message.xsd")
    xsd = schema or (beside if beside.exists() else None)
    try:
        if path.suffix == ".toml":
            return _from_table(path, xsd)
        if path.suffix in (".xslt", ".xsl"):
            return _from_sheet(path)
        fault = Fault(str(path), 0, "eine Feldzuordnung endet auf .toml oder .xslt", "a mapping ends in .toml or .xslt")
    except SheetFault as found:
        fault = Fault(str(path), found.line, found.de, found.en)
    except ShapeFault as found:
        fault = Fault(str(path), 0, f"das XSD passt nicht: {found}", f"the XSD does not fit: {found}")
    except Faults as found:
        raise MappingFaults(found.faults) from None
    raise MappingFaults((fault,))


def explain(mapping: Mapping, document: Document) -> list[Row]:
    """What the mapping does with this form: message fields filled or empty, form fields left behind. No values."""
    probe = MappingContext(
        message_id="00000000-0000-4000-8000-000000000000", leistung=mapping.name, ars="00", portal="portal",
        received=datetime(2000, 1, 1, tzinfo=UTC), form_id="form", version="1", test=True,
    )
    result = mapping.attempt(document.root, probe)
    if mapping.table is not None and mapping.plan is not None:
        return view_of_table(mapping.table, mapping.plan, document.root, result)
    return view_of_sheet(mapping.sheet.source, document.root, result)


_TOO_MANY = say("mapping-too-many", {"most": MOST_INSTANCES})
_EMPTY = say("mapping-empty")
_NO_FORM = say("mapping-no-form")


def _from_table(path: Path, xsd: Path | None) -> Mapping:
    table = read_table(path)
    shape = read_shape(xsd, table.root) if xsd is not None else None
    planned = plan(table, shape)
    source = stylesheet(planned.root, namespace=table.namespace or "")
    codes = [(name, sorted(codes.entries.items()), sorted(codes.known), codes.otherwise) for name, codes in planned.codes.items()]
    digest = hashlib.sha256(b"\0".join((_ENGINE, source, repr(sorted(codes)).encode(), repr(table.unescape).encode()))).digest()
    name = table.leistung or path.parent.name
    sheet = Sheet(source, codes=planned.codes)
    return Mapping(digest, name, table.forms, table.versions, sheet, table, planned)


def _from_sheet(path: Path) -> Mapping:
    try:
        source = path.read_bytes()
    except OSError as error:
        kind = error.__class__.__name__
        raise Faults([Fault(str(path), 0, f"nicht lesbar ({kind})", f"cannot be read ({kind})")]) from None
    digest = hashlib.sha256(b"\0".join((_ENGINE, source))).digest()
    return Mapping(digest, path.parent.name, (), "", Sheet(source))
