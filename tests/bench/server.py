"""The measured gateway, as its own process: ``python -m tests.bench.server FOLDER MODE [TARGET_URL]``.

Modes: ``whole`` is the product as it is; ``http`` is the same server and route with an intake that answers at once and
stores nothing; ``fill N`` writes N delivered submissions into the journal and ends. Where the journal and the broker are
and what its role is stands in the environment, as with the product; ``BENCH_LANE``: of the target. It prints its address and
key, then one line of figures for every line it is sent, and ends with its standard input. Lines that mean something: ``pause``
and ``resume`` the target; ``settle``: chain what was committed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop

from connectors.simulator import SECRET
from gateway import telemetry
from gateway.access import Kind, new_key
from gateway.app import Gateway, build
from gateway.ids import uuid7
from gateway.intake import Receipt
from gateway.ports import Change
from gateway.process import serve
from gateway.seal import Sealer
from gateway.settings import Settings
from gateway.submission import Event, advance
from tests.bench.stages import acceptance_of
from tests.portal import message_of

SITE = """
site = "messung"
[authority.stadt]
ars = "081210000000"
name = "Stadt Messung"
[portal.portal]
leistungen = ["*"]
in_flight = 2000
invalid_per_minute = 100000000
[target.fach]
connector = "rest"
authority = "stadt"
concurrency = 32
lane = "{lane}"
settle = "1s"
options = {{ url = "{target}", token = "file:{secret}" }}
[[route]]
leistung = "*"
ars = "08"
to = [ {{ target = "fach" }} ]
"""


def settings_in(folder: Path, target: str) -> Settings:
    secret = folder / "secret"
    secret.write_text(SECRET, encoding="ascii")
    secret.chmod(0o600)
    site = folder / "nahtlos.toml"
    lane = os.environ.get("BENCH_LANE", "fach")
    site.write_text(SITE.format(target=target, secret=secret, lane=lane), encoding="utf-8")
    return Settings(site=site, state=folder / "state", host="127.0.0.1", port=0, log_level="INFO")


async def main(folder: Path, mode: str, target: str) -> None:
    gateway = build(settings_in(folder, target))
    serving = await serve(gateway, local=False)
    plain, credential = new_key("portal", Kind.PORTAL_KEY, ("*",), gateway.clock)
    await gateway.keys.put(credential, actor="bench")
    if mode == "http":
        await _answer_at_once(gateway)
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    say({"port": serving.port, "key": plain})
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        await _do(gateway, line.decode("ascii").strip())
        figures = gateway.journal.figures()  # type: ignore[attr-defined]
        backlog = {each.target: dict(each.counts) for each in await gateway.journal.backlog()}
        said = {name: getattr(figures, name) for name in figures.__slots__}
        say({"figures": said, "backlog": backlog, "cpu": time.process_time()})
    await serving.stop()


async def _do(gateway: Gateway, word: str) -> None:
    match word:
        case "pause":
            await gateway.operator.pause("fach", actor="bench", reason="Messung")
        case "resume":
            await gateway.operator.resume("fach", actor="bench", reason="Messung")
        case "settle":
            await Sealer(gateway.journal, gateway.clock).once()


async def _answer_at_once(gateway: Gateway) -> None:
    """One real receipt, handed out for every POST."""
    body = message_of()()
    acceptance = acceptance_of(body, clock=gateway.clock)
    accepted = await gateway.journal.accept(acceptance)
    dossier = await gateway.journal.dossier(accepted.submission.id)  # type: ignore[union-attr]
    assert dossier is not None
    receipt = Receipt(dossier)

    async def accept(incoming: object) -> Receipt:
        return receipt

    gateway.intake.accept = accept  # type: ignore[method-assign]


async def fill(folder: Path, count: int) -> None:
    """Accepted, claimed, delivered: the journal of a gateway that has worked for a while."""
    gateway = build(settings_in(folder, "http://127.0.0.1:9"))
    await gateway.start()
    await gateway.supervisor.stop()
    journal, clock, make = gateway.journal, gateway.clock, message_of()

    async def one() -> None:
        acceptance = acceptance_of(make(), clock=clock)
        await journal.accept(acceptance)
        at = clock.now()
        [delivery] = acceptance.deliveries
        claimed = await journal.claim(delivery.id, at=at, lease_until=at + timedelta(minutes=1), by="bench")
        assert claimed is not None
        after = advance(claimed, Event.CONFIRM, at=at, in_doubt=False, case_number=f"HN-{uuid7()}")
        assert await journal.advance(Change(claimed, after, Event.CONFIRM, at, "bench"))

    for _ in range(0, count, 500):
        await asyncio.gather(*(one() for _ in range(500)))
    await gateway.stop()
    say({"filled": count})


def say(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def run(arguments: Sequence[str]) -> None:
    folder, mode = Path(arguments[0]), arguments[1]
    with (folder / f"log-{mode}").open("ab") as log:
        telemetry.configure(form="json", level="INFO", stream=log)
        work = fill(folder, int(arguments[2])) if mode == "fill" else main(folder, mode, arguments[2])
        uvloop.run(work)


if __name__ == "__main__":
    run(sys.argv[1:])
