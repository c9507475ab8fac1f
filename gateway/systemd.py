"""What systemd hands over and wants to hear: the sockets it holds for us, that we are ready, that we are still alive.

A socket that systemd holds outlives the process behind it. While one gateway ends and the next begins, connections wait in
the kernel's queue: restart and upgrade refuse no request. All of it is a few environment variables and one datagram, so
that any other supervisor can do the same (sd_listen_fds(3), sd_notify(3)).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

FIRST = 3
"""The file descriptor after standard input, output and error."""


class NotOurKind(OSError):
    """A handed-over socket is not one we serve; the text says which and why."""


def inherited(environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The listening sockets that were handed to this process; none, if it was started without.

    May be called once: the variables are taken out, so that no child believes they were meant for it. Raises ``NotOurKind``.
    """
    meant_for, count, _ = (environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if meant_for != str(os.getpid()) or not count.isdigit():
        return []
    return [_listening(descriptor) for descriptor in range(FIRST, FIRST + int(count))]


def _listening(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        raise NotOurKind(None, f"LISTEN_FDS: {descriptor} is no socket") from None
    if found.family not in (socket.AF_INET, socket.AF_INET6):
        # Whoever can open our own socket file counts as the local operator; one of somebody else's making has other rules.
        raise NotOurKind(None, f"LISTEN_FDS: {descriptor} is no internet socket: ListenStream= needs an address and a port")
    if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise NotOurKind(None, f"LISTEN_FDS: {descriptor} does not listen: Accept=no is what we need")
    return found


class Supervision:
    """Tells systemd how we are (``Type=notify``, ``WatchdogSec=``). Without systemd it is silent and costs nothing."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        microseconds, meant_for = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        ours = meant_for in ("", str(os.getpid())) and microseconds.isdigit()
        self._patience = int(microseconds) / 1e6 if ours else 0.0

    def ready(self, status: str) -> None:
        self._say("READY=1", f"STATUS={status}")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    async def stay_alive(self) -> None:
        """Until cancelled, three signs of life within what systemd allows; a loop that hangs gives none and is replaced."""
        while self._address and self._patience:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self._patience / 3)

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # Whoever does not listen cannot be told; the gateway runs all the same.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
            datagram.setblocking(False)
            datagram.connect(address)
            datagram.send("\n".join(lines).encode())
