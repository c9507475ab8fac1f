"""Why somebody does something: asked for where there is somebody to ask, demanded where there is not."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway.cli.output import Exit, err, fail


def _given(reason: str) -> str:
    """Standard output belongs to the result, so the question goes to standard error."""
    if not reason.strip() and sys.stdin.isatty():
        err.print("Grund (steht im Protokoll) / reason: ", end="")
        reason = sys.stdin.readline()
    if not reason.strip():
        fail("--reason fehlt: Warum? Der Grund steht im Protokoll.", "--reason is missing: why? It stands in the history.",
             code=Exit.USAGE)
    return reason.strip()


Reason = Annotated[str, typer.Option("--reason", "-r", help="Warum; steht im Protokoll. / Why.", callback=_given)]
