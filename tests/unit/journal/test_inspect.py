"""What is told of a directory, and that every flipped byte of it is noticed."""

from pathlib import Path

import pytest

from beanrow.engine.engine import Engine
from beanrow.engine.replay import Replay
from beanrow.journal.base import ADMITTED
from beanrow.journal.checksum import extend
from beanrow.journal.errors import JournalError
from beanrow.journal.inspect import BEANROW, BEANSTALKD, Progress, Report, examine
from beanrow.journal.local import LocalJournal
from beanrow.journal.manifest import Manifest, write_manifest
from beanrow.journal.record import PAUSE_BYTES, job_bytes
from beanrow.journal.segment import HEAD_BYTES, encode_head
from beanrow.journal.storage import LocalStorage
from tests.unit.journal import binlog_builder as real
from tests.unit.journal.binlog_builder import BinlogBuilder

NS_PER_S = 1_000_000_000
NOW_NS = 1_760_000_000 * NS_PER_S


class Queue:
    """An engine with its journal in a directory; every change is written at once."""

    def __init__(self, folder: Path, segment_bytes: int = 8192) -> None:
        self.engine = Engine()
        self.journal = LocalJournal(
            LocalStorage(folder), segment_bytes=segment_bytes, sync_interval_ms=0
        )
        replay = Replay(self.engine)
        self.journal.replay(replay, lambda: None)
        replay.finish(NOW_NS)
        self.session = self.engine.open_session()
        self.now_ns = NOW_NS

    def put(self, body: bytes, pri: int = 0, delay_s: int = 0) -> int:
        self.now_ns += NS_PER_S
        assert self.journal.admit_put(100, len(body)) == ADMITTED
        job = self.engine.begin_put(self.session, pri, delay_s, 60, self.now_ns)
        self.engine.finish_put(job, body, self.now_ns)
        self.commit()
        return job.id

    def reserve(self, job_id: int) -> None:
        assert self.engine.reserve_job(self.session, job_id, self.now_ns) is not None

    def bury(self, job_id: int) -> None:
        self.reserve(job_id)
        assert self.engine.bury(self.session, job_id, 0)
        self.commit()

    def delete(self, job_id: int) -> None:
        assert self.engine.delete(self.session, job_id)
        self.commit()

    def pause(self, name: bytes, pause_s: int) -> None:
        assert self.engine.pause(name, pause_s, self.now_ns)
        self.commit()

    def commit(self) -> None:
        self.journal.append(self.engine.changes)
        self.journal.commit()

    def live_bytes(self) -> int:
        return sum(map(job_bytes, self.engine.jobs.values()))


def write_journal(folder: Path) -> None:
    """Two segments: three jobs in the first, and in the second another and what became of them."""
    queue = Queue(folder)
    for body in (b"one", b"two", b"three"):
        queue.put(body)
    queue.journal.close()
    queue = Queue(folder)
    queue.bury(2)
    queue.delete(3)
    queue.put(b"four")
    queue.journal.close()


def look(folder: Path, progress: Progress | None = None) -> Report:
    return examine(folder, progress, patience_s=0)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("segment-*"))


def written(path: Path) -> bytes:
    """What is in a segment, without the room behind it."""
    return path.read_bytes().rstrip(b"\0")


def texts(report: Report) -> list[str]:
    return [problem.text for problem in report.problems]


# --- what it holds ------------------------------------------------------------------------------


