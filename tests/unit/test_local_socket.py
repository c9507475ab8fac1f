"""The socket of the command line: its owner's alone, and nobody else's files are touched for it."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from gateway.http.problems import bare
from gateway.server import Server


async def test_it_is_made_private_without_changing_what_others_make_meanwhile(tmp_path: Path) -> None:
    """A mask is of the whole process, in which connectors write files in threads."""
    end, seen = threading.Event(), set()

    def write() -> None:
        path = tmp_path / "by-a-connector"
        while not end.is_set():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o640))
            seen.add(stat.filemode(path.stat().st_mode))
            path.unlink()

    writing = threading.Thread(target=write)
    writing.start()
    server = Server(None, bare)  # type: ignore[arg-type]
    sockets = [tmp_path / f"{n}.sock" for n in range(200)]
    for path in sockets:
        await server.listen_local(path)
    end.set()
    writing.join()

    assert seen == {"-rw-r-----"}
    assert {stat.filemode(path.stat().st_mode) for path in sockets} == {"srw-------"}
    await server.stop(0)
    assert not any(path.exists() for path in sockets)
