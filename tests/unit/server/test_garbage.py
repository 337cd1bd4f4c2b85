"""The server runs without Python's cycle collector, so serving must leave nothing for it."""

import gc
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from beanrow.server.server import Server

_TIMEOUT_S = 10


@pytest.fixture
def kept_garbage() -> Iterator[list[object]]:
    """What a collection finds is kept for a look, for as long as the test runs."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _exchange(client: socket.socket, commands: bytes, last_reply: bytes) -> None:
    client.sendall(commands)
    received = b""
    while not received.endswith(last_reply):
        chunk = client.recv(65536)
        assert chunk, f"closed after {received!r}"
        received += chunk


def _live_a_little(address: tuple[str, int]) -> None:
    """Every verb, every kind of refusal, and every way to leave."""
    with socket.create_connection(address, _TIMEOUT_S) as client:
        _exchange(
            client,
            b"watch a\r\nignore default\r\nuse a\r\nput 1 0 9 2\r\nhi\r\nput 1 9 9 2\r\nhi\r\n"
            b"reserve\r\nstats\r\nstats-tube a\r\nlist-tubes\r\npause-tube a 0\r\nkick 9\r\n"
            b"put 1 0 9 2\r\nhi!\r\nput 1 0 9 99999\r\n" + bytes(100001) + b"nonsense\r\n"
            b"kick nothing\r\nreserve\r\nreserve-with-timeout 0\r\npeek-ready\r\n"
            b"list-tube-used\r\n",
            b"USING a\r\n",
        )
        client.sendall(b"put 1 0 9 100\r\nunfinished")
    with socket.create_connection(address, _TIMEOUT_S) as client:
        _exchange(client, b"reserve-with-timeout 0\r\n", b"TIMED_OUT\r\n")
        client.sendall(b"reserve\r\nlist-tubes\r\n")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(65536).startswith(b"TIMED_OUT")
    with socket.create_connection(address, _TIMEOUT_S) as client:
        _exchange(client, b"watch a\r\n", b"WATCHING 2\r\n")
        client.sendall(b"reserve\r\nreserve\r\nreserve\r\n")
        # A reset rather than an end.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with socket.create_connection(address, _TIMEOUT_S) as client:
        client.sendall(b"quit\r\n")
        assert client.recv(1) == b""


def test_serving_leaves_no_garbage_for_the_cycle_collector(kept_garbage: list[object]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    server = Server([listener])
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        for _ in range(20):
            _live_a_little(address)
        gc.collect()
        found = Counter(type(thing).__name__ for thing in kept_garbage)
    finally:
        server.stop()
        thread.join(_TIMEOUT_S)
    # A few objects may come from elsewhere in this process, but none with every client.
    assert not {name: count for name, count in found.items() if count >= 20}
    assert not any(type(thing).__module__.startswith("beanrow.") for thing in kept_garbage)
