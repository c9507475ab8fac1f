"""A network that can be broken: a TCP proxy between two of ours, in a thread of its own.

    with Proxy(5672) as network:
        network.port        # connect here
        network.cut()       # and so on; heal() makes it well again
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Self

CHUNK = 65_536


class _Mode(Enum):
    WELL = "well"
    CUT = "cut"
    RESET = "reset"
    BLACK_HOLE = "black hole"


class Proxy:
    """From ``port`` on this machine to ``to_port``; whole until told otherwise. carried: bytes that came through.
    refused: connections that did not."""

    def __init__(self, to_port: int, *, host: str = "127.0.0.1") -> None:
        self._to, self._host = to_port, host
        self._mode, self._delay = _Mode.WELL, 0.0
        self._wires: set[_Wire] = set()
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._listening = threading.Event()
        self._socket = socket.create_server((host, 0), reuse_port=False)
        self.port = int(self._socket.getsockname()[1])
        self.carried = self.refused = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    # --- what may happen to a network ------------------------------------------------------------------------------------

    def heal(self) -> None:
        """What was held back goes on; what was closed stays closed."""
        self._do(lambda: self._change(_Mode.WELL, 0.0))

    def delay(self, seconds: float) -> None:
        """Every piece arrives this much later, in both directions."""
        self._do(lambda: self._change(_Mode.WELL, seconds))

    def cut(self) -> None:
        """Connections end in good order, as by a firewall that is restarted; new ones are closed at once."""
        self._do(lambda: self._end(_Mode.CUT, reset=False))

    def reset(self) -> None:
        """Connections are torn (RST), new ones too."""
        self._do(lambda: self._end(_Mode.RESET, reset=True))

    def black_hole(self) -> None:
        """Nothing arrives and nothing is refused, until it is healed: then what was sent meanwhile arrives."""
        self._do(lambda: self._change(_Mode.BLACK_HOLE, 0.0))

    def half_open(self) -> None:
        """The connections there are stay open and carry nothing ever again, as when a firewall forgets them; new ones work."""
        self._do(self._forget)

    @property
    def connections(self) -> int:
        return len(self._wires)

    # --- in the thread ---------------------------------------------------------------------------------------------------

    def _do(self, change: Callable[[], None]) -> None:
        """Returns when it is so."""
        done = threading.Event()

        def now() -> None:
            change()
            done.set()

        self._loop.call_soon_threadsafe(now)
        assert done.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopped, self._changed = asyncio.Event(), asyncio.Event()
        server = await asyncio.start_server(self._came, sock=self._socket, limit=CHUNK)
        self._listening.set()
        await self._stopped.wait()
        self._loop.remove_reader(self._socket)  # nobody new; and a server that is closed leaks whom it has half taken
        await asyncio.sleep(0.01)
        server.close()
        self._end(_Mode.RESET, reset=True)
        clients = dict(self._clients)
        for task, writer in clients.items():  # those without a wire too
            task.cancel()
            _close(writer, reset=True)
        await asyncio.gather(*clients, return_exceptions=True)
        await asyncio.sleep(0.01)  # what was closed lets go of its socket

    def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._take(reader, writer))
        self._clients[task] = writer
        task.add_done_callback(self._clients.pop)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode in (_Mode.CUT, _Mode.RESET):
            self.refused += 1
            _close(writer, reset=self._mode is _Mode.RESET)
        else:
            await self._join(reader, writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passable()
        try:
            onward = await asyncio.open_connection(self._host, self._to, limit=CHUNK)
        except OSError:
            _close(writer, reset=True)
            return
        wire = _Wire(writer, onward[1])
        self._wires.add(wire)
        try:
            await asyncio.gather(self._carry(reader, onward[1], wire), self._carry(onward[0], writer, wire))
        finally:
            self._wires.discard(wire)
            wire.end(reset=False)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: _Wire) -> None:
        try:
            while piece := await reader.read(CHUNK):
                await self._passable()
                if self._delay:
                    await asyncio.sleep(self._delay)
                if not wire.forgotten:
                    self.carried += len(piece)
                    writer.write(piece)
                    await writer.drain()
        except OSError:
            if not wire.forgotten:
                wire.end(reset=True)
        if wire.forgotten:
            await self._stopped.wait()  # neither side hears of the other's end
        await self._passable()
        if not writer.is_closing() and writer.can_write_eof():
            with suppress(OSError):  # gone already
                writer.write_eof()

    async def _passable(self) -> None:
        while self._mode is _Mode.BLACK_HOLE:
            await self._changed.wait()

    def _change(self, mode: _Mode, delay: float) -> None:
        self._mode, self._delay = mode, delay
        self._changed.set()
        self._changed = asyncio.Event()

    def _forget(self) -> None:
        for wire in self._wires:
            wire.forgotten = True

    def _end(self, mode: _Mode, *, reset: bool) -> None:
        self._change(mode, 0.0)
        for wire in list(self._wires):
            wire.end(reset=reset)


class _Wire:
    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers, self.forgotten = writers, False

    def end(self, *, reset: bool) -> None:
        for writer in self._writers:
            _close(writer, reset=reset)


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if not reset:
        writer.close()
        return
    with suppress(OSError):  # closed already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
