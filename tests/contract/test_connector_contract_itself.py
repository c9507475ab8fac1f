"""The contract finds what it promises to find: each of these connectors breaks one promise, and one test says which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.contract import ConnectorContract
from connectors.rest import RestConnector
from connectors.sdk import Acknowledgement, Envelope, HandedOver, InDoubt, NotThere, StillOpen, Target, Unavailable
from connectors.simulator import Simulator


class _Rest(RestConnector):
    idempotent = True


class NewIdEachTime(_Rest):
    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement | HandedOver:
        return await super().deliver(replace(envelope, delivery_id=f"{envelope.delivery_id}-{envelope.attempt}"), target)


class ChangesTheDocument(_Rest):
    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement | HandedOver:
        return await super().deliver(replace(envelope, document=envelope.document + b"\n"), target)


class OwnClock(_Rest):
    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement | HandedOver:
        return await super().deliver(replace(envelope, received_at=envelope.received_at.replace(year=2020)), target)


class ForgetsAttachments(_Rest):
    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement | HandedOver:
        return await super().deliver(replace(envelope, attachments=()), target)


class AlwaysFinds(_Rest):
    async def find(self, envelope: Envelope, target: Target) -> Acknowledgement | NotThere | StillOpen:
        return Acknowledgement("HN-1")


class FindSends(_Rest):
    async def find(self, envelope: Envelope, target: Target) -> Acknowledgement | NotThere | StillOpen:
        found = await super().find(envelope, target)
        await self.deliver(replace(envelope, delivery_id="another-one"), target)
        return found


class DoubtsEverything(_Rest):
    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement | HandedOver:
        try:
            return await super().deliver(envelope, target)
        except Unavailable:
            raise InDoubt("who knows") from None


class SaysTooMuch(_Rest):
    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement | HandedOver:
        try:
            return await super().deliver(envelope, target)
        except Unavailable:
            raise Unavailable(envelope.document.decode()) from None


class Shares(_Rest):
    current: Envelope

    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement | HandedOver:
        self.current = envelope
        await asyncio.sleep(0)
        return await super().deliver(self.current, target)


class CheckSends(_Rest):
    async def check(self, target: Target) -> None:
        from connectors.contract import sample_envelope

        await self.deliver(sample_envelope(), target)


BROKEN = {
    NewIdEachTime: "test_the_same_delivery_twice_is_one_case",
    ChangesTheDocument: "test_a_document_arrives_byte_for_byte_and_once",
    OwnClock: "test_the_time_of_receipt_and_its_order_travel_unchanged",
    ForgetsAttachments: "test_attachments_arrive_byte_for_byte_whatever_they_are_called",
    AlwaysFinds: "test_find_knows_what_was_delivered_and_nothing_else",
    FindSends: "test_find_knows_what_was_delivered_and_nothing_else",
    DoubtsEverything: "test_an_absent_case_system_is_unavailable_and_not_in_doubt",
    SaysTooMuch: "test_nothing_personal_stands_in_what_is_raised_or_shown",
    Shares: "test_many_at_once_do_not_mix",
    CheckSends: "test_check_sends_no_document",
}


def promise(connector: type[Any], test: str) -> Callable[[], None]:
    contract = type("Contract", (ConnectorContract,), {"connector": connector, "system": lambda _: Simulator(idempotent=False)})
    if test == "test_the_same_delivery_twice_is_one_case":
        contract.system = lambda _: Simulator()  # type: ignore[attr-defined]
    return getattr(contract(), test)  # type: ignore[no-any-return]


@pytest.mark.parametrize("connector", BROKEN, ids=lambda each: each.__name__)
def test_a_broken_promise_is_found(connector: type[Any]) -> None:
    with pytest.raises((AssertionError, ValueError)):
        promise(connector, BROKEN[connector])()


@pytest.mark.parametrize("test", sorted(set(BROKEN.values())))
def test_and_a_kept_one_is_not_complained_about(test: str) -> None:
    promise(_Rest, test)()
