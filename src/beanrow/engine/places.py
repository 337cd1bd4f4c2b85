"""Where every job is, and who waits for one: the moves that all verbs are made of.

A job is in one place by its state: ready, delayed and buried ones in their tube, reserved ones in
the session that holds them. Whoever moves a job keeps the counters, and sees that the moment at
which it has to move again is filed.

A ready job and a session that waits for its tube never stay side by side: whoever comes second
finds the other. So a job that becomes ready looks only at the waiters of its own tube.
"""

from __future__ import annotations

from beanrow.engine.change import Changes
from beanrow.engine.job import BURIED, DELAYED, READY, RESERVED, Job
from beanrow.engine.session import NoJob, Session
from beanrow.engine.stats import Totals
from beanrow.engine.timers import NEVER_NS, Timers
from beanrow.engine.tube import Tube
from beanrow.protocol.limits import DEADLINE_MARGIN_NS, NS_PER_S, URGENT_THRESHOLD


class Places:
    """The moves of jobs between their places. The verbs on top of them are `Engine`."""

    def __init__(self) -> None:
        self.totals = Totals()
        #: What a journal has to be told.
        self.changes = Changes()
        #: Reserves that had to wait and now have their answer, oldest first.
        self.answers: list[tuple[Session, Job | NoJob]] = []
        self._timers = Timers()
        self._last_tie = 0

    # --- where a job is -----------------------------------------------------------------

    def _make_ready(self, job: Job, now_ns: int) -> None:
        tube = job.tube
        if tube.waiting and not tube.paused:
            self._hand_over(job, now_ns)
            return
        job.state = READY
        tube.ready.push(job, job.pri, job.id)
        if job.pri < URGENT_THRESHOLD:
            tube.urgent += 1
            self.totals.urgent += 1

    def _leave_ready(self, job: Job) -> None:
        tube = job.tube
        tube.ready.remove(job)
        if job.pri < URGENT_THRESHOLD:
            tube.urgent -= 1
            self.totals.urgent -= 1

    def _make_delayed(self, job: Job, now_ns: int) -> None:
        due_ns = now_ns + job.delay_s * NS_PER_S
        job.state = DELAYED
        self._last_tie += 1
        job.tube.delayed.push(job, due_ns, self._last_tie)
        self.totals.delayed += 1
        self._arm_tube(job.tube, due_ns)

    def _leave_delayed(self, job: Job) -> None:
        job.tube.delayed.remove(job)
        self.totals.delayed -= 1

    def _make_reserved(self, job: Job, session: Session, now_ns: int) -> None:
        deadline_ns = now_ns + job.ttr_s * NS_PER_S
        job.state = RESERVED
        job.holder = session
        job.reserves += 1
        self._last_tie += 1
        session.reserved.push(job, deadline_ns, self._last_tie)
        job.tube.reserved += 1
        self.totals.reserved += 1
        self._timers.arm(session, session.id, deadline_ns)

    def _leave_reserved(self, job: Job) -> None:
        assert job.holder is not None, "a reserved job has a holder"
        job.holder.reserved.remove(job)
        job.holder = None
        job.tube.reserved -= 1
        self.totals.reserved -= 1

    def _make_buried(self, job: Job) -> None:
        job.state = BURIED
        self._last_tie += 1
        job.tie = self._last_tie
        job.tube.buried[job.id] = job
        self.totals.buried += 1

    def _leave_buried(self, job: Job) -> None:
        buried = job.tube.buried
        del buried[job.id]
        if not buried:
            buried.clear()  # or it would keep the room for all that it ever held
        self.totals.buried -= 1

    def _leave(self, job: Job) -> None:
        if job.state == RESERVED:
            self._leave_reserved(job)
        elif job.state == READY:
            self._leave_ready(job)
        elif job.state == DELAYED:
            self._leave_delayed(job)
        else:
            self._leave_buried(job)

    def restore(self, job: Job) -> None:
        """Put a job from a journal where its state says; buried ones in their order.

        While it is delayed its ``rank`` and ``tie`` must be set already.
        """
        if job.state == DELAYED:
            job.tube.delayed.push(job, job.rank, job.tie)
            self.totals.delayed += 1
            self._arm_tube(job.tube, job.rank)
        elif job.state == BURIED:
            job.tube.buried[job.id] = job
            self.totals.buried += 1
        else:
            self._make_ready(job, 0)

    # --- who waits ----------------------------------------------------------------------

    def _start_waiting(self, session: Session, wait_until_ns: int) -> None:
        session.waiting = True
        session.wait_until_ns = wait_until_ns
        self.totals.waiting += 1
        for tube in session.watch.tubes:
            tube.waiting[session] = None
        self._arm_session(session)

    def _stop_waiting(self, session: Session) -> None:
        if session.waiting:
            session.waiting = False
            self.totals.waiting -= 1
            for tube in session.watch.tubes:
                del tube.waiting[session]

    def _answer(self, session: Session, answer: Job | NoJob) -> None:
        self._stop_waiting(session)
        self.answers.append((session, answer))

    def _hand_over(self, job: Job, now_ns: int) -> None:
        """Reserve a job for the session that has waited longest for its tube."""
        session = next(iter(job.tube.waiting))
        self._make_reserved(job, session, now_ns)
        self._answer(session, job)

    def _deadline_soon(self, session: Session, now_ns: int) -> bool:
        nodes = session.reserved.nodes
        return bool(nodes) and nodes[0].rank - DEADLINE_MARGIN_NS <= now_ns

    # --- moments ------------------------------------------------------------------------

    def _arm_tube(self, tube: Tube, due_ns: int) -> None:
        self._timers.arm(tube, tube.id, due_ns)

    def _arm_session(self, session: Session) -> None:
        due_ns = session.wait_until_ns if session.waiting else NEVER_NS
        if session.reserved.nodes:
            deadline_ns = session.reserved.nodes[0].rank
            if session.waiting:
                deadline_ns -= DEADLINE_MARGIN_NS
            due_ns = min(due_ns, deadline_ns)
        if due_ns != NEVER_NS:
            self._timers.arm(session, session.id, due_ns)
