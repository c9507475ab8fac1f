"""What every schema set beside the project costs: to load, and per message and stage. Part of ``make bench``; alone
``python -m tests.bench.sets``.

The sets are installed as they were downloaded. Messages are the examples of the standard; where it has none, they are made
from its schema. Microseconds, the fastest of some runs, and beside them the ratio to a bare lxml parse and XSD validation of the
same messages between the same runs.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean

from lxml import etree
from rich.console import Console
from rich.table import Table

from gateway.checks.references import dangling_references
from gateway.checks.secondengine import compiled_from, write_texts
from gateway.checks.steps import run_steps
from gateway.document import Document, read
from gateway.findings import Unacceptable
from gateway.packages.compiled import _compile
from gateway.packages.package import Package
from gateway.rules import attachments, characters, codelists, schematron
from gateway.rules.characters import CharacterRules
from gateway.rules.din91379 import DataType
from gateway.rules.saxon import Saxon, is_installed
from gateway.schemas import Registry
from tests.bench.examples import examples
from tests.conftest import ROOT, corpus
from tests.unit.minirelease import Shelf

SETS = ("_library", "genericode-1.0", "xbau-kernmodul-1.3.0", "xbau-2.6", "xbildung-1.2", "xschule-1.2", "xhochschule",
        "xdomea-2.4.0", "xdomea-3.0.0", "xjustiz-3.5.1")
AGS = "urn:de:bund:destatis:bevoelkerungsstatistik:schluessel:ags"
AGS_FILE = "urn-de-bund-destatis-bevoelkerungsstatistik-schluessel-ags_2026-06-30.xml"
MOST_MESSAGES = 24
RUNS = 25


@dataclass(slots=True)
class Figures:
    """sets: name → stage → µs per message; "ratio" and "worst" are ratios of all that every message goes through. load:
    what a process that has just loaded all sets says of itself. keys: of the list of 2.9 MB, by way."""

    sets: dict[str, dict[str, float]] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    load: Mapping[str, float] = field(default_factory=dict)
    keys: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def are_there() -> bool:
    return all((corpus("xoev") / name).is_dir() for name in SETS)


def measured(say: Callable[[str], None]) -> Figures:
    """say: hears how far it is."""
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="nahtlos-bench-") as scratch:
        shelf = Shelf(Path(scratch))
        packages = {}
        for name in SETS:
            began = time.perf_counter()
            [packages[name]] = [one.id for one in shelf.add_path(corpus("xoev") / name)]
            say(f"  {name} added in {time.perf_counter() - began:.1f} s")
        figures.load = _in_a_process(_LOAD, shelf.root)
        registry, engine = Registry.load(shelf.root), Saxon(deadline=60)
        try:
            for name, package_id in packages.items():
                if (package := registry.packages.get(package_id)) is None:
                    continue  # a library: no messages
                bodies, made = _messages(name, package, registry)
                figures.sets[name] = _of(bodies, package, registry, engine)
                figures.made |= {name} if made else set()
                say(f"  {name}: {len(bodies)} messages, {figures.sets[name]['ratio']:.2f} × bare")
        finally:
            engine.close()
        source = corpus("xoev") / "xbau-2.6" / "codelists" / AGS_FILE
        prepared = shelf.packages / "xbau-2.6" / "knowledge" / "codelists"
        figures.keys = {"from Genericode": _in_a_process(_FROM_SOURCE, source), "prepared": _in_a_process(_PREPARED, prepared)}
    return figures


# --- messages ------------------------------------------------------------------------------------------------------------


def _messages(name: str, package: Package, registry: Registry) -> tuple[list[bytes], bool]:
    """Valid ones, at most so many, large and small; and whether they had to be made."""
    pattern = "*/codelists/*.xml" if name.startswith("genericode") else f"{name}/instances/**/*.xml"
    published = sorted(corpus("xoev").glob(pattern), key=lambda path: path.stat().st_size)
    bodies = [body for body in (path.read_bytes() for path in published) if _is_valid(body, package, registry)]
    made = not bodies
    if made:
        bodies = sorted((body for body in _made(package) if _is_valid(body, package, registry)), key=len)
    step = max(1, len(bodies) // MOST_MESSAGES)
    return bodies[step // 2::step], made


def _made(package: Package) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_texts(package.schema.files, Path(folder))
        yield from examples(compiled_from(Path(folder), package.schema.files.entry, package.namespace))


def _is_valid(body: bytes, package: Package, registry: Registry) -> bool:
    try:
        document = read(body)
        return registry.detect(document).id == package.id and package.schema.check(document).valid
    except Unacceptable:
        return False


# --- stages --------------------------------------------------------------------------------------------------------------


def _of(bodies: list[bytes], package: Package, registry: Registry, engine: Saxon) -> dict[str, float]:
    bare_schema, bare_parser = _compile(package.schema.files, package.schema.files.texts), etree.XMLParser(huge_tree=True)

    def bare(body: bytes) -> object:
        return bare_schema.validate(etree.fromstring(body, bare_parser))

    def ours(body: bytes) -> object:
        document = read(body)
        found = registry.detect(document)
        return run_steps(document, found.schema, found.stages)

    rows = []
    gc.collect()
    gc.disable()
    for body in bodies:
        document = read(body)
        row = _best({"bare": partial(bare, body), "all": partial(ours, body)})
        row |= _best({stage: partial(work, document) for stage, work in _stages(package, registry, engine).items()})
        rows.append(row)
    gc.enable()
    said = {stage: mean(row[stage] for row in rows) for stage in rows[0]}
    ratios = [row["all"] / row["bare"] for row in rows]
    return {"bytes": mean(map(len, bodies)), **said, "ratio": mean(ratios), "worst": max(ratios)}


def _stages(package: Package, registry: Registry, engine: Saxon) -> dict[str, Callable[[Document], object]]:
    schema, knowledge = package.schema, package.knowledge
    names, people, whole = schema.declared.names, CharacterRules(), CharacterRules(whole=DataType.E)
    stages: dict[str, Callable[[Document], object]] = {
        "read": lambda document: read(document.body),
        "detect": registry.detect,
        "XSD": schema.check,
        "IDREF": lambda document: dangling_references(document, schema.declared, most=50),
        "attachments": lambda document: attachments.check(document, package.shapes, (), names=names),
        "codes": lambda document: codelists.check(document, knowledge.codes, knowledge.lists, names=names),
        "names": lambda document: characters.check(document, people, names=names),
        "all text": lambda document: characters.check(document, whole, names=names),
    }
    if is_installed():
        stages["Schematron"] = lambda document: schematron.check(document, knowledge.rules, engine, names=names)
    return stages


def _best(works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """µs of the fastest run of each, taken in turns: what else runs here slows all of them."""
    best = dict.fromkeys(works, float("inf"))
    until = time.perf_counter() + 5
    for run in range(RUNS):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            best[name] = min(best[name], (time.perf_counter() - began) * 1e6)
        if run >= 3 and time.perf_counter() > until:
            break
    return best


# --- in a process of its own ---------------------------------------------------------------------------------------------

_MEASURED = """
import json, sys, time
from pathlib import Path
import psutil
{imports}
argument, process = Path(sys.argv[1]), psutil.Process()
{before}
grown, busy, began = process.memory_info().rss, time.process_time(), time.perf_counter()
{work}
print(json.dumps({{"s": time.perf_counter() - began, "cpu_s": time.process_time() - busy,
                  "MB": (process.memory_info().rss - grown) / 1e6, "n": n}}))
