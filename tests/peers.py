"""Real servers, run as child processes for the length of a test.

`running_beanrow` and `running_beanstalkd` start a server on a free port of the loopback address,
wait until it accepts connections, and stop it by its process id. What a server prints goes to a
log file, which is part of every error raised here.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from beanrow.build import BUILD

HOST = "127.0.0.1"
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0

PEERS = Path(__file__).resolve().parent.parent / ".peers"
BEANSTALKD = PEERS / "beanstalkd" / "usr" / "bin" / "beanstalkd"


@dataclass
class RunningServer:
    """A server that accepts connections at `host` and `port`."""

    name: str
    host: str
    port: int
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        """Open a connection whose every operation raises TimeoutError after `timeout_s`."""
        return socket.create_connection((self.host, self.port), timeout_s)

    def log_text(self) -> str:
        """Everything the server has printed so far."""
        return self.log.read_text(errors="replace")

    def restart(self) -> None:
        """End the server, and start it again as it was started before."""
        _stop(self)
        self.process = _start(self.command, self.log)
        _wait_until_it_accepts(self)


@contextmanager
def running_beanrow(*options: str) -> Iterator[RunningServer]:
    """Run this checkout's server with additional command-line options."""
    port = free_port()
    command = [sys.executable, "-m", "beanrow", "serve", "-l", HOST, "-p", str(port), *options]
    with _running("beanrow", command, port) as server:
        assert f", {BUILD}," in server.log_text()
        yield server


@contextmanager
def running_beanstalkd(*options: str) -> Iterator[RunningServer]:
    """Run the real server; the test is skipped, or fails in CI, where it could not be had."""
    require_peer("beanstalkd")
    port = free_port()
    with _running(
        "beanstalkd", [str(BEANSTALKD), "-l", HOST, "-p", str(port), *options], port
    ) as server:
        yield server


def require_peer(name: str) -> None:
    """Skip the calling test, with the reason, if `scripts/get-peers` could not get this peer."""
    if not (PEERS / "missing").is_dir():
        reason = "`make peers` has not been run"
    elif (PEERS / "missing" / name).exists():
        reason = (PEERS / "missing" / name).read_text().strip()
    else:
        return
    lacks(f"{name}: {reason}")


def lacks(reason: str) -> NoReturn:
    """Skip the calling test; under CI=true, where everything has to be there, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """Find a port nobody listens on.

    It lies below the range the kernel takes the ports of outgoing connections from, so that no
    connection of another test can occupy it before the server does.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


@contextmanager
def _running(name: str, command: Sequence[str], port: int) -> Iterator[RunningServer]:
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        log = Path(folder) / "log"
        server = RunningServer(name, HOST, port, command, _start(command, log), log)
        try:
            _wait_until_it_accepts(server)
            yield server
        finally:
            _stop(server)


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as log_file:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log_file, stderr=subprocess.STDOUT
        )


def _wait_until_it_accepts(server: RunningServer) -> None:
    """Connect until that succeeds, exactly once: servers count their connections.

    The server closes the connection itself, so that it is none of its current ones any more.
    """
    give_up_at_s = time.monotonic() + START_TIMEOUT_S
    while server.process.poll() is None and time.monotonic() < give_up_at_s:
        try:
            connection = server.connect()
        except ConnectionRefusedError:
            time.sleep(0.01)
            continue
        with connection:
            connection.sendall(b"quit\r\n")
            assert connection.recv(1) == b""
        return
    raise RuntimeError(f"{server.name} did not start:\n{server.log_text()}")


def _stop(server: RunningServer) -> None:
    """Ask the server to end, and complain if it does not, or had failed before."""
    ended_before = server.process.poll()
    if ended_before is None:
        server.process.terminate()
        try:
            server.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
            raise RuntimeError(f"{server.name} ignored SIGTERM:\n{server.log_text()}") from None
    if server.process.returncode not in (0, -signal.SIGTERM, -signal.SIGKILL):
        raise RuntimeError(
            f"{server.name} ended with status {server.process.returncode}:\n{server.log_text()}"
        )
