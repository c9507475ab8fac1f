"""What an operator gets to read on the command line: whole numbers, every reason, and clear words when something is wrong."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.servers import free_port
from tests.story.commands import SAMPLES, Site, as_portal, dead, fresh, site

__all__ = ["site"]
pytestmark = pytest.mark.timeout(180)


def on_a_terminal(site: Site, width: int, *arguments: str) -> str:
    """What a person sees, without colours."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-m", "gateway", *arguments], os.environ | site.environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    seen = b""
    try:
        while some := os.read(terminal, 1 << 16):
            seen += some
    except OSError:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, seen.decode()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", seen.decode())


def command(site: Site, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments], env=os.environ | site.environment | more, cwd=ROOT, timeout=60,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )


def test_a_dead_letter_is_listed_named_and_explained_in_full(site: Site) -> None:
    letter, = dead(site, 1, 300)
    id_, reference = letter["id"], letter["reference"]

    narrow = on_a_terminal(site, 80, "dead-letters", "list")
    piped = site.run("dead-letters", "list").stdout

    assert re.search(rf"^{id_[-12:]} +{reference} +\d\d\.\d\d\.\d{{4}} \d\d:\d\d:\d\d +nicht angenommen", narrow, re.MULTILINE)
    assert re.sub(r"\s+", " ", letter["cause_de"]) in re.sub(r"\s+", " ", narrow)
    line, = (line for line in piped.splitlines() if line.startswith(id_))
    assert line.endswith(letter["cause_de"])
    shown = site.run("dead-letters", "show", reference).stdout
    assert shown == site.run("dead-letters", "show", id_[-12:]).stdout
    for part in ("Klärfall", "wie eingegangen", "sha-256:", "sagt das Ziel", letter["cause_en"]):
        assert part in shown
    site.run("dead-letters", "close", reference, "-r", "Liegt schon vor")
    assert "Liegt schon vor" in site.run("dead-letters", "show", reference).stdout
    assert "Liegt schon vor" in site.run("audit", "list", "--limit", "1").stdout
    assert "von Hand übernommen" in site.run("status", reference).stdout


def test_ids_are_whole_on_a_narrow_terminal(site: Site) -> None:
    receipt = site.json("submit", str(fresh(site.folder, 310)), **as_portal(site))
    site.json("status", receipt["id"], "--wait", "10", **as_portal(site))

    status = on_a_terminal(site, 80, "status", receipt["reference"])
    keys = on_a_terminal(site, 80, "portal", "key", "list")

    assert receipt["deliveries"][0]["id"] in status
    assert "im Fachverfahren" in status
    for key in site.json("portal", "key", "list")["keys"]:
        assert key["id"] in keys


def test_the_document_of_a_dead_letter_is_fetched_into_a_file_of_ones_own(site: Site, tmp_path: Path) -> None:
    letter, = dead(site, 1, 320)
    path = tmp_path / "x.xml"

    assert site.run("dead-letters", "document", letter["reference"], "0", "-o", str(path)).exit_code == 0
    assert path.read_bytes() == (site.folder / "320.xml").read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert site.run("dead-letters", "document", letter["reference"], "0", "-o", str(path)).exit_code == 2
    assert site.run("dead-letters", "document", letter["reference"], "0").stdout_bytes == path.read_bytes()
    assert site.run("dead-letters", "document", letter["reference"], "7").exit_code == 1
    assert "Dokument angesehen" in site.run("dead-letters", "show", letter["reference"]).stdout
    site.run("dead-letters", "close", letter["reference"], "-r", "probe")


def test_the_history_ends_with_the_newest_and_goes_on_from_any_line(site: Site) -> None:
    site.run("targets", "pause", "fach", "-r", "Wartung am Montag")
    site.run("targets", "resume", "fach", "-r", "fertig")

    entries = site.json("audit", "list", "--limit", "2")["entries"]

    assert [entry["event"] for entry in entries] == ["pause", "resume"]
    assert "Wartung am Montag" in site.run("audit", "list", "--limit", "2").stdout
    assert site.json("audit", "list", "--after", "0", "--limit", "1")["entries"][0] != entries[0]


def test_a_missing_reason_is_a_fault_of_usage_and_leaves_standard_output_alone(site: Site) -> None:
    result = command(site, "targets", "pause", "fach", "--json")

    assert (result.returncode, result.stdout) == (2, "")
    assert "--reason fehlt" in result.stderr
    assert "--reason is missing" in result.stderr


