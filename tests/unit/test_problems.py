from __future__ import annotations

import json

import pytest

from gateway.findings import Finding
from gateway.http.problems import Kind, Problem, bare, kind_of, language_of, render


def test_a_problem_speaks_both_languages_and_leads_with_the_one_asked_for() -> None:
    problem = Problem(Kind.UNREADABLE, de="Kaputt.", en="Broken.")
    german = json.loads(render(problem, language="de", request_id="7")[2])
    english = json.loads(render(problem, language="en", request_id="7")[2])
    assert (german["title"], german["detail"]) == (Kind.UNREADABLE.de, "Kaputt.")
    assert (english["title"], english["detail"]) == (Kind.UNREADABLE.en, "Broken.")
    for said in (german, english):
        assert said["type"] == "urn:nahtlos:problem:unreadable-document"
        assert (said["detail_de"], said["detail_en"], said["instance"]) == ("Kaputt.", "Broken.", "urn:nahtlos:request:7")


def test_every_kind_has_its_own_slug_and_both_titles() -> None:
    assert len({kind.slug for kind in Kind}) == len(list(Kind))
    for kind in Kind:
        assert kind.de.endswith(".")
        assert kind.en.endswith(".")
        assert 400 <= kind.status < 600


def test_findings_are_all_there_and_unknown_places_are_left_out() -> None:
    findings = [Finding("X1", "r", "de", "en", line=3, column=4, path="/a/b", expected=("x",)), Finding("T1", "q", "d", "e")]
    said = json.loads(render(Problem(Kind.INVALID, findings=findings), language="de", request_id="1")[2])["findings"]
    assert said[0] == {
        "code": "X1", "rule": "r", "severity": "error", "de": "de", "en": "en", "line": 3, "column": 4, "path": "/a/b",
        "expected": ["x"],
    }
    assert "line" not in said[1]


def test_headers_say_when_to_come_back_and_how_to_log_in() -> None:
    assert (b"retry-after", b"5") in render(Problem(Kind.UNAVAILABLE, retry_after=5), language="de", request_id="1")[1]
    _, headers, _ = render(Problem(Kind.NOT_AUTHENTICATED), language="de", request_id="1")
    assert (b"www-authenticate", b'Bearer realm="nahtlos"') in headers
    assert (b"connection", b"close") in bare(408)[0]


def test_a_status_without_its_own_words_is_an_internal_error() -> None:
    assert kind_of(405) is Kind.METHOD
    assert kind_of(418) is Kind.INTERNAL


@pytest.mark.parametrize(("asked", "answered"), [
    (None, "de"), ("en", "en"), ("en-GB,de;q=0.5", "en"), ("de-AT,en", "de"), ("fr", "de"), ("en;q=0.1, de;q=0.2", "de"),
    ("en;q=x", "de"), ("*", "de"), ("fr, en;q=0.3", "en"), ("," * 9999 + "en", "de"),
])
def test_the_language_is_the_one_that_weighs_more(asked: str | None, answered: str) -> None:
    assert language_of([(b"accept-language", asked.encode())] if asked is not None else []) == answered
