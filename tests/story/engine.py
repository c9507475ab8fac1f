"""The delivery engine as a whole: SQLite journal, in-process doorbell, dispatcher, worker, and case systems made of scripts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from connectors import sdk
from gateway.adapters.journal import SqlJournal
from gateway.attempts.standing import Standing
from gateway.attempts.watchdog import Watchdog
from gateway.delivery import AttemptReport, LiveTarget, Worker
from gateway.dispatch import Dispatcher
from gateway.operate import Operator
from gateway.ports import Accepted, Clock
from gateway.site import TargetConfig
from gateway.submission import Delivery, State
from gateway.vault import Vault
from tests.clock import TurnableClock
from tests.deliveries import a_delivery, a_submission, an_acceptance
from tests.deployments import Current, Deployment

Answer = Any
"""An outcome to return or raise, or a function of the envelope that does."""


@dataclass
class CaseSystem(sdk.Connector):
    """A Fachverfahren that does what its script says and then takes everything. Remembers what it was sent and asked.

    kept: delivery id → case number; a delivery id that is taken twice shows in ``doubled``.
    """

    script: deque[Answer] = field(default_factory=deque)
    answers: deque[Answer] = field(default_factory=deque)
    kept: dict[str, str] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    log: list[tuple[str, str]] = field(default_factory=list)
    envelopes: list[sdk.Envelope] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    check_says: Exception | None = None
    idempotent: bool = False
    timeout: float = 5.0
    _numbers: Any = field(default_factory=lambda: count(1))

    name = "scripted"

    async def deliver(self, envelope: sdk.Envelope, target: sdk.Target) -> sdk.Acknowledgement | sdk.HandedOver:
        self.log.append(("send", envelope.delivery_id))
        self.envelopes.append(envelope)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.script:
                return await self._play(self.script.popleft(), envelope)
            return self.take(envelope)
        finally:
            self.running -= 1

    def take(self, envelope: sdk.Envelope) -> sdk.Acknowledgement:
        if envelope.delivery_id in self.kept and not self.idempotent:
            self.doubled.append(envelope.delivery_id)
        number = self.kept.setdefault(envelope.delivery_id, f"2026/{next(self._numbers)}")
        return sdk.Acknowledgement(number, {"status": "201"})

    async def check(self, target: sdk.Target) -> None:
        self.log.append(("check", ""))
        if self.check_says is not None:
            raise self.check_says

    async def _play(self, answer: Answer, envelope: sdk.Envelope) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            result = answer(envelope)
            return await result if isinstance(result, Awaitable) else result
        return answer

    def sent(self, delivery: Delivery) -> int:
        return self.log.count(("send", delivery.id))


@dataclass
class AskableSystem(CaseSystem):
    """One that can also be asked."""

    async def find(self, envelope: sdk.Envelope, target: sdk.Target) -> sdk.Acknowledgement | sdk.NotThere | sdk.StillOpen:
        self.log.append(("find", envelope.delivery_id))
        self.envelopes.append(envelope)
        if self.answers:
            return await self._play(self.answers.popleft(), envelope)
        number = self.kept.get(envelope.delivery_id)
        return sdk.Acknowledgement(number) if number else sdk.NotThere()


class Engine:
    """``stop`` and ``start`` make another process of it: nothing but the journal's file and the case systems stay."""

    def __init__(
        self, folder: Path, clock: Clock, targets: dict[str, LiveTarget], blocked_after: float, deployment: Deployment,
        prefix: str,
    ) -> None:
        self.folder, self.clock, self.targets, self.blocked_after = folder, clock, targets, blocked_after
        self.deployment, self.prefix = deployment, prefix
        self.reports: list[AttemptReport] = []
        self._starts = count(1)
        self.tasks: list[asyncio.Task[None]] = []
        self.journal: SqlJournal

    async def open(self) -> None:
        vault = await asyncio.to_thread(Vault.open, self.folder / "keys")
        self.journal = await self.deployment.journal(self.folder, vault=vault, clock=self.clock)

    async def start(self) -> None:
        self.instance = f"gateway-{next(self._starts)}"
        self.broker = self.deployment.broker(self.prefix)
        standing = Standing(journal=self.journal, clock=self.clock)
        configs = {name: live.config for name, live in self.targets.items()}
        idempotent = frozenset(name for name, live in self.targets.items() if live.idempotent)
        self.dispatcher = Dispatcher(
            journal=self.journal, broker=self.broker, clock=self.clock, targets=configs, instance=self.instance,
            alone=self.deployment.alone, idempotent=idempotent, standing=standing,
        )  # fmt: skip
        self.worker = Worker(
            journal=self.journal, broker=self.broker, clock=self.clock, targets=self.targets, instance=self.instance,
            chance=lambda: 0.5, on_attempt=self.reports.append, on_done=self.dispatcher.done,
            watchdog=Watchdog(limit=self.blocked_after), standing=standing,
        )  # fmt: skip
        self.operator = Operator(
            journal=self.journal, clock=self.clock, targets=configs, nudge=self.dispatcher.nudge, standing=standing
        )
        lanes = {live.config.lane for live in self.targets.values()}
        self.tasks = [asyncio.create_task(self.dispatcher.run())]
        self.tasks += [asyncio.create_task(self.worker.run(lane)) for lane in lanes]

    async def stop(self, grace: float = 1.0) -> None:
        self.tasks[0].cancel()
        await self.worker.stop(grace)
        await self.broker.aclose()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def kill(self) -> None:
        """As SIGKILL would: nothing more is written, leases stay."""
        await self.journal.aclose()
        while running := [task for task in (*self.tasks, *self.worker._attempts) if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.sleep(0)
        self.worker._watchdog.stop()
        await self.broker.aclose()  # as the end of its connection: nobody consumes for the dead
        await self.open()

    async def accept(self, *, target: str = "register", test: bool = False, **changes: Any) -> Delivery:
        submission = a_submission(test=test, received_at=self.clock.now())
        delivery = a_delivery(submission, target=target, **changes)
        await self.accept_all(submission, delivery)
        return delivery

    async def accept_all(self, submission: Any, *deliveries: Delivery, body: bytes = b"<hund/>") -> None:
        accepted = await self.journal.accept(an_acceptance(submission, *deliveries, body=body))
        assert isinstance(accepted, Accepted)
        for delivery in deliveries:
            self.dispatcher.nudge(delivery.target)

    async def now(self, delivery: Delivery) -> Delivery:
        found = await self.journal.delivery(delivery.id)
        assert found is not None
        return found

    async def until(self, delivery: Delivery, condition: Callable[[Delivery], bool], *, within: float = 10.0) -> Delivery:
        async with asyncio.timeout(within):
            while not condition(found := await self.now(delivery)):
                await asyncio.sleep(0.005)
        return found

    async def until_state(self, delivery: Delivery, *states: State) -> Delivery:
        return await self.until(delivery, lambda now: now.state in states)

    async def until_tried(self, delivery: Delivery, attempts: int) -> Delivery:
        """Until its n-th attempt has been written."""
        return await self.until(delivery, lambda now: now.attempts >= attempts and now.state is not State.DELIVERING)

    async def turn(self, by: timedelta) -> None:
        """Time passes, in steps small enough that nothing is slept through."""
        assert isinstance(self.clock, TurnableClock)
        await self.settle()
        self.clock.turn(by)
        await self.settle()

    async def settle(self) -> None:
        """Until nobody does anything any more; what hangs is not waited for, and a ticket on its way not for ever."""
        quiet = before = 0
        patience = 150
        while quiet < 4 and patience > 0:
            await asyncio.sleep(0.003)
            operations = self.journal.figures().operations
            on_its_way = bool(self.dispatcher._where) and not self.worker._attempts
            quiet = quiet + 1 if operations == before and not self.worker._attempts and not on_its_way else 0
            before, patience = operations, patience - (0.2 if on_its_way else 1)

    async def history(self, delivery: Delivery) -> list[tuple[str, str | None]]:
        return [
            (entry.event, entry.outcome)
            for entry in await self.journal.history(submission_id=delivery.submission_id)
            if entry.delivery_id == delivery.id
        ]


def live(name: str = "register", connector: sdk.Connector | None = None, **config: Any) -> LiveTarget:
    config = {"productive": True} | config
    return LiveTarget(
        config=TargetConfig(name=name, connector="scripted", authority="lk-heilbronn", **config),
        connector=connector or AskableSystem(),
        target=sdk.Target(name=name, authority="lk-heilbronn", options={}, productive=config["productive"]),
    )


@asynccontextmanager
async def running(
    folder: Path, clock: Clock, targets: Sequence[LiveTarget], *, blocked_after: float = 5.0
) -> AsyncIterator[Engine]:
    """On the deployment that the test asked for (``deployments.ON_ALL``), else the embedded one."""
    lanes = {target.config.lane for target in targets}
    deployment = Current.deployment
    async with deployment.prefix(*lanes) as prefix:
        engine = Engine(folder, clock, {target.config.name: target for target in targets}, blocked_after, deployment, prefix)
        await engine.open()
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()
            await engine.journal.aclose()
