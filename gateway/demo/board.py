"""What is seen while it runs: a board that is redrawn on a terminal, plain lines everywhere else. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.cli.output import plain
from gateway.demo.judging import Answer
from gateway.demo.posting import Expected
from gateway.demo.town import AMTSREGISTER, E_AKTE, FALLAKTE, SYSTEMS, System

EVERY = 30
"""Posts between two lines where nothing can be redrawn."""


@dataclass(slots=True)
class Figures:
    """The numbers of the board, written by the story. waiting: target → what its deliveries wait for. gateway: its state."""

    total: int = 0
    sent: int = 0
    accepted: int = 0
    refused: int = 0
    repeated: int = 0
    dead: int = 0
    gateway: str = ""
    cases: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)


class Board:
    """Says what happens. On a terminal the figures are redrawn in place below what has been said."""

    def __init__(self, console: Console) -> None:
        self._console, self.figures = console, Figures()
        self._said: dict[str, str] = {}

    @property
    def redraws(self) -> bool:
        return self._console.is_terminal

    def title(self) -> None:
        """Who takes part, in one picture."""
        picture = Table.grid(padding=(0, 1))
        for _ in range(6):
            picture.add_column(no_wrap=True)
        picture.add_row("", "", "", "┌─►", f"[bold]{FALLAKTE.office}[/]", f"{_described(FALLAKTE)} → {_described(E_AKTE)}")
        picture.add_row("  Portal", "──►", "[bold]Nahtlos[/]", "┤")
        picture.add_row("", "", "", "└─►", f"[bold]{AMTSREGISTER.office}[/]", _described(AMTSREGISTER))
        self.say("[bold]Zwei Verwaltungen, dieselben Leistungen, verschiedene Fachverfahren – und nichts geht verloren.[/]")
        self.say("[dim]Two offices, the same services, different software – and nothing is lost.[/]\n")
        self.say(picture)

    def act(self, de: str, en: str) -> None:
        self.say(f"\n[bold cyan]{de}[/]  [dim]{en}[/]")

    def note(self, de: str, *, good: bool | None = None) -> None:
        """One thing with a mark: went well, went wrong, or just so. de: markup."""
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "·"}[good]
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_row(f"  {mark}", de)
        self.say(line)

    def say(self, what: RenderableType) -> None:
        self._console.print(what)

    def answer(self, answer: Answer) -> None:
        """Counted; where there is nothing to redraw, a line now and then."""
        figures = self.figures
        same = answer.accepted and answer.post.expected is Expected.SAME
        figures.sent += 1
        figures.repeated += same
        figures.accepted += answer.accepted and not same
        figures.refused += not answer.accepted
        if not self.redraws and (figures.sent % EVERY == 0 or figures.sent == figures.total):
            self.note(
                f"{figures.sent:>3} von {figures.total} gesendet: {figures.accepted} angenommen, "
                f"{figures.refused} nicht angenommen, {figures.repeated} wiederholt"
            )

    def waits(self, waiting: Mapping[str, tuple[str, str]]) -> None:
        """target → what its deliveries wait for, the second time with how long still. Lines say a thing once."""
        self.figures.waiting = {target: now for target, (_, now) in waiting.items()}
        for target, (lasting, _) in waiting.items():
            if not self.redraws and self._said.get(target) != lasting:
                self._said[target] = lasting
                title = next(system.title for system in SYSTEMS if system.target == target)
                self.note(f"{title}: {plain(lasting)}")

    @contextmanager
    def busy(self, de: str) -> Iterator[None]:
        """A spinner where one can be seen."""
        if self.redraws:
            with self._console.status(de):
                yield
        else:
            yield

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While this lasts, the figures stand below everything that is said."""
        if self.redraws:
            with Live(get_renderable=self._drawn, console=self._console, refresh_per_second=8):
                yield
        else:
            yield

    def _drawn(self) -> RenderableType:
        figures = self.figures
        bar = Table.grid(padding=(0, 2, 0, 0))
        bar.add_row(
            "  ", ProgressBar(total=max(1, figures.total), completed=figures.sent, width=22),
            f"{figures.sent}/{figures.total} gesendet", f"[green]{figures.accepted} angenommen[/]",
            f"{figures.refused} nicht angenommen", f"{figures.repeated} wiederholt",
        )  # fmt: skip
        systems = Table.grid(padding=(0, 2, 0, 0))
        for system in SYSTEMS:
            number = f"[green]{figures.cases.get(system.target, 0):>3}[/] {'Kopien' if system is E_AKTE else 'Fälle'}"
            waiting = Text(figures.waiting.get(system.target, ""), style="yellow", overflow="ellipsis", no_wrap=True)
            systems.add_row("  ", f"{system.title} [dim]({system.office.split()[0]})[/]", number, waiting)
        dead = f"[yellow]{figures.dead:>3}[/]" if figures.dead else "  0"
        systems.add_row("  ", "Klärfälle", dead, Text(figures.gateway, style="bold red"))
        return Group(Text(), bar, systems)


def _described(system: System) -> str:
    return f"{system.title} ({system.speaks})"
