"""Delays, ttrs, waits and warnings happen at their very nanosecond, and the engine says when."""

import pytest

from beanrow.engine.engine import MOVES_PER_TICK, RETURNED_AT_ONCE
from beanrow.engine.job import DELAYED, READY, RESERVED, Job
from beanrow.engine.session import NoJob, Session
from beanrow.engine.timers import NEVER_NS
from beanrow.protocol.limits import NS_PER_S
from tests.unit.engine.clocked import Clocked

#: The shortest time there is.
TICK_S = 0.000000001

# --- delays and ttrs ----------------------------------------------------------------------------


def test_a_delayed_job_is_ready_when_its_delay_has_passed_and_not_before() -> None:
    queue = Clocked()
    job = queue.put(queue.open(), delay_s=5)
    queue.pass_s(5 - TICK_S)
    assert job.state == DELAYED
    queue.pass_s(TICK_S)
    assert job.state == READY


def test_a_job_times_out_when_its_ttr_has_passed_and_not_before() -> None:
    queue = Clocked()
    session = queue.open()
    job = queue.put(session, ttr_s=5)
    queue.reserve(session)
    queue.pass_s(5 - TICK_S)
    assert (job.state, job.holder) == (RESERVED, session)
    queue.pass_s(TICK_S)
    assert (job.state, job.holder) == (READY, None)
    assert (job.timeouts, queue.engine.totals.timeouts) == (1, 1)


def test_a_touch_begins_the_whole_ttr_again() -> None:
    queue = Clocked()
    session = queue.open()
    job = queue.put(session, ttr_s=5)
    queue.reserve(session)
    queue.pass_s(3)
    queue.touch(session, job)
    queue.pass_s(5 - TICK_S)
    assert job.state == RESERVED
    queue.pass_s(TICK_S)
    assert job.state == READY


def test_after_a_time_out_the_job_is_no_longer_held() -> None:
    queue = Clocked()
    session, other = queue.open(), queue.open()
    job = queue.put(session, ttr_s=1)
    queue.reserve(session)
    queue.pass_s(1)
    assert not queue.touch(session, job)
    assert not queue.release(session, job)
    assert queue.reserve(other) is job
    assert not queue.delete(session, job)


def test_the_longest_delay_and_ttr_are_kept_to_the_nanosecond() -> None:
    queue = Clocked()
    session = queue.open()
    longest_s = 2**32 - 1
    job = queue.put(session, delay_s=longest_s, ttr_s=longest_s)
    assert job.time_left_ns(queue.now_ns) == longest_s * NS_PER_S
    queue.go_to(queue.now_ns + longest_s * NS_PER_S - 1)
    assert job.state == DELAYED
    queue.go_to(queue.now_ns + 1)
    assert queue.reserve(session) is job
    assert job.time_left_ns(queue.now_ns) == longest_s * NS_PER_S


def test_all_that_is_due_happens_even_if_the_tick_is_late() -> None:
    queue = Clocked()
    session = queue.open()
    held = queue.put(session, ttr_s=3)
    queue.reserve(session)
    delayed = [queue.put(session, delay_s=delay_s) for delay_s in (1, 2, 3, 4)]
    queue.engine.tick(queue.now_ns + 3 * NS_PER_S)
    assert [job.state for job in (held, *delayed)] == [READY, READY, READY, READY, DELAYED]


def test_of_sessions_whose_jobs_time_out_at_once_the_older_comes_first() -> None:
    queue = Clocked()
    older, younger, waiter = (queue.open() for _ in range(3))
    queue.put(older, ttr_s=5)
    queue.put(older, ttr_s=5)
    job = queue.reserve(older)
    queue.reserve(younger)
    queue.reserve(waiter, None)
    queue.pass_s(5)
    assert queue.answers() == [(waiter, job)]


# --- waits --------------------------------------------------------------------------------------


def test_a_wait_times_out_at_its_end_and_not_before() -> None:
    queue = Clocked()
    session = queue.open()
    assert queue.reserve(session, 5) is None
    queue.pass_s(5 - TICK_S)
    assert queue.answers() == []
    queue.pass_s(TICK_S)
    assert queue.answers() == [(session, NoJob.TIMED_OUT)]
    assert not session.waiting


