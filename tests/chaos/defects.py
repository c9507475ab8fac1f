"""What a gateway that breaks a promise would do. Each turns a test red, else that test proves nothing.

Every defect is made from outside, by replacing methods before the gateway starts; no switch in the product leads here.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.adapters import accepting
from gateway.adapters.journal import SqlJournal
from gateway.adapters.postgres import PostgresJournal
from gateway.adapters.sqlite import SqliteJournal
from gateway.attempts import unfinished
from gateway.ports import Acceptance, Accepted, Change, Claim
from gateway.submission import Delivery, Event, State


def says_202_before_the_commit() -> None:
    """P1: the receipt goes out while the commit is still waiting."""
    running = set()

    async def late(committing: Any) -> None:
        await asyncio.sleep(0.05)
        await committing

    for journal in (SqliteJournal, PostgresJournal):
        async def early(self: SqlJournal, acceptance: Acceptance, accept: Any = journal.accept) -> Any:
            running.add(asyncio.ensure_future(late(accept(self, acceptance))))
            return Accepted(acceptance.submission, replayed=False)

        _replace(journal, "accept", early)


def forgets_claims() -> None:
    """P4: no idempotency: every post is a new submission."""
    async def nothing(self: SqliteJournal, portal: str, claims: Sequence[Claim], fingerprint: bytes) -> None:
        return None

    accept = SqliteJournal.accept

    async def unclaimed(self: SqliteJournal, acceptance: Acceptance) -> Any:
        return await accept(self, replace(acceptance, claims=()))

    _replace(SqliteJournal, "replayed", nothing)
    _replace(SqliteJournal, "accept", unclaimed)


def looks_for_claims_too_early() -> None:
    """P4: look first, write later, and nothing holds the two together: only a race shows it."""
    accept = SqliteJournal.accept

    async def unclaimed(self: SqliteJournal, acceptance: Acceptance) -> Any:
        s = acceptance.submission
        if (known := await self.replayed(s.portal, acceptance.claims, s.fingerprint)) is not None:
            return known
        answer = await accept(self, replace(acceptance, claims=()))
        remembered.update({(s.portal, claim.kind, claim.key_hash): answer for claim in acceptance.claims})
        return answer

    remembered: dict[tuple[str, str, bytes], Any] = {}

    async def replayed(self: SqliteJournal, portal: str, claims: Sequence[Claim], fingerprint: bytes) -> Any:
        found = next((remembered[portal, c.kind, c.key_hash] for c in claims if (portal, c.kind, c.key_hash) in remembered), None)
        return None if found is None else replace(found, replayed=True)

    _replace(SqliteJournal, "replayed", replayed)
    _replace(SqliteJournal, "accept", unclaimed)


def forgets_confirmations() -> None:
    """P3: what was delivered is written down by nobody; every second confirmation gets lost."""
    advance, confirmed = SqliteJournal.advance, 0

    async def forgetful(self: SqliteJournal, *changes: Change) -> bool:
        nonlocal confirmed
        if any(change.event is Event.CONFIRM for change in changes):
            confirmed += 1
            if confirmed % 2 == 0:
                return True
        return await advance(self, *changes)

    _replace(SqliteJournal, "advance", forgetful)


def sends_again_without_asking() -> None:
    """P3: what is in doubt is sent once more, blindly."""
    first_step = unfinished.first_step

    def blind(delivery: Delivery, *args: Any, **kwargs: Any) -> Any:
        return first_step(replace(delivery, in_doubt=False), *args, **kwargs)

    _replace(unfinished, "first_step", blind)


def forgets_the_doubt_of_the_dead() -> None:
    """P3: what a dead process had in flight is taken for never sent."""
    lapsed = unfinished.lapsed

    def innocent(delivery: Delivery, **kwargs: Any) -> Any:
        decision = lapsed(delivery, **kwargs)
        return replace(decision, after=replace(decision.after, in_doubt=False))

    _replace(unfinished, "lapsed", innocent)


def overlooks_who_has_it() -> None:
    """P3: no compare-and-swap at the claim: who is rung delivers, also what another process is delivering."""
    claim = PostgresJournal.claim

    async def regardless(self: PostgresJournal, delivery_id: str, **wanted: Any) -> Delivery | None:
        mine = await claim(self, delivery_id, **wanted)
        if mine is None and (taken := await self.delivery(delivery_id)) is not None and taken.state is State.DELIVERING:
            return replace(taken, in_doubt=False)
        return mine

    _replace(PostgresJournal, "claim", regardless)


def gives_up_in_silence() -> None:
    """P2: what fails once is thrown away and nobody hears of it."""
    advance = SqliteJournal.advance

    async def quitter(self: SqliteJournal, *changes: Change) -> bool:
        changes = tuple(
            replace(c, event=Event.CONFIRM, after=replace(
                c.after, state=State.DELIVERED, waiting_for=None, next_attempt_at=None, in_doubt=False,
            )) if c.event is Event.POSTPONE else c
            for c in changes
        )  # fmt: skip
        return await advance(self, *changes)

    _replace(SqliteJournal, "advance", quitter)


def changes_bytes() -> None:
    """P1: not the exact bytes: a line end is normalised on the way in."""
    prepare = accepting.prepare

    def normalising(acceptance: Acceptance, *args: Any, **kwargs: Any) -> Any:
        parts = [replace(part, body=part.body.replace(b"\n", b"\r\n", 1)) for part in acceptance.parts]
        return prepare(replace(acceptance, parts=parts), *args, **kwargs)

    _replace(accepting, "prepare", normalising)


DEFECTS: Mapping[str, Callable[[], None]] = {
    defect.__name__: defect
    for defect in (
        says_202_before_the_commit, forgets_claims, looks_for_claims_too_early, forgets_confirmations,
        sends_again_without_asking, forgets_the_doubt_of_the_dead, overlooks_who_has_it, gives_up_in_silence, changes_bytes,
    )
}


def _replace(owner: Any, name: str, function: Any) -> None:
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(function))
