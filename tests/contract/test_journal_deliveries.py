"""Deliveries: one worker at a time, nothing overwritten, order kept, and what is due is found."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from gateway.adapters.journal import SqlJournal
from gateway.ports import Due
from gateway.submission import ClosedAs, DeadClass, Delivery, Event, Purpose, State, WaitingFor
from tests.clock import EPOCH, TurnableClock
from tests.contract.examples import LEASE, acceptance, change, delivery, part
from tests.contract.journals import Place


async def given(journal: SqlJournal, *deliveries: dict[str, object], at: datetime = EPOCH) -> list[Delivery]:
    one = acceptance(at=at, deliveries=deliveries or ({},))
    await journal.accept(one)
    return list(one.deliveries)


async def claimed(journal: SqlJournal, delivery: Delivery, *, at: datetime = EPOCH) -> Delivery:
    found = await journal.claim(delivery.id, at=at, lease_until=at + LEASE, by="worker-1")
    assert found is not None
    return found


async def ids_due(journal: SqlJournal, target: str = "steuer-hn", *, at: datetime = EPOCH, limit: int = 100) -> list[str]:
    return [due.delivery_id for due in await journal.due(target, at=at, limit=limit)]


# --- claiming


async def test_a_claimed_delivery_is_in_doubt_from_now_on_and_says_what_it_was_before(journal: SqlJournal) -> None:
    (pending,) = await given(journal)

    mine = await claimed(journal, pending)

    assert mine == replace(
        pending, state=State.DELIVERING, revision=2, waiting_for=None, next_attempt_at=None, lease_until=EPOCH + LEASE,
        claimed_by="worker-1", attempts=1, in_doubt=False,
    )
    assert await journal.delivery(pending.id) == replace(mine, in_doubt=True)


async def test_of_many_claimers_one_wins(journal: SqlJournal) -> None:
    (pending,) = await given(journal)

    answers = await asyncio.gather(*[
        journal.claim(pending.id, at=EPOCH, lease_until=EPOCH + LEASE, by=f"w{n}") for n in range(20)])

    assert sum(answer is not None for answer in answers) == 1


async def test_what_is_not_due_or_unknown_cannot_be_claimed(journal: SqlJournal) -> None:
    (later,) = await given(journal, {"next_attempt_at": EPOCH + timedelta(seconds=1), "waiting_for": WaitingFor.BACKOFF})

    assert await journal.claim(later.id, at=EPOCH, lease_until=EPOCH + LEASE, by="w") is None
    assert await journal.claim("unknown", at=EPOCH, lease_until=EPOCH + LEASE, by="w") is None
    assert await journal.claim(later.id, at=EPOCH + timedelta(seconds=1), lease_until=EPOCH + LEASE, by="w") is not None


async def test_a_worker_that_lost_its_lease_cannot_overwrite(journal: SqlJournal) -> None:
    (pending,) = await given(journal)
    first = await claimed(journal, pending)
    assert await journal.advance(change(replace(first, in_doubt=True), Event.LAPSE, next_attempt_at=EPOCH, crashes=1))
    second = await claimed(journal, pending)

    late = await journal.advance(change(first, Event.CONFIRM))

    assert not late
    assert second.in_doubt
    stored = await journal.delivery(pending.id)
    assert stored is not None
    assert (stored.state, stored.revision, stored.attempts, stored.crashes) == (State.DELIVERING, 4, 2, 1)


# --- advancing


async def test_a_transition_is_stored_with_its_texts_and_its_line_in_the_history(journal: SqlJournal) -> None:
    (pending,) = await given(journal)
    mine = await claimed(journal, pending)
    done = change(mine, Event.CONFIRM, outcome="acknowledged", facts={"status": "201"}, private={"message": "angelegt"})

    assert await journal.advance(done)

    assert await journal.delivery(pending.id) == done.after
    line = (await journal.history(submission_id=pending.submission_id))[-1]
    assert (line.event, line.from_state, line.to_state, line.attempt, line.outcome) == (
        "confirm", "delivering", "delivered", 1, "acknowledged")
    assert (line.actor, line.delivery_id, dict(line.facts), line.private) == (
        "worker-1", pending.id, {"status": "201"}, {"message": "angelegt"})


async def test_of_two_changes_from_the_same_state_one_is_stored(journal: SqlJournal) -> None:
    (dead,) = await given(journal, {"dead": DeadClass.REFUSED})

    answers = await asyncio.gather(*[
        journal.advance(change(dead, event)) for event in (Event.REPLAY, Event.RETURN, Event.CLOSE, Event.WITHDRAW)])

    assert sorted(answers) == [False, False, False, True]
    assert len(await journal.history(submission_id=dead.submission_id)) == 2


async def test_several_changes_are_stored_together_or_not_at_all(journal: SqlJournal) -> None:
    first, second = await given(journal, {}, {"target": "e-akte", "purpose": Purpose.COPY})
    await claimed(journal, second)

    withdrawn = await journal.advance(change(first, Event.WITHDRAW), change(second, Event.WITHDRAW))

    assert not withdrawn
    assert await journal.delivery(first.id) == first
    assert [line.event for line in await journal.history(submission_id=first.submission_id)] == ["accept", "accept", "claim"]


async def test_a_change_that_no_table_knows_never_reaches_the_journal(journal: SqlJournal) -> None:
    (pending,) = await given(journal)
    wrong = replace(change(pending, Event.WITHDRAW), event=Event.RETURN)

    with pytest.raises(ValueError, match="does not lead"):
        await journal.advance(wrong)

    assert await journal.delivery(pending.id) == pending


async def test_a_redirect_closes_one_delivery_and_opens_its_successor(journal: SqlJournal) -> None:
    dead, copy = await given(journal, {"dead": DeadClass.REFUSED}, {"purpose": Purpose.COPY, "target": "e-akte"})
    successor = delivery(dead.submission_id, target="steuer-neu", replaces=dead.id)

    assert await journal.advance(change(dead, Event.CLOSE, closed_as=ClosedAs.REDIRECTED, opens=[successor]))

    assert await journal.delivery(successor.id) == successor
    assert await ids_due(journal, "steuer-neu") == [successor.id]
    assert [line.event for line in await journal.history(submission_id=dead.submission_id)][-2:] == ["close", "accept"]
    assert await journal.delivery(copy.id) == copy


async def test_who_waits_for_a_redirected_delivery_waits_for_its_successor(journal: SqlJournal) -> None:
    one = acceptance(deliveries=[{"dead": DeadClass.REFUSED}, {"purpose": Purpose.COPY, "target": "e-akte"}])
    dead, copy = one.deliveries
    one.deliveries[1] = copy = replace(copy, after=dead.id)  # type: ignore[index]
    await journal.accept(one)
    successor = delivery(dead.submission_id, target="steuer-neu", replaces=dead.id)

    await journal.advance(change(dead, Event.CLOSE, closed_as=ClosedAs.REDIRECTED, opens=[successor]))

    assert await ids_due(journal, "e-akte") == []
    await journal.advance(change(await claimed(journal, successor), Event.CONFIRM))
    assert await ids_due(journal, "e-akte") == [copy.id]
    waiting = await journal.delivery(copy.id)
    assert waiting is not None
    assert waiting.after == successor.id


async def test_nothing_is_opened_twice_for_one_target(journal: SqlJournal) -> None:
    dead, _ = await given(journal, {"dead": DeadClass.REFUSED}, {"target": "steuer-neu"})
    second = delivery(dead.submission_id, target="steuer-neu", replaces=dead.id)

    assert not await journal.advance(change(dead, Event.CLOSE, closed_as=ClosedAs.REDIRECTED, opens=[second]))

    assert await journal.delivery(dead.id) == dead


async def test_several_notices_may_go_to_one_portal(journal: SqlJournal) -> None:
    (pending,) = await given(journal)
    first, second = (delivery(pending.submission_id, purpose=Purpose.NOTICE, target="portal") for _ in range(2))
    mine = await claimed(journal, pending)

    assert await journal.advance(change(mine, Event.GIVE_UP, opens=[first]))
    dead = await journal.delivery(pending.id)
    assert dead is not None
    assert await journal.advance(change(dead, Event.RETURN, opens=[second]))


async def test_an_edit_adds_a_document_and_points_the_delivery_to_it(journal: SqlJournal) -> None:
    (dead,) = await given(journal, {"dead": DeadClass.INVALID})
    repaired = part(b"<antrag>repaired</antrag>", made_from=0, made_by="operator")

    assert await journal.advance(change(
        dead, Event.REPLAY, next_attempt_at=EPOCH, waiting_for=WaitingFor.TURN, document=1, parts=[repaired]))

    stored = await journal.delivery(dead.id)
    assert stored is not None
    assert await journal.body(dead.submission_id, stored.document) == repaired.body
    assert await journal.body(dead.submission_id, 0) == b"<antrag>A</antrag>"


async def test_two_edits_at_once_never_point_to_each_others_document(journal: SqlJournal) -> None:
    one, two = await given(journal, {"dead": DeadClass.INVALID}, {"dead": DeadClass.INVALID, "target": "b"})
    edits = [change(d, Event.REPLAY, document=1, parts=[part(d.id.encode())]) for d in (one, two)]

    answers = await asyncio.gather(*[journal.advance(edit) for edit in edits])

    assert sorted(answers) == [False, True]
    winner = (one, two)[answers.index(True)]
    assert await journal.body(winner.submission_id, 1) == winner.id.encode()


# --- what is due


async def test_due_is_per_target_oldest_first_and_no_more_than_asked(journal: SqlJournal) -> None:
    waiting = [
        (await given(journal, {"next_attempt_at": EPOCH + timedelta(seconds=s), "crashes": s}))[0] for s in (3, 1, 2, 9)]
    await given(journal, {"target": "other"})

    found = await journal.due("steuer-hn", at=EPOCH + timedelta(seconds=3), limit=2)

    assert found == [Due(waiting[1].id, "steuer-hn", 1), Due(waiting[2].id, "steuer-hn", 2)]


async def test_of_one_order_only_the_first_is_due_until_it_is_at_an_end(journal: SqlJournal) -> None:
    first, second = [(await given(journal, {"order_key": b"case-1"}))[0] for _ in range(2)]
    (other,) = await given(journal, {"order_key": b"case-2"})
    (elsewhere,) = await given(journal, {"order_key": b"case-1", "target": "b"})

    assert await ids_due(journal) == [first.id, other.id]
    assert await ids_due(journal, "b") == [elsewhere.id]
    assert await journal.claim(second.id, at=EPOCH, lease_until=EPOCH + LEASE, by="w") is None
    mine = await claimed(journal, first)
    assert second.id not in await ids_due(journal)
    await journal.advance(change(mine, Event.GIVE_UP))
    assert second.id not in await ids_due(journal)  # a dead letter stands before it
    dead = await journal.delivery(first.id)
    assert dead is not None
    await journal.advance(change(dead, Event.CLOSE))
    assert second.id in await ids_due(journal)
    assert await journal.claim(second.id, at=EPOCH, lease_until=EPOCH + LEASE, by="w") is not None


@pytest.mark.parametrize("ending", [Event.CONFIRM, Event.CLOSE, Event.RETURN])
async def test_a_copy_waits_until_its_case_is_at_an_end(journal: SqlJournal, ending: Event) -> None:
    one = acceptance(deliveries=[{}, {"purpose": Purpose.COPY, "target": "e-akte"}])
    case, copy = one.deliveries
    one.deliveries[1] = replace(copy, after=case.id)  # type: ignore[index]
    await journal.accept(one)
    assert await ids_due(journal, "e-akte") == []
    assert await journal.claim(copy.id, at=EPOCH, lease_until=EPOCH + LEASE, by="w") is None

    mine = await claimed(journal, case)
    if ending is not Event.CONFIRM:
        await journal.advance(change(mine, Event.GIVE_UP))
        assert await ids_due(journal, "e-akte") == []
        mine = await journal.delivery(case.id)  # type: ignore[assignment]
    await journal.advance(change(mine, ending))

    assert await ids_due(journal, "e-akte") == [copy.id]


async def test_the_next_due_time_is_the_earliest_of_attempt_lease_and_end_of_patience(journal: SqlJournal) -> None:
    assert await journal.next_due() is None
    (later,) = await given(journal, {"next_attempt_at": EPOCH + timedelta(hours=2)})
    assert await journal.next_due() == EPOCH + timedelta(hours=2)
    await given(journal, {"next_attempt_at": EPOCH + timedelta(hours=3), "give_up_at": EPOCH + timedelta(hours=1), "target": "b"})
    assert await journal.next_due() == EPOCH + timedelta(hours=1)
    await claimed(journal, later, at=EPOCH + timedelta(hours=2))
    assert await journal.next_due() == EPOCH + timedelta(hours=1)
    (now,) = await given(journal)
    await claimed(journal, now)
    assert await journal.next_due() == EPOCH + LEASE


async def test_what_is_in_flight_is_known_by_target(journal: SqlJournal) -> None:
    first, second, other = [(await given(journal, {"target": target}))[0] for target in ("a", "a", "b")]
    for pending in (first, second, other):
        await claimed(journal, pending)
    await given(journal, {"target": "a"}, {"target": "c"})

    assert [await journal.in_flight(target) for target in ("a", "b", "c")] == [{first.id, second.id}, {other.id}, set()]


async def test_lapsed_leases_are_found_and_only_those(journal: SqlJournal) -> None:
    one, two = [(await given(journal))[0] for _ in range(2)]
    await claimed(journal, one)
    await claimed(journal, two, at=EPOCH + timedelta(seconds=30))

    found = await journal.lapsed(at=EPOCH + LEASE, limit=10)

    assert [(d.id, d.in_doubt) for d in found] == [(one.id, True)]


async def test_overdue_are_those_past_their_time_to_give_up(journal: SqlJournal) -> None:
    (late,) = await given(journal, {"give_up_at": EPOCH, "next_attempt_at": EPOCH + timedelta(hours=1)})
    await given(journal, {"give_up_at": EPOCH + timedelta(seconds=1)})
    await given(journal)

    assert [d.id for d in await journal.overdue(at=EPOCH, limit=10)] == [late.id]
    assert await journal.overdue(at=EPOCH, limit=10, besides=("other", late.target or "")) == []
    assert len(await journal.overdue(at=EPOCH, limit=10, besides=("other", "steuer"))) == 1


async def test_a_restart_changes_neither_state_nor_attempts_nor_due_time(place: Place, journal: SqlJournal) -> None:
    (pending,) = await given(journal)
    mine = await claimed(journal, pending)
    waiting = change(mine, Event.POSTPONE, failing_since=EPOCH, give_up_at=EPOCH + timedelta(hours=72),
                     cause_text={"de": "nicht erreichbar", "en": "not reachable"}, code="connect")
    await journal.advance(waiting)

    place.clock.turn(timedelta(days=2))
    journal = await place.reopen(journal)

    assert await journal.delivery(pending.id) == waiting.after
    assert await ids_due(journal, at=EPOCH + timedelta(seconds=4)) == []
    assert await ids_due(journal, at=EPOCH + timedelta(seconds=5)) == [pending.id]


# --- steps


async def test_steps_of_a_delivery_survive_a_restart(place: Place, journal: SqlJournal) -> None:
    (pending,) = await given(journal)

    await journal.put_step(pending.id, "upload", b"one", at=EPOCH)
    await journal.put_step(pending.id, "upload", b"two", at=EPOCH)
    await journal.put_step(pending.id, "submit", b"three", at=EPOCH)
    journal = await place.reopen(journal)

    assert await journal.steps(pending.id) == {"upload": b"two", "submit": b"three"}
    assert await journal.steps("unknown") == {}


async def test_a_clock_that_was_set_back_changes_no_order(journal: SqlJournal, clock: TurnableClock) -> None:
    first, second = [(await given(journal, {"order_key": b"k"}, at=at))[0] for at in (EPOCH, EPOCH - timedelta(hours=1))]

    assert await ids_due(journal) == [first.id]
    assert await journal.claim(second.id, at=EPOCH, lease_until=EPOCH + LEASE, by="w") is None
