"""Is a version of a standard valid on the day a message came in?

Standards change on key dates (XÖV: 1 May and 1 November), and senders do not all change that night. The stage ``validity``
of a package decides: "warn" hints for ``GRACE`` before the first and after the last day and refuses beyond; "reject" refuses
from the first day on; "off" does not look. A test message is never refused for it: that is what tests before the date are for.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from gateway.findings import Finding, Severity
from gateway.packages.package import Package
from gateway.schemas import Registry
from gateway.vocabulary import say

GRACE: Final = timedelta(days=31)


def validity(package: Package, registry: Registry, *, on: date, test: bool) -> Finding | None:
    """``None``: valid that day, or nobody wants to know."""
    stage = package.stages.get("validity", "warn")
    if stage == "off" or package.is_valid_on(on):
        return None
    early = package.valid_from is not None and on < package.valid_from
    limit = package.valid_from if early else package.valid_until
    assert limit is not None
    valid = registry.valid_instead_of(package, on)
    instead = (f" Am {on:%d.%m.%Y} gilt: {', '.join(valid)}.", f" Valid on {on}: {', '.join(valid)}.") if valid else ("", "")
    hint = test or (stage == "warn" and abs(on - limit) <= GRACE)
    return say(
        "version-not-yet-valid" if early else "version-no-longer-valid",
        {"version": package.id, "day": (f"{limit:%d.%m.%Y}", str(limit)), "instead": instead},
        line=1, path=None, expected=valid, severity=Severity.WARNING if hint else Severity.ERROR,
    )
