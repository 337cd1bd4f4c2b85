"""A disk that is full, or fails for a moment, leaves a local journal all that it has promised."""

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from beanrow.engine.engine import Engine
from beanrow.engine.replay import Replay
from beanrow.engine.session import Session
from beanrow.journal.base import ADMITTED
from beanrow.journal.errors import JournalError
from beanrow.journal.local import LocalJournal
from beanrow.journal.manifest import Manifest, read_manifest, write_manifest
from beanrow.journal.recovery import DAMAGED, DOUBT
from beanrow.journal.segment import HEAD_BYTES, segment_name, segment_number
from beanrow.journal.storage import File, LocalFile, LocalStorage
from beanrow.journal.syncer import InlineSyncer, Syncer

SEGMENT_BYTES = 1000


class DiskFile(LocalFile):
    """Tells its disk what becomes of it."""

    def __init__(self, fd: int, name: str, disk: "Disk") -> None:
        super().__init__(fd)
        self.name = name
        self.disk = disk
        disk.open_files += 1
        disk.most_open_files = max(disk.most_open_files, disk.open_files)

    def write(self, data: bytes, offset: int) -> int:
        self.disk.before_write(self.name)
        if self.disk.is_full:
            data = data[: max(0, os.fstat(self._fd).st_size - offset)]
            if not data:
                raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(data, offset)

    def allocate(self, size: int) -> None:
        if self.disk.is_full:
            raise OSError(errno.ENOSPC, "no space left on device")
        super().allocate(size)

    def sync(self) -> None:
        if self.disk.fails_to_sync:
            raise OSError(errno.EIO, "input/output error")
        super().sync()
        self.disk.synced.add(self.name)

    def close(self) -> None:
        super().close()
        self.disk.open_files -= 1


