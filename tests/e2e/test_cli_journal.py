"""`beanrow journal`, as a person runs it: on the directory of a server that runs, or that did."""

import json
import os
import pty
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beanrow import Connection
from tests.peers import RunningServer, running_beanrow, running_beanstalkd

JOURNAL = [sys.executable, "-m", "beanrow", "journal"]


def journal(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*JOURNAL, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


def document(*arguments: str | Path) -> dict[str, Any]:
    done = journal(*arguments, "--json")
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(folder: Path) -> Iterator[RunningServer]:
    with running_beanrow("-b", str(folder), "-s", "100000") as server:
        yield server


def fill(server: RunningServer) -> None:
    """Three jobs: one ready, one delayed, one buried; and a paused tube."""
    with Connection(server.host, server.port) as queue:
        queue.put("buried")
        queue.reserve().bury()
        queue.put("ready")
        queue.put("delayed", delay=1000)
        queue.use("mail")
        queue.delete(queue.put("gone"))
        queue.pause_tube("default", 1000)


def kill(server: RunningServer) -> None:
    server.process.kill()
    server.process.wait()


def flip_last_body(folder: Path) -> Path:
    """Damage the record of the job "delayed"; returns its segment."""
    (path,) = folder.glob("segment-*")
    data = path.read_bytes()
    assert data.count(b"delayed") == 1
    path.write_bytes(data.replace(b"delayed", b"belayed"))
    return path


def test_inspect_tells_what_there_is(server: RunningServer, folder: Path) -> None:
    fill(server)
    done = journal("inspect", folder)
    assert (done.returncode, done.stderr) == (0, "")
    summary, _, table = done.stdout.partition("\n\n")
    lines = dict(line.split(None, 1) for line in summary.splitlines() if line[:4] != "live")
    assert lines["instance"] == document("inspect", folder)["instance"]
    assert "journal of    beanrow, format 1\n" in summary
    assert "jobs          3: 1 ready, 1 delayed, 1 buried\n" in summary
    assert re.search(r"^live bytes +\d+ of \d+ \(\d+%\)$", summary, re.MULTILINE)
    assert re.search(r"^oldest job +1, put 20\d\d-\d\d-\d\dT[\d:]{8}Z$", summary, re.MULTILINE)
    assert "paused tubes  1" in summary
    heading, row = table.splitlines()
    headings = r"file +bytes +live bytes +live jobs +jobs +states +deletes +pauses"
    assert re.fullmatch(headings, heading)
    name, _, _, *counts = row.split()
    assert (name, counts) == ("segment-0000000001", ["3", "4", "1", "1", "1"])


def test_inspect_prints_json(server: RunningServer, folder: Path) -> None:
    fill(server)
    found = document("inspect", folder)
    assert (found["kind"], found["format"], found["directory"]) == ("beanrow", 1, str(folder))
    assert found["jobs"] == {"ready": 1, "delayed": 1, "buried": 1}
    assert (found["oldest_job"]["id"], found["newest_job"]["id"]) == (1, 3)
    assert (found["last_job_id"], found["paused_tubes"], found["problems"]) == (4, 1, [])
    (file,) = found["files"]
    assert file["records"] == {"job": 4, "state": 1, "delete": 1, "pause": 1}
    assert file["live_bytes"] == found["live_bytes"] < file["bytes"] < found["total_bytes"]
    with Connection(server.host, server.port) as queue:
        queue.delete(1)
    assert document("inspect", folder)["live_bytes"] < found["live_bytes"]


def test_verify_finds_all_sound(server: RunningServer, folder: Path) -> None:
    fill(server)
    done = journal("verify", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "sound: 7 records in 1 file\n", "")
    found = document("verify", folder)
    assert (found["sound"], found["records"], found["problems"]) == (True, 7, [])


def test_verify_finds_nothing_wrong_while_a_server_is_busy(
    server: RunningServer, folder: Path
) -> None:
    """Segments come and go, and records are being written, as it reads."""
    is_enough = threading.Event()

    def churn() -> None:
        with Connection(server.host, server.port) as queue:
            while not is_enough.is_set():
                queue.delete(queue.put(b"x" * 5000))

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(5):
            done = journal("verify", folder)
            assert (done.returncode, done.stdout[:7]) == (0, "sound: "), done
    finally:
        is_enough.set()
        thread.join()


def test_verify_tells_exactly_what_is_damaged(server: RunningServer, folder: Path) -> None:
    fill(server)
    kill(server)
    path = flip_last_body(folder)
    (problem,) = document("verify", folder)["problems"]
    offset = path.read_bytes().index(b"belayed") + len("belayed") - problem["bytes"]
    assert problem == {
        "file": path.name,
        "offset": offset,
        "bytes": problem["bytes"],
        "reason": "its checksum does not fit",
        "jobs": [3],
    }
    done = journal("verify", folder)
    assert done.returncode == 1
    told, summed_up = done.stdout.splitlines()
    assert told == (
        f"{path.name}: {problem['bytes']} bytes from offset {offset} on are lost "
        "(its checksum does not fit): 1 record, of job 3"
    )
    assert summed_up == "1 problem; 6 records in 1 file are sound"
    assert journal("verify", "--json", folder).returncode == 1
    shown = journal("inspect", folder)
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[-1] == told


def test_nothing_is_changed(server: RunningServer, folder: Path) -> None:
    fill(server)
    kill(server)
    flip_last_body(folder)
    before = snapshot(folder)
    journal("inspect", folder)
    journal("verify", folder)
    assert snapshot(folder) == before


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in folder.iterdir()
    }


