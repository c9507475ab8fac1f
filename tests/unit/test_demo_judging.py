"""The judge of the demo, fed with what must never happen: each crime is found, and a clean run is called clean."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.demo.judging import Answer, Case, cases_of, copies_of, judge
from gateway.demo.posting import Expected, Post, programme
from gateway.demo.town import NAMES, PLACES, TROUBLED
from gateway.planning import shipped_schemas

AT = "2026-03-02T08:00:00.000001Z"


def post(no: int, expected: Expected = Expected.DELIVERED, **more: object) -> Post:
    return replace(Post(no, "wohngeld", f"{no}.xml", b"<a>%d</a>" % no, expected, key=f"k{no}"), **more)  # type: ignore[arg-type]


def accepted(what: Post, *deliveries: str, submission: str = "") -> Answer:
    said = {
        "id": submission or f"s{what.no}", "reference": f"R{what.no}", "received_at": AT,
        "deliveries": [{"id": each, "purpose": "case"} for each in deliveries or (f"d{what.no}",)],
    }  # fmt: skip
    return Answer(what, 202, said)


def case(what: Post, delivery: str = "", number: str | None = None, **more: str) -> Case:
    made = Case(
        "fach", delivery or f"d{what.no}", number or f"N{what.no}", f"R{what.no}", hashlib.sha256(what.body).hexdigest(), AT,
        "wohngeld",
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


FIRST, SECOND = post(1), post(2)
CLEAN = [accepted(FIRST), accepted(SECOND)]


def test_a_clean_run_is_called_clean() -> None:
    verdict = judge(CLEAN, [case(FIRST), case(SECOND)], set(), final=True)
    assert verdict.kept
    assert (verdict.sent, verdict.accepted, verdict.delivered, verdict.dead) == (2, 2, 2, 0)


def test_an_acknowledged_submission_without_a_case_is_lost() -> None:
    verdict = judge(CLEAN, [case(FIRST)], set())
    assert verdict.lost == ("wohngeld/2.xml: R2",)
    assert not verdict.kept


def test_one_that_a_person_sees_is_not_lost_but_at_the_end_it_must_have_been_expected() -> None:
    assert judge(CLEAN, [case(FIRST)], {"d2"}).kept
    assert judge(CLEAN, [case(FIRST)], {"d2"}).dead == 1
    assert judge(CLEAN, [case(FIRST)], {"d2"}, final=True).unexpected == ("wohngeld/2.xml: noch Klärfall",)
    held = accepted(post(2, Expected.HELD))
    assert judge([CLEAN[0], held], [case(FIRST)], {"d2"}, final=True).kept
    assert not judge([CLEAN[0], held], [case(FIRST), case(SECOND)], set(), final=True).kept


def test_a_copy_that_is_missing_is_lost_unless_its_case_waits_too() -> None:
    with_copy = accepted(FIRST, "d1", "d1-copy")
    assert judge([with_copy], [case(FIRST)], set()).lost
    assert not judge([with_copy], [], {"d1"}).lost


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(case(FIRST, number="N1b"), id="two numbers for one delivery"),
        pytest.param(case(FIRST, delivery="d9"), id="one reference under two deliveries"),
        pytest.param(case(FIRST, delivery="d9", reference="R9"), id="the same bytes under two references"),
        pytest.param(case(post(9)), id="a case that nobody submitted"),
    ],
)
def test_a_case_too_many_is_found(second: Case) -> None:
    verdict = judge([CLEAN[0]], [case(FIRST), second], set())
    assert verdict.doubled
    assert not verdict.kept


def test_a_repeat_must_get_the_same_receipt() -> None:
    again = post(3, Expected.SAME, again=1)
    same = judge([*CLEAN, accepted(again, "d1", submission="s1")], [case(FIRST), case(SECOND)], set(), final=True)
    assert same.kept
    assert (same.accepted, same.repeated) == (2, 1)
    assert judge([*CLEAN, accepted(again, submission="s3")], [case(FIRST), case(SECOND)], set()).doubled


def test_two_posts_must_not_share_a_receipt() -> None:
    assert judge([accepted(FIRST), accepted(SECOND, "d1", submission="s1")], [case(FIRST)], set()).lost


def test_other_bytes_another_time_or_no_case_number_with_a_copy_are_changes() -> None:
    assert judge(CLEAN[:1], [case(FIRST, digest="00")], set()).changed == ("wohngeld/1.xml: fach bekam anderen Inhalt",)
    later = case(FIRST, received_at="2026-03-02T08:00:00.000002Z")
    assert judge(CLEAN[:1], [later], set()).changed == ("wohngeld/1.xml: fach bekam eine andere Eingangszeit",)
    with_copy = accepted(FIRST, "d1", "d1-copy")
    copy = replace(case(FIRST, delivery="d1-copy"), target="e-akte", number=None)
    assert judge([with_copy], [case(FIRST), copy], set()).changed == ("wohngeld/1.xml: e-akte kennt das Aktenzeichen nicht",)
    assert judge([with_copy], [case(FIRST), replace(copy, predecessor="N1")], set()).kept


def test_an_answer_that_was_not_to_be_expected_is_said() -> None:
    refused = Answer(FIRST, 422, {"type": "urn:nahtlos:problem:no-route"})
    assert judge([refused], [], set()).unexpected == ("wohngeld/1.xml: 422 urn:nahtlos:problem:no-route",)
    assert judge([accepted(post(1, Expected.REFUSED))], [case(FIRST)], set()).unexpected


def test_registers_are_read_to_the_last_whole_line(tmp_path: Path) -> None:
    entry = {"delivery_id": "d", "case_number": "N", "reference": "R", "digest": "00", "received_at": AT, "leistung": "wohngeld"}
    (tmp_path / "cases.jsonl").write_text(json.dumps(entry) + "\n" + json.dumps(entry)[:20])
    assert [each.number for each in cases_of(tmp_path / "cases.jsonl", "fach")] == ["N"]
    assert list(cases_of(tmp_path / "none.jsonl", "fach")) == []


def test_a_copy_counts_once_its_message_is_there(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    manifest = {"delivery_id": "d", "reference": "R", "received_at": AT, "leistung": "wohngeld", "predecessor": "N"}
    (tmp_path / "d" / "manifest.json").write_text(json.dumps(manifest))
    assert list(copies_of(tmp_path, "e-akte")) == []
    (tmp_path / "d.xml").write_bytes(b"<a/>")
    assert [each.predecessor for each in copies_of(tmp_path, "e-akte")] == ["N"]


def test_the_programme_sends_every_shipped_sample_and_spares_the_breaker() -> None:
    posts = programme(shipped_schemas())
    samples = Counter(path.parts[-3] for path in shipped_schemas().glob("leistungen/*/samples/*.xml") if path.parts[-3] in NAMES)
    mine = {"abgeschnitten.xml", "falscher-ort.xml", "anderer-inhalt.xml"}
    sent = Counter(p.leistung for p in posts if p.expected is not Expected.SAME and p.label not in mine)
    assert sent == samples
    assert [p.no for p in posts] == list(range(len(posts)))
    keys = [p.key for p in posts if p.key and p.expected is not Expected.SAME and p.label != "anderer-inhalt.xml"]
    assert len(set(keys)) == len(keys)
    troubled = [p for p in posts if p.leistung == TROUBLED and p.expected is Expected.DELIVERED]
    in_the_city = [p for p in troubled if PLACES[TROUBLED][1].encode() in p.body or PLACES[TROUBLED][1] in p.query]
    assert 1 <= len(in_the_city) < 5  # five equal refusals in a row would open the breaker


def test_more_posts_are_new_messages_with_keys_of_their_own() -> None:
    posts, more = programme(shipped_schemas()), programme(shipped_schemas(), more=50)
    assert len(more) == len(posts) + 50
    bodies = Counter(p.body for p in more if p.expected is Expected.DELIVERED)
    assert max(bodies.values()) == 1
