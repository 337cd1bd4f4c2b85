"""A disk that is full, or fails: what is refused, what still works, and how it goes on then."""

from __future__ import annotations

import copy
import errno
import itertools
import time
from collections.abc import Mapping
from dataclasses import replace

import pytest

from beanrow.engine.job import Job
from beanrow.journal.base import ADMITTED, BROKEN, FULL, NEVER_NS
from beanrow.journal.errors import JournalError
from beanrow.journal.manifest import read_manifest
from beanrow.journal.record import encode_job
from beanrow.journal.recovery import DOUBT
from beanrow.journal.segment import Segment, encode_head, segment_name
from beanrow.protocol.limits import NS_PER_S
from tests.contract.queue import Queue
from tests.crash.faulty_storage import ENDLESS_BYTES, FaultyStorage, MachineStops, Plan
from tests.crash.simulated.machine import open_journal
from tests.crash.simulated.promises import durable_views
from tests.unit.journal.binlog_builder import BinlogBuilder

SEGMENT_BYTES = 4096

#: Two manifests take their room, and every job some for its DELETE.
disks = pytest.mark.parametrize("disk_bytes", [30_000, 33_333, 50_000, 123_456])
bodies = pytest.mark.parametrize("body_bytes", [0, 100, 3000, 10_000])