class Disk(LocalStorage):
    """A directory on a disk that is full, or fails, when the test says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_full = False
        self.fails_to_sync = False
        self.open_files = 0
        self.most_open_files = 0
        self.synced: set[str] = set()
        self.before_write: Callable[[str], None] = lambda name: None
        #: Each of these fails once.
        self.failing_removes: set[str] = set()
        self.fails_to_set_aside = False

    def create(self, name: str) -> File:
        return self._of_this_disk(super().create(name), name)

    def open(self, name: str) -> File:
        return self._of_this_disk(super().open(name), name)

    def remove(self, name: str) -> None:
        if name in self.failing_removes:
            self.failing_removes.remove(name)
            raise OSError(errno.EIO, "input/output error")
        super().remove(name)

    def rename(self, name: str, new_name: str) -> None:
        if self.fails_to_set_aside and new_name.startswith(DAMAGED):
            raise OSError(errno.EIO, "input/output error")
        super().rename(name, new_name)

    def _of_this_disk(self, file: File, name: str) -> File:
        assert isinstance(file, LocalFile)
        return DiskFile(file._fd, name, self)


class LateSyncer(Syncer):
    """Syncs when the test says so."""

    def start(self, sync: Callable[[], None], interval_ns: int) -> None:
        self.sync = sync

    def request(self) -> None:
        pass

    def close(self) -> None:
        pass


class Queue:
    """An engine and its journal on a disk."""

    def __init__(
        self,
        disk: LocalStorage,
        *,
        syncer: Syncer | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        sync_interval_ms: int = 0,
    ) -> None:
        self.engine = Engine()
        self.journal = LocalJournal(
            disk,
            segment_bytes=segment_bytes,
            sync_interval_ms=sync_interval_ms,
            syncer=syncer or InlineSyncer(),
        )
        replay = Replay(self.engine)
        self.journal.replay(replay, lambda: None)
        replay.finish(0)
        self.session: Session = self.engine.open_session()

    def put(self, size: int) -> int:
        job = self.engine.begin_put(self.session, 0, 0, 60, 0)
        self.engine.finish_put(job, bytes(size), 0)
        return job.id

    def delete(self, job_id: int) -> None:
        assert self.engine.delete(self.session, job_id)

    def end_tick(self) -> None:
        self.journal.append(self.engine.changes)
        self.journal.commit()


def numbers(disk: LocalStorage) -> list[int]:
    found = [segment_number(name) for name in disk.names()]
    return [number for number in found if number is not None]


def test_the_manifest_names_no_segment_that_was_not_synced(tmp_path: Path) -> None:
    """Though a sync may begin while a tick writes several segments."""
    disk, syncer = Disk(tmp_path), LateSyncer()
    queue = Queue(disk, syncer=syncer)
    syncer.sync()
    for _ in range(4):
        queue.put(800)
    named: list[list[int]] = []

    def sync_meanwhile(name: str) -> None:
        if segment_number(name) is not None:
            syncer.sync()
            manifest, _ = read_manifest(disk)
            assert manifest is not None
            assert {segment_name(number) for number in manifest.segments} <= disk.synced
            named.append(manifest.segments)

    disk.before_write = sync_meanwhile
    queue.end_tick()
    assert len(named) >= 4
    disk.before_write = lambda name: None
    syncer.sync()
    manifest, _ = read_manifest(disk)
    assert manifest is not None
    assert manifest.segments == numbers(disk)
    queue.journal.close()


def test_a_segment_that_could_not_be_removed_is_removed_later(tmp_path: Path) -> None:
    """And keeps none of the others."""
    disk = Disk(tmp_path)
    queue = Queue(disk)
    ids = []
    for _ in range(5):
        ids.append(queue.put(800))
        queue.end_tick()
    full = numbers(disk)[:-1]
    disk.failing_removes = {segment_name(full[1])}
    for job_id in ids:
        queue.delete(job_id)
    queue.end_tick()
    assert not disk.failing_removes
    queue.put(1)
    queue.end_tick()
    assert not set(full) & set(numbers(disk))
    assert queue.journal.trouble == ""
    queue.journal.close()


def test_deletes_take_no_room_that_a_put_was_promised(tmp_path: Path) -> None:
    """One that does not fit where it was to be written may fit nowhere, and then nothing does."""
    disk = Disk(tmp_path)
    queue = Queue(disk, segment_bytes=1 << 20)
    journal = queue.journal
    assert journal.admit_put(7, 1000) == ADMITTED
    ids = [queue.put(10) for _ in range(10)]
    queue.end_tick()
    disk.is_full = True
    size = 1 << 17  # the largest that still fits
    while journal.admit_put(7, size) != ADMITTED:
        size -= 1
        assert size > 100_000
    journal.commit()
    assert journal.admit_deletes() == ADMITTED
    queue.delete(ids.pop())
    if journal.admit_put(7, size) == ADMITTED:
        queue.put(size)
    queue.end_tick()
    assert journal.trouble == ""
    for job_id in ids:
        assert journal.admit_deletes() == ADMITTED
        queue.delete(job_id)
        queue.end_tick()
    assert journal.trouble == ""
    journal.close()


def test_a_torn_manifest_is_no_reason_to_write_all_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The other one is whole, and what it names is still there."""
    queue = Queue(LocalStorage(tmp_path))
    ids = [queue.put(800) for _ in range(5)]
    queue.end_tick()
    queue.journal.close()
    current, _ = read_manifest(LocalStorage(tmp_path))
    assert current is not None
    torn = tmp_path / f"manifest-{(current.turn + 1) % 2}"
    torn.write_bytes(current.encode()[:20])
    again = Queue(LocalStorage(tmp_path))
    assert list(again.engine.jobs) == ids
    assert again.journal.facts.records_migrated == 0
    assert torn.name in caplog.text
    again.journal.close()
    assert [path.name[: len(torn.name)] for path in (tmp_path / DAMAGED).iterdir()] == [torn.name]
    assert read_manifest(LocalStorage(tmp_path))[1] == []


