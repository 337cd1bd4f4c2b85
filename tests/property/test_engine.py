"""The engine does what the model does, whatever happens in whatever order.

Time is virtual. It never jumps over a moment at which the engine says it has something to do
while anyone waits, as a server does not either.
"""

from collections.abc import Iterable
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from beanrow.engine.engine import Engine
from beanrow.engine.job import STATE_NAMES, Job
from beanrow.engine.session import NoJob, Session
from beanrow.engine.timers import NEVER_NS
from beanrow.engine.tube import Tube
from tests.property.model import Answer, Model, ModelJob, S
from tests.property.soundness import check_soundness, check_transitions, states_of

TUBES: Final = ["default", "a", "b", "c"]
MOST_SESSIONS: Final = 5

tubes = st.sampled_from(TUBES)
pris = st.sampled_from([0, 1, 1023, 1024, 2**32 - 1])
# Short times meet each other often.
delays_s = st.sampled_from([0, 0, 1, 2, 3])
ttrs_s = st.sampled_from([0, 1, 2, 3, 100])
timeouts_s = st.sampled_from([None, 0, 1, 2, 3])
odd_times_ns = st.integers(1, 3 * S)

#: What a job of the model has under the name that it has in the engine.
SAME_IN_JOBS: Final = (
    *("id", "body", "pri", "delay_s", "ttr_s"),
    *("reserves", "timeouts", "releases", "buries", "kicks"),
)

# Which session, and which job, out of those that there are.
picks = st.integers(0, 100)


