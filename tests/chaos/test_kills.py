"""P2, P3: the gateway is killed while it works, again and again, and every 202 becomes exactly one case.

The case systems make a case of every document they get, so that a blind second sending shows. Judged from outside by
``checker``; and the journal that is left must be whole and know the same case numbers.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.launcher import STEPS
from tests.chaos.matrix import note
from tests.chaos.processes import gateway, site_of
from tests.chaos.scenario import kill_at_random, kill_at_steps


@pytest.mark.timeout(300)
def test_killed_at_random_moments_under_load_every_202_becomes_one_case(tmp_path: Path, long: int) -> None:
    seed = 20_260_302

    outcome = kill_at_random(tmp_path, kills=20 * long, submissions=500 * long, seed=seed)

    if long > 1:
        note([outcome.row("SIGKILL zu beliebigen Zeiten", times=20 * long)])
    assert outcome.kept, f"seed {seed}: {outcome}"
    assert outcome.verdict.acknowledged >= 500 * long


@pytest.mark.timeout(300)
def test_killed_at_every_named_step_every_202_becomes_one_case(tmp_path: Path, long: int) -> None:
    seed = 7
    chance = random.Random(seed)
    lives = [(step, chance.choice([1, 2, 5])) for step in STEPS for _ in range(long)]
    chance.shuffle(lives)

    outcome = kill_at_steps(tmp_path, lives, submissions=100)

    if long > 1:
        note([outcome.row("SIGKILL bei jedem benannten Schritt", times=len(lives))])
    assert not outcome.missed, "these steps never came, so that nothing died there"
    assert outcome.kept, f"seed {seed}: {outcome}"


def test_a_stop_in_the_very_first_moment_is_in_order(tmp_path: Path) -> None:
    """As soon as it listens it may be told to stop, by a service manager that thinks better of it."""
    with gateway(tmp_path, site_of("http://127.0.0.1:9")) as gw:
        for _ in range(4):
            gw.start()
            assert gw.stop() == 0
