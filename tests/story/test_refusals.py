"""Every no of the API, provoked over real HTTP: the right status, both languages, nothing stored, nothing echoed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import app
from gateway.http import shapes
from gateway.http.problems import Kind
from gateway.ports import DeadLetterFilter
from gateway.settings import DiskReserve
from tests.story.conftest import House, house, sample
from tests.story.test_api import XML, problem

MARK = "GEHEIM4711"


async def nothing_stored(gateway: House) -> None:
    assert (await gateway.gateway.journal.dead_letters(DeadLetterFilter(), limit=9)) == []
    assert gateway.city.register.cases == gateway.district.register.cases == 0
    assert not [entry for entry in await gateway.gateway.journal.history() if entry.submission_id]


def multipart(body: bytes) -> dict[str, Any]:
    return {"content": body, "headers": {"content-type": "multipart/form-data; boundary=B"}}


REFUSED: dict[str, tuple[dict[str, Any], str, int, str]] = {
    "not XML": ({"content": b"%PDF-1.7 " + MARK.encode()}, "", 400, "unreadable-document"),
    "empty": ({"content": b""}, "", 400, "unreadable-document"),
    "truncated": ({"content": sample("minimal")[:-20]}, "", 400, "unreadable-document"),
    "with a DOCTYPE": ({"content": b"<!DOCTYPE a><a/>"}, "", 400, "unreadable-document"),
    "in another encoding": (
        {"content": b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe4</a>'}, "", 415, "unsupported-media-type",
    ),
    "said to be in another encoding": (
        {"content": sample("minimal"), "headers": {"content-type": "application/xml; charset=utf-16"}}, "", 415,
        "unsupported-media-type",
    ),
    "of another type": (
        {"content": b"{}", "headers": {"content-type": "application/json"}}, "", 415, "unsupported-media-type",
    ),
    "compressed": ({"content": b"x", "headers": {"content-encoding": "gzip"}}, "", 415, "unsupported-media-type"),
    "an unknown message": ({"content": f"<{MARK}/>".encode()}, "", 422, "invalid-document"),
    "a known message in an unknown version": (
        {"content": sample("minimal").replace(b"leistung:hundesteuer:1", b"leistung:hundesteuer:9")}, "", 422, "invalid-document",
    ),
    "not valid": (
        {"content": sample("minimal").replace(b"1979-05-14", MARK.encode())}, "", 422, "invalid-document",
    ),
    "for an unknown service": ({"content": sample("minimal")}, "?leistung=gibt-es-nicht", 422, "unknown-leistung"),
    "for another service than it says": ({"content": sample("minimal")}, "?leistung=wohngeld", 422, "invalid-document"),
    "for another place than it says": ({"content": sample("minimal")}, "?ars=09162", 422, "invalid-document"),
    "for a place without a route": (
        {"content": sample("minimal").replace(b"081210000000", b"091620000000")}, "", 422, "no-route",
    ),
    "with a parameter nobody knows": ({"content": sample("minimal")}, f"?{MARK}=1", 400, "bad-parameter"),
    "with a parameter that cannot be": ({"content": sample("minimal")}, f"?ars={MARK}", 400, "bad-parameter"),
    "with a parameter twice": ({"content": sample("minimal")}, "?ars=08121&ars=08121", 400, "bad-parameter"),
    "with a key that is none": (
        {"content": sample("minimal"), "headers": {"idempotency-key": "x" * 256}}, "", 400, "bad-request",
    ),
    "with an empty key": ({"content": sample("minimal"), "headers": {"idempotency-key": ""}}, "", 400, "bad-request"),
    "with a digest that does not fit": (
        {"content": sample("minimal"), "headers": {
            "content-digest": f"sha-256=:{base64.b64encode(hashlib.sha256(b'x').digest()).decode()}:",
        }}, "", 400, "digest-mismatch",
    ),
    "with a digest that is none": (
        {"content": sample("minimal"), "headers": {"content-digest": MARK}}, "", 400, "bad-request",
    ),
    "multipart without its end": (multipart(
        b'--B\r\nContent-Disposition: form-data; name="submission"\r\n\r\n' + sample("minimal"),
    ), "", 400, "bad-request"),
    "multipart without a submission": (multipart(
        b'--B\r\nContent-Disposition: form-data; name="' + MARK.encode() + b'"\r\n\r\nx\r\n--B--\r\n',
    ), "", 400, "bad-request"),
    "multipart without a boundary": (
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "", 400, "bad-request",
    ),
    "too large": ({"content": b"<a>" + b" " * (17 << 20)}, "", 413, "too-large"),
}


async def test_what_cannot_be_taken_is_refused_and_leaves_nothing(gateway: House) -> None:
    api = gateway.client("portal")
    for name, (request, query, status, slug) in REFUSED.items():
        request = {"headers": {}} | request
        headers = XML | request["headers"] if "content-type" not in request["headers"] else request["headers"]
        answer = await api.post(f"/v1/submissions{query}", content=request["content"], headers=headers)
        assert answer.status_code == status, f"{name}: {answer.status_code} {answer.text}"
        problem(answer, status, slug)
        assert MARK not in answer.text, name
        assert MARK not in str(answer.headers), name
    await nothing_stored(gateway)
    assert (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).status_code == 202


async def test_every_finding_is_told_at_once_with_its_place(gateway: House) -> None:
    body = sample("minimal").replace(b"1979-05-14", b"gestern").replace(b"2026-02-20", b"heute").replace(
        b"<l:anzahlImHaushalt>1<", b"<l:anzahlImHaushalt>viele<",
    )
    said = problem(await gateway.client("portal").post("/v1/submissions", content=body, headers=XML), 422, "invalid-document")
    found = [shapes.Finding.model_validate(each) for each in said["findings"]]
    assert len(found) == 3
    assert {each.path for each in found} == {
        "/l:hundesteuer/l:antragsteller/b:person/b:geburtsdatum", "/l:hundesteuer/l:hund/l:haltungSeit",
        "/l:hundesteuer/l:anzahlImHaushalt",
    }
    for each in found:
        assert each.line
        assert each.de != each.en


async def test_the_first_language_is_the_one_asked_for(gateway: House) -> None:
    api = gateway.client("portal")
    german = await api.post("/v1/submissions", content=b"x", headers=XML)
    english = await api.post("/v1/submissions", content=b"x", headers=XML | {"accept-language": "en-GB, de;q=0.5"})
    assert (german.headers["content-language"], english.headers["content-language"]) == ("de", "en")
    assert (german.json()["detail"], english.json()["detail"]) == (german.json()["detail_de"], german.json()["detail_en"])


async def test_who_may_not_is_told_so(gateway: House) -> None:
    body = sample("minimal")
    nobody = gateway.client(None)
    for headers, code in (
        ({}, "key-missing"), ({"authorization": "Bearer nk_kurz"}, "key-mistyped"),
        ({"x-api-key": gateway.keys["portal"][:-1] + "x"}, "key-mistyped"),
    ):
        answer = await nobody.post("/v1/submissions", content=body, headers=XML | headers)
        assert problem(answer, 401, "not-authenticated")["code"] == code
        assert answer.headers["www-authenticate"].startswith("Bearer")
    narrow = await gateway.client("eng").post("/v1/submissions", content=body, headers=XML)
    assert problem(narrow, 403, "not-permitted")["code"] == "leistung-not-permitted"
    operator = await gateway.client("betrieb").post("/v1/submissions", content=body, headers=XML)
    assert problem(operator, 403, "not-permitted")["code"] == "portals-only"
    for path in ("/v1/dead-letters", "/v1/dead-letters/groups", "/v1/targets", "/v1/audit", "/v1/keys"):
        problem(await gateway.client("portal").get(path), 403, "not-permitted")
        problem(await nobody.get(path), 401, "not-authenticated")
    for path in ("/v1/submissions", "/v1/leistungen", "/v1/routes?leistung=wohngeld&ars=08121"):
        problem(await nobody.get(path), 401, "not-authenticated")
    by_basic = httpx.BasicAuth("wer", gateway.keys["portal"])
    assert (await nobody.post("/v1/submissions", content=body, headers=XML, auth=by_basic)).status_code == 202


async def test_what_is_not_there_and_what_is_not_done_have_problems_too(gateway: House) -> None:
    api = gateway.client("portal")
    problem(await api.get("/v2/submissions"), 404, "not-found")
    problem(await api.get("/v1"), 404, "not-found")
    for method, path, allowed in (
        ("PUT", "/v1/submissions", "GET, POST"), ("GET", "/v1/validations", "POST"), ("POST", "/v1/leistungen", "GET"),
        ("PATCH", "/v1/submissions/019a", None),
    ):
        answer = await api.request(method, path)
        problem(answer, 405, "method-not-allowed")
        assert allowed is None or answer.headers["allow"] == allowed
    assert problem(await api.get("/v1/submissions?limit=0"), 400, "bad-parameter")["parameters"] == ["limit"]
    assert problem(await api.get("/v1/submissions?since=eins"), 400, "bad-parameter")["parameters"] == ["since"]


async def test_every_answer_carries_its_security_headers(gateway: House) -> None:
    api = gateway.client("portal")
    for answer in (
        await api.get("/livez"), await api.get("/nichts"), await api.get("/docs"), await api.get("/v1/leistungen"),
        await api.post("/v1/submissions", content=b"x", headers=XML), await gateway.client(None).get("/v1/keys"),
        await api.post("/v1/submissions", content=sample("minimal"), headers=XML),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert len(answer.headers["x-request-id"]) == 16
        assert "server" not in answer.headers


async def test_a_defect_says_a_number_and_nothing_else(gateway: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ValueError(f"{MARK} in line 1")

    monkeypatch.setattr(gateway.gateway.inspector, "inspect", broken)
    api = gateway.client("portal")
    for answer in (
        await api.post("/v1/submissions", content=sample("minimal"), headers=XML),
        await api.post("/v1/validations", content=sample("minimal"), headers=XML),
    ):
        said = problem(answer, 500, "internal-error")
        assert said["instance"].rpartition(":")[2] == answer.headers["x-request-id"]
        assert MARK not in answer.text


async def test_a_defect_behind_the_other_calls_says_no_more(gateway: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ValueError(f"{MARK} in line 1")

    monkeypatch.setattr(gateway.gateway.journal, "backlog", broken, raising=False)
    answer = await gateway.client("betrieb").get("/v1/targets")
    problem(answer, 500, "internal-error")
    assert MARK not in answer.text


# --- pressure (P5, P6) -----------------------------------------------------------------------------------------------


async def test_a_portal_over_its_cap_waits_and_the_others_do_not(gateway: House) -> None:
    release = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        body = sample("minimal", "wohngeld")
        yield body[:100]
        await release.wait()
        yield body[100:]

    narrow = gateway.client("eng")
    hanging = [asyncio.create_task(narrow.post("/v1/submissions", content=slow(), headers=XML)) for _ in range(2)]
    await asyncio.sleep(0.3)
    third = await narrow.post("/v1/submissions", content=sample("minimal", "wohngeld"), headers=XML)
    assert problem(third, 429, "too-many-requests")["retry_after"] == int(third.headers["retry-after"]) > 0
    other = await gateway.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)
    assert other.status_code == 202
    release.set()
    assert {answer.status_code for answer in await asyncio.gather(*hanging)} == {202}


async def test_a_portal_that_sends_rubbish_is_slowed_down(gateway: House) -> None:
    strict = gateway.client("streng")
    for _ in range(3):
        assert (await strict.post("/v1/submissions", content=sample("broken-iban"), headers=XML)).status_code == 422
    for path in ("/v1/submissions", "/v1/validations"):
        answer = await strict.post(path, content=sample("minimal"), headers=XML)
        assert problem(answer, 429, "too-many-invalid")["retry_after"] >= 1
    fine = await gateway.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)
    assert fine.status_code == 202


async def test_too_many_bytes_at_once_are_refused(tmp_path: Path) -> None:
    small = {"max_body": 60_000, "max_attachment": 60_000, "max_request": 80_000, "in_flight_bytes": 100_000}
    async with house(tmp_path, **small) as up:
        release = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b" " * 100
            await release.wait()
            yield b" " * (59_000 - 100)

        api = up.client("portal")
        hanging = asyncio.create_task(api.post("/v1/submissions", content=slow(), headers=XML | {"content-length": "59000"}))
        await asyncio.sleep(0.3)
        refused = await api.post("/v1/submissions", content=b" " * 50_000, headers=XML)
        problem(refused, 503, "unavailable")
        release.set()
        await hanging
        assert (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).status_code == 202


async def test_no_room_on_the_disk_is_507_and_heals_by_itself(gateway: House, monkeypatch: pytest.MonkeyPatch) -> None:
    api, admission = gateway.client("portal"), gateway.gateway.admission
    monkeypatch.setattr(admission, "_reserve", DiskReserve(share=1.0).of)
    monkeypatch.setattr(admission, "_disk_checked", float("-inf"))
    answer = await api.post("/v1/submissions", content=sample("minimal"), headers=XML)
    assert problem(answer, 507, "storage-full")["retry_after"] == int(answer.headers["retry-after"])
    ready = await api.get("/readyz")
    assert ready.status_code == 503
    assert [each["code"] for each in ready.json()["wrong"]] == ["disk_full"]
    await nothing_stored(gateway)
    monkeypatch.setattr(admission, "_reserve", DiskReserve(share=0.0).of)
    monkeypatch.setattr(admission, "_disk_checked", float("-inf"))
    assert (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).status_code == 202


async def test_a_journal_that_cannot_keep_up_is_503_before_the_body_is_read(
    gateway: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.gateway.admission, "_oldest_waiting", lambda: timedelta(seconds=3))
    answer = await gateway.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)
    assert problem(answer, 503, "unavailable")["code"] == "journal_slow"
    assert int(answer.headers["retry-after"]) > 0


async def test_a_gateway_that_stops_says_so(gateway: House) -> None:
    gateway.gateway.admission.stopping = True
    answer = await gateway.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)
    assert problem(answer, 503, "unavailable")["code"] == "stopping"


async def test_a_sender_that_stalls_gets_408_and_leaves_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, body_idle_timeout=timedelta(seconds=0.4)) as up:
        reader, writer = await asyncio.open_connection("127.0.0.1", up.serving.port)
        writer.write((
            "POST /v1/submissions HTTP/1.1\r\nHost: x\r\nContent-Type: application/xml\r\nContent-Length: 5000\r\n"
            f"Authorization: Bearer {up.keys['portal']}\r\n\r\n"
        ).encode() + sample("minimal")[:200])
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close\r\n" in said
        assert b"urn:nahtlos:problem:request-timeout" in said
        await nothing_stored(up)


def test_every_kind_of_problem_is_provoked_somewhere_here() -> None:
    told = Path(__file__).read_text(encoding="utf-8") + Path(__file__).with_name("test_api.py").read_text(encoding="utf-8")
    elsewhere = {Kind.HEADERS_TOO_LARGE, Kind.NOT_ACCEPTABLE}  # tests/security/test_hostile_http.py, test_answers.py
    assert [kind.slug for kind in Kind if kind.slug not in told and kind not in elsewhere] == []


async def test_storage_that_hangs_is_answered_and_the_same_key_finds_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a hang, never a false 2xx, and no claim that nothing was stored."""
    usual = app.limits_of
    monkeypatch.setattr(app, "limits_of", lambda settings: replace(usual(settings), answer=0.3))
    async with house(tmp_path) as up:
        journal, release = up.gateway.journal, asyncio.Event()
        accept = journal.accept

        async def hangs(acceptance: Any) -> Any:
            await release.wait()
            return await accept(acceptance)

        monkeypatch.setattr(journal, "accept", hangs, raising=False)
        api, body, headers = up.client("portal"), sample("minimal"), XML | {"idempotency-key": "k"}
        said = problem(await api.post("/v1/submissions", content=body, headers=headers), 503, "unavailable")
        assert said["code"] == "commit_unknown"
        assert "nichts gespeichert" not in said["detail_de"]
        release.set()
        assert (await api.post("/v1/submissions", content=body, headers=headers)).status_code == 202


