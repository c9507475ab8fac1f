"""What operators do through the API: see what is stuck and why, repair, decide, and leave a trace."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.access import Kind
from gateway.http import openapi, shapes
from gateway.http.api import described
from tests.deployments import ON_ALL
from tests.story.conftest import ARS, House, give_key, house, sample
from tests.story.test_api import XML, problem

pytestmark = ON_ALL


async def dead(gateway: House, name: str = "broken-iban", portal: str = "sammler") -> dict[str, Any]:
    """A dead letter, as the list shows it."""
    answer = await gateway.client(portal).post("/v1/submissions", content=sample(name), headers=XML)
    assert answer.status_code == 202, answer.text
    listed = (await gateway.client("betrieb").get("/v1/dead-letters")).json()["dead_letters"]
    return next(each for each in listed if each["submission"] == answer.json()["id"])


async def spoil(gateway: House, fault: bytes) -> None:
    """The city's case system misbehaves from now on."""
    async with httpx.AsyncClient(trust_env=False) as repair:
        assert (await repair.put(f"{gateway.city.url}/_faults", content=fault)).is_success


async def test_the_list_the_groups_and_one_of_them(gateway: House) -> None:
    operator = gateway.client("betrieb")
    letters = [await dead(gateway) for _ in range(3)] + [await dead(gateway, "broken-chipnummer")]
    listed = shapes.DeadLetters.model_validate((await operator.get("/v1/dead-letters")).json())
    assert [each.id for each in listed.dead_letters] == [letter["id"] for letter in letters], "the oldest first"
    assert listed.next is None
    first = (await operator.get("/v1/dead-letters?limit=3")).json()
    rest = (await operator.get(f"/v1/dead-letters?limit=3&after={first['next']}")).json()
    assert [len(first["dead_letters"]), len(rest["dead_letters"])] == [3, 1]
    groups = shapes.Groups.model_validate((await operator.get("/v1/dead-letters/groups")).json()).groups
    assert sorted(group.count for group in groups) == [1, 3]
    largest = groups[0]
    assert (largest.count, largest.dead_class, largest.example) == (3, "invalid", letters[0]["id"])
    assert largest.cause_de != largest.cause_en
    by_cause = (await operator.get(f"/v1/dead-letters?cause={largest.cause}")).json()["dead_letters"]
    assert len(by_cause) == 3
    assert (await operator.get("/v1/dead-letters?class=refused")).json()["dead_letters"] == []
    assert (await operator.get("/v1/dead-letters?leistung=wohngeld")).json()["dead_letters"] == []
    assert len((await operator.get("/v1/dead-letters?before=2100-01-01T00:00:00Z")).json()["dead_letters"]) == 4
    problem(await operator.get("/v1/dead-letters?before=2100-01-01T00:00:00"), 400, "bad-parameter")
    problem(await operator.get("/v1/dead-letters?class=unsinn"), 400, "bad-parameter")
    problem(await operator.get("/v1/dead-letters?before=9999-12-31T23:59:59-12:00"), 400, "bad-parameter")
    detail = shapes.DeadLetterDetail.model_validate((await operator.get(f"/v1/dead-letters/{letters[0]['id']}")).json())
    assert [line.event for line in detail.history] == ["hold"]
    assert [document.role for document in detail.documents] == ["received"]
    assert "Baumann" not in detail.model_dump_json(), "operators see no payload"
    problem(await operator.get("/v1/dead-letters/019a0000-0000-7000-8000-000000000000"), 404, "not-found")


async def test_what_is_still_wrong_cannot_be_replayed(gateway: House) -> None:
    letter = await dead(gateway)
    answer = await gateway.client("betrieb").post(f"/v1/dead-letters/{letter['id']}/replay", json={"reason": "nochmal"})
    said = problem(answer, 409, "conflict")
    assert said["code"] == letter["code"] == "pattern"
    assert said["detail_de"].startswith("Noch nicht gültig: ")
    assert gateway.city.register.cases == 0


