"""Room is there before a record is promised a place, and for every DELETE whatever happens."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from beanrow.journal.errors import JournalError
from beanrow.journal.record import DELETE_BYTES
from beanrow.journal.segment import HEAD_BYTES, decode_head, segment_name
from beanrow.journal.storage import File, LocalFile, LocalStorage
from beanrow.journal.writer import SPARE, Writer

INSTANCE = bytes(16)
SEGMENT_BYTES = 8000


class FullFile(LocalFile):
    """Nothing can be allocated while its disk is full."""

    def __init__(self, fd: int, disk: "Disk") -> None:
        super().__init__(fd)
        self.disk = disk

    def allocate(self, size: int) -> None:
        if self.disk.is_full:
            raise OSError(errno.ENOSPC, "no space left on device")
        super().allocate(size)


class Disk(LocalStorage):
    """A directory on a disk that can be full."""

    is_full = False

    def create(self, name: str) -> File:
        return self._with_disk(super().create(name))

    def open(self, name: str) -> File:
        return self._with_disk(super().open(name))

    def _with_disk(self, file: File) -> File:
        assert isinstance(file, LocalFile)
        return FullFile(file._fd, self)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def writer(disk: Disk) -> Writer:
    writer = Writer(disk, SEGMENT_BYTES, INSTANCE)
    writer.begin(0)
    return writer


def put(writer: Writer, record: bytes) -> int:
    """Returns the number of the segment that it came into."""
    segment = writer.place(len(record))
    segment.put(record)
    return segment.number


def test_what_was_put_is_in_the_file_behind_the_head(writer: Writer, disk: Disk) -> None:
    put(writer, b"one")
    put(writer, b"two")
    writer.write_out()
    data = disk.read(segment_name(1))
    head = decode_head(data)
    assert head is not None
    assert (head.number, head.instance) == (1, INSTANCE)
    assert data[HEAD_BYTES:].rstrip(b"\0") == b"onetwo"
    assert [segment.number for segment in writer.take_written()] == [1]
    assert writer.take_written() == []


def test_a_segment_that_is_full_is_followed_by_the_next(writer: Writer, disk: Disk) -> None:
    record = b"x" * 3000
    assert [put(writer, record) for _ in range(5)] == [1, 1, 2, 2, 3]
    writer.write_out()
    for number in (1, 2):
        assert disk.size(segment_name(number)) == HEAD_BYTES + 2 * len(record)
    assert [segment.number for segment in writer.take_written()] == [1, 2, 3]


def test_a_record_longer_than_a_segment_has_one_of_its_own(writer: Writer, disk: Disk) -> None:
    assert [put(writer, b"x" * size) for size in (10, SEGMENT_BYTES, 10)] == [1, 2, 3]
    writer.write_out()
    assert disk.size(segment_name(2)) == HEAD_BYTES + SEGMENT_BYTES


def test_a_new_head_tells_the_last_id(writer: Writer, disk: Disk) -> None:
    writer.last_job_id = 77
    put(writer, b"first")
    put(writer, b"x" * SEGMENT_BYTES)
    writer.write_out()
    head = decode_head(disk.read(segment_name(2)))
    assert head is not None
    assert head.last_job_id == 77


def test_there_is_room_until_the_disk_is_full(writer: Writer, disk: Disk) -> None:
    assert writer.has_room(100, 1 * DELETE_BYTES)
    room = writer.current.allocated_bytes - writer.current.used_bytes
    disk.is_full = True
    assert writer.has_room(room, 1 * DELETE_BYTES)
    assert not writer.has_room(room + 1, 1 * DELETE_BYTES)
    disk.is_full = False
    assert writer.has_room(room + 1, 1 * DELETE_BYTES)


def test_there_is_none_without_room_for_the_deletes(writer: Writer, disk: Disk) -> None:
    assert writer.has_room(1, 10 * DELETE_BYTES)
    disk.is_full = True
    assert not writer.has_room(1, 10_000 * DELETE_BYTES)


def test_other_errors_are_not_taken_for_a_full_disk(
    writer: Writer, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: LocalFile, size: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(FullFile, "allocate", fail)
    with pytest.raises(OSError, match="input/output"):
        writer.has_room(100_000, 1 * DELETE_BYTES)


@pytest.mark.parametrize("jobs", [1, 100, 5000])
def test_on_a_full_disk_every_job_can_be_deleted(writer: Writer, disk: Disk, jobs: int) -> None:
    assert writer.has_room(10, jobs * DELETE_BYTES)
    disk.is_full = True
    for _ in range(jobs):
        put(writer, b"d" * DELETE_BYTES)
    writer.write_out()
    for segment in writer.segments.values():
        assert segment.used_bytes <= segment.allocated_bytes
        assert disk.size(segment_name(segment.number)) == segment.allocated_bytes


def test_with_space_back_it_goes_on_as_before(writer: Writer, disk: Disk) -> None:
    writer.has_room(10, 500 * DELETE_BYTES)
    disk.is_full = True
    for _ in range(500):
        put(writer, b"d" * DELETE_BYTES)
    assert not writer.has_room(2000, 1 * DELETE_BYTES)
    disk.is_full = False
    assert writer.has_room(2000, 1 * DELETE_BYTES)
    put(writer, b"x" * 2000)
    writer.write_out()
    assert SPARE in disk.names()
    for segment in writer.segments.values():
        assert segment.used_bytes == segment.written_bytes <= segment.allocated_bytes


def test_a_spare_too_large_gives_its_room_back(writer: Writer, disk: Disk) -> None:
    writer.has_room(10, 5000 * DELETE_BYTES)
    large = disk.size(SPARE)
    writer.shrink_spare(10 * DELETE_BYTES)
    assert disk.size(SPARE) < large
    disk.is_full = True
    assert writer.has_room(10, 10 * DELETE_BYTES)


def test_what_a_failed_write_left_is_written_by_the_next(
    writer: Writer, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(writer, b"first")
    monkeypatch.setattr(FullFile, "write", write_two_bytes_then_fail())
    with pytest.raises(OSError, match="input/output"):
        writer.write_out()
    monkeypatch.undo()
    put(writer, b"second")
    writer.write_out()
    data = disk.read(segment_name(1))
    assert decode_head(data) is not None
    assert data[HEAD_BYTES:].rstrip(b"\0") == b"firstsecond"


def write_two_bytes_then_fail() -> Callable[[LocalFile, bytes, int], int]:
    calls = []

    def write(self: LocalFile, data: bytes, offset: int) -> int:
        calls.append(offset)
        if len(calls) == 1:
            return LocalFile.write(self, data[:2], offset)
        raise OSError(errno.EIO, "input/output error")

    return write


def test_the_spare_of_an_earlier_run_is_taken_over(writer: Writer, disk: Disk) -> None:
    writer.has_room(10, 100 * DELETE_BYTES)
    writer.close()
    disk.is_full = True
    again = Writer(disk, SEGMENT_BYTES, INSTANCE)
    again.last_number = 1
    again.adopt_spare()
    again.begin(100 * DELETE_BYTES)
    assert SPARE not in disk.names()
    assert [put(again, b"d" * DELETE_BYTES) for _ in range(100)] == [2] * 100


def test_a_spare_that_was_written_to_is_not_room(writer: Writer, disk: Disk) -> None:
    writer.has_room(10, 100 * DELETE_BYTES)
    file = disk.open(SPARE)
    file.write(b"a head", 0)
    file.close()
    writer.close()
    disk.is_full = True
    again = Writer(disk, SEGMENT_BYTES, INSTANCE)
    again.last_number = 1
    again.adopt_spare()
    needed = HEAD_BYTES + 100 * DELETE_BYTES
    with pytest.raises(JournalError, match=f"no space .* have {needed} bytes free"):
        again.begin(100 * DELETE_BYTES)