def test_jobs_records_and_bytes_are_told(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    ids = [queue.put(b"x" * size, delay_s=delay_s) for size, delay_s in ((1, 0), (10, 9), (5, 0))]
    queue.bury(ids[2])
    held = queue.put(b"")
    queue.reserve(held)
    queue.delete(gone := queue.put(b"gone"))
    queue.pause(b"default", 100)
    live_bytes = queue.live_bytes() + PAUSE_BYTES + len(b"default")
    queue.journal.close()

    report = look(tmp_path)
    assert (report.kind, report.format_version, len(report.instance)) == (BEANROW, 1, 32)
    assert report.jobs == {"ready": 2, "delayed": 1, "buried": 1}
    assert (report.paused_tubes, report.last_job_id) == (1, gone)
    assert report.oldest == (ids[0], NOW_NS + NS_PER_S)
    assert report.newest == (held, NOW_NS + 4 * NS_PER_S)
    (file,) = report.files
    assert (file.jobs, file.states, file.deletes, file.pauses) == (5, 1, 1, 1)
    assert (file.live_jobs, file.live_bytes, report.live_bytes) == (4, live_bytes, live_bytes)
    assert report.records() == 8
    spare_bytes = (tmp_path / "spare").stat().st_size
    assert report.spare_bytes == spare_bytes
    assert report.total_bytes == segments(tmp_path)[0].stat().st_size + spare_bytes
    assert (texts(report), report.notes) == ([], [])


def test_it_agrees_with_what_a_start_finds(tmp_path: Path) -> None:
    """With segments that vanish and jobs that move."""
    queue = Queue(tmp_path, segment_bytes=2000)
    kept = queue.put(b"kept")
    queue.pause(b"default", 100)
    for _ in range(300):
        queue.delete(queue.put(b"y" * 100))
    queue.pause(b"default", 0)
    live_bytes = queue.live_bytes()
    queue.journal.close()
    report = look(tmp_path)
    assert (report.jobs["ready"], report.live_bytes, report.paused_tubes) == (1, live_bytes, 0)
    assert report.oldest == report.newest
    assert report.oldest is not None
    assert report.oldest[0] == kept
    assert [file.name for file in report.files] == [path.name for path in segments(tmp_path)]
    assert texts(report) == []


def test_the_last_id_is_told_wherever_it_is(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    assert queue.put(b"a job") == 1
    queue.journal.close()
    assert look(tmp_path).last_job_id == 1

    queue = Queue(tmp_path)  # and one that came and went within a tick
    job = queue.engine.begin_put(queue.session, 0, 0, 60, NOW_NS)
    queue.engine.finish_put(job, b"", NOW_NS)
    queue.delete(job.id)
    queue.journal.close()
    assert look(tmp_path).last_job_id == 2

    # And in the head of a segment, when no record of it is left.
    instance = bytes.fromhex(look(tmp_path).instance)
    (tmp_path / "segment-0000000009").write_bytes(encode_head(instance, 9, 77, 0))
    report = look(tmp_path)
    assert (report.last_job_id, texts(report)) == (77, [])


def test_nothing_is_changed(tmp_path: Path) -> None:
    write_journal(tmp_path)
    segments(tmp_path)[-1].write_bytes(written(segments(tmp_path)[-1])[:-1])
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    look(tmp_path)
    assert before == {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()
    }


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    write_journal(tmp_path)
    told: list[tuple[int, int]] = []
    look(tmp_path, lambda done, total: told.append((done, total)))
    first, second = (path.stat().st_size for path in segments(tmp_path))
    assert told == [(first, first + second), (first + second, first + second)]


# --- damage -------------------------------------------------------------------------------------


def test_every_flipped_byte_is_found_where_it_is(tmp_path: Path) -> None:
    write_journal(tmp_path)
    for path in segments(tmp_path):
        data = path.read_bytes()
        for place in range(len(written(path))):
            path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
            problems = look(tmp_path).problems
            assert problems, f"{path.name}: byte {place}"
            (problem,) = problems
            assert problem.file == path.name
            assert problem.offset <= place < problem.offset + problem.size
        path.write_bytes(data)
    assert look(tmp_path).problems == []


def test_what_a_server_was_still_writing_is_read_again(tmp_path: Path) -> None:
    write_journal(tmp_path)
    last = segments(tmp_path)[-1]
    whole = last.read_bytes()
    last.write_bytes(written(last)[:-1])

    def finish_writing(done_bytes: int, total_bytes: int) -> None:
        if done_bytes == total_bytes:  # all of it has been read, once
            last.write_bytes(whole)

    assert len(look(tmp_path).problems) == 1
    assert look(tmp_path, finish_writing).problems == []


def test_damage_is_told_with_its_place_and_its_job(tmp_path: Path) -> None:
    write_journal(tmp_path)
    path = segments(tmp_path)[0]
    data = bytearray(path.read_bytes())
    size = (len(data) - HEAD_BYTES - len(b"three") + len(b"one")) // 3
    data[HEAD_BYTES + size - 1] ^= 1
    path.write_bytes(data)
    report = look(tmp_path)
    (problem,) = report.problems
    assert (problem.offset, problem.size, problem.ids) == (HEAD_BYTES, size, [1])
    assert problem.text == (
        f"{path.name}: {size} bytes from offset {HEAD_BYTES} on are lost "
        "(its checksum does not fit): 1 record, of job 1"
    )
    assert report.jobs == {"ready": 1, "delayed": 0, "buried": 1}


def test_a_torn_tail_is_told_apart(tmp_path: Path) -> None:
    write_journal(tmp_path)
    first, last = segments(tmp_path)
    last.write_bytes(written(last)[:-1])
    (text,) = texts(look(tmp_path))
    assert text.startswith(f"{last.name}: ")
    assert text.endswith("a torn tail, which the next start of a server cuts off")
    first.write_bytes(written(first)[:-1])
    assert [text.endswith("cuts off") for text in texts(look(tmp_path))] == [False, True]


def test_a_missing_segment_is_told(tmp_path: Path) -> None:
    write_journal(tmp_path)
    first, _ = segments(tmp_path)
    first.unlink()
    report = look(tmp_path)
    assert texts(report) == [f"{first.name}: the file is missing"]
    assert report.jobs == {"ready": 1, "delayed": 0, "buried": 0}


def test_a_segment_of_another_journal_is_told(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    write_journal(ours)
    write_journal(other)
    first, last = segments(ours)
    first.write_bytes(segments(other)[0].read_bytes())
    last.rename(last.with_name("segment-0000000007"))
    assert texts(look(ours)) == [
        f"{first.name}: it belongs to another journal or place",
        "segment-0000000007: it belongs to another journal or place",
        f"{last.name}: the file is missing",
    ]


def test_a_segment_of_a_later_format_is_told(tmp_path: Path) -> None:
    write_journal(tmp_path)
    first, _ = segments(tmp_path)
    head = bytearray(encode_head(bytes(16), 1, 0, 0))
    head[8] = 2
    crc = extend(0, bytes(head[:-4]))
    first.write_bytes(bytes(head[:-4]) + crc.to_bytes(4, "little"))
    assert texts(look(tmp_path)) == [f"{first.name}: format 2 is unknown; a newer version reads it"]


def test_a_damaged_manifest_is_told(tmp_path: Path) -> None:
    write_journal(tmp_path)
    path = max(tmp_path.glob("manifest-*"), key=lambda path: path.stat().st_mtime_ns)
    path.write_bytes(path.read_bytes().replace(b"segments", b"segmints"))
    assert f"{path.name}: not a whole manifest" in "\n".join(texts(look(tmp_path)))


def test_without_a_manifest_the_segments_tell_which_journal_it_is(tmp_path: Path) -> None:
    write_journal(tmp_path)
    instance = look(tmp_path).instance
    for path in tmp_path.glob("manifest-*"):
        path.unlink()
    report = look(tmp_path)
    assert (report.instance, texts(report)) == (instance, [])


def test_segments_still_to_be_removed_do_not_count(tmp_path: Path) -> None:
    write_journal(tmp_path)
    first, last = segments(tmp_path)
    storage = LocalStorage(tmp_path)
    manifest = Manifest(bytes.fromhex(look(tmp_path).instance), turn=100)
    manifest.segments = [2]
    manifest.removed = [1]
    write_manifest(storage, manifest)
    storage.close()
    report = look(tmp_path)
    assert [file.name for file in report.files] == [last.name]
    assert report.notes == [
        f"1 file of {first.stat().st_size} bytes needed no more, and soon removed"
    ]
    sizes = [path.stat().st_size for path in (first, last, tmp_path / "spare")]
    assert report.total_bytes == sum(sizes)


def test_what_was_set_aside_is_noted(tmp_path: Path) -> None:
    write_journal(tmp_path)
    for name, sizes in (("damaged", (3, 4)), ("beanstalkd", (5,))):
        (tmp_path / name).mkdir()
        for number, size in enumerate(sizes):
            (tmp_path / name / str(number)).write_bytes(bytes(size))
    assert look(tmp_path).notes == [
        "damaged/: 2 files of 7 bytes set aside",
        "beanstalkd/: 1 file of 5 bytes set aside",
    ]


# --- a binlog of beanstalkd ---------------------------------------------------------------------


def write_binlog(folder: Path) -> None:
    builder = BinlogBuilder().record(1, tube=b"mail").record(2, tube=b"mail")
    builder.record(1, state=real.BURIED).record(2, state=real.INVALID).write(folder, 1)


def test_a_binlog_is_understood(tmp_path: Path) -> None:
    write_binlog(tmp_path)
    report = look(tmp_path)
    assert (report.kind, report.format_version, report.instance) == (BEANSTALKD, 7, "")
    assert report.jobs == {"ready": 0, "delayed": 0, "buried": 1}
    (file,) = report.files
    assert (file.name, file.jobs, file.states, file.deletes) == ("binlog.1", 2, 1, 1)
    assert not file.is_segment
    assert (report.last_job_id, report.live_bytes) == (2, 4 + 4 + 80 + 7)
    assert report.total_bytes == (tmp_path / "binlog.1").stat().st_size


def test_damage_of_a_binlog_is_told(tmp_path: Path) -> None:
    write_binlog(tmp_path)
    data = (tmp_path / "binlog.1").read_bytes()[:150]
    (tmp_path / "binlog.1").write_bytes(data)
    (problem,) = look(tmp_path).problems
    start = 4 + 4 + 4 + 80 + 7
    assert (problem.file, problem.offset, problem.size) == ("binlog.1", start, 150 - start)
    assert problem.text.startswith(f"binlog.1, offset {start}: the file ends within a record")


def test_an_import_that_was_interrupted_is_noted(tmp_path: Path) -> None:
    write_binlog(tmp_path)
    storage = LocalStorage(tmp_path)
    manifest = Manifest(bytes(16))
    manifest.imported = ["binlog.1"]
    write_manifest(storage, manifest)
    storage.close()
    report = look(tmp_path)
    assert (report.kind, report.jobs["buried"]) == (BEANSTALKD, 1)
    assert report.notes == ["moving in was interrupted; the next start of a server repeats it"]


# --- what is no journal -------------------------------------------------------------------------


def test_what_cannot_be_examined_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no such directory"):
        look(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    with pytest.raises(JournalError, match="holds no journal"):
        look(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match="is a file; give the directory"):
        look(tmp_path / "file")