def test_a_wait_of_0_does_not_wait() -> None:
    queue = Clocked()
    assert queue.reserve(queue.open(), 0) is NoJob.TIMED_OUT


def test_a_wait_without_end_has_none() -> None:
    queue = Clocked()
    session = queue.open()
    queue.reserve(session, None)
    assert queue.engine.next_tick_ns() == NEVER_NS
    queue.pass_s(2**32)
    assert queue.answers() == []


@pytest.mark.parametrize("tube", [b"default", b"made later"])
def test_a_job_due_at_the_very_end_of_a_wait_still_goes_to_it(tube: bytes) -> None:
    """As it does when one chunk puts with a delay and then waits for just that long."""
    queue = Clocked()
    session = queue.open()
    queue.engine.watch(session, tube)
    queue.engine.use(session, tube)
    job = queue.put(session, delay_s=5)
    queue.reserve(session, 5)
    queue.pass_s(5)
    assert queue.answers() == [(session, job)]


def test_a_job_due_before_the_end_of_a_wait_goes_to_it_though_the_tick_is_late() -> None:
    queue = Clocked()
    session = queue.open(b"later", use=b"later")
    # The engine expects something of the session after 4 s, which then does not happen.
    job = queue.put(session, ttr_s=4)
    queue.reserve(session)
    queue.delete(session, job)
    due = queue.put(session, delay_s=5)
    queue.reserve(session, 6)
    queue.engine.tick(queue.now_ns + 7 * NS_PER_S)
    assert queue.answers() == [(session, due)]


def test_a_pause_that_ends_with_a_wait_ends_before_it() -> None:
    queue = Clocked()
    session = queue.open(b"later", use=b"later")
    queue.pause(b"later", 5)
    job = queue.put(session)
    queue.reserve(session, 5)
    queue.pass_s(5)
    assert queue.answers() == [(session, job)]


def test_a_short_wait_after_a_long_one_is_not_taken_for_it() -> None:
    queue = Clocked()
    session, other = queue.open(), queue.open()
    for timeout_s in (100, 3, 50):
        queue.reserve(session, timeout_s)
        queue.put(other)
        (answer,) = queue.answers()
        assert answer[0] is session
    queue.reserve(session, 2)
    queue.pass_s(2)
    assert queue.answers() == [(session, NoJob.TIMED_OUT)]


# --- DEADLINE_SOON ------------------------------------------------------------------------------


def test_a_wait_ends_when_a_job_of_its_own_has_one_second_left() -> None:
    queue = Clocked()
    session = queue.open()
    job = queue.put(session, ttr_s=5)
    queue.reserve(session)
    assert queue.reserve(session, None) is None
    queue.pass_s(4 - TICK_S)
    assert queue.answers() == []
    queue.pass_s(TICK_S)
    assert queue.answers() == [(session, NoJob.DEADLINE_SOON)]
    assert (job.state, job.holder) == (RESERVED, session)


def test_within_that_second_a_reserve_does_not_wait() -> None:
    queue = Clocked()
    session = queue.open()
    queue.put(session, ttr_s=5)
    queue.reserve(session)
    queue.pass_s(4 - TICK_S)
    assert queue.reserve(session, 0) is NoJob.TIMED_OUT
    queue.pass_s(TICK_S)
    assert queue.reserve(session, 0) is NoJob.DEADLINE_SOON
    assert queue.reserve(session, None) is NoJob.DEADLINE_SOON


def test_within_that_second_a_ready_job_is_given_all_the_same() -> None:
    queue = Clocked()
    session = queue.open()
    queue.put(session, ttr_s=1)
    queue.reserve(session)
    other = queue.put(session)
    assert queue.reserve(session) is other


def test_a_job_in_a_paused_tube_is_no_reason_to_wait() -> None:
    queue = Clocked()
    session = queue.open()
    queue.put(session, ttr_s=1)
    queue.reserve(session)
    queue.put(session)
    queue.pause(b"default", 100)
    assert queue.reserve(session, None) is NoJob.DEADLINE_SOON


