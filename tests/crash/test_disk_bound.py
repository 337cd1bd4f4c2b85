"""The files of a journal stay below twice what counts in them plus two segments, at every tick.

Whatever the load: one job buried for ever under jobs that pass, many that stay, all deleted at
once, states only. And no tick has to do much more for it than its own changes: no pause is long.

Ten million cycles, as in a long benchmark:

    BEANROW_CHURN_CYCLES=10000000 make test ARGS="tests/crash/test_disk_bound.py -k churn"
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from beanrow.engine.job import Job
from beanrow.journal.local import LocalJournal
from beanrow.journal.record import job_bytes
from beanrow.journal.storage import LocalStorage
from beanrow.journal.syncer import InlineSyncer, Syncer
from tests.contract.queue import Queue

CYCLES: Final = int(os.environ.get("BEANROW_CHURN_CYCLES", "100000"))
CYCLES_PER_TICK: Final = 50
SEGMENT_BYTES: Final = 64 * 1024

#: So many bytes may a tick write for each byte of its own changes, besides a job or two.
MOST_WRITTEN_PER_CHANGED: Final = 9


class Bound:
    """A queue on a real disk, measured after each of its ticks."""

    def __init__(
        self,
        folder: Path,
        segment_bytes: int = SEGMENT_BYTES,
        sync_interval_ms: int | None = None,
        syncer: Syncer | None = None,
    ) -> None:
        # Another one than the journal's own: both are asked at the same time.
        self._storage = LocalStorage(folder / "journal")
        self._segment_bytes = segment_bytes
        self.journal = LocalJournal(
            LocalStorage(folder / "journal"),
            segment_bytes=segment_bytes,
            sync_interval_ms=sync_interval_ms,
            syncer=syncer,
        )
        self.queue = Queue(self.journal)
        self.live_bytes = 0
        self._job_bytes: dict[int, int] = {}
        #: The largest size that there was, as a share of what is allowed.
        self.worst = 0.0

    def put(self, body: bytes) -> Job:
        job = self.queue.put(body)
        self._job_bytes[job.id] = job_bytes(job)
        self.live_bytes += self._job_bytes[job.id]
        return job

    def delete(self, job: Job) -> None:
        self.queue.delete(job)
        self.live_bytes -= self._job_bytes.pop(job.id)

    def tick(self) -> None:
        self.queue.tick()
        allowed = 2 * self.live_bytes + 2 * self._segment_bytes
        size = self.allocated_bytes()
        self.worst = max(self.worst, size / allowed)
        assert size <= allowed, f"{size} bytes for {self.live_bytes} that count"

    def allocated_bytes(self) -> int:
        """Of all files, the room that they have taken in advance included.

        But for the manifests: two blocks, which are much only beside the small segments here.
        """
        total = 0
        for name in self._storage.names():
            if name.startswith("manifest"):
                continue
            with suppress(FileNotFoundError):  # the thread has just removed it
                total += self._storage.size(name)
        return total

    def end(self) -> None:
        self.queue.end()
        self._storage.close()


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Bound]:
    bound = Bound(tmp_path, syncer=InlineSyncer())
    yield bound
    bound.end()


@pytest.fixture(params=[0, 50, None], ids=["-f 0", "-f 50", "-F"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bound]:
    """As the server has it: what is to be removed waits for a thread."""
    bound = Bound(tmp_path, sync_interval_ms=request.param)
    yield bound
    bound.end()


@pytest.mark.timeout(60 + CYCLES // 1000)
def test_one_buried_job_under_churn(bound: Bound) -> None:
    churn(bound, CYCLES)
    facts = bound.journal.facts
    assert facts.records_migrated * 100 < facts.records_written
    assert bound.worst > 0.3, "nothing was measured"


def test_churn_while_a_thread_syncs(served: Bound) -> None:
    churn(served, 20_000)


def churn(bound: Bound, cycles: int) -> None:
    buried = bound.put(b"for ever" * 100)
    bound.tick()
    bound.queue.bury(buried)
    bound.tick()
    body = bytes(100)
    for _ in range(cycles // CYCLES_PER_TICK):
        jobs = [bound.put(body) for _ in range(CYCLES_PER_TICK)]
        bound.tick()
        for job in jobs:
            bound.delete(job)
        bound.tick()


@pytest.mark.parametrize("seed", range(4))
def test_jobs_that_come_and_go_at_random(bound: Bound, seed: int) -> None:
    chance = random.Random(seed)
    jobs: list[Job] = []
    for tick in range(1500):
        # It fills, and empties again, and is hardly ever quiet.
        puts = 8 if tick // 300 % 2 == 0 else 3
        jobs += [bound.put(bytes(chance.choice((0, 50, 500, 5000)))) for _ in range(puts)]
        for _ in range(min(5, len(jobs))):
            place = chance.choice((0, len(jobs) - 1, chance.randrange(len(jobs))))
            jobs[place], jobs[-1] = jobs[-1], jobs[place]
            bound.delete(jobs.pop())
        bound.tick()


@pytest.mark.parametrize("order", ["oldest first", "newest first", "any"])
@pytest.mark.parametrize("per_tick", [1, 50, 100_000])
def test_everything_is_deleted(served: Bound, order: str, per_tick: int) -> None:
    bound = served
    jobs = []
    for _ in range(40):
        jobs += [bound.put(bytes(400)) for _ in range(50)]
        bound.tick()
    if order == "newest first":
        jobs.reverse()
    elif order == "any":
        random.Random(1).shuffle(jobs)
    for start in range(0, len(jobs), per_tick):
        for job in jobs[start : start + per_tick]:
            bound.delete(job)
        bound.tick()


def test_states_change_and_jobs_stay(bound: Bound) -> None:
    """Every release is garbage as soon as the next one comes."""
    jobs = [bound.put(bytes(100)) for _ in range(200)]
    bound.tick()
    chance = random.Random(1)
    for _ in range(2000):
        for job in chance.sample(jobs, 20):
            bound.queue.release(job, pri=chance.randrange(100))
        bound.tick()


def test_pauses_only(bound: Bound) -> None:
    job = bound.put(b"")
    for pause_s in range(30_000):
        bound.queue.pause(b"default", pause_s % 3)
        if pause_s % 10 == 0:
            bound.tick()
    bound.delete(job)
    bound.tick()


def test_many_jobs_that_stay_among_some_that_pass(bound: Bound) -> None:
    chance = random.Random(1)
    passing: list[Job] = []
    for _ in range(3000):
        for _ in range(5):
            job = bound.put(bytes(200))
            if chance.random() < 0.9:
                passing.append(job)
        while len(passing) > 30:
            bound.delete(passing.pop(0))
        bound.tick()


def test_bodies_longer_than_segments(bound: Bound) -> None:
    jobs: list[Job] = []
    for count in range(300):
        jobs.append(bound.put(bytes(SEGMENT_BYTES + 1000 * (count % 7))))
        if count > 5:
            bound.delete(jobs.pop(0))
        bound.tick()


def test_a_restart_leaves_the_bound_as_it_was(tmp_path: Path) -> None:
    live: dict[int, int] = {}
    for _ in range(6):
        bound = Bound(tmp_path, syncer=InlineSyncer())
        for job in bound.queue.engine.jobs.values():
            live[job.id] = job_bytes(job)
        bound._job_bytes = live
        bound.live_bytes = sum(live.values())
        for _ in range(300):
            jobs = [bound.put(bytes(300)) for _ in range(5)]
            bound.tick()
            for job in jobs[:4]:
                bound.delete(job)
            bound.tick()
        bound.end()


def test_no_tick_has_to_work_for_all_the_garbage_there_is(tmp_path: Path) -> None:
    """What a tick writes is in proportion to what it has changed."""
    bound = Bound(tmp_path, segment_bytes=16 * 1024, syncer=InlineSyncer())
    jobs = []
    for _ in range(100):
        jobs += [bound.put(bytes(200)) for _ in range(20)]
        bound.tick()
    random.Random(1).shuffle(jobs)
    facts = bound.journal.facts
    for job in jobs:
        before = facts.records_migrated
        changed = job_bytes(job)
        bound.delete(job)
        bound.tick()
        migrated_bytes = (facts.records_migrated - before) * changed
        assert migrated_bytes <= MOST_WRITTEN_PER_CHANGED * changed
    assert facts.records_migrated > 100, "nothing was moved at all"
    bound.end()
