"""What `Journal` promises, tried on every journal there is; `journals` lists them.

A journal that is to come, such as a replicated one, has to pass the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from beanrow.journal.base import ADMITTED
from beanrow.protocol.limits import MAX_TUBE_NAME_BYTES, NS_PER_S
from tests.contract.journals import JOURNALS, SEGMENT_BYTES, Opener
from tests.contract.queue import BEGIN_NS, HOUR_S, Queue
from tests.crash.simulated.clients import Load
from tests.crash.simulated.promises import Key, View, durable_views


@pytest.fixture(params=JOURNALS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    return JOURNALS[request.param][0](tmp_path)


@pytest.fixture(params=[name for name, (_, keeps) in JOURNALS.items() if keeps])
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Only those that keep something."""
    return JOURNALS[request.param][0](tmp_path)


def views(queue: Queue) -> dict[Key, View]:
    return durable_views(queue.engine)


def reopened(opener: Opener, now_ns: int = BEGIN_NS) -> Iterator[Queue]:
    """The queue twice: what is replayed once, is replayed again."""
    for _ in range(2):
        queue = Queue(opener(), now_ns)
        yield queue
        queue.end()


# --- positions ------------------------------------------------------------------------------------


def test_positions_grow_and_are_confirmed_in_the_end(opener: Opener) -> None:
    queue = Queue(opener())
    position = durable = 0
    for count in range(300):
        for _ in range(count % 3):
            queue.put(bytes(count))
        last, position = position, queue.tick()
        assert position >= last
        assert durable <= queue.journal.durable <= position
        durable = queue.journal.durable
    queue.wait_for(position)
    queue.end()


def test_a_tick_without_changes_has_nothing_to_wait_for(opener: Opener) -> None:
    queue = Queue(opener())
    queue.put()
    queue.wait_for(queue.tick())
    position = queue.tick()
    assert queue.tick() == position
    assert queue.journal.durable == position
    queue.end()


def test_what_is_durable_can_be_confirmed_while_nothing_else_happens(opener: Opener) -> None:
    queue = Queue(opener())
    for _ in range(20):
        queue.put()
        queue.wait_for(queue.tick())
    queue.end()


# --- what comes back ------------------------------------------------------------------------------


def test_the_null_journal_keeps_nothing() -> None:
    opener = JOURNALS["null"][0](Path())
    queue = Queue(opener())
    queue.put()
    assert queue.tick() == queue.journal.durable
    queue.end()
    assert not Queue(opener()).engine.jobs


def test_every_state_comes_back(keeper: Opener) -> None:
    queue = Queue(keeper())
    ready, delayed, buried, released, kicked, deleted, held = (
        queue.put(b"%d" % n, b"mail", pri=n, delay_s=HOUR_S * (n == 1), ttr_s=n + 7)
        for n in range(7)
    )
    queue.tick()
    queue.bury(buried, pri=70)
    queue.release(released, pri=80, delay_s=2 * HOUR_S)
    queue.bury(kicked)
    queue.reserve(held)
    queue.tick()
    queue.kick(kicked)
    queue.delete(deleted)
    queue.pause(b"mail", HOUR_S)
    queue.tick()
    expected = views(queue)
    assert len(expected) == 7
    queue.end()
    for again in reopened(keeper):
        assert views(again) == expected
        jobs = again.engine.jobs
        assert again.is_paused(b"mail")
        assert [jobs[job.id].state for job in (ready, delayed, buried)] == [0, 1, 3]
        assert jobs[delayed.id].rank == BEGIN_NS + HOUR_S * NS_PER_S
        assert jobs[released.id].pri == 80
        assert (jobs[kicked.id].buries, jobs[kicked.id].kicks) == (1, 1)
        assert jobs[buried.id].reserves == 1
        assert jobs[buried.id].created_at_ns == BEGIN_NS
        assert jobs[held.id].state == 0


def test_what_became_due_meanwhile_is_due(keeper: Opener) -> None:
    queue = Queue(keeper())
    soon = queue.put(b"", b"mail", delay_s=10)
    later = queue.put(b"", b"mail", delay_s=100)
    queue.pause(b"mail", 20)
    queue.tick()
    queue.end()
    for again in reopened(keeper, BEGIN_NS + 50 * NS_PER_S):
        assert again.engine.jobs[soon.id].state == 0
        assert again.engine.jobs[later.id].time_left_ns(again.now_ns) == 50 * NS_PER_S
        assert not again.is_paused(b"mail")


