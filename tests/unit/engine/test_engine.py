"""Who gets which job: priorities, waiting sessions, pauses and kicks."""

import pytest

from beanrow.engine.job import BURIED, DELAYED, READY, RESERVED
from beanrow.engine.session import NoJob
from tests.unit.engine.clocked import Clocked

# --- which job ----------------------------------------------------------------------------------


def test_the_smallest_priority_number_goes_first_then_the_smallest_id() -> None:
    queue = Clocked()
    session = queue.open()
    for pri in (2**32 - 1, 5, 0, 5):
        queue.put(session, pri=pri)
    got = [queue.reserve(session) for _ in range(4)]
    assert got == [queue.engine.jobs[job_id] for job_id in (3, 2, 4, 1)]


def test_across_tubes_too_in_whatever_order_they_are_watched() -> None:
    queue = Clocked()
    one, two = queue.open(use=b"a"), queue.open(use=b"b")
    jobs = [queue.put(one, pri=7), queue.put(two, pri=3), queue.put(two, pri=7), queue.put(one)]
    for names in ((b"a", b"b"), (b"b", b"a")):
        worker = queue.open(*names)
        assert [queue.reserve(worker) for _ in jobs] == [jobs[3], jobs[1], jobs[0], jobs[2]]
        queue.close(worker)


def test_only_from_watched_tubes() -> None:
    queue = Clocked()
    session = queue.open(b"a")
    job = queue.put(session)
    assert queue.reserve(session) is NoJob.TIMED_OUT
    assert queue.reserve_job(session, job) is job


def test_reserve_job_takes_it_from_any_tube_even_a_paused_one() -> None:
    queue = Clocked()
    session = queue.open(use=b"a")
    job = queue.put(session)
    queue.pause(b"a", 100)
    assert queue.reserve_job(queue.open(), job) is job


def test_a_job_is_urgent_below_1024_while_it_is_ready() -> None:
    queue = Clocked()
    session = queue.open()
    queue.put(session, pri=1024)
    job = queue.put(session, pri=1023)
    totals, tube = queue.engine.totals, session.use
    assert (totals.urgent, tube.urgent) == (1, 1)
    queue.reserve(session)
    assert (totals.urgent, tube.urgent) == (0, 0)
    queue.release(session, job, pri=0)
    assert (totals.urgent, tube.urgent) == (1, 1)
    queue.delete(session, job)
    assert (totals.urgent, tube.urgent) == (0, 0)


# --- who waits ----------------------------------------------------------------------------------


def test_who_waits_longest_is_served_first() -> None:
    queue = Clocked()
    producer = queue.open()
    waiters = [queue.open() for _ in range(3)]
    for waiter in waiters:
        assert queue.reserve(waiter, None) is None
    jobs = [queue.put(producer, pri=9 - i) for i in range(3)]
    assert queue.answers() == list(zip(waiters, jobs, strict=True))


def test_who_waits_again_stands_at_the_end() -> None:
    queue = Clocked()
    producer, one, two = queue.open(), queue.open(), queue.open()
    queue.reserve(one, None)
    queue.reserve(two, None)
    first = queue.put(producer)
    queue.reserve(one, None)
    second, third = queue.put(producer), queue.put(producer)
    assert queue.answers() == [(one, first), (two, second), (one, third)]


def test_a_job_goes_past_those_who_do_not_watch_its_tube() -> None:
    queue = Clocked()
    producer, stranger, waiter = queue.open(use=b"a"), queue.open(), queue.open(b"a")
    queue.reserve(stranger, None)
    queue.reserve(waiter, None)
    job = queue.put(producer)
    assert queue.answers() == [(waiter, job)]
    assert stranger.waiting


def test_one_who_waits_at_many_tubes_is_answered_once() -> None:
    queue = Clocked()
    one, two = queue.open(use=b"a"), queue.open(use=b"b")
    waiter = queue.open(b"a", b"b")
    queue.reserve(waiter, None)
    taken, left = queue.put(one), queue.put(two)
    assert queue.answers() == [(waiter, taken)]
    assert left.state == READY
    assert queue.engine.totals.waiting == 0


