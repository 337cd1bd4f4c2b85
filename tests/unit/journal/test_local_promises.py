"""What a local journal promises by `admit…` and by a position, and for how long."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from beanrow.engine.engine import Engine
from beanrow.engine.replay import Replay
from beanrow.engine.session import Session
from beanrow.journal.base import ADMITTED, BROKEN
from beanrow.journal.local import LocalJournal
from beanrow.journal.storage import File, LocalFile, LocalStorage
from beanrow.journal.syncer import InlineSyncer, Syncer


class UnsyncedFile(LocalFile):
    """Its disk takes everything, and keeps nothing."""

    def sync(self) -> None:
        raise OSError(errno.EIO, "input/output error")


class BadDisk(LocalStorage):
    """A directory whose files, once it is ``bad``, cannot be synced."""

    is_bad = False

    def create(self, name: str) -> File:
        file = super().create(name)
        assert isinstance(file, LocalFile)
        return UnsyncedFile(file._fd) if self.is_bad else file


def opened(
    storage: LocalStorage,
    engine: Engine,
    sync_interval_ms: int | None,
    syncer: Syncer | None = None,
) -> LocalJournal:
    journal = LocalJournal(
        storage,
        segment_bytes=100_000,
        sync_interval_ms=sync_interval_ms,
        syncer=syncer or InlineSyncer(),
    )
    journal.replay(Replay(engine), lambda: None)
    return journal


def put(engine: Engine, session: Session, size: int) -> None:
    engine.finish_put(engine.begin_put(session, 0, 0, 60, 0), bytes(size), 0)


def test_what_was_admitted_and_then_not_done_takes_no_room(tmp_path: Path) -> None:
    """As a release of a job that is not there: the answer is NOT_FOUND."""
    journal = opened(LocalStorage(tmp_path), Engine(), 0)
    sizes = set()
    for _ in range(1000):
        for _ in range(16):
            assert journal.admit_updates(1) == ADMITTED
        journal.commit()
        sizes.add(sum(path.stat().st_size for path in tmp_path.iterdir()))
    journal.close()
    assert len(sizes) <= 2


@pytest.mark.parametrize("sync_interval_ms", [0, 50])
def test_what_was_done_before_a_failed_sync_was_known_is_never_durable(
    tmp_path: Path, sync_interval_ms: int
) -> None:
    """The thread that syncs may find out in the middle of a tick."""
    storage, engine = BadDisk(tmp_path), Engine()
    journal = opened(storage, engine, sync_interval_ms)
    session = engine.open_session()
    assert journal.admit_put(7, 1) == ADMITTED
    storage.is_bad = True
    while not journal.trouble:  # until the first segment that was made on the bad disk
        put(engine, session, 50_000)
        journal.append(engine.changes)
        journal.commit()
    assert journal.admit_put(7, 1) == BROKEN
    put(engine, session, 1)
    journal.append(engine.changes)
    assert not engine.changes.jobs
    assert journal.commit() > journal.durable
    journal.close()


class CountedFile(LocalFile):
    """Tells its disk when it is closed."""

    def __init__(self, fd: int, disk: "CountingDisk") -> None:
        super().__init__(fd)
        self.disk = disk

    def close(self) -> None:
        super().close()
        self.disk.open_files -= 1


class CountingDisk(LocalStorage):
    """Counts the files that are open. What is removed while it is open is not free."""

    open_files = 0

    def create(self, name: str) -> File:
        file = super().create(name)
        assert isinstance(file, LocalFile)
        self.open_files += 1
        return CountedFile(file._fd, self)


def test_a_segment_that_is_left_is_closed(tmp_path: Path) -> None:
    """Also when it was wholly written before the tick that begins another one."""
    storage, engine = CountingDisk(tmp_path), Engine()
    journal = opened(storage, engine, 0)
    session = engine.open_session()
    for _ in range(10):
        assert journal.admit_put(7, 60_000) == ADMITTED
        put(engine, session, 60_000)
        journal.append(engine.changes)
        journal.commit()
    assert len(list(tmp_path.glob("segment-*"))) >= 5
    assert storage.open_files <= 3  # the one that is written to, the spare, and a manifest
    journal.close()


class LateSyncer(Syncer):
    """Syncs when the test says so."""

    def start(self, sync: Callable[[], None], interval_ns: int) -> None:
        self.sync = sync

    def request(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_segment_may_be_synced_and_closed_between_being_left_and_the_end_of_the_tick(
    tmp_path: Path,
) -> None:
    storage, engine, syncer = CountingDisk(tmp_path), Engine(), LateSyncer()
    journal = opened(storage, engine, 0, syncer)
    session = engine.open_session()
    position = 0
    for _ in range(5):
        put(engine, session, 60_000)
        journal.append(engine.changes)
        syncer.sync()
        position = journal.commit()
    syncer.sync()
    assert journal.trouble == ""
    assert journal.durable == position
    assert storage.open_files <= 3
    journal.close()
