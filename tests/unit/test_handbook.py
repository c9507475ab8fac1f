"""The operators' handbook speaks of what there is: commands, options, files, alarms."""

from __future__ import annotations

import re

import pytest
import typer
from typer.main import get_command

from gateway.__main__ import app
from tests.conftest import ROOT

HANDBOOK = ROOT / "deploy" / "README.md"
TEXT = HANDBOOK.read_text(encoding="utf-8")


def _spoken() -> list[str]:
    """Every call of the command line, in blocks and in sentences."""
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0] for block in blocks for line in block.splitlines()]
    return [found for line in (*lines, *re.findall(r"`([^`\n]+)`", TEXT)) for found in re.findall(r"\bnahtlos ([a-z].*)", line)]


def test_every_command_and_option_it_names_exists() -> None:
    calls = _spoken()
    assert len(calls) > 40
    for call in calls:
        if call.startswith(("create ", "--name")):
            continue  # kubectl -n nahtlos …
        command, words = get_command(app), call.split()
        path = []
        while words and isinstance(command, typer.core.TyperGroup):
            found = command.get_command(None, words[0])
            assert found is not None, f"nahtlos {call}: there is no {words[0]!r}"
            path.append(words.pop(0))
            command = found
        assert not isinstance(command, typer.core.TyperGroup) or not words, f"nahtlos {call}"
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in words:
            if word.startswith("-"):
                assert word in known, f"nahtlos {call}: {' '.join(path)} has no {word}"


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT))))
def test_every_file_it_links_is_there(link: str) -> None:
    assert (HANDBOOK.parent / link).exists(), link


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:deploy|tests|schemas)/[\w./*@-]+)`", TEXT))))
def test_every_path_it_names_is_there(path: str) -> None:
    assert list(ROOT.glob(path)), path


def test_its_own_links_lead_to_its_own_chapters() -> None:
    titles = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    chapters = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT):
        assert anchor in chapters, anchor


@pytest.mark.parametrize("name", ["sizing", "growth", "kill-matrix"])
def test_what_is_measured_has_its_place(name: str) -> None:
    assert re.search(rf"<!-- {name} -->\n.+?\n<!-- /{name} -->", TEXT, re.DOTALL)
