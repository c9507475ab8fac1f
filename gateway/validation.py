"""Validation of a message: read, detect, check, and one immutable report.

Where that happens depends on what it may cost: small documents in the calling thread, larger ones in a bounded pool of
threads, and whatever may run long in a child process that can be killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from typing import Final, ParamSpec, TypeVar

from gateway.checks import stages
from gateway.checks.columns import with_columns
from gateway.checks.opinion import Patience, Refused, SecondOpinion
from gateway.checks.sandbox import Sandbox
from gateway.checks.steps import Outcome, run_steps
from gateway.checks.validity import validity
from gateway.cohort import in_step
from gateway.document import Document, read
from gateway.findings import Finding, Severity
from gateway.packages.compiled import MOST
from gateway.rules.attachments import Attached
from gateway.rules.saxon import Saxon
from gateway.schemas import Leistung, Package, Registry
from gateway.xml.limits import too_large, too_many

PORTAL_FORMS: Final = frozenset({"serviceportal", "serviceportal-fields"})
INLINE_BYTES: Final = 16 * 1024
INLINE_WEIGHT: Final = 1000
LONG_ELEMENTS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Report:
    """findings: at most 50, in document order. timings: step → seconds. complete: False when more was wrong than is
    listed, or when the validation was given up."""

    findings: tuple[Finding, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    complete: bool = True

    @property
    def valid(self) -> bool:
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    def with_hints(self, hints: tuple[Finding, ...]) -> Report:
        """The same report with more to say, as far as there is room."""
        findings = (*self.findings, *hints)
        return replace(self, findings=findings[:MOST], complete=self.complete and len(findings) <= MOST)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of a document beside its bytes. on: day of receipt, in Germany; ``None`` for any day. test: sent as a
    test. attached: the files that came with it; ``None`` where nobody knows. patience: for a second opinion."""

    on: date | None = None
    test: bool = False
    attached: tuple[Attached, ...] | None = None
    patience: Patience = Patience.SPARE


_NOTHING_KNOWN: Final = Circumstances(patience=Patience.NONE)


@dataclass(frozen=True, slots=True)
class Inspection:
    """package is None when the document is a portal form (``PORTAL_FORMS``): it has to be mapped first."""

    document: Document
    package: Package | None
    report: Report


def validate(document: Document, package: Package) -> Report:
    """Every step but Schematron in the calling thread, whatever it takes. For what portals send, use ``Inspector``."""
    outcome = run_steps(document, package.schema, package.stages)
    if outcome.passed:
        outcome = _both(outcome, stages.check(document, package, None))
    return Report(with_columns(outcome.findings, document, package.schema.declared.names), outcome.timings, outcome.complete)


class Inspector:
    """Reads, detects and validates. Set ``registry`` to another one to take up new packages; what runs goes on with the
    old. threads: for documents above 16 KiB, and as many children of each kind. deadline: seconds for what may run long."""

    def __init__(self, registry: Registry, *, threads: int = 2, deadline: float = 5.0) -> None:
        self.registry = registry
        self._opinion = SecondOpinion()
        self._opinions = ThreadPoolExecutor(1, thread_name_prefix="second-opinion")
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="validate")
        self._long = ThreadPoolExecutor(threads, thread_name_prefix="validate-long")
        self._saxon = Saxon(children=threads, deadline=deadline)
        self._rules = ThreadPoolExecutor(threads, thread_name_prefix="rules")
        self._sandboxes = tuple(Sandbox(deadline=deadline) for _ in range(threads))
        self._idle: SimpleQueue[Sandbox] = SimpleQueue()
        for sandbox in self._sandboxes:
            self._idle.put(sandbox)

    async def inspect(
        self, body: bytes, *, leistung: Leistung | None = None, known: Circumstances = _NOTHING_KNOWN
    ) -> Inspection:
        """Raises ``Unacceptable`` when the document cannot be read (400, 413, 415) or no package knows it (422).

        leistung: whose limits hold, where the transport names it.
        """
        work = _Work(self.registry, body, leistung, known)
        if len(body) > INLINE_BYTES:
            await _in(self._pool, work.begin_and_check)
        else:
            await in_step()
            work.begin()
            if work.document.weight <= INLINE_WEIGHT and not work.may_run_long:
                work.check()
        if work.outcome is None and work.package is not None:
            await (_in(self._long, self._check_in_child, work) if work.may_run_long else _in(self._pool, work.check))
        if work.has_rules:
            await _in(self._rules, work.check_rules, self._saxon)
        patience = known.patience
        if work.is_refused and (patience is Patience.FULL or (patience is Patience.SPARE and self._opinion.is_idle)):
            await _in(self._opinions, work.ask, self._opinion, patience)
        return Inspection(work.document, work.package, work.report())

    async def read(self, body: bytes, *, leistung: Leistung | None = None) -> Document:
        """Only the guarded read. Raises ``Unacceptable``."""
        limits = leistung.limits if leistung else self.registry.limits
        guarded = partial(read, body, limits=limits)
        return guarded() if len(body) <= INLINE_BYTES else await _in(self._pool, guarded)

    async def aclose(self) -> None:
        """Kills the children and lets go of the threads."""
        for sandbox in self._sandboxes:
            sandbox.close()
        self._opinion.close()
        self._saxon.close()
        self._opinions.shutdown(wait=False, cancel_futures=True)
        self._rules.shutdown(wait=False, cancel_futures=True)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._long.shutdown(wait=False, cancel_futures=True)

    def _check_in_child(self, work: _Work) -> None:
        sandbox = self._idle.get()
        try:
            work.check(sandbox)
        finally:
            self._idle.put(sandbox)


