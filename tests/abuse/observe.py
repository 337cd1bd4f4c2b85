"""What one can see of a server from outside: memory, CPU time, and whether it still works."""

import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.peers import RunningServer

MIB = 1 << 20

#: `running_beanrow` or `running_beanstalkd`.
Running = Callable[..., AbstractContextManager[RunningServer]]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def resident_bytes(server: RunningServer) -> int:
    """How much memory the server occupies."""
    return _status_bytes(server, "VmRSS")


def address_space_bytes(server: RunningServer) -> int:
    """What `RLIMIT_AS` counts."""
    return _status_bytes(server, "VmSize")


def _status_bytes(server: RunningServer, key: str) -> int:
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def cpu_s(server: RunningServer) -> float:
    """How long the server has computed, in user and system mode."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def ask(client: socket.socket, request: bytes, end: bytes = b"\r\n") -> bytes:
    """Send something and read until `end`; TimeoutError if it does not come."""
    client.sendall(request)
    return read_until(client, end)


def read_until(client: socket.socket, end: bytes = b"\r\n") -> bytes:
    reply = bytearray()  # bytes would be copied with every piece that arrives
    while not reply.endswith(end):
        arrived = client.recv(1 << 16)
        assert arrived, f"the server closed the connection after {bytes(reply)!r}"
        reply += arrived
    return bytes(reply)


def read_to_end(client: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    reply = b""
    while arrived := client.recv(1 << 16):
        reply += arrived
    return reply


def stat(server: RunningServer, key: str) -> int:
    """One number of the `stats` document."""
    with server.connect() as client:
        stats = ask(client, b"stats\r\n", b"\n\r\n").decode()
    return int(stats.split(f"\n{key}: ")[1].split("\n")[0])


def normal_cycle(server: RunningServer) -> None:
    """Put, reserve and delete a job of its own, on a new connection."""
    with server.connect() as client:
        assert ask(client, b"use cycle\r\n") == b"USING cycle\r\n"
        assert ask(client, b"watch cycle\r\n") == b"WATCHING 2\r\n"
        assert ask(client, b"ignore default\r\n") == b"WATCHING 1\r\n"
        inserted = ask(client, b"put 0 0 100 5\r\nhello\r\n")
        assert inserted.startswith(b"INSERTED ")
        job_id = inserted.split()[1]
        reserved = ask(client, b"reserve-with-timeout 0\r\n", b"hello\r\n")
        assert reserved == b"RESERVED %s 5\r\nhello\r\n" % job_id
        assert ask(client, b"delete %s\r\n" % job_id) == b"DELETED\r\n"


def is_back_to_normal(server: RunningServer) -> None:
    """Nobody else is connected any more, nothing is held, and a normal cycle works."""
    # The one that asks counts too.
    wait_until(lambda: stat(server, "current-connections") == 1)
    for key in ("current-jobs-reserved", "current-waiting", "current-producers", "current-workers"):
        assert stat(server, key) == 0, key
    normal_cycle(server)
    assert server.process.poll() is None
    assert "Traceback" not in server.log_text()


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Ask again and again until something is so; fails when it does not come true."""
    give_up_at_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at_s, "this has not come true"
        time.sleep(0.01)


@contextmanager
def descriptors_for(count: int) -> Iterator[None]:
    """Let this process have so many descriptors beside its own few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 100
    assert hard == resource.RLIM_INFINITY or hard >= needed, f"the hard limit is only {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
