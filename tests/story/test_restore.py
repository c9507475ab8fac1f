"""A backup put back loses nothing that was acknowledged before it, and doubles nothing that was delivered after it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from connectors import sdk
from gateway.adapters import backup
from gateway.adapters.sqlite import SqliteJournal
from gateway.ports import Dossier
from gateway.preparing import Remade
from gateway.submission import DeadClass, Delivery, State
from gateway.vault import Vault
from tests.clock import TurnableClock
from tests.deliveries import a_delivery, a_submission
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


async def put_back(engine: Engine, folder: Path, clock: TurnableClock) -> None:
    await engine.stop()
    await engine.journal.aclose()
    for file in folder.glob("journal.db*"):
        file.unlink()
    vault = await asyncio.to_thread(Vault.open, folder / "keys")
    await backup.restore(folder / "copy.db", folder / "journal.db", vault=vault, clock=clock)
    await engine.open()
    await engine.start()


async def test_what_had_no_route_at_the_backup_and_was_delivered_since_is_one_case(
    tmp_path: Path, clock: TurnableClock, register: AskableSystem, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def routed(dossier: Dossier, delivery: Delivery) -> Remade:
        return Remade("register", delivery.document, delivery.authority, delivery.leistung)

    submission = a_submission(received_at=clock.now())
    held = a_delivery(
        submission, target=None, state=State.DEAD, dead_class=DeadClass.UNROUTABLE, waiting_for=None, next_attempt_at=None
    )
    await engine.accept_all(submission, held)
    assert isinstance(engine.journal, SqliteJournal)
    await engine.journal.backup(tmp_path / "copy.db")
    for _ in range(2):
        monkeypatch.setattr(engine.operator._preparing, "_remake", routed)
        await engine.operator.replay(held.id, actor="operator:anna", reason="Leitweg ergänzt")
        for _ in range(3):
            await engine.turn(2 * MINUTES)
        await engine.until_state(held, State.DELIVERED)
        await put_back(engine, tmp_path, clock)

    assert register.log == [("send", held.id), ("find", held.id)]


async def test_a_portal_whose_cursor_is_from_before_hears_of_what_is_new(
    tmp_path: Path, clock: TurnableClock, engine: Engine
) -> None:
    async def delivered() -> str:
        delivery = await engine.until_state(await engine.accept(), State.DELIVERED)
        await engine.journal.seal(at=clock.now())
        return delivery.submission_id

    await delivered()
    assert isinstance(engine.journal, SqliteJournal)
    await engine.journal.backup(tmp_path / "copy.db")
    for _ in range(5):
        await delivered()
    cursor, _ = await engine.journal.since("service-bw", 0, 100)
    assert await engine.journal.since("service-bw", cursor, 100) == (cursor, [])
    await put_back(engine, tmp_path, clock)
    new = await delivered()

    _, heard = await engine.journal.since("service-bw", cursor, 100)
    assert new in heard
