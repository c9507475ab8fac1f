"""From the journal to the case system: the good way, several targets, never more at once than allowed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from connectors import sdk
from gateway.submission import Purpose, State
from tests.clock import TurnableClock
from tests.deliveries import a_delivery, a_submission
from tests.deployments import ON_ALL
from tests.story.engine import AskableSystem, Engine, live, running

pytestmark = ON_ALL

SECONDS, MINUTES, HOURS = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


# --- the good way


async def test_what_is_accepted_arrives_with_everything_it_needs(engine: Engine, register: AskableSystem) -> None:
    submission = a_submission(message_uuid="8f0c", traceparent="00-aa-bb-01")
    delivery = a_delivery(submission)

    await engine.accept_all(submission, delivery, body=b"<hund>Ren\xc3\xa9</hund>")
    done = await engine.until_state(delivery, State.DELIVERED)

    assert done.case_number == "2026/1"
    (envelope,) = register.envelopes
    assert (envelope.delivery_id, envelope.submission_id) == (delivery.id, submission.id)
    assert (envelope.reference, envelope.document) == (submission.reference, b"<hund>Ren\xc3\xa9</hund>")
    assert envelope.message == sdk.Message("hundesteuer", "hundesteueranmeldung", "1.0", "8f0c")
    assert (envelope.received_at, envelope.attempt, envelope.in_doubt) == (submission.received_at, 1, False)
    assert envelope.order >= 1
    assert envelope.traceparent == "00-aa-bb-01"
    assert await engine.history(delivery) == [("accept", None), ("claim", None), ("confirm", "acknowledged")]
    (report,) = engine.reports
    assert (report.outcome, report.state, report.attempt) == ("acknowledged", State.DELIVERED, 1)


async def test_a_copy_waits_for_the_case_and_gets_its_number(tmp_path: Path, clock: TurnableClock) -> None:
    cases, files = AskableSystem(), AskableSystem()
    cases.script.append(sdk.Unavailable("at lunch"))
    async with running(tmp_path, clock, [live("register", cases), live("e-akte", files)]) as engine:
        submission = a_submission()
        case = a_delivery(submission, target="register")
        copy = a_delivery(submission, target="e-akte", purpose=Purpose.COPY, after=case.id)
        await engine.accept_all(submission, case, copy)
        await engine.until_tried(case, 1)
        assert files.log == []

        await engine.turn(5 * SECONDS)
        await engine.until_state(case, State.DELIVERED)
        await engine.turn(2 * SECONDS)
        await engine.until_state(copy, State.DELIVERED)

    assert files.envelopes[0].predecessor == sdk.Acknowledgement("2026/1", {"status": "201"})


async def test_never_more_at_once_than_the_target_allows_and_never_less_than_it_could(
    engine: Engine, register: AskableSystem
) -> None:
    async def slowly(envelope: sdk.Envelope) -> sdk.Acknowledgement:
        await asyncio.sleep(0.1)  # longer than a claim takes on any journal
        return register.take(envelope)

    register.script.extend([slowly] * 40)

    deliveries = [await engine.accept() for _ in range(40)]
    for delivery in deliveries:
        await engine.until_state(delivery, State.DELIVERED)

    assert register.most_running == 4
