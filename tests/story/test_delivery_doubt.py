"""What may have been sent is in doubt, and is looked up before it is sent again: never a blind re-send (P3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from connectors import sdk
from gateway.submission import DeadClass, State, WaitingFor
from tests.clock import TurnableClock
from tests.deployments import ON_ALL
from tests.story.engine import AskableSystem, CaseSystem, Engine, live, running

pytestmark = ON_ALL

SECONDS, MINUTES, HOURS = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


# --- in doubt: never a blind re-send


async def test_what_may_have_arrived_is_asked_for_before_it_is_sent_again(
    engine: Engine, clock: TurnableClock, register: AskableSystem
) -> None:
    def swallowed(envelope: sdk.Envelope) -> None:
        register.take(envelope)
        raise sdk.InDoubt("reset after the last byte")

    register.script.append(swallowed)
    delivery = await engine.accept()
    waiting = await engine.until_tried(delivery, 1)
    assert (waiting.waiting_for, waiting.in_doubt) == (WaitingFor.LOOKUP, True)

    await engine.turn(59 * SECONDS)
    assert register.log == [("send", delivery.id)]
    await engine.turn(2 * SECONDS)
    done = await engine.until_state(delivery, State.DELIVERED)

    assert register.log == [("send", delivery.id), ("find", delivery.id)]
    assert (done.case_number, done.in_doubt) == ("2026/1", False)


async def test_what_has_not_arrived_is_sent_again_once_the_target_says_so(engine: Engine, register: AskableSystem) -> None:
    register.script.append(sdk.InDoubt("timeout"))
    delivery = await engine.accept()
    await engine.until_tried(delivery, 1)

    await engine.turn(61 * SECONDS)
    await engine.until_state(delivery, State.DELIVERED)

    assert register.log == [("send", delivery.id), ("find", delivery.id), ("send", delivery.id)]
    assert register.doubled == []


async def test_a_worker_that_was_held_up_until_its_lease_is_nearly_over_sends_nothing(
    engine: Engine, clock: TurnableClock, register: AskableSystem
) -> None:
    """A machine that was frozen: another process may be at it before the target has answered."""

    def frozen(envelope: sdk.Envelope) -> sdk.NotThere:
        clock.turn(36 * SECONDS)  # of the 40 that a lease has here
        return sdk.NotThere()

    register.script.append(sdk.InDoubt("timeout"))
    register.answers.append(frozen)
    delivery = await engine.accept()
    await engine.until_tried(delivery, 1)

    await engine.turn(61 * SECONDS)
    await engine.until(delivery, lambda now: now.waiting_for is WaitingFor.TURN)
    assert register.log == [("send", delivery.id), ("find", delivery.id)]
    await engine.turn(31 * SECONDS)
    await engine.turn(2 * SECONDS)
    done = await engine.until_state(delivery, State.DELIVERED)

    assert register.log[2:] == [("send", delivery.id)]
    assert done.attempts == 2


async def test_doubt_about_a_target_that_cannot_be_asked_goes_to_a_person(tmp_path: Path, clock: TurnableClock) -> None:
    mute = CaseSystem()
    mute.script.append(sdk.InDoubt("timeout"))
    async with running(tmp_path, clock, [live(connector=mute)]) as engine:
        delivery = await engine.accept()
        dead = await engine.until_state(delivery, State.DEAD)
        await engine.turn(100 * HOURS)

    assert (dead.dead_class, dead.in_doubt) == (DeadClass.IN_DOUBT, True)
    assert mute.sent(delivery) == 1


async def test_a_target_whose_options_switch_the_lookup_off_counts_as_one_that_cannot_be_asked(
    tmp_path: Path, clock: TurnableClock
) -> None:
    class Switchable(AskableSystem):
        def can_find(self, target: sdk.Target) -> bool:
            return bool(target.options["find"])

    asked, mute = Switchable(), Switchable()
    for system in (asked, mute):
        system.script.append(sdk.InDoubt("timeout"))
    targets = [live("asked", asked, options={"find": "/cases"}), live("mute", mute, options={"find": ""})]
    targets = [replace(one, target=replace(one.target, options=one.config.options)) for one in targets]
    async with running(tmp_path, clock, targets) as engine:
        waiting = await engine.until_tried(await engine.accept(target="asked"), 1)
        delivery = await engine.accept(target="mute")
        dead = await engine.until_state(delivery, State.DEAD)

    assert waiting.waiting_for is WaitingFor.LOOKUP
    assert (dead.dead_class, dead.in_doubt) == (DeadClass.IN_DOUBT, True)
    assert mute.log == [("send", delivery.id)]


async def test_an_idempotent_target_is_simply_sent_it_again(tmp_path: Path, clock: TurnableClock) -> None:
    honest = CaseSystem(idempotent=True)
    honest.script.append(sdk.InDoubt("timeout"))
    async with running(tmp_path, clock, [live(connector=honest)]) as engine:
        delivery = await engine.accept()
        await engine.until_tried(delivery, 1)
        await engine.turn(5 * SECONDS)
        await engine.until_state(delivery, State.DELIVERED)

    assert honest.sent(delivery) == 2


async def test_what_was_handed_over_is_only_asked_for_and_ends_unconfirmed(
    engine: Engine, clock: TurnableClock, register: AskableSystem
) -> None:
    register.script.append(sdk.HandedOver("mail-7", ask_after=MINUTES))
    register.answers.extend([sdk.StillOpen(10 * HOURS)] * 100)
    delivery = await engine.accept()
    await engine.until(delivery, lambda now: now.waiting_for is WaitingFor.CONFIRMATION)

    await engine.turn(MINUTES)
    await engine.until_tried(delivery, 2)
    assert register.envelopes[-1].token == "mail-7"
    for attempt in range(3, 20):
        await engine.turn(10 * HOURS)
        now = await engine.until_tried(delivery, attempt)
        if now.state is State.DEAD:
            break

    assert (now.dead_class, register.sent(delivery)) == (DeadClass.UNCONFIRMED, 1)
    assert clock.now() - delivery.received_at >= timedelta(days=7)


async def test_a_confirmation_that_comes_days_later_is_a_delivery(engine: Engine, register: AskableSystem) -> None:
    register.script.append(sdk.HandedOver("mail-7", ask_after=MINUTES))
    register.answers.extend([sdk.StillOpen(30 * HOURS), sdk.Acknowledgement("A-9")])
    delivery = await engine.accept()
    await engine.until(delivery, lambda now: now.waiting_for is WaitingFor.CONFIRMATION)

    await engine.turn(MINUTES)
    await engine.until_tried(delivery, 2)
    await engine.turn(30 * HOURS)

    assert (await engine.until_state(delivery, State.DELIVERED)).case_number == "A-9"
    assert register.sent(delivery) == 1
