"""A job that is gone leaves its memory at once: no cycle keeps it, nor anything that it was in.

Compiled, a job is nothing to the cycle collector. So it is the body that tells of the end, in both
builds, and the collector is off meanwhile.
"""

import gc
from collections.abc import Callable, Iterator

import pytest

from beanrow.engine.engine import Engine
from beanrow.engine.session import Session
from beanrow.protocol.limits import NS_PER_S
from tests.unit.engine.clocked import Clocked


class Body(bytes):
    """Counts how many of its kind there are."""

    alive = 0

    def __new__(cls) -> "Body":
        cls.alive += 1
        return super().__new__(cls, b"body")

    def __del__(self) -> None:
        Body.alive -= 1


@pytest.fixture(autouse=True)
def _without_cycle_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    Body.alive = 0
    yield
    gc.enable()


class Scene:
    """A queue and two of its clients; whoever puts here forgets the job at once."""

    def __init__(self) -> None:
        self.queue = Clocked()
        self.engine: Engine = self.queue.engine
        self.producer: Session = self.queue.open()
        self.worker: Session = self.queue.open()
        self.id = 0

    def put(self, delay_s: int = 0) -> None:
        job = self.engine.begin_put(self.producer, 0, delay_s, 1, self.queue.now_ns)
        self.engine.finish_put(job, Body(), self.queue.now_ns)
        self.id = job.id

    def reserve(self) -> None:
        self.queue.reserve(self.worker)

    def delete(self) -> bool:
        return self.engine.delete(self.worker, self.id)

    def settle(self) -> None:
        """What the server does at the end of a tick."""
        self.engine.changes.clear()
        self.engine.answers.clear()


def ready(scene: Scene) -> None:
    scene.put()


def delayed(scene: Scene) -> None:
    scene.put(delay_s=5)


def reserved(scene: Scene) -> None:
    scene.put()
    scene.reserve()


def reserved_by_one_who_waited(scene: Scene) -> None:
    scene.queue.reserve(scene.worker, 5)
    scene.put()


def released(scene: Scene) -> None:
    reserved(scene)
    scene.engine.release(scene.worker, scene.id, 0, 0, scene.queue.now_ns)


def buried(scene: Scene) -> None:
    reserved(scene)
    scene.engine.bury(scene.worker, scene.id, 0)


def kicked(scene: Scene) -> None:
    buried(scene)
    scene.engine.kick(scene.worker, 1, scene.queue.now_ns)


def timed_out(scene: Scene) -> None:
    reserved(scene)
    scene.queue.go_to(scene.queue.now_ns + 2 * NS_PER_S)


def of_a_worker_who_left(scene: Scene) -> None:
    reserved(scene)
    scene.queue.close(scene.worker)
    scene.worker = scene.queue.open()


@pytest.mark.parametrize(
    "lead",
    [
        *(ready, delayed, reserved, reserved_by_one_who_waited, released),
        *(buried, kicked, timed_out, of_a_worker_who_left),
    ],
)
@pytest.mark.parametrize("many", [1, 300])
def test_a_deleted_job_is_let_go_wherever_it_was(lead: Callable[[Scene], None], many: int) -> None:
    scene = Scene()
    ids = []
    for _ in range(many):
        lead(scene)
        ids.append(scene.id)
        scene.settle()
    assert Body.alive == many
    for job_id in ids:
        assert scene.engine.delete(scene.worker, job_id)
    scene.settle()
    assert Body.alive == 0
    assert gc.collect() == 0


def test_what_a_closed_session_held_is_let_go_with_it() -> None:
    """The engine forgets the session, and the jobs that it then returns no longer refer to it."""
    scene = Scene()
    reserved(scene)
    scene.queue.close(scene.worker)
    scene.queue.close(scene.producer)
    scene.settle()
    scene.worker = scene.producer = scene.queue.open()
    assert gc.collect() == 0  # neither session left anything that only a collection finds
    assert scene.delete()
    scene.settle()
    assert Body.alive == 0


def test_a_put_that_is_taken_back_is_let_go() -> None:
    scene = Scene()
    scene.put()
    scene.engine.take_back(scene.id)
    scene.settle()
    assert Body.alive == 0


def test_a_tube_keeps_no_room_for_the_buried_jobs_that_it_had() -> None:
    scene = Scene()
    tube = scene.producer.use
    empty_bytes = tube.buried.__sizeof__()
    for _ in range(1000):
        buried(scene)
        scene.settle()
    assert tube.buried.__sizeof__() > 10 * empty_bytes
    scene.engine.kick(scene.worker, 1000, scene.queue.now_ns)
    assert tube.buried.__sizeof__() <= empty_bytes
