"""``python -m gateway.alive``: exit 0 if the gateway of this machine answers, else 1. For the health checks of containers.

Asks over the control socket, so that port, TLS and certificates play no part, and imports nothing that costs time.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from gateway.control import living

SECONDS = 2.0


def is_alive(control: Path) -> bool:
    """Does ``/livez`` answer 200 over this socket?"""
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(SECONDS)
            asking.connect(str(control))
            asking.sendall(b"GET /livez HTTP/1.1\r\nHost: nahtlos\r\nConnection: close\r\n\r\n")
            return asking.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


if __name__ == "__main__":
    state = os.environ.get("NAHTLOS_STATE") or "/var/lib/nahtlos"
    sys.exit(0 if is_alive(living(Path(state) / "control.sock")) else 1)
