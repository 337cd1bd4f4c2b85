"""What must hold inside an engine after every step, whatever it was asked."""

from collections import Counter
from collections.abc import Iterable, Sequence

from beanrow.engine.engine import Engine
from beanrow.engine.heap import OUTSIDE, Heap, HeapNode
from beanrow.engine.job import BURIED, DELAYED, GONE, READY, RESERVED, TRANSITIONS, Job
from beanrow.engine.session import Session
from beanrow.engine.tube import TubeSet
from beanrow.protocol.limits import DEADLINE_MARGIN_NS

#: Of each job that there is: its state, and how often it has been reserved.
States = dict[int, tuple[int, int]]


def states_of(engine: Engine) -> States:
    return {job.id: (job.state, job.reserves) for job in engine.jobs.values()}


def check_transitions(before: States, after: States, events: Sequence[str]) -> None:
    """Every job whose state changed was allowed to, by one of these events.

    A job that became ready may have been handed to someone who waited for it.
    """
    for job_id in before.keys() | after.keys():
        old, old_reserves = before.get(job_id, (GONE, 0))
        new, new_reserves = after.get(job_id, (GONE, 0))
        if (old, old_reserves) == (new, new_reserves):
            continue
        reachable = {state for event in events for state in TRANSITIONS[event].get(old, ())}
        if READY in reachable and new_reserves > old_reserves:
            reachable |= set(TRANSITIONS["reserve"][READY])
        assert new in reachable, f"job {job_id} went from {old} to {new} at {events}"


def check_soundness(engine: Engine, sessions: list[Session]) -> None:
    check_heap(engine._timers._heap)
    check_tubes(engine.tubes)
    for session in sessions:
        check_heap(session.reserved)
        check_tubes(session.watch)
    for tube in engine.tubes:
        check_heap(tube.ready)
        check_heap(tube.delayed)
    check_places(engine, sessions)
    check_no_one_waits_beside_a_job(engine)
    check_timers(engine, sessions)


def check_heap(heap: Heap[HeapNode] | Heap[Job]) -> None:
    """No node comes before the one above it, and each knows its place."""
    nodes: Sequence[HeapNode] = heap.nodes
    for index, node in enumerate(nodes):
        assert node.heap_index == index
        above = nodes[(index - 1) // 2] if index else node
        assert (above.rank, above.tie) <= (node.rank, node.tie)


def check_tubes(tubes: TubeSet) -> None:
    assert len(tubes) == len({tube.name for tube in tubes})
    assert all(tubes.get(tube.name) is tube for tube in tubes)


def check_places(engine: Engine, sessions: list[Session]) -> None:
    """Each job is in exactly one place, that of its state; each session waits where it watches."""
    places: Counter[tuple[int, int]] = Counter()
    for tube in engine.tubes:
        places.update(_placed(READY, tube.ready.nodes))
        places.update(_placed(DELAYED, tube.delayed.nodes))
        places.update(_placed(BURIED, tube.buried.values()))
        for session in tube.waiting:
            assert session.waiting
            assert session.watch.get(tube.name) is tube
    for session in sessions:
        places.update(_placed(RESERVED, session.reserved.nodes))
        assert all(job.holder is session for job in session.reserved.nodes)
        assert all((session in tube.waiting) == session.waiting for tube in session.watch)
        assert engine.tubes.get(session.use.name) is session.use
    assert places == Counter((job.state, job.id) for job in engine.jobs.values())
    assert all(engine.tubes.get(job.tube.name) is job.tube for job in engine.jobs.values())


def _placed(state: int, jobs: Iterable[Job]) -> list[tuple[int, int]]:
    return [(state, job.id) for job in jobs]


def check_no_one_waits_beside_a_job(engine: Engine) -> None:
    assert not any(tube.ready.nodes and tube.waiting and not tube.paused for tube in engine.tubes)


def check_timers(engine: Engine, sessions: list[Session]) -> None:
    """Whatever has a moment ahead is filed under that or an earlier one, and nothing else is."""
    for tube in engine.tubes:
        moments = [job.rank for job in tube.delayed.nodes[:1]]
        if tube.paused:
            moments.append(tube.unpause_at_ns)
        check_filed(tube, moments)
    for session in sessions:
        margin_ns = DEADLINE_MARGIN_NS if session.waiting else 0
        moments = [job.rank - margin_ns for job in session.reserved.nodes[:1]]
        if session.waiting:
            moments.append(session.wait_until_ns)
        check_filed(session, moments)
    known: set[HeapNode] = {*engine.tubes, *sessions}
    assert known >= set(engine._timers._heap.nodes)


def check_filed(node: HeapNode, moments: list[int]) -> None:
    if moments and min(moments) < (1 << 60):
        assert node.heap_index != OUTSIDE
        assert node.rank <= min(moments)
