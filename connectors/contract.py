"""What every connector owes the gateway, as tests that yours inherits in five lines. Works with pytest and without plugins::

    class TestRegister(ConnectorContract):
        connector = RegisterConnector

        def system(self) -> CaseSystem:
            return Simulator("fallakte")

``system`` gives the case system to test against: an asynchronous context manager with ``options`` and ``register``, such
as ``Simulator`` for HTTP and ``WatchedFolder`` for files, or one that you write for your product.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import is_dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, Self
from uuid import uuid4

from connectors.register import CaseRegister, Entry
from connectors.sdk import (
    Acknowledgement,
    Attachment,
    Blocked,
    CanFind,
    Connector,
    Envelope,
    HandedOver,
    InDoubt,
    Message,
    NotThere,
    Target,
    Unavailable,
)

SECRET_WORDS = ("Mustermann", "geheim")
DOCUMENT = "<antrag><name>Erika Mustermann</name><grund>geheim – für Prüfung, größer</grund></antrag>".encode()


class CaseSystem(Protocol):
    """options: what the connector's ``Options`` is made with. register: what has arrived. stop, start: an outage."""

    register: CaseRegister

    @property
    def options(self) -> Mapping[str, Any]: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...


def sample_attachment(content: bytes, *, name: str = "Bescheid.pdf", media_type: str = "application/pdf") -> Attachment:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1 << 20):
            yield content[start : start + (1 << 20)]

    return Attachment(name, media_type, len(content), hashlib.sha256(content).hexdigest(), chunks)


def sample_envelope(*, document: bytes = DOCUMENT, **changes: Any) -> Envelope:
    """An envelope as the gateway would hand it over, with a new delivery id."""
    now = datetime.now(UTC)
    envelope = Envelope(
        delivery_id=str(uuid4()),
        submission_id=str(uuid4()),
        reference="7K3M9QX2TA",
        leistung="hundesteuer",
        ars="081250000000",
        authority="lk-heilbronn",
        target="system",
        message=Message("hundesteuer", "antrag", "1.0"),
        received_at=now,
        order=17,
        test=False,
        attempt=1,
        first_attempt_at=now,
        deadline=None,
        in_doubt=False,
        document=document,
        digest=hashlib.sha256(document).hexdigest(),
    )
    return replace(envelope, **changes)


