"""A server and a journal on a real directory, whose disk fails when the test says so."""

import errno
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from beanrow.engine.engine import Engine
from beanrow.engine.replay import Replay
from beanrow.journal.local import LocalJournal
from beanrow.journal.storage import File, LocalFile, LocalStorage
from tests.unit.server.in_process_server import PATIENCE_S, Client, Serving

PUT = b"put 0 0 60 1\r\nx\r\n"
INTERNAL_ERROR = b"INTERNAL_ERROR\r\n"


class Disk(LocalStorage):
    """``fails`` says which calls fail: "write", "sync" or none."""

    fails = ""

    def create(self, name: str) -> File:
        file = super().create(name)
        assert isinstance(file, LocalFile)
        return FailingFile(file._fd, self)


class FailingFile(LocalFile):
    """A file on such a disk."""

    def __init__(self, fd: int, disk: Disk) -> None:
        super().__init__(fd)
        self._disk = disk

    def write(self, data: bytes, offset: int) -> int:
        if self._disk.fails == "write":
            raise OSError(errno.EIO, "input/output error")
        return super().write(data, offset)

    def sync(self) -> None:
        if self._disk.fails == "sync":
            raise OSError(errno.EIO, "input/output error")
        super().sync()


def journal_on(storage: LocalStorage, sync_interval_ms: int | None = 0) -> LocalJournal:
    return LocalJournal(storage, segment_bytes=1 << 20, sync_interval_ms=sync_interval_ms)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def serving(disk: Disk) -> Iterator[Serving]:
    with Serving(journal=journal_on(disk)) as serving:
        yield serving


def ids_on_disk(folder: Path) -> set[int]:
    """The jobs that a restart would bring back."""
    engine = Engine()
    journal = journal_on(LocalStorage(folder))
    journal.replay(Replay(engine), lambda: None)
    journal.close()
    return set(engine.jobs)


def put_until_it_works(client: Client) -> int:
    """Returns the id."""
    give_up_at_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at_s:
        client.say(PUT)
        line = client.read_line()
        if line != INTERNAL_ERROR:
            return int(line.removeprefix(b"INSERTED "))
    raise AssertionError("the journal does not go on")


@pytest.mark.parametrize("sync_interval_ms", [0, 50, None])
def test_what_was_acknowledged_is_on_the_disk(tmp_path: Path, sync_interval_ms: int | None) -> None:
    with Serving(journal=journal_on(LocalStorage(tmp_path), sync_interval_ms)) as serving:
        clients = [serving.connect() for _ in range(10)]
        for client in clients:
            client.say(PUT * 20)
        ids = {
            int(client.read_line().removeprefix(b"INSERTED "))
            for client in clients
            for _ in range(20)
        }
        clients[0].ask(b"delete 7\r\n", b"DELETED\r\n")
    assert ids == set(range(1, 201))
    assert ids_on_disk(tmp_path) == ids - {7}


def test_after_a_failed_write_it_goes_on_and_memory_and_disk_agree(
    serving: Serving, disk: Disk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = serving.connect()
    client.ask(PUT * 2, b"INSERTED 1\r\nINSERTED 2\r\n")
    with caplog.at_level(logging.INFO):
        disk.fails = "write"
        client.ask(PUT, INTERNAL_ERROR)
        client.ask(b"delete 1\r\n", INTERNAL_ERROR)
        client.ask(b"peek 3\r\n", b"NOT_FOUND\r\n")
        disk.fails = ""
        last = put_until_it_works(client)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    client.ask(b"peek 1\r\n", b"FOUND 1 1\r\nx\r\n")
    client.ask(b"delete 1\r\n", b"DELETED\r\n")
    serving.stop()
    serving.wait_for_end()
    assert ids_on_disk(tmp_path) == {2, last}


def test_after_a_failed_sync_no_change_is_acknowledged_any_more(
    serving: Serving, disk: Disk
) -> None:
    client = serving.connect()
    client.ask(PUT, b"INSERTED 1\r\n")
    disk.fails = "sync"
    client.ask(PUT, INTERNAL_ERROR)
    disk.fails = ""
    for _ in range(3):
        client.ask(PUT, INTERNAL_ERROR)
        client.ask(b"delete 1\r\n", INTERNAL_ERROR)
    client.ask(b"reserve\r\n", b"RESERVED 1 1\r\nx\r\n")
    client.ask(b"release 1 0 0\r\n", INTERNAL_ERROR)
