"""Files that are cut, put back, or in the way: a start loses nothing more, and says what it saw."""

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from beanrow.engine.engine import Engine
from beanrow.engine.job import READY
from beanrow.engine.replay import Replay
from beanrow.journal.inspect import examine
from beanrow.journal.local import LocalJournal
from beanrow.journal.manifest import read_manifest
from beanrow.journal.record import PAUSE, id_at, type_at
from beanrow.journal.recovery import DAMAGED, DOUBT, remove_segment
from beanrow.journal.scan import Scan
from beanrow.journal.segment import HEAD_BYTES, Segment, decode_head, record_seed, segment_name
from beanrow.journal.storage import File, LocalFile, LocalStorage, Storage
from beanrow.journal.syncer import InlineSyncer
from tests.unit.journal.binlog_builder import BinlogBuilder

SEGMENT_BYTES = 1000
NS_PER_S = 1_000_000_000
NOW_NS = 1_760_000_000 * NS_PER_S


class Queue:
    """An engine and its journal."""

    def __init__(
        self, storage: Storage, segment_bytes: int = SEGMENT_BYTES, now_ns: int = NOW_NS
    ) -> None:
        self.engine = Engine()
        self.journal = LocalJournal(
            storage, segment_bytes=segment_bytes, sync_interval_ms=0, syncer=InlineSyncer()
        )
        replay = Replay(self.engine)
        self.journal.replay(replay, lambda: None)
        replay.finish(now_ns)
        self.session = self.engine.open_session()

    def put(self, size: int) -> int:
        job = self.engine.begin_put(self.session, 0, 0, 60, NOW_NS)
        self.engine.finish_put(job, bytes(size), NOW_NS)
        self.end_tick()
        return job.id

    def delete(self, job_id: int) -> None:
        assert self.engine.delete(self.session, job_id)
        self.end_tick()

    def end_tick(self) -> None:
        self.journal.append(self.engine.changes)
        self.journal.commit()


def write_journal(folder: Path, jobs: int = 9, size: int = 200) -> list[int]:
    """Some segments full of jobs, closed; returns the ids."""
    queue = Queue(LocalStorage(folder))
    ids = [queue.put(size) for _ in range(jobs)]
    queue.journal.close()
    return ids


def served_from(folder: Path) -> list[int]:
    """The ids of the jobs that are there after a start."""
    queue = Queue(LocalStorage(folder))
    queue.journal.close()
    return sorted(queue.engine.jobs)


def records(path: Path) -> list[tuple[int, int]]:
    """Where the records of a segment begin, and of which jobs they are."""
    data = path.read_bytes()
    head = decode_head(data)
    assert head is not None
    scan = Scan(data, record_seed(head.instance, head.number), path.name)
    found = []
    while scan.next():
        assert type_at(data, scan.offset) != PAUSE
        found.append((scan.offset, id_at(data, scan.offset)))
    return found


