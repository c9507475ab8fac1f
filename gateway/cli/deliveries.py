"""Finding deliveries by what people have at hand, and showing one with everything that explains it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from gateway.cli.connection import Gateway
from gateway.cli.output import Exit, fail, local, out, plain, table
from gateway.cli.words import CLASSES, EVENTS, OUTCOMES, PURPOSES, ROLES, STATES, state_of
from gateway.ids import parse_reference

_WHOLE_ID = 36
_SHORTEST_END = 4
_PAGE = 500


def all_of(gateway: Gateway, limit: int | None, **query: Any) -> list[dict[str, Any]]:
    """Dead letters page by page, so that the longest list is seen whole."""
    rows: list[dict[str, Any]] = []
    after = None
    while limit is None or len(rows) < limit:
        size = _PAGE if limit is None else min(_PAGE, limit - len(rows))
        page = gateway.get("/v1/dead-letters", after=after, limit=size, **query)
        rows += page["dead_letters"]
        after = page["next"]
        if after is None:
            break
    return rows


def id_of(gateway: Gateway, said: str) -> str:
    """The delivery's id from an Eingangsnummer, as people say it on the telephone, or from the end of the id itself."""
    if len(said) == _WHOLE_ID:
        return quote(said, safe="")
    if reference := parse_reference(said):
        return _of_submission(gateway.get(f"/v1/submissions/{reference}"))
    if len(said) < _SHORTEST_END:
        fail(f"„{said}“ ist zu kurz: mindestens {_SHORTEST_END} Zeichen vom Ende der Kennung, oder die Eingangsnummer.",
             f"“{said}” is too short: at least {_SHORTEST_END} characters from the end of the id, or the reference.",
             code=Exit.USAGE)
    found = [row["id"] for row in all_of(gateway, None) if row["id"].endswith(said.lower())]
    return _only(said, found)


def _of_submission(submission: Mapping[str, Any]) -> str:
    """Its dead letter, or its only delivery when none waits for a person."""
    deliveries = submission["deliveries"]
    dead = [each["id"] for each in deliveries if each["state"] == "dead"]
    return _only(submission["reference"], dead or [each["id"] for each in deliveries])


def _only(said: str, found: Sequence[str]) -> str:
    if len(found) != 1:
        listed = "".join(f"\n    {each}" for each in found[:20])
        fail(
            f"„{said}“ ist kein Klärfall und keine Eingangsnummer." if not found else f"„{said}“ passt auf mehrere:{listed}",
            f"“{said}” is no dead letter and no reference." if not found else f"“{said}” matches several.",
            code=Exit.USAGE,
        )
    return found[0]


def print_dead_letter(found: Mapping[str, Any]) -> None:
    """Which it is, why it is stuck in every word there is, what is stored of it, and who did what and why."""
    texts: Mapping[str, str] = found["cause_text"] or {}
    _print_facts((
        ("Eingangsnummer", found["reference"]),
        ("Übermittlung", found["id"]),
        ("Einreichung", found["submission"]),
        ("Eingang", local(found["received_at"])),
        ("Portal", found["portal"]),
        ("Leistung", found["leistung"]),
        ("ARS", found["ars"]),
        ("Zielsystem", found["target"]),
        ("Zweck", PURPOSES.get(found["purpose"], found["purpose"])),
        ("Stand", state_of(found)),
        ("Art", CLASSES.get(found["class"], found["class"])),
        ("Ausgang ungeklärt", found["in_doubt"]),
        ("Versuche", found["attempts"]),
        ("Ursache", found["cause_de"]),
    ))
    if found["cause_en"]:
        out.print(f"{'':>18}  {plain(found['cause_en'])}", style="dim")
    _print_facts((name, texts[key]) for name, key in (("sagt das Ziel", "said"), ("Stelle", "place")) if texts.get(key))
    if texts.get("findings_de"):
        _print_findings(texts["findings_de"].split("\n"), texts.get("findings_en", "").split("\n"))
    out.print("\n[bold]Dokumente[/]  [dim]nahtlos dead-letters document ID NR -o DATEI[/]")
    table(
        ("Nr.", "Art", "Typ", "Byte", "Prüfsumme"),
        ((d["no"], ROLES.get(d["role"], d["role"]), d["media_type"], d["size"], d["digest"]) for d in found["documents"]),
        below=("Prüfsumme",), empty="Nichts mehr gespeichert.",
    )
    out.print("\n[bold]Verlauf[/]")
    print_history(found["history"])


_BELOW = ("Ergebnis", "Wer", "Was", "Grund")


def print_history(entries: Iterable[Mapping[str, Any]], *, with_subject: bool = False) -> None:
    """Oldest first. with_subject: what it happened to, where that is not said already."""
    columns = ("Nr.", "Zeit", "Ereignis", "Stand", "Ergebnis", "Wer", "Was", "Grund")
    chosen = [n for n, name in enumerate(columns) if with_subject or name not in ("Nr.", "Was")]
    rows = (
        (
            entry["no"], local(entry["at"]), EVENTS.get(entry["event"], entry["event"]), STATES.get(entry["to"], entry["to"]),
            _outcome(entry), entry["actor"], entry["subject"], _why(entry),
        )
        for entry in entries
    )
    table([columns[n] for n in chosen], ([row[n] for n in chosen] for row in rows), below=_BELOW, empty="Noch nichts.")


def _outcome(entry: Mapping[str, Any]) -> Any:
    return OUTCOMES.get(entry["outcome"], entry["outcome"] or entry["code"])


def _why(entry: Mapping[str, Any]) -> str:
    """The reasons people gave and what a target said, where it went instead, and which document."""
    parts = [f"„{text}“" for name, text in (entry.get("texts") or {}).items() if name != "place"]
    facts = entry["facts"]
    parts += [f"→ {facts['to']}"] if facts.get("to") else []
    parts += [f"Dokument {facts['document']}"] if facts.get("document") is not None and entry["event"] != "close" else []
    return " ".join(parts)


def _print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    for label, value in facts:
        out.print(f"[bold]{label:>18}[/]  {plain(value)}")


def _print_findings(german: Sequence[str], english: Sequence[str]) -> None:
    out.print(f"\n[bold]Befunde ({len(german)})[/]")
    for n, de in enumerate(german):
        out.print(f"  {plain(de)}")
        if n < len(english):
            out.print(f"    {plain(english[n])}", style="dim")
