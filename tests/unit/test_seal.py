"""The chain, without a database: what is hashed can be hashed again by anyone, and the walk finds the first break."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import datetime

import pytest

from gateway.ports import JournalUnavailable
from gateway.retention import Retention
from gateway.seal import GENESIS, Link, Sealer, SignedHead, Verdict, canonical, chain_hash, entry_hash, head_message, verify
from tests.clock import EPOCH, TurnableClock


class Ledger:
    """A few lines in memory, honestly chained."""

    def __init__(self, lines: int, *, sealed: int, signed: tuple[int, ...] = ()) -> None:
        self.chain: list[Link] = []
        self.heads: list[SignedHead] = []
        self.last = lines
        chain = GENESIS
        for no in range(1, lines + 1):
            fields = (no, "2026-03-02T08:00:00.000000+00:00", "a", "s", *[None] * 3, "e", *[None] * 5, "{}", None)
            entry = entry_hash(fields)
            chain = chain_hash(chain, no, entry)
            number, link = (no, chain) if no <= sealed else (None, None)
            self.chain.append(Link(no, fields, entry, number, link, True))
            if no in signed:
                self.heads.append(SignedHead(no, chain, "t", "k", b"good"))

    async def links(self, after: int, limit: int) -> list[Link]:
        return [link for link in self.chain if link.no > after][:limit]

    async def signed_heads(self) -> list[SignedHead]:
        return self.heads

    async def last_line(self) -> int:
        return self.last

    def signed_by_us(self, head: SignedHead) -> bool:
        return head.signature == b"good"


def test_an_entry_hash_can_be_computed_by_hand() -> None:
    fields = (1, "2026-03-02T08:00:00.000000+00:00", "prüfer", None, "{}")

    assert entry_hash(fields) == hashlib.sha256(
        '[1,"2026-03-02T08:00:00.000000+00:00","prüfer",null,"{}"]'.encode()).digest()
    assert chain_hash(GENESIS, 1, b"e") == hashlib.sha256(bytes(32) + bytes(7) + b"\x01" + b"e").digest()
    assert json.loads(head_message(7, b"\xab", "t")) == [7, "ab", "t"]


def test_facts_have_one_form_and_no_text_that_json_does_not_have() -> None:
    assert canonical({"b": 1, "a": ["ü", None]}) == '{"a":["ü",null],"b":1}'
    for wrong in ({"at": datetime.now().astimezone()}, {"x": float("nan")}, {"b": b"bytes"}):
        with pytest.raises((TypeError, ValueError)):
            canonical(wrong)


async def test_a_whole_chain_is_whole_and_says_how_far_a_signature_vouches() -> None:
    seen: list[int] = []

    verdict = await verify(Ledger(4_500, sealed=4_400, signed=(1_000, 4_000)), seen.append)

    assert verdict == Verdict(lines=4_500, sealed=4_400, signed=4_000, broken=None)
    assert seen == [1_000, 2_000, 3_000, 4_000, 4_500]
    assert await verify(Ledger(0, sealed=0)) == Verdict(0, 0, 0, None)


async def broken(ledger: Ledger) -> tuple[str, int]:
    verdict = await verify(ledger)
    assert verdict.broken is not None
    assert verdict.broken.de
    assert verdict.broken.en
    return verdict.broken.what, verdict.broken.no


async def test_every_kind_of_break_is_told_apart() -> None:
    edited = Ledger(9, sealed=9)
    edited.chain[4] = replace(edited.chain[4], fields=(5, "x"))
    erased_by_hand = Ledger(9, sealed=9)
    erased_by_hand.chain[4] = replace(erased_by_hand.chain[4], private_fits=False)
    missing = Ledger(9, sealed=9)
    del missing.chain[4]
    unchained = Ledger(9, sealed=9)
    unchained.chain[4] = replace(unchained.chain[4], sealed_no=None, chain_hash=None)
    cut_off = Ledger(9, sealed=9, signed=(9,))
    del cut_off.chain[7:]
    cut_off.last = 7
    cut_off_unsigned = Ledger(9, sealed=9)
    del cut_off_unsigned.chain[7:]
    forged = Ledger(9, sealed=9, signed=(9,))
    forged.heads = [replace(forged.heads[0], signature=b"bad")]
    rewritten = Ledger(9, sealed=9, signed=(9,))
    rewritten.heads = [replace(rewritten.heads[0], chain_hash=b"other")]

    assert [await broken(ledger) for ledger in (
        edited, erased_by_hand, missing, unchained, cut_off, cut_off_unsigned, forged, rewritten)] == [
        ("edited", 5), ("edited", 5), ("missing", 5), ("unchained", 5), ("cut-off", 8), ("cut-off", 8), ("signature", 9),
        ("rewritten", 9)]


class Busy:
    """A journal with so much to seal or erase, and sometimes no room."""

    def __init__(self, *amounts: int | Exception) -> None:
        self.amounts, self.asked = list(amounts), 0

    async def seal(self, *, at: datetime, limit: int = 0) -> int:
        self.asked += 1
        amount = self.amounts.pop(0) if self.amounts else 0
        if isinstance(amount, Exception):
            raise amount
        return amount

    erase = seal


@pytest.mark.parametrize("task", [Sealer, Retention])
async def test_a_run_goes_on_while_there_is_a_full_portion(task: type[Sealer | Retention]) -> None:
    journal = Busy(10, 10, 3, 10)

    assert await task(journal, TurnableClock(), limit=10).once() == 23
    assert journal.asked == 3


@pytest.mark.parametrize(("task", "every"), [(Sealer, 1), (Retention, 3_600)])
async def test_the_task_asks_again_after_its_time_and_outlives_a_journal_that_is_away(
    task: type[Sealer | Retention], every: int
) -> None:
    clock, journal = TurnableClock(), Busy(1, JournalUnavailable("full", full=True), 1)
    running = asyncio.create_task(task(journal, clock).run())
    await asyncio.sleep(0.01)

    for expected in (1, 2, 3):
        assert journal.asked == expected
        await clock.turn(EPOCH.resolution * every * 1_000_000)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
