"""What a binlog of beanstalkd says, and what becomes of one that is damaged.

The reader is held against the real server in tests/differential/test_binlog.py.
"""

import random
from contextlib import closing
from pathlib import Path

import pytest

from beanrow.engine.change import JobFacts
from beanrow.engine.job import BURIED, DELAYED, READY
from beanrow.journal.binlog import BinlogContents, binlog_names, read_binlogs
from beanrow.journal.errors import JournalError
from beanrow.journal.storage import LocalStorage
from tests.unit.journal import binlog_builder as real
from tests.unit.journal.binlog_builder import CREATED_NS, BinlogBuilder

NS_PER_S = 1_000_000_000
NOW_NS = CREATED_NS + 1000 * NS_PER_S
UPTIME_NS = 500 * NS_PER_S

both_versions = pytest.mark.parametrize("version", [7, 5])


def contents(folder: Path) -> BinlogContents:
    with closing(LocalStorage(folder)) as storage:
        return read_binlogs(storage, now_ns=NOW_NS, uptime_ns=UPTIME_NS)


def buried_in_order(found: BinlogContents) -> list[int]:
    buried = [facts for facts in found.jobs.values() if facts.state == BURIED]
    return [facts.id for facts in sorted(buried, key=lambda facts: facts.order)]


def bodies(found: BinlogContents) -> dict[int, bytes | None]:
    return {job_id: facts.body for job_id, facts in found.jobs.items()}


def flaws(found: BinlogContents) -> list[str]:
    return [str(flaw) for flaw in found.flaws]


def one_job(folder: Path) -> JobFacts:
    found = contents(folder)
    assert flaws(found) == []
    (facts,) = found.jobs.values()
    return facts


# --- what it says -------------------------------------------------------------------------------


@both_versions
def test_every_field_of_a_job_is_read(tmp_path: Path, version: int) -> None:
    due_ns = NOW_NS + 7 * NS_PER_S
    BinlogBuilder(version).record(
        17,
        b"a\r\nb\0",
        tube=b"mail",
        state=real.DELAYED,
        pri=4294967295,
        delay_s=4294967295,
        ttr_s=9,
        deadline_ns=due_ns,
        counters=(1, 2, 3, 4, 5),
    ).write(tmp_path, 1)
    facts = one_job(tmp_path)
    assert (facts.id, facts.tube, facts.body) == (17, b"mail", b"a\r\nb\0")
    assert (facts.state, facts.pri, facts.delay_s, facts.ttr_s) == (
        DELAYED,
        4294967295,
        4294967295,
        9,
    )
    assert (facts.created_at_ns, facts.due_ns) == (CREATED_NS, due_ns)
    assert (facts.reserves, facts.timeouts, facts.releases) == (1, 2, 3)
    assert (facts.buries, facts.kicks) == (4, 5)


@both_versions
@pytest.mark.parametrize(
    ("written", "state"),
    [(real.READY, READY), (real.RESERVED, READY), (real.BURIED, BURIED), (real.DELAYED, DELAYED)],
)
def test_a_change_overrules_the_state_and_keeps_the_body(
    tmp_path: Path, version: int, written: int, state: int
) -> None:
    builder = BinlogBuilder(version).record(1, b"", tube=b"mail", pri=5)
    builder.record(1, b"", state=written, pri=6, deadline_ns=CREATED_NS).write(tmp_path, 1)
    facts = one_job(tmp_path)
    assert (facts.tube, facts.body, facts.state, facts.pri) == (b"mail", b"", state, 6)
    assert facts.due_ns == (CREATED_NS if state == DELAYED else 0)


@both_versions
def test_a_deleted_job_is_gone_and_its_id_is_not_given_again(tmp_path: Path, version: int) -> None:
    builder = BinlogBuilder(version).record(1, tube=b"mail").record(2, tube=b"mail")
    builder.record(2, state=real.INVALID).write(tmp_path, 1)
    found = contents(tmp_path)
    assert list(found.jobs) == [1]
    assert found.last_job_id == 2
    (file,) = found.files
    assert (file.version, file.job_records, file.updates, file.deletes) == (version, 2, 0, 1)
    assert found.live_bytes == 4 + len(b"mail") + 80 + len(b"hello\r\n")


