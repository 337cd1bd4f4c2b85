"""Commands that cannot read, cannot write or are given too much: one line, and no traceback."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beanrow import Connection
from tests.peers import RunningServer, running_beanrow

BEANROW = (sys.executable, "-m", "beanrow")
BEANROWD = (sys.executable, "-m", "beanrow.cli.beanrowd")
#: As for most people: output goes out when there is enough of it, or at the end.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def queue(either_server: RunningServer) -> Iterator[Connection]:
    with Connection(either_server.host, either_server.port) as connection:
        yield connection


@pytest.fixture
def run(either_server: RunningServer) -> Run:
    def run(
        *arguments: str, variables: dict[str, str] | None = None, **rest: Any
    ) -> subprocess.CompletedProcess[bytes]:
        server = {"BEANROW_SERVER": f"{either_server.host}:{either_server.port}"}
        return finished(*BEANROW, *arguments, env=BUFFERED | server | (variables or {}), **rest)

    return run


def finished(*command: str | bytes, **popen_arguments: Any) -> subprocess.CompletedProcess[bytes]:
    settings: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": BUFFERED,
        "timeout": 30,
    }
    return subprocess.run(list(command), check=False, **settings | popen_arguments)


@pytest.mark.parametrize("unbuffered", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("option", ["-h", "-v"])
def test_help_that_cannot_be_printed(option: str, unbuffered: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with Path("/dev/full").open("wb") as full, os.fdopen(writing) as unread:
        done = finished(*BEANROWD, option, stdout=full, env=BUFFERED | unbuffered)
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
        assert done.stderr.startswith(b"beanrowd: cannot ")
        done = finished(*BEANROWD, option, stdout=unread, env=BUFFERED | unbuffered)
        assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["put", "--help"]])
def test_help_of_commands_that_cannot_be_printed(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = finished(*BEANROW, *arguments, stdout=full)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert done.stderr.startswith(b"beanrow: cannot ")


def test_a_mistake_that_cannot_be_told_has_its_status(run: Run) -> None:
    with Path("/dev/full").open("wb") as full:
        assert run("stats", "99", stderr=full).returncode == 1
        assert run("stats", "a b", stderr=full).returncode == 2
        assert finished(*BEANROWD, "-z", "x", stderr=full).returncode == 5


def test_json_is_utf_8_at_whatever_terminal(run: Run, queue: Connection) -> None:
    queue.put("é €")
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = run("reserve", "--delete", "--json", variables=ascii_only)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode("utf-8"))["body"] == "é €"
    assert queue.peek(1) is None


def test_what_a_terminal_has_no_letters_for_is_escaped() -> None:
    environment = BUFFERED | {"PYTHONIOENCODING": "ascii", "BEANROW_SERVER": "caf\u00e9"}
    done = finished(*BEANROW, "tubes", "--help", env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"now caf\\xe9" in done.stdout


def test_a_number_that_is_no_job_id(run: Run) -> None:
    done = run("stats", "7" * 5000)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"beanrow stats: a job id has no 5000 digits; see beanrow stats --help\n"


def test_a_body_without_end_is_noticed_before_it_is_sent(run: Run, queue: Connection) -> None:
    with Path("/dev/zero").open("rb") as zeros:
        done = run("put", stdin=zeros)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == (
        b"beanrow put: standard input is longer than the 65535 bytes that this server takes\n"
    )
    assert queue.stats().cmd_put == 0


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_longest_line_is_a_job_and_a_longer_one_is_not(
    run: Run, queue: Connection, end: bytes
) -> None:
    done = run("put", "--lines", input=b"x" * 65535 + end)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n", b"")
    done = run("put", "--lines", input=b"short\n" + b"x" * 65536 + end)
    assert (done.returncode, done.stdout) == (1, b"2\n")
    assert done.stderr.startswith(b"beanrow put: line 2 of the input is longer than the 65535 ")
    assert queue.stats_tube("default").current_jobs_ready == 2
    assert len(queue.reserve().body) == 65535


def test_a_body_beyond_memory_is_told() -> None:
    def limit_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (300_000_000, 300_000_000))

    with running_beanrow("-z", "1000000000") as server, Path("/dev/zero").open("rb") as zeros:
        address = f"{server.host}:{server.port}"
        put = (*BEANROW, "put", "-s", address)
        done = finished(*put, stdin=zeros, preexec_fn=limit_memory)
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr == b"beanrow put: there is not enough memory for this\n"
        done = finished(*put, input=b"small", preexec_fn=limit_memory)
        assert (done.returncode, done.stdout) == (0, b"1\n")


@pytest.mark.parametrize("body", [b"", b"no line end", b"\r\n", bytes(range(256)) * 200])
def test_reserve_prints_the_bare_body(run: Run, queue: Connection, body: bytes) -> None:
    assert run("put", input=body).returncode == 0
    done = run("reserve", "--delete", "--raw")
    assert (done.returncode, done.stdout, done.stderr) == (0, body, b"")
    assert queue.peek(1) is None


def test_a_bare_body_that_cannot_be_printed_is_not_deleted(run: Run, queue: Connection) -> None:
    queue.put("hello")
    with Path("/dev/full").open("wb") as full:
        done = run("reserve", "--delete", "--raw", stdout=full)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert queue.peek(1) is not None


def test_a_bare_body_is_no_json(run: Run) -> None:
    done = run("reserve", "--raw", "--json")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)


#: Sends the signal of Ctrl-C when a certain module is about to be loaded.
INTERRUPTED_WHILE_LOADING = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from {command} import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("command", "module", "arguments"),
    [
        ("beanrow.cli", "beanrow.cli.command_line", ["tubes"]),
        ("beanrow.cli", "beanrow.client.sync", ["reserve"]),
        ("beanrow.cli", "beanrow.server.server", ["serve", "-p", "0"]),
        ("beanrow.cli.beanrowd", "beanrow.server.server", ["-p", "0"]),
    ],
)
def test_ctrl_c_while_a_command_is_loaded(command: str, module: str, arguments: list[str]) -> None:
    program = INTERRUPTED_WHILE_LOADING.format(command=command)
    done = finished(sys.executable, "-c", program, module, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_the_server_does_not_load_the_client() -> None:
    program = (
        "import sys; from beanrow.cli.beanrowd import main; main(['-z', 'x']);"
        "import beanrow.server.run;"
        "sys.exit(any(name.startswith('beanrow.client') for name in sys.modules))"
    )
    assert finished(sys.executable, "-c", program).returncode == 0
