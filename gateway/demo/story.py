"""The story: set up, send, deliver with faults, judge, repair, replay, judge again. With ``chaos`` the gateway is killed
in between, and nobody is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.cli.output import plain
from gateway.demo import tables
from gateway.demo.board import Board
from gateway.demo.gate import Gate, lookups, repair
from gateway.demo.judging import Answer, Case, Verdict, cases_of, copies_of, judge
from gateway.demo.posting import Expected, Post, programme
from gateway.demo.stage import Stage
from gateway.demo.town import AMTSREGISTER, CASE_SYSTEMS, E_AKTE, FALLAKTE
from gateway.planning import shipped_schemas

SENDERS = 4
CHAOS_SENDERS = 8
CHAOS_MORE = 240
KILLS_WHILE_SENDING = (0.2, 0.5, 0.8)
PATIENCE = 150.0
"""Seconds that deliveries may take to come to rest."""

ASKED_AT_ONCE = 40

_WAITS = {
    "backoff": "{n} × {said}: neuer Versuch{when}",
    "lookup": "{n} ungeklärt: wird{when} nachgesehen",
}
"""What deliveries wait for → how that is said."""


@dataclass(slots=True)
class Told:
    """What came of it. interim: before the repair; verdict: at the very end. lookups: how often
    a case system was asked, because an outcome was in doubt."""

    answers: list[Answer] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    dead: list[dict[str, Any]] = field(default_factory=list)
    interim: Verdict | None = None
    verdict: Verdict | None = None
    replayed: int = 0
    kills: int = 0
    lookups: int = 0

    @property
    def sent_again(self) -> int:
        """Posts that had no answer at first and were sent again with the same key."""
        return sum(answer.tries > 1 for answer in self.answers)

    @property
    def kept(self) -> bool:
        return self.verdict is not None and self.verdict.kept


async def set_up(stage: Stage, board: Board) -> Gate:
    """Start everything. Raises ``StageFault``."""
    board.title()
    board.act("1 Aufbau", "set up")
    with board.busy("Fachverfahren starten …"):
        await stage.open()
    for system in CASE_SYSTEMS:
        board.note(f"Fachverfahren {system.title} ({system.office}): {stage.urls[system.target]}", good=True)
    with board.busy("Das Gateway startet …"):
        seconds = await stage.start_gateway()
    board.note(f"Gateway: {stage.url}, eigener Prozess, bereit nach {_decimal(seconds)} s", good=True)
    portal_key, operator_key = await stage.keys()
    return Gate(stage.url, portal_key=portal_key, operator_key=operator_key)


async def tell(stage: Stage, gate: Gate, board: Board, *, chaos: bool) -> Told:
    """Everything after the set-up. Raises ``StageFault`` and ``Unanswered``."""
    told = Told()
    board.act("2 Einreichen und übermitteln", "submit and deliver")
    posts = programme(shipped_schemas(), more=CHAOS_MORE if chaos else 0)
    board.figures.total = len(posts)
    _announce(board, posts, chaos=chaos)
    with board.shown():
        watching = asyncio.create_task(_watch(stage, gate, board, told))
        try:
            await _send_all(posts, gate, board, told, stage=stage, chaos=chaos)
            await _come_to_rest(gate)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        board.waits({})
        await _look(stage, gate, board, told)
    told.kills = stage.kills
    told.interim = judge(told.answers, told.cases, _ids(told.dead))

    board.act("3 Zwischenstand", "so far: the portal's receipts against the case systems' own registers")
    for table in (
        tables.by_service(told.answers, told.cases, _ids(told.dead)),
        tables.refused(told.answers, few=board.redraws),
        tables.delivered(told.cases),
        tables.dead_letters(told.dead),
    ):
        board.say("")
        board.say(table)

    board.act("4 Reparieren und erneut übermitteln", "repair and replay")
    await _repair_and_replay(stage, gate, board, told)
    await _look(stage, gate, board, told)
    told.verdict = judge(told.answers, told.cases, _ids(told.dead), final=True)
    board.act("5 Ergebnis", "result")
    told.lookups = sum([await lookups(stage.urls[system.target]) for system in CASE_SYSTEMS])
    board.say(tables.result(told.verdict, kills=told.kills, sent_again=told.sent_again, lookups=told.lookups))
    return told


def _announce(board: Board, posts: Sequence[Post], *, chaos: bool) -> None:
    kinds = Counter(post.expected for post in posts)
    forms = sum(post.form for post in posts)
    board.note(
        f"Das Portal sendet {forms} Formulare und {len(posts) - forms} Nachrichten, davon "
        f"{kinds[Expected.REFUSED] + kinds[Expected.HELD]} fehlerhaft und {kinds[Expected.SAME]} Wiederholungen"
    )
    board.note(
        f"Mit Absicht gestört: {FALLAKTE.title} sagt dreimal 503 und legt einmal einen Fall an, ohne zu "
        f"antworten; {AMTSREGISTER.title} kennt Wohngeld nicht"
    )
    if chaos:
        board.note("Das Gateway wird dabei mehrmals mit SIGKILL beendet und neu gestartet", good=False)


async def _send_all(posts: Sequence[Post], gate: Gate, board: Board, told: Told, *, stage: Stage, chaos: bool) -> None:
    """Repeats come last, when what they repeat has an answer."""
    first = [post for post in posts if post.no < (_first_repeat(posts))]
    queue = list(reversed(first))
    pause = 0.04 if board.redraws and not chaos else 0.0

    async def sender() -> None:
        while queue:
            answer = await gate.post(queue.pop())
            told.answers.append(answer)
            board.answer(answer)
            await asyncio.sleep(pause)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CHAOS_SENDERS if chaos else SENDERS):
                tasks.create_task(sender())
            if chaos:
                tasks.create_task(_kill(stage, board, told, len(first)))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    for post in posts[len(first):]:
        answer = await gate.post(post)
        told.answers.append(answer)
        board.answer(answer)


async def _kill(stage: Stage, board: Board, told: Told, posts: int) -> None:
    """SIGKILL at fixed shares of the posts, with requests and deliveries on their way."""
    for number, share in enumerate(KILLS_WHILE_SENDING, start=1):
        while len(told.answers) < share * posts:  # noqa: ASYNC110  close enough to the middle of something
            await asyncio.sleep(0.005)
        stage.kill_gateway()
        board.figures.gateway = f"SIGKILL {number}, startet neu …"
        board.note(f"SIGKILL nach {len(told.answers)} Antworten", good=False)
        seconds = await stage.start_gateway()
        board.figures.gateway = ""
        board.note(f"wieder da nach {_decimal(seconds)} s, das Portal wiederholt, was ohne Antwort blieb", good=True)


async def _come_to_rest(gate: Gate) -> None:
    """Nothing is on its way any more, or patience is over; the verdict will say what is missing."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while loop.time() < end:
        targets = await gate.targets()
        if not any(target["counts"].get(state, 0) for target in targets.values() for state in ("pending", "delivering")):
            return
        await asyncio.sleep(0.3)


