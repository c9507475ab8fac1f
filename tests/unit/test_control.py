"""Several gateways of one machine and one journal: each can be reached, and none takes the other's socket away."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.control import answers, free, living


@contextmanager
def listening(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as gateway:
        gateway.bind(str(path))
        gateway.listen()
        yield


def test_the_first_takes_the_name_and_the_next_one_beside_it(tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    assert free(control) == control

    with listening(control):
        assert free(control) == tmp_path / f"control-{os.getpid()}.sock"

    assert free(control) == control, "whoever died left only a file"


def test_the_command_line_finds_whoever_still_listens(tmp_path: Path) -> None:
    control, beside = tmp_path / "control.sock", tmp_path / "control-77.sock"

    with listening(beside):
        with listening(control):
            assert living(control) == control
        assert living(control) == beside
    assert living(control) == control
    assert not answers(control)


def test_what_dead_processes_left_is_taken_away_and_what_lives_stays(tmp_path: Path) -> None:
    dead, alive = tmp_path / "control-1.sock", tmp_path / "control-2.sock"
    with listening(dead):
        pass

    with listening(alive):
        free(tmp_path / "control.sock")
        assert alive.exists()
    assert not dead.exists()
