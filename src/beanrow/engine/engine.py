"""The verbs of the queue, and what time does to it.

The strategy. Every job is in `Engine.jobs` by id and, by its state, in exactly one of the places
that `Places` looks after. Each verb takes the job out of its place and puts it into the next one,
as the table in `job` allows; so does time. No command ever walks over all tubes.

Time is an argument, in nanoseconds. Whatever waits for a moment is filed in `timers`: a tube for
its next delayed job or the end of its pause, a session for the deadline of a job or the end of
its reserve.

The engine calls nobody. A reserve that had to wait is answered through `Engine.answers`,
which the caller empties after every call that may have made a job ready, and after `tick`.
"""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from typing import Final

from beanrow.engine.job import GONE, RESERVED, TRANSITIONS, Job
from beanrow.engine.jobs import Jobs
from beanrow.engine.places import Places
from beanrow.engine.session import NoJob, Session
from beanrow.engine.tube import Tube, TubeSet
from beanrow.protocol.limits import DEFAULT_TUBE, NS_PER_S

KICKABLE: Final = frozenset(TRANSITIONS["kick-job"])
RESERVABLE: Final = frozenset(TRANSITIONS["reserve-job"])

#: So many jobs does one tick make ready, and a few more: of each tube and session for which the
#: moment has come at least one. The others are still due then, and clients are served in between.
MOVES_PER_TICK: Final = 1000

#: A session that holds no more jobs than this gives them back when it closes, not tick by tick.
RETURNED_AT_ONCE: Final = 100


