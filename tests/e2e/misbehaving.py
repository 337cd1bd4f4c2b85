"""Servers that do what no server should, for the length of a test."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def misbehaving(behave: Callable[[socket.socket], object]) -> Iterator[int]:
    """Listen, hand the first connection to `behave`, and keep it until the test is over."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as accepted:
                behave(accepted)
                over.wait()

        over = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def answering(*replies: bytes) -> Callable[[socket.socket], None]:
    """Send one of the replies for each line received."""

    def behave(accepted: socket.socket) -> None:
        lines = accepted.makefile("rb")
        for reply in replies:
            lines.readline()
            accepted.sendall(reply)

    return behave
