"""The keys that hold now. Asked with every request, so it is a value in memory; read again when a key was written."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway.access import Keyring
from gateway.ports import Clock, Credential, Journal, JournalUnavailable
from gateway.site import Site


class Keys:
    """every: seconds until a key that another process revoked no longer holds here, at most."""

    def __init__(self, journal: Journal, site: Site, clock: Clock, *, every: float = 5.0) -> None:
        self._journal, self._site, self._clock, self._every = journal, site, clock, every
        self._writing = asyncio.Lock()
        self._asked = self._heard = 0
        self.ring = Keyring((), site)

    async def put(self, credential: Credential, *, actor: str) -> None:
        """Holds from when this returns. Raises ``JournalUnavailable``."""
        async with self._writing:
            await self._journal.put_credential(credential, actor=actor, at=self._clock.now())
        await self.reload()

    async def reload(self) -> None:
        """Raises ``JournalUnavailable``."""
        used = self.ring.take_used()
        self._asked = asked = self._asked + 1
        found = await self._journal.credentials()
        if asked > self._heard:  # else who asked later has heard already, and knows of what was revoked meanwhile
            self._heard, self.ring = asked, Keyring(found, self._site)
        if used:
            await self._write_used(used)

    async def run(self) -> None:
        """Endless; ends by cancellation. While the journal gives no answer, the keys of before hold."""
        while True:
            await self._clock.sleep(self._every)
            try:
                await self.reload()
            except JournalUnavailable:
                continue

    async def _write_used(self, used: list[Credential]) -> None:
        """On which day a key was used last, so that keys nobody needs are found. Never with what we remember of the key: it
        may have been revoked since, and writing it back would make it hold again."""
        async with self._writing:
            current = {each.id: each for each in await self._journal.credentials()}
            for each in used:
                known = current.get(each.id)
                if known is not None and known.revoked_at is None and known.last_used_on != each.last_used_on:
                    touched = replace(known, last_used_on=each.last_used_on)
                    await self._journal.put_credential(touched, actor="gateway", at=self._clock.now())
