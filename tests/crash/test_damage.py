"""A journal of which something is broken, missing or not its own: the rest of it serves.

A small journal is closed, damaged in one place after the other, and started twice. The first start
must give every job whose records are whole, none that never was, and say what is lost; the second
one must give the same and have nothing to say.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import pytest

from beanrow.journal.record import PAUSE, id_at, type_at
from beanrow.journal.scan import Scan
from beanrow.journal.segment import HEAD_BYTES, decode_head, record_seed, segment_number
from tests.contract.queue import HOUR_S, Queue
from tests.crash.faulty_storage import FaultyStorage
from tests.crash.simulated.machine import open_journal
from tests.crash.simulated.promises import JobView, Key, View, durable_views

SEGMENT_BYTES: Final = 700

Views = dict[Key, View]
Damage = Callable[[FaultyStorage], None]


@dataclass(frozen=True)
class Record:
    """Where a record stands, and what it is about: a job, or the pause of a tube."""

    segment: str
    start: int
    end: int
    kind: int
    about: Key


class Original:
    """A journal as it was closed, with all that its jobs ever were."""

    def __init__(self) -> None:
        self._storage = FaultyStorage()
        self.history: dict[Key, list[View]] = {}
        self.views = self._play()
        self.storage = self._storage.after_kill()
        self.segments = [n for n in self.storage.names() if segment_number(n) is not None]
        self.records = [record for name in self.segments for record in self._records(name)]

    def _play(self) -> Views:
        queue = Queue(open_journal(self._storage, SEGMENT_BYTES))
        jobs = []
        for n in range(12):
            jobs.append(queue.put(b"body %d;" % n * (n % 5), b"tube-%d" % (n % 3), pri=n))
            self._note(queue)
        for job in jobs[2:5]:
            queue.bury(job, pri=job.id + 100)
            self._note(queue)
        queue.release(jobs[5], pri=2000, delay_s=HOUR_S)
        queue.pause(b"tube-1", HOUR_S)
        self._note(queue)
        for job in (jobs[0], jobs[3], jobs[7]):
            queue.delete(job)
            self._note(queue)
        queue.kick(jobs[2])
        self._note(queue)
        views = durable_views(queue.engine)
        queue.end()
        return views

    def _note(self, queue: Queue) -> None:
        queue.tick()
        for key, found in durable_views(queue.engine).items():
            known = self.history.setdefault(key, [])
            if found not in known:
                known.append(found)

    def _records(self, name: str) -> Iterator[Record]:
        data = self.storage.content(name)
        head = decode_head(data)
        assert head is not None
        scan = Scan(data, record_seed(head.instance, head.number), name)
        while scan.next():
            start, end = scan.offset, scan.offset + scan.size
            kind = type_at(data, start)
            about: Key = id_at(data, start) if kind != PAUSE else b"tube-1"
            yield Record(name, start, end, kind, about)
        assert not scan.damages

    def copy(self) -> FaultyStorage:
        return self.storage.copy()

    def about(self, name: str, start: int = 0, end: int = 1 << 30) -> set[Key]:
        """Whose records lie, with at least one byte, in a part of a segment."""
        return {
            record.about
            for record in self.records
            if record.segment == name and record.start < end and start < record.end
        }


@pytest.fixture(scope="module")
def original() -> Original:
    found = Original()
    assert len(found.segments) >= 3
    return found


class Told(logging.Handler):
    """What the journal has said."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __str__(self) -> str:
        return "\n".join(self.lines)


def start(storage: FaultyStorage) -> tuple[Views, Told]:
    """Start and stop a server."""
    told = Told()
    log = logging.getLogger("beanrow.journal")
    log.addHandler(told)
    try:
        queue = Queue(open_journal(storage, SEGMENT_BYTES))
        views = durable_views(queue.engine)
        last_id = max((key for key in views if isinstance(key, int)), default=0)
        assert queue.put(b"new").id > last_id
        queue.engine.changes.clear()
        queue.end()
    finally:
        log.removeHandler(told)
    return views, told


