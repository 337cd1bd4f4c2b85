"""A server in a thread, real sockets to it, and its time in the hands of the test.

Nothing here waits for time: a client waits for bytes, for five seconds at most, and time passes
when the test says so. A server that waits does not look at the clock, so whoever moves it on also
says something harmless to the server, on a connection of its own: it *nudges* it.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from beanrow.journal.base import Journal
from beanrow.protocol.limits import DEFAULT_MAX_JOB_BYTES, NS_PER_S
from beanrow.server.loop import Loop
from beanrow.server.server import Server

PATIENCE_S: Final = 5.0


class VirtualClock:
    """Stands still until it is set. It can make the server stop in mid-tick."""

    def __init__(self) -> None:
        self.now_ns = 1_700_000_000 * NS_PER_S
        #: How often the server has asked; it does so at least once a tick.
        self.calls = 0
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self._is_held = threading.Event()

    def __call__(self) -> int:
        self.calls += 1
        if not self._may_go_on.is_set():
            self._is_held.set()
            assert self._may_go_on.wait(PATIENCE_S), "the server was held for too long"
        return self.now_ns

    def hold(self) -> None:
        """Let the server stop when it next asks for the time."""
        self._is_held.clear()
        self._may_go_on.clear()

    def wait_until_held(self) -> None:
        assert self._is_held.wait(PATIENCE_S), "the server does not tick"

    def let_go(self) -> None:
        self._may_go_on.set()


class Client:
    """One connection, whose every operation ends within `PATIENCE_S`."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(PATIENCE_S)

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def expect(self, *replies: bytes) -> None:
        """The next bytes are these."""
        expected = b"".join(replies)
        got = bytearray()
        while len(got) < len(expected):
            try:
                chunk = self.socket.recv(len(expected) - len(got))
            except TimeoutError:
                break
            if not chunk:
                break
            got += chunk
        assert got == expected, f"got {bytes(got[-200:])!r} instead of {expected[-200:]!r}"

    def ask(self, command: bytes, *replies: bytes) -> None:
        self.say(command)
        self.expect(*replies)

    def document(self, command: bytes) -> dict[bytes, bytes]:
        """The keys and values of a stats document."""
        self.say(command)
        word, size = self.read_line().split()
        assert word == b"OK"
        lines = self.read(int(size) + 2).removeprefix(b"---\n").splitlines()
        return dict(line.split(b": ", 1) for line in lines if line)

    def read_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.read(1)
        return line

    def read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            chunk = self.socket.recv(min(count - len(data), 1 << 20))
            assert chunk, f"the server closed after {len(data)} of {count} bytes"
            data += chunk
        return bytes(data)

    def read_to_end(self) -> bytes:
        """All that comes until the server closes."""
        data = bytearray()
        while chunk := self.socket.recv(1 << 20):
            data += chunk
        return bytes(data)

    def expect_end(self) -> None:
        """The server has closed, and said nothing more before it did."""
        assert self.read_to_end() == b""

    def say_no_more(self) -> None:
        """Close for writing only."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close as a machine does that has crashed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Serving:
    """A running server and those connected to it."""

    def __init__(
        self,
        *,
        max_job_bytes: int = DEFAULT_MAX_JOB_BYTES,
        listeners: int = 1,
        loop: Loop | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.clock = VirtualClock()
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(listeners)]
        for sock in sockets:
            # Small, and of a size that is known: clients get it too.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        self.addresses = [sock.getsockname() for sock in sockets]
        self.server = Server(
            sockets, max_job_bytes=max_job_bytes, journal=journal, clock=self.clock, loop=loop
        )
        self._failure: BaseException | None = None
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._clients: list[Client] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._nudger = self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.clock.let_go()
        try:
            if self._thread.is_alive() and not self._is_stopped:
                self.stop()
        finally:
            for client in self._clients:
                client.close()
            self.wait_for_end()

    def wait_for_end(self) -> None:
        """`run` returns, and raises nothing."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the server does not stop"
        if self._failure is not None:
            raise self._failure

    def connect(self, listener: int = 0) -> Client:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        # What is said is on its way at once, though what was said before is not answered yet.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(sock)
        self._clients.append(client)
        sock.connect(self.addresses[listener])
        return client

    def nudge(self) -> None:
        """When this returns, the server has done all it had to do, and sent all it had to send."""
        for _ in range(2):
            self._nudger.ask(b"list-tube-used\r\n", b"USING default\r\n")

    def pass_s(self, seconds: float) -> None:
        """Time goes by once everything said so far has been heard."""
        self.nudge()
        self.clock.now_ns += round(seconds * NS_PER_S)
        self.nudge()

    @contextmanager
    def one_tick(self) -> Iterator[None]:
        """All that is done meanwhile reaches the server at once, in that order."""
        self.nudge()
        self._hold()
        yield
        self.clock.let_go()
        self._nudger.expect(b"USING default\r\n")

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Stop the server in mid-tick; it does not notice until what is done meanwhile is done."""
        self._hold()
        self._is_stopped = True
        self.server.stop()
        yield
        self.clock.let_go()

    def stop(self) -> None:
        with self.stopping():
            pass

    def says_nothing_to(self, client: Client) -> bool:
        self.nudge()
        client.socket.setblocking(False)
        try:
            client.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            client.socket.settimeout(PATIENCE_S)
        return False

    def _hold(self) -> None:
        self.clock.hold()
        self._nudger.say(b"list-tube-used\r\n")
        self.clock.wait_until_held()

    def _run(self) -> None:
        try:
            self.server.run()
        except BaseException as failure:  # noqa: BLE001 - it is raised again where it is seen
            self._failure = failure