class ConnectorContract:
    """Every promise is one test. The order of the class is the order in which to make them pass."""

    connector: ClassVar[type[Connector]]
    attachments: ClassVar[bool] = True  # False for a case system that takes none

    def system(self) -> CaseSystem:
        raise NotImplementedError("say which case system to test against")

    def test_it_has_a_name_and_options_that_cannot_change(self) -> None:
        assert self.connector.name
        assert self.connector.name == self.connector.name.lower()
        options = self.connector.Options
        assert options is dict or (is_dataclass(options) and options.__dataclass_params__.frozen)  # type: ignore[attr-defined]

    def test_a_document_arrives_byte_for_byte_and_once(self) -> None:
        async def story(stage: _Stage) -> None:
            envelope = sample_envelope()
            said = await stage.connector.deliver(envelope, stage.target)
            assert isinstance(said, Acknowledgement | HandedOver), f"deliver returned {type(said).__name__}"
            (case,) = stage.arrived(envelope)
            assert case.digest == envelope.digest, "the case system got other bytes than the envelope held"
            if isinstance(said, Acknowledgement) and said.case_number is not None:
                assert said.case_number == case.case_number

        self._play(story)

    def test_the_time_of_receipt_and_its_order_travel_unchanged(self) -> None:
        async def story(stage: _Stage) -> None:
            envelope = sample_envelope()
            await stage.connector.deliver(envelope, stage.target)
            (case,) = stage.arrived(envelope)
            assert datetime.fromisoformat(case.received_at) == envelope.received_at
            assert case.order == str(envelope.order)

        self._play(story)

    def test_attachments_arrive_byte_for_byte_whatever_they_are_called(self) -> None:
        async def story(stage: _Stage) -> None:
            names = ['../../etc/passwd', 'a";filename="b', "Lohn\r\nX: y", "Übergröße ✓.pdf", "", "C:\\CON"]
            contents = [b"", b"%PDF", b"\r\n--x--\r\n", bytes(range(256)), b"x" * (3 << 20), b"1"]
            attached = tuple(sample_attachment(body, name=name) for name, body in zip(names, contents, strict=True))
            envelope = sample_envelope(attachments=attached)
            await stage.connector.deliver(envelope, stage.target)
            (case,) = stage.arrived(envelope)
            assert case.attachments == [each.digest for each in attached]
            assert case.digest == envelope.digest

        if self.attachments:
            self._play(story)

    def test_the_same_delivery_twice_is_one_case(self) -> None:
        async def story(stage: _Stage) -> None:
            envelope = sample_envelope()
            await stage.connector.deliver(envelope, stage.target)
            await stage.connector.deliver(replace(envelope, attempt=2, in_doubt=True), stage.target)
            assert stage.system.register.cases == 1, "delivery_id is the idempotency key: pass it on unchanged"

        if self.connector.idempotent:
            self._play(story)

    def test_find_knows_what_was_delivered_and_nothing_else(self) -> None:
        async def story(stage: _Stage) -> None:
            finder = stage.connector
            if not (isinstance(finder, CanFind) and finder.can_find(stage.target)):
                return
            envelope, other = sample_envelope(), sample_envelope()
            before = await finder.find(envelope, stage.target)
            assert isinstance(before, NotThere), "find must say NotThere before anything was sent"
            said = await stage.connector.deliver(envelope, stage.target)
            (case,) = stage.arrived(envelope)
            token = said.token if isinstance(said, HandedOver) else None
            known = await finder.find(replace(envelope, in_doubt=True, token=token), stage.target)
            assert isinstance(known, Acknowledgement), f"find returned {type(known).__name__} for what was delivered"
            assert known.case_number in (None, case.case_number)
            assert isinstance(await finder.find(other, stage.target), NotThere)
            assert len(stage.system.register.entries) == 1, "find must never send"

        self._play(story)

    def test_an_absent_case_system_is_unavailable_and_not_in_doubt(self) -> None:
        async def story(stage: _Stage) -> None:
            await stage.system.stop()
            envelope = sample_envelope()
            raised = await _raised(lambda: stage.connector.deliver(envelope, stage.target))
            assert isinstance(raised, Unavailable), f"nothing was sent, so it is Unavailable, not {raised!r}"
            assert isinstance(await _raised(lambda: stage.connector.check(stage.target)), Unavailable | Blocked)
            await stage.system.start()
            await stage.connector.deliver(replace(envelope, attempt=2), stage.target)
            assert len(stage.arrived(envelope)) == 1

        self._play(story)

    def test_check_sends_no_document(self) -> None:
        async def story(stage: _Stage) -> None:
            await stage.connector.check(stage.target)
            assert not stage.system.register.entries

        self._play(story)

    def test_many_at_once_do_not_mix(self) -> None:
        async def story(stage: _Stage) -> None:
            envelopes = [sample_envelope(document=b"<a>%d</a>" % n, order=n) for n in range(24)]
            await asyncio.gather(*(stage.connector.deliver(each, stage.target) for each in envelopes))
            for envelope in envelopes:
                (case,) = stage.arrived(envelope)
                assert (case.digest, case.order) == (envelope.digest, str(envelope.order))

        self._play(story)

    def test_a_cancelled_attempt_leaves_the_connector_usable(self) -> None:
        async def story(stage: _Stage) -> None:
            task = asyncio.create_task(stage.connector.deliver(sample_envelope(), stage.target))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await stage.connector.deliver(sample_envelope(), stage.target)

        self._play(story)

    def test_nothing_personal_stands_in_what_is_raised_or_shown(self) -> None:
        async def story(stage: _Stage) -> None:
            await stage.system.stop()
            envelope = sample_envelope(attachments=(sample_attachment(b"x", name="Mustermann.pdf"),))
            raised = await _raised(lambda: stage.connector.deliver(envelope, stage.target))
            shown = " ".join([repr(raised), str(raised), repr(envelope), repr(stage.target)])
            for word in SECRET_WORDS:
                assert word not in shown, f"{word!r} from the document or its attachments is shown"

        self._play(story)

    def test_closing_twice_does_no_harm(self) -> None:
        async def story(stage: _Stage) -> None:
            await stage.connector.deliver(sample_envelope(), stage.target)
            await stage.connector.aclose()
            await stage.connector.aclose()

        self._play(story)

    def _play(self, story: Callable[[_Stage], Awaitable[None]]) -> None:
        async def play() -> None:
            async with self.system() as system:
                connector = self.connector()
                target = Target("system", "lk-heilbronn", self.connector.Options(**system.options), timeout=10)
                try:
                    await story(_Stage(connector, target, system))
                finally:
                    await connector.aclose()

        asyncio.run(play())


class _Stage:
    def __init__(self, connector: Connector, target: Target, system: CaseSystem) -> None:
        self.connector, self.target, self.system = connector, target, system

    def arrived(self, envelope: Envelope) -> list[Entry]:
        return [entry for entry in self.system.register if entry.delivery_id == envelope.delivery_id]


async def _raised(act: Callable[[], Awaitable[Any]]) -> BaseException:
    try:
        await act()
    except (Unavailable, InDoubt, Blocked) as outcome:
        return outcome
    raise AssertionError("an outcome should have been raised")
