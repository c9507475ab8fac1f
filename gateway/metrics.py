"""Figures for Prometheus. Counters are fed as things happen; what the journal knows is asked at the time of the scrape.

The number operators page on is ``nahtlos_oldest_undelivered_age_seconds{target}``. Labels are names of the site file and
words of ours; how many there can be is limited, so that no sender can fill the memory with new ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from gateway.ports import Backlog, Breaker, Clock, TargetState

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter began says nothing that nahtlos_build_info and the process figures do not

_MOST_NAMES = 2000
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_GROUPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """One per process, with a registry of its own."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self._clock, self._names = clock, set[str]()
        self._journal = _JournalFigures(clock)
        self._submissions = self._counter("submissions_total", "Uploads by what came of them", "leistung", "outcome")
        self._submission_seconds = self._histogram("submission_seconds", "First byte to answer", _SECONDS, "outcome")
        self._deliveries = self._counter("deliveries_total", "Attempts by what came of them", "target", "outcome")
        self._delivery_seconds = self._histogram("delivery_seconds", "Claim to commit", _SECONDS, "target")
        self._dead_letters = self._counter("dead_letters_total", "Deliveries that became dead letters", "target", "class")
        self._commits = self._counter("journal_commits_total", "Synced commits")
        self._group_size = self._histogram("journal_group_size", "Operations that shared one synced commit", _GROUPS)
        self._commit_seconds = self._histogram("journal_commit_seconds", "One synced commit", _SECONDS)
        self._scrape_failures = self._counter("scrape_failures_total", "Scrapes for which the journal gave no answer")
        self.registry.register(self._journal)
        ProcessCollector(registry=self.registry)

    def submission(self, leistung: str | None, outcome: str, seconds: float) -> None:
        """One upload. leistung: a slug that is known here, ``None`` when it was never found out."""
        self._submissions.labels(self._name(leistung), outcome).inc()
        self._submission_seconds.labels(outcome).observe(seconds)

    def attempt(self, target: str, outcome: str, seconds: float) -> None:
        """One attempt at a target, whatever came of it."""
        self._deliveries.labels(self._name(target), outcome).inc()
        self._delivery_seconds.labels(self._name(target)).observe(seconds)

    def dead_letter(self, target: str | None, dead_class: str) -> None:
        self._dead_letters.labels(self._name(target), dead_class).inc()

    def commit(self, operations: int, seconds: float) -> None:
        """One synced commit that ``operations`` shared."""
        self._commits.inc()
        self._group_size.observe(operations)
        self._commit_seconds.observe(seconds)

    def gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """A figure that is read at every scrape, e.g. ``gauge("in_flight_bytes", "…", gate.bytes)``."""
        Gauge(f"nahtlos_{name}", documentation, registry=self.registry).set_function(read)

    def table(
        self, name: str, documentation: str, labels: Sequence[str],
        read: Callable[[], Iterable[tuple[Sequence[str], float]]],
    ) -> None:
        """Figures with labels, read at every scrape: values of the labels, figure."""
        self.registry.register(_Table(name, documentation, labels, read))

    def watch(
        self, *, targets: Collection[str], backlog: Callable[[], Awaitable[Sequence[Backlog]]],
        states: Callable[[], Awaitable[Mapping[str, TargetState]]], oldest_waiting: Callable[[], timedelta],
    ) -> None:
        """Where the journal's figures come from. targets: those of the site file, shown even when nothing waits there."""
        self._journal.targets = targets
        self._journal.backlog, self._journal.states = backlog, states
        self.gauge("journal_waiting_commit_age_seconds", "Age of the oldest write that waits for its commit",
                   lambda: oldest_waiting().total_seconds())

    async def exposition(self) -> bytes:
        """The scrape. While the journal gives no answer, its figures are missing and the others are there."""
        try:
            await self._journal.refresh()
        except Exception:
            # Whatever it is: figures must not vanish just when something is wrong.
            self._journal.forget()
            self._scrape_failures.inc()
        return generate_latest(self.registry)

    def _name(self, name: str | None) -> str:
        if name is None:
            return "unknown"
        if name not in self._names:
            if len(self._names) >= _MOST_NAMES:
                return "other"
            self._names.add(name)
        return name

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"nahtlos_{name}", documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"nahtlos_{name}", documentation, labels, buckets=buckets, registry=self.registry)


class _JournalFigures(Collector):
    """What the journal said when it was last asked, as gauges."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.targets: Collection[str] = ()
        self.backlog: Callable[[], Awaitable[Sequence[Backlog]]] | None = None
        self.states: Callable[[], Awaitable[Mapping[str, TargetState]]] | None = None
        self._rows: Mapping[str, Backlog] | None = None
        self._states: Mapping[str, TargetState] = {}

    async def refresh(self) -> None:
        if self.backlog is not None and self.states is not None:
            rows, self._states = await self.backlog(), await self.states()
            empty = {target: Backlog(target, {}, 0, None) for target in self.targets}
            self._rows = empty | {row.target: row for row in rows}

    def forget(self) -> None:
        self._rows = None

    def collect(self) -> Iterator[Metric]:
        if self._rows is None:
            return
        age = _family("oldest_undelivered_age_seconds", "Age of the oldest that is owed to a target", "target")
        counts = _family("deliveries", "Deliveries by state", "target", "state")
        doubt = _family("in_doubt", "Deliveries that may have been sent", "target")
        breaker = _family("target_breaker_open", "1 while a target is left alone after failures", "target")
        paused = _family("target_paused", "1 while people have paused a target", "target")
        now = self._clock.now()
        for target, row in sorted(self._rows.items()):
            label, state = [target or "unroutable"], self._states.get(target)
            age.add_metric(label, max(0.0, (now - row.oldest).total_seconds()) if row.oldest else 0.0)
            doubt.add_metric(label, row.in_doubt)
            breaker.add_metric(label, float(state is not None and state.breaker is not Breaker.CLOSED))
            paused.add_metric(label, float(state is not None and state.paused_at is not None))
            for name, count in row.counts.items():
                counts.add_metric([*label, name], count)
        yield from (age, counts, doubt, breaker, paused)


class _Table(Collector):
    def __init__(
        self, name: str, documentation: str, labels: Sequence[str],
        read: Callable[[], Iterable[tuple[Sequence[str], float]]],
    ) -> None:
        self._name, self._documentation, self._labels, self._read = name, documentation, labels, read

    def collect(self) -> Iterator[Metric]:
        family = _family(self._name, self._documentation, *self._labels)
        for values, figure in self._read():
            family.add_metric(values, figure)
        yield family


def _family(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"nahtlos_{name}", documentation, labels=labels)
