"""What operators look up: a submission by its number on the telephone, what is stored of it, the latest of the history."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from gateway.http import shapes
from gateway.ports import Role
from tests.story.conftest import LEISTUNGEN, House, house, sample
from tests.story.test_api import XML, problem
from tests.story.test_operating import dead

FORM = (LEISTUNGEN / "hundesteuer/samples/form-vollstaendig.xml").read_bytes()
UNKNOWN_ID = "019a0000-0000-7000-8000-000000000000"


async def test_a_submission_is_found_by_the_number_people_say_on_the_telephone(gateway: House) -> None:
    sent = (await gateway.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    reference = sent["reference"]
    for said in (reference, reference.lower(), f"{reference[:4]}-{reference[4:]}"):
        assert (await gateway.client("portal").get(f"/v1/submissions/{said}")).json()["id"] == sent["id"]
    assert (await gateway.client("betrieb").get(f"/v1/submissions/{reference}")).json()["id"] == sent["id"]
    assert (await gateway.client("portal").get(f"/v1/submissions/{reference}/receipt")).json() == sent
    foreign = await gateway.client("nachbar").get(f"/v1/submissions/{reference}")
    unknown = await gateway.client("nachbar").get("/v1/submissions/00000000000")
    assert problem(foreign, 404, "not-found")["detail"] == problem(unknown, 404, "not-found")["detail"]


async def test_what_is_stored_is_fetched_byte_for_byte_and_who_looked_is_in_the_history(gateway: House) -> None:
    body = sample("broken-iban")
    answer = await gateway.client("sammler").post("/v1/submissions", content=body, headers=XML)
    operator = gateway.client("betrieb")
    letter, = (await operator.get("/v1/dead-letters")).json()["dead_letters"]

    fetched = await operator.get(f"/v1/dead-letters/{letter['id']}/documents/0")

    assert fetched.content == body
    assert fetched.headers["content-type"].startswith("application/xml")
    assert fetched.headers["content-disposition"] == f'attachment; filename="{answer.json()["reference"]}-0.xml"'
    assert fetched.headers["x-content-type-options"] == "nosniff"
    assert fetched.headers["cache-control"] == "no-store"
    detail = shapes.DeadLetterDetail.model_validate((await operator.get(f"/v1/dead-letters/{letter['id']}")).json())
    seen = detail.history[-1]
    assert (seen.event, seen.actor, seen.facts["document"]) == ("document-seen", "operator:betrieb", 0)
    portal = (await gateway.client("sammler").get(f"/v1/submissions/{letter['submission']}")).json()
    assert "document-seen" not in {line["event"] for line in portal["history"]}
    assert "0" in problem(await operator.get(f"/v1/dead-letters/{letter['id']}/documents/9"), 404, "not-found")["detail_de"]
    problem(await operator.get(f"/v1/dead-letters/{letter['id']}/documents/x"), 400, "bad-parameter")
    problem(await operator.get(f"/v1/dead-letters/{UNKNOWN_ID}/documents/0"), 404, "not-found")


async def test_the_form_the_message_made_of_it_and_its_attachments_are_all_there(gateway: House) -> None:
    parts = [("submission", ("f.xml", FORM, "application/xml")), ("attachment", ("a.pdf", b"%PDF-1.7 x", "application/pdf"))]
    answer = await gateway.client("formulare").post("/v1/submissions?leistung=hundesteuer&ars=08121", files=parts)
    delivery = answer.json()["deliveries"][0]["id"]
    operator = gateway.client("betrieb")
    documents = (await operator.get(f"/v1/dead-letters/{delivery}")).json()["documents"]
    roles = {each["role"]: each["no"] for each in documents}

    def at(role: Role) -> str:
        return f"/v1/dead-letters/{delivery}/documents/{roles[role]}"

    assert (await operator.get(at(Role.RECEIVED))).content == FORM
    assert b"urn:nahtlos:leistung:hundesteuer" in (await operator.get(at(Role.MESSAGE))).content
    attached = await operator.get(at(Role.ATTACHMENT))
    assert (attached.content, attached.headers["content-type"]) == (b"%PDF-1.7 x", "application/pdf")


async def test_the_cause_of_a_form_names_the_field_and_not_a_word_glued_to_it(gateway: House) -> None:
    body = FORM.replace(b"<plz>", b"<plz>kein Ort ")
    answer = await gateway.client("formulare").post("/v1/submissions?leistung=hundesteuer&ars=08121", content=body, headers=XML)
    assert answer.status_code == 202, answer.text
    letter, = (await gateway.client("betrieb").get("/v1/dead-letters")).json()["dead_letters"]
    assert "Stelle /hundesteuer/" in letter["cause_de"]


async def test_documents_are_for_those_who_may_see_content_alone(gateway: House) -> None:
    letter = await dead(gateway)
    path = f"/v1/dead-letters/{letter['id']}/documents/0"
    for holder, status in (("leser", 403), ("kreisamt", 403), ("sammler", 403), ("betrieb", 200)):
        assert (await gateway.client(holder).get(path)).status_code == status, holder
    history = (await gateway.client("betrieb").get(f"/v1/dead-letters/{letter['id']}")).json()["history"]
    assert [line["actor"] for line in history if line["event"] == "document-seen"] == ["operator:betrieb"]


async def test_what_is_erased_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as up:
        letter = await dead(up)
        operator = up.client("betrieb")
        closed = await operator.post(f"/v1/dead-letters/{letter['id']}/close", json={"reason": "von Hand"})
        assert closed.status_code == 200
        assert await up.gateway.journal.erase(at=up.gateway.clock.now() + timedelta(days=4000)) == 1
        said = problem(await operator.get(f"/v1/dead-letters/{letter['id']}/documents/0"), 404, "not-found")
        assert said["code"] == "erased"


async def test_the_history_shows_the_latest_where_that_is_asked_for(gateway: House) -> None:
    await dead(gateway)
    operator = gateway.client("betrieb")
    await operator.post("/v1/targets/stadt-fach/pause", json={"reason": "Wartung"})
    await operator.post("/v1/targets/stadt-fach/resume", json={"reason": "fertig"})
    everything = (await operator.get("/v1/audit?limit=1000")).json()["entries"]

    last = shapes.Audit.model_validate((await operator.get("/v1/audit?last=2")).json())

    assert [entry.event for entry in last.entries] == [entry["event"] for entry in everything[-2:]]
    assert [entry.texts.get("reason") for entry in last.entries] == ["Wartung", "fertig"]
    assert (await operator.get(f"/v1/audit?after={last.next}")).json()["entries"] == []


async def test_a_misspelt_name_is_not_answered_with_nothing(gateway: House) -> None:
    await dead(gateway)
    operator, of_the_district = gateway.client("betrieb"), gateway.client("kreisamt")
    for path, word in (
        ("/v1/dead-letters?target=stadt-fch", "stadt-fach"), ("/v1/dead-letters/groups?target=stadt-fch", "stadt-fach"),
        ("/v1/dead-letters?leistung=hundesteur", "hundesteuer"), ("/v1/dead-letters?authority=kries", "kreis"),
    ):
        assert word in problem(await operator.get(path), 400, "bad-parameter")["detail_de"], path
    assert (await operator.get("/v1/dead-letters?target=stadt-fach")).json()["dead_letters"] == []
    theirs = problem(await of_the_district.get("/v1/dead-letters?target=stadt-fch"), 400, "bad-parameter")
    assert "stadt-fach" not in theirs["detail_de"]
    paused = await operator.post("/v1/targets/stadt-fch/pause", json={"reason": "Wartung"})
    assert "stadt-fach" in problem(paused, 404, "not-found")["detail_de"]


async def test_a_key_that_would_open_nothing_is_not_given_out(gateway: House) -> None:
    operator = gateway.client("betrieb")
    order = {"holder": "eng", "kind": "portal-key", "scope": ["hundesteuer"], "reason": "neu"}
    assert "wohngeld" in problem(await operator.post("/v1/keys", json=order), 400, "bad-request")["detail_de"]
    assert (await operator.post("/v1/keys", json=order | {"scope": ["wohngeld"]})).status_code == 201
