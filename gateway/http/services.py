"""What the resources work with, handed in once by the composition root."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends, Request

from gateway.access import Identity
from gateway.admission import Admission
from gateway.answering import Answering
from gateway.changes import Changes
from gateway.http.portals import Door
from gateway.http.upload import Budget, Limits, headers_of
from gateway.intake import Intake
from gateway.operate import Operator
from gateway.ports import Clock, Credential, Journal
from gateway.rehearsal import Rehearsals
from gateway.schemas import Registry
from gateway.site import Site


@dataclass(slots=True)
class Post:
    """One POST for the canonical line and the metrics: codes, sizes and times, nothing that was sent. Filled on the way.

    outcome: accepted | held | replayed | problem slug. size: bytes of the body as far as it was read. seconds: from the
    first byte of the head to the answer.
    """

    resource: str
    request: str
    status: int = 0
    outcome: str = ""
    portal: str | None = None
    credential: str | None = None
    leistung: str | None = None
    submission: str | None = None
    size: int = 0
    parts: int = 0
    findings: int = 0
    package: str | None = None
    rule: str | None = None
    seconds: float = 0.0
    traceparent: str | None = field(default=None, repr=False)


class PutKey(Protocol):
    async def __call__(self, credential: Credential, *, actor: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """packages: those in force now. on_post: called once per POST. ready: what is wrong, as code → (German, English); empty
    when all is well. metrics: the Prometheus text. put_key: writes a credential, which holds or no longer holds from then on.
    rotate_keys: new site key; its id and how many data keys were wrapped with it."""

    site: Site
    packages: Callable[[], Registry]
    journal: Journal
    clock: Clock
    intake: Intake
    answers: Answering
    rehearsals: Rehearsals
    operator: Operator
    door: Door
    admission: Admission
    budget: Budget
    limits: Limits
    changes: Changes
    ready: Callable[[], Awaitable[Mapping[str, tuple[str, str]]]]
    metrics: Callable[[], Awaitable[bytes]]
    put_key: PutKey
    rotate_keys: Callable[[], Awaitable[tuple[str, int]]]
    on_post: Callable[[Post], None] = lambda post: None
    now: Callable[[], float] = time.perf_counter
    poll: float = 5.0

    @property
    def registry(self) -> Registry:
        return self.packages()


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _caller(request: Request) -> Identity:
    """Whoever calls, portal or operator. Raises ``access.Unauthenticated`` and ``access.Forbidden``."""
    return _services(request).door.identify(request.scope, headers_of(request.scope))


Inside = Annotated[Services, Depends(_services)]
Caller = Annotated[Identity, Depends(_caller)]
