"""A rehearsal for a key date: what was received lately, checked against what will be valid on that day.

Everything happens in memory; nothing is stored, nothing leaves, and the answer holds names, rules and counts, never a value.
A message that was not valid on its own day either does not count: it would not break, it is broken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from gateway import fitting
from gateway.answering import message_of
from gateway.checks.opinion import Patience
from gateway.clocks import BERLIN
from gateway.findings import Finding, Severity, Unacceptable
from gateway.ports import Dossier, Journal, Role
from gateway.rules.attachments import Attached
from gateway.site import Site
from gateway.submission import Submission
from gateway.validation import Circumstances, Inspection, Inspector

_PAGE: Final = 200
_TELL_EVERY: Final = 50


class Busy(Exception):
    """One rehearsal at a time."""


@dataclass(slots=True)
class Row:
    """One thing that one sender's messages would run into. count: submissions. example: id of one. path: of its first place."""

    portal: str
    package: str
    rule: str
    code: str
    severity: str
    de: str
    en: str
    count: int = 0
    example: str = ""
    path: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Rehearsal:
    """checked: messages that were looked at. breaking: that would be refused. hinted: that would only get hints. broken:
    that were not valid on their own day. erased: that are not there any more. forms: portal forms without a message."""

    on: date
    since: datetime
    checked: int = 0
    breaking: int = 0
    hinted: int = 0
    broken: int = 0
    erased: int = 0
    forms: int = 0
    rows: dict[tuple[str, str, str, str], Row] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        return self.checked + self.broken + self.erased + self.forms

    def add(self, submission: Submission, finding: Finding) -> None:
        key = (submission.portal, submission.package, finding.rule, finding.severity.value)
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = Row(
                submission.portal, submission.package, finding.rule, finding.code, finding.severity.value, finding.de, finding.en,
                example=submission.id, path=finding.path,
            )
        row.count += 1

    def as_json(self) -> dict[str, Any]:
        """Worst first."""
        rows = sorted(self.rows.values(), key=lambda row: (row.severity != Severity.ERROR, -row.count, row.portal, row.rule))
        counts = {name: getattr(self, name) for name in ("checked", "breaking", "hinted", "broken", "erased", "forms")}
        since = self.since.astimezone(UTC).isoformat()
        return {"on": self.on.isoformat(), "since": since, **counts, "rows": [row.as_json() for row in rows]}


class Rehearsals:
    def __init__(self, *, journal: Journal, inspector: Inspector, site: Site) -> None:
        self._journal, self._inspector, self._site = journal, inspector, site
        self._running = asyncio.Lock()

    async def run(self, *, on: date, since: datetime) -> AsyncIterator[Rehearsal]:
        """The same value again and again as it grows; the last time it is complete. Raises ``Busy``."""
        if self._running.locked():
            raise Busy
        async with self._running:
            rehearsal, after = Rehearsal(on, since), 0
            yield rehearsal
            while page := await self._journal.received(since=since, after=after, limit=_PAGE):
                for submission in page:
                    await self._one(submission, rehearsal)
                    if rehearsal.seen % _TELL_EVERY == 0:
                        yield rehearsal
                    await asyncio.sleep(0)  # whoever submits goes first
                after = page[-1].order
            yield rehearsal

    async def _one(self, submission: Submission, rehearsal: Rehearsal) -> None:
        dossier = await self._journal.dossier(submission.id)
        if dossier is None or submission.erased_at is not None:
            rehearsal.erased += 1
            return
        if not submission.package:
            rehearsal.forms += 1
            return
        try:
            body = await self._journal.body(submission.id, message_of(dossier))
        except LookupError:
            rehearsal.erased += 1
            return
        findings = await self._on(rehearsal.on, dossier, body)
        errors = [finding for finding in findings if finding.severity is Severity.ERROR]
        if errors and not await self._was_valid(dossier, body):
            rehearsal.broken += 1
            return
        rehearsal.checked += 1
        rehearsal.breaking += bool(errors)
        rehearsal.hinted += bool(findings) and not errors
        for finding in {finding.rule: finding for finding in reversed(findings)}.values():
            rehearsal.add(submission, finding)

    async def _on(self, day: date, dossier: Dossier, body: bytes) -> tuple[Finding, ...]:
        """What would be said that day, also of what has to be made of it for today's targets."""
        try:
            inspection = await self._inspector.inspect(body, known=_known(dossier, day))
            if inspection.report.valid:
                await self._fit(dossier, inspection)
        except Unacceptable as fault:
            return fault.findings
        return inspection.report.findings

    async def _fit(self, dossier: Dossier, inspection: Inspection) -> None:
        if (package := inspection.package) is None:
            return
        for delivery in dossier.deliveries:
            target = self._site.targets.get(delivery.target or "")
            if target is not None:
                await fitting.fit(self._inspector, inspection.document, package, target, parameters={})

    async def _was_valid(self, dossier: Dossier, body: bytes) -> bool:
        own_day = dossier.submission.received_at.astimezone(BERLIN).date()
        try:
            return (await self._inspector.inspect(body, known=_known(dossier, own_day))).report.valid
        except Unacceptable:
            return False


def _known(dossier: Dossier, day: date) -> Circumstances:
    attached = tuple(
        Attached(info.name or "", info.size, info.digest) for info in dossier.documents if info.role is Role.ATTACHMENT
    )
    return Circumstances(day, test=dossier.submission.test, attached=attached, patience=Patience.NONE)