def test_buried_jobs_keep_their_order(keeper: Opener) -> None:
    queue = Queue(keeper())
    jobs = [queue.put() for _ in range(20)]
    random.Random(1).shuffle(jobs)
    for job in jobs:
        queue.bury(job)
        queue.tick()
    queue.end()
    for again in reopened(keeper):
        assert list(again.session.use.buried) == [job.id for job in jobs]


def test_bodies_and_tubes_of_any_size(keeper: Opener) -> None:
    queue = Queue(keeper())
    chance = random.Random(1)
    sizes = [0, 1, 2, 17, 255, 256, SEGMENT_BYTES - 1, SEGMENT_BYTES, 3 * SEGMENT_BYTES, 1 << 20]
    bodies = {}
    for size in sizes:
        tube = b"t" * chance.choice([1, MAX_TUBE_NAME_BYTES])
        for body in (chance.randbytes(size), bytes(size), b"\r\n" * (size // 2)):
            bodies[queue.put(body, tube).id] = (tube, body)
        queue.tick()
    queue.end()
    for again in reopened(keeper):
        jobs = again.engine.jobs.values()
        assert {job.id: (job.tube.name, job.body) for job in jobs} == bodies


def test_ids_never_repeat(keeper: Opener) -> None:
    last = 0
    for _ in range(4):
        queue = Queue(keeper())
        job = queue.put()
        assert job.id > last
        queue.tick()
        queue.delete(job)
        queue.tick()
        last = queue.put().id
        queue.delete(queue.engine.jobs[last])  # it comes and goes within one tick
        queue.tick()
        queue.end()


def test_an_ended_pause_stays_ended(keeper: Opener) -> None:
    queue = Queue(keeper())
    for tube in (b"a", b"b"):
        queue.put(b"", tube)
        queue.pause(tube, HOUR_S)
    queue.tick()
    queue.pause(b"a", 0)
    queue.tick()
    queue.end()
    for again in reopened(keeper):
        assert [name for name in views(again) if isinstance(name, bytes)] == [b"b"]


def test_close_makes_everything_durable(keeper: Opener) -> None:
    queue = Queue(keeper())
    jobs = [queue.put() for _ in range(50)]
    position = queue.tick()
    queue.end()
    assert queue.journal.durable >= position
    again = Queue(keeper())
    assert set(again.engine.jobs) == {job.id for job in jobs}
    again.end()


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happened_comes_back(keeper: Opener, seed: int) -> None:
    load = Load(random.Random(seed), body_sizes=(0, 10, 300, 5000))
    now_ns = BEGIN_NS
    for _ in range(4):
        queue = Queue(keeper(), now_ns)
        load.begin(queue.engine, queue.journal)
        for _ in range(60):
            now_ns += NS_PER_S // 3
            load.now_ns = now_ns
            queue.engine.tick(now_ns)
            for _ in range(4):
                load.command()
            queue.tick()
        queue.engine.tick(now_ns)
        expected = views(queue)
        queue.wait_for(queue.tick())
        queue.end()
        for again in reopened(keeper, now_ns):
            assert views(again) == expected


def test_stats_tell_what_was_written(keeper: Opener) -> None:
    queue = Queue(keeper())
    facts = queue.journal.facts
    written = facts.records_written
    jobs = [queue.put(bytes(500)) for _ in range(50)]
    queue.tick()
    for job in jobs[1:]:
        queue.delete(job)
    queue.tick()
    assert facts.records_written - facts.records_migrated - written == 99
    assert 0 < facts.oldest_index <= facts.current_index
    queue.end()


# --- room -----------------------------------------------------------------------------------------


def test_there_is_room(opener: Opener) -> None:
    queue = Queue(opener())
    journal = queue.journal
    for _ in range(3):
        assert journal.admit_put(MAX_TUBE_NAME_BYTES, 1 << 20) == ADMITTED
        assert journal.admit_updates(1000) == ADMITTED
        assert journal.admit_deletes() == ADMITTED
        queue.put()
        queue.wait_for(queue.tick())
    queue.end()