def test_a_ttr_is_one_second_at_least(tmp_path: Path) -> None:
    BinlogBuilder().record(1, tube=b"mail", ttr_s=0).write(tmp_path, 1)
    assert one_job(tmp_path).ttr_s == 1


def test_buried_jobs_keep_their_order(tmp_path: Path) -> None:
    builder = BinlogBuilder()
    for job_id in (1, 2, 3):
        builder.record(job_id, tube=b"mail")
    for job_id in (3, 1, 2, 3):
        builder.record(job_id, state=real.BURIED)
    builder.record(1, state=real.READY).record(1, state=real.BURIED)
    builder.write(tmp_path, 1)
    assert buried_in_order(contents(tmp_path)) == [3, 2, 1]


def test_a_job_that_moved_to_a_newer_file_keeps_its_place(tmp_path: Path) -> None:
    BinlogBuilder().record(2, state=real.BURIED).record(9, state=real.READY).write(tmp_path, 4)
    moved = BinlogBuilder().record(1, tube=b"mail", state=real.BURIED)
    moved.record(2, tube=b"mail", state=real.BURIED).write(tmp_path, 5)
    found = contents(tmp_path)
    assert buried_in_order(found) == [2, 1]
    assert found.last_job_id == 9
    assert flaws(found) == []


def test_files_are_read_by_number(tmp_path: Path) -> None:
    BinlogBuilder().record(1, tube=b"mail").write(tmp_path, 9, zeros=0)
    BinlogBuilder(5).record(1, state=real.INVALID).write(tmp_path, 10)
    for name in ("binlog.01", "binlog.x", "binlog.11~", "lock"):
        (tmp_path / name).write_bytes(b"not a binlog")
    (tmp_path / "binlog.11").mkdir()
    found = contents(tmp_path)
    assert (found.jobs, found.last_job_id, flaws(found)) == ({}, 1, [])
    assert [file.name for file in found.files] == ["binlog.9", "binlog.10"]


def test_names_come_in_the_order_to_read_them_in() -> None:
    names = ["binlog.10", "binlog.9", "binlog.0", "manifest-0", "xbinlog.1", "binlog."]
    assert binlog_names(names) == ["binlog.0", "binlog.9", "binlog.10"]


@pytest.mark.parametrize("data", [b"", bytes(3), bytes(4096), b"\7\0\0\0", b"\7\0\0\0" + bytes(90)])
def test_a_file_without_records_is_in_order(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "binlog.1").write_bytes(data)
    found = contents(tmp_path)
    assert (found.jobs, flaws(found)) == ({}, [])


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "binlog.1").write_bytes(bytes(10))
    (tmp_path / "binlog.2").write_bytes(bytes(5))
    told: list[int] = []
    with closing(LocalStorage(tmp_path)) as storage:
        read_binlogs(storage, told.append)
    assert told == [10, 15]


# --- moments that are counted from the start of the machine -------------------------------------


def test_moments_since_the_start_of_the_machine_become_times_of_day(tmp_path: Path) -> None:
    BinlogBuilder().record(
        1,
        tube=b"mail",
        state=real.DELAYED,
        delay_s=300,
        created_ns=400 * NS_PER_S,
        deadline_ns=700 * NS_PER_S,
    ).write(tmp_path, 1)
    facts = one_job(tmp_path)
    assert facts.created_at_ns == NOW_NS - 100 * NS_PER_S
    assert facts.due_ns == NOW_NS + 200 * NS_PER_S


