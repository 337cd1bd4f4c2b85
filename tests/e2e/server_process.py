"""Runs `beanrow serve` and `beanrowd` as processes of their own and reads their log.

The server says in its first JSON line where it listens, so every test takes port 0.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from beanrow.build import BUILD

SERVE: Final = (sys.executable, "-m", "beanrow", "serve")
BEANROWD: Final = (sys.executable, "-m", "beanrow.cli.beanrowd")
LOCAL: Final = ("-l", "127.0.0.1", "-p", "0")
TIMEOUT_S: Final = 15.0


class Serving:
    """A server that has started.

    `log` is what it has said, as far as it was read; `started` is the line that says so.
    """

    def __init__(self, process: subprocess.Popen[str], build: str) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []
        self.started = self.read_log_until("serves on")
        assert self.started["build"] == build
        self.pid: int = self.started["pid"]
        self.addresses: list[str] = self.started["addresses"]

    def read_log_until(self, words: str) -> dict[str, Any]:
        """Read the log up to the line whose message has these words; returns that one."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            entry: dict[str, Any] = json.loads(line)
            self.log.append(entry)
            if words in entry["message"]:
                return entry
        raise AssertionError(f"the server ended without saying {words!r}; it said {self.log}")

    def connect(self, index: int = 0) -> socket.socket:
        return connect(self.addresses[index])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, read the rest of the log and return the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        _, rest = self.process.communicate(timeout=TIMEOUT_S)
        self.log += map(json.loads, rest.splitlines())
        return self.process.returncode

    def messages(self) -> str:
        return "\n".join(entry["message"] for entry in self.log)


@contextmanager
def serving(
    *options: str, command: Sequence[str] = BEANROWD, build: str = BUILD, **popen_arguments: Any
) -> Iterator[Serving]:
    """Run a server, of the build that is tested unless another is named.

    If the test has not stopped it, it must end with status 0 at SIGTERM.
    """
    process = subprocess.Popen(
        [*command, "--log-format", "json", *options],
        stderr=subprocess.PIPE,
        text=True,
        **popen_arguments,
    )
    try:
        server = Serving(process, build)
        yield server
        if process.returncode is None:
            assert server.stop() == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refused(
    *options: str, command: Sequence[str] = BEANROWD, **run_arguments: Any
) -> tuple[int, str]:
    """Run a command that must not start; returns its exit status and its only line."""
    done = subprocess.run(
        [*command, *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        **run_arguments,
    )
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if " info " not in line]
    assert len(lines) == 1, done.stderr
    return done.returncode, lines[0]


def connect(address: str) -> socket.socket:
    """Connect to an address as the server's log writes it."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT_S)
        sock.connect(address.removeprefix("unix:"))
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_S)


def ask(client: socket.socket, request: bytes) -> bytes:
    """Send a request and return its reply, of one line."""
    client.sendall(request)
    reply = b""
    while not reply.endswith(b"\r\n"):
        chunk = client.recv(4096)
        assert chunk, f"the server hung up after {reply!r}"
        reply += chunk
    return reply


def stats(client: socket.socket) -> str:
    client.sendall(b"stats\r\n")
    with client.makefile("rb") as replies:
        length = int(replies.readline().split()[1])
        document = replies.read(length + 2)
    return document.decode()


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, **variables}
