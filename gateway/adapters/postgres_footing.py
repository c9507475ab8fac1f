"""What was committed must still be there when a connection is made again.

It is not after a failover to a standby that was not waited for, or when an old backup was put in place under a running
gateway: then nobody knows what was sent after that moment, and to go on would be to send it again.
"""

from __future__ import annotations

import structlog

from gateway.logfields import LogEvent
from gateway.ports import JournalUnavailable

log = structlog.get_logger("nahtlos.journal")


class Footing:
    """lost: German, English, once lines of the history that we know of are gone; then nothing is written any more."""

    def __init__(self) -> None:
        self._line = 0
        self.lost: tuple[str, str] | None = None

    def committed(self, line: int) -> None:
        """The history goes up to this line, for good."""
        self._line = max(self._line, line)

    def check(self, line: int) -> None:
        """The history is read to go up to this line. Raises ``JournalUnavailable``."""
        if line < self._line and self.lost is None:
            gone = self._line - line
            log.error(LogEvent.JOURNAL_WARNING, reason="journal-went-back", count=gone)
            de = (
                f"Dem Journal fehlen die letzten {gone} Zeilen, die schon gespeichert waren (Failover ohne synchronen Standby, "
                "oder eine alte Sicherung): alle Gateways beenden, nahtlos restore --doubt, dann neu starten."
            )
            en = (
                f"The journal lacks the last {gone} lines that were stored already (a failover without a synchronous standby, or "
                "an old backup): stop all gateways, nahtlos restore --doubt, then start again."
            )
            self.lost = de, en
        self.refuse()
        self.committed(line)

    def refuse(self) -> None:
        """Raises ``JournalUnavailable``."""
        if self.lost is not None:
            raise JournalUnavailable(self.lost[1])
