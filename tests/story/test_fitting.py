"""What a target gets: the version it expects in the characters it can hold, at first, when redirected and when replayed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.faults import parse
from connectors.simulator import Simulator
from gateway.ports import Dossier
from gateway.submission import Delivery, State
from tests.story.conftest import House, house
from tests.story.test_versions import XML, message, write_versions

TARGET = """
[target.{name}]
connector = "rest"
authority = "{authority}"
{more}
options = {{ url = "{url}", token = "env:PROBE_SECRET" }}
"""
ROUTE = """
[[route]]
leistung = "meldebescheinigung"
ars = "08121"
to = [ {{ target = "{first}" }} ]
"""
WISHES = {
    "alt": "", "neu": 'expects = "meldung@2"', "nur-alt": 'expects = "meldung@1"', "latein": 'characters = "latin-1"',
    "neu-latein": 'expects = "meldung@2"\ncharacters = "latin-1"',
}


@dataclass
class Town:
    """A gateway with five targets that all lead to one case system; what is submitted goes to ``first``."""

    up: House
    system: Simulator

    async def submit(self, body: bytes, portal: str = "portal") -> str:
        answer = await self.up.client(portal).post("/v1/submissions?ars=081210000000", content=body, headers=XML)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def dossier(self, submission: str) -> Dossier:
        dossier = await self.up.gateway.journal.dossier(submission)
        assert dossier is not None
        return dossier

    async def last(self, submission: str, state: State, within: float = 20) -> Delivery:
        """The youngest delivery, once it is that."""
        end = asyncio.get_running_loop().time() + within
        while (last := (await self.dossier(submission)).deliveries[-1]).state is not state:
            assert asyncio.get_running_loop().time() < end, last
            await asyncio.sleep(0.02)
        return last

    async def redirect(self, submission: str, to: str) -> httpx.Response:
        dead = await self.last(submission, State.DEAD)
        body = {"reason": "anderes Verfahren", "target": to}
        return await self.up.client("betrieb").post(f"/v1/dead-letters/{dead.id}/redirect", json=body)

    async def delivered(self, submission: str) -> tuple[Delivery, bytes]:
        """The last delivery and its document, which the case system has got to the byte."""
        self.system.faults.set(())
        done = await self.last(submission, State.DELIVERED)
        body = await self.up.gateway.journal.body(submission, done.document)
        assert [entry.digest for entry in self.system.register][-1] == hashlib.sha256(body).hexdigest()
        return done, body

    async def facts(self, submission: str, event: str) -> dict[str, Any]:
        history = await self.up.gateway.journal.history(submission_id=submission)
        return dict(next(entry.facts for entry in reversed(history) if entry.event == event))


@asynccontextmanager
async def town(tmp: Path, first: str, *, system: Simulator, wishes: dict[str, str] = WISHES) -> AsyncIterator[Town]:
    more = "".join(
        TARGET.format(name=name, more=wish, url=system.url, authority="kreis" if "latein" in name else "stadt")
        for name, wish in wishes.items()
    )
    async with house(tmp, more=more + ROUTE.format(first=first)) as up:
        yield Town(up, system)


@pytest.fixture
async def system() -> AsyncIterator[Simulator]:
    """Refuses everything, until it is told otherwise."""
    async with Simulator("fallakte", faults=parse("422*")) as up:
        yield up


@pytest.fixture
async def old(tmp_path: Path, system: Simulator) -> AsyncIterator[Town]:
    write_versions(tmp_path / "state")
    async with town(tmp_path, "alt", system=system) as up:
        yield up


# --- redirected and forwarded --------------------------------------------------------------------------------------------


async def test_what_is_redirected_to_a_target_that_expects_another_version_is_converted(old: Town) -> None:
    submission = await old.submit(message())
    answer = await old.redirect(submission, "neu")
    assert answer.status_code == 200, answer.text
    done, body = await old.delivered(submission)
    assert (done.target, done.document) == ("neu", 1)
    assert b"<rufname>Rex</rufname>" in body
    made = (await old.dossier(submission)).documents[1]
    assert made.made_from == 0
    assert (made.made_by or "").startswith("conversion:meldung@2:")
    assert (await old.facts(submission, "close"))["document"] == 1


async def test_from_target_to_target_it_is_always_made_of_the_message_and_nothing_is_made_twice(old: Town) -> None:
    submission = await old.submit(message())
    for target, number in (("neu", 1), ("latein", 0), ("neu-latein", 1), ("nur-alt", 0)):
        assert (await old.redirect(submission, target)).status_code == 200
        assert (await old.last(submission, State.DEAD)).document == number
    assert len((await old.dossier(submission)).documents) == 2


IMPOSSIBLE = [
    (message(number="lang"), "neu", "conversion-invalid", "Für das Zielsystem „neu“ geht das nicht: Aus meldung@1 umgewandelt"),
    (message("2"), "nur-alt", "version-not-expected", "Das Zielsystem nur-alt erwartet meldung@1; aus meldung@2 lässt sich"),
    (message(name="Ива"), "latein", "character-not-held", "kennt nur ISO 8859-1; für das Zeichen an Stelle 1"),
    (message(name="Œuvre"), "latein", "transliteration-invalid", "umgeschrieben ist die Nachricht nicht mehr gültig"),
]


async def test_what_cannot_be_made_for_a_target_is_not_redirected_and_the_answer_says_why(old: Town) -> None:
    for body, to, code, said in IMPOSSIBLE:
        submission = await old.submit(body)
        answer = await old.redirect(submission, to)
        assert (answer.status_code, answer.json()["code"]) == (409, code)
        assert said in answer.json()["detail_de"]
        dossier = await old.dossier(submission)
        assert ([each.target for each in dossier.deliveries], len(dossier.documents)) == (["alt"], 1)


async def test_what_is_forwarded_to_another_authority_is_converted_and_rewritten_for_it(old: Town) -> None:
    submission = await old.submit(message(name="Łoś"))
    dead = await old.last(submission, State.DEAD)
    fresh = await old.up.gateway.operator.forward(
        dead.id, target="neu-latein", authority="kreis", actor="operator:test", reason="nicht zuständig")
    assert (fresh.authority, fresh.received_at) == ("kreis", dead.received_at)
    done, body = await old.delivered(submission)
    assert b"<rufname>Los</rufname>" in body
    documents = (await old.dossier(submission)).documents
    assert (documents[done.document].made_by or "").startswith("conversion:meldung@2:")
    assert (documents[done.document].made_by or "").endswith("+characters:latin-1")
    assert (await old.facts(submission, "close"))["transliterated"] == 1


# --- replayed ------------------------------------------------------------------------------------------------------------


async def test_a_replay_gives_a_target_what_it_has_come_to_expect(tmp_path: Path, system: Simulator) -> None:
    write_versions(tmp_path / "state")
    async with town(tmp_path, "neu", system=system, wishes={"neu": ""}) as before:
        submission = await before.submit(message())
        assert (await before.last(submission, State.DEAD)).document == 0
    async with town(tmp_path, "neu", system=system, wishes={"neu": WISHES["neu"]}) as after:
        dead = await after.last(submission, State.DEAD)
        system.faults.set(())
        replayed = await after.up.client("betrieb").post(
            f"/v1/dead-letters/{dead.id}/replay", json={"reason": "das Verfahren erwartet die neue Version"})
        assert replayed.status_code == 200, replayed.text
        done, body = await after.delivered(submission)
        assert (done.id, done.document) == (dead.id, 1)
        assert b"<rufname>Rex</rufname>" in body
        assert (await after.facts(submission, "replay"))["document"] == 1


# --- characters ----------------------------------------------------------------------------------------------------------


async def test_a_target_that_knows_latin_1_only_gets_basic_letters_and_the_history_says_so(
    tmp_path: Path, system: Simulator
) -> None:
    write_versions(tmp_path / "state")
    async with town(tmp_path, "latein", system=system) as latin:
        sent = message(name="Łüő’")
        submission = await latin.submit(sent)
        done, body = await latin.delivered(submission)
        assert "<name>Lüo'</name>" in body.decode()
        assert await latin.up.gateway.journal.body(submission, 0) == sent, "what was received stays what it is"
        received, made = (await latin.dossier(submission)).documents
        assert (made.made_from, made.made_by, done.document) == (received.no, "characters:latin-1", made.no)
        assert (await latin.facts(submission, "accept"))["transliterated"] == 1


async def test_what_it_can_hold_goes_as_it_came(tmp_path: Path, system: Simulator) -> None:
    write_versions(tmp_path / "state")
    async with town(tmp_path, "latein", system=system) as latin:
        submission = await latin.submit(message(name="Jürße"))
        done, body = await latin.delivered(submission)
        assert (done.document, body) == (0, message(name="Jürße"))
        assert "transliterated" not in await latin.facts(submission, "accept")


async def test_a_validation_says_what_would_be_rewritten_where_and_never_the_text(tmp_path: Path, system: Simulator) -> None:
    write_versions(tmp_path / "state")
    async with town(tmp_path, "latein", system=system) as latin:
        api = latin.up.client("portal")
        said = await api.post("/v1/validations?ars=081210000000", content=message(name="Łüő’"), headers=XML)
        assert said.json()["valid"] is True
        (hint,) = said.json()["findings"]
        assert (hint["rule"], hint["severity"], hint["path"]) == ("transliterated", "warning", "/s:meldung.0100/s:name")
        assert "kennt nur ISO 8859-1: Für dieses werden hier 3 Zeichen umgeschrieben, 1 davon auf übliche Weise" in hint["de"]
        assert "Łüő" not in said.text
        lost = await api.post("/v1/validations?ars=081210000000", content=message(name="Ива"), headers=XML)
        assert [finding["rule"] for finding in lost.json()["findings"]] == ["character-not-held"]
