"""One connection to PostgreSQL that speaks in dialogues, one after another or side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import asyncpg

from gateway.adapters.postgres_texts import TURN, Texts, columns
from gateway.adapters.sql import Ask, Count, Dialogue, Each, Many, Rows, Together

T = TypeVar("T")

_QUIET, _PING = 5.0, 2.0  # seconds: silence after which a connection has to show that it lives, and how soon
_UTILITY = ("mark", "keep", "undo")
_LARGE = {"chunk": 16}  # rows of a mebibyte: no more of them in one answer
_EACH = 5_000  # rows changed in one statement, so that it ends well within its time


class Session:
    """Belongs to one task at a time. Raises what asyncpg raises. patience: a time limit, and seconds by which every answer
    puts it off."""

    def __init__(self, connection: Any, texts: Texts) -> None:
        self.connection, self._texts = connection, texts
        self.warned = False
        self.patience: tuple[asyncio.Timeout, float] | None = None
        self._heard = time.monotonic()
        connection.add_log_listener(self._hear_warning)

    def is_closed(self) -> bool:
        return bool(self.connection.is_closed())

    async def awake(self) -> None:
        """Before work is entrusted to it: what carries nothing any more, and says so to nobody, is found out quickly. Raises
        what asyncpg raises, or ``TimeoutError``."""
        if time.monotonic() - self._heard > _QUIET:
            async with asyncio.timeout(_PING):
                await self.connection.execute("select 1")
            self._heard = time.monotonic()

    async def run(self, dialogue: Dialogue[T]) -> T:
        """To its end; what the database raises is raised here, and the dialogue is over."""
        answer: Any = None
        while True:
            try:
                ask = dialogue.send(answer)
            except StopIteration as done:
                value: T = done.value
                return value
            answer = await self._answer(ask)

    async def abreast(self, dialogues: Sequence[Dialogue[Any]]) -> list[Any]:
        """All of them, a step of each at a time, so that what they ask alike is asked once. A value or, where a dialogue
        itself raised, an exception for each; what the database raises is raised here, and all are over."""
        answers: list[Any] = [None] * len(dialogues)
        asking: dict[int, Ask] = {}

        def send(place: int, answer: Any) -> None:
            try:
                asking[place] = dialogues[place].send(answer)
            except StopIteration as done:
                answers[place] = done.value
            except Exception as raised:
                answers[place] = raised

        for place in range(len(dialogues)):
            send(place, None)
        while asking:
            alike: dict[tuple[type[Ask], Any], list[int]] = {}
            for place, ask in asking.items():
                alike.setdefault((type(ask), place if isinstance(ask, Together) else ask.name), []).append(place)
            asked, asking = asking, {}
            for places in alike.values():
                for place, answer in zip(places, await self._all([asked[place] for place in places]), strict=True):
                    send(place, answer)
        self._heard = time.monotonic()
        return answers

    async def turn(self) -> None:
        """Begin, when no other process writes any more, to write alone; until ``commit`` or ``rollback``.

        Waits for the lock in a statement of its own, because a statement sees what was committed before it began.
        """
        await self.connection.execute(f"begin; select pg_advisory_xact_lock({TURN})")
        self._heard = time.monotonic()

    async def begin(self) -> None:
        """Beside others who write."""
        await self.connection.execute("begin")

    async def commit(self) -> bool:
        """False: nothing was committed, or the standby was not waited for: then the server says that it has committed, but with
        a warning."""
        self.warned = False
        status = await self.connection.execute("commit")
        return status == "COMMIT" and not self.warned

    async def rollback(self) -> None:
        await self.connection.execute("rollback")

    def drop(self) -> None:
        """Cut the connection, whatever it does; the server undoes what was not committed."""
        self.connection.terminate()

    async def aclose(self) -> None:
        try:
            await self.connection.close(timeout=2)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.drop()

    def _hear_warning(self, _: Any, message: Any) -> None:
        self.warned = self.warned or message.severity_en == "WARNING"

    # --- asking

    async def _answer(self, ask: Ask) -> Any:
        answer = await self._asked(ask)
        if self.patience is not None and not self.patience[0].expired():
            limit, seconds = self.patience
            limit.reschedule(asyncio.get_running_loop().time() + seconds)
        return answer

    async def _asked(self, ask: Ask) -> Any:
        if isinstance(ask, Rows):
            return await self.connection.fetch(self._texts.one[ask.name], *ask.parameters)
        if isinstance(ask, Count):
            status = await self.connection.execute(self._texts.one[ask.name], *ask.parameters)
            return 0 if ask.name in _UTILITY else _touched(status)
        if isinstance(ask, Many):
            return await self._insert(ask)
        if isinstance(ask, Each):
            return await self._change(ask)
        text = await self._texts.together(self.connection, [insert.name for insert in ask.inserts], ask.then.name)
        parameters = [column for insert in ask.inserts for column in columns(insert.rows)]
        return await self.connection.execute(text, *parameters, *ask.then.parameters)

    async def _insert(self, ask: Many) -> int:
        if not ask.rows:
            return 0
        text = await self._texts.many(self.connection, ask.name)
        return _touched(await self.connection.execute(text, *columns(ask.rows)))

    async def _change(self, ask: Each) -> int:
        if len(ask.rows) > _EACH:
            return sum([await self._answer(Each(ask.name, ask.rows[n:n + _EACH])) for n in range(0, len(ask.rows), _EACH)])
        if not ask.rows:
            return 0
        text = await self._texts.many(self.connection, ask.name)
        return len(await self.connection.fetch(text, *columns(ask.rows)))

    async def _all(self, asks: Sequence[Ask]) -> list[Any]:
        """Asks of one kind and name."""
        first = asks[0]
        if len(asks) == 1 or not isinstance(first, (Rows, Count)) or not self._texts.takes_many(first.name):
            return [await self._answer(ask) for ask in asks]
        rows = [tuple(ask.parameters) for ask in asks if isinstance(ask, (Rows, Count))]
        found: dict[int, list[tuple[Any, ...]]]
        if not self._texts.reads_only(first.name):
            found = await self._of_each(first.name, rows)
            places = list(range(len(rows)))
        else:
            different = {row: place for place, row in enumerate(dict.fromkeys(rows))}
            places = [different[row] for row in rows]
            found = await self._of_each(first.name, list(different))
        if isinstance(first, Count):
            return [len(found.get(place, ())) for place in places]
        return [found.get(place, []) for place in places]

    async def _of_each(self, name: str, rows: Sequence[tuple[Any, ...]]) -> dict[int, list[tuple[Any, ...]]]:
        """The rows found, by the place of the parameters they belong to."""
        found: dict[int, list[tuple[Any, ...]]] = {}
        if not rows[0]:
            return {0: await self.connection.fetch(self._texts.one[name])}
        text = await self._texts.many(self.connection, name)
        at_once = _LARGE.get(name, len(rows))
        for first in range(0, len(rows), at_once):
            for row in await self.connection.fetch(text, *columns(rows[first:first + at_once])):
                found.setdefault(first + row[0] - 1, []).append(row[1:])
        return found


def _touched(status: str) -> int:
    return int(status.rpartition(" ")[2])