def test_a_refusal_is_json_for_machines(site: Site) -> None:
    for arguments, status in (
        (("submit", str(SAMPLES / "broken-iban.xml")), 422), (("dead-letters", "list", "-t", "nixda"), 400),
        (("status", "00000000000"), 404),
    ):
        more = as_portal(site) if arguments[0] != "dead-letters" else {}
        result = command(site, *arguments, "--json", **more)
        assert result.returncode == 1
        assert json.loads(result.stdout)["status"] == status
        assert result.stderr


def test_misspelt_names_are_answered_with_the_nearest(site: Site) -> None:
    for arguments in (
        ("dead-letters", "list", "-t", "fch"), ("targets", "pause", "fch", "-r", "x"),
        ("route", "explain", "hundesteur", "08121"),
    ):
        result = site.run(*arguments)
        assert result.exit_code != 0
        assert "emeint ist" in result.output, arguments


def test_whoever_submits_without_a_portals_key_is_told_how_to_get_one(site: Site) -> None:
    result = site.run("submit", str(SAMPLES / "minimal.xml"))

    assert result.exit_code == 1
    assert "NAHTLOS_KEY" in result.output
    assert "nahtlos portal key new" in result.output
    url = site.environment["PORTAL_URL"]
    assert "NAHTLOS_KEY" in site.run("submit", str(SAMPLES / "minimal.xml"), NAHTLOS_URL=url, NAHTLOS_KEY="").output


def test_a_file_sent_twice_says_that_it_is_the_same_submission(site: Site) -> None:
    path = str(fresh(site.folder, 330))

    first, again = site.run("submit", path, **as_portal(site)), site.run("submit", path, **as_portal(site))

    assert "schon da" not in first.stdout
    assert "schon da" in again.stdout
    assert "--key" in again.stdout


@pytest.mark.parametrize(("arguments", "environment", "code", "words"), [
    (("status", "x"), {"NAHTLOS_URL": "bla"}, 2, "NAHTLOS_URL: „bla“"),
    (("status", "x"), {"NAHTLOS_URL": "http://[::1"}, 2, "NAHTLOS_URL"),
    (("status", "x"), {"NAHTLOS_URL": "http://127.0.0.1:9", "NAHTLOS_KEY": "schlüssel"}, 2, "NAHTLOS_KEY"),
    (("status", "x"), {"NAHTLOS_URL": "http://127.0.0.1:9", "NAHTLOS_KEY_FILE": "/nicht/da"}, 2, "/nicht/da"),
    (("simulate", "--faults", "quatsch"), {}, 2, "quatsch"),
    (("serve",), {"NAHTLOS_TLS_CERT": "/nicht/da.pem", "NAHTLOS_TLS_KEY": "KEY"}, 2, "NAHTLOS_TLS_CERT: /nicht/da.pem"),
    (("serve",), {"NAHTLOS_TLS_CERT": "KEY", "NAHTLOS_TLS_KEY": "KEY"}, 2, "NAHTLOS_TLS_CERT="),
    (("serve", "--role", "worker"), {}, 2, "NAHTLOS_ROLE"),
])
def test_what_is_set_wrongly_is_named_and_no_traceback(
    site: Site, arguments: tuple[str, ...], environment: dict[str, str], code: int, words: str, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    key.write_text("kein PEM")
    key.chmod(0o600)

    result = command(site, *arguments, **{name: value.replace("KEY", str(key)) for name, value in environment.items()})

    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert '"started"' not in result.stderr


def test_a_simulator_on_a_port_that_is_taken_says_so(site: Site) -> None:
    result = command(site, "simulate", "--port", site.environment["NAHTLOS_PORT"])

    assert result.returncode == 1
    assert site.environment["NAHTLOS_PORT"] in result.stderr
    assert "Traceback" not in result.stderr


def test_something_else_at_the_address_is_told_apart_from_a_gateway(site: Site) -> None:
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], cwd=site.folder,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        (site.folder / "v1").mkdir(exist_ok=True)
        (site.folder / "v1/targets").write_text("<html>")
        for _ in range(300):
            result = site.run("targets", "list", NAHTLOS_URL=f"http://127.0.0.1:{port}")
            if "nicht erreichbar" not in result.output:
                break
        assert result.exit_code == 3
        assert "etwas anderes als Nahtlos" in result.output
    finally:
        server.terminate()
        server.communicate(timeout=10)


def test_what_exists_already_is_said_in_german_first(site: Site, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("")
    lines = command(site, "backup", str(tmp_path / "b.tar")).stderr.splitlines()
    assert lines == [f"✗ {tmp_path}/b.tar gibt es schon.", f"  {tmp_path}/b.tar exists already."]
