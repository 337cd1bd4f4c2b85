"""The benchmarks measure what they say: a few hundred commands, and no word about speed."""

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import beanrow
from beanrow.build import BUILD
from benchmarks import durability
from benchmarks.__main__ import main
from benchmarks.cases import PAUSED_TUBES, Case
from benchmarks.compare import PACED_SPLIT
from benchmarks.cores import choose_cores
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, build_load
from benchmarks.prefill import prefill
from benchmarks.servers import HOST, Server
from tests.peers import RunningServer, lacks, require_peer

BODY = b"abcdefghij"  # what the generator puts when it is asked for ten bytes


@pytest.fixture(scope="module")
def load() -> Load:
    if shutil.which(os.environ.get("CC", "cc")) is None:
        lacks("no C compiler to make the load generator with")
    return Load(build_load(), choose_cores(), body_bytes=len(BODY))


def ask(server: RunningServer, command: bytes) -> dict[str, str]:
    """Send a stats command and read its document."""
    with server.connect() as connection, connection.makefile("rb") as replies:
        connection.sendall(command)
        document = replies.read(int(replies.readline().split()[1])).decode()
    return dict(line.split(": ", 1) for line in document.splitlines() if ": " in line)


def as_measured(server: RunningServer) -> Server:
    return Server(server.pid, server.port, version="")


@pytest.mark.parametrize(("connections", "window"), [(1, 1), (7, 1), (3, 20)])
def test_cycles_leave_an_empty_queue(
    load: Load, either_server: RunningServer, connections: int, window: int
) -> None:
    case = Case("", "cycle", connections, window)
    measured = load.run(as_measured(either_server), case, units=200, warmup_units=50)
    facts = ask(either_server, b"stats\r\n")
    assert measured.commands == 600
    assert 0 < measured.p50_us <= measured.p99_us
    assert measured.server_cpu_s > 0
    assert measured.load_cpu_s > 0
    assert [facts[f"cmd-{verb}"] for verb in ("put", "reserve", "delete")] == ["250"] * 3
    assert facts["current-jobs-ready"] == facts["current-jobs-reserved"] == "0"


def test_puts_leave_as_many_jobs(load: Load, either_server: RunningServer) -> None:
    measured = load.run(as_measured(either_server), Case("", "put", 5, 10), units=300)
    assert measured.commands == 300
    assert ask(either_server, b"stats\r\n")["current-jobs-ready"] == "300"


def test_a_run_ends_when_its_time_is_over(load: Load, either_server: RunningServer) -> None:
    measured = load.run(as_measured(either_server), Case("", "cycle", 2), seconds=0.01)
    assert measured.commands > 0
    assert measured.commands % 3 == 0


def test_prefill_makes_tubes_with_delayed_jobs(either_server: RunningServer) -> None:
    tubes = 2 * PAUSED_TUBES
    prefill(as_measured(either_server), tubes)
    facts = ask(either_server, b"stats\r\n")
    assert facts["current-jobs-delayed"] == str(tubes)
    assert facts["current-tubes"] == str(tubes + 1)
    assert facts["cmd-pause-tube"] == str(PAUSED_TUBES)