async def _watch(stage: Stage, gate: Gate, board: Board, told: Told) -> None:
    """Keeps the figures up to date. Asks the gateway what is waited for; that is shown and counts for nothing."""
    seen, unsettled = 0, dict[str, None]()
    while True:
        unsettled |= {answer.said["id"]: None for answer in told.answers[seen:] if answer.accepted}
        seen = len(told.answers)
        with suppress(Exception):  # a picture less; whatever is wrong shows where it counts
            async with asyncio.timeout(5):
                await _look(stage, gate, board, told)
                board.waits(await _waiting(gate, unsettled))
        await asyncio.sleep(0.3)


async def _look(stage: Stage, gate: Gate, board: Board, told: Told) -> None:
    told.cases = _cases(stage)
    board.figures.cases = dict(Counter(case.target for case in told.cases))
    told.dead = await gate.dead_letters()
    board.figures.dead = len(told.dead)


def _cases(stage: Stage) -> list[Case]:
    found = [case for system in CASE_SYSTEMS for case in cases_of(stage.register(system), system.target)]
    return [*found, *copies_of(stage.e_akte, E_AKTE.target)]


async def _waiting(gate: Gate, unsettled: dict[str, None]) -> Mapping[str, tuple[str, str]]:
    """What deliveries wait for, and for how long. unsettled: submissions to ask about; those at rest are taken out."""
    reasons: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for submission in list(unsettled)[:ASKED_AT_ONCE]:
        deliveries = await gate.deliveries(submission)
        del unsettled[submission]
        if any(each["state"] in ("pending", "delivering") for each in deliveries):
            unsettled[submission] = None  # to the end of the queue
        for each in deliveries:
            if each["state"] == "pending" and each["waiting_for"] in _WAITS and each["after"] is None:
                reasons.setdefault(each["target"], {}).setdefault(each["waiting_for"], []).append(each)
    return {target: (_sentence(mine, when=False), _sentence(mine, when=True)) for target, mine in reasons.items()}


def _sentence(reasons: Mapping[str, Sequence[Mapping[str, Any]]], *, when: bool) -> str:
    """reasons: what is waited for → the deliveries that do."""
    parts = []
    for why, found in reasons.items():
        due = min(datetime.fromisoformat(each["next_attempt_at"]) for each in found)
        seconds = max(1, round((due - datetime.now(UTC)).total_seconds()))
        said = (found[0].get("cause_text") or {}).get("said", "nicht erreichbar")
        parts.append(_WAITS[why].format(n=len(found), said=said, when=f" in {seconds} s" if when else ""))
    return "; ".join(parts)


async def _repair_and_replay(stage: Stage, gate: Gate, board: Board, told: Told) -> None:
    """What a person does: look why, have it repaired, replay exactly what was looked at, see it arrive."""
    wanted = [letter for letter in told.dead if letter["class"] != "invalid"]
    for letter in wanted[:1]:
        detail = await gate.dead_letter(letter["id"])
        said = (detail.get("cause_text") or {}).get("said")
        board.note(f"{len(wanted)} Klärfälle haben dieselbe Ursache; das {AMTSREGISTER.title} sagt: „{plain(said)}“")
    await repair(stage.urls[AMTSREGISTER.target])
    board.note(f"Der Aktenplan im {AMTSREGISTER.title} ist ergänzt (DELETE {stage.urls[AMTSREGISTER.target]}/_faults)", good=True)
    for letter in wanted:
        await gate.replay(letter, reason="Aktenplan ergänzt")
    await _come_to_rest(gate)
    told.replayed = len(wanted)
    there = {case.delivery: case for case in _cases(stage)}
    for letter in wanted:
        case = there.get(letter["id"])
        number = f"[bold]{plain(case.number)}[/]" if case else "nicht angekommen"
        board.note(f"erneut übermittelt: {letter['reference']} → {number}", good=case is not None)
    held = sum(letter["class"] == "invalid" for letter in told.dead)
    board.note(f"{held} fehlerhafte Formulare bleiben Klärfälle: Sie sind eingegangen, um den Fehler kümmert sich ein Mensch")


def _ids(letters: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(letter["id"] for letter in letters)


def _first_repeat(posts: Sequence[Post]) -> int:
    return next((post.no for post in posts if post.expected is Expected.SAME), len(posts))


def _decimal(seconds: float) -> str:
    return f"{seconds:.1f}".replace(".", ",")