def test_after_a_start_of_the_machine_no_job_waits_longer_than_its_delay(tmp_path: Path) -> None:
    BinlogBuilder().record(
        1,
        tube=b"mail",
        state=real.DELAYED,
        delay_s=300,
        created_ns=9000 * NS_PER_S,
        deadline_ns=9300 * NS_PER_S,
    ).write(tmp_path, 1)
    facts = one_job(tmp_path)
    assert (facts.created_at_ns, facts.due_ns) == (NOW_NS, NOW_NS + 300 * NS_PER_S)


# --- damage -------------------------------------------------------------------------------------


def three_jobs(version: int = 7) -> tuple[bytes, list[int]]:
    """A file with three jobs and a change, and where its records end."""
    builder = BinlogBuilder(version)
    ends = []
    for job_id, body in enumerate((b"one", b"two" * 50, b"three"), 1):
        builder.record(job_id, body, tube=b"mail")
        ends.append(len(builder.data))
    builder.record(1, b"one", state=real.BURIED)
    return builder.data, [*ends, len(builder.data)]


@both_versions
def test_a_file_that_is_cut_gives_what_is_before_the_cut(tmp_path: Path, version: int) -> None:
    data, ends = three_jobs(version)
    for cut in range(len(data)):
        (tmp_path / "binlog.1").write_bytes(data[:cut])
        (tmp_path / "binlog.2").write_bytes(BinlogBuilder().record(9, b"nine", tube=b"mail").data)
        found = contents(tmp_path)
        whole = sum(end <= cut for end in ends[:3])
        left = [b"one", b"two" * 50, b"three"][:whole]
        assert list(bodies(found).values()) == [*left, b"nine"]
        begun = data[max(end for end in (0, 4, *ends) if end <= cut) : cut]
        assert (flaws(found) == []) == (not any(begun)), cut


def test_what_is_said_of_a_torn_record(tmp_path: Path) -> None:
    data, ends = three_jobs()
    (tmp_path / "binlog.1").write_bytes(data[: ends[2] - 1] + bytes(500))
    (flaw,) = contents(tmp_path).flaws
    assert (flaw.file, flaw.offset, flaw.job_id) == ("binlog.1", ends[1], 3)
    unread = len(data[ends[1] : ends[2] - 1]) + 500
    assert str(flaw) == (
        f"binlog.1, offset {ends[1]}: a body does not end where it should; "
        f"the {unread} bytes from here on were not read"
    )


@both_versions
def test_a_flipped_byte_gives_no_wrong_length_and_harms_nothing_before_it(
    tmp_path: Path, version: int
) -> None:
    data, ends = three_jobs(version)
    bodies_by_end = list(zip(ends[:3], (b"one", b"two" * 50, b"three"), strict=True))
    rng = random.Random(17)
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= rng.randrange(1, 256)
        (tmp_path / "binlog.1").write_bytes(flipped)
        found = contents(tmp_path)
        before = [body for end, body in bodies_by_end if end <= place]
        if place >= 4:
            assert list(bodies(found).values())[: len(before)] == before
        for body in bodies(found).values():
            assert body is not None
            assert len(body) in {len(body) for _, body in bodies_by_end}, place


@pytest.mark.parametrize("length", [-1, 2**31 - 1, -(2**31), 0, 1, 6, 8])
def test_a_body_length_is_not_trusted(tmp_path: Path, length: int) -> None:
    data, ends = three_jobs()
    at = ends[0] + 4 + len(b"mail") + 32
    data = data[:at] + length.to_bytes(4, "little", signed=True) + data[at + 4 :]
    (tmp_path / "binlog.1").write_bytes(data)
    found = contents(tmp_path)
    assert bodies(found) == {1: b"one"}
    (flaw,) = found.flaws
    assert (flaw.offset, flaw.job_id) == (ends[0], 2)