def check(original: Original, damage: Damage, lost: set[Key]) -> Told:
    """Damage a copy; only what `lost` says may be other than it was. Returns what was said."""
    storage = original.copy()
    damage(storage)
    views, told = start(storage)
    for key in original.views.keys() - lost:
        assert views.get(key) == original.views[key], f"{key!r}: {told}"
    for key, found in views.items():
        if key not in original.views or key in lost:
            assert key in lost, f"{key!r} came back: {told}"
            assert found in original.history[key], f"{key!r} never was {found}: {told}"
    again, told_again = start(storage.after_power_loss())
    assert again == views
    assert told_again.lines == []
    return told


def with_content(name: str, content: bytes) -> Damage:
    return lambda storage: storage.put_content(name, content)


def without(*names: str) -> Damage:
    def damage(storage: FaultyStorage) -> None:
        for name in names:
            storage.drop(name)

    return damage


# --- flipped bytes --------------------------------------------------------------------------------


def flip(content: bytes, offset: int, bits: int) -> bytes:
    return content[:offset] + bytes([content[offset] ^ bits]) + content[offset + 1 :]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_costs_the_record_that_it_is_in(original: Original, bits: int) -> None:
    for name in original.segments:
        content = original.storage.content(name)
        for offset in range(len(content)):
            damaged = flip(content, offset, bits)
            lost = original.about(name, offset, offset + 1)
            told = check(original, with_content(name, damaged), lost)
            check_report(original, name, offset, told)


def check_report(original: Original, name: str, offset: int, told: Told) -> None:
    """The segment, the place, how many records, and the id unless it is what was hit."""
    (line,) = told.lines
    if offset < HEAD_BYTES:
        assert line.startswith(f"{name}: {HEAD_BYTES} bytes from offset 0 on are lost")
        return
    if offset >= original.records[-1].end and name == original.segments[-1]:  # mere room
        assert "a torn tail" in line
        return
    (record,) = (
        each
        for each in original.records
        if each.segment == name and each.start <= offset < each.end
    )
    size = record.end - record.start
    in_length = 4 <= offset - record.start < 8
    is_last = record is original.records[-1]
    found_size = r"\d+" if in_length and is_last else size
    assert re.match(f"{name}: {found_size} bytes from offset {record.start} on are lost", line)
    in_id = 9 <= offset - record.start < 17
    if in_length and not is_last:
        assert "some records" in line
        assert "of job" not in line
    if not in_length:
        assert "1 record" in line
        if isinstance(record.about, int) and not in_id and offset - record.start != 8:
            assert re.search(rf"of job {record.about}\b", line)


def test_a_damaged_segment_is_kept(original: Original) -> None:
    for name in original.segments:
        storage = original.copy()
        damaged = flip(original.storage.content(name), HEAD_BYTES + 10, 0x10)
        storage.put_content(name, damaged)
        start(storage)
        (kept,) = (each for each in storage.directory.names if each.startswith("damaged/"))
        assert kept.startswith(f"damaged/{name}")
        assert storage.content(kept) == damaged


def test_several_records_are_damaged(original: Original) -> None:
    chance = random.Random(1)
    for _ in range(100):
        storage = original.copy()
        lost: set[Key] = set()
        for record in chance.sample(original.records, chance.randint(2, 6)):
            offset = chance.randrange(record.start, record.end)
            content = flip(storage.content(record.segment), offset, 1 << chance.randrange(8))
            storage.put_content(record.segment, content)
            lost.add(record.about)
        check(replaced(original, storage), lambda _: None, lost)


def test_a_stretch_of_a_segment_is_other_bytes(original: Original) -> None:
    chance = random.Random(1)
    for name in original.segments:
        content = original.storage.content(name)
        for _ in range(60):
            begin = chance.randrange(len(content))
            end = chance.randrange(begin, len(content) + 1)
            for middle in (bytes(end - begin), chance.randbytes(end - begin)):
                damaged = content[:begin] + middle + content[end:]
                told = check(
                    original, with_content(name, damaged), original.about(name, begin, end)
                )
                assert damaged == content or name in str(told)