class Disk:
    """A server on a disk that is too small, or fails."""

    def __init__(
        self,
        disk_bytes: int = ENDLESS_BYTES,
        failures: Mapping[tuple[str, int], int] | None = None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.segment_bytes = segment_bytes
        self.storage = FaultyStorage(Plan(disk_bytes=disk_bytes, failures=failures or {}))
        self.start()

    def start(self) -> None:
        self.queue = Queue(open_journal(self.storage, self.segment_bytes))
        self.journal = self.queue.journal

    def lose_power(self) -> None:
        self.storage = self.storage.after_power_loss(replace(self.storage.plan, stop_at=0))
        self.start()

    def set_size(self, disk_bytes: int) -> None:
        self.storage.plan = replace(self.storage.plan, disk_bytes=disk_bytes)

    def tick(self) -> None:
        position = self.queue.tick()
        assert self.journal.trouble == ""
        assert self.journal.durable == position

    def delete_all(self) -> None:
        for job in list(self.queue.engine.jobs.values()):
            self.queue.delete(job)
            self.tick()

    def fill(self, body: bytes) -> list[Job]:
        """Put until there is no room."""
        jobs = []
        while (answer := self.journal.admit_put(len(b"default"), len(body))) == ADMITTED:
            jobs.append(self.queue.insert(body))
            self.tick()
        assert answer == FULL
        return jobs


@disks
@bodies
@pytest.mark.parametrize("per_tick", [1, 7, 10_000])
def test_deleting_is_possible_and_makes_room(
    disk_bytes: int, body_bytes: int, per_tick: int
) -> None:
    disk = Disk(disk_bytes)
    fitted = 0
    for _ in range(4):
        jobs = disk.fill(bytes(body_bytes))
        assert len(jobs) >= fitted * 2 // 3, "room is lost for good"
        fitted = max(fitted, len(jobs))
        assert jobs, "not one job fits"
        for start in range(0, len(jobs), per_tick):
            for job in jobs[start : start + per_tick]:
                disk.queue.delete(job)
            disk.tick()
        assert not disk.queue.engine.jobs
        disk.tick()  # the journal asks for one more, to close what it has removed


@disks
@bodies
def test_a_server_starts_on_a_full_disk(disk_bytes: int, body_bytes: int) -> None:
    disk = Disk(disk_bytes)
    body = bytes(body_bytes)
    jobs = disk.fill(body)
    # What else is on the disk grows meanwhile: nothing is left for the journal.
    disk.set_size(disk.storage.directory.used_bytes())
    while jobs:
        before = durable_views(disk.queue.engine)
        disk.lose_power()
        assert durable_views(disk.queue.engine) == before
        for job in list(disk.queue.engine.jobs.values())[: len(jobs) // 3 + 1]:
            disk.queue.delete(job)
            disk.tick()
        jobs = list(disk.queue.engine.jobs.values())
    disk.lose_power()
    assert not disk.queue.engine.jobs
    disk.set_size(disk_bytes)
    assert disk.fill(body)


def test_a_start_has_room_for_every_delete_or_is_refused() -> None:
    """A loss of power may have taken the spare, and something else the room that it had."""
    disk = Disk()
    for _ in range(40):
        disk.queue.put(b"")
    disk.tick()
    left = disk.storage.after_kill().copy()
    left.drop("spare")
    refused = 0
    for free_bytes in range(0, 1500, 50):
        disk.storage = left.copy()
        disk.set_size(disk.storage.directory.used_bytes() + free_bytes)
        try:
            disk.start()
        except JournalError:
            refused += 1
            continue
        disk.delete_all()
    assert 0 < refused < 15


def test_pauses_leave_room_for_their_ends() -> None:
    """However many there are in a tick, and whatever takes the last room then."""
    paused = 0
    for free_bytes in range(0, 4000, 100):
        disk = Disk()
        for _ in range(5):
            disk.queue.put(b"")
        disk.tick()
        disk.set_size(disk.storage.directory.used_bytes() + free_bytes)
        queue = disk.queue
        paused = 0
        while disk.journal.admit_updates(1) == ADMITTED:
            name = b"%0200d" % paused
            queue.engine.watch(queue.session, name)
            queue.engine.pause(name, 1, queue.now_ns)
            paused += 1
        disk.tick()
        disk.delete_all()
        queue.now_ns += NS_PER_S
        queue.engine.tick(queue.now_ns)
        disk.tick()
    assert paused > 5


def test_an_import_needs_room_for_every_delete() -> None:
    binlog = BinlogBuilder()
    for job_id in range(1, 101):
        binlog.record(job_id, b"", tube=b"default")
    left = FaultyStorage()
    left.put_content("binlog.1", binlog.data)
    refused = 0
    for disk_bytes in range(26_000, 34_000, 250):
        disk = Disk()
        disk.storage = left.copy()
        disk.set_size(disk_bytes)
        try:
            disk.start()
        except JournalError:
            refused += 1
            disk.set_size(ENDLESS_BYTES)
            disk.storage = disk.storage.after_kill()
            disk.start()
            assert len(disk.queue.engine.jobs) == 100
            continue
        assert len(disk.queue.engine.jobs) == 100
        disk.delete_all()
    assert 0 < refused < 30


@bodies
def test_with_space_back_it_goes_on(body_bytes: int) -> None:
    disk = Disk(40_000)
    body = bytes(body_bytes)
    fitted = len(disk.fill(body))
    assert disk.journal.admit_put(7, body_bytes) == FULL
    disk.set_size(80_000)
    assert len(disk.fill(body)) > fitted // 2
    before = durable_views(disk.queue.engine)
    disk.lose_power()
    assert durable_views(disk.queue.engine) == before


def test_changes_of_state_are_refused_or_kept() -> None:
    """There may be no room for them, but they never cost a DELETE its own."""
    disk = Disk(40_000)
    jobs = disk.fill(bytes(100))
    refused = 0
    for _ in range(30):
        for job in jobs:
            if disk.journal.admit_updates(1) == ADMITTED:
                disk.queue.engine.reserve_job(disk.queue.session, job.id, disk.queue.now_ns)
                disk.queue.engine.release(disk.queue.session, job.id, 1, 0, disk.queue.now_ns)
                disk.tick()
            else:
                refused += 1
    assert refused
    before = durable_views(disk.queue.engine)
    disk.lose_power()
    assert durable_views(disk.queue.engine) == before
    for job in list(disk.queue.engine.jobs.values()):
        disk.queue.delete(job)
        disk.tick()


# --- failing writes -------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failed_write_is_made_good(code: int) -> None:
    disk = Disk()
    kept = disk.queue.put(b"kept")
    disk.tick()
    failing = disk.storage.counts["write"] + 1
    disk.storage.plan = Plan(failures={("write", n): code for n in range(failing, failing + 3)})
    lost = disk.queue.put(b"lost")
    position = disk.queue.tick()
    assert disk.journal.trouble
    assert disk.journal.durable < position
    assert disk.journal.retry_ns() < NEVER_NS
    # As the server does it: INTERNAL_ERROR, and the put is taken back.
    disk.queue.engine.take_back(lost.id)
    assert disk.journal.admit_put(7, 4) == BROKEN
    assert disk.journal.admit_updates(1) == BROKEN
    assert disk.journal.admit_deletes() == BROKEN
    for _ in range(2):
        disk.queue.tick()
        assert disk.journal.trouble
    disk.tick()
    again = disk.queue.put(b"again")
    disk.tick()
    disk.lose_power()
    assert set(disk.queue.engine.jobs) == {kept.id, again.id}


@pytest.mark.parametrize("operation", ["sync", "sync names"])
def test_after_a_failed_sync_nothing_is_accepted_until_a_restart(operation: str) -> None:
    disk = Disk()
    kept = disk.queue.put(b"kept")
    disk.tick()
    failing = disk.storage.counts[operation] + 1
    disk.storage.plan = Plan(failures={(operation, failing): errno.EIO})
    lost = kept
    while not disk.journal.trouble:
        lost = disk.queue.put(bytes(1000))
        disk.queue.tick()
    disk.queue.engine.take_back(lost.id)
    for _ in range(5):
        assert disk.journal.admit_put(7, 4) == BROKEN
        assert disk.journal.admit_updates(1) == BROKEN
        assert disk.journal.admit_deletes() == BROKEN
        position = disk.queue.tick()
        assert disk.journal.durable < position or not disk.queue.engine.jobs
        assert disk.journal.trouble
        assert disk.journal.retry_ns() == NEVER_NS
    disk.storage = disk.storage.after_kill()
    disk.start()
    assert kept.id in disk.queue.engine.jobs
    before = durable_views(disk.queue.engine)
    disk.queue.put(b"again")
    disk.tick()
    disk.lose_power()
    assert before.items() <= durable_views(disk.queue.engine).items()


def test_a_start_in_doubt_is_ended_and_then_the_power_fails() -> None:
    """What a failed sync has lost can still be read, and has to be written anew first of all.

    Jobs may have been moved to where they were lost; where they came from must not go before.
    """
    disk = Disk(segment_bytes=512)
    jobs = []
    for _ in range(20):
        jobs.append(disk.queue.put(bytes(100)))
        disk.tick()
    first = disk.journal.segment_of(jobs[0])
    moved = [job for job in jobs if disk.journal.segment_of(job) == first]
    left = disk.storage.after_kill().copy()
    move_and_lose(left, moved)
    left.put_content(DOUBT, b"")
    for stop_at in itertools.count(1):
        disk.storage = FaultyStorage(Plan(stop_at=stop_at), copy.deepcopy(left.directory))
        try:
            disk.start()
        except MachineStops:
            disk.lose_power()
            assert set(disk.queue.engine.jobs) == {job.id for job in jobs}, stop_at
        else:
            break
    assert stop_at > 50, "nothing was written anew"


def move_and_lose(storage: FaultyStorage, jobs: list[Job]) -> None:
    """Write jobs to a new segment, of which the disk gets no more than the head."""
    manifest, _ = read_manifest(storage)
    assert manifest is not None
    segment = Segment(manifest.segments[-1] + 1, manifest.instance)
    name = segment_name(segment.number)
    head = encode_head(manifest.instance, segment.number, jobs[-1].id, 0)
    storage.put_content(name, head)
    records = [encode_job(job, segment.seed) for job in jobs]
    storage.directory.names[name].cache = bytearray(b"".join((head, *records)))


def test_a_tick_that_deletes_very_much_is_not_long() -> None:
    """Segments of which nothing is left but DELETEs are looked at once, not for each byte."""
    disk = Disk(123_456)
    for job in disk.fill(b""):
        disk.queue.delete(job)
    start_s = time.process_time()
    disk.tick()
    assert time.process_time() - start_s < 1
