"""Alarms and dashboard ask for figures that a running gateway really shows, by labels that they really have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.http.problems import Kind
from gateway.submission import State
from tests.conftest import ROOT
from tests.deployments import RABBITMQ, Current
from tests.story.conftest import House, house, sample
from tests.unit.test_connector_tls import issue

Exposition = Mapping[str, frozenset[str]]
"""name of a series → names of its labels"""

SHOWING = """
[target.mit-zertifikat]
connector = "rest"
authority = "stadt"
options = {{ url = "https://127.0.0.1:1", client_certificate = "{certificate}", client_key = "{key}" }}
"""

BY_PROMETHEUS = frozenset(("job", "instance"))
WORDS = {
    "state": {state.value for state in State},
    "outcome": {kind.slug for kind in Kind} | {"accepted", "held", "replayed", "client-gone"},
}
_SERIES = re.compile(r"\b(nahtlos_\w+|process_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|=|!=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


def questions() -> Iterator[tuple[str, str]]:
    """Where it stands, what it asks."""
    for group in yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/nahtlos.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield variable["name"], re.sub(r"label_values\((\w+), (\w+)\)", r"max by (\2) (\1)", variable["query"]["query"])


async def scraped(up: House) -> str:
    answer = await up.client(None).get("/metrics")
    assert answer.status_code == 200
    return answer.text


async def busy(up: House) -> str:
    """One submission delivered, one refused by the case system, one refused by us; then the figures."""
    portal = up.client("portal")
    taken = await portal.post("/v1/submissions", content=sample("minimal"), headers={"content-type": "application/xml"})
    await up.settled(taken.json()["id"])
    up.city.faults.set(["400:Aktenplan fehlt"])
    refused = await portal.post("/v1/submissions", content=sample("minimal"), headers={"content-type": "application/xml"})
    await up.settled(refused.json()["id"], state="needs_attention")
    invalid = await portal.post("/v1/submissions", content=sample("broken-iban"), headers={"content-type": "application/xml"})
    assert invalid.status_code == 422
    return await scraped(up)


def labels_of(text: str) -> Exposition:
    found: dict[str, frozenset[str]] = {"up": frozenset()}
    for family in text_string_to_metric_families(text):
        for series in family.samples:
            found[series.name] = found.get(series.name, frozenset()) | set(series.labels)
    return found


async def test_every_question_is_one_that_a_gateway_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process that does everything, and of one that has RabbitMQ."""
    client = issue(tmp_path, "client")
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    async with house(tmp_path / "one", more=SHOWING.format(certificate=client.certificate, key=client.key)) as one:
        text = await busy(one)
    monkeypatch.setattr(Current, "deployment", RABBITMQ)
    async with house(tmp_path / "many") as many:
        exposition = labels_of(text + await scraped(many))

    assert [fault for where, asked in questions() for fault in faults_of(where, asked, exposition)] == []


def faults_of(where: str, asked: str, exposition: Exposition) -> Iterator[str]:
    series = _SERIES.findall(asked)
    if not series:
        yield f"{where}: asks for nothing of ours"
    known = set(BY_PROMETHEUS)
    for name, matchers in series:
        if name not in exposition:
            yield f"{where}: no gateway shows {name}"
            continue
        known |= exposition[name]
        for label, _, value in _MATCHER.findall(matchers):
            if label not in exposition[name] | BY_PROMETHEUS:
                yield f"{where}: {name} has no label {label}"
            if label in WORDS and not set(value.split("|")) <= WORDS[label]:
                yield f"{where}: {label} is never {value}"
    for labels in _GROUPING.findall(asked):
        for label in (each.strip() for each in labels.split(",")):
            if label not in known:
                yield f"{where}: nothing asked for has a label {label}"


@pytest.mark.parametrize(("asked", "fault"), [
    ("max(nahtlos_never_shown)", "no gateway shows nahtlos_never_shown"),
    ('nahtlos_deliveries{aim="x"}', "nahtlos_deliveries has no label aim"),
    ('nahtlos_deliveries{state="lost"}', "state is never lost"),
    ("sum by (portal) (nahtlos_deliveries)", "nothing asked for has a label portal"),
    ("vector(1)", "asks for nothing of ours"),
])
def test_a_question_that_nobody_answers_is_noticed(asked: str, fault: str) -> None:
    exposition = {"nahtlos_deliveries": frozenset(("target", "state"))}
    assert list(faults_of("here", asked, exposition)) == [f"here: {fault}"]
