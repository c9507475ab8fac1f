"""All that a connector needs to know. Imports nothing of ours, so that it can be copied, vendored and typed against.

A connector is a class with ``deliver``; ``find`` and ``check`` are optional but make it safe and observable::

    class Register(Connector):
        name = "register"

        async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement:
            number = await send(target.options.url, envelope.document, key=envelope.delivery_id)
            return Acknowledgement(case_number=number)

What you return or raise decides what happens next; every exception below says what it promises. Anything else that
escapes is a defect of the connector: the delivery is then in doubt and a person sees it after three equal tracebacks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol, runtime_checkable

SDK_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class Message:
    """What the document is: its standard or package, root element, version and own UUID where it has one."""

    standard: str
    type: str
    version: str
    uuid: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file beside the message. ``name`` is what the sender called it: never use it as a path. ``digest``: SHA-256, hex."""

    name: str = field(repr=False)
    media_type: str
    size: int
    digest: str
    open: Callable[[], AsyncIterator[bytes]] = field(repr=False, compare=False)

    async def read(self) -> bytes:
        """The whole file; for large ones prefer iterating ``open()``, which yields at most 1 MiB at a time."""
        return b"".join([chunk async for chunk in self.open()])


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The case system has taken it for good.

    case_number: its Aktenzeichen where it gave one. facts: codes worth keeping (no personal data), e.g. {"status": "201"}.
    """

    case_number: str | None = field(default=None, repr=False)
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The transport took it; the case system has not answered yet. From now on only ``find`` is called, with ``token``
    in ``envelope.token``, first after ``ask_after``."""

    token: str
    ask_after: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NotThere:
    """``find``: the case system was asked and has nothing with this delivery id. It is then sent (again)."""


@dataclass(frozen=True, slots=True)
class StillOpen:
    """``find``: not decided yet; ask again after ``ask_after``."""

    ask_after: timedelta = timedelta(minutes=10)


class Unavailable(Exception):
    """Proven not taken: no connection, failure before the first byte, 425, 429, 503. Tried again with backoff, for days.

    after: not before this long (Retry-After). reason: a code or short sentence without personal data.
    """

    def __init__(self, reason: str = "", *, after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.reason, self.after = reason, after


class InDoubt(Exception):
    """Sent, and no clear answer: timeout, reset, 408, 500, 502, 504. Looked up with ``find`` before anything is sent again."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Refused(Exception):
    """Never with these bytes: the case system understood and said no. No retry; a person decides.

    reason: what it said (shown to operators, encrypted at rest). code: its own code. xpath: the place it named.
    """

    def __init__(self, reason: str, *, code: str | None = None, xpath: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.code, self.xpath = reason, code, xpath


class Blocked(Exception):
    """The target is misconfigured or refuses us: 401, 403, TLS, certificate. Concerns the target, not this document."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a connector is handed. ``delivery_id`` is stable over every attempt: send it as the idempotency key.

    received_at: the time of receipt (Eingang) that decides money, stay and places; pass it on unchanged. order: number
    of receipt within this gateway. document: the message to deliver. predecessor: what the target named in ``after``
    answered. token: what an earlier ``HandedOver`` left. assurance: how the sender proved itself.
    """

    delivery_id: str
    submission_id: str
    reference: str
    leistung: str
    ars: str
    authority: str
    target: str
    message: Message
    received_at: datetime
    order: int
    test: bool
    attempt: int
    first_attempt_at: datetime
    deadline: datetime | None
    in_doubt: bool
    document: bytes = field(repr=False)
    digest: str = ""
    attachments: tuple[Attachment, ...] = field(default=(), repr=False)
    predecessor: Acknowledgement | None = None
    token: str | None = None
    assurance: Mapping[str, str] = field(default_factory=dict, repr=False)
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The case system as this site configured it. ``options`` is an instance of the connector's ``Options``, with
    secrets already resolved. timeout: longest useful attempt here, in seconds; ``None``: what the connector says."""

    name: str
    authority: str
    options: Any = field(repr=False)
    productive: bool = True
    timeout: float | None = None


class Connector(ABC):
    """One instance serves one target for the life of the process; ``deliver`` may run ``concurrency`` times at once.

    name: as written in ``connector = "…"``. Options: a frozen dataclass; its fields are the keys of ``options = {…}``.
    idempotent: the case system honours ``delivery_id`` itself, so that sending twice is harmless.
    timeout: longest useful attempt, in seconds; the gateway's lease is longer.
    """

    name: ClassVar[str]
    Options: ClassVar[type] = dict
    idempotent: bool = False
    timeout: float = 30.0

    @abstractmethod
    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement | HandedOver:
        """Hand the document over, once. Return only when it is taken for good."""

    def can_find(self, target: Target) -> bool:
        """Can this target be asked? ``True`` for a connector with ``find``, unless its options switch the lookup off."""
        return isinstance(self, CanFind)

    def folders(self, target: Target) -> Mapping[str, str]:
        """Folders of this machine that must be there before anything can be delivered, by the option that names each.
        ``nahtlos check`` looks for them."""
        return {}

    async def check(self, target: Target) -> None:
        """Is the target there and are we let in? Sends no document. Raise ``Unavailable`` or ``Blocked`` if not."""
        return

    async def aclose(self) -> None:
        """Let go of connections. Called once, when the gateway stops."""
        return


@runtime_checkable
class CanFind(Protocol):
    """A connector whose case system can be asked whether it has a delivery. Without it, doubt goes to a person.

    Ask ``connector.can_find(target)`` before calling: one and the same connector may serve a product that can be asked
    and another that cannot.
    """

    async def find(self, envelope: Envelope, target: Target) -> Acknowledgement | NotThere | StillOpen:
        """Ask; never send. May raise ``Refused`` (it was taken and then rejected) or ``Unavailable``."""
        ...
