"""The journal against a dictionary: whatever is done to both, in whatever order, they agree.

Short and with fixed seeds here; ``make chaos`` runs the long form.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from gateway.adapters.journal import SqlJournal
from gateway.ports import Accepted, KeyReused
from gateway.seal import verify
from gateway.submission import FINAL, TRANSITIONS, ClosedAs, DeadClass, Delivery, Event, Purpose, State, Submission
from tests.contract.examples import LEASE, acceptance, change, delivery, digest
from tests.contract.journals import PLACES, Place

T = TypeVar("T")
TARGETS = ("a", "b")
OPEN = (State.PENDING, State.DELIVERING, State.DEAD)
MOVES = [event for event in Event if event not in (Event.ACCEPT, Event.HOLD, Event.CLAIM)]


class JournalMachine(RuleBasedStateMachine):
    place_name = "sqlite"

    @initialize()
    def start(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._runner = asyncio.Runner()
        self.place: Place = PLACES[self.place_name](Path(self._folder.name))
        self.clock = self.place.clock
        self.journal: SqlJournal = self.do(self.place.open())
        self.submissions: dict[str, Submission] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.stale: list[Delivery] = []
        self.keys: dict[str, Submission] = {}
        self.lines: Counter[str] = Counter()
        self.erased: set[str] = set()

    def do(self, coroutine: Awaitable[T]) -> T:
        async def run() -> T:
            return await coroutine

        return self._runner.run(run())

    def do_all(self, coroutines: Iterable[Awaitable[T]]) -> list[T]:
        """At once."""
        async def gathered() -> list[T]:
            return await asyncio.gather(*coroutines)

        return self.do(gathered())

    def teardown(self) -> None:
        if not hasattr(self, "journal"):
            return
        self.do(self.journal.seal(at=self.clock.now()))
        verdict = self.do(verify(self.journal))
        self.do(self.place.aclose())
        self._runner.close()
        self._folder.cleanup()
        assert verdict.broken is None

    # --- what is done

    @rule(key=st.sampled_from(["k1", "k2", "k3", None]), content=st.sampled_from("AB"), to=st.sampled_from([
        ({"target": "a"},), ({"target": "b", "order_key": b"o"},), ({"target": "a"}, {"target": "b", "purpose": Purpose.COPY}),
        ({"target": None, "dead": DeadClass.UNROUTABLE},)]), erase=st.booleans())
    def accept(self, key: str | None, content: str, to: tuple[dict[str, Any], ...], erase: bool) -> None:
        at = self.clock.now()
        given = acceptance(at=at, key=key, content=content, deliveries=to, erase_after=at + timedelta(hours=1) if erase else None)
        answer = self.do(self.journal.accept(given))
        standing = self.keys.get(key) if key else None
        if standing is not None:
            same = standing.fingerprint == digest(content)
            expected = Accepted(standing, True, claim="key") if same else KeyReused("key")
            if isinstance(answer, Accepted) and standing.id in self.erased:
                assert answer.submission.id == standing.id
            else:
                assert answer == expected
            return
        assert isinstance(answer, Accepted)
        assert not answer.replayed
        dossier = self.do(self.journal.dossier(given.submission.id))
        assert dossier is not None
        assert dossier.submission.order > max((s.order for s in self.submissions.values()), default=0)
        self.submissions[given.submission.id] = dossier.submission
        if key:
            self.keys[key] = dossier.submission
        for one in given.deliveries:
            self.deliveries[one.id] = one
            self.lines[one.submission_id] += 1

    @precondition(lambda self: self.deliveries)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        before = self.any(data, self.deliveries.values())
        at = self.clock.now()
        mine = self.do(self.journal.claim(before.id, at=at, lease_until=at + LEASE, by="w"))
        if not self.is_due(before):
            assert mine is None
            return
        expected = replace(
            before, state=State.DELIVERING, revision=before.revision + 1, waiting_for=None, next_attempt_at=None,
            lease_until=at + LEASE, claimed_by="w", attempts=before.attempts + 1, changed_at=at)
        assert mine == expected
        self.keep(replace(expected, in_doubt=True))

    @precondition(lambda self: any(TRANSITIONS[d.state] for d in self.deliveries.values()))
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        before = self.any(data, [d for d in self.deliveries.values() if self.moves(d)])
        if before is None:
            return
        step = change(before, data.draw(st.sampled_from(self.moves(before))), at=self.clock.now(), private={"reason": "r"})
        assert self.do(self.journal.advance(step))
        self.keep(step.after if before.submission_id not in self.erased else self.without_texts(step.after))

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def a_stale_change_is_refused(self, data: st.DataObject) -> None:
        before = self.any(data, [d for d in self.stale if self.moves(d)])
        if before is not None:
            assert not self.do(self.journal.advance(change(before, self.moves(before)[0], at=self.clock.now())))

    @rule(data=st.data())
    def redirect(self, data: st.DataObject) -> None:
        dead = [d for d in self.deliveries.values() if d.state is State.DEAD and not d.in_doubt]
        before = self.any(data, [d for d in dead if d.submission_id not in self.erased])
        if before is None:
            return
        target = data.draw(st.sampled_from(TARGETS))
        successor = delivery(before.submission_id, at=self.clock.now(), target=target, purpose=before.purpose, replaces=before.id)
        step = change(before, Event.CLOSE, at=self.clock.now(), closed_as=ClosedAs.REDIRECTED, opens=[successor])
        there = any(
            d.submission_id == before.submission_id and d.target == target and d.purpose is before.purpose
            and d.closed_as is not ClosedAs.REDIRECTED and d.id != before.id for d in self.deliveries.values())
        assert self.do(self.journal.advance(step)) == (not there)
        if not there:
            self.keep(step.after)
            self.deliveries[successor.id] = successor
            self.lines[before.submission_id] += 1

    @precondition(lambda self: len(self.deliveries) > 1)
    @rule(data=st.data())
    def two_changes_are_one(self, data: st.DataObject) -> None:
        good = self.any(data, [d for d in self.deliveries.values() if self.moves(d)])
        bad = self.any(data, [d for d in self.stale if self.moves(d)])
        if good is None or bad is None or good.id == bad.id:
            return
        at = self.clock.now()
        assert not self.do(self.journal.advance(change(good, self.moves(good)[0], at=at), change(bad, self.moves(bad)[0], at=at)))

    @rule(seconds=st.sampled_from([1, 70, 3_700]))
    def time_goes_on(self, seconds: int) -> None:
        self.clock.turn(timedelta(seconds=seconds))

    @rule()
    def erase(self) -> None:
        at = self.clock.now()
        due = [s for s in self.submissions.values() if s.id not in self.erased and s.erase_after and s.erase_after <= at and all(
            d.state in FINAL for d in self.deliveries.values() if d.submission_id == s.id)]
        assert self.do(self.journal.erase(at=at)) == len(due)
        for s in due:
            self.erased.add(s.id)
            self.lines[s.id] += 1
            self.submissions[s.id] = replace(s, erased_at=at)
            for d in [d for d in self.deliveries.values() if d.submission_id == s.id]:
                self.deliveries[d.id] = self.without_texts(d)

    @rule()
    def seal(self) -> None:
        self.do(self.journal.seal(at=self.clock.now(), limit=5))

    @rule()
    def restart(self) -> None:
        self.journal = self.do(self.place.reopen(self.journal))

    # --- what must hold

    @invariant()
    def every_delivery_is_as_expected(self) -> None:
        found = self.do_all(self.journal.delivery(delivery_id) for delivery_id in self.deliveries)
        assert found == list(self.deliveries.values())

    @invariant()
    def what_is_due_is_due_for_both(self) -> None:
        at = self.clock.now()
        for target, due in zip(TARGETS, self.do_all(self.journal.due(t, at=at, limit=100) for t in TARGETS), strict=True):
            found = [one.delivery_id for one in due]
            assert sorted(found) == sorted(d.id for d in self.deliveries.values() if d.target == target and self.is_due(d))
        leased = [d for d in self.deliveries.values() if d.state is State.DELIVERING]
        flying = self.do_all(self.journal.in_flight(t) for t in TARGETS)
        assert flying == [{d.id for d in leased if d.target == t} for t in TARGETS]
        lapsed = {d.id for d in self.do(self.journal.lapsed(at=at, limit=100))}
        assert lapsed == {d.id for d in leased if d.lease_until is not None and d.lease_until <= at}
        times = [t for d in self.deliveries.values() for t in (d.next_attempt_at, d.lease_until) if t is not None]
        assert self.do(self.journal.next_due()) == min(times, default=None)

    @invariant()
    def the_figures_add_up(self) -> None:
        found = {(b.target, state): n for b in self.do(self.journal.backlog()) for state, n in b.counts.items()}
        assert found == Counter((d.target or "", d.state.value) for d in self.deliveries.values() if d.state in OPEN)
        tallies = self.do(self.journal.tallies(self.clock.now().date() - timedelta(days=9), self.clock.now().date()))
        outcomes = Counter({d.id: 1 for d in self.deliveries.values() if d.purpose is Purpose.CASE and d.state in FINAL
                            and d.closed_as is not ClosedAs.REDIRECTED})
        assert sum(t.n for t in tallies) == outcomes.total()

    @invariant()
    def every_change_has_its_line(self) -> None:
        histories = self.do_all(self.journal.history(submission_id=submission_id) for submission_id in self.lines)
        for (submission_id, lines), history in zip(self.lines.items(), histories, strict=True):
            assert len(history) == lines
            ends = {line.delivery_id: line.to_state for line in history if line.delivery_id}
            assert ends == {d.id: d.state.value for d in self.deliveries.values() if d.submission_id == submission_id}

    @invariant()
    def every_submission_is_whole(self) -> None:
        kept = [s for s in self.submissions.values() if s.id not in self.erased]
        bodies = self.do_all(self.journal.body(s.id, 0) for s in kept)
        assert [digest(body) for body in bodies] == [s.digest for s in kept]
        dossiers = self.do_all(self.journal.dossier(submission_id) for submission_id in self.submissions)
        for expected, dossier in zip(self.submissions.values(), dossiers, strict=True):
            assert dossier is not None
            assert dossier.submission == expected
            assert dossier.deliveries
            for d in dossier.deliveries:
                assert not d.in_doubt or (d.state is not State.WITHDRAWN and d.closed_as is not ClosedAs.REDIRECTED)

    # --- the model

    def any(self, data: st.DataObject, among: Any) -> Any:
        among = sorted(among, key=lambda d: (list(self.deliveries).index(d.id), d.revision))
        return data.draw(st.sampled_from(among)) if among else None

    def moves(self, d: Delivery) -> list[Event]:
        """What was redirected has a successor: opening it again would owe the same thing twice."""
        return [
            event for event in MOVES if event in TRANSITIONS[d.state] and not (event is Event.REPLAY and d.target is None)
            and not (event is Event.REOPEN and d.closed_as is ClosedAs.REDIRECTED)
        ]

    def keep(self, after: Delivery) -> None:
        self.stale = [*self.stale[-20:], self.deliveries[after.id]]
        self.deliveries[after.id] = after
        self.lines[after.submission_id] += 1

    def without_texts(self, d: Delivery) -> Delivery:
        return replace(d, cause_text=None, case_number=None, outcome=None)

    def is_due(self, d: Delivery) -> bool:
        if d.state is not State.PENDING or d.next_attempt_at is None or d.next_attempt_at > self.clock.now():
            return False
        earlier = itertools.takewhile(lambda other: other.id != d.id, self.deliveries.values())
        return d.order_key is None or not any(
            o.order_key == d.order_key and o.target == d.target and o.state in OPEN for o in earlier)


def run(place: str, *, examples: int, steps: int, phases: tuple[Phase, ...] = (Phase.generate,)) -> None:
    """``phases``: add ``Phase.shrink`` to have a failure made short; that takes minutes."""
    machine = type(f"{place}Machine", (JournalMachine,), {"place_name": place})
    run_state_machine_as_test(machine, settings=settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True, database=None, phases=phases,
        suppress_health_check=list(HealthCheck)))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("place", PLACES)
def test_the_journal_and_a_dictionary_agree(place: str) -> None:
    run(place, examples=100 if place == "sqlite" else 20, steps=30)


@pytest.mark.long
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("place", PLACES)
def test_the_journal_and_a_dictionary_agree_for_hours(place: str, long: int) -> None:
    run(place, examples=500 * long, steps=100, phases=(Phase.generate, Phase.shrink))
