"""Every official release beside the project is added as it is, and its messages get the verdicts that are written down.

The table set × engine × stage is made here and compared with ``xoev_verdicts.json``. To write it anew after looking at the
difference: ``NAHTLOS_WRITE_VERDICTS=1 pytest tests/unit/test_releases_corpus.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
import xmlschema

from gateway import releases
from gateway.checks import stages
from gateway.checks.secondengine import compiled_from, write_texts
from gateway.checks.steps import run_steps
from gateway.document import read
from gateway.findings import Unacceptable
from gateway.packages.package import Package
from gateway.releases import Added, Refused
from gateway.rules.saxon import Saxon
from gateway.schemas import Registry
from tests.bench.examples import examples
from tests.conftest import corpus
from tests.security.hostile import HOSTILE, Case, cases
from tests.unit.minirelease import Shelf

EXPECTED = Path(__file__).with_name("xoev_verdicts.json")
SETS = ("_library", "xbildung-1.2", "xbau-kernmodul-1.3.0", "xbau-2.6", "xdomea-2.4.0", "xdomea-3.0.0", "xschule-1.2",
        "xhochschule", "xjustiz-3.5.1", "genericode-1.0")
SLOW_ENGINE_BYTES = 60_000

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("xoev"))


@pytest.fixture(scope="module")
def added(shelf: Shelf) -> dict[str, Added]:
    """Unmodified, in the order in which they need each other."""
    return {name: shelf.add_path(corpus("xoev") / name)[0] for name in SETS}


@pytest.fixture(scope="module")
def registry(shelf: Shelf, added: dict[str, Added]) -> Registry:
    return Registry.load(shelf.root)


def test_every_set_is_added_unmodified_and_judged_as_written_down(added: dict[str, Added], registry: Registry) -> None:
    engine = Saxon(deadline=30)
    try:
        table = {name: _row(name, one, registry, engine) for name, one in added.items()}
    finally:
        engine.close()
    if os.environ.get("NAHTLOS_WRITE_VERDICTS"):
        EXPECTED.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert table == json.loads(EXPECTED.read_text(encoding="utf-8"))


def test_what_is_stored_is_what_was_published(added: dict[str, Added]) -> None:
    for name, one in added.items():
        stored = [path for path in (one.folder / "release").rglob("*") if path.is_file()]
        assert stored
        for path in stored:
            assert path.read_bytes() == (corpus("xoev") / name / path.relative_to(one.folder / "release")).read_bytes()
    assert all(not checked.faults and not checked.edited for checked in releases.check(added["xbau-2.6"].folder.parent))


def test_the_layout_with_addresses_of_the_web_is_the_same_standard(shelf: Shelf, added: dict[str, Added], tmp_path: Path) -> None:
    """XBau is published twice, for the web and for local use; both hold the same messages."""
    second = Shelf(tmp_path)
    for name in ("_library", "xbau-kernmodul-1.3.0"):
        second.add_path(corpus("xoev") / name)
    (web,) = second.add_path(corpus("xoev") / "xbau-2.6", entry="xsd/xsd")
    assert len(web.imports) == 9
    assert web.messages == added["xbau-2.6"].messages


def test_a_standard_without_what_it_imports_names_every_missing_address(tmp_path: Path) -> None:
    refused = Shelf(tmp_path).refusal(corpus("xoev") / "xhochschule")
    assert all("steht nicht im Katalog" in fault.de for fault in refused.faults)
    assert "http://xbildung.de/def/xbildung/1.2/xsd/xbildung-baukasten.xsd" in str(refused)


def test_an_unknown_version_names_the_known_one(registry: Registry) -> None:
    for path in _instances("xschule-1.2"):
        if "V0.3" in path.parts:
            with pytest.raises(Unacceptable) as unknown:
                registry.detect(read(path.read_bytes()))
            assert unknown.value.findings[0].expected == ("xschule@1.2",)


def test_every_message_of_every_standard_is_detected_read_and_found_valid(added: dict[str, Added], registry: Registry) -> None:
    """One made of what is required, for each root element: most standards publish examples of a few at most."""
    for one in added.values():
        if (package := registry.packages.get(one.id)) is None:
            continue
        second, names = _second_engine(package), set[str]()
        for body in examples(second, richness=0):
            document = read(body)
            assert registry.detect(document).id == package.id
            assert not run_steps(document, package.schema, {**package.stages, "ids": "off"}).findings, document.name
            assert second.is_valid(document.root, use_location_hints=False), document.name
            header = package.header_of(document)
            if package.family in ("A", "E"):
                assert header.uuid, document.name
            if package.family in ("A", "D"):
                assert header.code, document.name
            names.add(document.name)
        assert names == set(package.roots)


def test_all_sets_are_loaded_quickly_and_in_little_memory(shelf: Shelf, added: dict[str, Added]) -> None:
    """In a process of its own, and in processor time, because the machine may be busy."""
    said = subprocess.run([sys.executable, "-c", MEASURE, str(shelf.root)], capture_output=True, text=True, check=True)
    packages, seconds, grown = map(float, said.stdout.split())
    print(f"{packages:.0f} packages: {seconds:.2f} s of processor time, {grown:.0f} MiB")
    assert packages == 8
    assert seconds < 4
    assert grown < 150


MEASURE = """
import sys, time
from pathlib import Path
import psutil
from gateway.schemas import Registry

