"""The rule engine: deadlines, crashes, many threads, and a start without it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from gateway.rules import saxon
from gateway.rules.saxon import RulesUnavailable, Saxon, SaxonMissing, Why
from gateway.rules.schematron import check
from gateway.rules.stylesheet import write
from tests.unit.schematrons import AGE, NAMES, found, message, pattern, ready


@pytest.fixture(scope="module")
def engine() -> Iterator[Saxon]:
    one = Saxon(deadline=5)
    yield one
    one.close()


ENDLESS = pattern(
    '<sch:rule context="h:antrag"><sch:assert id="a" test="every $x in 1 to 2000000000 satisfies $x ge number(h:hund)">x'
    "</sch:assert></sch:rule>"
)


def test_a_rule_that_takes_too_long_is_ended_and_the_next_message_is_judged(tmp_path: Path) -> None:
    one = Saxon(deadline=1.0)
    try:
        endless = ready(tmp_path, ENDLESS, one)
        began = monotonic()
        with pytest.raises(RulesUnavailable) as error:
            check(message("<hund>0</hund>"), endless, one, names=NAMES)
        assert error.value.why is Why.DEADLINE
        assert monotonic() - began < 5
        young = message("<hund><alter>-1</alter></hund>")
        assert found(young, ready(tmp_path, AGE, one), one) == [("schematron:alter", "/antrag/hund")]
    finally:
        one.close()


def test_a_child_that_dies_is_replaced(tmp_path: Path) -> None:
    one = Saxon()
    try:
        rules = ready(tmp_path, AGE, one)
        document = message("<hund><alter>-1</alter></hund>")
        assert len(found(document, rules, one)) == 1
        child = one._all[0]
        assert child._process is not None
        child._process.kill()
        child._process.wait()
        assert len(found(document, rules, one)) == 1
    finally:
        one.close()


def test_many_threads_share_a_few_children(tmp_path: Path) -> None:
    one = Saxon(children=2)
    try:
        rules = ready(tmp_path, AGE, one)
        counts: list[int] = []

        def work(bad: int) -> None:
            for _ in range(5):
                document = message("<hund><alter>-1</alter></hund>" * bad)
                counts.append(len(found(document, rules, one)) - bad)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [0] * 30
    finally:
        one.close()


def test_a_message_larger_than_a_pipe_gets_through(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, AGE, engine)
    document = message(f"<brief>{'A' * 3_000_000}</brief><hund><alter>-1</alter></hund>")
    assert found(document, rules, engine) == [("schematron:alter", "/antrag/hund")]


def test_more_stylesheets_than_a_child_keeps_are_no_trouble(tmp_path: Path, engine: Saxon) -> None:
    rules = ready(tmp_path, AGE, engine)
    for number in range(140):
        text = write(rules.schematron, rules.schematron.patterns, most=number + 1).text
        assert engine.judge(text, b'<antrag xmlns="urn:hund"><hund><alter>-1</alter></hund></antrag>') == [
            (1, "/Q{urn:hund}antrag[1]/Q{urn:hund}hund[1]")]


def test_without_the_engine_nothing_is_judged_and_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saxon, "is_installed", lambda: False)
    told = SaxonMissing(["xbau@2.6", "a@1"])
    assert "a@1, xbau@2.6" in told.de
    assert "pip install 'nahtlos[schematron]'" in told.de
    with pytest.raises(RulesUnavailable) as unavailable:
        Saxon().judge("<x/>", b"<a/>")
    assert unavailable.value.why is Why.MISSING