"""
_LOAD = _MEASURED.format(
    imports="from gateway.schemas import Registry", before="", work="kept = Registry.load(argument); n = len(kept.packages)")
_FROM_SOURCE = _MEASURED.format(
    imports="from gateway.rules.genericode import read_keys", work="kept = read_keys(argument); n = len(kept)",
    before=f"read_keys(Path({str(corpus('xoev') / 'xjustiz-3.5.1' / 'codelists' / 'GDS.Gerichte.xml')!r}))")
_PREPARED = _MEASURED.format(
    imports="from gateway.rules.codelists import CodeLists\nfrom gateway.rules.genericode import ListName", before="",
    work=f"kept = CodeLists.open(argument).keys(ListName({AGS!r}, '2026-06-30')); n = len(kept)")


def _in_a_process(text: str, argument: Path) -> dict[str, float]:
    said = subprocess.run([sys.executable, "-c", text, str(argument)], check=True, capture_output=True, text=True, cwd=ROOT)
    found: dict[str, float] = json.loads(said.stdout)
    return found


# --- what is shown -------------------------------------------------------------------------------------------------------


def tables(figures: Figures) -> Iterator[Table]:
    table = Table(title="µs per message (× bare parse + XSD)", box=None, pad_edge=False)
    stages = [stage for stage in next(iter(figures.sets.values())) if stage not in ("bytes", "all", "ratio", "worst")]
    for column in ("set", "bytes", "all: ratio", "worst", *stages):
        table.add_column(column, justify="left" if column == "set" else "right")
    for name, row in figures.sets.items():
        table.add_row(
            name + ("*" if name in figures.made else ""), f"{row['bytes']:,.0f}", f"{row['ratio']:.2f}", f"{row['worst']:.2f}",
            *(f"{row[stage]:,.0f}" + (f" ({row[stage] / row['bare']:.2f})" if stage != "bare" else "") for stage in stages))
    table.caption = "all: read, detect, XSD, IDREF and base64 of one message after the other.  * made from the schema"
    yield table
    table = Table("", "n", "s", "CPU s", "MB", title="In a process of its own", box=None, pad_edge=False)
    ways = {"all sets loaded": figures.load, **{f"list of 2.9 MB, {way}": keys for way, keys in figures.keys.items()}}
    for what, said in ways.items():
        table.add_row(what, f"{said['n']:,}", f"{said['s']:.3f}", f"{said['cpu_s']:.3f}", f"{said['MB']:.1f}")
    yield table


def main() -> None:
    if not are_there():
        raise SystemExit(f"not measured: the schema sets are not beside the project ({corpus('xoev')})")
    console = Console(width=190)
    for table in tables(measured(lambda line: print(line, file=sys.stderr, flush=True))):
        console.print(table)


if __name__ == "__main__":
    main()