process = psutil.Process()
before, began = process.memory_info().rss, time.process_time()
packages = len(Registry.load(Path(sys.argv[1])).packages)
print(packages, time.process_time() - began, (process.memory_info().rss - before) / 2**20)
"""

HOSTILE_RELEASES = [case for case in cases() if case.kind == "schema-upload" or case.family == "zip"]


@pytest.mark.parametrize("case", HOSTILE_RELEASES, ids=lambda case: case.name)
def test_a_hostile_release_is_refused_or_harmless(case: Case, tmp_path: Path) -> None:
    children = psutil.Process().cpu_times()
    shelf = Shelf(tmp_path)
    path = HOSTILE / str(case.given["file"])
    if case.outcome == "reject":
        assert shelf.refusal(path).faults
    else:
        try:
            shelf.add_path(path)
        except Refused:
            assert shelf.contents() == {}
    now = psutil.Process().cpu_times()
    assert now.user + now.children_user - children.user - children.children_user < float(case.expect["max_seconds"]) + 2


# --- the table -----------------------------------------------------------------------------------------------------------


def _row(name: str, one: Added, registry: Registry, engine: Saxon) -> dict[str, Any]:
    row: dict[str, Any] = {
        "package": one.id, "kind": one.kind, "family": one.family, "messages": len(one.messages), "imports": len(one.imports),
        "header": sorted(one.header), "codelists": one.lists, "codes": one.places, "rules": one.rules.assertions,
        "remarks": sorted({remark.rule for remark in one.remarks}), "warnings": len(one.warnings),
    }
    package = registry.packages.get(one.id)
    if package is None or not (instances := _instances(name)):
        return row
    counted: dict[str, Counter[str]] = {stage: Counter() for stage in ("lxml", "xmlschema", "ids", "codes", "rules")}
    second = _second_engine(package)
    for path in instances:
        try:
            document = read(path.read_bytes())
            assert registry.detect(document).id == one.id
        except Unacceptable as refused:
            for stage in counted:
                counted[stage][refused.findings[0].rule] += 1
            continue
        outcome = run_steps(document, package.schema, {**package.stages, "ids": "off", "base64": "off"})
        counted["lxml"][_word(outcome.findings)] += 1
        if len(document.body) <= SLOW_ENGINE_BYTES:
            counted["xmlschema"]["valid" if second.is_valid(document.root, use_location_hints=False) else "invalid"] += 1
        counted["ids"][_word(run_steps(document, package.schema, package.stages).findings)] += 1
        counted["codes"][_word(stages.check(document, package, None).findings)] += 1
        counted["rules"][_word(stages.check_rules(document, package, engine).findings)] += 1
    return {**row, "instances": len(instances), "verdicts": {stage: dict(sorted(one.items())) for stage, one in counted.items()}}


def _word(findings: tuple[Any, ...]) -> str:
    return "valid" if not findings else f"{findings[0].severity}: {findings[0].rule}"


def _second_engine(package: Package) -> xmlschema.XMLSchema10:
    with tempfile.TemporaryDirectory() as folder:
        write_texts(package.schema.files, Path(folder))
        return compiled_from(Path(folder), package.schema.files.entry, package.schema.files.namespace)


def _instances(name: str) -> list[Path]:
    if name == "genericode-1.0":
        return sorted(corpus("xoev").glob("*/codelists/*.xml"))
    return sorted((corpus("xoev") / name).glob("instances/**/*.xml"))
