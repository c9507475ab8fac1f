"""The tables at the end. Every number is counted from answers, registers and the list of dead letters; nothing is asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gateway.cli.output import plain
from gateway.demo.judging import Answer, Case, Verdict, judge
from gateway.demo.town import CASE_SYSTEMS, E_AKTE, NAMES

_COLUMNS = (
    ("gesendet", "", "sent"),
    ("wieder-", "holt", "again"),
    ("nicht an-", "genommen", "refused"),
    ("ange-", "nommen", "taken"),
    ("im Fach-", "verfahren", "delivered"),
    ("Klär-", "fälle", "dead"),
    ("doppelt", "", "double"),
    ("verloren", "", "lost"),
)


def by_service(answers: Sequence[Answer], cases: Sequence[Case], dead: Collection[str]) -> RenderableType:
    """One row for each Leistung, and the sum: sent = again + refused + taken, and taken = delivered + dead."""
    made = _table("\n\nLeistung", *(f"{first}\n{second}\n[dim]{en}[/]" for first, second, en in _COLUMNS), numbers=True)
    for slug, name in NAMES.items():
        mine = [answer for answer in answers if answer.post.leistung == slug]
        made.add_row(name, *_figures(judge(mine, [case for case in cases if case.leistung == slug], dead)))
    made.add_row("Summe", *_figures(judge(answers, cases, dead)), style="bold")
    return made


def refused(answers: Iterable[Answer], *, few: bool) -> RenderableType:
    """What the portal was told. few: one for each Leistung and status, the shortest reasons; else every one."""
    everyone = [answer for answer in answers if not answer.accepted]
    chosen = everyone
    if few:
        shortest = {(a.post.leistung, a.status): a for a in sorted(everyone, key=lambda a: len(reason_of(a)), reverse=True)}
        chosen = sorted(shortest.values(), key=lambda a: (a.post.leistung, a.status))
    example = () if few else ("Beispiel",)
    made = _table("Nicht angenommen", *example, "", "Grund, wie ihn das Portal erfährt [dim]first finding[/]")
    for answer in chosen:
        label = () if few else (plain(answer.post.label.removeprefix("broken-").removesuffix(".xml")),)
        made.add_row(NAMES[answer.post.leistung], *label, str(answer.status), plain(reason_of(answer)))
    if len(everyone) > len(chosen):
        made.add_row(f"[dim]… und {len(everyone) - len(chosen)} weitere[/]")
    return made


def delivered(cases: Sequence[Case]) -> RenderableType:
    """Which numbers the case systems gave: the same service, two administrations, two kinds of number."""
    numbers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case in cases:
        numbers[case.leistung, case.target].append(case.number or "")
    heads = (f"{system.office.split()[0]}: {system.title}" for system in CASE_SYSTEMS)
    made = _table("Im Fachverfahren [dim]delivered[/]", *heads, f"Kopien: {E_AKTE.title}")
    for slug, name in NAMES.items():
        cells = []
        for system in CASE_SYSTEMS:
            found = numbers[slug, system.target]
            cells.append(f"{len(found):>2}  {plain(found[0])}{' …' if len(found) > 1 else ''}" if found else "[dim] –[/]")
        copies = len(numbers[slug, E_AKTE.target])
        made.add_row(name, *cells, f"{copies:>2}" if copies else "[dim] –[/]")
    return made


def dead_letters(letters: Iterable[Mapping[str, Any]]) -> RenderableType:
    """By cause, without the details that make each form's its own."""
    causes = Counter(str(letter["cause_de"]).partition(" (")[0].rstrip(".") for letter in letters)
    made = _table("Klärfälle [dim]dead letters[/]", "Ursache")
    for cause, number in causes.most_common():
        made.add_row(f"{number:>3}", plain(cause))
    return made


def result(verdict: Verdict, *, kills: int, sent_again: int, lookups: int) -> RenderableType:
    """The one line that counts, what it withstood, and whatever is wrong."""
    mark, colour = ("✓", "green") if verdict.kept else ("✗", "red")
    v, doubled, lost = verdict, len(verdict.doubled), len(verdict.lost)
    de = f"{v.accepted} angenommen = {v.delivered} im Fachverfahren + {v.dead} Klärfälle · doppelt {doubled} · verloren {lost}"
    en = f"{v.accepted} accepted = {v.delivered} delivered + {v.dead} dead letters · {doubled} doubled · {lost} lost"
    lines = [f"  [bold {colour}]{mark} {de}[/]", f"    [dim]{en}[/]"]
    if kills:
        lines.append(f"    {kills} × SIGKILL: Das Portal sandte {sent_again} Einreichungen noch einmal, mit demselben Schlüssel.")
    if lookups:
        lines.append(f"    {lookups} × war ungeklärt, ob der Fall angelegt ist: nachgesehen, nicht blind noch einmal gesandt.")
    if kills and v.kept:
        lines.append("    [green]Jede angenommene Einreichung kam genau einmal an.[/]  [dim]Every 202 arrived exactly once.[/]")
    for name, found in (("verloren", v.lost), ("doppelt", v.doubled), ("verändert", v.changed), ("unerwartet", v.unexpected)):
        lines += [f"    [red]{name}:[/] {plain(each)}" for each in found[:10]]
    return Text.from_markup("\n".join(lines))


def reason_of(answer: Answer) -> str:
    """The first finding, or what the problem says, in German."""
    if findings := answer.said.get("findings"):
        line = f"Zeile {findings[0]['line']}: " if findings[0].get("line") else ""
        return f"{line}{findings[0]['de']}"
    return str(answer.said.get("detail_de") or answer.said.get("title_de") or answer.said.get("title") or "")


def _figures(v: Verdict) -> list[str]:
    wrong = [f"[bold red]{len(found)}[/]" if found else "[green]0[/]" for found in (v.doubled, v.lost)]
    return [*map(str, (v.sent, v.repeated, v.refused, v.accepted, v.delivered, v.dead)), *wrong]


def _table(*columns: str, numbers: bool = False) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for n, column in enumerate(columns):
        right = numbers and n > 0
        made.add_column(column, justify="right" if right else "left", no_wrap=right or n == 0)
    return made