async def test_a_form_without_a_place_says_that_the_place_is_missing(gateway: House) -> None:
    api, operator = gateway.client("portal"), gateway.client("betrieb")
    for form in ("form-minimal", "form-vollstaendig"):
        checked = (await api.post("/v1/validations?leistung=hundesteuer", content=sample(form), headers=XML)).json()
        assert (checked["outcome"], checked["problem"]["code"]) == ("held", "ars-missing"), form
        assert (await api.post("/v1/submissions?leistung=hundesteuer", content=sample(form), headers=XML)).status_code == 202
    for letter in (await operator.get("/v1/dead-letters")).json()["dead_letters"]:
        whole = (await operator.get(f"/v1/dead-letters/{letter['id']}")).text
        assert letter["class"] == "unroutable"
        assert "Der Ort (ARS) fehlt" in whole
        assert "kopf/onlinedienst" not in whole


async def test_what_is_too_large_is_named(tmp_path: Path) -> None:
    async with house(tmp_path, max_body=4000, max_attachment=5000, max_request=9000) as up:
        api, small, large = up.client("portal"), b"<a/>", b"<a>" + b" " * 4500 + b"</a>"

        async def part(**body: Any) -> tuple[str, str]:
            refused = problem(await api.post("/v1/submissions", **body), 413, "too-large")
            return refused["part"], refused["detail_de"].partition(" ist zu groß")[0]

        async def stream() -> AsyncIterator[bytes]:
            yield large

        def files(message: bytes, *attachments: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
            return [("submission", ("a.xml", message, "application/xml")),
                    *(("attachment", ("a.pdf", each, "application/pdf")) for each in attachments)]

        assert await part(content=large, headers=XML) == ("submission", "Die Nachricht")
        assert await part(content=stream(), headers=XML) == ("submission", "Die Nachricht")
        assert await part(files=files(large)) == ("submission", "Die Nachricht")
        assert await part(files=files(small, b"x" * 6000)) == ("attachment", "Eine Anlage")
        assert await part(files=files(small, b"x" * 4900, b"x" * 4900)) == ("request", "Die Anfrage im Ganzen")


async def test_refusals_are_counted_under_their_service_and_no_counter_says_when_it_began(gateway: House) -> None:
    api = gateway.client("portal")
    for query in ("", "?leistung=hundesteuer"):
        refused = await api.post(f"/v1/submissions{query}", content=sample("broken-iban"), headers=XML)
        assert refused.status_code == 422, refused.text
    text = (await gateway.client(None).get("/metrics")).text
    outcome = refused.json()["type"].rpartition(":")[2]
    assert f'nahtlos_submissions_total{{leistung="hundesteuer",outcome="{outcome}"}} 2.0' in text
    assert "_created" not in text


async def test_the_front_door_leads_to_the_documentation(gateway: House) -> None:
    answer = await gateway.client(None).get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
