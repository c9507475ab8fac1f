"""A target that is away, refuses or is paused: patience, breaker, pauses and windows (P6)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from connectors import sdk
from gateway.attempts import breaker
from gateway.ports import Breaker
from gateway.site import Window
from gateway.submission import DeadClass, State, WaitingFor
from tests.clock import TurnableClock
from tests.deployments import ON_ALL
from tests.story.engine import AskableSystem, Engine, live, running

pytestmark = ON_ALL

SECONDS, MINUTES, HOURS = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


# --- a target that is away


async def test_it_is_tried_again_after_five_seconds_and_after_what_the_target_asks(
    engine: Engine, register: AskableSystem
) -> None:
    register.script.extend([sdk.Unavailable("no route"), sdk.Unavailable("503", after=10 * MINUTES)])
    delivery = await engine.accept()
    await engine.until_tried(delivery, 1)

    await engine.turn(4 * SECONDS)
    assert register.sent(delivery) == 1
    await engine.turn(1 * SECONDS)
    await engine.until_tried(delivery, 2)
    await engine.turn(9 * MINUTES)
    assert register.sent(delivery) == 2
    await engine.turn(MINUTES)

    assert (await engine.until_state(delivery, State.DELIVERED)).attempts == 3


async def test_a_restart_changes_neither_attempts_nor_due_time(engine: Engine, register: AskableSystem) -> None:
    register.script.extend([sdk.Unavailable()] * 3)
    delivery = await engine.accept()
    await engine.until_tried(delivery, 1)
    await engine.turn(5 * SECONDS)
    before = await engine.until_tried(delivery, 2)

    await engine.stop()
    await engine.start()
    await engine.turn(SECONDS)
    again = await engine.now(delivery)

    assert again == before
    assert register.sent(delivery) == 2


async def test_a_weekend_without_power_costs_nobodys_patience(
    engine: Engine, clock: TurnableClock, register: AskableSystem
) -> None:
    register.script.extend([sdk.Unavailable()] * 4)
    delivery = await engine.accept()
    await engine.until_tried(delivery, 1)
    before = await engine.now(delivery)
    await engine.stop()

    clock.turn(100 * HOURS)
    await engine.start()
    after = await engine.until_tried(delivery, 2)

    assert before.give_up_at is not None
    assert after.state is State.PENDING
    assert after.give_up_at == before.give_up_at + 100 * HOURS


async def test_a_dead_target_is_one_alarm_and_burns_no_patience(
    engine: Engine, clock: TurnableClock, register: AskableSystem
) -> None:
    register.script.extend([sdk.Unavailable("no route")] * 1000)
    deliveries = [await engine.accept() for _ in range(30)]
    for delivery in deliveries[:5]:
        await engine.until_tried(delivery, 1)
    await engine.turn(2 * SECONDS)

    state = (await engine.journal.target_states())["register"]
    assert (state.breaker, state.breaker_cause) == (Breaker.OPEN, "unavailable")
    tried = len(register.envelopes)
    assert tried <= 8  # five, and what was in flight with them

    for _ in range(20):
        await engine.turn(5 * MINUTES)
    assert len(register.envelopes) <= tried + 20  # one probe each time
    assert [(await engine.now(one)).state for one in deliveries] == [State.PENDING] * 30

    register.script.clear()
    await engine.turn(5 * MINUTES)
    for delivery in deliveries:
        await engine.turn(10 * MINUTES)
        await engine.until_state(delivery, State.DELIVERED)
    assert (await engine.journal.target_states())["register"].breaker is Breaker.CLOSED
    assert register.doubled == []


async def test_an_open_breaker_survives_a_restart(engine: Engine, register: AskableSystem) -> None:
    register.script.extend([sdk.Unavailable("no route")] * 1000)
    for delivery in [await engine.accept() for _ in range(6)][:5]:
        await engine.until_tried(delivery, 1)
    await engine.turn(2 * SECONDS)
    tried = len(register.envelopes)

    await engine.stop()
    await engine.start()
    await engine.accept()
    await engine.turn(3 * SECONDS)

    assert len(register.envelopes) == tried


async def test_a_probe_that_died_with_its_process_makes_nobody_wait(
    engine: Engine, clock: TurnableClock, register: AskableSystem
) -> None:
    register.script.extend([sdk.Unavailable("no route")] * 5)
    for delivery in [await engine.accept() for _ in range(5)]:
        await engine.until_tried(delivery, 1)
    await engine.turn(2 * SECONDS)
    await engine.kill()
    state = (await engine.journal.target_states())["register"]
    probing = breaker.probe(state, at=clock.now() + MINUTES, actor="gateway-1")
    assert probing is not None
    assert await engine.journal.advance_target(probing)

    clock.turn(MINUTES)
    if not engine.deployment.alone:  # it could be another process that lives: a probe's patience has to pass
        clock.turn(breaker.PROBE_PATIENCE)
    await engine.start()
    waiting = await engine.accept()
    for _ in range(5):
        await engine.turn(SECONDS)

    assert (await engine.until_state(waiting, State.DELIVERED)).attempts == 1


async def test_time_behind_an_open_breaker_does_not_count_against_a_delivery(engine: Engine, register: AskableSystem) -> None:
    register.script.extend([sdk.Unavailable("no route")] * 5)
    deliveries = [await engine.accept() for _ in range(5)]
    for delivery in deliveries:
        await engine.until_tried(delivery, 1)
    before = await engine.until(deliveries[4], lambda now: now.give_up_at is not None)
    await engine.turn(0 * SECONDS)
    await engine.turn(100 * HOURS)  # longer than anyone's patience
    for delivery in deliveries:
        await engine.until_state(delivery, State.DELIVERED)

    assert before.give_up_at is not None
    assert [entry for entry in engine.reports if entry.state is State.DEAD] == []


async def test_one_poison_message_never_opens_the_breaker(engine: Engine, register: AskableSystem) -> None:
    register.script.extend([sdk.InDoubt("500")] * 8)
    poison = await engine.accept()
    for attempt in range(1, 8):
        waiting = await engine.until_tried(poison, attempt)
        assert waiting.waiting_for is WaitingFor.LOOKUP
        await engine.turn(2 * HOURS)

    assert (await engine.journal.target_states())["register"].breaker is Breaker.CLOSED


async def test_five_equal_refusals_spare_the_rest_of_the_backlog(engine: Engine, register: AskableSystem) -> None:
    register.script.extend([sdk.Refused("Mandant gesperrt", code="E99")] * 1000)
    deliveries = [await engine.accept() for _ in range(30)]
    for _ in range(10):
        await engine.turn(5 * MINUTES)

    states = [(await engine.until_state(one, State.DEAD, State.PENDING)).state for one in deliveries]
    assert 5 <= states.count(State.DEAD) <= 8  # five, and what was in flight with them

    register.script.clear()  # unlocked
    for _ in range(30):
        await engine.turn(10 * MINUTES)
    states = [(await engine.now(one)).state for one in deliveries]
    assert states.count(State.PENDING) == 0


async def test_different_refusals_open_nothing(engine: Engine, register: AskableSystem) -> None:
    register.script.extend([sdk.Refused("Feld fehlt", code=f"E{n}") for n in range(12)])

    for delivery in [await engine.accept() for _ in range(12)]:
        assert (await engine.until_state(delivery, State.DEAD)).dead_class is DeadClass.REFUSED
    assert (await engine.journal.target_states())["register"].breaker is Breaker.CLOSED


async def test_blocked_opens_the_breaker_when_the_check_fails_too(engine: Engine, register: AskableSystem) -> None:
    register.script.append(sdk.Blocked("401"))
    register.check_says = sdk.Blocked("401")

    delivery = await engine.accept()
    waiting = await engine.until_tried(delivery, 1)

    assert (waiting.state, waiting.code) == (State.PENDING, "blocked")
    assert (await engine.journal.target_states())["register"].breaker is Breaker.OPEN


async def test_the_first_blocked_delivery_is_a_dead_letter_and_the_second_proves_the_target_is_at_fault(
    engine: Engine, register: AskableSystem
) -> None:
    register.script.extend([sdk.Blocked("403"), sdk.Blocked("403")])

    first = await engine.accept()
    assert (await engine.until_state(first, State.DEAD)).dead_class is DeadClass.REFUSED
    second = await engine.accept()

    assert (await engine.until_tried(second, 1)).state is State.PENDING
    assert (await engine.journal.target_states())["register"].breaker is Breaker.OPEN


async def test_a_probe_whose_check_fails_risks_no_delivery(engine: Engine, register: AskableSystem) -> None:
    register.script.append(sdk.Blocked("401"))
    register.check_says = sdk.Blocked("401")
    delivery = await engine.accept()
    await engine.until_tried(delivery, 1)

    for _ in range(6):
        await engine.turn(5 * MINUTES)
    assert register.sent(delivery) == 1
    assert (await engine.now(delivery)).attempts == 1

    register.check_says = None  # a new certificate
    for _ in range(3):
        await engine.turn(5 * MINUTES)
    await engine.until_state(delivery, State.DELIVERED)


# --- pauses and windows


async def test_nothing_goes_to_a_paused_target_and_nothing_is_burnt(engine: Engine, register: AskableSystem) -> None:
    await engine.operator.pause("register", actor="operator:anna", reason="Update des Herstellers")
    await engine.turn(SECONDS)
    delivery = await engine.accept()
    for _ in range(3):
        await engine.turn(100 * HOURS)
    assert register.log == []

    await engine.operator.resume("register", actor="operator:anna", reason="Update fertig")
    await engine.turn(SECONDS)

    assert (await engine.until_state(delivery, State.DELIVERED)).attempts == 1


async def test_a_pause_ends_by_itself(engine: Engine, clock: TurnableClock) -> None:
    await engine.operator.pause("register", actor="operator:anna", reason="Update", until=clock.now() + HOURS)
    await engine.turn(SECONDS)
    delivery = await engine.accept()
    await engine.turn(HOURS)
    await engine.turn(2 * SECONDS)

    await engine.until_state(delivery, State.DELIVERED)


async def test_a_maintenance_window_is_respected(tmp_path: Path, clock: TurnableClock, register: AskableSystem) -> None:
    # The clock starts at 9:00 in Berlin.
    target = live(connector=register, closed=(Window.parse("08:00-12:00"),))
    async with running(tmp_path, clock, [target]) as engine:
        delivery = await engine.accept()
        await engine.turn(2 * HOURS)
        assert register.log == []
        await engine.turn(HOURS)
        await engine.turn(2 * SECONDS)

        assert (await engine.until_state(delivery, State.DELIVERED)).attempts == 1


async def test_a_test_submission_is_stopped_before_a_productive_target(engine: Engine, register: AskableSystem) -> None:
    dead = await engine.until_state(await engine.accept(test=True), State.DEAD)

    assert (dead.dead_class, dead.code) == (DeadClass.REFUSED, "test-to-productive")
    assert register.log == []
