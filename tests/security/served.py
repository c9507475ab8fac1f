"""A gateway in a process of its own, so that its memory, its end and its log can be looked at from outside.

``python -m tests.security.served`` reads ``NAHTLOS_*``, makes a key for every portal and one for operators, and prints one
JSON line ``{"url": …, "keys": {holder: key}}`` when it listens.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.access import Kind, new_key
from gateway.process import Serving, run
from gateway.settings import read
from tests.conftest import ROOT

SITE = """
site = "probe"
[authority.stadt]
ars = "081210000000"
name = "Stadt Probe"
[portal.probe]
leistungen = ["*"]
in_flight = 1000
invalid_per_minute = 100000
[target.ablage]
connector = "folder"
authority = "stadt"
productive = true
options = {{ path = "{out}" }}
[[route]]
leistung = "*"
ars = "08121"
to = [ {{ target = "ablage" }} ]
"""

LEISTUNG = """
slug = "probe"
version = "1.0"
kind = "antrag"
place = "wohnsitz"
level = { "*" = "gemeinde" }
[names]
de = "Probe"
en = "Probe"
"""


@dataclass
class Served:
    """url, key: where and with which key to submit. log: what it wrote to standard error. out: where cases are put."""

    process: subprocess.Popen[str]
    url: str
    keys: dict[str, str] = field(repr=False)
    log: Path
    out: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def key(self) -> str:
        return self.keys["probe"]

    def seconds(self) -> float:
        """That the process and its children have worked: the machine may have others to work for, too."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, float]:
        """VmRSS and VmHWM of the process, MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}


@contextmanager
def served(tmp: Path, *, message: Path | None = None, **settings: Any) -> Iterator[Served]:
    """Up and listening. message: XSD of a Leistung "probe" of its own. Whatever happens, the process is gone afterwards."""
    out, state = tmp / "out", tmp / "state"
    out.mkdir(parents=True, exist_ok=True)
    (tmp / "nahtlos.toml").write_text(SITE.format(out=out), encoding="utf-8")
    if message is not None:
        folder = state / "schemas" / "leistungen" / "probe"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "leistung.toml").write_text(LEISTUNG, encoding="utf-8")
        (folder / "message.xsd").write_bytes(message.read_bytes())
    chosen = {"site": tmp / "nahtlos.toml", "state": state, "host": "127.0.0.1", "port": 0} | settings
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NAHTLOS_")}
    environment |= {f"NAHTLOS_{name.upper()}": str(value) for name, value in chosen.items()}
    log = tmp / "gateway.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.served"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        said = json.loads(line)
        yield Served(process, said["url"], said["keys"], log, out)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def _announce(serving: Serving) -> None:
    gateway, keys = serving.gateway, {}
    for holder, kind in (*((name, Kind.PORTAL_KEY) for name in gateway.site.portals), ("betrieb", Kind.OPERATOR_KEY)):
        keys[holder], credential = new_key(holder, kind, ("*",), gateway.clock)
        await gateway.keys.put(credential, actor="test")
    print(json.dumps({"url": serving.url, "keys": keys}), flush=True)


if __name__ == "__main__":
    run(read(), announce=_announce)