class Queue(RuleBasedStateMachine):
    """Every rule does one thing to both; the invariants compare them after each."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine()
        self.model = Model()
        self.sessions: dict[int, Session] = {}
        self.putting: dict[int, tuple[Job, ModelJob]] = {}
        self.states: dict[int, tuple[int, int]] = {}

    @initialize()
    def open_two(self) -> None:
        self.open_session()
        self.open_session()

    # --- who acts on what ---------------------------------------------------------------

    def free_sessions(self) -> list[int]:
        """Those that may say something: they neither wait nor owe a body."""
        return [n for n in self.sessions if n not in self.model.waiting and n not in self.putting]

    def pick_session(self, pick: int) -> tuple[int, Session]:
        free = self.free_sessions()
        number = free[pick % len(free)]
        return number, self.sessions[number]

    def pick_job(self, pick: int) -> int:
        """Any id that was given, and one that was not."""
        return 1 + pick % (self.model.ids_given + 1)

    def someone_is_free(self) -> bool:
        return bool(self.free_sessions())

    # --- sessions -----------------------------------------------------------------------

    @precondition(lambda self: len(self.sessions) < MOST_SESSIONS)
    @rule()
    def open_session(self) -> None:
        self.sessions[self.model.open_session()] = self.engine.open_session()

    @precondition(lambda self: self.sessions)
    @rule(pick=picks)
    def close_session(self, pick: int) -> None:
        number = list(self.sessions)[pick % len(self.sessions)]
        self.engine.close_session(self.sessions[number], self.model.now_ns)
        self.model.close_session(number)
        # The body of a put that was under way never comes.
        self.putting.pop(number, None)
        self.happened("disconnect")
        del self.sessions[number]

    @precondition(someone_is_free)
    @rule(pick=picks, name=tubes)
    def use(self, pick: int, name: str) -> None:
        number, session = self.pick_session(pick)
        self.engine.use(session, name.encode())
        self.model.use(number, name)

    @precondition(someone_is_free)
    @rule(pick=picks, name=tubes)
    def watch(self, pick: int, name: str) -> None:
        number, session = self.pick_session(pick)
        assert self.engine.watch(session, name.encode()) == self.model.watch(number, name)

    @precondition(someone_is_free)
    @rule(pick=picks, name=tubes)
    def ignore(self, pick: int, name: str) -> None:
        number, session = self.pick_session(pick)
        assert self.engine.ignore(session, name.encode()) == self.model.ignore(number, name)

    # --- producing ----------------------------------------------------------------------

    @precondition(someone_is_free)
    @rule(pick=picks, pri=pris, delay_s=delays_s, ttr_s=ttrs_s)
    def begin_put(self, pick: int, pri: int, delay_s: int, ttr_s: int) -> None:
        number, session = self.pick_session(pick)
        job = self.engine.begin_put(session, pri, delay_s, ttr_s, self.model.now_ns)
        self.putting[number] = job, self.model.begin_put(number, pri, delay_s, ttr_s)

    @precondition(lambda self: self.putting)
    @rule(pick=picks, body=st.binary(max_size=3))
    def finish_put(self, pick: int, body: bytes) -> None:
        number = list(self.putting)[pick % len(self.putting)]
        job, model_job = self.putting.pop(number)
        assert job.id == model_job.id
        self.engine.finish_put(job, body, self.model.now_ns)
        self.model.finish_put(model_job, body)
        self.happened("put")

    @precondition(someone_is_free)
    @rule(pick=picks, pri=pris, delay_s=delays_s, ttr_s=ttrs_s)
    def put(self, pick: int, pri: int, delay_s: int, ttr_s: int) -> None:
        number, _ = self.pick_session(pick)
        self.begin_put(self.free_sessions().index(number), pri, delay_s, ttr_s)
        self.finish_put(list(self.putting).index(number), b"x")

    # --- working ------------------------------------------------------------------------

    @precondition(someone_is_free)
    @rule(pick=picks, timeout_s=timeouts_s)
    def reserve(self, pick: int, timeout_s: int | None) -> None:
        number, session = self.pick_session(pick)
        now_ns = self.model.now_ns
        until_ns = NEVER_NS if timeout_s is None else now_ns + timeout_s * S
        answer = self.engine.reserve(session, until_ns, now_ns)
        expected = self.model.reserve(number, timeout_s)
        assert (None if answer is None else plain(answer)) == expected
        self.happened("reserve")

    @precondition(someone_is_free)
    @rule(pick=picks, job_pick=picks)
    def reserve_job(self, pick: int, job_pick: int) -> None:
        number, session = self.pick_session(pick)
        job_id = self.pick_job(job_pick)
        job = self.engine.reserve_job(session, job_id, self.model.now_ns)
        assert (job and job.id) == self.model.reserve_job(number, job_id)
        self.happened("reserve-job")

    @precondition(someone_is_free)
    @rule(pick=picks, pri=pris, ttr_s=ttrs_s)
    def put_and_take(self, pick: int, pri: int, ttr_s: int) -> None:
        """So that sessions often hold several jobs."""
        number, _ = self.pick_session(pick)
        self.put(pick, pri, 3, ttr_s)
        self.reserve_job(self.free_sessions().index(number), self.model.ids_given - 1)

    @precondition(someone_is_free)
    @rule(pick=picks, job_pick=picks)
    def delete(self, pick: int, job_pick: int) -> None:
        number, session = self.pick_session(pick)
        job_id = self.pick_job(job_pick)
        assert self.engine.delete(session, job_id) == self.model.delete(number, job_id)
        self.happened("delete")

    @precondition(someone_is_free)
    @rule(pick=picks, job_pick=picks, pri=pris, delay_s=delays_s)
    def release(self, pick: int, job_pick: int, pri: int, delay_s: int) -> None:
        number, session = self.pick_session(pick)
        job_id = self.pick_job(job_pick)
        released = self.engine.release(session, job_id, pri, delay_s, self.model.now_ns)
        assert released == self.model.release(number, job_id, pri, delay_s)
        self.happened("release")

    @precondition(someone_is_free)
    @rule(pick=picks, job_pick=picks, pri=pris)
    def bury(self, pick: int, job_pick: int, pri: int) -> None:
        number, session = self.pick_session(pick)
        job_id = self.pick_job(job_pick)
        assert self.engine.bury(session, job_id, pri) == self.model.bury(number, job_id, pri)
        self.happened("bury")

    @precondition(someone_is_free)
    @rule(pick=picks, job_pick=picks)
    def touch(self, pick: int, job_pick: int) -> None:
        number, session = self.pick_session(pick)
        job_id = self.pick_job(job_pick)
        touched = self.engine.touch(session, job_id, self.model.now_ns)
        assert touched == self.model.touch(number, job_id)
        self.happened("touch")

    # --- mending ------------------------------------------------------------------------

    @precondition(someone_is_free)
    @rule(pick=picks, bound=st.sampled_from([0, 1, 2, 2**32 - 1]))
    def kick(self, pick: int, bound: int) -> None:
        number, session = self.pick_session(pick)
        kicked = self.engine.kick(session, bound, self.model.now_ns)
        assert kicked == self.model.kick(number, bound)
        self.happened("kick")

    @rule(job_pick=picks)
    def kick_job(self, job_pick: int) -> None:
        job_id = self.pick_job(job_pick)
        kicked = self.engine.kick_job(job_id, self.model.now_ns)
        assert kicked == self.model.kick_job(job_id)
        self.happened("kick-job")

    @rule(name=tubes, pause_s=delays_s)
    def pause(self, name: str, pause_s: int) -> None:
        paused = self.engine.pause(name.encode(), pause_s, self.model.now_ns)
        assert paused == self.model.pause(name, pause_s)
        self.happened("reserve")

    @precondition(lambda self: self.sessions)
    @rule(pick=picks)
    def stop_waiting(self, pick: int) -> None:
        number = list(self.sessions)[pick % len(self.sessions)]
        self.engine.stop_waiting(self.sessions[number])
        self.model.stop_waiting(number)

    # --- time ---------------------------------------------------------------------------

    @rule(span_ns=odd_times_ns)
    def let_time_pass(self, span_ns: int) -> None:
        self.go_to(self.model.now_ns + span_ns)

    @precondition(lambda self: any(self.model.due_moments()))
    @rule(pick=picks, off_ns=st.sampled_from([-1, 0, 1]))
    def let_time_pass_to_a_moment_that_matters(self, pick: int, off_ns: int) -> None:
        moments = sorted(set(self.model.due_moments()))
        self.go_to(max(self.model.now_ns, moments[pick % min(3, len(moments))] + off_ns))

    @precondition(lambda self: not self.model.waiting)
    @rule(span_ns=odd_times_ns)
    def wake_up_late(self, span_ns: int) -> None:
        """While no one waits, it does not matter in how many steps time goes by."""
        self.tick(self.model.now_ns + span_ns)

    def go_to(self, target_ns: int) -> None:
        while (moment_ns := self.engine.next_tick_ns()) < target_ns:
            self.tick(moment_ns)
            self.agree()
        self.tick(target_ns)

    def tick(self, now_ns: int) -> None:
        self.engine.tick(now_ns)
        self.model.tick(now_ns)
        self.happened("delay passed", "ttr passed", "reserve")

    # --- what must hold -----------------------------------------------------------------

    def happened(self, *events: str) -> None:
        """Nothing but these events may have changed the state of a job since last time."""
        now = states_of(self.engine)
        check_transitions(self.states, now, events)
        self.states = now

    @invariant()
    def agree(self) -> None:
        self.compare_answers()
        self.compare_jobs()
        self.compare_tubes()
        self.compare_sessions()
        self.compare_totals()
        assert self.model.now_ns < self.engine.next_tick_ns() <= self.model.next_due_ns()
        check_soundness(self.engine, list(self.sessions.values()))

    def compare_answers(self) -> None:
        number_of = {session: number for number, session in self.sessions.items()}
        answers = [(number_of[session], plain(answer)) for session, answer in self.engine.answers]
        assert answers == self.model.answers
        self.engine.answers.clear()
        self.model.answers.clear()

    def compare_jobs(self) -> None:
        assert set(self.engine.jobs) == self.model.jobs.keys()
        now_ns = self.model.now_ns
        for job_id, model_job in self.model.jobs.items():
            job = self.engine.jobs[job_id]
            for name in SAME_IN_JOBS:
                assert getattr(job, name) == getattr(model_job, name), name
            assert STATE_NAMES[job.state] == model_job.state
            assert job.tube.name.decode() == model_job.tube
            assert job.created_at_ns == model_job.created_ns
            assert job.time_left_ns(now_ns) == model_job.time_left_ns(now_ns)
            holder = model_job.holder
            assert job.holder is (None if holder is None else self.sessions[holder])

    def compare_tubes(self) -> None:
        model = self.model
        assert names(self.engine.tubes) == [tube.name for tube in model.tubes]
        for tube, model_tube in zip(self.engine.tubes, model.tubes, strict=True):
            name = model_tube.name
            ready = model.jobs_in("ready", name)
            assert in_heap_order(tube.ready.nodes) == [job.id for job in ready]
            assert tube.urgent == sum(job.pri < 1024 for job in ready)
            delayed = model.jobs_in("delayed", name)
            assert in_heap_order(tube.delayed.nodes) == [job.id for job in delayed]
            assert list(tube.buried) == model_tube.buried
            assert tube.reserved == len(model.jobs_in("reserved", name))
            assert tube.using == sum(s.use == name for s in model.sessions.values())
            assert tube.watching == sum(name in s.watch for s in model.sessions.values())
            assert list(tube.waiting) == [
                self.sessions[n] for n in model.waiting if name in model.sessions[n].watch
            ]
            assert tube.total_jobs == model_tube.total_jobs
            assert tube.deletes == model_tube.deletes
            assert tube.pauses == model_tube.pauses
            assert tube.paused == (model_tube.unpause_ns is not None)
            assert tube.pause_s == model_tube.pause_s
            assert not tube.paused or tube.unpause_at_ns == model_tube.unpause_ns

    def compare_sessions(self) -> None:
        assert self.sessions.keys() == self.model.sessions.keys()
        for number, model_session in self.model.sessions.items():
            session = self.sessions[number]
            assert session.use.name.decode() == model_session.use
            assert names(session.watch) == model_session.watch
            assert session.waiting == (model_session.wait_until_ns is not None)
            held = [job for job in self.model.jobs_in("reserved") if job.holder == number]
            assert in_heap_order(session.reserved.nodes) == [job.id for job in held]

    def compare_totals(self) -> None:
        totals, model = self.engine.totals, self.model
        sessions = list(model.sessions.values())
        assert totals.urgent == sum(job.pri < 1024 for job in model.jobs_in("ready"))
        assert totals.reserved == len(model.jobs_in("reserved"))
        assert totals.delayed == len(model.jobs_in("delayed"))
        assert totals.buried == len(model.jobs_in("buried"))
        assert totals.sessions == len(sessions)
        assert totals.producers == sum(session.is_producer for session in sessions)
        assert totals.workers == sum(session.is_worker for session in sessions)
        assert totals.waiting == len(model.waiting)
        assert totals.total_jobs == model.total_jobs
        assert totals.total_sessions == model.sessions_opened
        assert totals.timeouts == model.timeouts


def plain(answer: Job | NoJob) -> Answer:
    return answer.id if isinstance(answer, Job) else answer.value


def names(tubes_in_order: Iterable[Tube]) -> list[str]:
    return [tube.name.decode() for tube in tubes_in_order]


def in_heap_order(nodes: list[Job]) -> list[int]:
    """The ids of a heap's nodes as they would come out of it."""
    return [job.id for job in sorted(nodes, key=lambda job: (job.rank, job.tie))]


TestQueue = Queue.TestCase
