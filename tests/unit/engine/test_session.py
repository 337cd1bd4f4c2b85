"""What sessions are counted as, and what they leave behind."""

from beanrow.engine.job import READY, RESERVED
from tests.unit.engine.clocked import Clocked


def test_a_session_uses_and_watches_the_default_tube_at_first() -> None:
    queue = Clocked()
    session = queue.open()
    assert session.use.name == b"default"
    assert [tube.name for tube in session.watch] == [b"default"]
    assert (session.use.using, session.use.watching) == (1, 1)


def test_sessions_are_counted_while_open_and_for_ever() -> None:
    queue = Clocked()
    queue.open()
    queue.close(queue.open())
    totals = queue.engine.totals
    assert (totals.sessions, totals.total_sessions) == (1, 2)


def test_who_begins_a_put_is_a_producer_until_it_leaves() -> None:
    queue = Clocked()
    session = queue.open()
    totals = queue.engine.totals
    assert totals.producers == 0
    queue.engine.begin_put(session, 0, 0, 1, queue.now_ns)
    queue.put(session)
    assert totals.producers == 1
    queue.close(session)
    assert totals.producers == 0


def test_who_reserves_is_a_worker_until_it_leaves() -> None:
    queue = Clocked()
    session = queue.open()
    totals = queue.engine.totals
    queue.reserve(session)
    queue.reserve(session)
    assert totals.workers == 1
    queue.close(session)
    assert totals.workers == 0


def test_who_reserves_by_id_is_a_worker_if_it_gets_the_job() -> None:
    queue = Clocked()
    session = queue.open()
    job = queue.put(session)
    queue.engine.reserve_job(session, job.id + 1, queue.now_ns)
    assert queue.engine.totals.workers == 0
    queue.reserve_job(session, job)
    assert queue.engine.totals.workers == 1


def test_a_session_that_closes_gives_its_jobs_back_at_once() -> None:
    queue = Clocked()
    session = queue.open()
    jobs = [queue.put(session, delay_s=delay_s) for delay_s in (0, 1)]
    for job in jobs:
        queue.reserve_job(session, job)
    queue.close(session)
    assert [job.state for job in jobs] == [READY, READY]
    assert [job.holder for job in jobs] == [None, None]
    assert queue.engine.totals.reserved == 0


def test_a_session_that_closes_gives_its_jobs_back_in_the_order_of_reservation() -> None:
    """All at the same moment, and whatever has been touched since: that changes nothing."""
    queue = Clocked()
    leaver, waiter = queue.open(), queue.open()
    jobs = [queue.put(leaver, pri=pri, ttr_s=100 + pri) for pri in (1, 9, 5)]
    first, second, third = jobs[1], jobs[0], jobs[2]
    for job in (first, second, third):
        queue.reserve_job(leaver, job)
    queue.pass_s(1)
    queue.touch(leaver, first)
    queue.reserve(waiter, None)
    queue.close(leaver)
    assert queue.answers() == [(waiter, first)]
    assert first.holder is waiter
    assert [job.id for job in waiter.use.ready.nodes] == [second.id, third.id]


def test_a_session_that_closes_waits_no_more() -> None:
    queue = Clocked()
    leaver, stayer = queue.open(), queue.open()
    queue.reserve(leaver, None)
    queue.close(leaver)
    job = queue.put(stayer)
    assert (job.state, queue.answers()) == (READY, [])
    assert queue.engine.totals.waiting == 0


def test_nothing_happens_for_a_session_that_has_closed() -> None:
    queue = Clocked()
    leaver, stayer = queue.open(), queue.open()
    job = queue.put(leaver, ttr_s=2)
    queue.reserve(leaver)
    queue.reserve(leaver, 10)
    queue.reserve(stayer, None)
    queue.close(leaver)
    assert queue.answers() == [(stayer, job)]
    queue.pass_s(1)
    assert queue.answers() == []
    assert job.state == RESERVED
    queue.pass_s(1)
    assert (job.state, job.timeouts) == (READY, 1)
    queue.pass_s(100)
    assert queue.answers() == []


def test_an_id_is_spent_by_a_put_that_is_never_finished() -> None:
    queue = Clocked()
    session = queue.open()
    queue.engine.begin_put(session, 0, 0, 1, queue.now_ns)
    assert queue.put(session).id == 2
    totals = queue.engine.totals
    assert (totals.total_jobs, session.use.total_jobs, len(queue.engine.jobs)) == (1, 1, 1)


def test_of_two_puts_the_one_begun_first_has_the_lower_id() -> None:
    queue = Clocked()
    one, two = queue.open(), queue.open()
    slow = queue.engine.begin_put(one, 0, 0, 1, queue.now_ns)
    fast = queue.engine.begin_put(two, 0, 0, 1, queue.now_ns)
    queue.engine.finish_put(fast, b"fast", queue.now_ns)
    queue.engine.finish_put(slow, b"slow", queue.now_ns)
    assert queue.reserve(one) is slow


def test_the_age_runs_from_the_begin_of_a_put_and_the_delay_from_its_end() -> None:
    queue = Clocked()
    session = queue.open()
    begun_ns = queue.now_ns
    job = queue.engine.begin_put(session, 0, 5, 1, queue.now_ns)
    queue.pass_s(2)
    queue.engine.finish_put(job, b"", queue.now_ns)
    assert job.created_at_ns == begun_ns
    assert job.time_left_ns(queue.now_ns) == 5_000_000_000
