"""The servers under measurement: how to start one, and how much CPU it has used."""

import random
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.cores import pin
from benchmarks.errors import BenchmarkError

HOST = "127.0.0.1"
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 15.0
REPLY_TIMEOUT_S = 60.0

CHECKOUT = Path(__file__).resolve().parent.parent
BEANSTALKD = CHECKOUT / ".peers" / "beanstalkd" / "usr" / "bin" / "beanstalkd"


@dataclass(frozen=True)
class Contender:
    """One side of a comparison: a name and a command line, in which {port} is filled in."""

    name: str
    command: str

    def arguments(self, port: int) -> list[str]:
        """The words to execute so that it listens on `port` of the loopback address."""
        return [word.replace("{port}", str(port)) for word in shlex.split(self.command)]


BEANROW_COMMAND = f"{shlex.quote(sys.executable)} -m beanrow serve -l {HOST} -p {{port}}"
BEANSTALKD_COMMAND = f"{shlex.quote(str(BEANSTALKD))} -l {HOST} -p {{port}}"


@dataclass(frozen=True)
class Server:
    """A server that runs and answers."""

    pid: int
    port: int
    version: str

    def cpu_s(self) -> float:
        """Read the CPU seconds it has used in all its threads, user and system together.

        These are the utime and stime of /proc/PID/stat, read from the CPU clock of the process,
        which counts nanoseconds instead of 10 ms ticks (see clock_getcpuclockid(3)).
        """
        return time.clock_gettime((~self.pid << 3) | 2)

    def connect(self) -> socket.socket:
        """Open a connection that fails with TimeoutError rather than wait for ever."""
        return socket.create_connection((HOST, self.port), REPLY_TIMEOUT_S)


@contextmanager
def running(
    contender: Contender,
    core: int | None,
    options: Sequence[str] = (),
    start_timeout_s: float = START_TIMEOUT_S,
) -> Iterator[Server]:
    """Run a fresh server, pinned to a core, and end it afterwards.

    The options are put behind its command line. Raises BenchmarkError when it cannot be started or
    does not answer within `start_timeout_s`.
    """
    port = _free_port()
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                [*contender.arguments(port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        except OSError as error:
            advice = "; run `make peers`" if str(BEANSTALKD) in contender.command else ""
            raise BenchmarkError(f"cannot start {contender.name}: {error}{advice}") from error
        try:
            pin(process.pid, core)
            yield _wait_until_it_answers(contender, process, port, log, start_timeout_s)
        finally:
            _stop(process)


def _free_port() -> int:
    """Find a port nobody listens on, below those the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def _wait_until_it_answers(
    contender: Contender,
    process: subprocess.Popen[bytes],
    port: int,
    log: IO[bytes],
    timeout_s: float,
) -> Server:
    give_up_at_s = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < give_up_at_s:
        try:
            facts = ask_stats(port, timeout_s)
        except ConnectionRefusedError:
            time.sleep(0.01)
            continue
        # The port could have been taken meanwhile by somebody else's server.
        if facts.get("pid") != str(process.pid):
            raise BenchmarkError(
                f"{contender.name}: the server on port {port} is not the process we started"
            )
        return Server(process.pid, port, facts.get("version", "?").strip('"'))
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    raise BenchmarkError(f"{contender.name} did not start: {lines[-1] if lines else 'no reason'}")


def ask_stats(port: int, timeout_s: float = REPLY_TIMEOUT_S) -> dict[str, str]:
    """Ask for the stats document of the whole server, `key: value` lines of YAML."""
    with socket.create_connection((HOST, port), timeout_s) as connection:
        connection.sendall(b"stats\r\n")
        with connection.makefile("rb") as replies:
            head = replies.readline().split()
            if len(head) != 2 or head[0] != b"OK":
                raise BenchmarkError(f"the server on port {port} does not answer stats with OK")
            document = replies.read(int(head[1])).decode()
    pairs = (line.partition(": ") for line in document.splitlines())
    return {key: value for key, _, value in pairs}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server. What it holds is of no value, so it gets only a moment to stop by itself."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
