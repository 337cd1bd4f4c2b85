"""The commands for people, run as people run them, against both servers."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from beanrow import Connection
from tests.peers import RunningServer, free_port

Run = Callable[..., subprocess.CompletedProcess[bytes]]

BEANROW = [sys.executable, "-m", "beanrow"]


@pytest.fixture
def queue(either_server: RunningServer) -> Iterator[Connection]:
    with Connection(either_server.host, either_server.port) as connection:
        yield connection


@pytest.fixture
def environment(either_server: RunningServer) -> dict[str, str]:
    return {**os.environ, "BEANROW_SERVER": f"{either_server.host}:{either_server.port}"}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    def run(*arguments: str | bytes, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*BEANROW, *arguments],
            check=False,
            env=environment,
            input=stdin,
            capture_output=True,
            timeout=30,
        )

    return run


def beanrow(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BEANROW, *arguments], check=False, capture_output=True, text=True, timeout=30
    )


def bodies(queue: Connection) -> list[bytes]:
    """Empty the tube."""
    found = []
    while (job := queue.reserve(0)) is not None:
        found.append(job.body)
        job.delete()
    return found


def test_put_makes_a_job_of_each_argument(run: Run, queue: Connection) -> None:
    done = run("put", "hello world", b"caf\xe9", "--", "-x")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n2\n3\n", b"")
    assert bodies(queue) == [b"hello world", b"caf\xe9", b"-x"]


@pytest.mark.parametrize("arguments", [["put"], ["put", "-"]])
def test_put_reads_a_body_byte_for_byte(run: Run, queue: Connection, arguments: list[str]) -> None:
    assert run(*arguments, stdin=b"a\r\nb\0\n").returncode == 0
    assert bodies(queue) == [b"a\r\nb\0\n"]


def test_put_makes_a_job_of_each_line(run: Run, queue: Connection) -> None:
    assert run("put", "--lines", stdin=b"a\n\nb\r\nc").stdout == b"1\n2\n3\n4\n"
    assert bodies(queue) == [b"a", b"", b"b", b"c"]


def test_put_says_how(run: Run, queue: Connection) -> None:
    done = run("put", "-t", "mail", "-p", "7", "-d", "60", "--ttr", "9", "--json", "hello")
    assert json.loads(done.stdout) == {"id": 1, "tube": "mail"}
    stats = queue.stats_job(1)
    assert (stats.tube, stats.pri, stats.delay, stats.ttr) == ("mail", 7, 60, 9)


@pytest.mark.parametrize(
    ("fate", "state"), [("--delete", None), ("--release", "ready"), ("--bury", "buried")]
)
def test_reserve_does_what_was_said(
    run: Run, queue: Connection, fate: str, state: str | None
) -> None:
    queue.put("hello", priority=7)
    done = run("reserve", fate)
    assert (done.returncode, done.stdout) == (0, b"hello\n")
    assert done.stderr == b"job 1 from tube default, 5 B:\n"
    if state is None:
        assert queue.peek(1) is None
    else:
        assert (queue.stats_job(1).state, queue.stats_job(1).pri) == (state, 7)


def test_reserve_releases_when_nobody_can_be_asked(run: Run, queue: Connection) -> None:
    queue.put("hello\n")
    assert run("reserve").stdout == b"hello\n"
    assert queue.stats_job(1).releases == 1


def test_reserve_takes_several_from_the_named_tubes_only(run: Run, queue: Connection) -> None:
    for tube in ("default", "mail", "urls"):
        queue.use(tube)
        queue.put(tube)
    done = run("reserve", "-t", "mail", "-t", "urls", "--follow", "--timeout", "0", "--delete")
    assert (done.returncode, done.stdout) == (1, b"mail\nurls\n")
    assert done.stderr.endswith(b"\nbeanrow reserve: no job within 0 s\n")
    assert queue.peek(1) is not None


def test_reserve_prints_json(run: Run, queue: Connection) -> None:
    queue.put("é", 7)
    queue.put(b"\xff", 8)
    lines = run("reserve", "--json", "--count", "2", "--delete").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": 1, "tube": "default", "priority": 7, "body": "é"},
        {"id": 2, "tube": "default", "priority": 8, "body_base64": "/w=="},
    ]


def test_reserve_wants_to_know_what_becomes_of_several_jobs(run: Run) -> None:
    done = run("reserve", "--follow")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"add --delete, --release or --bury" in done.stderr


def test_reserve_asks_at_a_terminal(queue: Connection, environment: dict[str, str]) -> None:
    queue.put("hello")
    ours, theirs = pty.openpty()
    command = [*BEANROW, "reserve"]
    with (
        os.fdopen(ours, "r+b", buffering=0) as terminal,
        subprocess.Popen(
            command, env=environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
        ) as process,
    ):
        os.close(theirs)
        for answer in (b"what?\n", b"t\n", b"bury\n"):
            shown = b""
            while not shown.endswith(b"(more time)? "):
                shown += terminal.read(1)
            terminal.write(answer)
        assert process.stdout is not None
        assert process.stdout.read() == b"hello\n"
        assert process.wait() == 0
    stats = queue.stats_job(1)
    assert (stats.state, queue.stats().cmd_touch) == ("buried", 1)


def test_reserve_fails_when_the_answer_comes_too_late(beanrow_server: RunningServer) -> None:
    # Not with beanstalkd, which may miss the end of a ttr until the client says something.
    address = f"{beanrow_server.host}:{beanrow_server.port}"
    ours, theirs = pty.openpty()
    with (
        Connection(address) as queue,
        os.fdopen(ours, "r+b", buffering=0) as terminal,
        subprocess.Popen(
            [*BEANROW, "reserve", "--server", address],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        ) as process,
    ):
        os.close(theirs)
        queue.put("hello", ttr=1)
        shown = b""
        while not shown.endswith(b"(more time)? "):
            shown += terminal.read(1)
        job = queue.reserve(5)
        assert job is not None
        job.delete()
        terminal.write(b"d\n")
        while b"the server has taken it back\r\n" not in shown:
            shown += terminal.read(1)
        assert process.wait() == 1


def test_a_job_that_could_not_be_printed_is_not_deleted(
    queue: Connection, environment: dict[str, str]
) -> None:
    queue.put("x" * 60_000)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*BEANROW, "reserve", "--delete"],
        check=False,
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert (done.returncode, done.stderr.count(b"\n")) == (141, 1)
    assert queue.peek(1) is not None


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("put hello > /dev/full", "No space left on device"),
        ("put hello >&-", "standard output is closed"),
        ("put <&-", "standard input is closed"),
        ("reserve --delete > /dev/full", "No space left on device"),
        ("reserve --delete --json > /dev/full", "No space left on device"),
        ("reserve --delete >&-", "standard output is closed"),
        ("reserve --delete --json >&-", "standard output is closed"),
        ("tubes > /dev/full", "No space left on device"),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_useless_standard_stream_is_told_in_one_line(
    queue: Connection, environment: dict[str, str], command: str, cause: str, unbuffered: str
) -> None:
    queue.put("a job that nobody has seen")
    done = in_a_shell(command, {**environment, "PYTHONUNBUFFERED": unbuffered})
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith(f"beanrow {command.split(maxsplit=1)[0]}: ")
    assert cause in last
    assert "Traceback" not in done.stderr
    assert queue.peek(1) is not None


def test_what_needs_no_standard_input_does_without(
    queue: Connection, environment: dict[str, str]
) -> None:
    assert in_a_shell("put hello <&-", environment).stdout == "1\n"
    assert in_a_shell("reserve <&- 2>&-", environment).stdout == "hello\n"
    assert queue.stats_job(1).releases == 1


def in_a_shell(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m beanrow {command}'],
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_ctrl_c_ends_a_waiting_worker_quietly(
    queue: Connection, environment: dict[str, str]
) -> None:
    with subprocess.Popen(
        [*BEANROW, "reserve"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while queue.stats_tube("default").current_waiting == 0:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 130


def test_tubes_are_listed_by_name_with_their_jobs(run: Run, queue: Connection) -> None:
    queue.use("a-tube-with-a-name")
    for priority in (1, 2000, 3000):
        queue.put("x", priority)
    queue.put("x", delay=60)
    lines = run("tubes").stdout.decode().splitlines()
    assert lines[0].split() == (
        [
            "tube",
            "ready",
            "urgent",
            "delayed",
            "reserved",
            "buried",
            "using",
            "watching",
            "waiting",
            "paused",
        ]
    )
    assert [line.split() for line in lines[1:]] == [
        ["a-tube-with-a-name", "3", "1", "1", "0", "0", "1", "0", "0", "0"],
        ["default", "0", "0", "0", "0", "0", "1", "2", "0", "0"],
    ]
    assert len({len(line) for line in lines}) == 1
    tubes = json.loads(run("tubes", "--json").stdout)
    assert [(tube["name"], tube["current-jobs-ready"]) for tube in tubes] == [
        ("a-tube-with-a-name", 3),
        ("default", 0),
    ]


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        ([], "cmd-put", 2),
        ([], "draining", False),
        (["mail"], "total-jobs", 1),
        (["2"], "tube", "12"),
        (["--tube", "12"], "name", "12"),
    ],
)
def test_stats_of_the_server_a_tube_and_a_job(
    run: Run, queue: Connection, arguments: list[str], key: str, value: Any
) -> None:
    for tube in ("mail", "12"):
        queue.use(tube)
        queue.put("x")
    lines = run("stats", *arguments).stdout.decode().splitlines()
    shown = dict(line.split(maxsplit=1) for line in lines)
    assert shown[key] == str(value).lower()
    assert json.loads(run("stats", *arguments, "--json").stdout)[key] == value


def test_kick_makes_buried_jobs_ready(run: Run, queue: Connection) -> None:
    for _ in range(3):
        queue.put("x")
        queue.reserve().bury()
    assert run("kick").stdout == b"1\n"
    assert run("kick", "--job", "3").stdout == b"1\n"
    assert json.loads(run("kick", "10", "--json").stdout) == {"kicked": 1}
    assert queue.stats().current_jobs_ready == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stats", "99"], b"beanrow stats: no such job: 99\n"),
        (["stats", "nowhere"], b"beanrow stats: no such tube: nowhere\n"),
        (["stats", "--tube", "99"], b"beanrow stats: no such tube: 99\n"),
        (["kick", "--job", "99"], b"beanrow kick: job 99 does not exist, or is "),
        (["put", "x" * 65536], b"beanrow put: put 2147483648 0 120 65536: JOB_TOO_BIG: "),
    ],
)
def test_a_refusal_is_one_line_and_status_1(run: Run, arguments: list[str], message: bytes) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(message)
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["put", "--priority", "high", "x"], "high"),
        (["put", "--prio", "1", "x"], "unknown: --prio"),
        (["put", "--priority", "-1", "x"], "priority: -1 is not"),
        (["put", "--tube", "two words", "x"], "'two words'"),
        (["put", "--lines", "a", "b"], "--lines: "),
        (["put", "-", "-"], "'-' twice"),
        (["reserve", "--delete", "--bury"], "--bury"),
        (["reserve", "--timeout", "-1"], "timeout: -1"),
        (["reserve", "--count", "0"], "--count: 0"),
        (["tubes", "mail"], "unknown: mail"),
        (["stats", "--server", "redis://here"], "redis://here"),
        (["kick", "--tube", "mail", "--job", "5"], "--tube: not with --job"),
        (["kick", "1", "--job", "5"], "--job"),
        (["serve", "--foo"], "unknown: --foo"),
        (["serve", "-p"], "-p"),
    ],
)
def test_misuse_is_one_line_that_names_the_command(
    run: Run, arguments: list[str], words: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    said = done.stderr.decode()
    command = f"beanrow {arguments[0]}"
    assert said.startswith(f"{command}: ")
    assert words in said
    assert said.endswith(f"; see {command} --help\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--foo", "tubes"]])
def test_misuse_of_no_command_is_one_line_too(arguments: list[str]) -> None:
    done = beanrow(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.endswith("; see beanrow --help\n")


def test_a_server_that_is_not_there_is_named() -> None:
    port = free_port()
    done = beanrow("tubes", "-s", f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"beanrow tubes: cannot connect to 127.0.0.1:{port}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["put", "reserve", "tubes", "stats", "kick"])
def test_every_command_teaches_by_example(command: str) -> None:
    assert f"  {command}" in beanrow("--help").stdout
    assert f"examples:\n  beanrow {command}" in beanrow(command, "--help").stdout


def test_commands_of_clients_do_not_load_the_server(environment: dict[str, str]) -> None:
    program = (
        "import sys; from beanrow.cli import main; main(['tubes']); "
        "sys.exit([name for name in sys.modules if name.startswith('beanrow.server')] or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, env=environment, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
