"""What people read and change: dead letters, history, targets, figures, keys of portals."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.adapters.journal import SqlJournal
from gateway.ports import Backlog, Breaker, Credential, DeadLetterFilter, TargetChange, TargetState
from gateway.submission import ClosedAs, DeadClass, Delivery, Event, Purpose, State
from tests.clock import EPOCH, TurnableClock
from tests.contract.examples import LEASE, acceptance, change, delivery, digest
from tests.contract.journals import Place

HOUR = timedelta(hours=1)


async def dead(journal: SqlJournal, **fields: object) -> Delivery:
    at = fields.pop("at", EPOCH)
    one = acceptance(at=at, deliveries=[{"dead": DeadClass.REFUSED} | fields])  # type: ignore[arg-type]
    await journal.accept(one)
    return one.deliveries[0]


# --- dead letters


async def test_dead_letters_come_oldest_first_page_by_page(journal: SqlJournal) -> None:
    letters = [await dead(journal, at=EPOCH + n * HOUR) for n in (2, 0, 1, 1, 3)]
    expected = [d.id for d in sorted(letters, key=lambda d: d.received_at)]

    first = await journal.dead_letters(DeadLetterFilter(), limit=2)
    second = await journal.dead_letters(DeadLetterFilter(), limit=2, after=first[-1][0].id)
    third = await journal.dead_letters(DeadLetterFilter(), limit=2, after=second[-1][0].id)

    assert [d.id for page in (first, second, third) for d, _ in page] == expected
    assert all(s.id == d.submission_id for d, s in first)
    assert await journal.dead_letters(DeadLetterFilter(), limit=2, after="unknown") == []


@pytest.mark.parametrize(("field", "value"), [
    ("target", "a"), ("leistung", "wohngeld"), ("authority", "stadt"), ("dead_class", DeadClass.POISON), ("cause", digest("c")),
])
async def test_dead_letters_are_filtered_by_every_field(journal: SqlJournal, field: str, value: object) -> None:
    wanted = await dead(journal, **{"dead" if field == "dead_class" else field: value})
    await dead(journal, cause=digest("other"))

    found = await journal.dead_letters(DeadLetterFilter(**{field: value}), limit=10)  # type: ignore[arg-type]

    assert [d.id for d, _ in found] == [wanted.id]


async def test_dead_letters_before_a_time_are_those_that_were_dead_by_then(journal: SqlJournal) -> None:
    early = await dead(journal)
    one = acceptance()
    await journal.accept(one)
    mine = await journal.claim(one.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")
    assert mine is not None
    await journal.advance(change(mine, Event.GIVE_UP, at=EPOCH + HOUR))

    found = await journal.dead_letters(DeadLetterFilter(before=EPOCH + HOUR), limit=10)

    assert [d.id for d, _ in found] == [early.id]


# --- history


async def test_the_history_of_a_submission_is_only_its_own_and_in_order(journal: SqlJournal) -> None:
    letter, other = await dead(journal), await dead(journal)
    await journal.advance(change(letter, Event.REPLAY, actor="operator-7", private={"reason": "Adresse berichtigt"}))

    lines = await journal.history(submission_id=letter.submission_id)

    assert [(line.event, line.actor) for line in lines] == [("hold", "portal service-bw"), ("replay", "operator-7")]
    assert lines[1].private == {"reason": "Adresse berichtigt"}
    assert [line.no for line in await journal.history(after=lines[0].no, limit=1)] == [lines[0].no + 1]
    assert [line.event for line in await journal.history(submission_id=other.submission_id)] == ["hold"]


async def test_a_note_belongs_to_a_submission_or_to_none(journal: SqlJournal) -> None:
    letter = await dead(journal)
    await journal.note(at=EPOCH, actor="operator-7", subject=letter.id, event="note", facts={"n": 1},
                       private={"text": "Frau B. ruft an"}, submission_id=letter.submission_id)
    await journal.note(at=EPOCH, actor="nahtlos", subject="gateway", event="started", facts={"version": "1"},
                       private={"why": "Wartung"})

    mine, everyones = (await journal.history())[-2:]

    assert (mine.submission_id, mine.private) == (letter.submission_id, {"text": "Frau B. ruft an"})
    assert (everyones.submission_id, everyones.private, dict(everyones.facts)) == (None, {"why": "Wartung"}, {"version": "1"})


async def test_a_portal_follows_its_own_submissions_by_sealed_numbers(journal: SqlJournal) -> None:
    ids = []
    for portal in ("service-bw", "amt24", "service-bw", "service-bw"):
        one = acceptance(portal=portal)
        await journal.accept(one)
        ids.append(one.submission.id)
    assert await journal.since("service-bw", 0, 10) == (0, [])
    await journal.seal(at=EPOCH)

    cursor, first = await journal.since("service-bw", 0, 2)
    end, rest = await journal.since("service-bw", cursor, 2)

    assert (first, rest) == ([ids[0], ids[2]], [ids[3]])
    assert await journal.since("service-bw", end, 2) == (end, [])
    assert await journal.since(None, 0, 10) == (4, ids)


async def test_a_submission_comes_again_when_something_happened_to_it(journal: SqlJournal) -> None:
    letter = await dead(journal)
    await journal.seal(at=EPOCH)
    cursor, _ = await journal.since(None, 0, 10)

    await journal.advance(change(letter, Event.RETURN))
    await journal.seal(at=EPOCH)

    assert await journal.since(None, cursor, 10) == (cursor + 1, [letter.submission_id])


async def test_the_latest_lines_are_the_last_ones_in_the_order_they_happened(journal: SqlJournal) -> None:
    letter = await dead(journal)
    await dead(journal)
    await journal.note(at=EPOCH, actor="operator:x", subject="x", event="seen", facts={}, submission_id=letter.submission_id)

    lines = await journal.history()

    assert await journal.latest(limit=2) == lines[-2:]
    assert await journal.latest(limit=99) == lines
    assert [line.event for line in await journal.latest(submission_id=letter.submission_id, limit=1)] == ["seen"]


async def test_a_submission_is_found_by_its_reference(journal: SqlJournal) -> None:
    one = acceptance()
    await journal.accept(one)

    assert await journal.submission_named(one.submission.reference) == one.submission.id
    assert await journal.submission_named("00000000000") is None


# --- targets


async def test_a_target_is_paused_and_resumed_by_compare_and_swap(journal: SqlJournal) -> None:
    running = TargetState("steuer-hn")
    paused = replace(running, paused_reason="Umzug des Rechenzentrums", paused_at=EPOCH, paused_until=EPOCH + HOUR, revision=1)

    pause = TargetChange(running, paused, "pause", EPOCH, "operator-7", {"n": 1}, {"reason": "Umzug"})
    assert await journal.advance_target(pause)
    assert not await journal.advance_target(TargetChange(running, paused, "pause", EPOCH, "operator-8"))
    assert await journal.target_states() == {"steuer-hn": paused}

    open_ = replace(paused, breaker=Breaker.OPEN, breaker_cause="Zertifikat abgelaufen", breaker_since=EPOCH,
                    probe_at=EPOCH + HOUR, streak=5, streak_cause=digest("c"), revision=2)
    assert await journal.advance_target(TargetChange(paused, open_, "open", EPOCH, "nahtlos"))
    assert not await journal.advance_target(TargetChange(paused, open_, "open", EPOCH, "nahtlos"))
    assert await journal.target_states() == {"steuer-hn": open_}
    assert [(line.subject, line.event, line.private) for line in await journal.history()] == [
        ("target steuer-hn", "pause", {"reason": "Umzug"}), ("target steuer-hn", "open", None)]


async def test_while_a_target_stands_still_so_does_the_patience_of_what_waits_for_it(journal: SqlJournal) -> None:
    waiting = acceptance(deliveries=[{"give_up_at": EPOCH + HOUR}, {"give_up_at": EPOCH + HOUR, "target": "b"}, {"target": "c"}])
    await journal.accept(waiting)
    before = TargetState("steuer-hn")

    await journal.advance_target(TargetChange(before, replace(before, revision=1), "resume", EPOCH, "o", stood_still=5 * HOUR))

    mine, other, never = [await journal.delivery(d.id) for d in waiting.deliveries]
    assert mine is not None
    assert mine.give_up_at == EPOCH + 6 * HOUR
    assert other == waiting.deliveries[1]
    assert never == waiting.deliveries[2]
    assert not await journal.advance(change(waiting.deliveries[0], Event.EXPIRE)), "what was seen before is out of date"


# --- figures


async def test_the_backlog_counts_what_is_open_by_target(journal: SqlJournal) -> None:
    every: list[dict[str, Any]] = [
        {}, {}, {"dead": DeadClass.REFUSED, "in_doubt": True}, {"target": "b"}, {"dead": DeadClass.UNROUTABLE, "target": None}]
    for n, fields in enumerate(every):
        await journal.accept(acceptance(at=EPOCH + n * HOUR, deliveries=[fields]))
    (due, *_) = await journal.due("steuer-hn", at=EPOCH, limit=1)
    await journal.claim(due.delivery_id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")

    assert await journal.backlog() == [
        Backlog("", {"dead": 1}, 0, EPOCH + 4 * HOUR),
        Backlog("b", {"pending": 1}, 0, EPOCH + 3 * HOUR),
        Backlog("steuer-hn", {"pending": 1, "delivering": 1, "dead": 1}, 1, EPOCH),
    ]


async def test_what_has_ended_is_counted_once_and_moves_when_it_is_reopened(place: Place, journal: SqlJournal) -> None:
    async def outcomes() -> dict[tuple[str, str], int]:
        tallies = await journal.tallies(EPOCH.date(), EPOCH.date() + timedelta(days=30))
        return {(tally.outcome, tally.within): tally.n for tally in tallies if tally.n}

    letter = await dead(journal)
    assert await outcomes() == {}
    closed = change(letter, Event.CLOSE, at=EPOCH + 2 * HOUR)
    await journal.advance(closed)
    assert await outcomes() == {("by_hand", "1d"): 1}
    reopened = change(closed.after, Event.REOPEN, at=EPOCH + 3 * HOUR)
    await journal.advance(reopened)
    assert await outcomes() == {}
    again = change(reopened.after, Event.REPLAY, at=EPOCH + 4 * HOUR)
    await journal.advance(again)
    mine = await journal.claim(letter.id, at=EPOCH + 4 * HOUR, lease_until=EPOCH + 5 * HOUR, by="w")
    assert mine is not None
    await journal.advance(change(mine, Event.CONFIRM, at=EPOCH + timedelta(days=20)))
    assert await outcomes() == {("delivered", "longer"): 1}
    (tally,) = [t for t in await journal.tallies(EPOCH.date(), EPOCH.date() + timedelta(days=30)) if t.n]
    assert (tally.authority, tally.leistung, tally.portal) == ("lk-beispiel", "hundesteuer", "service-bw")
    assert tally.day == (EPOCH + timedelta(days=20)).astimezone(ZoneInfo("Europe/Berlin")).date()


async def test_tests_copies_notices_and_what_moved_on_are_no_cases_that_ended(journal: SqlJournal) -> None:
    one = acceptance(test=True, deliveries=[{"dead": DeadClass.REFUSED}])
    two = acceptance(deliveries=[{"dead": DeadClass.REFUSED, "purpose": Purpose.COPY}])
    three = acceptance(deliveries=[{"dead": DeadClass.REFUSED}])
    for given in (one, two, three):
        await journal.accept(given)
    await journal.advance(change(one.deliveries[0], Event.CLOSE))
    await journal.advance(change(two.deliveries[0], Event.CLOSE))
    moved = three.deliveries[0]
    await journal.advance(change(moved, Event.CLOSE, closed_as=ClosedAs.FORWARDED,
                                 opens=[delivery(moved.submission_id, target="b", replaces=moved.id)]))

    assert await journal.tallies(EPOCH.date(), EPOCH.date()) == []


# --- credentials


async def test_keys_of_portals_are_kept_changed_and_revoked_with_a_line_each(
    journal: SqlJournal, clock: TurnableClock
) -> None:
    key = Credential("k1", "service-bw", "portal-key", digest("secret"), ("*",), EPOCH, EPOCH + timedelta(days=365))

    await journal.put_credential(key, actor="admin", at=EPOCH)
    await journal.put_credential(replace(key, last_used_on="2026-03-02"), actor="nahtlos", at=EPOCH)
    revoked = replace(key, last_used_on="2026-03-02", revoked_at=EPOCH + HOUR)
    await journal.put_credential(revoked, actor="admin", at=EPOCH + HOUR)

    assert await journal.credentials() == [revoked]
    assert [(line.event, line.actor) for line in await journal.history()] == [
        ("credential-made", "admin"), ("credential-revoked", "admin")]
    assert digest("secret").hex() not in str(await journal.history())


async def test_states_of_a_delivery_that_was_never_accepted_are_none(journal: SqlJournal) -> None:
    assert await journal.dossier("unknown") is None
    assert await journal.delivery("unknown") is None
    assert await journal.history(submission_id="unknown") == []
    assert not await journal.advance(change(delivery("unknown", dead=DeadClass.REFUSED), Event.RETURN))
    assert State.DEAD not in {d.state for d, _ in await journal.dead_letters(DeadLetterFilter(), limit=1)}
    with pytest.raises(LookupError):
        await journal.body("unknown", 0)
