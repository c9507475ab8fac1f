"""The diagram in the README is the table in the code, or this fails; ``python -m tests.unit.test_state_diagram`` prints it."""

from __future__ import annotations

from gateway.submission import TRANSITIONS
from tests.conftest import ROOT


def diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    for state, events in TRANSITIONS.items():
        arrows: dict[str, list[str]] = {}
        for event, following in events.items():
            arrows.setdefault(following.name, []).append(event.value)
        origin = state.name if state else "[*]"
        lines += [f"    {origin} --> {following}: {', '.join(names)}" for following, names in arrows.items()]
        if not events and state:
            lines.append(f"    {state.name} --> [*]")
    return "\n".join([*lines, "```"])


def test_the_readme_shows_the_state_machine_as_it_is() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert diagram() in readme


if __name__ == "__main__":
    print(diagram())
