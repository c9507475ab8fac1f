"""What a process does is said by the environment or on the command line, and means the same in both places."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway import process
from gateway.__main__ import app
from gateway.settings import Role, Settings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """With which settings a gateway would have run."""
    found: list[Settings] = []
    monkeypatch.setattr(process, "run", lambda settings, **_: found.append(settings))
    return found


def _serve(folder: Path, *arguments: str, **environment: str) -> Result:
    return CliRunner(env={"NAHTLOS_STATE": str(folder)} | environment).invoke(app, ["serve", *arguments])


@pytest.mark.parametrize("role", list(Role))
def test_a_role_on_the_command_line_counts_as_one_in_the_environment(
    served: list[Settings], tmp_path: Path, role: Role,
) -> None:
    journal = "postgresql://localhost/nahtlos"

    _serve(tmp_path, "--role", role.value, NAHTLOS_JOURNAL=journal)
    _serve(tmp_path, NAHTLOS_JOURNAL=journal, NAHTLOS_ROLE=role.value)

    assert [settings.role for settings in served] == [role, role]
    assert all(isinstance(settings.role, Role) for settings in served)


@pytest.mark.parametrize("role", ["intake", "worker", "leader"])
def test_a_role_that_cannot_be_is_refused_with_the_reason(served: list[Settings], tmp_path: Path, role: str) -> None:
    said = _serve(tmp_path, "--role", role)

    assert said.exit_code == 2
    assert "PostgreSQL" in said.stderr or '"worker"' in said.stderr
    assert not served
