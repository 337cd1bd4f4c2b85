"""All jobs by their id: a hash table that grows and shrinks by a few buckets at a time.

The strategy is linear hashing. The low bits of an id name its bucket, and the jobs of a bucket are
a chain that is linked through the jobs themselves. The table ends somewhere between two powers of
two: a bucket beyond its end has not been split off yet, and its jobs are in the one that has the
name without the highest bit. So however large the table is, no change of its size takes longer than
moving a few jobs; and ids that are given in sequence fill all buckets evenly.

A dict would take 74 bytes for each job, move all of them whenever it grows, and keep the room that
it once needed. This takes from 4 to 16, and gives them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from beanrow.engine.job import Job
from beanrow.native import i64

#: With more jobs to a bucket than this, in the mean, the table grows; with more buckets to a job
#: it shrinks. In between lies room for jobs that come and go.
MOST: Final = 2

#: A power of two: so many buckets come or go at a time, and as many are there at least.
STEP: Final = 8

LARGEST_ID: Final = (1 << 63) - 1


class Jobs:
    """A mapping from id to job, except that it takes a job's id from the job. It has no order."""

    __slots__ = ("_buckets", "_count", "_end", "_fewest", "_mask", "_most")

    def __init__(self) -> None:
        self._buckets: list[Job | None] = [None] * STEP
        self._count: i64 = 0
        #: How many buckets there are, and how few and how many jobs are right for them.
        self._end: i64 = STEP
        self._fewest: i64 = 0
        self._most: i64 = MOST * STEP
        #: The bits of an id that name a bucket: as many as the last bucket needs.
        self._mask: i64 = STEP - 1

    def get(self, job_id: int) -> Job | None:
        """Find a job by any number from 0 that a client may take for its id."""
        if job_id > LARGEST_ID:
            return None
        wanted: i64 = job_id
        place = wanted & self._mask
        if place >= self._end:
            place &= self._mask >> 1
        job = self._buckets[place]
        while job is not None and job.id != wanted:
            job = job.next
        return job

    def add(self, job: Job) -> None:
        """Take in a job whose id no other has."""
        place = job.id & self._mask
        if place >= self._end:
            place &= self._mask >> 1
        buckets = self._buckets
        job.next = buckets[place]
        buckets[place] = job
        self._count += 1
        if self._count > self._most:
            self._grow()

    def remove(self, job: Job) -> None:
        """Let go of a job that is here."""
        place = job.id & self._mask
        if place >= self._end:
            place &= self._mask >> 1
        before = self._buckets[place]
        if before is job:
            self._buckets[place] = job.next
        else:
            while before is not None and before.next is not job:
                before = before.next
            assert before is not None, "the job is not here"
            before.next = job.next
        job.next = None
        self._count -= 1
        while self._count < self._fewest:
            self._shrink()

    def _grow(self) -> None:
        """Add a few buckets: of what belongs there and is still in others."""
        buckets = self._buckets
        end = self._end
        if end > self._mask:
            self._mask += end
        mask = self._mask
        for place in range(end, end + STEP):
            lower = place & (mask >> 1)
            job = buckets[lower]
            staying: Job | None = None
            leaving: Job | None = None
            while job is not None:
                following = job.next
                if job.id & mask == place:
                    job.next = leaving
                    leaving = job
                else:
                    job.next = staying
                    staying = job
                job = following
            buckets[lower] = staying
            buckets.append(leaving)
        self._resized()

    def _shrink(self) -> None:
        """Do without the last few buckets."""
        buckets = self._buckets
        for place in range(self._end - 1, self._end - 1 - STEP, -1):
            lower = place & (self._mask >> 1)
            job = buckets.pop()
            while job is not None:
                following = job.next
                job.next = buckets[lower]
                buckets[lower] = job
                job = following
        self._resized()
        if self._end == (self._mask >> 1) + 1:
            self._mask >>= 1

    def _resized(self) -> None:
        self._end = len(self._buckets)
        self._most = MOST * self._end
        self._fewest = self._end // MOST if self._end > STEP else 0

    def __getitem__(self, job_id: int) -> Job:
        job = self.get(job_id)
        if job is None:
            raise KeyError(job_id)
        return job

    def __contains__(self, job_id: int) -> bool:
        return self.get(job_id) is not None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """All ids."""
        return (job.id for job in self.values())

    def values(self) -> Iterator[Job]:
        """All jobs, none of which may come or go meanwhile."""
        for first in self._buckets:
            job = first
            while job is not None:
                yield job
                job = job.next