async def test_a_missing_route_is_added_and_the_dead_letter_becomes_a_case(tmp_path: Path) -> None:
    async with house(tmp_path) as up:
        body = sample("minimal").replace(b"081210000000", b"091620000000")
        answer = await up.client("sammler").post("/v1/submissions", content=body, headers=XML)
        assert answer.status_code == 202, answer.text
        submission = answer.json()["id"]
        letter, = (await up.client("betrieb").get("/v1/dead-letters?class=unroutable")).json()["dead_letters"]
        assert (letter["target"], letter["ars"]) == (None, "091620000000")
        refused = await up.client("betrieb").post(f"/v1/dead-letters/{letter['id']}/replay", json={"reason": "zu früh"})
        problem(refused, 409, "conflict")
    more = '[[route]]\nleistung = "hundesteuer"\nars = "09162"\nto = [ { target = "kreis-fach" } ]'
    async with house(tmp_path, more=more) as up:
        replayed = await up.client("betrieb").post(
            f"/v1/dead-letters/{letter['id']}/replay", json={"reason": "Leitweg ergänzt", "revision": letter["revision"]},
        )
        assert replayed.status_code == 200, replayed.text
        assert shapes.DeadLetterDetail.model_validate(replayed.json()).target == "kreis-fach"
        status = await up.settled(submission)
        assert status["received_at"] == answer.json()["received_at"], "the time of receipt stays what it was (P9)"
        assert up.district.register.cases == 1


async def test_a_repaired_mapping_makes_the_message_anew(tmp_path: Path) -> None:
    table = tmp_path / "hund.toml"
    shipped = openapi.FILE.parents[2] / "schemas/leistungen/hundesteuer/form.toml"
    wrong = shipped.read_text(encoding="utf-8").replace('"haushalt/anzahlHunde"', '"haushalt/anzahl"')
    table.write_text(wrong, encoding="utf-8")
    binding = (
        '[[form]]\nportal = "portal"\nform_id = "08125000:Heilbronn_Hundesteuer_*"\nleistung = "hundesteuer"\n'
        f'ars = "{ARS}"\nmapping = "{table}"\n'
    )
    async with house(tmp_path, more=binding) as up:
        answer = await up.client("portal").post("/v1/submissions", content=sample("form-minimal"), headers=XML)
        assert answer.status_code == 202, answer.text
        letter, = (await up.client("betrieb").get("/v1/dead-letters")).json()["dead_letters"]
        path = f"/v1/dead-letters/{letter['id']}/replay"
        problem(await up.client("betrieb").post(path, json={"reason": "x"}), 409, "conflict")
    table.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    async with house(tmp_path, more=binding) as up:
        replayed = await up.client("betrieb").post(path, json={"reason": "Tabelle berichtigt"})
        assert replayed.status_code == 200, replayed.text
        made = replayed.json()["documents"][-1]
        assert made["role"] == "message"
        await up.settled(answer.json()["id"])
        assert [f"sha-256:{entry.digest}" for entry in up.city.register] == [made["digest"]]


