"""What is replayed from records is the queue as it was, whatever happened before.

The machine of `test_engine` goes through its steps; beside it every change is encoded as a journal
would, and after each step all records so far are replayed into an engine of their own.
"""

from operator import attrgetter

from hypothesis.stateful import invariant, rule

from beanrow.engine.change import PauseFacts
from beanrow.engine.engine import Engine
from beanrow.engine.job import DELAYED, GONE, READY, RESERVED
from beanrow.engine.replay import Replay
from beanrow.journal import record
from beanrow.journal.scan import Scan
from beanrow.journal.segment import HEAD_BYTES
from tests.property.soundness import check_soundness
from tests.property.test_engine import Queue, in_heap_order, picks

SEED = 7
WRITTEN = object()

SAME_AFTER_REPLAY = attrgetter(
    *("id", "body", "pri", "delay_s", "ttr_s", "created_at_ns"),
    *("reserves", "timeouts", "releases", "buries", "kicks"),
)
#: What only a recorded change can change.
NEVER_UNRECORDED = attrgetter("pri", "delay_s", "releases", "buries", "kicks")


class JournalledQueue(Queue):
    """Every change goes into one long segment."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[bytes] = []
        #: What was last recorded of each job: counters of a reserve are not, for example.
        self.recorded: dict[int, tuple[object, ...]] = {}
        self.ids_put = 0

    def record_changes(self) -> None:
        for job in self.engine.changes.jobs:
            self.ids_put = max(self.ids_put, job.id)
            if job.state == GONE:
                self.records.append(record.encode_delete(job.id, SEED))
                self.recorded.pop(job.id, None)
                continue
            encode = record.encode_job if job.home is None else record.encode_state
            job.home = WRITTEN
            self.records.append(encode(job, SEED))
            self.recorded[job.id] = SAME_AFTER_REPLAY(job)
        for tube in self.engine.changes.pauses:
            facts = PauseFacts(tube.name, tube.pause_s if tube.paused else 0, tube.unpause_at_ns)
            self.records.append(record.encode_pause(facts, SEED))
        self.engine.changes.clear()

    def replayed(self) -> Engine:
        engine = Engine()
        replay = Replay(engine)
        data = b"\0" * HEAD_BYTES + b"".join(self.records) + b"\0" * 9
        scan = Scan(data, SEED, "all")
        while scan.next():
            match record.type_at(data, scan.offset):
                case record.JOB:
                    replay.put(record.decode_job(data, scan.offset, scan.size))
                case record.STATE:
                    assert replay.update(record.decode_state(data, scan.offset))
                case record.DELETE:
                    replay.delete(record.id_at(data, scan.offset))
                case record.PAUSE:
                    replay.pause(record.decode_pause(data, scan.offset, scan.size))
        assert scan.damages == []
        replay.finish(self.model.now_ns)
        return engine

    @rule(job_pick=picks)
    def take_back(self, job_pick: int) -> None:
        """A put that failed is undone, wherever its job has got to."""
        job_id = self.pick_job(job_pick)
        known = self.model.jobs.get(job_id)
        if known is not None:
            self.engine.take_back(job_id)
            # To all others it looks as if whoever holds it had deleted it.
            holder = next(iter(self.model.sessions), 0) if known.holder is None else known.holder
            deletes = {tube.name: tube.deletes for tube in self.model.tubes}
            assert self.model.delete(holder, job_id)
            for tube in self.model.tubes:
                tube.deletes = deletes[tube.name]
            self.happened("delete")

    @invariant()
    def replay_agrees(self) -> None:
        self.record_changes()
        engine = self.replayed()
        now_ns = self.model.now_ns
        assert set(engine.jobs) == set(self.engine.jobs)
        for job in self.engine.jobs.values():
            job_id = job.id
            again = engine.jobs[job_id]
            assert SAME_AFTER_REPLAY(again) == self.recorded[job_id]
            assert NEVER_UNRECORDED(again) == NEVER_UNRECORDED(job)
            assert again.tube.name == job.tube.name
            assert again.state == (READY if job.state == RESERVED else job.state)
            if job.state == DELAYED:
                assert again.rank == job.rank > now_ns
        for tube in self.engine.tubes:
            same = engine.tubes.get(tube.name)
            if same is None:
                assert not any(job.tube is tube for job in self.engine.jobs.values())
                assert not tube.paused or tube.unpause_at_ns <= now_ns
                continue
            assert list(same.buried) == list(tube.buried)
            assert in_heap_order(same.delayed.nodes) == in_heap_order(tube.delayed.nodes)
            assert (same.paused, same.pause_s) == (tube.paused, tube.pause_s)
            assert not tube.paused or same.unpause_at_ns == tube.unpause_at_ns
        paused = {tube.name for tube in self.engine.tubes if tube.paused}
        assert {tube.name for tube in engine.tubes if tube.paused} == paused
        check_soundness(engine, [])
        totals, before = engine.totals, self.engine.totals
        assert (totals.buried, totals.delayed, totals.reserved) == (
            before.buried,
            before.delayed,
            0,
        )
        assert new_id(engine) > self.ids_put


def new_id(engine: Engine) -> int:
    return engine.begin_put(engine.open_session(), 0, 0, 1, 0).id


TestReplay = JournalledQueue.TestCase