@pytest.mark.parametrize("way", ["put", "release", "kick", "kick-job", "close", "delay", "ttr"])
def test_a_job_that_becomes_ready_goes_to_who_waits_whatever_made_it_so(way: str) -> None:
    queue = Clocked()
    holder, waiter = queue.open(), queue.open()
    job = queue.put(holder, ttr_s=2, delay_s=2)
    if way != "delay":
        queue.reserve_job(holder, job)
    if way in ("kick", "kick-job"):
        queue.bury(holder, job)
    queue.reserve(waiter, None)
    match way:
        case "put":
            job = queue.put(holder)
        case "release":
            queue.release(holder, job)
        case "kick":
            queue.kick(holder, 1)
        case "kick-job":
            queue.kick_job(job)
        case "close":
            queue.close(holder)
        case _:
            queue.pass_s(2)
    assert queue.answers() == [(waiter, job)]
    assert (job.state, job.holder) == (RESERVED, waiter)


def test_a_wait_that_is_stopped_has_timed_out() -> None:
    queue = Clocked()
    waiter, producer = queue.open(), queue.open()
    queue.reserve(waiter, None)
    queue.engine.stop_waiting(waiter)
    queue.engine.stop_waiting(producer)
    assert queue.answers() == [(waiter, NoJob.TIMED_OUT)]
    assert queue.put(producer).state == READY


def test_those_who_wait_are_counted_once_in_all_and_once_in_each_tube() -> None:
    queue = Clocked()
    waiter = queue.open(b"a", b"b")
    queue.reserve(waiter, None)
    assert queue.engine.totals.waiting == 1
    assert [len(tube.waiting) for tube in queue.engine.tubes] == [0, 1, 1]


# --- kick ---------------------------------------------------------------------------------------


def test_kick_takes_buried_jobs_in_the_order_they_were_buried() -> None:
    queue = Clocked()
    session = queue.open()
    jobs = [queue.put(session) for _ in range(3)]
    for job in (jobs[2], jobs[0], jobs[1]):
        queue.reserve_job(session, job)
        queue.bury(session, job)
    assert queue.kick(session, 2) == 2
    assert [job.state for job in jobs] == [READY, BURIED, READY]


def test_kick_takes_delayed_jobs_only_if_none_is_buried() -> None:
    queue = Clocked()
    session = queue.open()
    late, soon, buried = (queue.put(session, delay_s=delay_s) for delay_s in (9, 5, 0))
    queue.reserve(session)
    queue.bury(session, buried)
    assert queue.kick(session, 100) == 1
    assert (buried.state, soon.state, late.state) == (READY, DELAYED, DELAYED)
    assert queue.kick(session, 1) == 1
    assert (soon.state, late.state) == (READY, DELAYED)


def test_kick_takes_from_the_used_tube_only_and_says_how_many() -> None:
    queue = Clocked()
    queue.put(queue.open(use=b"a"), delay_s=9)
    session = queue.open()
    assert queue.kick(session, 100) == 0
    queue.put(session, delay_s=9)
    assert queue.kick(session, 0) == 0
    assert queue.kick(session, 2**32 - 1) == 1


def test_kick_moves_one_by_one_so_who_waits_gets_the_first_not_the_best() -> None:
    queue = Clocked()
    session, waiter = queue.open(), queue.open()
    first, best = queue.put(session, pri=9), queue.put(session, pri=0)
    for job in (first, best):
        queue.reserve_job(session, job)
        queue.bury(session, job, pri=job.pri)
    queue.reserve(waiter, None)
    assert queue.kick(session, 2) == 2
    assert queue.answers() == [(waiter, first)]
    assert best.state == READY


# --- pause --------------------------------------------------------------------------------------


