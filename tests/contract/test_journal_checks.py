"""The database refuses by itself what ``submission`` calls impossible: a second wall that no defect of ours gets over."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from gateway.adapters.journal import SqlJournal
from gateway.submission import TRANSITIONS, ClosedAs, DeadClass, Event, State, WaitingFor, faults_of
from tests.clock import EPOCH
from tests.contract.examples import acceptance
from tests.contract.journals import Place

AT = "2026-03-02T08:00:00.000000+00:00"


async def test_the_database_refuses_exactly_the_deliveries_that_contradict_themselves(place: Place, journal: SqlJournal) -> None:
    one = acceptance()
    await journal.accept(one)
    usual = one.deliveries[0]
    every = [
        replace(usual, state=state, next_attempt_at=due, waiting_for=waiting, lease_until=lease,
                dead_class=dead, closed_as=closed, target=target, in_doubt=doubt)
        for state, due, waiting, lease, dead, closed, target, doubt in product(
            State, (None, EPOCH), (None, WaitingFor.TURN), (None, EPOCH),
            (None, DeadClass.REFUSED, DeadClass.UNROUTABLE, DeadClass.INVALID),
            (None, ClosedAs.BY_HAND, ClosedAs.REDIRECTED, ClosedAs.FORWARDED), (None, "t"), (False, True))
    ]

    allowed = place.allows(
        "update delivery set state = ?, next_attempt_at = ?, waiting_for = ?, lease_until = ?, class = ?, closed_as = ?, "
        "target = ?, in_doubt = ?",
        [(d.state.value, d.next_attempt_at and AT, d.waiting_for and d.waiting_for.value, d.lease_until and AT,
          d.dead_class and d.dead_class.value, d.closed_as and d.closed_as.value, d.target, int(d.in_doubt)) for d in every])

    differing = [d for d, allows in zip(every, allowed, strict=True) if allows != (not faults_of(d))]
    assert not differing, (len(differing), faults_of(differing[0]), differing[0])
    assert sum(allowed) > 20


@pytest.mark.parametrize(("column", "values"), [
    ("state", State), ("waiting_for", WaitingFor), ("class", DeadClass), ("closed_as", ClosedAs)])
async def test_the_database_knows_the_words_of_the_table_and_no_others(
    place: Place, journal: SqlJournal, column: str, values: list[str]
) -> None:
    await journal.accept(acceptance())
    words = [*(str(value) for value in values), "other", ""]
    state = {"waiting_for": "pending", "class": "dead", "closed_as": "closed"}

    def text(word: str) -> str:
        now = state.get(column, word)
        return (
            f"update delivery set state = '{now}', next_attempt_at = {f'{AT!r}' if now == 'pending' else 'null'}, "
            f"waiting_for = {repr(word) if column == 'waiting_for' else repr('turn') if now == 'pending' else 'null'}, "
            f"lease_until = {f'{AT!r}' if now == 'delivering' else 'null'}, "
            f"class = {repr(word) if column == 'class' else repr('refused') if now == 'dead' else 'null'}, "
            f"closed_as = {repr(word) if column == 'closed_as' else repr('by_hand') if now == 'closed' else 'null'}"
        )

    assert [place.allows(text(word), [()]) for word in words] == [[True]] * len(values) + [[False]] * 2


async def test_the_history_takes_exactly_the_transitions_of_the_table(place: Place, journal: SqlJournal) -> None:
    await journal.accept(acceptance())
    states: list[State | None] = [None, *State]
    every = [(before, event, after) for before, event, after in product(states, Event, states)]

    allowed = place.allows(
        "insert into history (no, at, actor, subject, submission, delivery, revision, event, from_state, to_state, facts, "
        "entry_hash) "
        "values (9, ?, 'a', 's', 1, 1, 1, ?, ?, ?, '{}', x'00')",
        [(AT, event.value, before and before.value, after and after.value) for before, event, after in every])

    expected = {(before, event, after) for before, events in TRANSITIONS.items() for event, after in events.items()}
    assert {step for step, allows in zip(every, allowed, strict=True) if allows} == expected
