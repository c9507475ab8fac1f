"""The processes of a demo and their folder: real ones, started and ended here, the gateway also by SIGKILL.

Whatever happens, leaving the stage ends every process and removes the folder. Should the demo itself be killed, the
kernel ends them.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx

import gateway
from gateway.demo import town

USUAL_PORT = 8400
PATIENCE = 90.0
"""Seconds that a process may take to begin; on a busy machine a first start reads and compiles everything."""


class StageFault(Exception):
    """A process did not begin, or ended by itself. Says in German what, and what it said last."""


class Stage:
    """Use with ``with``. folder: where everything is. kept: it is not removed at the end. slow: see ``town.System.script``.
    kills: SIGKILLs so far."""

    def __init__(self, *, kept: bool = False, slow: bool = False) -> None:
        self.kept, self.slow, self.kills = kept, slow, 0
        self.urls: dict[str, str] = {}
        self.port = 0
        self._begun = False
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="nahtlos-")).resolve()
        for part in ("registers", "e-akte", "log", "tmp"):
            (self.folder / part).mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._end_all()
        finally:
            if not self.kept:
                shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def site(self) -> Path:
        return self.folder / "nahtlos.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def e_akte(self) -> Path:
        return self.folder / "e-akte"

    def register(self, system: town.System) -> Path:
        """The cases that this system has made, one JSON line each; written by nobody but itself."""
        return self.folder / "registers" / system.target / "cases.jsonl"

    async def open(self) -> None:
        """Start the case systems, write the site file. Raises ``StageFault``."""
        secrets = {system.target: town.secret_file(self.folder, system) for system in town.CASE_SYSTEMS}
        await asyncio.gather(*(self._start_system(system) for system in town.CASE_SYSTEMS))
        self.site.write_text(
            town.site_file(
                fallakte=self.urls[town.FALLAKTE.target], amtsregister=self.urls[town.AMTSREGISTER.target],
                e_akte=self.e_akte, secrets=secrets,
            ),
            encoding="utf-8",
        )  # fmt: skip
        self.port = _free_port(USUAL_PORT)

    async def start_gateway(self) -> float:
        """Seconds until it was ready. Raises ``StageFault``.

        Should somebody else have taken the port meanwhile, a first start takes another one; a later one waits until it is
        free again, because that is where the portal insists.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            try:
                await self._gateway_ready()
            except StageFault as fault:
                if "NAHTLOS_PORT" not in str(fault) or loop.time() > begun + PATIENCE:
                    raise
                if not self._begun:
                    self.port = _free_port(0)
                await asyncio.sleep(0.1)
            else:
                self._begun = True
                return loop.time() - begun

    async def _gateway_ready(self) -> None:
        """Asked over the local socket, which is ours for certain; a port could be answered by another gateway."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        process = self._start(
            "gateway", "gateway", "serve", NAHTLOS_SITE=self.site, NAHTLOS_STATE=self.state, NAHTLOS_HOST="127.0.0.1",
            NAHTLOS_PORT=self.port, NAHTLOS_LOG_FORMAT="json", NAHTLOS_DISK_RESERVE="64MiB",  # a laptop's disk may be fuller
        )  # fmt: skip
        async with self._local() as client:
            while loop.time() < end:
                self._must_run("gateway", process)
                with suppress(httpx.TransportError):
                    if (await client.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)
        raise StageFault(f"Das Gateway ist nach {PATIENCE:.0f} s nicht bereit.\n{self._last_words('gateway')}")

    def kill_gateway(self) -> None:
        """SIGKILL: no goodbye, nothing flushed, nothing closed."""
        process = self._running["gateway"]
        process.kill()
        process.wait()
        self.kills += 1

    def gateway_runs(self) -> bool:
        return self._running["gateway"].poll() is None

    async def keys(self) -> tuple[str, str]:
        """A portal's and an operator's key, made over the gateway's local socket as ``nahtlos portal key new`` does."""
        made = []
        async with self._local() as client:
            for order in ({"holder": town.PORTAL, "kind": "portal-key", "scope": ["*"]},
                          {"holder": "vorfuehrung", "kind": "operator-key", "scope": ["*"]}):
                answer = await client.post("/v1/keys", json={**order, "reason": "Vorführung"})
                if answer.status_code != 201:
                    raise StageFault(f"Schlüssel nicht ausgegeben: {answer.status_code} {answer.text[:300]}")
                made.append(str(answer.json()["key"]))
        return made[0], made[1]

    def _local(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=str(self.state / "control.sock"))
        return httpx.AsyncClient(base_url="http://nahtlos", transport=transport, timeout=30)

    # --- processes -----------------------------------------------------------------------------------------------------

    async def _start_system(self, system: town.System) -> None:
        assert system.product is not None
        process = self._start(
            system.target, "connectors.simulator", "rest", "--product", system.product, "--not-idempotent",
            "--data", str(self.register(system).parent), "--faults", system.script(slow=self.slow),
        )  # fmt: skip
        said = self.folder / "log" / f"{system.target}.out"
        for _ in range(int(PATIENCE / 0.05)):
            if (line := said.read_text(encoding="utf-8")).endswith("\n"):
                self.urls[system.target] = json.loads(line)["url"]
                return
            self._must_run(system.target, process)
            await asyncio.sleep(0.05)
        raise StageFault(f"{system.title} ist nach {PATIENCE:.0f} s nicht bereit.")

    def _start(self, name: str, module: str, *arguments: str, **environment: Any) -> subprocess.Popen[bytes]:
        """``python -m module``, from this installation and no other, in a session of its own: Ctrl-C is for the demo.

        Temporary files are ours too: a killed process takes none of its own away.
        """
        environment = _environment(environment | {"TMPDIR": self.folder / "tmp"})
        with (self.folder / "log" / f"{name}.out").open("ab") as out, (self.folder / "log" / f"{name}.err").open("ab") as err:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments], env=environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=err, start_new_session=True, preexec_fn=_end_with_parent,
            )
        return self._running[name]

    def _must_run(self, name: str, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            raise StageFault(f"{name} hat sich beendet ({process.returncode}).\n{self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        lines = (self.folder / "log" / f"{name}.err").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def _end_all(self) -> None:
        """The gateway first and with time to finish; who asks twice does not wait."""
        for name, grace in sorted(((name, 12.0 if name == "gateway" else 3.0) for name in self._running), key=lambda x: -x[1]):
            process = self._running[name]
            try:
                process.terminate()
                process.wait(grace)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()
                process.wait()


def _environment(more: Mapping[str, Any]) -> dict[str, str]:
    """Ours without what a real installation on this machine may have set, and with the folder this package is in."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NAHTLOS_")}
    here = str(Path(gateway.__file__).parents[1])
    path = os.pathsep.join(filter(None, (here, inherited.get("PYTHONPATH"))))
    return inherited | {"PYTHONPATH": path} | {name: str(value) for name, value in more.items()}


def _end_with_parent() -> None:
    """In the child, before it begins: SIGTERM when the demo is gone (Linux: PR_SET_PDEATHSIG = 1)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _free_port(wished: int) -> int:
    """``wished`` if nobody has it now, else any that is free."""
    for port in (wished, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise StageFault("Auf 127.0.0.1 ist kein Port frei.")