class _Work:
    """One document on its way through; used by one thread after the other."""

    def __init__(self, registry: Registry, body: bytes, leistung: Leistung | None, known: Circumstances) -> None:
        self._registry, self._body, self._leistung, self._known = registry, body, leistung, known
        self._timings: dict[str, float] = {}
        self._first: tuple[Finding, ...] = ()
        self.document: Document
        self.package: Package | None = None
        self.outcome: Outcome | None = None

    def begin(self) -> None:
        began = perf_counter()
        limits = self._leistung.limits if self._leistung else self._registry.limits
        self.document = document = read(self._body, limits=limits)
        self._timings["read"] = -began + (began := perf_counter())
        if not document.namespace and document.name in PORTAL_FORMS:
            return
        self.package = package = self._registry.detect(document, on=self._known.on)
        if self._leistung is None:
            if len(self._body) > package.limits.bytes:
                raise too_large(package.limits)
            if document.elements > package.limits.elements:
                raise too_many(package.limits)
        if self._known.on is not None and not package.is_valid_on(self._known.on):
            test = self._known.test or package.header_of(document).test
            found = validity(package, self._registry, on=self._known.on, test=test)
            self._first = (found,) if found is not None else ()
        self._timings["detect"] = perf_counter() - began

    @property
    def may_run_long(self) -> bool:
        return self.package is not None and (self.package.isolate or self.document.elements > LONG_ELEMENTS)

    @property
    def is_refused(self) -> bool:
        return self.outcome is not None and self.outcome.refused

    @property
    def has_rules(self) -> bool:
        if self.package is None or self.outcome is None or not self.outcome.passed:
            return False
        return stages.has_rules(self.package)

    def begin_and_check(self) -> None:
        """In one go, unless it may run long: then only the beginning."""
        self.begin()
        if not self.may_run_long:
            self.check()

    def check(self, sandbox: Sandbox | None = None) -> None:
        if (package := self.package) is None:
            return
        if sandbox is None:
            outcome = run_steps(self.document, package.schema, package.stages)
        else:
            outcome = sandbox.run(self.document, package.schema, package.stages, digest=package.digest)
        if outcome.passed:
            outcome = _both(outcome, stages.check(self.document, package, self._known.attached))
        self.outcome = outcome

    def check_rules(self, engine: Saxon) -> None:
        assert self.package is not None
        assert self.outcome is not None
        self.outcome = _both(self.outcome, stages.check_rules(self.document, self.package, engine))

    def ask(self, opinion: SecondOpinion, patience: Patience) -> None:
        """The same findings with what the second engine knows of them."""
        assert self.package is not None
        assert self.outcome is not None
        began = perf_counter()
        package, outcome = self.package, self.outcome
        refused = Refused(package.id, package.digest, package.schema, self.document.body, outcome.findings)
        findings = opinion.on(refused, patience)
        self.outcome = replace(outcome, findings=findings, timings={**outcome.timings, "opinion": perf_counter() - began})

    def report(self) -> Report:
        if self.outcome is None or self.package is None:
            return Report(timings=self._timings)
        findings = (*self._first, *with_columns(self.outcome.findings, self.document, self.package.schema.declared.names))
        return Report(findings[:MOST], {**self._timings, **self.outcome.timings}, self.outcome.complete and len(findings) <= MOST)


def _both(one: Outcome, other: Outcome) -> Outcome:
    findings = (*one.findings, *other.findings)
    complete = one.complete and other.complete and len(findings) <= MOST
    return Outcome(findings[:MOST], complete, {**one.timings, **other.timings}, one.refused)


_R = TypeVar("_R")
_P = ParamSpec("_P")


async def _in(pool: ThreadPoolExecutor, work: Callable[_P, _R], *args: _P.args, **named: _P.kwargs) -> _R:
    return await asyncio.get_running_loop().run_in_executor(pool, partial(work, *args, **named))
