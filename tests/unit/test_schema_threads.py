"""libxml2 has one loader of documents for the whole process, and lxml borrows it while it compiles or parses. Who was done
first took it from the other: a valid message was answered with a 500 right after a start, when a second thread needed its
schema."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Processes of their own, because the first such accident leaves the loader in a state in which there is no second.

_BEFORE = """
import threading, time
from pathlib import Path
from lxml import etree
from gateway.packages import compiled
from gateway.document import read
from gateway.schemas import Registry

document = read(Path("schemas/leistungen/hundesteuer/samples/minimal.xml").read_bytes())
schema = Registry.load(Path("schemas")).detect(document).schema
resolve, faults = compiled._OnlyThese.resolve, []
other_began, other_is_done = threading.Event(), threading.Event()

def check():
    try:
        schema._free.clear()
        assert schema.check(document).valid
    except compiled.SchemaFaults as found:
        faults.append(found)

def in_turns(self, *asked):
    if threading.current_thread().name == "first":
        other_began.wait(1)
    else:
        other_began.set()
        other_is_done.wait(1)
    return resolve(self, *asked)

compiled._OnlyThese.resolve = in_turns
"""

_AFTER = """
other.start()
time.sleep(0.02)
check()
other.join()
raise SystemExit(str(faults[0]) if faults else 0)
"""

MEANWHILE = {
    "another thread compiles": """
def meanwhile():
    check()
    other_is_done.set()

other = threading.Thread(target=meanwhile, name="first")
""",
    "another thread parses": """
large = b"<a>" + b"<b>x</b>" * 1_000_000 + b"</a>"

def meanwhile():
    etree.fromstring(large)
    other_is_done.set()

other = threading.Thread(target=meanwhile)
""",
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_a_thread_that_needs_a_schema_gets_it_while(meanwhile: str) -> None:
    program = [sys.executable, "-c", _BEFORE + MEANWHILE[meanwhile] + _AFTER]
    ended = subprocess.run(program, cwd=ROOT, check=False, capture_output=True, text=True, timeout=50)

    assert ended.returncode == 0, ended.stderr