@contextmanager
def answering(replies: Sequence[bytes]) -> Iterator[Server]:
    """Run a server for one connection that gives these replies, whatever it is asked."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for reply in (b"USING default\r\n", *replies):
                    if not connection.recv(1000):
                        return
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Server(os.getpid(), listener.getsockname()[1], version="")
        finally:
            thread.join()


RIGHT = [b"INSERTED 1\r\n", b"RESERVED 1 10\r\n" + BODY + b"\r\n", b"DELETED\r\n"]


def test_right_replies_are_accepted(load: Load) -> None:
    with answering(RIGHT) as server:
        assert load.run(server, Case("", "cycle", 1), units=1).commands == 3


@pytest.mark.parametrize(
    ("replies", "complaint"),
    [
        ([b"BURIED 1\r\n"], 'unexpected reply to put: "BURIED 1"'),
        ([b"INSERTED\r\n"], 'unexpected reply to put: "INSERTED"'),
        ([b"INSERTED 0\r\n"], 'unexpected reply to put: "INSERTED 0"'),
        ([b"INSERTED 1 \r\n"], 'unexpected reply to put: "INSERTED 1 "'),
        ([b"INSERTED 1\n"], 'unexpected reply to put: "INSERTED 1"'),
        ([b"x" * 100], "unexpected reply to put"),
        ([RIGHT[0], b"TIMED_OUT\r\n"], 'unexpected reply to reserve: "TIMED_OUT"'),
        ([RIGHT[0], b"RESERVED 1 9\r\n"], 'unexpected reply to reserve: "RESERVED 1 9"'),
        ([RIGHT[0], b"RESERVED 1 10\r\nabcdefghiJ\r\n"], "another body than was put"),
        ([RIGHT[0], b"RESERVED 1 10\r\nabcdefghij, "], "another body than was put"),
        ([*RIGHT[:2], b"NOT_FOUND\r\n"], 'unexpected reply to delete: "NOT_FOUND"'),
        ([*RIGHT[:2], b"DELETED\r\nDELETED\r\n"], "a reply nobody asked for"),
        (RIGHT[:2], "closed a connection"),
    ],
)
def test_a_wrong_reply_is_an_error(load: Load, replies: list[bytes], complaint: str) -> None:
    with answering(replies) as server, pytest.raises(BenchmarkError, match=complaint):
        load.run(server, Case("", "cycle", 1), units=1)


@pytest.mark.usefixtures("load")
def test_the_command_compares_the_two_servers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_peer("beanstalkd")
    file = tmp_path / "result.json"
    words = ["--cases", "put-1,cycle-50", "--rounds", "2", "--seconds", "0.02", "--json", str(file)]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "cycle-50" in printed.out
    assert "rate ratio" in printed.out
    assert f"{beanrow.__version__}, {BUILD})" in printed.out
    assert "[6/6] cycle-50, round 2 of 2" in printed.err
    result = json.loads(file.read_text())
    assert [case["name"] for case in result["cases"]] == ["put-1", "cycle-50"]
    for case in result["cases"]:
        assert len(case["rounds"]) == 2
        assert all(one["baseline"]["commands"] > 0 for one in case["rounds"])
        assert all(one["candidate"]["server_us_per_command"] > 0 for one in case["rounds"])


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--cases", "nonsense"], "no case is called 'nonsense'"),
        (["--baseline", "./not-there {port}"], "cannot start baseline"),
        (["--baseline", "sh -c 'echo no port >&2; exit 3'"], "baseline did not start: no port"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1


@pytest.mark.usefixtures("load")
def test_the_durability_command_compares_rates_and_restarts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_peer("beanstalkd")
    file, journals = tmp_path / "result.json", tmp_path / "journals"
    words = ["--cases", "put-50-f0,cycle-1-F", "--rounds", "1", "--seconds", "0.02"]
    words += ["--restart-jobs", "500", "--directory", str(journals), "--json", str(file)]
    assert durability.main(words) == 0
    assert "restart with 500 jobs" in capsys.readouterr().out
    result = json.loads(file.read_text())
    assert [case["policy"] for case in result["cases"]] == ["-f 0", "-F"]
    assert all(size > 500 * 100 for size in result["restart"]["journal_bytes"])
    assert all(one["candidate"]["seconds"] > 0 for one in result["restart"]["rounds"])
    assert int(result["run"]["disk"]["syncs_per_s"]) > 0
    assert list(journals.iterdir()) == []


@pytest.mark.usefixtures("load")
def test_the_durability_command_watches_the_size_of_a_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_peer("beanstalkd")
    file = tmp_path / "result.json"
    words = ["--churn", "20000", "--directory", str(tmp_path / "journals"), "--json", str(file)]
    assert durability.main(words) == 0
    assert "20,000 put/reserve/delete beside a buried job" in capsys.readouterr().out
    churned = json.loads(file.read_text())["churn"]
    for side in ("baseline", "candidate"):
        assert churned[side]["worst"]["deletes"] > 0
        assert churned[side]["worst"]["bytes"] > 0
        assert churned[side]["samples"]
    assert churned["candidate"]["is_within_bound"]


def test_a_journal_that_cannot_be_made_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert durability.main(["--directory", "/proc/nowhere"]) == 1
    assert "no journal can be kept in /proc/nowhere" in capsys.readouterr().err


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(BenchmarkError, match="no C compiler"):
        build_load()


@pytest.mark.usefixtures("load")
def test_the_command_offers_half_of_the_highest_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_peer("beanstalkd")
    file = tmp_path / "result.json"
    words = ["--cases", "latency-half", "--rounds", "1", "--seconds", "0.1", "--json", str(file)]
    assert main(words) == 0
    assert "p99 ratio" in capsys.readouterr().out
    (case,) = json.loads(file.read_text())["cases"]
    assert case["rate"] > 1000
    assert len(case["rounds"]) == PACED_SPLIT
    for one in case["rounds"]:
        assert one["p99_ratio"] == one["candidate"]["p99_us"] / one["baseline"]["p99_us"]
        for side in ("baseline", "candidate"):
            assert one[side]["commands_per_s"] <= 1.2 * case["rate"]
