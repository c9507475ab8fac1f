"""Background tasks that are never quietly gone: one that fails is logged, counted and begun again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from gateway.telemetry import LogEvent, place_of

_log = structlog.get_logger()


class Supervisor:
    """failing: names of tasks that have failed and have not run for a minute since. restarts: how often, since start."""

    def __init__(self, *, pause: float = 1.0) -> None:
        self._pause = pause
        self._tasks: list[asyncio.Task[None]] = []
        self._failed_at: dict[str, float] = {}
        self.restarts = 0

    def watch(self, name: str, begin: Callable[[], Coroutine[object, object, None]]) -> None:
        """Runs ``begin()`` again and again until ``stop``. A task that returns by itself is done."""
        self._tasks.append(asyncio.create_task(self._keep(name, begin), name=name))

    @property
    def failing(self) -> tuple[str, ...]:
        now = asyncio.get_running_loop().time()
        return tuple(name for name, at in self._failed_at.items() if now - at < 60)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, name: str, begin: Callable[[], Coroutine[object, object, None]]) -> None:
        while True:
            try:
                await begin()
                return
            except (Exception, asyncio.CancelledError) as error:
                this = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and this is not None and this.cancelling():
                    raise
                self.restarts += 1
                self._failed_at[name] = asyncio.get_running_loop().time()
                _log.error(LogEvent.TASK_FAILED, task=name, **place_of(error))
            await asyncio.sleep(self._pause)
