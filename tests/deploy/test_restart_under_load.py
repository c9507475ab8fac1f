"""The smallest form on one machine: while systemd holds the socket, a restart or an upgrade refuses no POST."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.deploy.supervisor import Supervisor
from tests.portal import message_of
from tests.security.served import SITE

RESTARTS = 2
SENDERS = 4
PAUSE = 0.02
PATIENCE = 60.0


@dataclass
class Stream:
    """Portals that send one POST after the other, half of them over a kept connection, half over a new one each time."""

    url: str
    key: str = field(repr=False)
    taken: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __enter__(self) -> Stream:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number % 2 == 0,)) for number in range(SENDERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self, posts: int) -> None:
        """Returns when so many more have been taken, or one was not."""
        enough, until = len(self.taken) + posts, time.monotonic() + PATIENCE
        while len(self.taken) < enough and not self.wrong and time.monotonic() < until:
            time.sleep(0.01)

    def _send(self, kept: bool) -> None:
        message, headers = message_of(), {"Authorization": f"Bearer {self.key}", "Content-Type": "application/xml"}
        limits = httpx.Limits(max_keepalive_connections=1 if kept else 0)
        with httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, trust_env=False, limits=limits) as portal:
            while not self._over.is_set():
                try:
                    answer = portal.post("/v1/submissions", content=message(), headers={"Idempotency-Key": str(uuid.uuid4())})
                except httpx.HTTPError as error:
                    self.wrong.append(f"kept={kept}: {type(error).__name__}: {error}")
                    return
                if answer.status_code != 202:
                    self.wrong.append(f"kept={kept}: {answer.status_code}: {answer.text}")
                    return
                self.taken.append(answer.headers["location"])
                time.sleep(PAUSE)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    (tmp_path / "out").mkdir()
    (tmp_path / "nahtlos.toml").write_text(SITE.format(out=tmp_path / "out"), encoding="utf-8")
    held = Supervisor(tmp_path, {"NAHTLOS_SITE": str(tmp_path / "nahtlos.toml"), "NAHTLOS_STATE": str(tmp_path / "state")})
    yield held
    held.close()


def portal_key(state: Path) -> str:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(state / "control.sock")), base_url="http://nahtlos") as local:
        made = local.post("/v1/keys", json={"holder": "probe", "reason": "test"})
        assert made.status_code == 201, made.text
        return str(made.json()["key"])


@pytest.mark.timeout(240)
def test_a_restart_refuses_no_post_and_loses_none(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start()
    supervisor.hear("WATCHDOG=1", PATIENCE)
    key, url = portal_key(tmp_path / "state"), f"http://127.0.0.1:{supervisor.port}"

    with Stream(url, key) as portals:
        portals.goes_on(40)
        for _ in range(RESTARTS):
            supervisor.stop()
            assert "STOPPING=1" in supervisor.heard
            supervisor.start()
            portals.goes_on(40)

    assert portals.wrong == []
    assert len(portals.taken) >= 40 * (RESTARTS + 1)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as portal:
        assert {portal.get(where).status_code for where in portals.taken} == {200}
    supervisor.stop()
