"""``nahtlos simulate``: a case system to try things with, and ``nahtlos bench``: what this machine can carry."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from connectors import simulator
from connectors.faults import parse
from connectors.products import PRODUCTS
from gateway.cli.connection import state_settings
from gateway.cli.output import Exit, Json, fail, show, table
from gateway.document import read
from gateway.planning import schema_roots
from gateway.schemas import Registry
from gateway.validation import validate


def simulate(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Art der Schnittstelle: rest.")] = "rest",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: ein freier.")] = 8471,
    product: Annotated[str, typer.Option(help=f"Software: {', '.join(sorted(PRODUCTS))}.")] = "fallakte",
    data: Annotated[Path | None, typer.Option(help="Ordner für das Fallregister; ohne: nur im Speicher.")] = None,
    faults: Annotated[str, typer.Option(help="Störungen, zum Beispiel 503x3,hang_after.")] = "",
) -> None:
    """Ein Fachverfahren zum Ausprobieren, mit Fallregister und Störungen. / A case system to try things with."""
    products = sorted(PRODUCTS)
    if kind != "rest" or product not in PRODUCTS:
        fail(f"KIND ist rest; --product ist {' oder '.join(products)}.", f"KIND is rest; --product is {' or '.join(products)}.",
             code=Exit.USAGE)
    try:
        script = parse(faults)
    except ValueError as wrong:
        fail(f"--faults „{faults}“: das ist keine Störung ({wrong})", f'--faults "{faults}" is no fault ({wrong})',
             code=Exit.USAGE)
    try:
        simulator.run(simulator.Simulator(product, data=data, faults=script, port=port))
    except OSError as taken:
        why = os.strerror(taken.errno or 0)
        fail(f"127.0.0.1:{port}: der Anschluss ist nicht frei ({why}); --port wählt einen anderen, 0 einen freien.",
             f"127.0.0.1:{port}: {why}; --port chooses another one, 0 a free one.")


def bench(
    seconds: Annotated[float, typer.Option(min=0.2, help="So lange je Messung.")] = 2.0,
    json: bool = Json,
) -> None:
    """Was diese Maschine trägt: Platte und Prüfung, einzeln gemessen. / What this machine can carry."""
    folder = state_settings().state
    syncs = _sync_seconds(folder if folder.is_dir() else Path(tempfile.gettempdir()), seconds)
    rate = _inspections(seconds)
    found = {
        "sync_ms_median": round(statistics.median(syncs) * 1000, 3),
        "sync_ms_p99": round(sorted(syncs)[int(len(syncs) * 0.99)] * 1000, 3),
        "validations_per_second_and_core": round(rate),
    }
    show(
        found,
        lambda: table(
            ("Messung", "Wert"),
            (
                ("Dauerhaftes Schreiben (fdatasync), Mitte", f"{found['sync_ms_median']} ms"),
                ("Dauerhaftes Schreiben, 99 von 100", f"{found['sync_ms_p99']} ms"),
                ("Prüfen einer kleinen Nachricht, je Kern", f"{found['validations_per_second_and_core']:,}/s"),
            ),
        ),
    )


def _sync_seconds(folder: Path, seconds: float) -> list[float]:
    """How long the disk takes to keep 4 KiB, one after the other."""
    took, block = [], os.urandom(4096)
    with tempfile.TemporaryFile(dir=folder) as file:
        end = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            os.write(file.fileno(), block)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begun)
    return took


def _inspections(seconds: float) -> float:
    registry = Registry.load(*schema_roots(state_settings()))
    known = registry.leistungen["hundesteuer"]
    body, package = (known.folder / "samples" / "minimal.xml").read_bytes(), registry.package_of(known)
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        validate(read(body), package)
        done += 1
    return done / (time.perf_counter() - begun)
