"""A backup put back loses nothing that was acknowledged before it, and doubles nothing that was delivered after it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from connectors import sdk
from gateway.adapters import backup
from gateway.adapters.sqlite import SqliteJournal
from gateway.submission import State
from gateway.vault import Vault
from tests.clock import TurnableClock
from tests.story.engine import AskableSystem, Engine

MINUTES = timedelta(minutes=1)


async def test_all_that_was_acknowledged_before_a_backup_is_one_case_after_restore_and_replay(
    tmp_path: Path, clock: TurnableClock, register: AskableSystem, engine: Engine
) -> None:
    done = [await engine.accept() for _ in range(3)]
    for delivery in done:
        await engine.until_state(delivery, State.DELIVERED)
    register.script.append(sdk.Refused("no"))
    refused = await engine.accept()
    await engine.until_state(refused, State.DEAD)
    register.script.extend([sdk.Unavailable()] * 4)
    waiting = [await engine.accept() for _ in range(4)]
    for delivery in waiting:
        await engine.until_tried(delivery, 1)
    journal = engine.journal
    assert isinstance(journal, SqliteJournal)
    await journal.backup(tmp_path / "copy.db")

    for _ in range(3):  # what the backup does not know
        await engine.turn(MINUTES)
    for delivery in waiting[:3]:
        await engine.until_state(delivery, State.DELIVERED)
    await engine.stop()
    await journal.aclose()
    for file in tmp_path.glob("journal.db*"):
        file.unlink()
    vault = await asyncio.to_thread(Vault.open, tmp_path / "keys")
    restored = await backup.restore(tmp_path / "copy.db", tmp_path / "journal.db", vault=vault, clock=clock)
    await engine.open()
    await engine.start()
    await engine.operator.replay(refused.id, actor="operator:anna", reason="Fachverfahren repariert")
    for _ in range(5):
        await engine.turn(2 * MINUTES)

    assert (restored.open_deliveries, restored.dead_letters) == (4, 1)
    everything = [*done, refused, *waiting]
    for delivery in everything:
        await engine.until_state(delivery, State.DELIVERED)
    assert set(register.kept) == {delivery.id for delivery in everything}
    assert register.doubled == []
