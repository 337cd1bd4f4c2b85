"""What a command costs does not depend on what else is in the queue.

Counted are the functions called and the lines executed, not the time. The calls must be exactly
the same; a few lines more are allowed, because a heap of n nodes is log n deep.
"""

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import pytest

from beanrow.build import COMPILED
from beanrow.protocol.limits import NS_PER_S
from tests.unit.engine.clocked import Clocked

pytestmark = pytest.mark.skipif(COMPILED, reason="compiled code can not be traced")

MANY: Final = 10_000
FEW: Final = 2

#: For all heaps on the way together. To look at every one of `MANY` takes more.
MORE_LINES_ALLOWED: Final = MANY // 10


def cost_of(action: Callable[[], object]) -> tuple[Counter[str], int]:
    """How often each function of the engine is called, and how many lines are executed."""
    calls: Counter[str] = Counter()
    lines = 0
    resizing = ("Jobs._grow", "Jobs._shrink", "Jobs._resized")

    def trace(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        nonlocal lines
        if event == "call":
            if "/beanrow/engine/" not in frame.f_code.co_filename:
                return None
            # By a few buckets now and then, whatever the size; its lines are counted.
            if frame.f_code.co_qualname not in resizing:
                calls[frame.f_code.co_qualname] += 1
        elif event == "line":
            lines += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    assert calls, "nothing was traced"
    return calls, lines


def tubes_with_delayed_and_paused_jobs(queue: Clocked, count: int) -> None:
    session = queue.open()
    for number in range(count):
        name = b"tube-%d" % number
        queue.engine.use(session, name)
        queue.put(session, delay_s=1_000 + number)
        queue.put(session)
        queue.pause(name, 500_000)


def idle_sessions_that_wait(queue: Clocked, count: int) -> None:
    for number in range(count):
        queue.reserve(queue.open(b"tube-%d" % (number % 7)), 1_000 + number)


def sessions_with_a_reserved_job(queue: Clocked, count: int) -> None:
    for number in range(count):
        session = queue.open(b"held", use=b"held")
        queue.put(session, ttr_s=1_000 + number)
        queue.reserve(session)


def a_working_day(queue: Clocked) -> None:
    """Each verb once, by two sessions, with some of the time that passes in between."""
    producer, worker = queue.open(), queue.open()
    job = queue.put(producer)
    queue.reserve(worker)
    queue.touch(worker, job)
    queue.release(worker, job, delay_s=1)
    queue.kick(producer, 1)
    queue.reserve(worker)
    queue.bury(worker, job)
    queue.kick_job(job)
    queue.reserve_job(worker, job)
    queue.delete(worker, job)
    queue.reserve(worker, 5)
    queue.put(producer)
    queue.engine.use(producer, b"new")
    queue.engine.watch(worker, b"new")
    queue.engine.ignore(worker, b"default")
    queue.pause(b"new", 1)
    queue.put(producer, delay_s=1)
    queue.engine.tick(queue.now_ns + NS_PER_S)
    queue.close(worker)
    queue.close(producer)


@pytest.mark.parametrize(
    "fill",
    [
        tubes_with_delayed_and_paused_jobs,
        idle_sessions_that_wait,
        sessions_with_a_reserved_job,
    ],
)
def test_the_cost_of_commands_does_not_grow(fill: Callable[[Clocked, int], None]) -> None:
    alone, crowded = Clocked(), Clocked()
    fill(alone, FEW)
    fill(crowded, MANY)
    calls, lines = cost_of(lambda: a_working_day(alone))
    crowded_calls, crowded_lines = cost_of(lambda: a_working_day(crowded))
    assert crowded_calls == calls
    assert crowded_lines <= lines + MORE_LINES_ALLOWED


def test_a_tick_looks_only_at_what_is_due() -> None:
    queue = Clocked()
    tubes_with_delayed_and_paused_jobs(queue, MANY)
    calls, lines = cost_of(lambda: queue.engine.tick(queue.now_ns + 1_001 * NS_PER_S))
    # Of ten thousand delayed jobs, those of the first two tubes.
    assert calls["Places._make_ready"] == 2
    assert calls["Engine._tick_tube"] == 2
    assert lines < MORE_LINES_ALLOWED


def test_the_jobs_of_one_tube_cost_no_more_than_a_heap_is_deep() -> None:
    alone, crowded = Clocked(), Clocked()
    for queue, count in ((alone, FEW), (crowded, MANY)):
        session = queue.open()
        for _ in range(count):
            queue.put(session, pri=5)
            queue.put(session, pri=5, delay_s=1_000)
    _, lines = cost_of(lambda: a_working_day(alone))
    _, crowded_lines = cost_of(lambda: a_working_day(crowded))
    assert crowded_lines <= lines + 5 * MORE_LINES_ALLOWED
