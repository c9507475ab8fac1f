"""``nahtlos schemas``: what an author types, and what is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.__main__ import app
from gateway.cli.output import Exit, as_json
from tests.unit.minirelease import CODES, LIBRARY, PLAIN, Shelf, element, imported, message, xsd


class Terminal:
    """The command line over a state directory of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.shelf = Shelf(state)

    def run(self, *words: object) -> Result:
        as_json.set(False)
        return CliRunner().invoke(app, ["schemas", *map(str, words)], env={"NAHTLOS_STATE": str(self.state), "COLUMNS": "200"})

    def json(self, *words: object) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == Exit.OK, result.output
        return json.loads(result.stdout)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_a_release_in_three_commands(terminal: Terminal) -> None:
    """As schemas/README.md shows it."""
    main = xsd(element(content='<xs:element name="art" type="c:Code"/>'), standard="xprobe", version="2.6",
               head='xmlns:c="http://xoev.de/schemata/code/1_0"', links=imported("http://xoev.de/schemata/code/1_0", CODES))
    assert terminal.run("add", terminal.shelf.zipped(LIBRARY, "xoev-bibliothek")).exit_code == Exit.OK
    done = terminal.run("add", terminal.shelf.zipped({"x.xsd": main}, "XProbe_2.6"))
    assert done.exit_code == Exit.OK
    for said in ("xprobe@2.6", "Nachrichten", "F: ohne Nachrichtenkopf", "1 Dateien, 1 Importe aus dem Katalog", "Codelisten"):
        assert said in done.output
    checked = terminal.run("check")
    assert checked.exit_code == Exit.OK
    assert "xprobe-2.6" in checked.output


def test_what_was_added_is_told_to_machines_as_well(terminal: Terminal) -> None:
    (said,) = terminal.json("add", terminal.shelf.folder(PLAIN))
    assert (said["id"], said["messages"], said["folder"]) == ("probe@1.0", ["antrag.stellen.0001"], "probe-1.0")
    listed = {one["id"]: one for one in terminal.json("list")}
    assert listed["probe@1.0"]["roots"] == ["antrag.stellen.0001"]
    assert "hundesteuer@1.0" in listed
    assert terminal.json("remove", "probe") == {"removed": "probe@1.0"}
    assert "probe@1.0" not in {one["id"] for one in terminal.json("list")}


def test_a_refused_release_says_every_reason_in_two_languages_and_ends_with_1(terminal: Terminal) -> None:
    links = imported("urn:x", "https://example.org/x.xsd") + imported("urn:y", "https://example.org/y.xsd")
    done = terminal.run("add", terminal.shelf.folder({"p.xsd": xsd(element(), links=links)}))
    assert done.exit_code == Exit.FOUND_FAULTS
    for address in ("https://example.org/x.xsd", "https://example.org/y.xsd"):
        assert f"der Import {address} steht nicht im Katalog" in done.output
        assert f"import {address} is not in the catalog; add it with" in done.output
    assert "Nichts wurde hinzugefügt" in done.output


def test_with_names_files_that_answer_imports(terminal: Terminal) -> None:
    code = "http://xoev.de/schemata/code/1_0"
    main = xsd(element(content='<xs:element name="a" type="c:Code"/>'), standard="p", head=f'xmlns:c="{code}"',
               links=imported(code, CODES))
    beside = terminal.shelf.folder(LIBRARY, "daneben")
    assert terminal.run("add", terminal.shelf.folder({"p.xsd": main}), "--with", beside).exit_code == Exit.OK


def test_warnings_about_patterns_are_shown_with_their_place(terminal: Terminal) -> None:
    body = ('<xs:element name="a"><xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="[0-9]{5}|[0-9]{8}"/>'
            "</xs:restriction></xs:simpleType></xs:element>")
    done = terminal.run("add", terminal.shelf.folder({"p.xsd": xsd(body, standard="p")}))
    assert "p.xsd:2 (1×)" in done.output
    assert "12 Zeichen wird angenommen, obwohl er nicht passt" in done.output
    assert "12 Zeichen" in terminal.run("show", "p").output


def test_show_tells_paths_stages_messages_and_origin(terminal: Terminal) -> None:
    terminal.run("add", terminal.shelf.folder({**PLAIN, "gut.xml": message()}, "quelle"))
    said = terminal.json("show", "probe")
    assert said["installed"]["release"] == "quelle"
    assert said["installed"]["report"]["examples"] == [1, 0, 0]
    assert said["stages"]["ids"] == "reject"
    shown = terminal.run("show", "hundesteuer").output
    assert "kopf/nachrichtId" in shown


def test_a_library_is_listed_and_shown_although_it_has_no_messages(terminal: Terminal) -> None:
    terminal.run("add", terminal.shelf.folder(LIBRARY, "bibliothek"))
    assert {one["id"]: one["kind"] for one in terminal.json("list")}["bibliothek@1"] == "library"
    assert terminal.run("show", "bibliothek").exit_code == Exit.OK


def test_a_changed_file_is_found_and_ends_with_1(terminal: Terminal) -> None:
    terminal.run("add", terminal.shelf.folder(PLAIN))
    path = terminal.state / "schemas" / "packages" / "probe-1.0" / "release" / "probe.xsd"
    path.write_bytes(path.read_bytes() + b" ")
    done = terminal.run("check", "probe")
    assert done.exit_code == Exit.FOUND_FAULTS
    assert "release/probe.xsd: wurde verändert" in done.output


@pytest.mark.parametrize("command", ["show", "remove", "check"])
def test_an_unknown_package_names_the_nearest(terminal: Terminal, command: str) -> None:
    terminal.run("add", terminal.shelf.folder(PLAIN))
    done = terminal.run(command, "prob")
    assert done.exit_code == Exit.USAGE
    assert "probe@1.0" in done.output


def test_a_package_that_is_needed_is_not_removed(terminal: Terminal) -> None:
    terminal.run("add", terminal.shelf.folder(PLAIN))
    mappings = terminal.state / "schemas" / "mappings"
    mappings.mkdir()
    (mappings / "m.toml").write_text('to = "probe@1.0"', encoding="utf-8")
    done = terminal.run("remove", "probe")
    assert done.exit_code == Exit.FOUND_FAULTS
    assert "wird noch gebraucht" in done.output
