"""The server as a process with a journal: what it says of it, what it refuses, what comes back."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.server_process import BEANROWD, LOCAL, SERVE, ask, refused, serving, stats

both_commands = pytest.mark.parametrize("command", [SERVE, BEANROWD], ids=["serve", "beanrowd"])
PUT = b"put 5 0 60 1\r\nx\r\n"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into, which pytest's are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@both_commands
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
@pytest.mark.parametrize("policy", [[], ["-f", "0"], ["-F"]], ids=" ".join)
def test_jobs_outlive_the_server(
    command: Sequence[str], number: signal.Signals, policy: list[str], tmp_path: Path
) -> None:
    options = ("-b", str(tmp_path / "made" / "journal"), *policy)
    with serving(*LOCAL, *options, command=command) as server, server.connect() as client:
        assert ask(client, PUT) == b"INSERTED 1\r\n"
        assert ask(client, PUT) == b"INSERTED 2\r\n"
        assert ask(client, b"delete 1\r\n") == b"DELETED\r\n"
        server.stop(number)
    with serving(*LOCAL, *options, command=command) as server, server.connect() as client:
        assert ask(client, b"delete 1\r\n") == b"NOT_FOUND\r\n"
        assert ask(client, PUT) == b"INSERTED 3\r\n"
        client.sendall(b"reserve\r\n")
        assert client.recv(100) == b"RESERVED 2 1\r\nx\r\n"


@pytest.mark.parametrize(
    ("options", "words", "interval_ms"),
    [
        ([], "synced every 50 ms", 50),
        (["-f", "7"], "synced every 7 ms", 7),
        (["-F", "-f0"], "synced before each reply", 0),
        (["-f0", "-F"], "never synced", None),
    ],
)
@both_commands
def test_the_start_tells_where_it_is_and_what_it_promises(
    command: Sequence[str],
    options: list[str],
    words: str,
    interval_ms: int | None,
    tmp_path: Path,
) -> None:
    with serving(*LOCAL, "-b", str(tmp_path), *options, command=command) as server:
        assert f"journal {tmp_path} {words}" in server.started["message"]
        assert server.started["journal"] == str(tmp_path)
        assert server.started["sync_interval_ms"] == interval_ms


def test_without_one_the_start_says_so() -> None:
    with serving(*LOCAL) as server:
        assert server.started["message"].endswith(" no journal)")
        assert server.started["journal"] is None


def test_the_stats_document_tells_of_segments_and_records(tmp_path: Path) -> None:
    with (
        serving(*LOCAL, "-b", str(tmp_path), "-s", "4096") as server,
        server.connect() as client,
    ):
        assert "binlog-oldest-index: 1\nbinlog-current-index: 1\n" in stats(client)
        for number in range(1, 4):
            put = b"put 0 0 60 4000\r\n" + bytes(4000) + b"\r\n"
            assert ask(client, put) == b"INSERTED %d\r\n" % number
        told = stats(client)
    assert "binlog-oldest-index: 1\nbinlog-current-index: 3\n" in told
    assert "binlog-records-migrated: 0\nbinlog-records-written: 3\n" in told
    assert "binlog-max-size: 4096\n" in told


@both_commands
def test_a_second_server_on_a_directory_is_refused(command: Sequence[str], tmp_path: Path) -> None:
    with serving(*LOCAL, "-b", str(tmp_path)) as server, server.connect() as client:
        status, line = refused(*LOCAL, "-b", str(tmp_path), command=command)
        assert status == (10 if command == BEANROWD else 1)
        assert f"-b {tmp_path}: another server uses it" in line
        assert ask(client, PUT) == b"INSERTED 1\r\n"


def test_a_socket_file_is_removed_when_the_journal_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "queue.sock"
    with serving(*LOCAL, "-b", str(tmp_path / "journal")):
        refused("-l", f"unix:{path}", "-b", str(tmp_path / "journal"))
    assert not path.exists()


def test_the_directory_is_opened_by_the_user_whom_it_becomes(open_folder: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    status, line = refused(*LOCAL, "-u", "nobody", "-b", str(open_folder))
    assert status == 10
    assert f"-b {open_folder}: it cannot be written (Permission denied)" in line
    status, line = refused(*LOCAL, "-u", "nobody", "-b", str(open_folder / "journal"))
    assert status == 10
    assert f"-b {open_folder / 'journal'}: Permission denied" in line
    nobody = pwd.getpwnam("nobody")
    os.chown(open_folder, nobody.pw_uid, nobody.pw_gid)
    with (
        serving(*LOCAL, "-u", "nobody", "-b", str(open_folder)) as server,
        server.connect() as client,
    ):
        assert ask(client, PUT) == b"INSERTED 1\r\n"
    assert {path.stat().st_uid for path in open_folder.iterdir()} == {nobody.pw_uid}


def test_a_stop_leaves_nothing_behind_that_was_not_written(tmp_path: Path) -> None:
    """Neither a sync that is years away nor one that never comes keeps anything back."""
    with serving(*LOCAL, "-b", str(tmp_path), "-f", "4294967295") as server:
        with server.connect() as client:
            assert ask(client, PUT) == b"INSERTED 1\r\n"
        assert server.stop() == 0
    with serving(*LOCAL, "-b", str(tmp_path)) as server, server.connect() as client:
        assert "current-jobs-ready: 1\n" in stats(client)


def test_make_run_keeps_jobs_and_can_keep_them_elsewhere(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    checkout = Path(__file__).parents[2]
    command = ("make", "--no-print-directory", "--dry-run", "run", f"ARGS=-b {tmp_path}")
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith(f" serve -b data -b {tmp_path}")


def test_the_directory_is_named_when_its_contents_are_wrong(tmp_path: Path) -> None:
    with serving(*LOCAL, "-b", str(tmp_path)):
        pass
    (tmp_path / "binlog.1").write_bytes((7).to_bytes(4, "little"))
    status, line = refused(*LOCAL, "-b", str(tmp_path))
    assert status == 10
    assert f"-b {tmp_path}: the directory holds a journal of beanrow and binlog.1" in line
