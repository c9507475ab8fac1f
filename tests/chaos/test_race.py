"""P4: a portal that is impatient sends the same thing many times at once. One submission, and the same answer to all."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.chaos.inspection import inspect
from tests.chaos.processes import Gateway, case_systems, gateway, site_of, until
from tests.portal import Answer, Portal, message_of

pytestmark = pytest.mark.timeout(240)

AT_ONCE = 64
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def gw(tmp_path: Path) -> Iterator[Gateway]:
    with gateway(tmp_path / "gateway", site_of(NOBODY)) as made:
        yield made


def test_one_key_sent_64_times_at_once_is_one_submission(gw: Gateway, long: int) -> None:
    rounds = 100 * long
    gw.start()

    async def race() -> None:
        portal = gw.portal()
        for _ in range(rounds):
            message, key = message_of()(), str(uuid.uuid4())
            answers = await _at_once(portal, [(message, key)] * AT_ONCE)
            assert {answer.status for answer in answers} == {202}
            assert len({answer.body for answer in answers}) == 1
        portal.close()

    asyncio.run(race())
    gw.stop()

    assert _submissions(gw) == rounds


def test_one_message_under_64_keys_at_once_is_one_submission(gw: Gateway, long: int) -> None:
    """A portal that makes a new key for every try: the message's own number protects it."""
    rounds = 20 * long
    gw.start()

    async def race() -> None:
        portal = gw.portal()
        for _ in range(rounds):
            message = message_of()()
            answers = await _at_once(portal, [(message, str(uuid.uuid4())) for _ in range(AT_ONCE)])
            assert {answer.status for answer in answers} == {202}
            assert len({answer.json()["id"] for answer in answers}) == 1
            assert sum("duplicate_of" not in answer.json() for answer in answers) == 1
        portal.close()

    asyncio.run(race())
    gw.stop()

    assert _submissions(gw) == rounds


def test_one_key_for_different_messages_at_once_is_taken_by_one_of_them(gw: Gateway, long: int) -> None:
    rounds = 10 * long
    gw.start()

    async def race() -> None:
        portal, message = gw.portal(), message_of()
        for _ in range(rounds):
            key = str(uuid.uuid4())
            answers = await _at_once(portal, [(message(), key) for _ in range(AT_ONCE)])
            assert Counter(answer.status for answer in answers) == {202: 1, 422: AT_ONCE - 1}
        portal.close()

    asyncio.run(race())
    gw.stop()

    assert _submissions(gw) == rounds


def test_a_gateway_that_dies_in_the_middle_of_the_race_gives_everybody_the_same_receipt_afterwards(gw: Gateway) -> None:
    gw.start(dies="before 202", nth=200)
    portal = gw.portal()
    race = [(message_of()(), str(uuid.uuid4())) for _ in range(16)]

    async def insist() -> list[list[Answer | None]]:
        until = asyncio.get_running_loop().time() + 20
        rounds = [asyncio.gather(*(portal.insist(m, key=k, until=until) for _ in range(AT_ONCE))) for m, k in race]
        await asyncio.to_thread(gw.await_death, within=20)
        await asyncio.to_thread(gw.start)
        told = await asyncio.gather(*rounds)
        portal.close()
        return told

    for answers in asyncio.run(insist()):
        assert len({answer.body for answer in answers if answer is not None}) == 1
        assert None not in answers
    gw.stop()

    assert _submissions(gw) == len(race)


def test_a_dead_letter_replayed_by_16_operators_at_once_is_tried_once(tmp_path: Path) -> None:
    """P8: each has seen the same; the first one's replay is the one that counts, and the others are told."""
    with case_systems(tmp_path, "stadt") as (city,), gateway(tmp_path / "replays", site_of(city)) as gw:
        city.break_with("400")
        gw.start()
        portal, message = gw.portal(), message_of()()

        async def post() -> None:
            await portal.post(message, key="once")
            portal.close()

        asyncio.run(post())
        until(lambda: bool(gw.dead_letters()), within=10, what="refused")
        (dead,) = gw.dead_letters()

        with ThreadPoolExecutor(16) as operators:
            order = {"reason": "repaired", "revision": dead["revision"]}
            tries = [operators.submit(gw.call, "POST", f"/v1/dead-letters/{dead['id']}/replay", order) for _ in range(16)]
            refused = [error for each in tries if isinstance(error := each.exception(), httpx.HTTPStatusError)]

        assert [error.response.status_code for error in refused] == [409] * 15
        until(lambda: not gw.open_deliveries(), within=10, what="delivered")
        assert (city.cases(), city.stats()["requests"]) == (1, 2)


@pytest.mark.parametrize("defect", ["forgets_claims", "looks_for_claims_too_early"])
def test_a_gateway_that_does_not_hold_claims_and_commit_together_is_found(gw: Gateway, defect: str) -> None:
    gw.start(breaks=defect)

    async def race() -> int:
        portal, message, key = gw.portal(), message_of()(), str(uuid.uuid4())
        answers = await _at_once(portal, [(message, key)] * AT_ONCE)
        portal.close()
        return len({answer.body for answer in answers})

    assert asyncio.run(race()) > 1


async def _at_once(portal: Portal, posts: list[tuple[bytes, str]]) -> list[Answer]:
    """All of them, and an answer to each."""
    answers = await asyncio.gather(*(portal.post(message, key=key) for message, key in posts), return_exceptions=True)
    broken = [answer for answer in answers if isinstance(answer, BaseException)]
    assert not broken, f"{len(broken)} without an answer: {broken[0]!r}"
    return [answer for answer in answers if isinstance(answer, Answer)]


def _submissions(gw: Gateway) -> int:
    found = asyncio.run(inspect(gw.state / "journal.db", gw.state / "keys"))
    assert not found.faults, found.faults[:5]
    return len(found.submissions)