def test_a_ttr_of_one_second_is_all_margin() -> None:
    queue = Clocked()
    session = queue.open()
    queue.put(session, ttr_s=1)
    queue.reserve(session)
    assert queue.reserve(session, 100) is NoJob.DEADLINE_SOON


def test_the_jobs_of_others_warn_nobody() -> None:
    queue = Clocked()
    holder, waiter = queue.open(), queue.open()
    job = queue.put(holder, ttr_s=1)
    queue.reserve(holder)
    queue.reserve(waiter, None)
    queue.pass_s(1)
    assert queue.answers() == [(waiter, job)]


def test_reserve_job_is_never_warned() -> None:
    queue = Clocked()
    session = queue.open()
    queue.put(session, ttr_s=1)
    queue.reserve(session)
    job = queue.put(session)
    assert queue.reserve_job(session, job) is job


# --- when the engine wants to be called ---------------------------------------------------------


def test_with_nothing_to_come_there_is_no_next_tick() -> None:
    queue = Clocked()
    session = queue.open()
    queue.put(session)
    assert queue.engine.next_tick_ns() == NEVER_NS


@pytest.mark.parametrize("what", ["delay", "ttr", "wait", "pause"])
def test_the_next_tick_is_that_of_the_next_event(what: str) -> None:
    queue = Clocked()
    session = queue.open()
    match what:
        case "delay":
            queue.put(session, delay_s=5)
        case "ttr":
            queue.put(session, ttr_s=5)
            queue.reserve(session)
        case "wait":
            queue.reserve(session, 5)
        case "pause":
            queue.pause(b"default", 5)
    assert queue.engine.next_tick_ns() == queue.now_ns + 5 * NS_PER_S


def test_a_tick_leaves_nothing_to_do_at_the_same_moment() -> None:
    """Or a server would spin."""
    queue = Clocked()
    session = queue.open()
    for _ in range(3):
        queue.put(session, ttr_s=5, delay_s=5)
        queue.reserve(session)
        queue.reserve_job(session, queue.put(session, ttr_s=5))
    queue.pause(b"default", 5)
    for _ in range(20):
        moment_ns = queue.engine.next_tick_ns()
        if moment_ns == NEVER_NS:
            break
        queue.engine.tick(moment_ns)
        assert queue.engine.next_tick_ns() > moment_ns
    assert queue.engine.next_tick_ns() == NEVER_NS


def test_what_was_foreseen_but_came_otherwise_does_nothing() -> None:
    queue = Clocked()
    session = queue.open()
    job = queue.put(session, delay_s=5, ttr_s=5)
    queue.kick(session, 1)
    queue.reserve(session)
    queue.delete(session, job)
    queue.pass_s(100)
    assert (queue.answers(), queue.engine.totals.timeouts) == ([], 0)
    assert queue.engine.next_tick_ns() == NEVER_NS


def test_many_jobs_due_at_once_are_made_ready_a_thousand_at_a_time() -> None:
    """So that clients are served in between."""
    queue = Clocked()
    session = queue.open()
    for _ in range(MOVES_PER_TICK + 500):
        queue.put(session, delay_s=5, ttr_s=5)
    due_ns = queue.now_ns + 5 * NS_PER_S
    queue.engine.tick(due_ns)
    assert len(session.use.ready.nodes) == MOVES_PER_TICK
    assert session.use.delayed.nodes[0].time_left_ns(due_ns + 1) == 0
    assert queue.engine.next_tick_ns() <= due_ns
    queue.engine.tick(due_ns)
    assert len(session.use.ready.nodes) == MOVES_PER_TICK + 500
    assert queue.engine.next_tick_ns() == NEVER_NS


def test_many_ttrs_over_at_once_are_ended_a_thousand_at_a_time() -> None:
    queue = Clocked()
    session = queue.open()
    for _ in range(MOVES_PER_TICK + 500):
        queue.put(session, ttr_s=5)
        queue.reserve(session)
    over_ns = queue.now_ns + 5 * NS_PER_S
    for ended in (MOVES_PER_TICK, MOVES_PER_TICK + 500):
        assert queue.engine.next_tick_ns() <= over_ns
        queue.engine.tick(over_ns)
        assert queue.engine.totals.timeouts == ended
    assert queue.engine.next_tick_ns() == NEVER_NS


