"""Jobs are found by their id, and by nothing else; their table is as large as they are many."""

import pytest

from beanrow.engine.job import Job
from beanrow.engine.jobs import MOST, STEP, Jobs
from beanrow.engine.tube import Tube

TUBE = Tube(1, b"default")


def job(job_id: int) -> Job:
    return Job(job_id, TUBE, 0, 0, 1, 0)


def filled(*ids: int) -> Jobs:
    jobs = Jobs()
    for job_id in ids:
        jobs.add(job(job_id))
    return jobs


def buckets(jobs: Jobs) -> int:
    return len(jobs._buckets)


def test_a_job_is_found_by_its_id() -> None:
    jobs = Jobs()
    first, second = job(1), job(2)
    jobs.add(first)
    jobs.add(second)
    assert jobs.get(1) is jobs[1] is first
    assert jobs.get(2) is jobs[2] is second
    assert 1 in jobs
    assert len(jobs) == 2
    assert sorted(jobs) == [1, 2]
    assert set(jobs.values()) == {first, second}


@pytest.mark.parametrize("job_id", [0, 3, 1 + STEP, 2**32 + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_any_other_number_finds_none(job_id: int) -> None:
    jobs = filled(1, 2)
    assert jobs.get(job_id) is None
    assert job_id not in jobs
    with pytest.raises(KeyError):
        jobs[job_id]


def test_it_is_false_while_it_is_empty() -> None:
    jobs = Jobs()
    assert not jobs
    only = job(7)
    jobs.add(only)
    assert jobs
    jobs.remove(only)
    assert not jobs
    assert list(jobs) == []


def test_a_job_that_was_removed_is_not_found_and_can_come_again() -> None:
    jobs = filled(1, 1 + STEP, 1 + 2 * STEP)  # one chain
    for job_id in (1 + STEP, 1, 1 + 2 * STEP):
        gone = jobs[job_id]
        jobs.remove(gone)
        assert jobs.get(job_id) is None
        assert gone.next is None
        jobs.add(gone)
        assert jobs[job_id] is gone
    assert len(jobs) == 3


def test_who_is_not_here_can_not_be_removed() -> None:
    jobs = filled(1, 2)
    with pytest.raises(AssertionError, match="not here"):
        jobs.remove(job(1))


def test_it_grows_with_the_jobs_and_shrinks_with_them() -> None:
    jobs = Jobs()
    assert buckets(jobs) == STEP
    for job_id in range(1, 10_001):
        jobs.add(job(job_id))
        assert len(jobs) <= MOST * buckets(jobs)
    assert buckets(jobs) == 10_000 // MOST
    for job_id in range(1, 10_001):
        jobs.remove(jobs[job_id])
        assert buckets(jobs) <= max(STEP, MOST * len(jobs) + STEP)
    assert buckets(jobs) == STEP


def test_its_size_stays_while_as_many_come_as_go() -> None:
    jobs = filled(*range(1, 1001))
    size = buckets(jobs)
    for job_id in range(1001, 5001):
        jobs.remove(jobs[job_id - 1000])
        jobs.add(job(job_id))
    assert buckets(jobs) == size
    assert sorted(jobs) == list(range(4001, 5001))


def test_ids_in_sequence_make_short_chains() -> None:
    """So that finding one costs the same among many as among few."""
    jobs = filled(*range(1, 10_001))
    longest = 0
    for first in jobs._buckets:
        length, one = 0, first
        while one is not None:
            length, one = length + 1, one.next
        longest = max(longest, length)
    assert longest <= 2 * MOST