def replaced(original: Original, storage: FaultyStorage) -> Original:
    changed = object.__new__(Original)
    changed.__dict__.update(original.__dict__, storage=storage)
    return changed


# --- segments that are missing, cut, or not its own -----------------------------------------------


def test_a_missing_segment(original: Original) -> None:
    for name in original.segments:
        told = check(original, without(name), original.about(name))
        is_last = name == original.segments[-1]
        size = 0 if is_last else len(original.storage.content(name))
        assert f"{name}: {size} bytes from offset 0 on are lost (the file is missing)" in str(told)


@pytest.mark.timeout(300)
def test_a_segment_cut_anywhere(original: Original) -> None:
    for name in original.segments:
        content = original.storage.content(name)
        ends = {record.end for record in original.records if record.segment == name}
        for size in range(len(content)):
            told = check(original, with_content(name, content[:size]), original.about(name, size))
            # In the last one, a cut between two records, or of mere room, leaves no trace.
            is_traceless = size in {HEAD_BYTES, *ends} or size > max(ends)
            is_last = name == original.segments[-1]
            if not (is_last and is_traceless):
                assert re.search(rf"{name}: \d+ bytes from offset \d+ on are lost", str(told))


def test_segments_of_another_journal(original: Original) -> None:
    other = Original()
    for name in original.segments:
        content = other.storage.content(name)
        told = check(original, with_content(name, content), original.about(name))
        assert f"{name}: {len(content)} bytes from offset 0 on are lost" in str(told)
        assert "another journal" in str(told)


def test_a_segment_in_the_place_of_another(original: Original) -> None:
    for name in original.segments:
        for of in original.segments:
            if of != name:
                content = original.storage.content(of)
                told = check(original, with_content(name, content), original.about(name))
                assert "another journal or place" in str(told)


def test_a_segment_more(original: Original) -> None:
    name = "segment-0000000099"
    content = random.Random(1).randbytes(2000)
    told = check(original, with_content(name, content), set())
    assert name in str(told)


def test_files_of_other_kinds_are_left_alone(original: Original) -> None:
    names = ["notes.txt", "segment-1", "segment-0000000001.bak", "manifest"]
    storage = original.copy()
    for name in names:
        storage.put_content(name, b"mine")
    views, told = start(storage)
    assert views == original.views
    assert told.lines == []
    assert [storage.content(name) for name in names] == [b"mine"] * len(names)


# --- the manifest ---------------------------------------------------------------------------------

MANIFESTS: Final = ("manifest-0", "manifest-1")


@pytest.mark.parametrize("names", [MANIFESTS[:1], MANIFESTS[1:], MANIFESTS])
def test_manifests_are_missing(original: Original, names: tuple[str, ...]) -> None:
    check(original, without(*names), set())


@pytest.mark.parametrize("names", [MANIFESTS[:1], MANIFESTS[1:], MANIFESTS])
@pytest.mark.parametrize("how", ["flipped", "zeros", "empty", "cut", "garbage"])
def test_manifests_are_damaged(original: Original, names: tuple[str, ...], how: str) -> None:
    def damage(storage: FaultyStorage) -> None:
        for name in names:
            content = storage.content(name)
            storage.put_content(
                name,
                {
                    "flipped": flip(content, 20, 0x04),
                    "zeros": bytes(len(content)),
                    "empty": b"",
                    "cut": content[:30],
                    "garbage": random.Random(1).randbytes(500),
                }[how],
            )

    check(original, damage, set())


# --- the check itself -----------------------------------------------------------------------------


def test_a_wrong_body_is_noticed(original: Original) -> None:
    changed = replaced(original, original.storage)
    job_id = next(key for key in original.views if isinstance(key, int))
    view = original.views[job_id]
    assert isinstance(view, JobView)
    changed.views = {**original.views, job_id: replace(view, body=b"wrong")}
    with pytest.raises(AssertionError):
        check(changed, lambda _: None, set())
