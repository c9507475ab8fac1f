"""The gateway as a process: a loop, a server, signals, and an end within the time that was promised."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import httptools
import structlog
import uvloop

from gateway import control
from gateway.app import Gateway, build, limits_of
from gateway.http.problems import bare
from gateway.server import Deadlines, Server, Tls, until_told_to_stop
from gateway.settings import LogFormat, Settings
from gateway.systemd import Supervision, inherited
from gateway.telemetry import LogEvent, asyncio_exception_handler, configure

_log = structlog.get_logger()

FRAMING = 8 * 1024 * 1024
"""What a request may be larger than its content: heads, chunk sizes, boundaries."""


@dataclass(slots=True)
class Serving:
    """A gateway with its server, listening. url: where."""

    gateway: Gateway
    server: Server
    url: str
    port: int

    async def stop(self) -> None:
        """Accepted requests and running deliveries are finished side by side, within ``settings.drain`` altogether."""
        drain = self.gateway.settings.drain.total_seconds()
        _log.info(LogEvent.STOPPING, instance=self.gateway.settings.instance)
        self.gateway.changes.close()
        # The worker takes up to five seconds more to write down what it had to interrupt.
        await asyncio.gather(self.server.stop(drain * 0.6), self.gateway.worker.stop(min(drain * 0.6, max(0.5, drain - 6))))
        await self.gateway.stop(0)


async def serve(gateway: Gateway, *, local: bool = True) -> Serving:
    """Start the gateway and listen: on the sockets that were handed to it, else where the settings say.

    local: also on the control socket. Raises ``OSError`` when the port is taken or a handed-over socket cannot be served.
    """
    settings = gateway.settings
    handed_over = inherited()
    await gateway.start()
    try:
        server = Server(
            gateway.app, bare, max_request=limits_of(settings).total + FRAMING,
            deadlines=Deadlines(head=settings.header_timeout.total_seconds()),
        )
        tls = Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca) if settings.tls_cert and settings.tls_key else None
        host = handed_over[0].getsockname()[0] if handed_over else settings.host
        ports = [await server.take_over(each, tls=tls) for each in handed_over]
        port = ports[0] if ports else await server.listen(settings.host, settings.port, tls=tls)
        if local:
            await server.listen_local(control.free(settings.control_socket))
    except BaseException:
        await gateway.stop(0)
        raise
    return Serving(gateway, server, f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}", port)


def run(settings: Settings, *, announce: Callable[[Serving], Awaitable[None]] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the site file again. announce: called once, when it listens.

    Raises what ``app.build`` raises, ``OSError``, and ``RuntimeError`` when the pinned loop or parser is not the one in use.
    """
    form = settings.log_format
    configure(form="console" if form is LogFormat.CONSOLE else "json", level=settings.log_level)
    with suppress(ValueError):  # not the main thread: then no signal comes here
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it never ends the process, also not before somebody hears it
    gateway = build(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(gateway, announce))


async def _main(gateway: Gateway, announce: Callable[[Serving], Awaitable[None]] | None) -> None:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, uvloop.Loop) or not hasattr(httptools, "HttpRequestParser"):
        raise RuntimeError("uvloop and httptools are part of the promise; something has replaced them")
    loop.set_exception_handler(asyncio_exception_handler)
    with suppress(ValueError, RuntimeError):
        loop.add_signal_handler(signal.SIGHUP, gateway.site_watch.ask)
    told_to_stop = asyncio.create_task(until_told_to_stop())
    await asyncio.sleep(0)  # now it hears signals, and not only some time after it listens
    supervision = Supervision()
    serving = await serve(gateway)
    signs_of_life = asyncio.create_task(supervision.stay_alive())
    try:
        gc.collect()
        gc.freeze()  # what lives as long as the process is never looked at again
        gc.set_threshold(100_000, 20, 20)
        if announce is not None:
            await announce(serving)
        supervision.ready(f"listens on {serving.url}")
        await told_to_stop
    finally:
        supervision.stopping()
        await serving.stop()
        signs_of_life.cancel()
