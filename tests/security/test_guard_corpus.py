"""Every body of the hostile corpus at function level: the guarded read, detection and validation, as intake uses them.

The same cases go through the real HTTP endpoint elsewhere; what only the transport can refuse (a Content-Encoding, a
multipart envelope) is refused there.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.findings import Finding, Unacceptable
from gateway.schemas import PackageFaults, Registry
from gateway.validation import Inspection, Inspector
from gateway.xml.limits import Limits
from tests.security.hostile import Case, assumptions, body_of, cases, chunks_of, schema_of

# One address and one file of the manifest for all of them: in one process, one after the other.
pytestmark = [pytest.mark.corpus, pytest.mark.xdist_group("canary")]

BODIES = [case for case in cases("body") if "Content-Encoding" not in case.headers and case.charset in (None, "utf-8")]
"""All but what HTTP refuses by its headers."""
MIB = 1024 * 1024


class Peak:
    """Growth of this process's resident memory at its highest, in MiB, while the block runs."""

    def __enter__(self) -> Peak:
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.mib = (_status("VmHWM") - self._before) / 1024


def _status(name: str) -> int:
    return int(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)))


@pytest.fixture(scope="module")
def inspectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Inspector]]:
    made = {}
    for schema in {case.schema for case in cases("body")}:
        assert schema is not None
        root = tmp_path_factory.mktemp("site")
        case = next(case for case in cases("body") if case.schema == schema)
        _package(root, schema_of(case), header='uuid = "kopf/id"')
        made[schema] = Inspector(Registry.load(root))
    yield made
    for inspector in made.values():
        asyncio.run(inspector.aclose())


def _package(root: Path, xsd: Path, *, header: str = "") -> None:
    folder = root / "packages" / "probe"
    folder.mkdir(parents=True)
    shutil.copy(xsd, folder / "probe.xsd")
    (folder / "manifest.toml").write_text(
        f'name = "probe"\nversion = "1"\nnamespace = ""\nentry = ["probe.xsd"]\n[header]\n{header}\n'
    )


async def _inspected(inspector: Inspector, body: bytes, case: Case) -> Inspection | tuple[int, tuple[Finding, ...]]:
    try:
        inspection = await inspector.inspect(body)
    except Unacceptable as refusal:
        return refusal.status, refusal.findings
    return inspection if inspection.report.valid else (422, inspection.report.findings)


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case.name)
async def test_the_body_gets_what_the_manifest_expects(
    case: Case, inspectors: dict[str, Inspector], canary: list[str]
) -> None:
    inspector, body = inspectors[case.schema or ""], body_of(case)
    assert case.size == len(body)
    began = time.process_time()  # of all threads; the machine may have others to work for
    with Peak() as peak:
        result = await _inspected(inspector, body, case)
    seconds = time.process_time() - began

    if isinstance(result, Inspection):
        assert case.outcome != "reject", "must not be taken"
        assert result.document.body is body, "the received bytes stay untouched"
        notes = str(case.given.get("notes") or "")
        if case.outcome == "accept-complete-or-reject":
            effective = notes.removeprefix("effective value: ")
            assert effective in [" ".join((node.text or "").split()) for node in result.document.root.iter()]
    else:
        status, findings = result
        assert case.outcome not in ("accept", "accept-inert"), findings
        assert status in case.statuses
        assert 1 <= len(findings) <= 50
        said = repr(findings)
        assert len(said) < 50_000, "the answer is bounded"
        for canary_text in case.expect.get("response_must_not_contain", ()):
            assert canary_text not in said
    assert not canary, "something went out"
    assert seconds < case.expect["max_seconds"]
    assert peak.mib < case.expect["max_rss_growth_mib"]


@pytest.mark.parametrize(
    "case", [case for case in BODIES if case.outcome == "reject" and (case.size or 0) <= 1 * MIB], ids=lambda case: case.name
)
async def test_a_good_message_right_after_it_is_still_taken(case: Case, inspectors: dict[str, Inspector]) -> None:
    good = next(case for case in BODIES if case.name == "control-ok")
    inspector = inspectors["antrag.xsd"]
    await _inspected(inspector, body_of(case), case)
    began = time.process_time()
    assert isinstance(await _inspected(inspector, body_of(good), good), Inspection)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("case", cases("schema-upload"), ids=lambda case: case.name)
def test_a_hostile_schema_is_refused_with_a_reason_and_nothing_is_fetched(
    case: Case, tmp_path: Path, canary: list[str]
) -> None:
    xsd = tmp_path / "given.xsd"
    xsd.write_bytes(body_of(case))
    _package(tmp_path / "site", xsd)
    began = time.process_time()
    with Peak() as peak:
        try:
            Registry.load(tmp_path / "site")
            faults = None
        except PackageFaults as refusal:
            faults = refusal.faults
    if case.outcome == "reject":
        assert faults, "must not be taken"
    for fault in faults or ():
        assert "probe.xsd:" in str(fault)
        assert assumptions()["canary_file_content"] not in str(fault)
        assert "root:x:0" not in str(fault)
    assert not canary, "something went out"
    assert time.process_time() - began < case.expect["max_seconds"]
    assert peak.mib < case.expect["max_rss_growth_mib"]


def test_the_generator_makes_the_bytes_that_the_manifest_counts() -> None:
    for case in cases("body", "schema-upload"):
        if case.size is not None and "transform" not in case.given.get("generator", {}) and case.size < 2 * MIB:
            assert len(body_of(case)) == case.size, case.name


def test_a_gigabyte_in_disguise_is_made_without_a_gigabyte() -> None:
    case = next(case for case in cases("body") if case.name == "gzip-double")
    with Peak() as peak:
        assert sum(map(len, chunks_of(case))) < 4096
    assert peak.mib < 64


def test_the_limit_of_the_manifest_is_ours() -> None:
    assert assumptions()["max_body_bytes"] == Limits().bytes
