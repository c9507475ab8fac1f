"""The list of commands: German and English in full, and nothing loaded but the command that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_group_from_info
from typer.models import TyperInfo


class Commands(TyperGroup):
    """A group whose list says of each command what it does, to its end: half a sentence would be half a language."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [(name, self.said_of(ctx, name)) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def said_of(self, ctx: Any, name: str) -> str:
        """The first paragraph of its help."""
        command: Any = self.get_command(ctx, name)
        return " ".join((command.help or "").partition("\n\n")[0].split())


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is. de_en: what the list says of it, the same as its own help begins with. local: it works in this
    process, and what that has to log has to go somewhere."""

    module: str
    name: str
    de_en: str
    local: bool = True

    def load(self) -> Any:
        return getattr(import_module(self.module), self.name)


class OnDemand(Commands):
    """Loads a command when it is run or asked for help. Set ``places`` in a subclass."""

    places: ClassVar[Mapping[str, Place]]

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.places:
            return None
        if cmd_name not in self._loaded:
            self._loaded[cmd_name] = _made(cmd_name, self.places[cmd_name].load())
        return self._loaded[cmd_name]

    def said_of(self, ctx: Any, name: str) -> str:
        return self.places[name].de_en

    @cached_property
    def _loaded(self) -> dict[str, Any]:
        return {}


def _made(name: str, loaded: Any) -> Any:
    """From a group, or from the function of a single command."""
    holder = loaded
    if not isinstance(loaded, typer.Typer):
        holder = typer.Typer()
        holder.command(name)(loaded)
    group: Any = get_group_from_info(
        TyperInfo(holder, name=name), pretty_exceptions_short=False, rich_markup_mode=None, suggest_commands=True,
    )
    return group if holder is loaded else group.commands[name]
