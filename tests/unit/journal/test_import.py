"""Moving in from beanstalkd: its jobs into our segments, its files aside."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from beanrow.engine.engine import Engine
from beanrow.engine.job import STATE_NAMES
from beanrow.engine.replay import Replay
from beanrow.journal.errors import JournalError
from beanrow.journal.local import LocalJournal
from beanrow.journal.manifest import read_manifest
from beanrow.journal.storage import File, LocalFile, LocalStorage, Storage
from tests.unit.journal import binlog_builder as real
from tests.unit.journal.binlog_builder import BinlogBuilder

SEGMENT_BYTES = 4096

Shown = dict[int, tuple[bytes, bytes, str, int]]


def start(storage: Storage) -> tuple[Engine, LocalJournal]:
    """An engine with all that a journal has."""
    engine = Engine()
    journal = LocalJournal(storage, segment_bytes=SEGMENT_BYTES, sync_interval_ms=0)
    replay = Replay(engine)
    journal.replay(replay, lambda: None)
    replay.finish(real.CREATED_NS)
    return engine, journal


def served_from(folder: Path) -> tuple[Shown, list[bytes]]:
    """The jobs that are there after a start, by id, and the bodies of the buried in their order."""
    engine, journal = start(LocalStorage(folder))
    journal.close()
    shown = {
        job.id: (job.tube.name, job.body, STATE_NAMES[job.state], job.pri)
        for job in engine.jobs.values()
    }
    tube = engine.tubes.get(b"mail")
    return shown, [job.body for job in tube.buried.values()] if tube else []


def write_binlogs(folder: Path) -> dict[str, bytes]:
    """Jobs in two files; returns what is in these."""
    folder.mkdir(exist_ok=True)
    first, second = BinlogBuilder(), BinlogBuilder(5)
    for job_id in range(1, 41):
        first.record(job_id, b"body %d" % job_id, tube=b"mail", pri=job_id)
    for job_id in (3, 1, 2):
        first.record(job_id, b"body %d" % job_id, state=real.BURIED, pri=job_id)
    second.record(4, state=real.INVALID).record(300, state=real.INVALID)
    first.write(folder, 9)
    second.write(folder, 10)
    return {name: (folder / name).read_bytes() for name in ("binlog.9", "binlog.10")}


EXPECTED: Shown = {
    job_id: (b"mail", b"body %d" % job_id, "buried" if job_id < 4 else "ready", job_id)
    for job_id in range(1, 41)
    if job_id != 4
}
BURIED = [b"body 3", b"body 1", b"body 2"]


def assert_moved_in(folder: Path, binlogs: dict[str, bytes]) -> None:
    assert served_from(folder) == (EXPECTED, BURIED)
    aside = folder / "beanstalkd"
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == binlogs
    assert not list(folder.glob("binlog*"))
    # And once more, from our segments alone.
    assert served_from(folder) == (EXPECTED, BURIED)


def test_all_jobs_move_in_and_the_old_files_aside(tmp_path: Path) -> None:
    binlogs = write_binlogs(tmp_path)
    assert_moved_in(tmp_path, binlogs)


def test_ids_go_on_after_those_of_deleted_jobs(tmp_path: Path) -> None:
    write_binlogs(tmp_path)
    for _ in range(2):
        engine, journal = start(LocalStorage(tmp_path))
        session = engine.open_session()
        assert engine.begin_put(session, 0, 0, 60, real.CREATED_NS).id == 301
        journal.close()


class CrashError(Exception):
    """The process is gone."""


class DoomedStorage(LocalStorage):
    """Works for so many calls that change something, and then never again."""

    def __init__(self, path: Path, calls: int, *, tears: bool) -> None:
        super().__init__(path)
        self.calls = calls
        self.tears = tears

    def spend(self) -> None:
        if self.calls == 0:
            raise CrashError
        self.calls -= 1

    def create(self, name: str) -> File:
        self.spend()
        return DoomedFile(super().create(name), self)

    def open(self, name: str) -> File:
        return DoomedFile(super().open(name), self)

    def rename(self, name: str, new_name: str) -> None:
        self.spend()
        super().rename(name, new_name)

    def remove(self, name: str) -> None:
        self.spend()
        super().remove(name)


class DoomedFile(LocalFile):
    """A file of a `DoomedStorage`; of its last write, nothing or half arrives."""

    def __init__(self, file: File, storage: DoomedStorage) -> None:
        self.file = file
        self.storage = storage

    def write(self, data: bytes, offset: int) -> int:
        if self.storage.calls == 0 and self.storage.tears:
            self.file.write(data[: len(data) // 2], offset)
        self.storage.spend()
        return self.file.write(data, offset)

    def allocate(self, size: int) -> None:
        self.storage.spend()
        self.file.allocate(size)

    def truncate(self, size: int) -> None:
        self.storage.spend()
        self.file.truncate(size)

    def sync(self) -> None:
        self.file.sync()

    def close(self) -> None:
        self.file.close()


def crashed(root: Path, junk: dict[str, bytes] | None = None) -> Iterator[Path]:
    """Directories in which a first start has crashed, at every moment that it could."""
    for number in count():
        calls, tears = divmod(number, 2)
        folder = root / str(number)
        write_binlogs(folder)
        for name, data in (junk or {}).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        storage = DoomedStorage(folder, calls, tears=bool(tears))
        try:
            _, journal = start(storage)
        except CrashError:
            storage.close()
        else:
            journal.close()
            assert calls > 10
            return
        yield folder


def test_a_crash_at_any_moment_is_harmless(tmp_path: Path) -> None:
    binlogs = write_binlogs(tmp_path / "whole")
    for folder in crashed(tmp_path):
        assert_moved_in(folder, binlogs)


def test_a_second_crash_is_harmless_too(tmp_path: Path) -> None:
    binlogs = write_binlogs(tmp_path / "whole")
    for folder in crashed(tmp_path, {"manifest-1": b"half a mani"}):
        assert_moved_in(folder, binlogs)


@pytest.mark.parametrize("name", ["binlog.9", "binlog.10"])
def test_a_crash_leaves_no_files_among_those_of_an_earlier_import(
    tmp_path: Path, name: str
) -> None:
    binlogs = write_binlogs(tmp_path / "whole")
    for folder in crashed(tmp_path, {f"beanstalkd/{name}": b"of an earlier one"}):
        assert served_from(folder) == (EXPECTED, BURIED)
        (earlier,) = (folder / "beanstalkd").iterdir()
        assert earlier.read_bytes() == b"of an earlier one"
        (place,) = folder.glob("beanstalkd-*")
        assert {path.name: path.read_bytes() for path in place.iterdir()} == binlogs


def test_an_import_begins_again_with_what_beanstalkd_wrote_meanwhile(tmp_path: Path) -> None:
    """Interrupted, the old server may serve on; what it says last counts."""
    for folder in crashed(tmp_path):
        if not is_imported(folder):
            BinlogBuilder().record(5, state=real.INVALID).write(folder, 11)
            jobs, _ = served_from(folder)
            assert set(jobs) == set(EXPECTED) - {5}


def test_a_manifest_lost_while_files_move_aside_brings_no_import_back(tmp_path: Path) -> None:
    tried = 0
    for folder in crashed(tmp_path):
        if is_imported(folder) and (folder / "beanstalkd" / "binlog.9").exists():
            (folder / "manifest-0").write_bytes(b"lost")
            jobs, _ = served_from(folder)
            assert jobs == EXPECTED
            tried += 1
    assert tried


def test_files_that_come_later_are_not_taken_for_those_imported(tmp_path: Path) -> None:
    tried = 0
    for folder in crashed(tmp_path):
        if is_imported(folder) and not list(folder.glob("binlog.*")):
            served_from(folder)
            BinlogBuilder().record(5, tube=b"other").write(folder, 9)
            with pytest.raises(JournalError, match=r"binlog\.9 of beanstalkd"):
                served_from(folder)
            tried += 1
    assert tried


def is_imported(folder: Path) -> bool:
    """Whether a manifest says that the jobs are in our segments: from then on they are ours."""
    manifest, _ = read_manifest(LocalStorage(folder))
    return manifest is not None and bool(manifest.segments)


def test_what_cannot_be_read_is_left_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "binlog.1").write_bytes(b"\x08\0\0\0 of the future")
    for _ in range(2):
        with pytest.raises(JournalError, match=r"version 8 is unknown.*move them away"):
            served_from(tmp_path)
    assert (tmp_path / "binlog.1").exists()


def test_damage_is_passed_over_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    binlogs = write_binlogs(tmp_path)
    (tmp_path / "binlog.8").write_bytes(b"\x08\0\0\0 of the future")
    jobs, _ = served_from(tmp_path)
    assert jobs == EXPECTED
    assert "binlog.8, offset 0: version 8 is unknown" in caplog.text
    assert len(list((tmp_path / "beanstalkd").iterdir())) == len(binlogs) + 1


def test_a_journal_of_ours_is_not_mixed_with_theirs(tmp_path: Path) -> None:
    write_binlogs(tmp_path)
    served_from(tmp_path)
    BinlogBuilder().record(5, tube=b"other").write(tmp_path, 9)
    with pytest.raises(JournalError, match=r"a journal of beanrow and binlog\.9 of beanstalkd"):
        served_from(tmp_path)
    assert (tmp_path / "binlog.9").exists()
