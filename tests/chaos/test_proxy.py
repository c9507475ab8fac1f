"""The network that breaks must break as it says, else what is tested with it is tested against nothing."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.chaos.processes import until
from tests.chaos.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that answers with what it is sent."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while piece := connection.recv(1000):
                connection.sendall(piece)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield int(listening.getsockname()[1])
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.fixture
def network(echo: int) -> Iterator[Proxy]:
    with Proxy(echo) as proxy:
        yield proxy


def _connection(network: Proxy, *, patience: float = 10) -> socket.socket:
    return socket.create_connection(("127.0.0.1", network.port), timeout=patience)


def _said(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(100)


def test_whole_it_carries_everything(network: Proxy) -> None:
    with _connection(network) as one, _connection(network) as other:
        assert (_said(one, b"a"), _said(other, b"b")) == (b"a", b"b")
        assert network.connections == 2
    until(lambda: network.connections == 0, within=10, what="both ends are closed")


def test_delayed_it_carries_everything_later(network: Proxy) -> None:
    with _connection(network, patience=0.2) as one:
        assert _said(one, b"a") == b"a"
        network.delay(0.5)
        with pytest.raises(TimeoutError):
            _said(one, b"b")
        one.settimeout(10)
        assert one.recv(100) == b"b"


def test_cut_it_ends_connections_in_good_order_and_new_ones_too(network: Proxy) -> None:
    with _connection(network) as one:
        assert _said(one, b"a") == b"a"
        network.cut()
        assert one.recv(100) == b""
    with _connection(network) as another:
        assert another.recv(100) == b""
    network.heal()
    with _connection(network) as healed:
        assert _said(healed, b"b") == b"b"


def test_reset_it_tears_connections_and_new_ones_too(network: Proxy) -> None:
    with _connection(network) as one:
        assert _said(one, b"a") == b"a"
        network.reset()
        with pytest.raises(ConnectionResetError):
            one.recv(100)
    with pytest.raises(ConnectionResetError), _connection(network) as another:
        another.recv(100)


def test_in_a_black_hole_nothing_arrives_until_it_is_healed(network: Proxy) -> None:
    with _connection(network, patience=0.3) as one:
        assert _said(one, b"a") == b"a"
        network.black_hole()
        with pytest.raises(TimeoutError):
            _said(one, b"b")
        with _connection(network, patience=0.3) as new, pytest.raises(TimeoutError):
            _said(new, b"c")
        network.heal()
        one.settimeout(10)
        assert one.recv(100) == b"b"


def test_half_open_the_old_carry_nothing_ever_again_and_the_new_work(network: Proxy) -> None:
    with _connection(network, patience=0.3) as one:
        assert _said(one, b"a") == b"a"
        network.half_open()
        network.heal()
        with pytest.raises(TimeoutError):
            _said(one, b"b")
        with _connection(network) as new:
            assert _said(new, b"c") == b"c"


def test_whoever_waits_at_its_end_leaves_no_socket_behind(echo: int) -> None:
    """A client that waits in a black hole has no wire yet."""
    with Proxy(echo) as network:
        network.black_hole()
        waiting = [_connection(network) for _ in range(20)]
    for each in waiting:
        with each, suppress(ConnectionError):
            assert each.recv(1) == b""
    gc.collect()  # warns, and a warning is an error