def test_a_manifest_that_does_not_fit_leaves_the_files_as_they_are(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    manifest = Manifest(bytes(16), 1)
    write_manifest(disk, manifest)
    disk.is_full = True
    manifest.turn = 3  # the same file
    manifest.segments = list(range(1, 3000))
    with pytest.raises(OSError, match="no space"):
        write_manifest(disk, manifest)
    found, damaged = read_manifest(disk)
    assert found is not None
    assert (found.turn, damaged) == (1, [])


def test_a_manifest_that_fails_leaves_the_other_one_whole(tmp_path: Path) -> None:
    """However often it is tried."""
    disk = Disk(tmp_path)
    queue = Queue(disk)
    before, _ = read_manifest(disk)
    assert before is not None

    def tear(name: str) -> None:
        if name.startswith("manifest"):
            (tmp_path / name).write_bytes(b"{")
            raise OSError(errno.EIO, "input/output error")

    disk.before_write = tear
    for _ in range(5):
        job_id = queue.put(800)
        queue.end_tick()
        queue.delete(job_id)
        queue.end_tick()
    found, damaged = read_manifest(disk)
    assert found is not None
    assert (found.turn, len(damaged)) == (before.turn, 1)
    disk.before_write = lambda name: None
    queue.put(800)
    queue.end_tick()
    assert read_manifest(disk)[1] == []
    assert queue.journal.trouble == ""
    queue.journal.close()


def test_a_damaged_file_is_kept_though_a_failure_interrupts_that(tmp_path: Path) -> None:
    queue = Queue(LocalStorage(tmp_path))
    for _ in range(5):
        queue.put(800)
    queue.end_tick()
    queue.journal.close()
    path = tmp_path / segment_name(2)
    data = bytearray(path.read_bytes())
    data[HEAD_BYTES + 100] ^= 1
    path.write_bytes(data)
    disk = Disk(tmp_path)
    disk.fails_to_set_aside = True
    with pytest.raises(JournalError, match="input/output"):
        Queue(disk)
    disk.close()
    again = Queue(LocalStorage(tmp_path))
    assert len(again.engine.jobs) == 4
    again.journal.close()
    kept = list((tmp_path / DAMAGED).glob(f"{path.name}-*"))
    assert [file.read_bytes() for file in kept] == [bytes(data)]


def test_few_files_are_open_while_all_is_written_anew(tmp_path: Path) -> None:
    queue = Queue(LocalStorage(tmp_path))
    for _ in range(40):
        queue.put(800)
    queue.end_tick()
    queue.journal.close()
    path = tmp_path / segment_name(20)
    path.write_bytes(path.read_bytes()[:500])
    disk = Disk(tmp_path)
    again = Queue(disk)
    assert len(again.engine.jobs) == 39
    assert disk.most_open_files < 10
    again.journal.close()


def test_a_full_disk_at_the_start_is_no_failed_sync(tmp_path: Path) -> None:
    """Which the next start would have to make up for, and would need room for."""
    Queue(LocalStorage(tmp_path)).journal.close()
    (tmp_path / "spare").unlink(missing_ok=True)
    disk = Disk(tmp_path)
    disk.is_full = True
    with pytest.raises(JournalError, match="no space"):
        Queue(disk)
    disk.close()
    assert not (tmp_path / DOUBT).exists()


def test_a_sync_that_fails_at_the_start_is_noted(tmp_path: Path) -> None:
    queue = Queue(LocalStorage(tmp_path))
    queue.put(1)
    queue.end_tick()
    queue.journal.close()
    disk = Disk(tmp_path)
    disk.fails_to_sync = True
    with pytest.raises(JournalError, match="input/output"):
        Queue(disk)
    disk.close()
    assert (tmp_path / DOUBT).exists()


def test_a_sync_that_fails_at_the_end_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(tmp_path)
    queue = Queue(disk, syncer=LateSyncer(), sync_interval_ms=50)
    queue.put(1)
    queue.end_tick()
    disk.fails_to_sync = True
    queue.journal.close()
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert any("cannot be synced" in record.getMessage() for record in errors)


def test_what_could_not_be_read_is_garbage_until_its_file_goes(tmp_path: Path) -> None:
    """Otherwise what goes with the file is taken for less garbage than none."""
    queue = Queue(LocalStorage(tmp_path), segment_bytes=20_000)
    for _ in range(20):
        queue.put(1800)
    queue.end_tick()
    queue.journal.close()
    path = tmp_path / segment_name(1)
    data = bytearray(path.read_bytes())
    data[5000:15_000] = bytes(10_000)
    path.write_bytes(data)
    again = Queue(LocalStorage(tmp_path), segment_bytes=20_000)
    assert again.journal._homes.garbage_bytes >= 0
    again.journal.close()


def test_moving_pauses_takes_no_room_that_deletes_need(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    queue = Queue(disk, segment_bytes=20_000)
    engine, journal = queue.engine, queue.journal
    for number in range(150):
        assert journal.admit_updates(1) == ADMITTED
        name = b"%0200d" % number
        engine.watch(queue.session, name)
        engine.pause(name, 1000, 0)
    queue.end_tick()
    ids = []
    for _ in range(100):
        assert journal.admit_put(7, 1000) == ADMITTED
        ids.append(queue.put(1000))
        queue.end_tick()
    disk.is_full = True
    for job_id in ids:
        assert journal.admit_deletes() == ADMITTED
        queue.delete(job_id)
        queue.end_tick()
        assert journal.trouble == ""
    journal.close()


def test_a_lock_that_fails_is_no_other_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    storage = LocalStorage(tmp_path)
    monkeypatch.setattr("fcntl.lockf", fail)
    with pytest.raises(JournalError, match="cannot be locked"):
        storage.lock()
    storage.close()
