"""Can this gateway take something in, and what is wrong with it: as code → German, English."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway.admission import Admission, Reason, TurnedAway
from gateway.config.faults import Fault
from gateway.ports import Broker, Journal, JournalUnavailable
from gateway.supervisor import Supervisor
from gateway.vault import Vault, file_name

Wrong = dict[str, tuple[str, str]]

SECONDS = 2
"""Longest wait for an answer of the journal."""


class Readiness:
    """needed_keys: names of the key files that the journal needs; asked only when one is gone. refused: faults of a site file
    that was not taken up."""

    def __init__(
        self, *, journal: Journal, vault: Vault, needed_keys: Callable[[], Awaitable[Mapping[str, int]]], broker: Broker,
        admission: Admission, supervisor: Supervisor, refused: Callable[[], Sequence[Fault]] = tuple,
    ) -> None:
        self._journal, self._vault, self._needed_keys = journal, vault, needed_keys
        self._broker, self._admission, self._supervisor = broker, admission, supervisor
        self._refused = refused
        self._not_missed: frozenset[str] = frozenset()

    async def wrong(self) -> Wrong:
        """Empty when all is well."""
        return {
            **self._admitting(), **(await self._journal_answers()), **self._broker_rings(), **(await self._keys_are_there()),
            **self._site_is_sound(),
            **{
                f"task-{task}": (f"Der Hintergrunddienst {task} fällt aus.", f"The background task {task} keeps failing.")
                for task in self._supervisor.failing
            },
        }

    def _admitting(self) -> Wrong:
        try:
            self._admission.check()
        except TurnedAway as turned:
            return {turned.reason.value: _TURNED_AWAY[turned.reason]}
        return {}

    async def _journal_answers(self) -> Wrong:
        if (trouble := self._journal.trouble()) is not None:
            return {"journal": trouble}
        try:
            async with asyncio.timeout(SECONDS):
                await self._journal.target_states()
        except (JournalUnavailable, TimeoutError):
            return {"journal": ("Das Journal gibt keine Auskunft.", "The journal does not answer.")}
        return {}

    def _broker_rings(self) -> Wrong:
        if self._broker.connected:
            return {}
        return {"broker": (
            "Der Nachrichtendienst klingelt nicht; übermittelt wird später.", "The broker does not ring; deliveries wait.",
        )}

    def _site_is_sound(self) -> Wrong:
        """Without the texts of the faults: they name portals and targets, and anybody may ask here."""
        if not (faults := self._refused()):
            return {}
        line, n = faults[0].line, len(faults)
        de = (
            f"Die geänderte Standortdatei hat {n} Fehler, den ersten in Zeile {line} („nahtlos check“ nennt sie); der Stand "
            "davor gilt weiter."
        )
        en = (
            f'The changed site file has {n} faults, the first in line {line} ("nahtlos check" names them); what was before stays '
            "in force."
        )
        return {"site": (de, en)}

    async def _keys_are_there(self) -> Wrong:
        """What is accepted under a key whose file is gone could not be read after the next start."""
        gone = await asyncio.to_thread(self._vault.files_gone) - self._not_missed
        if not gone:
            return {}
        try:
            async with asyncio.timeout(SECONDS):
                missing = gone & (await self._needed_keys()).keys()
        except (JournalUnavailable, TimeoutError):
            missing = gone
        else:
            self._not_missed |= gone - missing  # everything has been wrapped anew since: they may go
        if not missing:
            return {}
        code = "key-in-force" if file_name("site", self._vault.newest) in missing else "keys"
        names = ", ".join(sorted(missing))
        return {code: (
            f"In {self._vault.directory} fehlen jetzt {names}: zurücklegen, bevor das Gateway das nächste Mal startet.",
            f"Now missing from {self._vault.directory}: {names}. Put them back before the gateway starts again.",
        )}


_TURNED_AWAY = {
    Reason.STOPPING: ("Das Gateway wird beendet.", "The gateway is stopping."),
    Reason.JOURNAL_SLOW: ("Das Journal kommt nicht nach.", "The journal cannot keep up."),
    Reason.DISK_FULL: ("Der freie Platz ist unter der Reserve.", "Free space is below the reserve."),
}