@pytest.mark.parametrize("length", [-1, 201, 2**31 - 1])
def test_the_length_of_a_name_is_not_trusted(tmp_path: Path, length: int) -> None:
    data, ends = three_jobs()
    data = data[: ends[0]] + length.to_bytes(4, "little", signed=True) + data[ends[0] + 4 :]
    (tmp_path / "binlog.1").write_bytes(data)
    found = contents(tmp_path)
    assert bodies(found) == {1: b"one"}
    assert [flaw.offset for flaw in found.flaws] == [ends[0]]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": 5}, "job 2 is in no state"),
        ({"tube": b"-mail"}, "name of a tube"),
        ({"tube": b"ma il"}, "name of a tube"),
        ({"job_id": 0}, "begun here and not finished"),
        ({"job_id": 2**63}, "no job has the id"),
        ({"delay_s": -1}, "job 2 has a delay"),
        ({"ttr_s": 2**32}, "job 2 has a delay or ttr"),
        ({"created_ns": -1}, "job 2 has a moment"),
        ({"deadline_ns": -1}, "job 2 has a moment"),
    ],
)
def test_what_beanstalkd_never_writes_is_not_read(
    tmp_path: Path, fields: dict[str, int | bytes], words: str
) -> None:
    builder = BinlogBuilder().record(1, tube=b"mail")
    builder.record(**{"job_id": 2, "tube": b"mail", **fields}).write(tmp_path, 1)  # type: ignore[arg-type]
    found = contents(tmp_path)
    assert list(found.jobs) == [1]
    (flaw,) = found.flaws
    assert words in flaw.why


def test_a_change_of_the_length_of_a_body_is_damage(tmp_path: Path) -> None:
    BinlogBuilder().record(1, b"one", tube=b"mail").record(1, b"other").write(tmp_path, 1)
    found = contents(tmp_path)
    assert bodies(found) == {1: b"one"}
    assert "job 1 has changed its length" in found.flaws[0].why


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\6\0\0\0", "version 6 is unknown"),
        (b"\0\0\0\7", "other byte order"),
        (b"\7", "ends within its version"),
        (b"#!/bin/sh\n", "is unknown"),
    ],
)
def test_a_file_of_an_unknown_version_is_left_out(tmp_path: Path, head: bytes, words: str) -> None:
    (tmp_path / "binlog.1").write_bytes(head + (bytes(50) + b"x" if len(head) > 1 else b""))
    BinlogBuilder().record(2, tube=b"mail").write(tmp_path, 2)
    found = contents(tmp_path)
    assert list(found.jobs) == [2]
    (flaw,) = found.flaws
    assert (flaw.file, flaw.offset) == ("binlog.1", 0)
    assert words in flaw.why


def test_missing_files_are_told(tmp_path: Path) -> None:
    for number in (2, 3, 5, 9):
        BinlogBuilder().record(number, tube=b"mail").write(tmp_path, number)
    found = contents(tmp_path)
    assert list(found.jobs) == [2, 3, 5, 9]
    assert flaws(found) == [
        "binlog.4, offset 0: the file is missing",
        "binlog.6, offset 0: the file is missing (and all up to binlog.8)",
    ]


class UnreadableStorage(LocalStorage):
    """A directory with a file that belongs to somebody else."""

    def read(self, name: str) -> bytes:
        raise PermissionError(13, "Permission denied")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    BinlogBuilder().write(tmp_path, 3)
    with (
        closing(UnreadableStorage(tmp_path)) as storage,
        pytest.raises(JournalError, match=r"binlog\.3 cannot be read \(Permission denied\)"),
    ):
        read_binlogs(storage)


def test_any_bytes_can_be_read(tmp_path: Path) -> None:
    rng = random.Random(11300)
    data, _ = three_jobs()
    for _ in range(2000):
        mixed = bytearray(data)
        for _ in range(rng.randrange(1, 20)):
            at = rng.randrange(4, len(mixed))
            size = rng.randrange(1, 9)
            mixed[at : at + size] = rng.choice([bytes(size), b"\xff" * size, rng.randbytes(size)])
        (tmp_path / "binlog.1").write_bytes(mixed)
        for facts in contents(tmp_path).jobs.values():
            assert facts.body is not None
            assert len(facts.body) <= len(data)