def kept(folder: Path) -> dict[str, bytes]:
    """What is in `damaged/`, by name without the random end."""
    files = (folder / DAMAGED).iterdir() if (folder / DAMAGED).is_dir() else []
    return {path.name.rpartition("-")[0]: path.read_bytes() for path in files}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings and errors so far, which are forgotten then."""

    def take() -> list[str]:
        found = [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")]
        caplog.clear()
        return [line for line in found if "google-crc32c" not in line]

    return take


Lines = Callable[[], list[str]]

# --- a lost end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["truncated", "zeroed"])
def test_the_loss_of_whole_records_at_the_end_of_an_older_segment_is_told(
    tmp_path: Path, lines: Lines, how: str
) -> None:
    ids = write_journal(tmp_path)
    path = tmp_path / segment_name(1)
    whole = path.read_bytes()
    whole_records = records(path)
    offset = whole_records[1][0]
    cut = whole[:offset]
    path.write_bytes(cut if how == "truncated" else cut.ljust(len(whole), b"\0"))
    text = f"{path.name}: {len(whole) - offset} bytes from offset {offset} on are lost "
    text += "(its end is missing): some records"

    (problem,) = examine(tmp_path, patience_s=0).problems
    assert (problem.text, problem.offset, problem.size) == (text, offset, len(whole) - offset)
    lines()
    lost = {job_id for start, job_id in whole_records if start >= offset}
    assert served_from(tmp_path) == sorted(set(ids) - lost)
    assert lines() == [f"{text}; the file is kept in {DAMAGED}/"]
    assert kept(tmp_path)[path.name].rstrip(b"\0") == cut.rstrip(b"\0")
    # Then that is over.
    assert served_from(tmp_path) == sorted(set(ids) - lost)
    assert lines() == []
    assert examine(tmp_path, patience_s=0).problems == []


def test_the_end_of_the_last_segment_of_a_run_is_noticed_too(tmp_path: Path, lines: Lines) -> None:
    """The head behind it is written by the next run."""
    write_journal(tmp_path, jobs=2)
    write_journal(tmp_path, jobs=2)
    path = tmp_path / segment_name(1)
    path.write_bytes(path.read_bytes()[: records(path)[-1][0]])
    lines()
    assert served_from(tmp_path) == [1, 3, 4]
    (line,) = lines()
    assert "its end is missing" in line


def test_a_cut_within_a_record_is_one_damage_with_all_that_followed(
    tmp_path: Path, lines: Lines
) -> None:
    write_journal(tmp_path)
    path = tmp_path / segment_name(1)
    whole = path.read_bytes()
    offset = records(path)[1][0]
    path.write_bytes(whole[: offset + 20])
    lines()
    served_from(tmp_path)
    (line,) = lines()
    assert f"{len(whole) - offset} bytes from offset {offset} on are lost" in line
    assert "some records;" in line


@pytest.mark.parametrize("size", [0, 10, HEAD_BYTES - 1])
def test_a_head_cut_short_loses_no_bytes_that_never_were(
    tmp_path: Path, lines: Lines, size: int
) -> None:
    write_journal(tmp_path)
    path = tmp_path / segment_name(1)
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    lines()
    served_from(tmp_path)
    head, rest = lines()
    assert f"{size} bytes from offset 0 on are lost (its head is damaged)" in head
    assert f"{len(whole) - HEAD_BYTES} bytes from offset {HEAD_BYTES} on are lost" in rest


# --- what is not, or no more, in the manifest -----------------------------------------------------


def test_a_segment_that_somebody_put_back_is_kept(tmp_path: Path, lines: Lines) -> None:
    write_journal(tmp_path)
    path, away = tmp_path / segment_name(2), tmp_path / "away"
    content = path.read_bytes()
    path.rename(away)
    lines()
    rest = served_from(tmp_path)
    (line,) = lines()
    assert line == (
        f"{path.name}: {len(content)} bytes from offset 0 on are lost (the file is missing): "
        "some records; jobs deleted in it may come back"
    )
    away.rename(path)
    (note,) = examine(tmp_path, patience_s=0).notes
    assert "not in the manifest" in note
    assert served_from(tmp_path) == rest
    (line,) = lines()
    assert f"{path.name}: {len(content)} bytes" in line
    assert "it is not in the manifest" in line
    assert kept(tmp_path) == {path.name: content}
    assert served_from(tmp_path) == rest
    assert lines() == []


class CopyingStorage(LocalStorage):
    """Keeps a copy of what is removed."""

    def remove(self, name: str) -> None:
        shutil.copy(self.path / name, self.path / f"copy-{name}")
        super().remove(name)


def write_and_delete(storage: LocalStorage) -> list[int]:
    """Segments of which some are removed, one after the other; returns the ids that are left."""
    queue = Queue(storage)
    ids = [queue.put(400) for _ in range(9)]
    for job_id in ids[:7]:
        queue.delete(job_id)
    queue.journal.close()
    return ids[7:]


def test_what_was_being_removed_is_removed(tmp_path: Path, lines: Lines) -> None:
    """A removal that was not synced may be undone, though others came after it."""
    ids = write_and_delete(CopyingStorage(tmp_path))
    copies = list(tmp_path.glob("copy-*"))
    assert len(copies) >= 2
    for path in copies:
        path.rename(tmp_path / path.name.removeprefix("copy-"))
    lines()
    assert served_from(tmp_path) == ids
    assert lines() == []
    assert kept(tmp_path) == {}
    assert not (tmp_path / segment_name(1)).exists()


def test_a_foreign_file_in_the_place_of_one_that_was_removed_is_kept(
    tmp_path: Path, lines: Lines
) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    write_journal(other)
    ids = write_and_delete(LocalStorage(ours))
    manifest, _ = read_manifest(LocalStorage(ours))
    assert manifest is not None
    for number in manifest.removed:
        shutil.copy(other / segment_name(1), ours / segment_name(number))
    lines()
    assert served_from(ours) == ids
    assert len(lines()) == len(kept(ours)) == len(manifest.removed) > 0


def test_without_any_manifest_that_is_said(tmp_path: Path, lines: Lines) -> None:
    ids = write_journal(tmp_path)
    for path in tmp_path.glob("manifest-*"):
        path.unlink()
    lines()
    assert served_from(tmp_path) == ids
    (line,) = lines()
    assert "no manifest" in line
    assert served_from(tmp_path) == ids
    assert lines() == []


def test_a_new_directory_has_nothing_to_say(tmp_path: Path, lines: Lines) -> None:
    assert served_from(tmp_path) == []
    assert lines() == []


def test_a_bad_manifest_is_told_with_its_size(tmp_path: Path, lines: Lines) -> None:
    ids = write_journal(tmp_path)
    (tmp_path / "manifest-0").write_bytes(b"12345")
    lines()
    assert served_from(tmp_path) == ids
    (line,) = lines()
    assert line.startswith("manifest-0: 5 bytes from offset 0 on are lost")
    assert kept(tmp_path) == {"manifest-0": b"12345"}


def test_a_segment_that_is_gone_already_counts_as_removed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    segment = Segment(7, bytes(16))
    for segment.is_damaged in (False, True):
        remove_segment(storage, segment)
    storage.close()


# --- a full disk ----------------------------------------------------------------------------------


class FullFile(LocalFile):
    """A file to which nothing can be added."""

    def write(self, data: bytes, offset: int) -> int:
        if offset + len(data) > os.fstat(self._fd).st_size:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(data, offset)


class FullDisk(LocalStorage):
    """A disk without room for what is to be set aside; it has some for a segment."""

    def create(self, name: str) -> File:
        file = super().create(name)
        assert isinstance(file, LocalFile)
        return FullFile(file._fd) if name.endswith("-tail") else file


def test_a_torn_tail_is_cut_though_there_is_no_room_to_keep_it(
    tmp_path: Path, lines: Lines
) -> None:
    ids = write_journal(tmp_path, jobs=2)
    path = tmp_path / segment_name(1)
    offset = records(path)[-1][0]
    path.write_bytes(path.read_bytes()[: offset + 30])
    lines()
    queue = Queue(FullDisk(tmp_path))
    assert sorted(queue.engine.jobs) == ids[:-1]
    (line,) = lines()
    assert re.match(rf"{path.name}: \d+ bytes from offset {offset} on are lost", line)
    assert line.endswith("a torn tail: cut off, and not kept, for want of room")
    assert not list(tmp_path.glob("*-tail*"))
    queue.journal.close()
    assert served_from(tmp_path) == ids[:-1]
    assert lines() == []


# --- a start that is interrupted ------------------------------------------------------------------


class EndError(Exception):
    """The process is gone."""


class MortalStorage(LocalStorage):
    """Ends the process at the n-th segment that it would begin, or thing that it would remove."""

    def __init__(self, path: Path, steps: int) -> None:
        super().__init__(path)
        self.steps = steps

    def _step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise EndError

    def create(self, name: str) -> File:
        self._step()
        return super().create(name)

    def remove(self, name: str) -> None:
        self._step()
        super().remove(name)


def interrupted(folder: Path, steps: int) -> bool:
    """Start a server that is ended after so many steps. False: it came to serve before."""
    storage = MortalStorage(folder, steps)
    try:
        queue = Queue(storage, segment_bytes=10_000)
    except EndError:
        storage.close()
        return True
    queue.journal.close()
    return False


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def damage_last(folder: Path, segments: int) -> None:
    path = folder / segment_name(segments)
    data = bytearray(path.read_bytes())
    data[HEAD_BYTES + 100] ^= 1
    path.write_bytes(data)


def raise_doubt(folder: Path, segments: int) -> None:
    (folder / DOUBT).touch()


@pytest.mark.parametrize("harm", [damage_last, raise_doubt])
def test_interrupted_recoveries_do_not_fill_the_disk(
    tmp_path: Path, harm: Callable[[Path, int], None]
) -> None:
    queue = Queue(LocalStorage(tmp_path), segment_bytes=10_000)
    ids = [queue.put(900) for _ in range(200)]
    queue.journal.close()
    segments = len(list(tmp_path.glob("segment-*")))
    harm(tmp_path, segments - 2)
    size = size_of(tmp_path)
    most = attempts = 0
    while attempts < 30 and interrupted(tmp_path, 4 + attempts % 5):
        attempts += 1
        most = max(most, size_of(tmp_path))
    assert attempts >= 3
    assert most < 2 * size + 50_000
    missing = set(ids) - set(served_from(tmp_path))
    assert len(missing) == (harm is damage_last)


def test_a_missing_segment_is_no_reason_to_write_anything_anew(tmp_path: Path) -> None:
    write_journal(tmp_path)
    (tmp_path / segment_name(2)).unlink()
    queue = Queue(LocalStorage(tmp_path))
    assert queue.journal.facts.records_migrated == 0
    queue.journal.close()


def test_only_what_damage_overrules_is_written_anew(tmp_path: Path) -> None:
    write_journal(tmp_path, jobs=40)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("segment-*")}
    damage_last(tmp_path, 3)
    served_from(tmp_path)
    after = {path.name: path.read_bytes() for path in tmp_path.glob("segment-*")}
    assert not {segment_name(number) for number in (1, 2, 3)} & after.keys()
    for name in sorted(before)[3:]:
        assert after[name].rstrip(b"\0") == before[name].rstrip(b"\0")


# --- moving in once more --------------------------------------------------------------------------


def move_in(folder: Path, body: bytes, name: int) -> list[bytes]:
    """Serve from a directory in which beanstalkd has left a file."""
    BinlogBuilder().record(1, body, tube=b"mail").write(folder, name)
    queue = Queue(LocalStorage(folder))
    queue.journal.close()
    return [job.body for job in queue.engine.jobs.values()]


def forget_ours(folder: Path) -> None:
    for pattern in ("segment-*", "manifest-*", "spare"):
        for path in folder.glob(pattern):
            path.unlink()


def test_the_files_of_a_second_import_go_into_a_place_of_their_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert move_in(tmp_path, b"first", 1) == [b"first"]
    first = (tmp_path / "beanstalkd" / "binlog.1").read_bytes()
    forget_ours(tmp_path)
    caplog.clear()
    BinlogBuilder().record(2, b"more", tube=b"mail").write(tmp_path, 2)
    assert sorted(move_in(tmp_path, b"second", 1)) == [b"more", b"second"]
    (place,) = tmp_path.glob("beanstalkd-????????")
    assert sorted(path.name for path in place.iterdir()) == ["binlog.1", "binlog.2"]
    assert [path.name for path in (tmp_path / "beanstalkd").iterdir()] == ["binlog.1"]
    assert (tmp_path / "beanstalkd" / "binlog.1").read_bytes() == first
    assert f"{place.name}/" in caplog.text
    assert any(note.startswith(f"{place.name}/: 2 files") for note in examine(tmp_path).notes)


# --- a clock that was set back --------------------------------------------------------------------


def test_a_clock_set_back_over_a_restart_makes_nobody_wait_longer(tmp_path: Path) -> None:
    """Not longer than from the restart on."""
    queue = Queue(LocalStorage(tmp_path))
    engine = queue.engine
    for delay_s in (1000, 10):
        job = engine.begin_put(queue.session, 0, delay_s, 60, NOW_NS)
        engine.finish_put(job, b"", NOW_NS)
    assert engine.pause(b"default", 100, NOW_NS)
    queue.end_tick()
    queue.journal.close()
    for earlier_s in (0, 90, 365 * 86_400):
        now_ns = NOW_NS - earlier_s * NS_PER_S
        again = Queue(LocalStorage(tmp_path), now_ns=now_ns)
        due_ns = [job.rank for job in again.engine.jobs.values()]
        tube = again.engine.tubes.get(b"default")
        assert tube is not None
        assert [(due - now_ns) // NS_PER_S for due in due_ns] == [1000, 10]
        assert (tube.unpause_at_ns - now_ns) // NS_PER_S == 100
        again.journal.close()
    # And what has passed meanwhile counts.
    later = Queue(LocalStorage(tmp_path), now_ns=NOW_NS + 50 * NS_PER_S)
    assert later.engine.jobs[1].rank == NOW_NS + 1000 * NS_PER_S
    assert later.engine.jobs[2].state == READY
    later.journal.close()
