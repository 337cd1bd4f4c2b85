"""`beanrow bench`, run as people run it: what it prints, and that it leaves nothing behind."""

import json
import os
import pty
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from beanrow import Connection
from tests.peers import HOST, RunningServer, free_port, running_beanrow

BENCH: Final = (sys.executable, "-m", "beanrow", "bench")
TIMEOUT_S: Final = 60

if shutil.which(os.environ.get("CC", "cc")) is None:
    pytestmark = pytest.mark.skip(reason="there is no C compiler to make the load generator with")


def bench(
    server: RunningServer | str, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    address = server if isinstance(server, str) else f"{server.host}:{server.port}"
    return subprocess.run(
        [*BENCH, "-s", address, *options],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def measured(server: RunningServer | str, *options: str) -> dict[str, Any]:
    done = bench(server, "--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def jobs_and_tubes(server: RunningServer) -> tuple[int, list[str]]:
    """What there is in a server, once it has seen that connections are gone."""
    with Connection(server.host, server.port) as queue:
        give_up_at_s = time.monotonic() + 5
        while queue.stats().current_connections > 1 and time.monotonic() < give_up_at_s:
            time.sleep(0.01)
        stats = queue.stats()
        jobs = stats.current_jobs_ready + stats.current_jobs_reserved + stats.current_jobs_buried
        return jobs, queue.tubes()


NOTHING: Final = (0, ["default"])


def test_the_table_tells_rate_and_latencies(either_server: RunningServer) -> None:
    done = bench(either_server, "--seconds", "0.2", "--connections", "5", "--in-flight", "3")
    assert (done.returncode, done.stderr) == (0, "")
    server, settings, empty, headings, numbers, *_ = done.stdout.splitlines()
    assert server.startswith(f"{either_server.host}:{either_server.port}, version ")
    assert settings.startswith(
        "put, reserve, delete on 5 connections, 3 in flight each, bodies of 100 bytes, 0.2"
    )
    assert empty == ""
    titles = ("commands/s", "jobs/s", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs")
    values = [int(number.replace(",", "")) for number in numbers.split()]
    assert len(values) == len(titles)
    assert all(title in headings for title in titles)
    assert values[2:] == sorted(values[2:])
    assert values[0] >= 3 * values[1] - 3 > 0
    assert jobs_and_tubes(either_server) == NOTHING


def test_json_has_every_number(either_server: RunningServer) -> None:
    document = measured(either_server, "--seconds", "0.1", "--body", "3000", "--mix", "put")
    assert document["commands"] > 0
    assert document["commands_per_s"] == document["commands"] / document["seconds"]
    assert (document["mix"], document["body_bytes"], document["rate"]) == ("put", 3000, None)
    assert jobs_and_tubes(either_server) == NOTHING


def test_a_rate_is_kept(either_server: RunningServer) -> None:
    document = measured(either_server, "--seconds", "0.5", "--rate", "1000", "--connections", "4")
    assert document["commands"] + document["missed"] == 500
    assert document["seconds"] >= 0.5


def test_what_is_done_after_the_end_is_not_counted(either_server: RunningServer) -> None:
    """Each connection has put one job when the time is over, and has to get rid of it."""
    document = measured(either_server, "--seconds", "0.2", "--rate", "100", "--connections", "50")
    assert (document["commands"], document["missed"]) == (20, 0)
    assert document["commands_per_s"] <= 100
    assert jobs_and_tubes(either_server) == NOTHING


def test_a_low_rate_is_kept_to_the_moment(beanrow_server: RunningServer) -> None:
    late_us = []
    for _ in range(3):  # another program may have the processor once, hardly each time
        document = measured(beanrow_server, "--seconds", "1.1", "--rate", "1")
        assert document["commands"] == 2
        late_us.append(document["late_p99_us"])
    assert min(late_us) < 300  # a thousandth of the second is 1,000


def test_a_rate_below_one_is_not_told_as_none(beanrow_server: RunningServer) -> None:
    done = bench(beanrow_server, "--seconds", "2.4", "--rate", "0.4")
    numbers = done.stdout.splitlines()[4].split()
    assert numbers[:2] == ["0.42", "0.14"]


def test_a_server_that_cannot_keep_the_rate_is_told(beanrow_server: RunningServer) -> None:
    done = bench(beanrow_server, "--seconds", "0.2", "--rate", "90000000")
    assert "did not keep up with 90,000,000 commands/s" in done.stdout


def test_others_are_left_alone(either_server: RunningServer) -> None:
    with Connection(either_server.host, either_server.port) as queue:
        job_id = queue.put("mine")
        measured(either_server, "--seconds", "0.1")
        measured(either_server, "--seconds", "0.1", "--mix", "put")
        stats = queue.stats_job(job_id)
        assert (stats.state, stats.reserves) == ("ready", 0)


def test_it_speaks_through_a_socket_in_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with running_beanrow("-l", f"unix:{path}"):
        assert measured(str(path), "--seconds", "0.1")["commands"] > 0


def test_all_connections_have_their_turn(beanrow_server: RunningServer) -> None:
    document = measured(beanrow_server, "--seconds", "0.2", "--connections", "100", "--active", "2")
    assert document["active"] == 2
    assert jobs_and_tubes(beanrow_server) == NOTHING


# --- when it does not go well -------------------------------------------------------------------


@contextmanager
def running_bench(server: RunningServer, *options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*BENCH, "-s", f"{server.host}:{server.port}", "--seconds", "60", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_puts(server: RunningServer, puts: int = 100) -> str:
    """Wait until the load is there; returns the tube that it works in."""
    give_up_at_s = time.monotonic() + TIMEOUT_S
    with Connection(server.host, server.port) as queue:
        while queue.stats().cmd_put < puts:
            assert time.monotonic() < give_up_at_s
            time.sleep(0.01)
        (tube,) = (name for name in queue.tubes() if name != "default")
        return tube


@pytest.mark.parametrize("mix", ["put", "cycle"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_cleans_up_when_it_is_interrupted(
    either_server: RunningServer, number: signal.Signals, mix: str
) -> None:
    with running_bench(either_server, "--mix", mix) as process:
        assert wait_for_puts(either_server).startswith("beanrow-bench-")
        process.send_signal(number)
        said = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, *said) == (130, "", "")
    assert jobs_and_tubes(either_server) == NOTHING


def test_it_cleans_up_when_the_load_fails(either_server: RunningServer) -> None:
    with running_bench(either_server, "--mix", "put") as process:
        tube = wait_for_puts(either_server)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        said = process.communicate(timeout=TIMEOUT_S)
    assert said == ("", "beanrow bench: the load generator ended with status -9\n")
    assert process.returncode == 1
    assert tube not in jobs_and_tubes(either_server)[1]


def test_what_cannot_be_removed_is_told(beanrow_server: RunningServer) -> None:
    with running_bench(beanrow_server, "--mix", "put") as process:
        tube = wait_for_puts(beanrow_server)
        beanrow_server.process.kill()
        _, said = process.communicate(timeout=TIMEOUT_S)
    address = f"{beanrow_server.host}:{beanrow_server.port}"
    assert said.startswith(
        f"beanrow bench: the server closed a connection; jobs may be left in the tube {tube} ("
    )
    assert said.endswith(f"; to remove them: beanrow bench -s {address} --clean {tube}\n")
    assert said.count("\n") == 1
    assert process.returncode == 1


@pytest.mark.parametrize("body", ["", "abcdefg"])
def test_what_was_left_can_be_removed(either_server: RunningServer, body: str) -> None:
    tube = "beanrow-bench-1-left"
    with Connection(either_server.host, either_server.port) as queue:
        queue.use(tube)
        queue.watch(tube)
        for _ in range(1000):
            queue.put(body)
        job = queue.reserve(timeout=0)
        assert job is not None
        job.bury()
    done = bench(either_server, "--clean", tube)
    said = f"removed 1,000 jobs from the tube {tube}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    document = measured(either_server, "--clean", tube)
    assert (document["tube"], document["removed"]) == (tube, 0)
    assert jobs_and_tubes(either_server) == NOTHING


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """A server of another kind, for one client."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"{HOST}:{listener.getsockname()[1]}"
        thread.join()


def test_no_server_is_told_in_one_line() -> None:
    done = bench(f"{HOST}:{free_port()}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("beanrow bench: cannot connect to 127.0.0.1:")
    assert done.stderr.count("\n") == 1


def test_another_server_is_told_in_one_line() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        done = bench(address)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("beanrow bench: ")
    assert "HTTP/1.1" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_server_that_refuses_is_told_in_one_line(either_server: RunningServer) -> None:
    done = bench(either_server, "--body", "70000")
    assert (done.returncode, done.stdout) == (1, "")
    assert "JOB_TOO_BIG" in done.stderr
    assert done.stderr.count("\n") == 1
    os.kill(either_server.pid, signal.SIGUSR1)
    done = bench(either_server)
    assert (done.returncode, done.stdout) == (1, "")
    assert "DRAINING" in done.stderr
    assert done.stderr.count("\n") == 1
    assert jobs_and_tubes(either_server) == NOTHING


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--connections", "0"], "argument --connections: 0 is not from 1 to 1000000"),
        (["--connections", "many"], "argument --connections: 'many' is not a whole number"),
        (["--rate", "nan"], "argument --rate: 'nan' is not a number from 0.1 to 1e+08"),
        (["--seconds", "0"], "argument --seconds: '0' is not a number from 0.01 to 1e+06"),
        (["--active", "51"], "--active: 51 of 50 connections"),
        (["--clean", "mail"], "argument --clean: 'mail' is no tube of this command"),
        (["--mix", "delete"], "argument --mix: invalid choice: 'delete'"),
    ],
)
def test_a_mistake_is_told_in_one_line(options: list[str], complaint: str) -> None:
    done = bench(f"{HOST}:1", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert done.stderr.endswith("; see beanrow bench --help\n")
    assert done.stderr.count("\n") == 1


def test_too_many_connections_for_this_machine_are_told(beanrow_server: RunningServer) -> None:
    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    done = subprocess.run(
        [*BENCH, "-s", f"{beanrow_server.host}:{beanrow_server.port}", "--connections", "99"],
        preexec_fn=few_descriptors,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 1
    assert "99 connections are too many for the limit of open files here, which is 100" in (
        done.stderr
    )
    assert jobs_and_tubes(beanrow_server) == NOTHING


def test_without_a_compiler_the_way_out_is_told(
    beanrow_server: RunningServer, tmp_path: Path
) -> None:
    done = bench(beanrow_server, CC="no-such-compiler", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "no C compiler to make the load generator with (no-such-compiler" in done.stderr
    assert "gcc" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_signal_while_it_compiles_leaves_nothing(
    beanrow_server: RunningServer, tmp_path: Path
) -> None:
    compiler, cache = tmp_path / "slow", tmp_path / "cache"
    compiler.write_text("#!/bin/sh\nexec sleep 60\n")
    compiler.chmod(0o755)
    with subprocess.Popen(
        [*BENCH, "-s", f"{beanrow_server.host}:{beanrow_server.port}"],
        env={**os.environ, "CC": str(compiler), "XDG_CACHE_HOME": str(cache)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        give_up_at_s = time.monotonic() + TIMEOUT_S
        while not list(cache.glob("beanrow/unfinished-*")):
            assert time.monotonic() < give_up_at_s
            time.sleep(0.01)
        process.terminate()
        _, said = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, said) == (130, "")
    assert list((cache / "beanrow").iterdir()) == []


def test_progress_is_shown_at_a_terminal(beanrow_server: RunningServer) -> None:
    ours, theirs = pty.openpty()
    address = f"{beanrow_server.host}:{beanrow_server.port}"
    with subprocess.Popen(
        [*BENCH, "-s", address, "--seconds", "0.8"], stdout=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = read_all(ours)
    assert process.returncode == 0
    assert "connecting 50 times" in shown
    assert " of 0.8 s, " in shown
    assert shown.endswith("\r\x1b[K")


def read_all(terminal: int) -> str:
    """Read until the other end is closed."""
    shown = b""
    try:
        while select.select([terminal], [], [], TIMEOUT_S)[0] and (chunk := os.read(terminal, 999)):
            shown += chunk
    except OSError:  # how Linux tells the end of a terminal
        pass
    os.close(terminal)
    return shown.decode()


def test_help_names_every_option() -> None:
    done = subprocess.run([*BENCH, "--help"], capture_output=True, text=True, check=True)
    for option in ("server", "json", "mix", "connections", "active", "in-flight", "body", "rate"):
        assert f"--{option} " in done.stdout or f"--{option}\n" in done.stdout
    assert "--seconds S" in done.stdout