class Engine(Places):
    """All jobs, tubes and sessions of one server.

    Every method that takes `now_ns` must be given times that never go back. Ids and times
    come back exactly as they were given; nothing here is rounded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.jobs = Jobs()
        self.tubes = TubeSet()
        self._last_job_id = 0
        self._last_tube_id = 0
        self._last_session_id = 0
        # Jobs still to be returned, of sessions that have closed.
        self._leaving: deque[Job] = deque()
        #: Every session begins with it, so it stays for ever.
        self._default = self._open_tube(DEFAULT_TUBE)

    # --- sessions -----------------------------------------------------------------------

    def open_session(self) -> Session:
        """A client came: it uses and watches the default tube."""
        self._last_session_id += 1
        session = Session(self._last_session_id, self._default)
        self._default.using += 1
        self._default.watching += 1
        self.totals.sessions += 1
        self.totals.total_sessions += 1
        return session

    def close_session(self, session: Session, now_ns: int) -> None:
        """A client left: its reserve is forgotten, its reserved jobs are ready again.

        If these are many, `tick` returns them, and until then nobody holds them.
        """
        self._stop_waiting(session)
        self._timers.disarm(session)
        session.is_closed = True
        # In the order in which it took them: that is who gets the next one if others wait.
        self._leaving.extend(sorted(session.reserved.nodes, key=attrgetter("tie")))
        if len(session.reserved.nodes) <= RETURNED_AT_ONCE:
            self._return_jobs(now_ns, RETURNED_AT_ONCE)
        while session.watch.tubes:
            tube = session.watch.tubes[0]
            session.watch.remove(tube)
            tube.watching -= 1
            self.forget_unneeded(tube)
        session.use.using -= 1
        self.forget_unneeded(session.use)
        self.totals.sessions -= 1
        self.totals.producers -= session.is_producer
        self.totals.workers -= session.is_worker

    def use(self, session: Session, name: bytes) -> None:
        """Puts of this session go to the named tube from now on."""
        tube = self._open_tube(name)
        tube.using += 1
        left = session.use
        session.use = tube
        left.using -= 1
        self.forget_unneeded(left)

    def watch(self, session: Session, name: bytes) -> int:
        """Reserve from the named tube too. Returns how many tubes are watched now."""
        tube = self._open_tube(name)
        if session.watch.add(tube):
            tube.watching += 1
        return len(session.watch)

    def ignore(self, session: Session, name: bytes) -> int:
        """Reserve from the named tube no more. Returns how many tubes are watched now.

        0 says that nothing changed because it was the only one watched.
        """
        tube = session.watch.get(name)
        if tube is not None:
            if len(session.watch) == 1:
                return 0
            session.watch.remove(tube)
            tube.watching -= 1
            self.forget_unneeded(tube)
        return len(session.watch)

    # --- the producer's verbs -----------------------------------------------------------

    def begin_put(self, session: Session, pri: int, delay_s: int, ttr_s: int, now_ns: int) -> Job:
        """A job with an id, for the tube that the session uses, which is not in the queue yet.

        An id taken is never given again, even if the body never comes. `delay_s` and `ttr_s`
        are whole seconds; a ttr of 0 becomes 1, so that no job can time out before its
        worker has read it.
        """
        if not session.is_producer:
            session.is_producer = True
            self.totals.producers += 1
        self._last_job_id += 1
        return Job(self._last_job_id, session.use, pri, delay_s, ttr_s or 1, now_ns)

    def finish_put(self, job: Job, body: bytes, now_ns: int) -> None:
        """Insert a job from `begin_put`; its delay begins now."""
        job.body = body
        self.jobs.add(job)
        self.totals.total_jobs += 1
        job.tube.total_jobs += 1
        if job.delay_s:
            self._make_delayed(job, now_ns)
        else:
            self._make_ready(job, now_ns)
        self.changes.jobs.append(job)

    # --- the worker's verbs -------------------------------------------------------------

    def reserve(self, session: Session, wait_until_ns: int, now_ns: int) -> Job | NoJob | None:
        """Take the first ready job of the watched tubes: by priority, then by id.

        Without one the session waits until `wait_until_ns` (`NEVER_NS`: for ever): the result
        is None and the answer comes through `answers`. It does not wait when that moment has
        come, nor when one of its own jobs is about to time out.
        """
        if not session.is_worker:
            self._note_worker(session)
        first: Job | None = None
        for tube in session.watch.tubes:
            if tube.ready.nodes and not tube.paused:
                job = tube.ready.nodes[0]
                if (
                    first is None
                    or job.rank < first.rank
                    or (job.rank == first.rank and job.id < first.id)
                ):
                    first = job
        if first is not None:
            self._leave_ready(first)
            self._make_reserved(first, session, now_ns)
            return first
        if self._deadline_soon(session, now_ns):
            return NoJob.DEADLINE_SOON
        if wait_until_ns <= now_ns:
            return NoJob.TIMED_OUT
        self._start_waiting(session, wait_until_ns)
        return None

    def reserve_job(self, session: Session, job_id: int, now_ns: int) -> Job | None:
        """Take this very job, whichever tube it is in; None when there is none to take."""
        job = self.jobs.get(job_id)
        if job is None or not (job.state in RESERVABLE or _is_abandoned(job)):
            return None
        if not session.is_worker:
            self._note_worker(session)
        if job.state in KICKABLE:  # it must not come back buried or delayed
            self.changes.jobs.append(job)
        self._leave(job)
        self._make_reserved(job, session, now_ns)
        return job

    def delete(self, session: Session, job_id: int) -> bool:
        """Remove a job for good: any that no other session holds. False: not found."""
        job = self.jobs.get(job_id)
        if job is None or (
            job.state == RESERVED and job.holder is not session and not _is_abandoned(job)
        ):
            return False
        job.tube.deletes += 1
        self._remove(job)
        return True

    def release(self, session: Session, job_id: int, pri: int, delay_s: int, now_ns: int) -> bool:
        """Give a job back, with a new priority and delay. False: not held by this session."""
        job = self._held(session, job_id)
        if job is None:
            return False
        self._leave_reserved(job)
        job.pri = pri
        job.delay_s = delay_s
        job.own_detours().releases += 1
        if delay_s:
            self._make_delayed(job, now_ns)
        else:
            self._make_ready(job, now_ns)
        self.changes.jobs.append(job)
        return True

    def bury(self, session: Session, job_id: int, pri: int) -> bool:
        """Put a job aside until it is kicked. False: not held by this session."""
        job = self._held(session, job_id)
        if job is None:
            return False
        self._leave_reserved(job)
        job.pri = pri
        job.own_detours().buries += 1
        self._make_buried(job)
        self.changes.jobs.append(job)
        return True

    def touch(self, session: Session, job_id: int, now_ns: int) -> bool:
        """Give the job its whole ttr again, from now. False: not held by this session."""
        job = self._held(session, job_id)
        if job is None:
            return False
        session.reserved.move(job, now_ns + job.ttr_s * NS_PER_S)
        return True

    # --- the maintainer's verbs ---------------------------------------------------------

    def kick(self, session: Session, bound: int, now_ns: int) -> int:
        """Make buried jobs of the used tube ready, the first buried first; if there are none,
        delayed ones, the next due first. At most `bound`; returns how many."""
        tube = session.use
        kicks_buried = bool(tube.buried)
        kicked = 0
        while kicked < bound and (tube.buried if kicks_buried else tube.delayed.nodes):
            job = next(iter(tube.buried.values())) if kicks_buried else tube.delayed.nodes[0]
            self._kick(job, now_ns)
            kicked += 1
        return kicked

    def kick_job(self, job_id: int, now_ns: int) -> bool:
        """Make one buried or delayed job ready. False: there is none of that id."""
        job = self.jobs.get(job_id)
        if job is None or job.state not in KICKABLE:
            return False
        self._kick(job, now_ns)
        return True

    def pause(self, name: bytes, pause_s: int, now_ns: int) -> bool:
        """Let no job of a tube be reserved for so many seconds. False: no such tube."""
        tube = self.tubes.get(name)
        if tube is None:
            return False
        tube.pauses += 1
        tube.paused = True
        tube.pause_s = pause_s
        tube.unpause_at_ns = now_ns + pause_s * NS_PER_S
        if pause_s:
            self._arm_tube(tube, tube.unpause_at_ns)
            self.changes.pauses.append(tube)
        else:
            self._unpause(tube, now_ns)
        return True

    # --- time ---------------------------------------------------------------------------

    def next_tick_ns(self) -> int:
        """The moment at which `tick` may next have something to do; `NEVER_NS` if none."""
        return 0 if self._leaving else self._timers.next_ns()

    def tick(self, now_ns: int) -> None:
        """Do what is due: delays, pauses, ttrs, the end of waiting.

        If that is very much, some of it is left, and `next_tick_ns` is not later than now.

        Tubes come first, so that a job which is due when a wait ends still goes to it, however
        late this call is, and though a session may be filed under an earlier moment than its own.
        """
        if self.next_tick_ns() > now_ns:
            return
        tubes: list[Tube] = []
        sessions: list[Session] = []
        while (node := self._timers.take(now_ns)) is not None:
            if isinstance(node, Tube):
                tubes.append(node)
            elif isinstance(node, Session):
                sessions.append(node)
        moves_left = MOVES_PER_TICK
        for tube in tubes:
            moves_left -= self._tick_tube(tube, now_ns, max(1, moves_left))
        for session in sessions:
            moves_left -= self._tick_session(session, now_ns, max(1, moves_left))
        self._return_jobs(now_ns, max(1, moves_left))

    # Each of these makes so many jobs ready at most, and returns how many they were.

    def _tick_tube(self, tube: Tube, now_ns: int, most: int) -> int:
        delayed = tube.delayed
        moved = 0
        while moved < most and delayed.nodes and delayed.nodes[0].rank <= now_ns:
            moved += 1
            job = delayed.nodes[0]
            self._leave_delayed(job)
            self._make_ready(job, now_ns)
        if tube.paused and tube.unpause_at_ns <= now_ns:
            self._unpause(tube, now_ns)
            self.forget_unneeded(tube)  # a pause from a journal may be all that it had
        if delayed.nodes:
            self._arm_tube(tube, delayed.nodes[0].rank)
        if tube.paused:
            self._arm_tube(tube, tube.unpause_at_ns)
        return moved

    def _tick_session(self, session: Session, now_ns: int, most: int) -> int:
        if session.waiting:
            if self._deadline_soon(session, now_ns):
                self._answer(session, NoJob.DEADLINE_SOON)
            elif session.wait_until_ns <= now_ns:
                self._answer(session, NoJob.TIMED_OUT)
        reserved = session.reserved
        moved = 0
        while moved < most and reserved.nodes and reserved.nodes[0].rank <= now_ns:
            moved += 1
            job = reserved.nodes[0]
            self._leave_reserved(job)
            job.own_detours().timeouts += 1
            self.totals.timeouts += 1
            self._make_ready(job, now_ns)
        self._arm_session(session)
        return moved

    def _return_jobs(self, now_ns: int, most: int) -> int:
        moved = 0
        while moved < most and self._leaving:
            job = self._leaving.popleft()
            if _is_abandoned(job):  # somebody may have deleted or reserved it meanwhile
                moved += 1
                self._leave_reserved(job)
                self._make_ready(job, now_ns)
        return moved

    def _unpause(self, tube: Tube, now_ns: int) -> None:
        tube.paused = False
        tube.pause_s = 0
        self.changes.pauses.append(tube)
        while tube.waiting and tube.ready.nodes:
            job = tube.ready.nodes[0]
            self._leave_ready(job)
            self._hand_over(job, now_ns)

    def stop_waiting(self, session: Session) -> None:
        """End a reserve that waits, as if its time had passed (its client sends no more)."""
        if session.waiting:
            self._answer(session, NoJob.TIMED_OUT)

    # --- what verbs share ---------------------------------------------------------------

    def _held(self, session: Session, job_id: int) -> Job | None:
        job = self.jobs.get(job_id)
        return job if job is not None and job.holder is session else None

    def _kick(self, job: Job, now_ns: int) -> None:
        self._leave(job)
        job.own_detours().kicks += 1
        self._make_ready(job, now_ns)
        self.changes.jobs.append(job)

    def _remove(self, job: Job) -> None:
        self._leave(job)
        job.state = GONE
        self.jobs.remove(job)
        self.changes.jobs.append(job)
        self.forget_unneeded(job.tube)

    def _note_worker(self, session: Session) -> None:
        session.is_worker = True
        self.totals.workers += 1

    # --- what a journal knows -----------------------------------------------------------

    def take_back(self, job_id: int) -> None:
        """Undo a put that could not be made durable, whatever has become of its job."""
        job = self.jobs.get(job_id)
        if job is not None:
            self._remove(job)

    def restore_tube(self, name: bytes) -> Tube:
        """A tube for jobs from a journal; `forget_unneeded` when none of them is left."""
        return self._open_tube(name)

    def restore_ids(self, last_job_id: int, last_order: int) -> None:
        """Go on after the last id, and the last place in an order, that a journal has seen."""
        self._last_job_id = last_job_id
        self._last_tie = last_order

    def restore_pause(self, name: bytes, pause_s: int, until_ns: int) -> None:
        """A tube is still paused. It stays until the pause ends, though nobody may use it yet."""
        tube = self._open_tube(name)
        tube.paused = True
        tube.pause_s = pause_s
        tube.unpause_at_ns = until_ns
        self._arm_tube(tube, until_ns)

    # --- tubes --------------------------------------------------------------------------

    def _open_tube(self, name: bytes) -> Tube:
        tube = self.tubes.get(name)
        if tube is None:
            self._last_tube_id += 1
            tube = Tube(self._last_tube_id, name)
            self.tubes.add(tube)
        return tube

    def forget_unneeded(self, tube: Tube) -> None:
        """Let a tube vanish, and its pause with it, once no job and no session needs it."""
        if tube is not self._default and not tube.is_needed():
            self.tubes.remove(tube)
            self._timers.disarm(tube)
            if tube.paused:
                tube.paused = False
                self.changes.pauses.append(tube)


def _is_abandoned(job: Job) -> bool:
    """Whether a reserved job only waits to be returned: its session has closed."""
    return job.holder is not None and job.holder.is_closed
