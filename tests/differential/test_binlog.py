"""The binlog of the real server: what we read in it, and what it reads in it itself.

beanstalkd writes, is killed, and starts again on a copy. Every job must be there with us as it is
there, but for two things that it loses although its binlog has them: starting, it counts each
buried job as buried once more, and lists buried jobs in the order of their puts. We keep both as
they were.
"""

import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from beanrow import Connection
from beanrow.engine.change import JobFacts
from beanrow.engine.job import BURIED, DELAYED, STATE_NAMES
from beanrow.journal.binlog import BinlogContents, read_binlogs
from beanrow.journal.storage import LocalStorage
from tests.peers import running_beanrow, running_beanstalkd
from tests.unit.journal import binlog_builder
from tests.unit.journal.binlog_builder import BinlogBuilder

NS_PER_S = 1_000_000_000
TUBES = ["default", "mail", "0", "+/;.$_()-", "x" * 200]
LARGE = ("-z", "70000")

any_build = pytest.mark.any_build

Shown = dict[int, tuple[dict[str, Any], bytes]]


@contextmanager
def killed(folder: Path, *options: str) -> Iterator[Connection]:
    """The real server, keeping its binlog in a directory, and killed at the end."""
    with running_beanstalkd("-b", str(folder), *LARGE, *options) as server:
        with Connection(server.host, server.port) as queue:
            yield queue
        server.process.kill()
        server.process.wait()


def read(folder: Path) -> BinlogContents:
    storage = LocalStorage(folder)
    try:
        return read_binlogs(storage)
    finally:
        storage.close()


def shown_by(queue: Connection, last_id: int) -> Shown:
    """What the real server tells of each job."""
    found: Shown = {}
    for job_id in range(1, last_id + 1):
        job = queue.peek(job_id)
        if job is not None:
            stats = queue.stats_job(job_id)
            names = ["tube", "state", "pri", "delay", "ttr", "reserves", "timeouts", "releases"]
            names += ["buries", "kicks", "age", "time_left"]
            found[job_id] = ({name: getattr(stats, name) for name in names}, job.body)
    return found


