"""The socket files over which the command line and health checks reach the gateways of this machine.

The first takes ``control.sock``; another process of the same state folder, on the same journal, takes a name of its own
beside it and leaves the first's alone. To the command line one is as good as another.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path


def free(control: Path) -> Path:
    """Where this process may listen; what processes that died have left is taken away."""
    for left in control.parent.glob(f"{control.stem}-*{control.suffix}"):
        if not answers(left):
            with suppress(FileNotFoundError):
                left.unlink()
    return control.with_name(f"{control.stem}-{os.getpid()}{control.suffix}") if answers(control) else control


def living(control: Path) -> Path:
    """One at which a gateway listens; ``control`` itself where there is none."""
    beside = sorted(control.parent.glob(f"{control.stem}-*{control.suffix}"))
    return next((path for path in (control, *beside) if answers(path)), control)


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(5)
        return asking.connect_ex(str(path)) == 0
