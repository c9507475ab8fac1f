"""The composition root: settings → ports → use cases → tasks. The only module that knows which of the three forms it is.

``build`` reads and checks everything that can be wrong with the configuration and touches nothing. ``Gateway`` then opens
the journal, starts the background work and holds the ASGI application; ``process.py`` puts a server before it, tests and
the demo use it directly::

    async with build(settings) as gateway:
        gateway.app                             # ASGI
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from contextlib import suppress
from typing import Self, cast

import structlog

from connectors import sdk
from gateway import __version__, conversion, figures, plugins, sitenames
from gateway.access import Keyring
from gateway.adapters.journal import SqlJournal
from gateway.admission import Admission
from gateway.answering import Answering
from gateway.attempts.standing import Standing
from gateway.certificates import Certificates
from gateway.changes import Changes
from gateway.checks import stages
from gateway.clocks import SharedClock, SystemClock
from gateway.config.faults import Faults
from gateway.delivery import AttemptReport, LiveTarget, Worker
from gateway.dispatch import Dispatcher
from gateway.examination import Examiner
from gateway.formbindings import Forms
from gateway.http import api
from gateway.http.portals import Door
from gateway.http.services import Post, Services
from gateway.http.upload import Budget, Limits, Pace
from gateway.inforce import SiteInForce
from gateway.intake import Intake
from gateway.keys import Keys
from gateway.metrics import Metrics
from gateway.opening import is_sqlite, open_broker, open_journal, prepare_lanes
from gateway.operate import Operator
from gateway.packagewatch import EVERY, PackageWatch
from gateway.planning import Plan, files_of, lanes_of, plan, schema_roots
from gateway.ports import Clock, Journal
from gateway.readiness import Readiness
from gateway.refitting import Refitter
from gateway.rehearsal import Rehearsals
from gateway.remaking import Remaker
from gateway.retention import Retention
from gateway.schemas import Registry
from gateway.seal import Sealer
from gateway.settings import Role, Settings
from gateway.site import Site, load
from gateway.sitewatch import SiteWatch
from gateway.submission import State
from gateway.supervisor import Supervisor
from gateway.telemetry import LogEvent, place_of
from gateway.validation import Inspector
from gateway.watching import Watched

_log = structlog.get_logger()

CLOSE_WITHIN = 2.0


def build(settings: Settings, *, clock: Clock | None = None, site: Site | None = None) -> Gateway:
    """Raises as ``plan`` does."""
    return Gateway(plan(settings, site=site), clock=clock or (SystemClock() if is_sqlite(settings) else SharedClock()))


class Gateway:
    """One running gateway. After ``start``: app (ASGI), journal, operator, intake, dispatcher, keys, metrics, admission."""

    def __init__(self, plan: Plan, *, clock: Clock) -> None:
        self.plan, self.settings, self.clock = plan, plan.settings, clock
        self.in_force = SiteInForce(plan.site, plan.targets)
        self.site = self.in_force.site
        self._draft = plan.site  # the file as it was read last, also where it was refused
        self.packages_watch, self.site_watch = self._packages_watch(), self._site_watch()
        self._prefetch = lanes_of(plan.site)
        self._heard: set[str] = set()
        self._retired: list[sdk.Connector] = []
        self.changes, self.supervisor, self.metrics = Changes(), Supervisor(), Metrics(clock)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the journal, begin the background work. Raises what the journal and the key directory raise."""
        settings, clock = self.settings, self.clock
        settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = _log.bind()  # the canonical lines need not look it up each time
        self.broker = await open_broker(settings, self._prefetch)
        journal = await open_journal(settings, clock)
        self.journal = cast(Journal, Watched(journal, self.changes.tell))
        self.inspector = Inspector(self.plan.registry, threads=settings.threads)
        if (missing := stages.missing_engine(self.registry.packages.values())) is not None:
            _log.warning(LogEvent.RULES_NOT_EVALUATED, reason="saxonche-missing", package=missing.packages)
        self.keys = Keys(self.journal, self.site, clock)
        await self.keys.reload()
        targets = self.in_force.targets
        self.standing = standing = Standing(journal=self.journal, clock=clock)
        self.dispatcher = Dispatcher(
            journal=self.journal, broker=self.broker, clock=clock, targets=targets, instance=settings.instance,
            alone=is_sqlite(settings),
            idempotent=self._idempotent(), standing=standing,
        )
        self.worker = Worker(
            journal=self.journal, broker=self.broker, clock=clock, targets=self.in_force.live, instance=settings.instance,
            on_attempt=self._attempted, on_done=self.dispatcher.done, standing=standing,
        )
        self.examiner = Examiner(inspector=self.inspector, site=self.site, forms=self.plan.forms)
        self.intake = Intake(
            journal=self.journal, examiner=self.examiner, site=self.site, clock=clock, nudge=self.dispatcher.nudge,
        )
        self.operator = Operator(
            journal=self.journal, clock=clock, targets=targets, nudge=self.dispatcher.nudge,
            remake=Remaker(journal=self.journal, examiner=self.examiner, site=self.site, clock=clock),
            refit=Refitter(journal=self.journal, inspector=self.inspector), standing=standing,
        )
        self.admission = Admission(
            self.journal.oldest_waiting, settings.state if settings.state.is_dir() else None,
            reserve=settings.disk_reserve.of, max_wait=settings.commit_wait,
        )
        journal.expect(self.admission.in_flight)
        journal.hear(self._others_wrote)
        self.certificates = Certificates(own=settings.tls_cert, options=self._options(), clock=clock)
        self.app = api.create(self._services())
        self._watch_figures()
        self._begin()
        _log.info(
            LogEvent.STARTED, version=__version__, instance=settings.instance, role=settings.role, site=self.site.name,
            digest=self.site.digest,
        )
        self._tell_doubtful()

    async def stop(self, grace: float = 3.0) -> None:
        """Finish what is running within ``grace`` seconds, give leases back, close the journal."""
        self.admission.stopping = True
        self.changes.close()
        await self.worker.stop(grace)
        await self.supervisor.stop()
        await self.broker.aclose()
        for connector in (*self._retired, *(live.connector for live in self.in_force.live.values())):
            await _end(connector)
        await self.inspector.aclose()
        await Sealer(self.journal, self.clock).once()
        await self.journal.aclose()
        _log.info(LogEvent.STOPPED, instance=self.settings.instance)

    @property
    def registry(self) -> Registry:
        """What is in force now; ``packages_watch`` may put another in its place at any time."""
        return self.inspector.registry

    def _packages_watch(self) -> PackageWatch[tuple[Registry, Forms]]:
        def load_all() -> tuple[Registry, Forms]:
            registry = Registry.load(*schema_roots(self.settings))
            return registry, Forms.load(self.site, registry)

        return PackageWatch(
            lambda: schema_roots(self.settings), load_all, lambda found: self.examiner.take(*found),
            seen=self.plan.packages,
        )

    def _site_watch(self) -> SiteWatch[tuple[Site, Forms, Mapping[str, LiveTarget]]]:
        def load_all() -> tuple[Site, Forms, Mapping[str, LiveTarget]]:
            site, registry = load(self.settings.site), self.registry
            self._draft = site
            if faults := conversion.faults_of(site, registry):
                raise Faults(faults)
            return site, Forms.load(site, registry), plugins.live_targets(site, self.plan.connectors)

        return SiteWatch(
            lambda: files_of(self._draft), load_all, lambda found: self._take(*found), seen=self.plan.files,
        )

    def _take(self, site: Site, forms: Forms, live: Mapping[str, LiveTarget]) -> str:
        """Everything at once: routes, portals, bindings, authorities, targets. Whoever is no longer asked is closed when idle."""
        self._retired += [each.connector for each in self.in_force.put(site, live)]
        self.examiner.take(self.registry, forms)
        self.worker.take(self.in_force.live)
        self.dispatcher.take(self._idempotent())
        self.certificates.take(self._options())
        self._prefetch |= lanes_of(site)  # of a lane that is heard already, from the next connection on
        self._hear_lanes()
        self._tell_doubtful()
        return site.digest

    async def _keep_up(self) -> None:
        """With packages and the site file, one after the other: each is put in force with what the other is now."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self.site_watch.asked()
            await self.packages_watch.once()
            await self.site_watch.once()
            for connector in [each for each in self._retired if not self.worker.is_using(each)]:
                self._retired.remove(connector)
                await _end(connector)

    def _idempotent(self) -> frozenset[str]:
        return frozenset(name for name, live in self.in_force.live.items() if live.idempotent)

    def _options(self) -> dict[str, object]:
        return {name: live.target.options for name, live in self.in_force.live.items()}

    def _tell_doubtful(self) -> None:
        site = self.in_force.current
        if doubts := sitenames.faults_of(site, self.registry, self.in_force.live, self.settings):
            _log.warning(LogEvent.SITE_DOUBTFUL, count=len(doubts), path=f"{doubts[0].file}:{doubts[0].line}")

    async def rotate_keys(self) -> tuple[str, int]:
        """A new site key, and every data key wrapped with it: the key's id and how many were. Can be broken off and repeated."""
        journal = cast(SqlJournal, self.journal)
        key_id = await asyncio.to_thread(journal.vault.rotate)
        return key_id, await journal.rewrap()

    # --- parts of start ------------------------------------------------------------------------------------------------

    def _services(self) -> Services:
        settings = self.settings
        journal = cast(SqlJournal, self.journal)
        readiness = Readiness(
            journal=journal, vault=journal.vault, needed_keys=journal.needed_keys, broker=self.broker, admission=self.admission,
            supervisor=self.supervisor, refused=lambda: self.site_watch.refused,
        )
        return Services(
            site=self.site, packages=lambda: self.registry, journal=self.journal, clock=self.clock, intake=self.intake,
            answers=Answering(journal=self.journal, inspector=self.inspector, site=self.site),
            rehearsals=Rehearsals(journal=self.journal, inspector=self.inspector, site=self.site),
            operator=self.operator, admission=self.admission, changes=self.changes, put_key=self.keys.put,
            door=Door(self._keyring, self.clock, trusted_proxies=settings.trusted_proxies),
            budget=Budget(settings.in_flight_bytes), limits=limits_of(settings),
            ready=readiness.wrong, metrics=self.metrics.exposition, on_post=self._posted, rotate_keys=self.rotate_keys,
        )

    def _keyring(self) -> Keyring:
        return self.keys.ring

    def _begin(self) -> None:
        watch, role = self.supervisor.watch, self.settings.role
        watch("keys", self.keys.run)
        watch("configuration", self._keep_up)
        watch("seal", Sealer(self.journal, self.clock).run)
        if role is Role.INTAKE:
            return
        watch("certificates", self.certificates.run)
        watch("retention", Retention(self.journal, self.clock).run)
        watch("dispatch", self.dispatcher.run)
        self._hear_lanes()

    def _hear_lanes(self) -> None:
        """A lane without targets goes on being heard: what still lies there is put back."""
        if self.settings.role is Role.INTAKE:
            return
        for lane in lanes_of(self.site).keys() - self._heard:
            self._heard.add(lane)
            self.supervisor.watch(f"lane-{lane}", lambda lane=lane: self._hear(lane))  # type: ignore[misc]

    async def _hear(self, lane: str) -> None:
        await prepare_lanes(self.broker, lane)
        await self.worker.run(lane)

    def _watch_figures(self) -> None:
        self.metrics.watch(
            targets=self.in_force.targets, backlog=self.journal.backlog, states=self.journal.target_states,
            oldest_waiting=self.journal.oldest_waiting,
        )
        figures.describe(
            self.metrics, self.settings, certificates=self.certificates,
            last_pass=None if self.settings.role is Role.INTAKE else lambda: self.dispatcher.passed_at,
        )
        self.metrics.gauge("submissions_in_flight", "Uploads being worked on", self.admission.in_flight)
        self.metrics.gauge("site_refused", "1 while the changed site file is refused and the one before is in force",
                           lambda: float(bool(self.site_watch.refused)))
        for name, (documentation, read) in self.broker.figures.items():
            self.metrics.gauge(f"broker_{name}", documentation, read)
        self.metrics.gauge("task_restarts", "Background tasks begun again after a failure", lambda: self.supervisor.restarts)

    def _others_wrote(self, submissions: Set[str], targets: Set[str]) -> None:
        """Another process on the same journal did; else it would be found a little later."""
        for submission_id in submissions:
            self.changes.tell(submission_id)
        if targets:
            self.standing.forget()
        for target in targets:
            self.dispatcher.nudge(None if target == "*" else target)

    # --- what is told ---------------------------------------------------------------------------------------------------

    def _posted(self, post: Post) -> None:
        if post.resource == "submissions":
            known = post.leistung if post.leistung in self.registry.leistungen else None
            self.metrics.submission(known, post.outcome, post.seconds)
        self._log.info(
            LogEvent.SUBMISSION, route=f"/v1/{post.resource}", request=post.request, status=post.status, outcome=post.outcome,
            portal=post.portal, credential=post.credential, leistung=post.leistung, submission=post.submission,
            package=post.package, bytes=post.size, attachments=max(0, post.parts - 1), findings=post.findings, rule=post.rule,
            seconds=post.seconds, trace_id=post.traceparent[3:35] if post.traceparent else None,
        )

    def _attempted(self, report: AttemptReport) -> None:
        self.metrics.attempt(report.target, report.outcome, report.seconds)
        if report.state is State.DEAD and report.dead_class is not None:
            self.metrics.dead_letter(report.target, report.dead_class)
        self._log.info(
            LogEvent.ATTEMPT, delivery=report.delivery_id, submission=report.submission_id, target=report.target,
            leistung=report.leistung, attempt=report.attempt, outcome=report.outcome, state=report.state,
            dead_class=report.dead_class, code=report.code, in_doubt=report.in_doubt, seconds=report.seconds,
            trace_id=report.traceparent[3:35] if report.traceparent else None,
        )


async def _end(connector: sdk.Connector) -> None:
    """One that hangs or fails at its end keeps nobody else from theirs."""
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await connector.aclose()
    except Exception as error:
        _log.error(LogEvent.CONNECTOR_FAILED, connector=connector.name, **place_of(error))


def limits_of(settings: Settings) -> Limits:
    pace = Pace(
        idle=settings.body_idle_timeout.total_seconds(), grace=settings.body_idle_timeout.total_seconds(),
        rate=int(settings.body_min_rate),
    )
    return Limits(
        document=int(settings.max_body), attachment=int(settings.max_attachment), total=int(settings.max_request), pace=pace,
    )
