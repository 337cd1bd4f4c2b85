"""The table of transitions says what the engine does, in every state and for every event."""

from collections.abc import Callable
from typing import Final

import pytest

from beanrow.engine.job import BURIED, DELAYED, GONE, READY, RESERVED, STATE_NAMES, TRANSITIONS, Job
from beanrow.engine.session import Session
from tests.unit.engine.clocked import Clocked

STATES: Final = (READY, DELAYED, RESERVED, BURIED, GONE)


class Scene:
    """A job in a given state, and the session that holds it, or held it, or never will."""

    def __init__(self, state: int) -> None:
        self.queue = Clocked()
        self.session: Session = self.queue.open()
        self.other: Session = self.queue.open()
        self.job: Job = self.queue.put(self.session, delay_s=5 * (state == DELAYED), ttr_s=5)
        if state in (RESERVED, BURIED):
            self.queue.reserve_job(self.session, self.job)
        if state == BURIED:
            self.queue.bury(self.session, self.job)
        if state == GONE:
            self.queue.delete(self.session, self.job)
        assert self.job.state == state


#: How to cause an event, and whether the verb that does so found the job.
CAUSES: Final[dict[str, Callable[[Scene], object]]] = {
    "reserve": lambda scene: scene.queue.reserve(scene.session) is scene.job,
    "reserve-job": lambda scene: scene.queue.reserve_job(scene.session, scene.job),
    "delete": lambda scene: scene.queue.delete(scene.session, scene.job),
    "release": lambda scene: scene.queue.release(scene.session, scene.job),
    "release later": lambda scene: scene.queue.release(scene.session, scene.job, delay_s=1),
    "bury": lambda scene: scene.queue.bury(scene.session, scene.job),
    "touch": lambda scene: scene.queue.touch(scene.session, scene.job),
    "kick": lambda scene: scene.queue.kick(scene.session, 1),
    "kick-job": lambda scene: scene.queue.kick_job(scene.job),
    "delay passed": lambda scene: scene.queue.pass_s(5),
    "ttr passed": lambda scene: scene.queue.pass_s(5),
    "disconnect": lambda scene: scene.queue.close(scene.session),
}
#: Time passes for a job whatever its state, so each of these stands for both.
PASSING: Final = ("delay passed", "ttr passed")


@pytest.mark.parametrize("state", STATES, ids=STATE_NAMES)
@pytest.mark.parametrize("event", CAUSES)
def test_an_event_does_what_the_table_says_and_nothing_else(event: str, state: int) -> None:
    scene = Scene(state)
    found = CAUSES[event](scene)
    if event in PASSING:
        allowed = {**TRANSITIONS[PASSING[0]], **TRANSITIONS[PASSING[1]]}.get(state)
    else:
        allowed = TRANSITIONS[event.removesuffix(" later")].get(state)
    if allowed is None:
        assert not found
        assert scene.job.state == state
    elif len(allowed) == 1:
        assert scene.job.state == allowed[0]
    else:
        assert scene.job.state == (DELAYED if event.endswith("later") else READY)
        assert scene.job.state in allowed


@pytest.mark.parametrize("event", ["delete", "release", "bury", "touch"])
def test_a_reserved_job_is_not_found_by_anyone_but_its_holder(event: str) -> None:
    scene = Scene(RESERVED)
    scene.session, scene.other = scene.other, scene.session
    assert not CAUSES[event](scene)
    assert scene.job.state == RESERVED
    assert scene.job.holder is scene.other


def test_a_put_makes_a_job_ready_or_delayed() -> None:
    queue = Clocked()
    session = queue.open()
    states = (queue.put(session).state, queue.put(session, delay_s=1).state)
    assert states == TRANSITIONS["put"][GONE]


def test_the_table_has_every_event() -> None:
    events = {event.removesuffix(" later") for event in CAUSES} | {"put"}
    assert events == TRANSITIONS.keys()


# --- what a job remembers -----------------------------------------------------------------------


def test_time_left_is_that_of_the_delay_or_of_the_reservation() -> None:
    scene = Scene(DELAYED)
    assert scene.job.time_left_ns(scene.queue.now_ns + 1) == 5_000_000_000 - 1
    scene.queue.reserve_job(scene.session, scene.job)
    assert scene.job.time_left_ns(scene.queue.now_ns + 1) == 5_000_000_000 - 1
    for state in (READY, BURIED):
        scene = Scene(state)
        assert scene.job.time_left_ns(scene.queue.now_ns + 1) == 0


def test_each_event_is_counted_in_the_job() -> None:
    scene = Scene(READY)
    queue, session, job = scene.queue, scene.session, scene.job
    queue.reserve(session)
    queue.release(session, job, delay_s=1)
    queue.kick_job(job)
    queue.reserve(session)
    queue.bury(session, job)
    queue.kick(session, 1)
    queue.reserve_job(session, job)
    queue.pass_s(5)
    counters = (job.reserves, job.releases, job.kicks, job.buries, job.timeouts)
    assert counters == (3, 1, 2, 1, 1)


def test_a_disconnect_is_neither_a_release_nor_a_timeout() -> None:
    scene = Scene(RESERVED)
    scene.queue.close(scene.session)
    assert (scene.job.releases, scene.job.timeouts) == (0, 0)


def test_release_and_bury_set_the_priority_and_the_others_keep_it() -> None:
    scene = Scene(RESERVED)
    queue, session, job = scene.queue, scene.session, scene.job
    queue.release(session, job, pri=7)
    assert job.pri == 7
    queue.reserve(session)
    queue.bury(session, job, pri=8)
    assert job.pri == 8
    queue.kick(session, 1)
    queue.reserve(session)
    queue.pass_s(5)
    assert job.pri == 8


def test_a_delay_is_remembered_when_it_has_passed_until_a_release_sets_another() -> None:
    scene = Scene(DELAYED)
    queue, session, job = scene.queue, scene.session, scene.job
    queue.pass_s(5)
    assert (job.state, job.delay_s) == (READY, 5)
    queue.reserve(session)
    queue.bury(session, job)
    queue.kick(session, 1)
    assert job.delay_s == 5
    queue.reserve(session)
    queue.release(session, job)
    assert job.delay_s == 0


def test_a_ttr_of_0_becomes_1() -> None:
    queue = Clocked()
    assert queue.put(queue.open(), ttr_s=0).ttr_s == 1
