"""A reliability test that stays green when its promise is broken proves nothing: every promise is broken on purpose.

The gateway runs with one of ``defects.DEFECTS`` and dies a few times; what ``test_kills`` looks at, and finds in order
without a defect, must then be red, and for the right reason. (Syncs that are left out: ``test_power_cut``; claims that a
race can slip through: ``test_race``.)
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenario import Outcome, kill_at_steps

pytestmark = pytest.mark.timeout(240)

AFTER_THE_ANSWER = [("after the answer", 1), ("after the answer", 3), ("after the answer", 6)]


def _killed(folder: Path, breaks: str, *deaths: tuple[str, int], within: float = 30) -> Outcome:
    return kill_at_steps(folder, deaths, submissions=30, breaks=breaks, within=within)


def test_a_202_before_the_commit_is_found_as_lost(tmp_path: Path) -> None:
    assert _killed(tmp_path, "says_202_before_the_commit", ("after 202", 5)).verdict.lost


def test_a_gateway_without_idempotency_is_found_as_doubling(tmp_path: Path) -> None:
    assert _killed(tmp_path, "forgets_claims", ("before 202", 5)).verdict.doubled


def test_confirmations_that_are_not_written_leave_deliveries_open(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="everything delivered"):
        _killed(tmp_path, "forgets_confirmations", within=8)


def test_sending_again_without_asking_is_found_as_doubling(tmp_path: Path) -> None:
    assert _killed(tmp_path, "sends_again_without_asking", *AFTER_THE_ANSWER).verdict.doubled


def test_forgetting_what_the_dead_had_in_flight_is_found_as_doubling(tmp_path: Path) -> None:
    assert _killed(tmp_path, "forgets_the_doubt_of_the_dead", *AFTER_THE_ANSWER).verdict.doubled


def test_giving_up_in_silence_is_found_as_lost(tmp_path: Path) -> None:
    outcome = _killed(tmp_path, "gives_up_in_silence", ("during a probe", 1))  # till then one system takes nothing

    assert outcome.verdict.lost
    assert outcome.journal


def test_changed_bytes_are_found_as_corrupted(tmp_path: Path) -> None:
    assert _killed(tmp_path, "changes_bytes").verdict.corrupted