def test_a_paused_tube_gives_no_job_to_anyone() -> None:
    queue = Clocked()
    session, waiter = queue.open(), queue.open()
    queue.reserve(waiter, None)
    assert queue.pause(b"default", 5)
    job = queue.put(session)
    assert queue.reserve(session) is NoJob.TIMED_OUT
    assert (job.state, queue.answers()) == (READY, [])


def test_when_a_pause_ends_those_who_wait_get_the_best_jobs() -> None:
    queue = Clocked()
    session, one, two = queue.open(), queue.open(), queue.open()
    queue.reserve(one, None)
    queue.reserve(two, None)
    queue.pause(b"default", 5)
    worst, best, middle = (queue.put(session, pri=pri) for pri in (9, 1, 5))
    queue.pass_s(4.999999999)
    assert queue.answers() == []
    queue.pass_s(0.000000001)
    assert queue.answers() == [(one, best), (two, middle)]
    assert worst.state == READY
    assert (session.use.paused, session.use.pause_s) == (False, 0)


def test_a_pause_of_0_ends_a_pause_at_once() -> None:
    queue = Clocked()
    session, waiter = queue.open(), queue.open()
    queue.pause(b"default", 5)
    first, second = queue.put(session), queue.put(session)
    queue.reserve(waiter, None)
    assert queue.pause(b"default", 0)
    assert queue.answers() == [(waiter, first)]
    assert queue.reserve(session) is second
    assert session.use.pauses == 2


def test_a_pause_of_0_is_no_pause() -> None:
    queue = Clocked()
    session = queue.open()
    job = queue.put(session)
    queue.pause(b"default", 0)
    assert not session.use.paused
    assert queue.reserve(session) is job


@pytest.mark.parametrize("second_s", [2, 8])
def test_a_second_pause_takes_the_place_of_the_first(second_s: int) -> None:
    queue = Clocked()
    session = queue.open()
    queue.put(session)
    queue.pause(b"default", 5)
    queue.pause(b"default", second_s)
    queue.pass_s(second_s - 0.000000001)
    assert queue.reserve(session) is NoJob.TIMED_OUT
    queue.pass_s(0.000000001)
    assert isinstance(queue.reserve(session), type(queue.engine.jobs[1]))


def test_a_delay_passes_in_a_paused_tube_too() -> None:
    queue = Clocked()
    session, waiter = queue.open(), queue.open()
    job = queue.put(session, delay_s=2)
    queue.reserve(waiter, None)
    queue.pause(b"default", 5)
    queue.pass_s(2)
    assert (job.state, queue.answers()) == (READY, [])
    queue.pass_s(3)
    assert queue.answers() == [(waiter, job)]


def test_a_tube_that_is_not_there_can_not_be_paused() -> None:
    queue = Clocked()
    assert not queue.pause(b"a", 5)
    assert queue.tubes() == ["default"]


# --- counters -----------------------------------------------------------------------------------


def test_a_job_counts_in_its_tube_and_in_all() -> None:
    queue = Clocked()
    session = queue.open(use=b"a")
    jobs = [queue.put(session, delay_s=delay_s) for delay_s in (0, 0, 0, 9)]
    queue.reserve_job(session, jobs[0])
    queue.reserve_job(session, jobs[1])
    queue.bury(session, jobs[1])
    tube, totals = session.use, queue.engine.totals
    assert (totals.reserved, totals.buried, totals.delayed) == (1, 1, 1)
    assert (tube.reserved, len(tube.buried), len(tube.delayed.nodes)) == (1, 1, 1)
    assert (tube.total_jobs, totals.total_jobs) == (4, 4)
    for job in jobs:
        assert queue.delete(session, job)
    assert (totals.reserved, totals.buried, totals.delayed) == (0, 0, 0)
    assert (tube.deletes, tube.total_jobs, totals.total_jobs) == (4, 4, 4)
    assert not queue.engine.jobs