async def test_a_refusing_system_is_repaired_and_exactly_what_was_seen_is_replayed(gateway: House) -> None:
    operator = gateway.client("betrieb")
    await spoil(gateway, b"400x1")
    receipt = (await gateway.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    await gateway.settled(receipt["id"], state="needs_attention")
    letter, = (await operator.get("/v1/dead-letters?target=stadt-fach")).json()["dead_letters"]
    assert letter["class"] == "refused"
    stale = await operator.post(
        f"/v1/dead-letters/{letter['id']}/replay", json={"reason": "repariert", "revision": letter["revision"] - 1},
    )
    assert problem(stale, 409, "conflict")["revision"] == letter["revision"]
    fresh = await operator.post(
        f"/v1/dead-letters/{letter['id']}/replay", json={"reason": "repariert", "revision": letter["revision"]},
    )
    assert fresh.status_code == 200, fresh.text
    await gateway.settled(receipt["id"])
    assert gateway.city.register.cases == 1
    again = await operator.post(f"/v1/dead-letters/{letter['id']}/replay", json={"reason": "nochmal"})
    problem(again, 409, "conflict")


async def test_returning_tells_the_portal_why(gateway: House) -> None:
    letter = await dead(gateway)
    done = await gateway.client("betrieb").post(f"/v1/dead-letters/{letter['id']}/return", json={"reason": "IBAN bitte prüfen"})
    assert done.status_code == 200, done.text
    answer = await gateway.client("sammler").get(f"/v1/submissions/{letter['submission']}")
    status = shapes.Status.model_validate(answer.json())
    assert status.state == "returned"
    assert status.history[-1].reason == "IBAN bitte prüfen"
    assert status.history[-1].event == "return"


async def test_closing_by_hand_and_opening_again(gateway: House) -> None:
    operator, letter = gateway.client("betrieb"), await dead(gateway)
    path = f"/v1/dead-letters/{letter['id']}"
    closed = await operator.post(f"{path}/close", json={"reason": "von Hand erfasst", "case_number": "HN 12/26"})
    assert (closed.json()["state"], closed.json()["closed_as"]) == ("closed", "by_hand")
    status = (await gateway.client("sammler").get(f"/v1/submissions/{letter['submission']}")).json()
    assert status["state"] == "completed_by_hand"
    reopened = await operator.post(f"{path}/reopen", json={"reason": "doch nicht"})
    assert reopened.json()["state"] == "dead"
    duplicate = await operator.post(f"{path}/close", json={"reason": "doppelt", "closed_as": "duplicate"})
    assert duplicate.json()["closed_as"] == "duplicate"
    problem(await operator.post(f"{path}/close", json={"reason": "x", "closed_as": "redirected"}), 400, "bad-request")


async def test_redirecting_opens_another_delivery(gateway: House) -> None:
    operator = gateway.client("betrieb")
    await spoil(gateway, b"400x1")
    receipt = (await gateway.client("portal").post("/v1/submissions", content=sample("minimal", "wohngeld"), headers=XML)).json()
    await gateway.settled(receipt["id"], state="needs_attention")
    letter, = (await operator.get("/v1/dead-letters")).json()["dead_letters"]
    elsewhere = {"reason": "falsches Amt", "target": "kreis-fach"}
    moved = await operator.post(f"/v1/dead-letters/{letter['id']}/redirect", json=elsewhere)
    assert moved.status_code == 200, moved.text
    assert (moved.json()["replaces"], moved.json()["target"]) == (letter["id"], "kreis-fach")
    await gateway.settled(receipt["id"])
    assert gateway.district.register.cases == 1
    unknown = await operator.post(f"/v1/dead-letters/{letter['id']}/redirect", json={"reason": "x", "target": "nirgends"})
    problem(unknown, 400, "bad-request")


@pytest.mark.parametrize("body", [
    b"", b"{}", b'{"reason":""}', b'{"reason":"x","reason":"y"}', b'{"reason":1}', b'{"reason":"x","revision":"1"}',
    b'{"reason":"x","revision":NaN}', b'{"reason":"x","unknown":1}', b'{"reason":' + b"[" * 100_000, b'["reason"]',
    b'{"reason":"' + b"x" * 2001 + b'"}', b'{"reason":"x","revision":' + b"1" * 5000 + b"}", b"\xff",
])
async def test_a_change_without_a_plain_reason_changes_nothing(gateway: House, body: bytes) -> None:
    letter = await dead(gateway)
    answer = await gateway.client("betrieb").post(
        f"/v1/dead-letters/{letter['id']}/close", content=body, headers={"content-type": "application/json"},
    )
    assert answer.status_code in (400, 413), answer.text
    assert (await gateway.client("betrieb").get(f"/v1/dead-letters/{letter['id']}")).json()["revision"] == letter["revision"]


async def test_who_may_not_redirect_there_is_told_before_anything_has_gone_there(gateway: House) -> None:
    gateway.keys["stadtamt"] = await give_key(gateway.gateway, "stadtamt", Kind.OPERATOR_KEY, ("operator@stadt",))
    await spoil(gateway, b"400x1")
    receipt = (await gateway.client("portal").post("/v1/submissions", content=sample("minimal", "wohngeld"), headers=XML)).json()
    await gateway.settled(receipt["id"], state="needs_attention")
    town = gateway.client("stadtamt")
    letter, = (await town.get("/v1/dead-letters")).json()["dead_letters"]
    wanted = {"reason": "falsches Amt", "target": "kreis-fach"}
    problem(await town.post(f"/v1/dead-letters/{letter['id']}/redirect", json=wanted), 403, "not-permitted")
    assert (await town.get("/v1/dead-letters")).json()["dead_letters"] == [letter]


async def test_a_change_is_json_and_small(gateway: House) -> None:
    letter = await dead(gateway)
    operator, path = gateway.client("betrieb"), f"/v1/dead-letters/{letter['id']}/close"
    problem(await operator.post(path, content=b"reason=x", headers={"content-type": "text/plain"}), 415, "unsupported-media-type")
    large = json.dumps({"reason": "x" * 70_000}).encode()
    problem(await operator.post(path, content=large, headers={"content-type": "application/json"}), 413, "too-large")


async def test_roles_decide_who_may_do_what_and_where(gateway: House) -> None:
    letter = await dead(gateway)
    assert letter["authority"] == "stadt"
    reader, district = gateway.client("leser"), gateway.client("kreisamt")
    assert len((await reader.get("/v1/dead-letters")).json()["dead_letters"]) == 1
    problem(await reader.post(f"/v1/dead-letters/{letter['id']}/close", json={"reason": "x"}), 403, "not-permitted")
    problem(await reader.get("/v1/audit"), 403, "not-permitted")
    assert (await district.get("/v1/dead-letters")).json()["dead_letters"] == [], "another authority's rows are not shown"
    problem(await district.get(f"/v1/dead-letters/{letter['id']}"), 403, "not-permitted")
    problem(await district.get(f"/v1/submissions/{letter['submission']}"), 403, "not-permitted")
    problem(await district.post("/v1/targets/stadt-fach/pause", json={"reason": "x"}), 403, "not-permitted")
    assert (await district.post("/v1/targets/kreis-fach/pause", json={"reason": "x"})).status_code == 200
    assert [each["name"] for each in (await district.get("/v1/targets")).json()["targets"]] == ["kreis-fach"]


async def test_targets_show_their_backlog_and_are_paused_and_resumed(gateway: House) -> None:
    operator = gateway.client("betrieb")
    await gateway.pause("stadt-fach")
    receipt = (await gateway.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    await asyncio.sleep(0.5)
    listed = shapes.Targets.model_validate((await operator.get("/v1/targets")).json())
    city = next(each for each in listed.targets if each.name == "stadt-fach")
    assert (city.paused, city.paused_reason, city.counts) == (True, "Wartung", {"pending": 1})
    assert city.oldest == receipt["received_at"]
    assert gateway.city.register.cases == 0
    stale = await operator.post("/v1/targets/stadt-fach/resume", json={"reason": "fertig", "revision": city.revision + 7})
    problem(stale, 409, "conflict")
    resumed = await operator.post("/v1/targets/stadt-fach/resume", json={"reason": "fertig", "revision": city.revision})
    assert shapes.Target.model_validate(resumed.json()).paused is False
    await gateway.settled(receipt["id"])
    problem(await operator.post("/v1/targets/nirgends/pause", json={"reason": "x"}), 404, "not-found")
    bad = {"reason": "x", "until": "morgen"}
    problem(await operator.post("/v1/targets/stadt-fach/pause", json=bad), 400, "bad-request")


async def test_what_was_done_is_in_the_history_with_who_and_why(gateway: House) -> None:
    operator, letter = gateway.client("betrieb"), await dead(gateway)
    await operator.post(f"/v1/dead-letters/{letter['id']}/close", json={"reason": "von Hand erfasst"})
    audit = shapes.Audit.model_validate((await operator.get("/v1/audit?limit=1000")).json())
    line = next(entry for entry in audit.entries if entry.event == "close")
    assert (line.actor, line.texts["reason"], line.delivery) == ("operator:betrieb", "von Hand erfasst", letter["id"])
    rest = (await operator.get(f"/v1/audit?after={audit.next}")).json()
    assert rest["entries"] == []
    own = (await operator.get(f"/v1/audit?submission={letter['submission']}")).json()["entries"]
    assert [entry["event"] for entry in own] == ["hold", "close"]


async def test_keys_are_given_out_once_and_revoked_at_once(gateway: House) -> None:
    operator = gateway.client("betrieb")
    order = {"holder": "nachbar", "scope": ["wohngeld"], "reason": "zweiter Schlüssel"}
    made = await operator.post("/v1/keys", json=order)
    assert made.status_code == 201, made.text
    key = shapes.NewKey.model_validate(made.json())
    listed = await operator.get("/v1/keys")
    shapes.Keys.model_validate(listed.json())
    assert key.key not in listed.text
    neighbour = gateway.client(None)
    neighbour.headers["authorization"] = f"Bearer {key.key}"
    assert [each["slug"] for each in (await neighbour.get("/v1/leistungen")).json()["leistungen"]] == ["wohngeld"]
    assert problem(await operator.post("/v1/keys", json=order), 409, "conflict")["code"] == "too-many-keys"
    gone = await operator.post(f"/v1/keys/{key.id}/revoke", json={"reason": "verloren"})
    assert shapes.Key.model_validate(gone.json()).revoked_at
    assert problem(await neighbour.get("/v1/leistungen"), 401, "not-authenticated")["code"] == "key-revoked"
    await gateway.gateway.keys.reload()
    problem(await neighbour.get("/v1/leistungen"), 401, "not-authenticated")
    problem(await operator.post("/v1/keys/unbekannt/revoke", json={"reason": "x"}), 404, "not-found")
    for wrong in ({"holder": "niemand"}, {"scope": []}, {"scope": ["gibt-es-nicht"]}, {"kind": "portal-certificate"}):
        problem(await operator.post("/v1/keys", json=order | wrong), 400, "bad-request")
    role = {"holder": "neu", "kind": "operator-key", "scope": ["viewer@stadt"], "reason": "Einarbeitung"}
    assert (await operator.post("/v1/keys", json=role)).status_code == 201
    problem(await operator.post("/v1/keys", json=role | {"scope": ["koenig"]}), 400, "bad-request")


async def test_a_used_key_that_was_revoked_meanwhile_stays_revoked(gateway: House) -> None:
    """The day of last use is written later; it must not bring the key back to life."""
    await gateway.client("nachbar").get("/v1/leistungen")
    operator = gateway.client("betrieb")
    key_id = next(each["id"] for each in (await operator.get("/v1/keys")).json()["keys"] if each["holder"] == "nachbar")
    await operator.post(f"/v1/keys/{key_id}/revoke", json={"reason": "verloren"})
    await gateway.gateway.keys.reload()
    stored = {each.id: each for each in await gateway.gateway.journal.credentials()}
    assert stored[key_id].revoked_at is not None
    problem(await gateway.client("nachbar").get("/v1/leistungen"), 401, "not-authenticated")


# --- on this machine, health, documentation -----------------------------------------------------------------------------


async def test_the_local_socket_is_for_its_owner_and_needs_no_key(gateway: House) -> None:
    path = gateway.gateway.settings.control_socket
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    letter = await dead(gateway)
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://local") as local:
        assert len((await local.get("/v1/dead-letters")).json()["dead_letters"]) == 1
        closed = await local.post(f"/v1/dead-letters/{letter['id']}/close", json={"reason": "x"})
        assert closed.status_code == 200, closed.text
        actors = [entry["actor"] for entry in (await local.get("/v1/audit?limit=1000")).json()["entries"]]
    assert actors[-1].startswith("operator:")
    assert actors[-1] != "operator:betrieb"


async def test_health_needs_no_key_and_says_what_is_wrong(gateway: House, monkeypatch: pytest.MonkeyPatch) -> None:
    anybody = gateway.client(None)
    assert (await anybody.get("/livez")).json() == {"status": "ok"}
    assert (await anybody.get("/readyz")).json() == {"status": "ok", "wrong": []}
    gateway.gateway.admission.stopping = True
    unready = await anybody.get("/readyz")
    assert unready.status_code == 503
    assert [each.code for each in shapes.Ready.model_validate(unready.json()).wrong] == ["stopping"]
    assert (await anybody.get("/livez")).status_code == 200


async def test_the_figures_tell_what_came_of_submissions_and_attempts(gateway: House) -> None:
    api = gateway.client("portal")
    receipt = (await api.post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    await gateway.settled(receipt["id"])
    await api.post("/v1/submissions", content=b"x", headers=XML)
    text = (await gateway.client(None).get("/metrics")).text
    assert 'nahtlos_submissions_total{leistung="hundesteuer",outcome="accepted"} 1.0' in text
    assert 'outcome="unreadable-document"} 1.0' in text
    assert 'nahtlos_oldest_undelivered_age_seconds{target="stadt-fach"} 0.0' in text
    delivered = await gateway.delivering.metrics.exposition()
    assert b'nahtlos_deliveries_total{outcome="acknowledged",target="stadt-fach"} 1.0' in delivered


async def test_the_documentation_needs_no_internet_and_no_script(gateway: House) -> None:
    page = await gateway.client(None).get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    for path in openapi.document(described())["paths"]:
        assert path in page.text
    assert page.text.index("<h2>Einreichungen") < page.text.index("<h2>Betrieb"), "a portal's developer reads first"
    assert "`" not in page.text.partition("<h2>Formen")[0]
    assert (await gateway.client(None).get("/openapi.json")).text == openapi.FILE.read_text(encoding="utf-8")


def test_the_committed_openapi_document_is_the_one_that_is_served() -> None:
    assert openapi.FILE.read_text(encoding="utf-8") == openapi.text(described()), "run: python -m gateway.http.openapi"


def test_every_operation_says_who_may_and_what_can_go_wrong() -> None:
    whole = openapi.document(described())
    assert whole["openapi"].startswith("3.1")
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            if path.startswith("/v1/"):
                assert "401" in operation["responses"], (method, path)
            references = json.dumps(operation)
            for name in [piece.partition('"')[0] for piece in references.split("#/components/schemas/")[1:]]:
                assert name in whole["components"]["schemas"], (method, path, name)


async def test_the_site_key_is_changed_while_everything_runs(gateway: House) -> None:
    receipt = (await gateway.client("portal").post("/v1/submissions", content=sample("minimal"), headers=XML)).json()
    await gateway.settled(receipt["id"])
    rotated = await gateway.client("betrieb").post("/v1/maintenance/keys/rotate", json={"reason": "jährlich"})
    assert rotated.status_code == 200, rotated.text
    assert shapes.Rotated.model_validate(rotated.json()).rewrapped >= 1
    assert await gateway.gateway.journal.body(receipt["id"], 0)
    lines = (await gateway.client("betrieb").get("/v1/audit?limit=1000")).json()["entries"]
    assert next(line["texts"] for line in lines if line["event"] == "site-key-rotated") == {"reason": "jährlich"}
    problem(await gateway.client("leser").post("/v1/maintenance/keys/rotate", json={"reason": "x"}), 403, "not-permitted")
