"""The list of commands: whole sentences in both languages, and nothing loaded that the command does not need."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from gateway.__main__ import app
from tests.conftest import ROOT

HEAVY = {"fastapi", "lxml", "xmlschema", "uvicorn", "sqlite3", "cryptography", "structlog", "gateway.app", "gateway.settings"}


def main() -> Any:
    return get_command(app)


def loaded_by(*arguments: str, **environment: str) -> set[str]:
    """Modules that are there when the command has ended. Nothing listens where it is sent."""
    code = (
        "import sys\nfrom gateway.__main__ import main\nsys.argv = ['nahtlos', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nsys.stderr.write('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True,
                          timeout=60)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("name", main().list_commands(None))
def test_what_the_list_says_of_a_command_is_what_its_own_help_begins_with(name: str) -> None:
    loaded = main().get_command(None, name)
    assert main().said_of(None, name) == " ".join(loaded.help.partition("\n\n")[0].split())


def test_every_command_of_every_group_is_listed_with_its_whole_sentence() -> None:
    groups = [("", main())] + [(name, main().get_command(None, name)) for name in main().list_commands(None)]
    for name, group in groups:
        if not isinstance(group, typer.core.TyperGroup):
            continue
        words = " ".join(CliRunner().invoke(app, [*name.split(), "--help"]).stdout.split())
        for each in group.list_commands(None):  # type: ignore[arg-type]
            inner: Any = group.get_command(None, each)  # type: ignore[arg-type]
            assert " ".join(inner.help.partition("\n\n")[0].split()) in words, (name, each)
        assert "..." not in words.partition("Commands:")[2], name


def test_the_version_and_the_list_load_nothing_heavy() -> None:
    for arguments in (("--version",), ("--help",)):
        found = loaded_by(*arguments)
        assert found & {"gateway.__main__", "typer"} == {"gateway.__main__", "typer"}
        assert not found & {*HEAVY, "httpx", "pydantic"}, arguments


def test_a_look_at_the_dead_letters_loads_no_server_and_no_xml() -> None:
    found = loaded_by("dead-letters", "list", NAHTLOS_URL="http://127.0.0.1:9", NAHTLOS_KEY="nk_x")
    assert "httpx" in found
    assert not found & HEAVY


def test_over_the_socket_it_needs_the_settings_and_no_more(tmp_path: Any) -> None:
    found = loaded_by("targets", "list", NAHTLOS_STATE=str(tmp_path))
    assert "gateway.settings" in found
    assert not found & (HEAVY - {"gateway.settings"})
