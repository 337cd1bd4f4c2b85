"""Tubes are listed in beanstalkd's order, and vanish when nobody needs them."""

from beanrow.engine.tube import Tube, TubeSet
from tests.unit.engine.clocked import Clocked


def set_of(names: str) -> TubeSet:
    tubes = TubeSet()
    for number, name in enumerate(names):
        tubes.add(Tube(number, name.encode()))
    return tubes


def without(names: str, gone: str) -> str:
    tubes = set_of(names)
    for name in gone:
        tube = tubes.get(name.encode())
        assert tube is not None
        tubes.remove(tube)
    assert all(tubes.get(tube.name) is tube for tube in tubes)
    assert len(tubes) == len(names) - len(gone)
    return "".join(tube.name.decode() for tube in tubes)


def test_a_set_lists_its_tubes_as_they_came() -> None:
    assert without("dabc", "") == "dabc"


def test_a_tube_that_goes_leaves_its_place_to_the_last() -> None:
    assert without("dabc", "a") == "dcb"
    assert without("dabc", "c") == "dab"
    assert without("dabc", "da") == "cb"
    assert without("d", "d") == ""


def test_a_set_has_each_tube_once() -> None:
    tubes = set_of("ab")
    tube = tubes.get(b"a")
    assert tube is not None
    assert not tubes.add(tube)
    assert len(tubes) == 2
    assert tubes.get(b"c") is None


# --- in an engine -------------------------------------------------------------------------------


def test_the_default_tube_is_always_there() -> None:
    queue = Clocked()
    assert queue.tubes() == ["default"]
    queue.close(queue.open(b"a", use=b"a"))
    assert queue.tubes() == ["default"]


def test_a_tube_lives_as_long_as_it_is_used() -> None:
    queue = Clocked()
    session = queue.open(use=b"a")
    assert queue.tubes() == ["default", "a"]
    queue.engine.use(session, b"b")
    assert queue.tubes() == ["default", "b"]
    queue.close(session)
    assert queue.tubes() == ["default"]


def test_a_tube_lives_as_long_as_it_is_watched() -> None:
    queue = Clocked()
    session = queue.open()
    queue.engine.watch(session, b"a")
    assert queue.tubes() == ["default", "a"]
    queue.engine.ignore(session, b"a")
    assert queue.tubes() == ["default"]


def test_a_tube_lives_as_long_as_a_job_is_in_it_whatever_its_state() -> None:
    queue = Clocked()
    worker = queue.open()
    producer = queue.open(use=b"a")
    job = queue.put(producer)
    queue.close(producer)
    assert tubes_after_a_visit(queue) == ["default", "a"]  # ready
    queue.reserve_job(worker, job)
    assert tubes_after_a_visit(queue) == ["default", "a"]  # reserved
    queue.release(worker, job, delay_s=1)
    assert tubes_after_a_visit(queue) == ["default", "a"]  # delayed
    queue.reserve_job(worker, job)
    queue.bury(worker, job)
    assert tubes_after_a_visit(queue) == ["default", "a"]  # buried
    queue.delete(worker, job)
    assert queue.tubes() == ["default"]


def tubes_after_a_visit(queue: Clocked) -> list[str]:
    """Someone uses and watches tube a, and leaves it: that is when it could vanish."""
    queue.close(queue.open(b"a", use=b"a"))
    return queue.tubes()


def test_a_tube_that_vanishes_forgets_its_pause_and_its_counters() -> None:
    queue = Clocked()
    session = queue.open(use=b"a")
    queue.delete(session, queue.put(session))
    queue.pause(b"a", 100)
    queue.engine.use(session, b"default")
    queue.engine.use(session, b"a")
    tube = session.use
    assert (tube.paused, tube.pauses, tube.deletes, tube.total_jobs) == (False, 0, 0, 0)
    queue.pass_s(200)


def test_a_tube_newly_used_is_listed_before_the_one_left_vanishes() -> None:
    queue = Clocked()
    session = queue.open(use=b"p")
    queue.open(use=b"z")
    queue.engine.use(session, b"q")
    assert queue.tubes() == ["default", "q", "z"]


def test_the_tubes_of_a_session_that_closes_go_one_after_the_other() -> None:
    queue = Clocked()
    leaver = queue.open(b"default", b"a", b"b", b"c")
    for name in (b"x", b"y", b"z"):
        queue.open(use=name)
    # Its list loses the first, whose place the last takes, and so on: default, c, b, a.
    # In the list of all, each leaves its place to the last: c to z, b to y, a to x.
    queue.close(leaver)
    assert queue.tubes() == ["default", "x", "y", "z"]


def test_a_session_watches_in_the_order_that_ignoring_leaves() -> None:
    queue = Clocked()
    session = queue.open(b"default", b"a", b"b", b"c", b"d")
    assert queue.engine.ignore(session, b"b") == 4
    assert [tube.name for tube in session.watch] == [b"default", b"a", b"d", b"c"]


def test_the_only_tube_watched_can_not_be_ignored() -> None:
    queue = Clocked()
    session = queue.open()
    assert queue.engine.ignore(session, b"default") == 0
    assert queue.engine.ignore(session, b"unknown") == 1
    assert [tube.name for tube in session.watch] == [b"default"]


def test_watching_twice_is_watching_once() -> None:
    queue = Clocked()
    session = queue.open()
    assert queue.engine.watch(session, b"a") == 2
    assert queue.engine.watch(session, b"a") == 2
    assert session.watch.tubes[1].watching == 1
