"""Who still needs a schema package: submissions that have not arrived and whose messages are its own.

To replay one of them, to redirect it or to answer it in the words of its standard, the package has to be there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.ports import Journal
from gateway.submission import State

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE: Final = 500
_OPEN: Final = frozenset({State.PENDING, State.DELIVERING, State.DEAD})


@dataclass(frozen=True, slots=True)
class PackageUse:
    """submissions: that are not settled. waiting, dead_letters: their deliveries."""

    package: str
    submissions: int = 0
    waiting: int = 0
    dead_letters: int = 0


async def use_of(journal: Journal, package: str) -> PackageUse:
    """package: "name@version". Looks through what was received, unless nothing at all is open."""
    if not any(count for each in await journal.backlog() for state, count in each.counts.items() if state in _OPEN):
        return PackageUse(package)
    submissions, deliveries, after = 0, Counter[State](), 0
    while page := await journal.received(since=_EVER, after=after, limit=_PAGE):
        for submission in page:
            if submission.package != package or submission.erased_at is not None:
                continue
            dossier = await journal.dossier(submission.id)
            states = [each.state for each in dossier.deliveries if each.state in _OPEN] if dossier is not None else []
            submissions += bool(states)
            deliveries.update(states)
        after = page[-1].order
    dead = deliveries[State.DEAD]
    return PackageUse(package, submissions, deliveries.total() - dead, dead)
