"""What a portal sees: from its POST to the case number, and what it is told on the way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway.http import shapes
from gateway.intake import RETENTION
from gateway.ports import Role
from gateway.submission import DeadClass, State
from tests.deployments import ON_ALL
from tests.story.conftest import ARS, House, sample

pytestmark = ON_ALL

XML = {"content-type": "application/xml"}
FILE = b"%PDF-1.7\r\n--grenze\r\n\x00\xff\r\n--"


async def test_a_message_is_accepted_and_becomes_a_case(gateway: House) -> None:
    api, body = gateway.client("portal"), sample("minimal")
    answer = await api.post("/v1/submissions", content=body, headers=XML)
    assert answer.status_code == 202, answer.text
    receipt = shapes.Receipt.model_validate(answer.json())
    assert answer.headers["location"] == f"/v1/submissions/{receipt.id}"
    assert receipt.digest == f"sha-256:{hashlib.sha256(body).hexdigest()}"
    assert (receipt.state, receipt.leistung, receipt.ars, receipt.test) == ("received", "hundesteuer", ARS, False)
    assert [delivery.purpose for delivery in receipt.deliveries] == ["case", "copy"]
    await gateway.settled(receipt.id)
    status = shapes.Status.model_validate((await api.get(answer.headers["location"])).json())
    assert status.state == "delivered"
    assert [delivery.case_number for delivery in status.deliveries] == ["HN-2026-000001", "HN-2026-000001"]
    assert [entry.digest for entry in gateway.city.register] == [hashlib.sha256(body).hexdigest()]
    assert next(iter(gateway.city.register)).received_at[:19] == receipt.received_at[:19]


async def test_the_bytes_are_stored_and_delivered_as_they_came(gateway: House) -> None:
    body = sample("minimal").replace(b"<l:kopf>", b"<!-- \xc3\xa4 -->\r\n\t<l:kopf>")
    receipt = (await gateway.client("portal").post("/v1/submissions", content=body, headers=XML)).json()
    assert await gateway.gateway.journal.body(receipt["id"], 0) == body
    await gateway.settled(receipt["id"])
    assert [entry.digest for entry in gateway.city.register] == [hashlib.sha256(body).hexdigest()]


async def test_files_travel_with_the_message_byte_for_byte(gateway: House) -> None:
    body = sample("minimal")
    files: list[Any] = [
        ("submission", ("antrag.xml", body, "application/xml")),
        ("anlage", ("Impfpass „Bello“.pdf", FILE, "application/pdf")),
        ("anlage", ("../../etc/passwd", b"", "image/png")),
    ]
    answer = await gateway.client("portal").post("/v1/submissions", files=files)
    assert answer.status_code == 202, answer.text
    submission_id = answer.json()["id"]
    dossier = await gateway.gateway.journal.dossier(submission_id)
    assert dossier is not None
    assert [(d.role.value, d.name, d.media_type) for d in dossier.documents] == [
        ("received", None, "application/xml"),
        ("attachment", "Impfpass „Bello“.pdf", "application/pdf"),
        ("attachment", "../../etc/passwd", "image/png"),
    ]
    assert [await gateway.gateway.journal.body(submission_id, no) for no in range(3)] == [body, FILE, b""]
    await gateway.settled(submission_id)
    entry, = gateway.city.register
    assert entry.attachments == [hashlib.sha256(FILE).hexdigest(), hashlib.sha256(b"").hexdigest()]


async def test_a_large_attachment_arrives_whole(gateway: House) -> None:
    large = hashlib.sha256(b"seed").digest() * (11 * 1024 * 32)
    digest = base64.b64encode(hashlib.sha256(large).digest())
    answer = await gateway.client("portal").post("/v1/submissions", files={
        "submission": ("a.xml", sample("minimal"), "application/xml"), "plan": ("plan.pdf", large, "application/pdf"),
    })
    assert answer.status_code == 202, answer.text
    await gateway.settled(answer.json()["id"], within=20)
    entry, = gateway.city.register
    assert entry.attachments == [base64.b64decode(digest).hex()]


# --- the same thing twice (P4) ---------------------------------------------------------------------------------------


async def test_the_same_key_and_content_get_the_same_receipt(gateway: House) -> None:
    api, body = gateway.client("portal"), sample("minimal")
    first = await api.post("/v1/submissions", content=body, headers=XML | {"idempotency-key": "vorgang-1"})
    again = await api.post("/v1/submissions", content=body, headers=XML | {"idempotency-key": '"vorgang-1"'})
    assert (again.status_code, again.content) == (202, first.content)
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    await gateway.settled(first.json()["id"])
    later = await api.post("/v1/submissions", content=body, headers=XML | {"idempotency-key": "vorgang-1"})
    assert later.content == first.content, "whatever has become of it, the receipt stays the same"
    assert gateway.city.register.cases == 1


async def test_a_multipart_repeat_with_another_boundary_is_a_repeat(gateway: House) -> None:
    api, body = gateway.client("portal"), sample("minimal")
    answers = [
        await api.post("/v1/submissions", headers={"idempotency-key": "k"}, files={
            "submission": ("a.xml", body, "application/xml"), "x": ("x.pdf", FILE, "application/pdf"),
        }) for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotency-replayed"] == "true"


async def test_a_key_stands_for_one_content(gateway: House) -> None:
    api = gateway.client("portal")
    headers = XML | {"idempotency-key": "k"}
    assert (await api.post("/v1/submissions", content=sample("minimal"), headers=headers)).status_code == 202
    other = await api.post("/v1/submissions", content=sample("minimal"), headers=headers)
    assert problem(other, 422, "key-reused")["claim"] == "key"
    attached = await api.post("/v1/submissions?ars=08121", content=sample("minimal"), headers=headers)
    problem(attached, 422, "key-reused")


async def test_keys_of_two_portals_have_nothing_to_do_with_each_other(gateway: House) -> None:
    headers = XML | {"idempotency-key": "k"}
    ids = set()
    for portal in ("portal", "nachbar"):
        answer = await gateway.client(portal).post("/v1/submissions", content=sample("minimal"), headers=headers)
        ids.add(answer.json()["id"])
    assert len(ids) == 2


async def test_without_a_key_the_messages_own_number_protects(gateway: House) -> None:
    api, body = gateway.client("portal"), sample("minimal")
    first = await api.post("/v1/submissions", content=body, headers=XML)
    again = await api.post("/v1/submissions", content=body, headers=XML)
    assert again.content == first.content
    changed = await api.post("/v1/submissions", content=body.replace(b"Bello", b"Hasso"), headers=XML)
    assert problem(changed, 422, "key-reused")["claim"] == "message"


async def test_another_key_for_a_message_that_is_here_already_names_the_first(gateway: House) -> None:
    api, body = gateway.client("portal"), sample("minimal")
    first = (await api.post("/v1/submissions", content=body, headers=XML | {"idempotency-key": "a"})).json()
    second = (await api.post("/v1/submissions", content=body, headers=XML | {"idempotency-key": "b"})).json()
    assert shapes.Receipt.model_validate(second).duplicate_of == first["id"] == second["id"]
    await gateway.settled(first["id"])
    assert gateway.city.register.cases == 1


async def test_a_key_that_got_the_receipt_of_another_stands_for_that_content_too(gateway: House) -> None:
    portal, body = gateway.client("portal"), sample("minimal")
    first = await portal.post("/v1/submissions", content=body, headers=XML | {"idempotency-key": "vorgang-1"})
    for _ in range(2):
        again = await portal.post("/v1/submissions", content=body, headers=XML | {"idempotency-key": "vorgang-2"})
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    other = await portal.post("/v1/submissions", content=sample("minimal"), headers=XML | {"idempotency-key": "vorgang-2"})
    problem(other, 422, "key-reused")


async def test_sixteen_at_once_with_one_key_are_one_submission(gateway: House) -> None:
    api, body = gateway.client("portal"), sample("minimal")
    answers = await asyncio.gather(*(
        api.post("/v1/submissions", content=body, headers=XML | {"idempotency-key": "k"}) for _ in range(16)
    ))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 15
    await gateway.settled(answers[0].json()["id"])
    assert gateway.city.register.cases == 1


# --- portal forms ------------------------------------------------------------------------------------------------------


async def test_a_bound_form_becomes_the_services_message(gateway: House) -> None:
    api, form = gateway.client("formulare"), sample("form-minimal")
    answer = await api.post("/v1/submissions", content=form, headers=XML)
    assert answer.status_code == 202, answer.text
    status = await gateway.settled(answer.json()["id"])
    assert (status["leistung"], status["ars"]) == ("hundesteuer", ARS)
    journal = gateway.gateway.journal
    dossier = await journal.dossier(status["id"])
    assert dossier is not None
    received, message = dossier.documents
    assert (received.role.value, message.role.value, message.made_from) == ("received", "message", 0)
    assert (message.made_by or "").startswith("mapping:")
    assert await journal.body(status["id"], 0) == form
    assert b"Baumann" in await journal.body(status["id"], 1)
    assert [entry.digest for entry in gateway.city.register] == [message.digest.hex()]


async def test_the_address_alone_says_which_service_a_form_is(gateway: House) -> None:
    answer = await gateway.client("portal").post(
        f"/v1/submissions?leistung=hundesteuer&ars={ARS}", content=sample("form-ohne-metadata"), headers=XML,
    )
    assert answer.status_code == 202, answer.text
    assert (await gateway.settled(answer.json()["id"]))["leistung"] == "hundesteuer"


@pytest.mark.parametrize("broken", ["form-broken-pflichtfeld", "form-broken-datum", "form-broken-code", "form-broken-datei"])
async def test_a_form_that_maps_badly_is_taken_and_waits_for_a_person(gateway: House, broken: str) -> None:
    answer = await gateway.client("formulare").post("/v1/submissions", content=sample(broken), headers=XML)
    assert answer.status_code == 202, answer.text
    receipt = shapes.Receipt.model_validate(answer.json())
    assert receipt.state == "received", "the citizen sees no error"
    letter, = (await gateway.client("betrieb").get("/v1/dead-letters")).json()["dead_letters"]
    assert (letter["class"], letter["submission"], letter["leistung"]) == ("invalid", receipt.id, "hundesteuer")
    detail = (await gateway.client("betrieb").get(f"/v1/dead-letters/{letter['id']}")).json()
    assert detail["cause_text"]["findings_de"]
    assert detail["cause_text"]["findings_en"]
    assert await gateway.gateway.journal.body(receipt.id, 0) == sample(broken)


async def test_a_form_whose_message_becomes_too_large_waits_for_a_person(gateway: House) -> None:
    """Markup in CDATA is legal, and four times as long once it is escaped."""
    large = re.sub(rb"(<rasse>)[^<]*", lambda found: found[1] + b"<![CDATA[" + b"<" * (5 << 20) + b"]]>", sample("form-minimal"))
    answer = await gateway.client("formulare").post("/v1/submissions", content=large, headers=XML)
    assert answer.status_code == 202, answer.text
    letter, = (await gateway.client("betrieb").get("/v1/dead-letters")).json()["dead_letters"]
    assert (letter["class"], letter["submission"]) == ("invalid", answer.json()["id"])


async def test_a_form_nobody_bound_is_taken_and_says_what_is_missing(gateway: House) -> None:
    answer = await gateway.client("portal").post("/v1/submissions", content=sample("form-minimal"), headers=XML)
    assert answer.status_code == 202, answer.text
    letter, = (await gateway.client("betrieb").get("/v1/dead-letters")).json()["dead_letters"]
    assert (letter["class"], letter["code"], letter["leistung"]) == ("invalid", "form-unbound", None)


async def test_what_belongs_to_no_known_service_is_erased_in_the_end_too(gateway: House) -> None:
    answer = await gateway.client("portal").post("/v1/submissions", content=sample("form-minimal"), headers=XML)
    journal, submission_id = gateway.gateway.journal, answer.json()["id"]
    dossier = await journal.dossier(submission_id)
    assert dossier is not None
    assert (dossier.submission.leistung, dossier.submission.erase_after) == ("", dossier.submission.received_at + RETENTION)
    operator, much_later = gateway.client("betrieb"), dossier.submission.received_at + RETENTION + timedelta(hours=1)
    assert await journal.erase(at=much_later) == 0, "a dead letter is kept"
    letter, = (await operator.get("/v1/dead-letters")).json()["dead_letters"]
    closed = await operator.post(f"/v1/dead-letters/{letter['id']}/close", json={"reason": "auf Papier"})
    assert closed.is_success, closed.text
    assert await journal.erase(at=much_later - timedelta(hours=2)) == 0
    assert await journal.erase(at=much_later) == 1


async def test_the_history_says_what_was_unescaped_and_how_many_files_a_form_held(gateway: House) -> None:
    answer = await gateway.client("formulare").post("/v1/submissions", content=sample("form-vollstaendig"), headers=XML)
    assert answer.status_code == 202, answer.text
    first = (await gateway.gateway.journal.history(submission_id=answer.json()["id"]))[0]
    assert {name: first.facts.get(name) for name in ("unescaped", "files", "parts")} == {"unescaped": 2, "files": 5, "parts": 2}


async def test_a_form_that_cannot_be_mapped_keeps_the_draft_beside_what_was_received(gateway: House) -> None:
    form = sample("form-broken-datum")
    answer = await gateway.client("formulare").post("/v1/submissions", content=form, headers=XML)
    assert answer.status_code == 202, answer.text
    journal, submission_id = gateway.gateway.journal, answer.json()["id"]
    dossier = await journal.dossier(submission_id)
    assert dossier is not None
    received, draft = dossier.documents
    assert (received.role, draft.role, draft.made_from) == (Role.RECEIVED, Role.MESSAGE, 0)
    assert (draft.made_by or "").startswith("mapping:")
    assert await journal.body(submission_id, 0) == form
    body = await journal.body(submission_id, draft.no)
    assert b"urn:nahtlos:leistung:hundesteuer:1" in body
    assert b"serviceportal" not in body
    delivery, = dossier.deliveries
    assert (delivery.dead_class, delivery.document) == (DeadClass.INVALID, received.no), "nobody sends half an application"


async def test_a_form_sent_twice_within_a_day_is_one(gateway: House) -> None:
    api = gateway.client("formulare")
    one, two = [await api.post("/v1/submissions", content=sample("form-minimal"), headers=XML) for _ in range(2)]
    assert one.content == two.content


# --- only checking -------------------------------------------------------------------------------------------------------


async def test_a_check_says_everything_and_stores_nothing(gateway: House) -> None:
    api = gateway.client("portal")
    good = shapes.Report.model_validate((await api.post("/v1/validations", content=sample("minimal"), headers=XML)).json())
    assert (good.valid, good.outcome, good.status, good.findings, good.problem) == (True, "accepted", 202, [], None)
    assert [step.target for step in good.route or []] == ["stadt-fach", "kreis-fach"]
    bad = shapes.Report.model_validate((await api.post("/v1/validations", content=sample("broken-iban"), headers=XML)).json())
    assert (bad.valid, bad.outcome, bad.status) == (False, "refused", 422)
    assert bad.findings[0].path == "/l:hundesteuer/l:lastschrift/b:bankverbindung/b:iban"
    assert bad.problem is not None
    assert bad.problem.type == "urn:nahtlos:problem:invalid-document"
    form = shapes.Report.model_validate((await gateway.client("formulare").post(
        "/v1/validations", content=sample("form-broken-datum"), headers=XML,
    )).json())
    assert (form.valid, form.outcome, form.status, form.origin) == (False, "held", 202, "form")
    unreadable = shapes.Report.model_validate((await api.post("/v1/validations", content=b"<a>", headers=XML)).json())
    assert (unreadable.valid, unreadable.status, unreadable.outcome) == (False, 400, "refused")
    assert (await gateway.gateway.journal.since(None, 0, 10))[1] == []


# --- afterwards ------------------------------------------------------------------------------------------------------------


async def test_unchanged_status_is_not_sent_again(gateway: House) -> None:
    api = gateway.client("portal")
    receipt = (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    await gateway.settled(receipt["id"])
    first = await api.get(f"/v1/submissions/{receipt['id']}")
    again = await api.get(f"/v1/submissions/{receipt['id']}", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


async def test_a_portal_may_wait_for_news(gateway: House) -> None:
    api, operator = gateway.client("portal"), gateway.client("betrieb")
    await gateway.pause("stadt-fach")
    receipt = (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    now = await api.get(f"/v1/submissions/{receipt['id']}")
    waiting = asyncio.create_task(api.get(
        f"/v1/submissions/{receipt['id']}", headers={"prefer": "wait=20", "if-none-match": now.headers["etag"]},
    ))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await operator.post("/v1/targets/stadt-fach/resume", json={"reason": "fertig"})
    news = await asyncio.wait_for(waiting, 10)
    assert news.status_code == 200
    assert news.headers["preference-applied"] == "wait=20"
    assert news.headers["etag"] != now.headers["etag"]


async def test_waiting_ends_with_the_time_that_was_asked_for(gateway: House) -> None:
    api = gateway.client("portal")
    await gateway.pause("stadt-fach")
    receipt = (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    now = await api.get(f"/v1/submissions/{receipt['id']}")
    begun = asyncio.get_running_loop().time()
    late = await api.get(
        f"/v1/submissions/{receipt['id']}", headers={"prefer": "respond-async, wait=1", "if-none-match": now.headers["etag"]},
    )
    assert late.status_code == 304
    assert 0.9 < asyncio.get_running_loop().time() - begun < 4


async def test_who_hangs_up_while_he_waits_leaves_nobody_waiting(gateway: House) -> None:
    """Many portals have less patience than they ask us for."""
    await gateway.pause("stadt-fach")
    receipt = (await gateway.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    for _ in range(5):
        with pytest.raises(httpx.ReadTimeout):
            await gateway.client("portal").get(f"/v1/submissions/{receipt['id']}", headers={"prefer": "wait=60"}, timeout=0.5)
    async with asyncio.timeout(20):
        while any(gateway.gateway.changes._waiting.values()):
            await asyncio.sleep(0.2)


async def test_the_course_of_a_submission_can_be_followed(gateway: House) -> None:
    api = gateway.client("portal")
    receipt = (await api.post("/v1/submissions?", content=sample("minimal"), headers=XML)).json()
    async with api.stream("GET", f"/v1/submissions/{receipt['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        seen = [json.loads(line[6:]) async for line in stream.aiter_lines() if line.startswith("data: ")]
    assert seen[-1] == {}, "the stream says that it has ended"
    assert [event["event"] for event in seen[:-1]].count("confirm") == 2
    async with api.stream("GET", f"/v1/submissions/{receipt['id']}/events", headers={"last-event-id": "5"}) as stream:
        rest = [line async for line in stream.aiter_lines() if line.startswith("id: ")]
    assert rest == ["id: 6"]


async def test_what_has_changed_since_can_be_listed(gateway: House) -> None:
    api = gateway.client("portal")
    ids = [(await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).json()["id"] for _ in range(3)]
    other = (await gateway.client("nachbar").post("/v1/submissions", content=sample("minimal"), headers=XML)).json()["id"]
    for submission_id in (*ids, other):
        await gateway.settled(submission_id)
    page: dict[str, Any] = {"next": 0, "submissions": []}
    for _ in range(60):
        page = (await api.get("/v1/submissions?since=0")).json()
        if len(page["submissions"]) == 3:
            break
        await asyncio.sleep(0.05)  # the sealer numbers what was committed once a second
    listed = shapes.Since.model_validate(page)
    assert {each.id for each in listed.submissions} == set(ids)
    await asyncio.sleep(1.1)
    last = (await api.get("/v1/submissions?since=0")).json()["next"]
    assert (await api.get(f"/v1/submissions?since={last}")).json() == {"submissions": [], "next": last}
    half = (await api.get("/v1/submissions?since=0&limit=1")).json()
    assert len(half["submissions"]) == 1
    assert 0 < half["next"] < last


async def test_numbers_that_no_cursor_has_are_no_error_of_ours(gateway: House) -> None:
    api = gateway.client("portal")
    receipt = (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    await gateway.settled(receipt["id"])
    assert (await api.get(f"/v1/submissions?since={10**22}")).status_code == 200
    course = await api.get(f"/v1/submissions/{receipt['id']}/events", headers={b"last-event-id": b"\xb2"})
    assert course.status_code == 200


async def test_a_submission_can_be_withdrawn_while_nothing_has_arrived(gateway: House) -> None:
    api, operator = gateway.client("portal"), gateway.client("betrieb")
    await gateway.pause("stadt-fach")
    receipt = (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    gone = await api.delete(f"/v1/submissions/{receipt['id']}")
    assert gone.status_code == 200, gone.text
    assert shapes.Status.model_validate(gone.json()).state == "withdrawn"
    await operator.post("/v1/targets/stadt-fach/resume", json={"reason": "fertig"})
    second = (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    await gateway.settled(second["id"])
    problem(await api.delete(f"/v1/submissions/{second['id']}"), 409, "conflict")
    assert gateway.city.register.cases == 1


async def test_another_portals_submission_does_not_exist(gateway: House) -> None:
    mine, other = gateway.client("portal"), gateway.client("nachbar")
    receipt = (await mine.post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    path = f"/v1/submissions/{receipt['id']}"
    for answer in (await other.get(path), await other.delete(path), await other.get(f"{path}/events")):
        problem(answer, 404, "not-found")
    unknown = await mine.get("/v1/submissions/019a0000-0000-7000-8000-000000000000")
    theirs = await other.get(path)
    without_number = [re.sub(r"urn:nahtlos:request:\w+", "", answer.text) for answer in (unknown, theirs)]
    assert without_number[0] == without_number[1]


async def test_a_test_submission_is_marked_and_kept_from_productive_targets(gateway: House) -> None:
    api = gateway.client("portal")
    receipt = (await api.post("/v1/submissions?test=true", content=sample("minimal"), headers=XML)).json()
    assert receipt["test"] is True
    said = (await api.post("/v1/submissions", content=sample("testnachricht"), headers=XML)).json()
    assert said["test"] is True
    await gateway.settled(receipt["id"], state="needs_attention")
    assert gateway.city.register.cases == 0


# --- the catalogue -----------------------------------------------------------------------------------------------------------


async def test_the_catalogue_lists_what_this_key_may_submit(gateway: House) -> None:
    every = shapes.Leistungen.model_validate((await gateway.client("portal").get("/v1/leistungen")).json())
    assert {each.slug for each in every.leistungen} >= {"hundesteuer", "wohngeld", "schwerbehindertenausweis"}
    narrow = (await gateway.client("eng").get("/v1/leistungen")).json()
    assert [each["slug"] for each in narrow["leistungen"]] == ["wohngeld"]


async def test_a_route_says_where_why_and_whether_it_is_well(gateway: House) -> None:
    api, operator = gateway.client("portal"), gateway.client("betrieb")
    route = shapes.Routes.model_validate((await operator.get(f"/v1/routes?leistung=hundesteuer&ars={ARS}")).json())
    assert [(step.target, step.purpose, step.after, step.health) for step in route.to] == [
        ("stadt-fach", "case", None, "ok"), ("kreis-fach", "copy", "stadt-fach", "ok"),
    ]
    assert "Zeile" in route.why_de
    told = (await api.get(f"/v1/routes?leistung=hundesteuer&ars={ARS}")).json()
    assert (told["why_de"], told["why_en"]) == (
        f"{ARS} geht an: Stadt Probe, Landratsamt Probe.", f"{ARS} goes to: Stadt Probe, Landratsamt Probe.")
    assert [step["authority"] for step in told["to"]] == ["stadt", "kreis"]
    assert {step[key] for step in told["to"] for key in ("target", "after")} == {None}
    await gateway.pause("stadt-fach")
    paused = (await api.get(f"/v1/routes?leistung=hundesteuer&ars={ARS}")).json()
    assert [step["health"] for step in paused["to"]] == ["paused", "ok"]
    assert problem(await api.get("/v1/routes?leistung=hundesteuer&ars=09162"), 422, "no-route")["missing"]
    problem(await api.get("/v1/routes?leistung=unbekannt&ars=09162"), 422, "unknown-leistung")
    problem(await gateway.client("eng").get(f"/v1/routes?leistung=hundesteuer&ars={ARS}"), 422, "unknown-leistung")
    assert problem(await api.get("/v1/routes?leistung=hundesteuer&ars=1"), 400, "bad-parameter")["parameters"] == ["ars"]


async def test_held_and_delivered_states_have_words_of_their_own(gateway: House) -> None:
    answer = await gateway.client("sammler").post("/v1/submissions", content=sample("broken-iban"), headers=XML)
    assert answer.status_code == 202
    status = (await gateway.client("sammler").get(answer.headers["location"])).json()
    assert status["state"] == "needs_attention"
    assert [delivery["state"] for delivery in status["deliveries"]] == ["needs_attention"]
    assert State.DEAD.value not in json.dumps(status["deliveries"])


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The answer is this problem, whole and in both languages."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    shapes.Problem.model_validate(said)
    assert (said["type"], said["status"]) == (f"urn:nahtlos:problem:{slug}", status)
    assert said["detail_de"] != said["detail_en"]
    return said