def test_a_directory_of_beanstalkd_is_understood(folder: Path) -> None:
    folder.mkdir()
    with running_beanstalkd("-b", str(folder)) as server:
        with Connection(server.host, server.port) as queue:
            queue.put("ready")
            queue.put("buried")
            queue.reserve_job(2).bury()
        found = document("inspect", folder)  # while it runs
        assert (found["kind"], found["format"]) == ("beanstalkd", 7)
        assert found["jobs"] == {"ready": 1, "delayed": 0, "buried": 1}
        kill(server)
    done = journal("inspect", folder)
    assert "journal of    beanstalkd, format 7\n" in done.stdout
    assert re.search(r"^binlog\.1 +\d+ +- +- +2 +1 +0 +0$", done.stdout, re.MULTILINE)
    assert journal("verify", folder).stdout == "sound: 3 records in 1 file\n"
    path = folder / "binlog.1"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:150])
    done = journal("verify", folder)
    assert done.returncode == 1
    assert done.stdout.startswith("binlog.1, offset ")


@pytest.mark.parametrize("action", ["inspect", "verify"])
def test_what_is_no_journal_is_refused_in_one_line(tmp_path: Path, action: str) -> None:
    missing, file = tmp_path / "missing", tmp_path / "file"
    file.touch()
    (tmp_path / "empty").mkdir()
    for path, words in (
        (missing, "there is no such directory"),
        (file, "is a file; give the directory that it is in"),
        (tmp_path / "empty", "holds no journal: no segments of beanrow, and no binlog"),
    ):
        done = journal(action, path)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"beanrow journal {action}: {path}")
        assert words in line
    assert not missing.exists()


def test_the_directory_of_somebody_else_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0)
    command = [*JOURNAL, "verify", str(folder)]
    if os.geteuid() == 0:  # root, without its power over what belongs to others
        os.chown(folder, 65534, 65534)
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr == (
        f"beanrow journal verify: {folder} cannot be read: permission denied; run this as the "
        "user of the server\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "beanrow journal: the following arguments are required: ACTION"),
        (["inspect"], "beanrow journal inspect: the following arguments are required: DIRECTORY"),
        (["mend", "."], "invalid choice: 'mend'"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: list[str], words: str) -> None:
    done = journal(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_a_bar_shows_the_progress_at_a_terminal() -> None:
    code = """
import time
from beanrow.cli.progress import SILENCE_S, Progress
with Progress("reading") as progress:
    progress.show(1, 10_000_000)
    time.sleep(SILENCE_S)
    progress.show(5_000_000, 10_000_000)
    progress.show(6_000_000, 10_000_000)
print("done")
"""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, stderr=theirs
        )
        os.close(theirs)
        shown = terminal.read(1000)
    bar = b"#" * 15 + b"." * 15
    assert shown == b"\r\x1b[Kreading [" + bar + b"]  50%  5 of 10 MB\r\x1b[K"
    assert done.stdout == b"done\n"
    piped = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert piped.stderr == b""
