"""Where the corpora are, and the promise that leaving them out is said aloud."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from tests.rabbitmq import Own
from tests.servers import Servers

# The same examples every time: whoever breaks something sees it, and nobody else. Other seeds: --hypothesis-profile=default.
hypothesis.settings.register_profile("fixed", derandomize=True, database=None)
hypothesis.settings.load_profile("fixed")

ROOT = Path(__file__).parents[1]
CORPORA = ROOT.parent / "shared"
_servers = Servers()


def corpus(name: str) -> Path:
    """Folder of third-party test data beside the project, e.g. ``corpus("hostile")``; only in tests marked ``corpus``."""
    return CORPORA / name


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        _servers.provide()


def pytest_unconfigure(config: pytest.Config) -> None:
    _servers.stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long") > 1:
        for item in items:
            item.add_marker(pytest.mark.timeout(7200), append=False)
    else:
        _leave_out(config, items, "long")
    if not CORPORA.is_dir():
        _leave_out(config, items, "corpus")


def _leave_out(config: pytest.Config, items: list[pytest.Item], marker: str) -> None:
    left_out = [item for item in items if item.get_closest_marker(marker)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker(marker)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last lines name what did not run. Read from the sources, because parallel workers collect on their own."""
    if CORPORA.is_dir():
        return
    for file in sorted(ROOT.glob("tests/**/test_*.py")):
        if "mark.corpus" in file.read_text(encoding="utf-8"):
            terminalreporter.write_line(f"not run, its corpus is not beside the project: {file.relative_to(ROOT)}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", type=int, default=1, metavar="N", help="the long forms, N times as long (make chaos TIMES=N)")


@pytest.fixture(autouse=True)
def _no_log_of_the_test_before() -> Iterator[None]:
    """A command that ran in this process has pointed the log at an output that is closed now."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


@pytest.fixture(scope="session")
def own_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    """To be killed, frozen and filled, and left running. Tests with it are in ``xdist_group("rabbitmq")``: one will do."""
    with Own(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> int:
    """How often a test repeats itself: 1, or more in the long form."""
    times: int = pytestconfig.getoption("--long")
    return times
