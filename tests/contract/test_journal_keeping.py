"""Keeping: sealed against tampering, encrypted, erased when it is time, wrapped anew when keys change."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.adapters.journal import SqlJournal
from gateway.ports import DeadLetterFilter, TargetChange, TargetState
from gateway.retention import Erases, Retention
from gateway.seal import GENESIS, SIGN_AFTER, Ledger, Sealer, Seals, chain_hash, entry_hash, verify
from gateway.submission import DeadClass, Event, State
from gateway.vault import Damaged, KeyLost
from tests.clock import EPOCH, TurnableClock
from tests.contract.examples import LEASE, acceptance, change, claim, part
from tests.contract.journals import Place

CANARY = "Zaunkönig-0815"


async def some_history(journal: SqlJournal, count: int = 4) -> list[str]:
    ids = []
    for n in range(count):
        one = acceptance(key=str(n), deliveries=[{"dead": DeadClass.REFUSED}])
        await journal.accept(one)
        await journal.advance(change(one.deliveries[0], Event.CLOSE, private={"reason": "Grund"}))
        ids.append(one.submission.id)
    return ids


# --- sealing


async def test_sealing_numbers_every_line_once_without_gaps_and_then_writes_nothing(place: Place, journal: SqlJournal) -> None:
    await some_history(journal)
    assert await journal.seal(at=EPOCH, limit=3) == 3
    assert await journal.seal(at=EPOCH) == 5
    commits = journal.figures().commits  # type: ignore[attr-defined]

    assert await journal.seal(at=EPOCH) == 0

    assert journal.figures().commits == commits  # type: ignore[attr-defined]
    assert [line.sealed_no for line in await journal.history()] == list(range(1, 9))


async def test_a_head_is_signed_every_ten_minutes_in_which_something_happened(journal: SqlJournal, clock: TurnableClock) -> None:
    await some_history(journal, 1)
    sealer = Sealer(journal, clock)
    await sealer.once()
    assert [head.sealed_no for head in await journal.signed_heads()] == [2]
    await journal.note(at=clock.now(), actor="a", subject="s", event="e", facts={})
    clock.turn(SIGN_AFTER - timedelta(seconds=1)), await sealer.once()
    assert [head.sealed_no for head in await journal.signed_heads()] == [2]
    clock.turn(timedelta(seconds=1)), await sealer.once()
    clock.turn(timedelta(hours=5)), await sealer.once()
    assert [head.sealed_no for head in await journal.signed_heads()] == [2, 3]


async def test_a_head_is_signed_every_thousand_lines(journal: SqlJournal) -> None:
    await journal.note(at=EPOCH, actor="a", subject="s", event="started", facts={})
    await journal.seal(at=EPOCH)
    await asyncio.gather(*[journal.note(at=EPOCH, actor="a", subject="s", event="e", facts={"n": n}) for n in range(1_500)])
    await journal.seal(at=EPOCH)

    assert [head.sealed_no for head in await journal.signed_heads()] == [1, 1_501]


async def test_an_honest_journal_is_whole_sealed_or_not(place: Place, journal: SqlJournal) -> None:
    await some_history(journal)
    assert (await verify(journal)).broken is None
    await journal.seal(at=EPOCH, limit=5)
    half = await verify(journal)
    await journal.seal(at=EPOCH)
    journal = await place.reopen(journal)
    all_ = await verify(journal)

    assert (half.broken, half.lines, half.sealed) == (None, 8, 5)
    assert (all_.broken, all_.lines, all_.sealed, all_.signed) == (None, 8, 8, 5)


REHASHED = "update history set facts = '{\"n\":2}' where no = 3"
TAMPERING = {
    "a field is edited": ("edited", 3, ["update history set actor = 'somebody' where no = 3"]),
    "a fact is edited": ("edited", 3, [REHASHED]),
    "a time is edited": ("edited", 3, ["update history set at = '2020-01-01T00:00:00.000000+00:00' where no = 3"]),
    "a line is put under another submission": ("edited", 3, ["update history set submission = 1 where no = 3"]),
    "a line is deleted": ("missing", 3, ["delete from chain where history = 3", "delete from history where no = 3"]),
    "the first line is deleted": ("missing", 1, ["delete from chain where history = 1", "delete from history where no = 1"]),
    "two lines are swapped": ("edited", 3, [
        "update history set no = 99 where no = 3", "update history set no = 3 where no = 4",
        "update history set no = 4 where no = 99"]),
    "a line is taken out of the chain": ("unchained", 3, ["delete from chain where history = 3"]),
    "links are swapped": ("unchained", 3, [
        "update chain set sealed_no = 99 where history = 3", "update chain set sealed_no = 3 where history = 4",
        "update chain set sealed_no = 4 where history = 99", "update chain set sealed_no = 4 where history = 3"]),
    "a private text is edited": ("edited", 2, ["update private set body = x'00' where history = 2"]),
    "a private text is removed": ("edited", 2, ["delete from private where history = 2"]),
    "the end is cut off": ("cut-off", 7, ["delete from chain where history > 6", "delete from private where history > 6",
                                         "delete from history where no > 6"]),
    "the end is cut off and the counter set back": ("cut-off", 7, [
        "delete from chain where history > 6", "delete from private where history > 6", "delete from history where no > 6",
        "update counter set history = 6"]),
    "a signed head is edited": ("rewritten", 8, ["update seal set chain_hash = x'00'"]),
    "a signature is made up": ("signature", 8, ["update seal set signature = zeroblob(64)"]),
}


@pytest.mark.parametrize("how", TAMPERING)
async def test_tampering_is_found(place: Place, journal: SqlJournal, how: str) -> None:
    await some_history(journal)
    await journal.seal(at=EPOCH)
    what, no, statements = TAMPERING[how]
    await journal.aclose()
    for statement in statements:
        place.tamper(statement)
    journal = await place.open()

    verdict = await verify(journal)

    assert verdict.broken is not None
    assert (verdict.broken.what, verdict.broken.no) == (what, no)


async def test_a_line_that_is_inserted_is_found(place: Place, journal: SqlJournal) -> None:
    await some_history(journal)
    await journal.seal(at=EPOCH)
    place.tamper(
        "insert into history select no + 1, at, actor, subject, submission, delivery, revision, event, from_state, to_state, "
        "attempt, outcome, code, facts, private_digest, entry_hash from history where no = 8")

    broken = (await verify(journal)).broken

    assert broken is not None
    assert (broken.what, broken.no) == ("edited", 9)


async def test_somebody_who_computes_all_hashes_anew_still_lacks_the_signature(place: Place, journal: SqlJournal) -> None:
    await some_history(journal)
    await journal.seal(at=EPOCH)
    place.tamper("update history set actor = 'somebody' where no = 3")
    chain = GENESIS
    for link in await journal.links(0, 100):
        entry = entry_hash(link.fields)
        chain = chain_hash(chain, link.no, entry)
        place.tamper("update history set entry_hash = ? where no = ?", entry, link.no)
        place.tamper("update chain set chain_hash = ? where history = ?", chain, link.no)
    rewritten = (await verify(journal)).broken
    place.tamper("update seal set chain_hash = ?", chain)
    forged = (await verify(journal)).broken

    assert rewritten is not None
    assert rewritten.what == "rewritten"
    assert forged is not None
    assert forged.what == "signature"


# --- encryption


async def test_no_text_of_people_or_targets_lies_open_in_the_file(place: Place, journal: SqlJournal) -> None:
    one = acceptance(bodies=[CANARY.encode() * 100, f"{CANARY}".encode()])
    one.parts[1:] = [replace(one.parts[1], name=f"{CANARY}.pdf")]  # type: ignore[index]
    await journal.accept(one)
    mine = await journal.claim(one.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")
    assert mine is not None
    await journal.put_step(mine.id, "s", CANARY.encode(), at=EPOCH)
    await journal.advance(change(mine, Event.GIVE_UP, cause_text={"de": CANARY}, case_number=CANARY, said={"token": CANARY},
                                 private={"reason": CANARY}, parts=[part(CANARY.encode(), name=CANARY)]))
    await journal.note(at=EPOCH, actor="a", subject="s", event="e", facts={}, private={"text": CANARY})
    before = TargetState("t")
    paused = replace(before, paused_reason=CANARY, breaker_cause=CANARY, revision=1)
    await journal.advance_target(TargetChange(before, paused, "pause", EPOCH, "o", private={"r": CANARY}))

    on_disk = place.stored()

    assert CANARY.encode() not in on_disk
    assert CANARY.encode("unicode_escape") not in on_disk
    assert CANARY.encode()[:8] not in on_disk
    stored = await journal.delivery(mine.id)
    assert stored is not None
    assert (stored.cause_text, stored.case_number, stored.outcome) == ({"de": CANARY}, CANARY, {"token": CANARY})
    assert (await journal.target_states())["t"].breaker_cause == CANARY


@pytest.mark.parametrize("damage", [
    ["update chunk set body = cast(substr(body, 1, length(body) - 1) || x'00' as blob) where document = 0 and no = 1"],
    ["update chunk set no = 9 where document = 0 and no = 0", "update chunk set no = 0 where document = 0 and no = 1",
     "update chunk set no = 1 where document = 0 and no = 9"],
    ["update chunk set document = 9 where document = 0 and no = 2", "update chunk set document = 0, no = 2 where document = 1"],
    ["update document set chunks = 2 where no = 0"],
    ["delete from chunk where document = 0 and no = 2"],
], ids=["edited", "two chunks swapped", "a chunk of another document", "cut short", "a chunk missing"])
async def test_a_document_that_was_damaged_moved_or_cut_short_is_not_handed_out(
    place: Place, journal: SqlJournal, damage: list[str]
) -> None:
    one = acceptance(bodies=[os.urandom((2 << 20) + 5), os.urandom(5)])
    await journal.accept(one)
    assert await journal.body(one.submission.id, 0) == one.parts[0].body
    for statement in damage:
        place.tamper(statement)

    with pytest.raises((Damaged, LookupError)):
        await journal.body(one.submission.id, 0)


async def test_a_lost_key_is_named_with_how_many_need_it_and_nothing_else_breaks(place: Place, journal: SqlJournal) -> None:
    old = acceptance(deliveries=[{"dead": DeadClass.REFUSED, "cause_text": {"de": "Grund"}}])
    await journal.accept(old)
    lost = place.vault.newest
    place.vault.rotate()
    new = acceptance()
    await journal.accept(new)
    await journal.aclose()
    hidden = place.folder / "elsewhere"
    (place.folder / "keys" / f"site-{lost}.key").rename(hidden)
    place.vault = type(place.vault).open(place.folder / "keys")
    journal = await place.open()

    assert await journal.lost_keys() == {lost: 1}
    with pytest.raises(KeyLost, match=f"{lost}.*1 submissions need it"):
        await journal.body(old.submission.id, 0)
    assert await journal.body(new.submission.id, 0) == new.parts[0].body
    ((letter, _),) = await journal.dead_letters(DeadLetterFilter(), limit=10)
    assert letter.cause_text is None
    assert await journal.advance(change(letter, Event.REPLAY))
    assert await journal.rewrap() == 0

    await journal.aclose()
    hidden.rename(place.folder / "keys" / f"site-{lost}.key")
    place.vault = type(place.vault).open(place.folder / "keys")
    journal = await place.open()
    assert await journal.body(old.submission.id, 0) == old.parts[0].body
    replayed = await journal.delivery(letter.id)
    assert replayed is not None
    assert (replayed.state, replayed.cause_text) == (State.PENDING, {"de": "Grund"})


async def test_after_rotation_every_data_key_is_wrapped_anew_and_the_old_key_can_go(place: Place, journal: SqlJournal) -> None:
    given = [acceptance() for _ in range(7)]
    for one in given:
        await journal.accept(one)
    await journal.note(at=EPOCH, actor="a", subject="s", event="e", facts={}, private={"text": "bleibt"})
    before = TargetState("t")
    await journal.advance_target(TargetChange(before, replace(before, paused_reason="Umzug", revision=1), "pause", EPOCH, "o"))
    old = place.vault.newest
    place.vault.rotate()
    seen: list[tuple[int, int]] = []

    assert await journal.rewrap(lambda done, total: seen.append((done, total))) == 9
    assert await journal.rewrap() == 0

    assert seen[-1] == (7, 7)
    await journal.aclose()
    (place.folder / "keys" / f"site-{old}.key").unlink()
    place.vault = type(place.vault).open(place.folder / "keys")
    journal = await place.open()
    assert await journal.lost_keys() == {}
    for one in given:
        assert await journal.body(one.submission.id, 0) == one.parts[0].body
    assert (await journal.history())[-2].private == {"text": "bleibt"}
    assert (await journal.target_states())["t"].paused_reason == "Umzug"
    assert (await verify(journal)).broken is None


# --- erasure


async def test_erasing_takes_key_documents_and_texts_and_leaves_the_evidence(
    place: Place, journal: SqlJournal, clock: TurnableClock
) -> None:
    one = acceptance(claims=[claim("k", days=400)], erase_after=EPOCH + timedelta(days=14),
                     deliveries=[{"dead": DeadClass.REFUSED, "cause_text": {"de": "x"}}])
    one.parts[:] = [replace(one.parts[0], name="n")]  # type: ignore[index]
    await journal.accept(one)
    await journal.advance(change(one.deliveries[0], Event.CLOSE, private={"reason": "y"}, case_number="AZ"))
    await journal.put_step(one.deliveries[0].id, "s", b"z", at=EPOCH)
    await journal.seal(at=EPOCH)
    clock.turn(timedelta(days=14))

    assert await Retention(journal, clock).once() == 1
    assert await Retention(journal, clock).once() == 0

    for table in ("chunk", "private", "step"):
        assert place.execute(f"select count(*) from {table}") == [(0,)]
    dossier = await journal.dossier(one.submission.id)
    assert dossier is not None
    assert dossier.submission.erased_at == clock.now()
    assert dossier.documents[0].name is None
    assert (dossier.deliveries[0].cause_text, dossier.deliveries[0].case_number) == (None, None)
    with pytest.raises(LookupError, match="erased"):
        await journal.body(one.submission.id, 0)
    assert (await journal.history(submission_id=one.submission.id))[-1].event == "erase"
    await journal.seal(at=clock.now())
    assert (await verify(journal)).broken is None
    repeat = await journal.accept(acceptance(at=clock.now(), key="k"))
    assert repeat.replayed  # type: ignore[union-attr]


@pytest.mark.parametrize("state", ["pending", "delivering", "dead"])
async def test_what_is_open_is_not_erased_however_old(
    journal: SqlJournal, clock: TurnableClock, state: str
) -> None:
    one = acceptance(erase_after=EPOCH, deliveries=[{"dead": DeadClass.REFUSED} if state == "dead" else {}])
    await journal.accept(one)
    if state == "delivering":
        await journal.claim(one.deliveries[0].id, at=EPOCH, lease_until=EPOCH + LEASE, by="w")

    assert await journal.erase(at=clock.now() + timedelta(days=4_000)) == 0

    assert await journal.body(one.submission.id, 0) == one.parts[0].body


async def test_expired_claims_are_let_go(place: Place, journal: SqlJournal, clock: TurnableClock) -> None:
    await journal.accept(acceptance(claims=[claim("a", days=1), claim("b", days=60, kind="message")]))

    await journal.erase(at=EPOCH + timedelta(days=30))

    assert place.execute("select kind from claim") == [("message",)]


def test_the_sealer_and_retention_need_no_more_of_a_journal_than_they_say() -> None:
    for protocol in (Seals, Ledger, Erases):
        for name in (n for n in vars(protocol) if not n.startswith("_")):
            assert hasattr(SqlJournal, name), f"{protocol.__name__}.{name}"


async def test_what_was_received_since_a_time_is_listed_in_order_a_page_at_a_time(journal: SqlJournal) -> None:
    given = [acceptance(at=EPOCH + timedelta(days=day), content=str(day)) for day in (0, 3, 1, 2)]
    for one in given:
        await journal.accept(one)
    wanted = [given[n].submission.id for n in (1, 3)]
    found = await journal.received(since=EPOCH + timedelta(days=2), after=0, limit=10)
    assert [one.id for one in found] == wanted
    (first,) = await journal.received(since=EPOCH + timedelta(days=2), after=0, limit=1)
    (second,) = await journal.received(since=EPOCH + timedelta(days=2), after=first.order, limit=1)
    assert [first.id, second.id] == wanted
    assert await journal.received(since=EPOCH, after=found[-1].order, limit=10) == []
