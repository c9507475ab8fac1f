"""A PostgreSQL of our own that tests may fill with gateways; nobody kills this one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import PostgresServer, Shell


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[PostgresServer]:
    """Tests with it are in ``xdist_group("cluster")``: one will do."""
    with PostgresServer(max_connections=150) as server:
        yield server


@pytest.fixture
def own_postgres(shared_postgres: PostgresServer) -> PostgresServer:
    """Empty."""
    emptied(shared_postgres)
    return shared_postgres


def emptied(server: PostgresServer) -> None:
    shell = Shell(server.url)
    try:
        shell.execute("drop schema public cascade; create schema public;")
    finally:
        shell.close()
