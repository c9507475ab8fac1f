"""What the tests themselves rely on."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("together")
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs them all")
def test_what_shares_a_server_or_a_port_stays_on_one_worker(request: pytest.FixtureRequest) -> None:
    """The suffix is how pytest-xdist hands its groups on; a version of pytest in which it does not stick ignores them."""
    assert request.node.nodeid.endswith("@together")
