"""Accepting: all or nothing, once per key, exact bytes, and never for one at the expense of another."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.adapters.journal import STAGED_FROM, SqlJournal
from gateway.claims import by_key, by_message
from gateway.ports import Acceptance, Accepted, KeyReused, Role
from gateway.submission import DeadClass, Purpose, State
from tests.clock import TurnableClock
from tests.contract.examples import acceptance, claim, digest, order_of_a_new_one, part
from tests.contract.journals import Place


async def test_what_was_accepted_is_there_after_a_restart(place: Place, journal: SqlJournal) -> None:
    given = acceptance(key="k", traceparent="00-a-b-01", message_uuid="u-1", erase_after=place.clock.now() + timedelta(days=90))

    accepted = await journal.accept(given)
    journal = await place.reopen(journal)

    assert isinstance(accepted, Accepted)
    dossier = await journal.dossier(given.submission.id)
    assert dossier is not None
    assert replace(dossier.submission, order=0) == accepted.submission == given.submission
    assert dossier.deliveries == tuple(given.deliveries)
    assert await journal.body(given.submission.id, 0) == given.parts[0].body


async def test_every_new_submission_gets_the_next_order_number(journal: SqlJournal) -> None:
    orders = [await order_of_a_new_one(journal) for _ in range(3)]

    assert orders == sorted(set(orders))


async def test_all_documents_come_back_as_they_were(journal: SqlJournal) -> None:
    given = acceptance(bodies=[b"<a/>", b"", b"\x00\xff" * 70_000])
    given.parts[1:] = [part(b"", role=Role.ATTACHMENT, name="Müller.pdf", media_type="application/pdf"), given.parts[2]]  # type: ignore[index]

    await journal.accept(given)

    dossier = await journal.dossier(given.submission.id)
    assert dossier is not None
    assert [(d.no, d.role, d.name, d.size, d.digest) for d in dossier.documents] == [
        (no, p.role, p.name, len(p.body), p.digest) for no, p in enumerate(given.parts)
    ]
    assert [await journal.body(given.submission.id, no) for no in range(3)] == [p.body for p in given.parts]


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, STAGED_FROM, STAGED_FROM + 1, 9 << 20])
async def test_large_documents_come_back_whole_and_in_pieces_of_a_mebibyte(journal: SqlJournal, size: int) -> None:
    body = os.urandom(size)
    given = acceptance(bodies=[b"<a/>", body])

    await journal.accept(given)

    pieces = [piece async for piece in journal.chunks(given.submission.id, 1)]
    assert b"".join(pieces) == body == await journal.body(given.submission.id, 1)
    assert max(map(len, pieces)) == 1 << 20


async def test_nobody_sees_a_large_submission_before_it_is_complete(journal: SqlJournal) -> None:
    given = acceptance(bodies=[os.urandom(24 << 20)])
    accepting = asyncio.create_task(journal.accept(given))

    seen_early = 0
    while not accepting.done():
        seen_early += await journal.dossier(given.submission.id) is not None and not accepting.done()
        await asyncio.sleep(0)

    assert isinstance(await accepting, Accepted)
    assert seen_early <= 1  # between the commit and its news reaching us
    assert await journal.dossier(given.submission.id) is not None


async def test_a_large_upload_that_was_cut_off_leaves_nothing_behind(place: Place, journal: SqlJournal) -> None:
    given = acceptance(bodies=[os.urandom(16 << 20)], key="k")
    accepting = asyncio.create_task(journal.accept(given))
    while place.execute("select count(*) from chunk") == [(0,)]:
        await asyncio.sleep(0.001)

    accepting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await accepting
    await journal.note(at=place.clock.now(), actor="t", subject="t", event="t", facts={})  # what was queued is done

    assert place.execute("select count(*) from chunk") == [(0,)]
    assert await journal.dossier(given.submission.id) is None


async def test_a_large_upload_under_a_power_cut_is_cleared_away_at_the_next_start(place: Place, journal: SqlJournal) -> None:
    kept = acceptance()
    await journal.accept(kept)
    place.execute("update submission set staged = 1, id = 'half' where id = ?", kept.submission.id)
    place.execute("delete from history"), place.execute("delete from delivery"), place.execute("delete from document")

    journal = await place.reopen(journal)

    assert place.execute("select (select count(*) from submission), (select count(*) from chunk)") == [(0, 0)]
    assert await order_of_a_new_one(journal) > 1


async def test_a_submission_without_a_delivery_is_refused(journal: SqlJournal) -> None:
    with pytest.raises(ValueError, match="would be lost"):
        await journal.accept(acceptance(deliveries=[]))


async def test_a_held_submission_is_a_dead_letter_from_the_start(journal: SqlJournal) -> None:
    held = acceptance(deliveries=[{"dead": DeadClass.UNROUTABLE, "target": None, "cause_text": {"de": "kein Leitweg"}}])

    await journal.accept(held)

    dossier = await journal.dossier(held.submission.id)
    assert dossier is not None
    assert dossier.deliveries[0].state is State.DEAD
    assert dossier.deliveries[0].cause_text == {"de": "kein Leitweg"}
    assert [line.event for line in await journal.history(submission_id=held.submission.id)] == ["hold"]


async def test_several_targets_keep_their_purpose_and_who_waits_for_whom(journal: SqlJournal) -> None:
    given = acceptance(deliveries=[{}, {"purpose": Purpose.COPY, "target": "e-akte"}])
    case, copy = given.deliveries
    given.deliveries[1] = copy = type(copy)(**{f: getattr(copy, f) for f in copy.__slots__} | {"after": case.id})  # type: ignore[index]

    await journal.accept(given)

    stored = await journal.delivery(copy.id)
    assert stored == copy


# --- keys (P4)


def is_repeat_of(first: Accepted, answer: Accepted | KeyReused | None) -> bool:
    return isinstance(answer, Accepted) and answer.replayed and replace(answer.submission, order=0) == first.submission


async def test_the_same_key_with_the_same_content_gives_the_first_submission_again(journal: SqlJournal) -> None:
    first = await journal.accept(acceptance(key="k"))
    again = acceptance(key="k")

    repeated = await journal.accept(again)

    assert isinstance(first, Accepted)
    assert is_repeat_of(first, repeated)
    assert await journal.dossier(again.submission.id) is None


async def test_the_same_key_with_other_content_is_refused(journal: SqlJournal) -> None:
    await journal.accept(acceptance(key="k", content="A"))

    assert await journal.accept(acceptance(key="k", content="B")) == KeyReused("key")


async def test_keys_of_two_portals_have_nothing_to_do_with_each_other(journal: SqlJournal) -> None:
    await journal.accept(acceptance(key="k", content="A", portal="service-bw"))

    other = await journal.accept(acceptance(key="k", content="B", portal="amt24"))

    assert isinstance(other, Accepted)
    assert not other.replayed


async def test_any_claim_that_matches_counts(journal: SqlJournal) -> None:
    first = await journal.accept(acceptance(claims=[claim("k1"), claim("author/uuid", kind="message")]))

    by_message = await journal.accept(acceptance(claims=[claim("k2"), claim("author/uuid", kind="message")]))
    changed = await journal.accept(acceptance(claims=[claim("k3"), claim("author/uuid", kind="message")], content="B"))

    assert isinstance(first, Accepted)
    assert is_repeat_of(first, by_message)
    assert changed == KeyReused("message")


async def test_a_key_that_was_not_taken_in_the_end_is_free(journal: SqlJournal) -> None:
    await journal.accept(acceptance(claims=[claim("m", kind="message")]))
    assert isinstance(await journal.accept(acceptance(claims=[claim("k"), claim("m", kind="message")], content="B")), KeyReused)

    accepted = await journal.accept(acceptance(claims=[claim("k")], content="C"))

    assert isinstance(accepted, Accepted)
    assert not accepted.replayed


async def test_an_expired_key_may_be_used_again(journal: SqlJournal, clock: TurnableClock) -> None:
    await journal.accept(acceptance(claims=[claim("k", days=30)]))
    clock.turn(timedelta(days=30, seconds=1))

    second = await journal.accept(acceptance(at=clock.now(), claims=[claim("k", at=clock.now())], content="B"))

    assert isinstance(second, Accepted)
    assert not second.replayed
    assert await journal.accept(acceptance(key="k", content="A")) == KeyReused("key")


@pytest.mark.parametrize(("size", "senders", "rounds"), [(100, 64, 20), (STAGED_FROM + 1, 12, 2)])
async def test_many_at_once_with_one_key_make_one_submission(
    place: Place, journal: SqlJournal, size: int, senders: int, rounds: int
) -> None:
    for n in range(rounds):
        given = [acceptance(key=f"k{n}", bodies=[bytes(size)]) for _ in range(senders)]
        answers = await asyncio.gather(*[journal.accept(one) for one in given])

        assert len({a.submission.id for a in answers if isinstance(a, Accepted)}) == 1
        assert sum(isinstance(a, Accepted) and not a.replayed for a in answers) == 1
    assert place.execute("select count(*) from submission") == [(rounds,)]
    assert place.execute("select count(distinct submission) from chunk") == [(rounds,)]
    assert place.execute("select count(*) from claim where submission not in (select seq from submission)") == [(0,)]


async def test_a_race_for_one_key_with_two_contents_refuses_one_of_them(journal: SqlJournal) -> None:
    given = [acceptance(key="k", content="AB"[n % 2]) for n in range(20)]

    answers = await asyncio.gather(*[journal.accept(one) for one in given])

    winners = {one.submission.fingerprint for one, a in zip(given, answers, strict=True) if isinstance(a, Accepted)}
    assert len(winners) == 1
    assert sum(isinstance(a, KeyReused) for a in answers) == 10


async def test_a_repeat_is_known_before_anything_is_validated(journal: SqlJournal, clock: TurnableClock) -> None:
    first = await journal.accept(acceptance(key="k", content="A"))

    assert isinstance(first, Accepted)
    assert is_repeat_of(first, await journal.replayed("service-bw", [claim("k")], digest("A")))
    assert await journal.replayed("service-bw", [claim("k")], digest("B")) == KeyReused("key")
    assert await journal.replayed("service-bw", [claim("x")], digest("A")) is None
    assert await journal.replayed("amt24", [claim("k")], digest("A")) is None
    clock.turn(timedelta(days=31))
    assert await journal.replayed("service-bw", [claim("k")], digest("A")) is None


# --- many at once


async def test_many_at_once_share_their_commits(place: Place, journal: SqlJournal) -> None:
    given = [acceptance(key=str(n)) for n in range(300)]
    before = journal.figures()  # type: ignore[attr-defined]

    await asyncio.gather(*[journal.accept(one) for one in given])

    after = journal.figures()  # type: ignore[attr-defined]
    assert after.operations - before.operations == 300
    assert after.commits - before.commits <= 30
    assert place.execute("select count(*) from submission") == [(300,)]


async def test_one_bad_submission_in_a_group_fails_alone(journal: SqlJournal) -> None:
    taken = acceptance()
    await journal.accept(taken)
    given = [acceptance(key=str(n)) for n in range(20)]
    given[7] = acceptance(key="7", reference=taken.submission.reference)

    answers = await asyncio.gather(*[journal.accept(one) for one in given], return_exceptions=True)

    assert isinstance(answers.pop(7), ValueError)
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert await journal.dossier(given[7].submission.id) is None


async def test_senders_that_go_away_while_queued_harm_nobody(journal: SqlJournal) -> None:
    given = [acceptance(key=str(n)) for n in range(200)]
    tasks = [asyncio.create_task(journal.accept(one)) for one in given]
    await asyncio.sleep(0)

    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(answer, Accepted) for answer in answers[1::2])
    assert isinstance(await journal.accept(acceptance(key="0")), Accepted)
    assert journal.oldest_waiting() == timedelta(0)


async def test_every_accepted_submission_has_at_least_one_delivery(place: Place, journal: SqlJournal) -> None:
    await asyncio.gather(*[journal.accept(acceptance(key=str(n % 30), content=str(n % 60))) for n in range(90)])

    assert place.execute(
        "select count(*) from submission s where not exists (select 1 from delivery d where d.submission = s.seq)") == [(0,)]


async def test_a_key_that_got_a_receipt_is_good_for_as_long_as_one_that_was_first(place: Place, journal: SqlJournal) -> None:
    """It stands from the day of that receipt, also when what it was a repeat of has long been forgotten."""
    def told(key: bytes) -> Acceptance:
        at = place.clock.now()
        return acceptance(at=at, message_uuid="u-1", claims=[by_key(key, at=at), by_message("amt", "u-1", at=at)])

    first = await journal.accept(told(b"vorgang-1"))
    place.clock.turn(timedelta(days=80))
    second = await journal.accept(told(b"vorgang-2"))
    place.clock.turn(timedelta(days=11))
    third = await journal.accept(told(b"vorgang-2"))
    assert isinstance(first, Accepted)
    for answer in (second, third):
        assert isinstance(answer, Accepted)
        assert answer.replayed
        assert answer.submission.id == first.submission.id
