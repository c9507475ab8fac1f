"""What operators do: with who and why, on what they saw, and never against a doubt."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors import sdk
from gateway.operate import Moved, NotAllowed, Unknown
from gateway.ports import Breaker, Dossier, Part, Role
from gateway.preparing import Remade
from gateway.submission import ClosedAs, DeadClass, Delivery, Purpose, State, WaitingFor
from tests.clock import TurnableClock
from tests.deliveries import a_delivery, a_submission
from tests.story.engine import AskableSystem, CaseSystem, Engine, live, running

SECONDS, MINUTES, HOURS = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
ANNA: dict[str, Any] = {"actor": "operator:anna", "reason": "Rücksprache mit dem Hersteller"}
DEAD: dict[str, Any] = {"state": State.DEAD, "dead_class": DeadClass.REFUSED, "waiting_for": None, "next_attempt_at": None}


@pytest.fixture
def register() -> AskableSystem:
    return AskableSystem()


@pytest.fixture
def mute() -> CaseSystem:
    return CaseSystem()


@pytest.fixture
async def engine(tmp_path: Path, register: AskableSystem, mute: CaseSystem) -> AsyncIterator[Engine]:
    targets = [live("register", register), live("mute", mute), live("e-akte"), live("neckarsulm")]
    async with running(tmp_path, TurnableClock(), targets) as engine:
        yield engine


async def refused(engine: Engine, register: AskableSystem) -> Delivery:
    register.script.append(sdk.Refused("Schlüssel fehlt", code="E17"))
    return await engine.until_state(await engine.accept(), State.DEAD)


async def doubtful(engine: Engine, mute: CaseSystem) -> Delivery:
    mute.script.append(sdk.InDoubt("timeout"))
    return await engine.until_state(await engine.accept(target="mute"), State.DEAD)


async def is_refused(action: Awaitable[Any]) -> str:
    with pytest.raises(NotAllowed) as no:
        await action
    assert no.value.de.endswith(".")
    assert no.value.en.endswith(".")
    return no.value.code


# --- replay


async def test_a_replay_is_a_new_attempt_of_the_same_delivery(engine: Engine, register: AskableSystem) -> None:
    dead = await refused(engine, register)

    pending = await engine.operator.replay(dead.id, seen_revision=dead.revision, **ANNA)
    done = await engine.until_state(dead, State.DELIVERED)

    assert (pending.id, pending.attempts, pending.code, pending.cause_text) == (dead.id, 1, None, None)
    assert (done.attempts, done.case_number) == (2, "2026/1")
    assert done.received_at == dead.received_at
    entry = next(e for e in await engine.journal.history(submission_id=dead.submission_id) if e.event == "replay")
    assert (entry.actor, entry.private) == ("operator:anna", {"reason": "Rücksprache mit dem Hersteller"})
    assert "Hersteller" not in str(entry.facts)


async def test_a_replay_has_patience_again(engine: Engine, register: AskableSystem) -> None:
    register.script.extend([sdk.Unavailable()] * 100)
    delivery = await engine.accept()
    for attempt in range(1, 90):
        now = await engine.until_tried(delivery, attempt)
        if now.state is State.DEAD:
            break
        await engine.turn(HOURS)
    assert now.dead_class is DeadClass.EXHAUSTED

    await engine.operator.replay(delivery.id, **ANNA)
    waiting = await engine.until_tried(delivery, now.attempts + 1)

    assert waiting.state is State.PENDING
    assert waiting.next_attempt_at == engine.clock.now() + 5 * SECONDS
    assert waiting.give_up_at == engine.clock.now() + 72 * HOURS


async def test_what_moved_on_since_it_was_seen_is_not_replayed(engine: Engine, register: AskableSystem) -> None:
    dead = await refused(engine, register)

    with pytest.raises(Moved) as moved:
        await engine.operator.replay(dead.id, seen_revision=dead.revision - 1, **ANNA)

    assert moved.value.current == dead
    assert await engine.now(dead) == dead


async def test_what_is_in_doubt_is_looked_up_before_it_is_sent_again(engine: Engine, register: AskableSystem) -> None:
    delivery = await engine.accept(**DEAD | {"dead_class": DeadClass.DEFECT, "in_doubt": True})
    register.kept[delivery.id] = "2025/7"

    await engine.operator.replay(delivery.id, **ANNA)
    await engine.turn(61 * SECONDS)

    assert (await engine.until_state(delivery, State.DELIVERED)).case_number == "2025/7"
    assert register.log == [("find", delivery.id)]


async def test_only_somebody_who_has_looked_can_send_again_what_cannot_be_asked(engine: Engine, mute: CaseSystem) -> None:
    dead = await doubtful(engine, mute)
    await engine.operator.replay(dead.id, **ANNA)
    await engine.turn(61 * SECONDS)
    again = await engine.until_tried(dead, 2)
    assert (again.state, again.dead_class, mute.sent(dead)) == (State.DEAD, DeadClass.IN_DOUBT, 1)

    await engine.operator.replay(dead.id, absent=True, **ANNA)

    await engine.until_state(dead, State.DELIVERED)
    assert mute.sent(dead) == 2
    facts = [e.facts for e in await engine.journal.history(submission_id=dead.submission_id) if e.event == "replay"]
    assert [fact.get("absent") for fact in facts] == [None, True]


async def test_only_dead_letters_are_replayed(engine: Engine) -> None:
    done = await engine.until_state(await engine.accept(), State.DELIVERED)

    assert await is_refused(engine.operator.replay(done.id, **ANNA)) == "replay-delivered"
    with pytest.raises(Unknown):
        await engine.operator.replay("01890000-0000-7000-8000-000000000000", **ANNA)


async def test_without_a_reason_nothing_is_done(engine: Engine, register: AskableSystem) -> None:
    dead = await refused(engine, register)

    for action in (
        engine.operator.replay(dead.id, actor="operator:anna", reason=" "),
        engine.operator.close(dead.id, actor="operator:anna", reason=""),
        engine.operator.withdraw(dead.submission_id, actor="operator:anna", reason=""),
        engine.operator.pause("register", actor="operator:anna", reason=""),
    ):
        assert await is_refused(action) == "reason-missing"
    assert await engine.now(dead) == dead


async def test_a_snoozed_dead_letter_comes_back_by_itself(engine: Engine, register: AskableSystem) -> None:
    dead = await refused(engine, register)

    waiting = await engine.operator.snooze(dead.id, until=engine.clock.now() + 24 * HOURS, **ANNA)
    assert waiting.waiting_for is WaitingFor.SNOOZE
    await engine.turn(23 * HOURS)
    assert register.sent(dead) == 1
    await engine.turn(HOURS)

    await engine.until_state(dead, State.DELIVERED)
    past = engine.operator.snooze((await refused(engine, register)).id, until=engine.clock.now(), **ANNA)
    assert await is_refused(past) == "until-is-past"


async def test_what_was_invalid_is_prepared_again_and_only_then_replayed(engine: Engine, register: AskableSystem) -> None:
    submission = a_submission()
    invalid = a_delivery(submission, **DEAD | {"dead_class": DeadClass.INVALID, "target": None})
    await engine.accept_all(submission, invalid, body=b"<formular/>")
    assert await is_refused(engine.operator.replay(invalid.id, **ANNA)) == "still-faulty"

    async def remake(dossier: Dossier, delivery: Delivery) -> Remade:
        body = b"<hund/>"
        part = Part(Role.MESSAGE, "application/xml", body, hashlib.sha256(body).digest(), made_from=0, made_by="mapping:1")
        return Remade(target="register", document=1, authority="heilbronn", leistung="hundesteuer", parts=(part,))

    engine.operator._preparing._remake = remake
    await engine.operator.replay(invalid.id, **ANNA)
    done = await engine.until_state(invalid, State.DELIVERED)

    assert (done.target, done.document, done.authority) == ("register", 1, "heilbronn")
    assert register.envelopes[0].document == b"<hund/>"


async def test_an_edited_document_is_sent_instead_and_the_first_one_is_kept(engine: Engine, register: AskableSystem) -> None:
    dead = await refused(engine, register)
    part = Part(Role.EDITED, "application/xml", b"<hund chip='1'/>", hashlib.sha256(b"<hund chip='1'/>").digest())

    await engine.operator.edit(dead.id, part=part, **ANNA)
    await engine.until_state(dead, State.DELIVERED)

    assert [envelope.document for envelope in register.envelopes] == [b"<hund/>", b"<hund chip='1'/>"]
    assert await engine.journal.body(dead.submission_id, 0) == b"<hund/>"
    dossier = await engine.journal.dossier(dead.submission_id)
    assert dossier is not None
    assert [(info.no, info.role, info.made_from) for info in dossier.documents] == [(0, Role.RECEIVED, None), (1, Role.EDITED, 0)]


# --- against a doubt


@pytest.mark.parametrize("action", ["return", "redirect", "forward", "edit", "withdraw"])
async def test_nothing_that_could_make_a_second_case_is_done_in_doubt(
    engine: Engine, mute: CaseSystem, action: str
) -> None:
    dead = await doubtful(engine, mute)
    operator = engine.operator
    part = Part(Role.EDITED, "application/xml", b"<x/>", b"0" * 32)
    actions: dict[str, Callable[[], Awaitable[Any]]] = {
        "return": lambda: operator.return_(dead.id, **ANNA),
        "redirect": lambda: operator.redirect(dead.id, target="register", **ANNA),
        "forward": lambda: operator.forward(dead.id, target="register", authority="heilbronn", **ANNA),
        "edit": lambda: operator.edit(dead.id, part=part, **ANNA),
        "withdraw": lambda: operator.withdraw(dead.submission_id, **ANNA),
    }

    assert await is_refused(actions[action]()) in ("in-doubt", "case-exists")
    assert await engine.now(dead) == dead


# --- return, close, withdraw


async def test_returning_ends_it_and_what_waited_for_it(engine: Engine) -> None:
    submission = a_submission()
    case = a_delivery(submission, **DEAD)
    copy = a_delivery(submission, target="e-akte", purpose=Purpose.COPY, after=case.id)
    await engine.accept_all(submission, case, copy)

    await engine.operator.return_(case.id, **ANNA)

    assert (await engine.now(case)).state is State.RETURNED
    assert (await engine.now(copy)).state is State.WITHDRAWN


@pytest.mark.parametrize("other", [State.PENDING, State.DELIVERED, State.CLOSED])
async def test_nothing_is_returned_while_a_case_exists_or_is_under_way(engine: Engine, other: State) -> None:
    submission = a_submission()
    dead = a_delivery(submission, **DEAD)
    sibling = a_delivery(submission, target="e-akte")
    if other is State.PENDING:
        await engine.operator.pause("e-akte", **ANNA)
        await engine.turn(SECONDS)
    if other is State.CLOSED:
        sibling = replace(sibling, **DEAD)
    await engine.accept_all(submission, dead, sibling)
    if other is State.CLOSED:
        await engine.operator.close(sibling.id, **ANNA)
    await engine.until_state(sibling, other)

    assert await is_refused(engine.operator.return_(dead.id, **ANNA)) == "case-exists"


async def two_dead(engine: Engine, register: AskableSystem) -> tuple[Delivery, Delivery]:
    """Of one submission for two case systems."""
    submission = a_submission(received_at=engine.clock.now())
    first, second = a_delivery(submission, target="register"), a_delivery(submission, target="neckarsulm", **DEAD)
    register.script.append(sdk.Refused("nein"))
    await engine.accept_all(submission, first, second)
    return await engine.until_state(first, State.DEAD), await engine.now(second)


async def test_what_is_returned_is_returned_as_a_whole(engine: Engine, register: AskableSystem) -> None:
    """The portal hears that nothing has come of it, and the citizen files again: nothing may come of it any more."""
    first, second = await two_dead(engine, register)
    await engine.operator.return_(first.id, **ANNA)

    assert (await engine.now(second)).state is State.RETURNED
    assert await is_refused(engine.operator.replay(second.id, **ANNA)) == "replay-returned"


async def test_of_two_operators_who_return_and_replay_at_once_one_is_told_that_it_moved(
    engine: Engine, register: AskableSystem
) -> None:
    first, second = await two_dead(engine, register)
    done = await asyncio.gather(
        engine.operator.return_(first.id, **ANNA), engine.operator.replay(second.id, **ANNA), return_exceptions=True
    )
    assert sum(isinstance(each, Delivery) for each in done) == 1
    await engine.settle()
    states = {(await engine.now(each)).state for each in (first, second)}
    assert states in ({State.RETURNED}, {State.DEAD, State.DELIVERED})


async def test_what_waits_for_what_waits_for_it_is_withdrawn_too(engine: Engine, register: AskableSystem) -> None:
    submission = a_submission(received_at=engine.clock.now())
    case = a_delivery(submission, target="register")
    copy = a_delivery(submission, target="e-akte", purpose=Purpose.COPY, after=case.id)
    copy_of_it = a_delivery(submission, target="neckarsulm", purpose=Purpose.COPY, after=copy.id)
    register.script.append(sdk.Refused("nein"))
    await engine.accept_all(submission, case, copy, copy_of_it)
    await engine.until_state(case, State.DEAD)
    await engine.operator.return_(case.id, **ANNA)

    assert [(await engine.now(each)).state for each in (copy, copy_of_it)] == [State.WITHDRAWN] * 2


async def test_what_was_erased_is_not_opened_again(engine: Engine, register: AskableSystem) -> None:
    delivery = await refused(engine, register)
    await engine.operator.close(delivery.id, case_number="HN 1/26", **ANNA)
    assert isinstance(engine.clock, TurnableClock)
    engine.clock.turn(31 * 24 * HOURS)
    assert await engine.journal.erase(at=engine.clock.now()) == 1

    assert await is_refused(engine.operator.reopen(delivery.id, **ANNA)) == "erased"
    assert (await engine.now(delivery)).state is State.CLOSED


async def test_what_was_done_by_hand_keeps_its_number_for_the_copy_and_can_be_reopened(
    engine: Engine, register: AskableSystem
) -> None:
    submission = a_submission()
    case = a_delivery(submission, **DEAD | {"dead_class": DeadClass.EXHAUSTED})
    copy = a_delivery(submission, target="e-akte", purpose=Purpose.COPY, after=case.id)
    await engine.accept_all(submission, case, copy)

    closed = await engine.operator.close(case.id, case_number="H-12", **ANNA)
    await engine.turn(2 * SECONDS)
    await engine.until_state(copy, State.DELIVERED)
    reopened = await engine.operator.reopen(case.id, **ANNA)

    files = engine.targets["e-akte"].connector
    assert isinstance(files, AskableSystem)
    assert files.envelopes[0].predecessor == sdk.Acknowledgement("H-12")
    assert (closed.closed_as, closed.case_number) == (ClosedAs.BY_HAND, "H-12")
    assert (reopened.state, reopened.dead_class, reopened.closed_as) == (State.DEAD, DeadClass.EXHAUSTED, None)


async def test_a_withdrawal_takes_everything_back_or_nothing(engine: Engine) -> None:
    await engine.operator.pause("register", **ANNA)
    await engine.turn(SECONDS)
    submission = a_submission()
    waiting, dead = a_delivery(submission), a_delivery(submission, target="e-akte", **DEAD)
    await engine.accept_all(submission, waiting, dead)

    withdrawn = await engine.operator.withdraw(submission.id, **ANNA)

    assert {one.id for one in withdrawn} == {waiting.id, dead.id}
    assert {(await engine.now(one)).state for one in (waiting, dead)} == {State.WITHDRAWN}
    assert await engine.operator.withdraw(submission.id, **ANNA) == withdrawn  # said twice


async def test_what_is_with_the_case_system_is_not_withdrawn(engine: Engine) -> None:
    submission = a_submission()
    done, dead = a_delivery(submission), a_delivery(submission, target="e-akte", **DEAD)
    await engine.accept_all(submission, done, dead)
    await engine.until_state(done, State.DELIVERED)

    assert await is_refused(engine.operator.withdraw(submission.id, **ANNA)) == "case-exists"
    assert (await engine.now(dead)).state is State.DEAD


# --- elsewhere


async def test_a_redirected_delivery_goes_elsewhere_with_its_first_time_of_receipt(
    engine: Engine, register: AskableSystem
) -> None:
    dead = await refused(engine, register)
    await engine.turn(48 * HOURS)

    fresh = await engine.operator.redirect(dead.id, target="neckarsulm", seen_revision=dead.revision, **ANNA)
    done = await engine.until_state(fresh, State.DELIVERED)

    old = await engine.now(dead)
    assert (old.state, old.closed_as) == (State.CLOSED, ClosedAs.REDIRECTED)
    assert (done.target, done.replaces, done.received_at) == ("neckarsulm", dead.id, dead.received_at)
    other = engine.targets["neckarsulm"].connector
    assert isinstance(other, AskableSystem)
    assert other.envelopes[0].received_at == dead.received_at
    assert await is_refused(engine.operator.reopen(dead.id, **ANNA)) == "replaced"


@pytest.mark.parametrize("closed_as", [ClosedAs.REDIRECTED, ClosedAs.FORWARDED])
async def test_what_another_delivery_replaces_is_not_reopened_because_it_would_arrive_twice(
    engine: Engine, register: AskableSystem, closed_as: ClosedAs
) -> None:
    dead = await refused(engine, register)
    if closed_as is ClosedAs.REDIRECTED:
        await engine.operator.redirect(dead.id, target="neckarsulm", **ANNA)
    else:
        await engine.operator.forward(dead.id, target="neckarsulm", authority="stadt-neckarsulm", **ANNA)

    with pytest.raises(NotAllowed) as refusal:
        await engine.operator.reopen(dead.id, **ANNA)

    assert refusal.value.de == "Die Übermittlung wurde durch eine andere ersetzt; bitte dort weiterarbeiten."
    assert refusal.value.en == "The delivery was replaced by another one; please go on there."
    now = await engine.now(dead)
    assert (now.state, now.closed_as) == (State.CLOSED, closed_as)


async def test_what_still_waits_can_be_redirected_too(engine: Engine) -> None:
    await engine.operator.pause("register", **ANNA)
    await engine.turn(SECONDS)
    waiting = await engine.accept()

    fresh = await engine.operator.redirect(waiting.id, target="neckarsulm", **ANNA)

    await engine.until_state(fresh, State.DELIVERED)
    assert (await engine.now(waiting)).closed_as is ClosedAs.REDIRECTED


async def test_a_forwarded_delivery_belongs_to_the_other_authority(engine: Engine, register: AskableSystem) -> None:
    dead = await refused(engine, register)

    fresh = await engine.operator.forward(dead.id, target="neckarsulm", authority="stadt-neckarsulm", **ANNA)

    assert (fresh.authority, (await engine.now(dead)).closed_as) == ("stadt-neckarsulm", ClosedAs.FORWARDED)


async def test_a_faulty_document_is_not_redirected_to_anybody(engine: Engine) -> None:
    submission = a_submission()
    faulty = a_delivery(submission, **(DEAD | {"dead_class": DeadClass.INVALID}))
    await engine.accept_all(submission, faulty)

    assert await is_refused(engine.operator.redirect(faulty.id, target="neckarsulm", **ANNA)) == "invalid"
    assert (await engine.now(faulty)).state is State.DEAD


async def test_a_target_that_has_it_anyway_is_no_place_to_redirect_to(engine: Engine) -> None:
    submission = a_submission()
    dead, done = a_delivery(submission, **DEAD), a_delivery(submission, target="e-akte")
    await engine.accept_all(submission, dead, done)

    assert await is_refused(engine.operator.redirect(dead.id, target="e-akte", **ANNA)) == "target-has-it"
    with pytest.raises(Unknown):
        await engine.operator.redirect(dead.id, target="abolished", **ANNA)


async def test_a_copy_waits_for_the_delivery_that_replaced_the_case(engine: Engine) -> None:
    submission = a_submission()
    case = a_delivery(submission, **DEAD)
    copy = a_delivery(submission, target="e-akte", purpose=Purpose.COPY, after=case.id)
    await engine.accept_all(submission, case, copy)

    await engine.operator.redirect(case.id, target="neckarsulm", **ANNA)
    for _ in range(3):
        await engine.turn(2 * SECONDS)
    await engine.until_state(copy, State.DELIVERED)

    files = engine.targets["e-akte"].connector
    assert isinstance(files, AskableSystem)
    assert files.envelopes[0].predecessor == sdk.Acknowledgement("2026/1", {"status": "201"})


# --- after the delivery


async def test_a_redelivery_is_looked_up_first_and_makes_no_second_case(engine: Engine, register: AskableSystem) -> None:
    done = await engine.until_state(await engine.accept(), State.DELIVERED)

    await engine.operator.redeliver(done.id, **ANNA)
    again = await engine.until(done, lambda now: now.state is State.DELIVERED and now.attempts == 2)

    assert register.log == [("send", done.id), ("find", done.id)]
    assert again.case_number == "2026/1"

    register.kept.clear()  # restored from last night's backup
    await engine.operator.redeliver(done.id, **ANNA)
    await engine.until(done, lambda now: now.state is State.DELIVERED and now.attempts == 3)
    assert register.sent(done) == 2


async def test_what_the_import_refuses_the_next_morning_is_a_dead_letter(engine: Engine) -> None:
    done = await engine.until_state(await engine.accept(), State.DELIVERED)

    dead = await engine.operator.refuse_late(done.id, actor="operator:anna", reason="Importprotokoll: Satz 4711 ungültig")

    assert (dead.state, dead.dead_class, dead.case_number) == (State.DEAD, DeadClass.REFUSED, None)
    assert dead.cause_text is not None
    assert "4711" not in dead.cause_text["de"]


# --- targets


async def test_a_pause_says_what_was_seen_and_survives_a_restart(engine: Engine, register: AskableSystem) -> None:
    paused = await engine.operator.pause("register", **ANNA)
    assert paused.paused_reason == ANNA["reason"]
    with pytest.raises(Moved):
        await engine.operator.pause("register", seen_revision=paused.revision - 1, **ANNA)
    with pytest.raises(Unknown):
        await engine.operator.pause("abolished", **ANNA)

    await engine.stop()
    await engine.start()
    delivery = await engine.accept()
    await engine.turn(5 * SECONDS)
    assert register.log == []

    resumed = await engine.operator.resume("register", **ANNA)
    await engine.turn(SECONDS)
    await engine.until_state(delivery, State.DELIVERED)
    assert resumed.paused_at is None
    assert await engine.operator.resume("register", **ANNA) == resumed  # said twice


async def test_resuming_a_broken_target_probes_it_at_once(engine: Engine, register: AskableSystem) -> None:
    register.script.extend([sdk.Unavailable("no route")] * 100)
    deliveries = [await engine.accept() for _ in range(20)]
    await engine.turn(SECONDS)
    assert (await engine.journal.target_states())["register"].breaker is Breaker.OPEN

    register.script.clear()  # repaired
    await engine.operator.resume("register", **ANNA)
    await engine.turn(2 * SECONDS)

    await engine.until(deliveries[19], lambda now: now.state is State.DELIVERED)
