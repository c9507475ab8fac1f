"""The listener and the file that nothing may ever touch, named by the manifest of the hostile corpus."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.hostile import assumptions


@pytest.fixture(scope="session")
def canary() -> Iterator[list[str]]:
    """What came to the listener. Whoever else runs these tests on this machine listens at the same address: what goes out
    of either is seen by one of them."""
    said = assumptions()
    host, port = said["canary_listener"].rpartition("/")[2].split(":")
    file, hits, done = Path(said["canary_file"]), list[str](), threading.Event()
    file.write_text(said["canary_file_content"])
    with socket.create_server((host, int(port)), reuse_port=True) as server:
        server.settimeout(0.1)

        def listen() -> None:
            while not done.is_set():
                try:
                    server.accept()[0].close()
                except TimeoutError:
                    continue
                hits.append("connected")

        thread = threading.Thread(target=listen)
        thread.start()
        yield hits
        done.set()
        thread.join()
    file.unlink(missing_ok=True)