def shown_after_a_restart(folder: Path, last_id: int) -> Shown:
    """What the real server tells when it reads a copy of its binlog."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    with killed(copy) as queue:
        return shown_by(queue, last_id)


def shown_by_us(facts: JobFacts) -> tuple[dict[str, Any], bytes | None]:
    now_ns = time.time_ns()
    waits = facts.state == DELAYED and facts.due_ns > now_ns
    assert facts.tube is not None
    shown = {
        "tube": facts.tube.decode(),
        # Its delay has passed meanwhile: the engine makes it ready at once, and so does beanstalkd.
        "state": "ready" if facts.state == DELAYED and not waits else STATE_NAMES[facts.state],
        "pri": facts.pri,
        "delay": facts.delay_s,
        "ttr": facts.ttr_s,
        "reserves": facts.reserves,
        "timeouts": facts.timeouts,
        "releases": facts.releases,
        "buries": facts.buries,
        "kicks": facts.kicks,
        "age": (now_ns - facts.created_at_ns) // NS_PER_S,
        "time_left": (facts.due_ns - now_ns) // NS_PER_S if waits else 0,
    }
    return shown, facts.body


def assert_agree(found: BinlogContents, real: Shown) -> None:
    assert [str(flaw) for flaw in found.flaws] == []
    assert set(found.jobs) == set(real)
    for job_id, facts in found.jobs.items():
        ours, body = shown_by_us(facts)
        theirs, real_body = real[job_id]
        assert body == real_body
        for name in ("age", "time_left"):  # the two servers do not answer in the same moment
            assert abs(ours.pop(name) - theirs[name]) <= 2, (job_id, name)
        if facts.state == BURIED:
            ours["buries"] += 1
        assert ours == {name: theirs[name] for name in ours}, job_id


def buried_in_order(found: BinlogContents) -> list[int]:
    buried = [facts for facts in found.jobs.values() if facts.state == BURIED]
    return [facts.id for facts in sorted(buried, key=lambda facts: facts.order)]


def put(queue: Connection, body: bytes = b"x", **how: int) -> int:
    return queue.put(body, **how)


@any_build
def test_jobs_in_every_state(tmp_path: Path) -> None:
    folder = tmp_path / "binlog"
    folder.mkdir()
    with killed(folder) as queue:
        queue.use("mail")
        queue.watch("mail")
        first = put(queue, b"", priority=0, ttr=1)
        urgent = put(queue, b"\r\n\0", priority=1023)
        delayed = put(queue, delay=4294967295, priority=4294967295, ttr=4294967295)
        released, later = put(queue, priority=5), put(queue)
        buried = [put(queue) for _ in range(3)]
        kicked, kicked_delayed, deleted = put(queue), put(queue, delay=100), put(queue)
        held = put(queue, bytes(65536))
        queue.reserve_job(released).release(priority=9)
        queue.reserve_job(later).release(priority=10, delay=60)
        for job_id in (buried[2], buried[0], buried[1], kicked):
            queue.reserve_job(job_id).bury(priority=11)
        queue.kick_job(kicked)
        queue.kick_job(kicked_delayed)
        queue.delete(deleted)
        queue.reserve_job(held)
        before = shown_by(queue, held)
    real = shown_after_a_restart(folder, held)
    found = read(folder)
    assert_agree(found, real)
    assert found.last_job_id == held

    # And what that means, so that the two do not agree in something wrong.
    states = {job_id: shown_by_us(facts)[0]["state"] for job_id, facts in found.jobs.items()}
    ready = dict.fromkeys([first, urgent, released, kicked, kicked_delayed, held], "ready")
    assert states == {
        **ready,
        **dict.fromkeys(buried, "buried"),
        delayed: "delayed",
        later: "delayed",
    }
    assert found.jobs[later].pri == 10
    # A release without a delay is not in the binlog: neither its priority nor that it was.
    assert (before[released][0]["pri"], found.jobs[released].pri) == (9, 5)
    assert (before[released][0]["releases"], found.jobs[released].releases) == (1, 0)
    # What beanstalkd would forget.
    assert buried_in_order(found) == [buried[2], buried[0], buried[1]]
    assert [found.jobs[job_id].buries for job_id in buried] == [1, 1, 1]
    assert [before[job_id][0]["buries"] for job_id in buried] == [1, 1, 1]


@any_build
def test_jobs_that_beanstalkd_moved_to_newer_files(tmp_path: Path) -> None:
    folder = tmp_path / "binlog"
    folder.mkdir()
    with killed(folder, "-s", "2000") as queue:
        kept = [put(queue, b"kept" * 20, priority=7, delay=delay) for delay in (0, 0, 1000)]
        queue.reserve_job(kept[0]).bury()
        queue.reserve_job(kept[1])
        last = 0
        for _ in range(200):
            last = put(queue, b"y" * 100)
            queue.delete(last)
        stats = queue.stats()
    assert stats.binlog_records_migrated > 10
    assert stats.binlog_oldest_index > 10
    found = read(folder)
    assert_agree(found, shown_after_a_restart(folder, last))
    assert list(found.jobs) == kept
    assert found.last_job_id == last


@any_build
def test_a_job_that_beanstalkd_cannot_read_again(tmp_path: Path) -> None:
    """It counts the CRLF when it holds a body against its limit, but only when it starts."""
    folder = tmp_path / "binlog"
    folder.mkdir()
    with killed(folder) as queue:
        first, largest, last = put(queue), put(queue, b"y" * 70000), put(queue)
    assert list(shown_after_a_restart(folder, last)) == [first]
    found = read(folder)
    assert {job_id: facts.body for job_id, facts in found.jobs.items()} == {
        first: b"x",
        largest: b"y" * 70000,
        last: b"x",
    }


@any_build
@pytest.mark.parametrize("seed", range(3))
def test_anything(tmp_path: Path, seed: int) -> None:
    """A random life with several starts; `seed` shows it again."""
    rng = random.Random(seed)
    folder = tmp_path / "binlog"
    folder.mkdir()
    last = 0
    for _ in range(3):
        with killed(folder, "-s", str(rng.choice([1000, 4096, 20000]))) as queue:
            for tube in TUBES:
                queue.watch(tube)
            last = max(last, live(queue, rng))
        found = read(folder)
        assert_agree(found, shown_after_a_restart(folder, last))
        assert found.last_job_id == last
        shutil.rmtree(folder.with_name("copy"))


def live(queue: Connection, rng: random.Random) -> int:
    """Do this and that; returns the last id."""
    last = 0
    for _ in range(100):
        queue.use(rng.choice(TUBES))
        what = rng.choice(["put", "put", "put", "release", "bury", "hold", "kick", "delete"])
        if what == "put":
            size = rng.choice([0, 1, 2, 100, 900, 5000, 65536])
            last = queue.put(
                rng.randbytes(size),
                priority=rng.choice([0, 1023, 1024, 4294967295]),
                delay=rng.choice([0, 0, 0, 1000, 4294967295]),
                ttr=rng.choice([30, 4294967295]),
            )
        elif what == "kick":
            queue.kick(rng.randrange(1, 3))
        elif (job := queue.reserve(0)) is not None:
            if what == "release":
                job.release(rng.choice([1, 5000]), rng.choice([0, 1000]))
            elif what == "bury":
                job.bury(rng.choice([2, 6000]))
            elif what == "delete":
                job.delete()
    return last


def test_moving_in(tmp_path: Path) -> None:
    """From the binlog of the real server to ours that serves, and serves again."""
    rng = random.Random(11300)
    folder = tmp_path / "binlog"
    folder.mkdir()
    last = 0
    for _ in range(2):
        with killed(folder, "-s", "4096") as queue:
            for tube in TUBES:
                queue.watch(tube)
            last = max(last, live(queue, rng))
    files = {path.name: path.read_bytes() for path in folder.glob("binlog.*")}
    assert len(files) > 2
    real = shown_after_a_restart(folder, last)
    states = {shown["state"] for shown, _ in real.values()}
    assert states == {"ready", "delayed", "buried"}
    for _ in range(2):
        with (
            running_beanrow("-b", str(folder), *LARGE) as server,
            Connection(server.host, server.port) as queue,
        ):
            assert_same(shown_by(queue, last), real)
            last_put = queue.put("new")
            assert last_put > last
            queue.delete(last_put)
        aside = folder / "beanstalkd"
        assert {path.name: path.read_bytes() for path in aside.iterdir()} == files
        assert list(folder.glob("binlog.*")) == []


def assert_same(ours: Shown, real: Shown) -> None:
    assert set(ours) == set(real)
    for job_id, (shown, body) in ours.items():
        theirs, real_body = real[job_id]
        assert body == real_body
        for name in ("age", "time_left"):
            assert abs(shown.pop(name) - theirs[name]) <= 15, (job_id, name)
        if shown["state"] == "buried":
            shown["buries"] += 1
        assert shown == {name: theirs[name] for name in shown}, job_id


@any_build
def test_version_5(tmp_path: Path) -> None:
    """No server that writes it is at hand, but the real one of today still reads it."""
    now_ns = time.time_ns() // 1000 * 1000
    folder = tmp_path / "binlog"
    folder.mkdir()
    builder = BinlogBuilder(5)
    for job_id, tube in enumerate(TUBES, 1):
        builder.record(
            job_id,
            b"body %d" % job_id * job_id,
            tube=tube.encode(),
            pri=1020 + job_id,
            delay_s=3,
            ttr_s=100 + job_id,
            created_ns=now_ns - job_id * 1000 * NS_PER_S,
            counters=(1, 2, 3, 4, 5),
        )
    how: dict[str, Any] = {"created_ns": now_ns, "delay_s": 500, "ttr_s": 7, "pri": 3}
    body = b"body %d" % 2 * 2
    due_ns = now_ns + 500 * NS_PER_S
    builder.record(2, body, state=binlog_builder.DELAYED, deadline_ns=due_ns, **how)
    builder.record(3, b"body 3" * 3, state=binlog_builder.BURIED, **how)
    builder.record(4, b"body 4" * 4, state=binlog_builder.INVALID, **how)
    builder.record(99, b"", state=binlog_builder.READY, **how)
    builder.write(folder, 3)
    BinlogBuilder(7).record(1, b"body 1", pri=77, created_ns=now_ns).write(folder, 4)
    found = read(folder)
    assert sorted(found.jobs) == [1, 2, 3, 5]
    assert_agree(found, shown_after_a_restart(folder, 5))
