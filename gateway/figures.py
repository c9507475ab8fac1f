"""What a process knows of itself and of its machine, for ``/metrics``: version, disk, certificates, signs of work."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from gateway import __version__
from gateway.certificates import Certificates
from gateway.metrics import Metrics
from gateway.settings import Settings


def describe(
    metrics: Metrics, settings: Settings, *, certificates: Certificates, last_pass: Callable[[], datetime] | None,
) -> None:
    """last_pass: when the dispatcher last went through all that is due; ``None`` where it does not run."""
    metrics.table("build_info", "Version and role of this process", ("version", "role"),
                  lambda: [((__version__, settings.role.value), 1.0)])
    if last_pass is not None:
        metrics.gauge("dispatcher_last_pass_timestamp_seconds", "When the dispatcher last went through all that is due",
                      lambda: last_pass().timestamp())
    metrics.table("certificate_expiry_timestamp_seconds", "When a certificate runs out: our own, shown to a target, or by it",
                  ("shown", "target"), lambda: [((each.shown.value, each.target), each.at) for each in certificates.known()])
    if settings.state.is_dir():
        _disk(metrics, settings)


def _disk(metrics: Metrics, settings: Settings) -> None:
    """Of the volume that holds the state; below the reserve nothing new is taken in."""
    state, reserve = settings.state, settings.disk_reserve
    metrics.gauge("disk_bytes", "Size of the volume that holds the state", lambda: float(shutil.disk_usage(state).total))
    metrics.gauge("disk_free_bytes", "Free on the volume that holds the state", lambda: float(shutil.disk_usage(state).free))
    metrics.gauge("disk_reserve_bytes", "Below so many free bytes nothing new is taken in",
                  lambda: float(reserve.of(shutil.disk_usage(state).total)))
    address = settings.journal.get_secret_value()
    if address.startswith("sqlite:"):
        journal = Path(address.removeprefix("sqlite:///"))
        metrics.gauge("journal_bytes", "Size of the journal's files", lambda: float(_size(journal)))


def _size(journal: Path) -> int:
    return sum(path.stat().st_size for path in (journal, journal.with_name(journal.name + "-wal")) if path.exists())
