"""A release cannot be taken: every reason at once, each with the file as it is called in the release."""

from __future__ import annotations

from gateway.config.faults import Fault, Faults


class Refused(Faults):
    """Nothing was installed and nothing is left."""


def refused(file: str, de: str, en: str, *, line: int = 0) -> Refused:
    return Refused([Fault(file, line, de, en)])