def holding(queue: Clocked, count: int) -> tuple[Session, list[Job]]:
    """A session with so many reserved jobs of a tube that nobody else watches."""
    session = queue.open(b"held", use=b"held")
    jobs = [queue.put(session) for _ in range(count)]
    for _ in jobs:
        queue.reserve(session)
    return session, jobs


def test_many_jobs_of_a_client_that_left_are_returned_a_thousand_at_a_time() -> None:
    queue = Clocked()
    session, jobs = holding(queue, MOVES_PER_TICK + 500)
    queue.close(session)
    for ready in (0, MOVES_PER_TICK, MOVES_PER_TICK + 500):
        assert [job.state for job in jobs].count(READY) == ready
        assert queue.engine.totals.reserved == len(jobs) - ready
        if ready < len(jobs):
            assert queue.engine.next_tick_ns() <= queue.now_ns
            queue.engine.tick(queue.now_ns)
    assert queue.engine.next_tick_ns() == NEVER_NS


@pytest.mark.parametrize("count", [RETURNED_AT_ONCE, RETURNED_AT_ONCE + 50])
def test_jobs_come_back_in_the_order_in_which_they_were_taken(count: int) -> None:
    """However many they are, and whichever of them would have timed out first."""
    queue = Clocked()
    leaver = queue.open()
    jobs = [queue.put(leaver, pri=5, ttr_s=1_000 - number) for number in range(count)]
    assert [queue.reserve(leaver) for _ in jobs] == jobs
    waiters = [queue.open() for _ in range(3)]
    for waiter in waiters:
        queue.reserve(waiter, None)
    queue.close(leaver)
    queue.engine.tick(queue.now_ns)
    assert queue.answers() == list(zip(waiters, jobs, strict=False))


def test_a_job_that_has_still_to_come_back_is_held_by_nobody() -> None:
    queue = Clocked()
    session, (first, second, third, *others) = holding(queue, MOVES_PER_TICK)
    queue.close(session)
    other = queue.open()
    assert queue.delete(other, first)
    assert queue.reserve_job(other, second) is second
    assert not queue.release(other, third)
    queue.engine.tick(queue.now_ns)
    assert (second.state, second.holder) == (RESERVED, other)
    assert {job.state for job in (third, *others)} == {READY}
    assert first.id not in queue.engine.jobs


def test_many_that_leave_at_once_return_no_more_jobs_at_a_time_than_one() -> None:
    queue = Clocked()
    held = [holding(queue, MOVES_PER_TICK) for _ in range(3)]
    for session, _ in held:
        queue.close(session)
    for tick in range(1, 4):
        queue.engine.tick(queue.now_ns)
        states = [job.state for _, jobs in held for job in jobs]
        assert states.count(READY) == tick * MOVES_PER_TICK
    assert queue.engine.next_tick_ns() == NEVER_NS


def test_nobody_waits_longer_because_many_jobs_are_made_ready() -> None:
    """Time-outs, warnings, pauses, and the first job of each tube come as if alone."""
    queue = Clocked()
    crowd = queue.open(use=b"crowd")
    for _ in range(3 * MOVES_PER_TICK):
        queue.put(crowd, delay_s=5)
    leaver, _ = holding(queue, 3 * MOVES_PER_TICK)
    timed, warned, served, paused = (queue.open(name) for name in (b"a", b"b", b"c", b"d"))
    for session, name in ((warned, b"b"), (served, b"c"), (paused, b"d")):
        queue.engine.use(session, name)
    queue.put(warned, ttr_s=6)
    queue.reserve(warned)
    late = queue.put(served, delay_s=5)
    stopped = queue.put(paused)
    queue.pause(b"d", 5)
    queue.reserve(timed, 5)
    for session in (warned, served, paused):
        queue.reserve(session, None)
    queue.close(leaver)
    queue.now_ns += 5 * NS_PER_S
    queue.engine.tick(queue.now_ns)
    assert dict(queue.answers()) == {
        timed: NoJob.TIMED_OUT,
        warned: NoJob.DEADLINE_SOON,
        served: late,
        paused: stopped,
    }
    assert queue.engine.next_tick_ns() <= queue.now_ns
