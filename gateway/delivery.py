"""claim → connector → confirm | postpone | give up. The only module that hands a document to a connector.

The worker decides nothing: ``unfinished``, ``outcomes`` and ``breaker`` do. It sees to it that whatever a connector
does (raise anything, hang, answer nonsense, halt the event loop) ends as one written outcome of one delivery.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import structlog

from connectors import sdk
from gateway.attempts import unfinished
from gateway.attempts.attempt import Caller, fingerprint
from gateway.attempts.envelope import envelope_of
from gateway.attempts.outcomes import Decision, Defect, Outcome, Terms, decide, not_there
from gateway.attempts.standing import Contended, Standing
from gateway.attempts.unfinished import Step
from gateway.attempts.watchdog import Watchdog
from gateway.logfields import LogEvent
from gateway.ports import Broker, Change, Clock, GivenBack, Journal, JournalUnavailable, Ticket
from gateway.reckoning import Reckoning, verdict
from gateway.retry import RetryPolicy
from gateway.site import TargetConfig
from gateway.submission import DeadClass, Delivery, State
from gateway.telemetry import place_of

log = structlog.get_logger("nahtlos.delivery")

CHECK_TIMEOUT = 10.0
LATER = timedelta(seconds=30)
LATE = "late"


@dataclass(frozen=True, slots=True)
class LiveTarget:
    """A target of the site file with the connector that serves it and its resolved options."""

    config: TargetConfig
    connector: sdk.Connector
    target: sdk.Target

    @property
    def idempotent(self) -> bool:
        """Whether it honours the delivery id: as the site says, else as its connector says."""
        return self.connector.idempotent if self.config.idempotent is None else self.config.idempotent


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """One attempt for the canonical line and the metrics: codes only, nothing personal.

    outcome: a word of ``outcomes.Said``, or "late" when the lease had been lost and nothing could be written.
    state: what the delivery is now; ``None`` when late. seconds: from claim to commit.
    """

    delivery_id: str
    submission_id: str
    target: str
    leistung: str
    attempt: int
    outcome: str
    state: State | None
    dead_class: DeadClass | None
    code: str | None
    in_doubt: bool
    seconds: float
    traceparent: str | None = field(default=None, repr=False)


class Worker:
    """Delivers what tickets name. One per process; ``run`` once per lane.

    instance: name of this process. policy: its ``give_up_after`` is replaced by the target's.
    on_attempt: after every written attempt. on_done: after every ticket, with the delivery's id, whatever came of it
    (``Dispatcher.done``). margin: how much longer a lease is than the two calls (ask, send) it may have to cover.
    standing: the one that dispatcher and operator of this process use too.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        broker: Broker,
        clock: Clock,
        targets: Mapping[str, LiveTarget],
        instance: str,
        policy: RetryPolicy = RetryPolicy(),  # noqa: B008  frozen
        chance: Callable[[], float] = random.random,
        on_attempt: Callable[[AttemptReport], None] = lambda report: None,
        on_done: Callable[[str], None] = lambda delivery_id: None,
        margin: timedelta = timedelta(seconds=30),
        watchdog: Watchdog | None = None,
        standing: Standing | None = None,
    ) -> None:
        self._journal, self._broker, self._clock, self._targets = journal, broker, clock, targets
        self._instance, self._actor, self._chance = instance, f"gateway:{instance}", chance
        self._on_attempt, self._on_done, self._margin = on_attempt, on_done, margin
        self._policy = policy
        self._terms = {name: terms_of(live, policy) for name, live in targets.items()}
        self._in_use: Counter[int] = Counter()  # by id, because a connector need not be hashable
        self._at_most = {name: live.config.concurrency for name, live in targets.items()}
        self._watchdog = watchdog or Watchdog()
        self._caller = Caller(self._watchdog)
        self._reckoning = Reckoning(
            standing=standing or Standing(journal=journal, clock=clock), clock=clock, actor=self._actor
        )
        self._attempts: set[asyncio.Task[None]] = set()
        self._runs: set[asyncio.Task[object]] = set()
        self._stopping = asyncio.Event()

    async def run(self, lane: str) -> None:
        """Until ``stop`` or cancelled. What is then in flight goes on; ``stop`` waits for it."""
        this = asyncio.current_task()
        assert this is not None
        if self._stopping.is_set():
            return
        self._runs.add(this)
        self._watchdog.start()
        try:
            async for rung in self._broker.tickets(lane):
                if self._stopping.is_set():
                    return
                attempt = asyncio.create_task(self._take(rung, self._lease(lane)))
                self._attempts.add(attempt)
                attempt.add_done_callback(self._attempts.discard)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            this.uncancel()
        finally:
            self._runs.discard(this)

    def take(self, targets: Mapping[str, LiveTarget]) -> None:
        """Other targets are in force from now on; what is under way goes on with the old."""
        self._targets = targets
        self._terms = {name: terms_of(live, self._policy) for name, live in targets.items()}
        self._at_most = {name: live.config.concurrency for name, live in targets.items()}

    def is_using(self, connector: sdk.Connector) -> bool:
        return self._in_use[id(connector)] > 0

    async def stop(self, grace: float) -> None:
        """No new claims; what runs has ``grace`` seconds, is then interrupted and its lease given back at once."""
        self._stopping.set()
        for run in self._runs:
            run.cancel()
        for seconds in (grace, 5.0):  # the second time for writing what was interrupted
            if self._attempts:
                await asyncio.wait(self._attempts, timeout=seconds)
            for attempt in self._attempts:
                attempt.cancel()
        self._watchdog.stop()

    def _lease(self, lane: str) -> timedelta:
        longest = max((timeout_of(live) for live in self._targets.values() if live.config.lane == lane), default=30.0)
        return timedelta(seconds=2 * longest) + self._margin

    async def _take(self, rung: AbstractAsyncContextManager[Ticket], lease: timedelta) -> None:
        try:
            async with rung as ticket:
                try:
                    if self._stopping.is_set():
                        raise GivenBack
                    await self._claim(ticket.delivery_id, lease)
                finally:
                    self._on_done(ticket.delivery_id)
        except GivenBack:
            return
        except JournalUnavailable:  # it still knows the delivery, which is rung again
            log.warning(LogEvent.JOURNAL_UNAVAILABLE)
        except Exception as error:
            log.error(LogEvent.TICKET_FAILED, **place_of(error))

    async def _claim(self, delivery_id: str, lease: timedelta) -> None:
        began, at = perf_counter(), self._clock.now()
        claiming = asyncio.ensure_future(self._journal.claim(
            delivery_id, at=at, lease_until=at + lease, by=self._instance, at_most=self._at_most,
        ))  # fmt: skip
        stopped = False
        try:
            claimed = await asyncio.shield(claiming)
        except asyncio.CancelledError:  # stopping; what the journal gives us all the same is given back
            claimed, stopped = await claiming, True
        if claimed is None:
            return
        attempt = _Attempt(claimed, claimed, began)
        live = self._targets.get(claimed.target or "")
        if live is None:  # taken out of the site file
            decision = unfinished.put_back(claimed, at=at, next_at=at + timedelta(minutes=5))
        elif stopped:
            decision = unfinished.interrupted(claimed, self._terms[live.config.name], sent=False, at=self._clock.now())
        else:
            self._in_use[id(live.connector)] += 1
            try:
                decision = await self._decided(attempt, live)
            finally:
                self._in_use[id(live.connector)] -= 1
        try:
            written = await self._write(claimed, decision, attempt)
        except asyncio.CancelledError:  # stopping; a second time harms nothing
            written = await self._write(claimed, decision, attempt)
        self._report(decision, attempt, written=written)

    async def _decided(self, attempt: _Attempt, live: LiveTarget) -> Decision:
        terms = self._terms[live.config.name]
        try:
            return await self._decide(attempt, live)
        except asyncio.CancelledError:
            if attempt.outcome is not None:  # it has answered, which counts for more than what the breaker makes of it
                return self._made_of(attempt, attempt.outcome, terms, fault=isinstance(attempt.outcome, sdk.Blocked))
            return unfinished.interrupted(attempt.delivery, terms, sent=attempt.sent, at=self._clock.now())
        except JournalUnavailable:
            log.warning(LogEvent.JOURNAL_UNAVAILABLE, delivery=attempt.delivery.id)
            at = self._clock.now()
            if attempt.sent:
                return unfinished.interrupted(attempt.delivery, terms, sent=True, at=at)
            return unfinished.put_back(attempt.delivery, at=at, next_at=at + LATER, idempotent=terms.idempotent)
        except _Asleep:
            at = self._clock.now()
            return unfinished.put_back(attempt.delivery, at=at, next_at=at + LATER, idempotent=terms.idempotent)
        except Exception as error:  # a defect of ours: a person sees it after three, as with a connector
            log.error(LogEvent.TICKET_FAILED, delivery=attempt.delivery.id, **place_of(error))
            ours = Defect(fingerprint(error), type(error).__name__)
            now, chance = self._clock.now(), self._chance()
            return decide(attempt.delivery, ours, terms, asked=not attempt.sent, targets_fault=False, at=now, chance=chance)

    async def _decide(self, attempt: _Attempt, live: LiveTarget) -> Decision:
        """Everything between claim and commit: what held us back, or what the connector said."""
        delivery, terms, name = attempt.delivery, self._terms[live.config.name], live.config.name
        if held := await self._held_until(live, delivery):
            return unfinished.put_back(delivery, at=self._clock.now(), next_at=held, idempotent=terms.idempotent)
        try:
            dossier = await self._journal.dossier(delivery.submission_id)
            document = await self._journal.body(delivery.submission_id, delivery.document)
            assert dossier is not None, "a delivery without its submission"
        except JournalUnavailable:
            raise
        except Exception as error:  # key or disk
            log.error(LogEvent.DOCUMENT_UNREADABLE, delivery=delivery.id, **place_of(error))
            return unfinished.unreadable(delivery, terms, at=self._clock.now(), chance=self._chance())
        attempt.traceparent = dossier.submission.traceparent
        step = unfinished.first_step(
            delivery, terms, test=dossier.submission.test, productive=live.config.productive, at=self._clock.now()
        )
        if isinstance(step, Decision):
            return step
        envelope = envelope_of(dossier, delivery, document, chunks=self._journal.chunks, at=self._clock.now())
        outcome = await self._ask_and_send(attempt, live, envelope, ask=step is Step.ASK)
        attempt.outcome = outcome
        attempt.facts = dict(outcome.facts) if isinstance(outcome, sdk.Acknowledgement) else {}
        check_fails = isinstance(outcome, sdk.Blocked) and await self._check(live) is not None
        found = verdict(attempt.delivery, outcome, asked=not attempt.sent, check_fails=check_fails)
        try:
            fault = await self._reckoning.count(name, found)
        except (JournalUnavailable, Contended):  # the outcome counts for more than the breaker
            log.warning(LogEvent.JOURNAL_UNAVAILABLE, target=name)
            fault = isinstance(outcome, sdk.Blocked)
        return self._made_of(attempt, outcome, terms, fault=fault)

    def _made_of(self, attempt: _Attempt, outcome: Outcome, terms: Terms, *, fault: bool) -> Decision:
        now, chance = self._clock.now(), self._chance()
        return decide(attempt.delivery, outcome, terms, asked=not attempt.sent, targets_fault=fault, at=now, chance=chance)

    async def _ask_and_send(self, attempt: _Attempt, live: LiveTarget, envelope: sdk.Envelope, *, ask: bool) -> Outcome:
        """What ``find`` said if that was the end of it, else what ``deliver`` said (``attempt.sent``)."""
        timeout = timeout_of(live)
        if ask:
            assert isinstance(live.connector, sdk.CanFind)
            outcome = await self._caller.find(live.connector, envelope, live.target, timeout=timeout)
            if not isinstance(outcome, sdk.NotThere):
                return outcome
            attempt.delivery = not_there(attempt.delivery)
            envelope = replace(envelope, in_doubt=False, token=None)
        lease = attempt.claimed.lease_until
        if lease is not None and self._clock.now() + timedelta(seconds=timeout) > lease:
            raise _Asleep
        attempt.sent = True
        return await self._caller.deliver(live.connector, envelope, live.target, timeout=timeout)

    async def _held_until(self, live: LiveTarget, delivery: Delivery) -> datetime | None:
        """Paused, closed, broken; or a probe whose ``check`` already fails, so that no delivery need be risked."""
        held = await self._reckoning.held_until(live.config)
        if held is None and await self._reckoning.is_probing(live.config.name):
            problem = await self._check(live)
            if problem is not None:
                await self._reckoning.count(
                    live.config.name, verdict(delivery, problem, asked=True, check_fails=isinstance(problem, sdk.Blocked))
                )
                held = await self._reckoning.held_until(live.config)
        return held

    async def _check(self, live: LiveTarget) -> Outcome | None:
        return await self._caller.check(live.connector, live.target, timeout=min(timeout_of(live), CHECK_TIMEOUT))

    async def _write(self, claimed: Delivery, decision: Decision, attempt: _Attempt) -> bool:
        """False: the lease was lost and somebody else has gone on; then theirs stands."""
        change = Change(
            before=claimed, after=decision.after, event=decision.event, at=decision.after.changed_at, actor=self._actor,
            outcome=decision.said, facts=attempt.facts | {"ms": round((perf_counter() - attempt.began) * 1000)},
            private=decision.private,
        )  # fmt: skip
        wait = 0.1
        while True:
            try:
                return await self._journal.advance(change)
            except JournalUnavailable:
                # What was sent is worth remembering: try for as long as the lease is ours.
                if claimed.lease_until is None or self._clock.now() >= claimed.lease_until:
                    raise
                await self._clock.sleep(wait)
                wait = min(wait * 2, 5.0)

    def _report(self, decision: Decision, attempt: _Attempt, *, written: bool) -> None:
        after = decision.after
        self._on_attempt(
            AttemptReport(
                delivery_id=after.id, submission_id=after.submission_id, target=after.target or "", leistung=after.leistung,
                attempt=attempt.claimed.attempts,
                outcome=decision.said if written else LATE, state=after.state if written else None,
                dead_class=after.dead_class, code=after.code, in_doubt=after.in_doubt, seconds=perf_counter() - attempt.began,
                traceparent=attempt.traceparent,
            )
        )  # fmt: skip


class _Asleep(Exception):
    """This process was held up for so long that another may have taken the delivery over before the target has answered: it must
    not be sent any more."""


@dataclass(slots=True)
class _Attempt:
    """What is known of one attempt so far. delivery: ``claimed``, with its doubt cleared once the target said so.
    sent: the connector has been called to deliver. outcome: what it has said, if it has."""

    claimed: Delivery
    delivery: Delivery
    began: float
    sent: bool = False
    outcome: Outcome | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    traceparent: str | None = None


def timeout_of(live: LiveTarget) -> float:
    return live.config.timeout if live.config.timeout is not None else live.connector.timeout


def terms_of(live: LiveTarget, policy: RetryPolicy) -> Terms:
    config = live.config
    return Terms(
        policy=replace(policy, give_up_after=config.give_up_after),
        settle=config.settle,
        confirm_within=config.confirm_within,
        idempotent=live.idempotent,
        can_find=isinstance(live.connector, sdk.CanFind) and live.connector.can_find(live.target),
        after_open_time=config.after_open_time,
    )
