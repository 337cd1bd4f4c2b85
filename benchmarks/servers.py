"""The servers under measurement: how to start one, and how much CPU it has used."""

import random
import resource
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

from beanrow.bench.load import Protocol
from benchmarks.cores import pin
from benchmarks.errors import BenchmarkError

HOST = "127.0.0.1"
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 15.0
REPLY_TIMEOUT_S = 60.0

CHECKOUT = Path(__file__).resolve().parent.parent
BEANSTALKD = CHECKOUT / ".peers" / "beanstalkd" / "usr" / "bin" / "beanstalkd"
REDIS_FOLDER = CHECKOUT / ".peers" / "redis" / "usr"


@dataclass(frozen=True)
class Contender:
    """One side of a comparison: a name and a command line, in which {port} is filled in."""

    name: str
    command: str
    protocol: Protocol = "beanstalk"

    def arguments(self, port: int) -> list[str]:
        """The words to execute so that it listens on `port` of the loopback address."""
        return [word.replace("{port}", str(port)) for word in shlex.split(self.command)]


BEANROW_COMMAND = f"{shlex.quote(sys.executable)} -m beanrow serve -l {HOST} -p {{port}}"
BEANSTALKD_COMMAND = f"{shlex.quote(str(BEANSTALKD))} -l {HOST} -p {{port}}"


def redis_contender() -> Contender:
    """Redis as a peer, all in memory: that of `make peers`, with the libraries beside it."""
    libraries = ":".join(map(str, (REDIS_FOLDER / "lib").glob("*-linux-gnu*")))
    command = (
        f"env LD_LIBRARY_PATH={shlex.quote(libraries)} "
        f"{shlex.quote(str(REDIS_FOLDER / 'bin' / 'redis-server'))} "
        f"--bind {HOST} --port {{port}} --save '' --appendonly no"
    )
    return Contender("Redis", command, "redis")


@dataclass(frozen=True)
class Server:
    """A server that runs and answers."""

    pid: int
    port: int
    version: str
    protocol: Protocol = "beanstalk"

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
    _make_room_for_descriptors()
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                [*contender.arguments(port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        except OSError as error:
            advice = "; run `make peers`" if str(CHECKOUT / ".peers") in contender.command else ""
            raise BenchmarkError(f"cannot start {contender.name}: {error}{advice}") from error
        try:
            pin(process.pid, core)
            yield _wait_until_it_answers(contender, process, port, log, start_timeout_s)
        finally:
            _stop(process)


def _make_room_for_descriptors() -> None:
    """Let what is started here have as many connections as the system permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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
            pid, version = _ASK[contender.protocol](port, timeout_s)
        except ConnectionRefusedError:
            time.sleep(0.01)
            continue
        # The port could have been taken meanwhile by somebody else's server.
        if pid != str(process.pid):
            raise BenchmarkError(
                f"{contender.name}: the server on port {port} is not the process we started"
            )
        return Server(process.pid, port, version, contender.protocol)
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


def _ask_beanstalk(port: int, timeout_s: float) -> tuple[str | None, str]:
    """Ask for the process id and the version."""
    facts = ask_stats(port, timeout_s)
    return facts.get("pid"), facts.get("version", "?").strip('"')


def _ask_redis(port: int, timeout_s: float) -> tuple[str | None, str]:
    """Likewise; its document has `key:value` lines, and a head with its length."""
    with socket.create_connection((HOST, port), timeout_s) as connection:
        connection.sendall(b"INFO server\r\n")
        with connection.makefile("rb") as replies:
            head = replies.readline()
            if not head.startswith(b"$"):
                raise BenchmarkError(f"the server on port {port} is not Redis: {head!r}")
            document = replies.read(int(head[1:])).decode()
    facts = dict(line.split(":", 1) for line in document.splitlines() if ":" in line)
    return facts.get("process_id"), facts.get("redis_version", "?")


#: How to ask a server for its process id, None if it does not tell, and its version.
_ASK = {"beanstalk": _ask_beanstalk, "redis": _ask_redis}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server. What it holds is of no value, so it gets only a moment to stop by itself."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
