"""From durable facts back to a queue that can serve.

While facts come in, jobs only stand in `Engine.jobs`, in no place: most of what a long journal
says is overruled by what it says later. `finish` puts the survivors where they belong.
"""

from __future__ import annotations

from operator import attrgetter

from beanrow.engine.change import JobFacts, PauseFacts
from beanrow.engine.engine import Engine
from beanrow.engine.job import BURIED, DELAYED, GONE, NO_DETOURS, Job
from beanrow.engine.tube import Tube
from beanrow.protocol.limits import NS_PER_S


class Replay:
    """Fills an engine that has served nobody yet. Facts come in the order of their records."""

    __slots__ = ("_engine", "_last_order", "_pauses", "_tubes", "jobs", "last_job_id")

    def __init__(self, engine: Engine) -> None:
        assert not engine.jobs, "facts are replayed into an empty engine"
        self._engine = engine
        self._tubes: dict[bytes, Tube] = {}
        self._pauses: dict[bytes, PauseFacts] = {}
        self._last_order = 0
        #: What has survived so far, by id. For reading only.
        self.jobs = engine.jobs
        #: Ids go on after this one; whoever knows of a later one may raise it.
        self.last_job_id = 0

    def put(self, facts: JobFacts) -> Job:
        """A whole job. One that is known already is overruled; it stays the same object."""
        assert facts.tube is not None, "a record of a whole job"
        assert facts.body is not None, "a record of a whole job"
        job = self.jobs.get(facts.id)
        if job is None:
            tube = self._tubes.get(facts.tube)
            if tube is None:
                tube = self._tubes[facts.tube] = self._engine.restore_tube(facts.tube)
            job = Job(facts.id, tube, 0, 0, facts.ttr_s, facts.created_at_ns)
            job.body = facts.body
            self.jobs.add(job)
            if facts.id > self.last_job_id:
                self.last_job_id = facts.id
        self._set(job, facts)
        return job

    def update(self, facts: JobFacts) -> Job | None:
        """A job in another state. None: there is no such job."""
        job = self.jobs.get(facts.id)
        if job is not None:
            self._set(job, facts)
        return job

    def delete(self, job_id: int) -> Job | None:
        """A job is gone. None: there was none."""
        if job_id > self.last_job_id:
            self.last_job_id = job_id
        job = self.jobs.get(job_id)
        if job is not None:
            self.jobs.remove(job)
            job.state = GONE
        return job

    def pause(self, facts: PauseFacts) -> None:
        """A tube is paused, or is no longer."""
        if facts.pause_s:
            self._pauses[facts.tube] = facts
        else:
            self._pauses.pop(facts.tube, None)

    def finish(self, now_ns: int) -> None:
        """Let the queue begin: what became due meanwhile is due now.

        The clock of the machine may have been set back meanwhile: nothing is due later than it
        would be had it been delayed, or paused, just now.
        """
        engine = self._engine
        buried: list[Job] = []
        for job in self.jobs.values():
            if job.state == BURIED:
                buried.append(job)
            else:
                if job.state == DELAYED:
                    job.rank = min(job.rank, now_ns + job.delay_s * NS_PER_S)
                engine.restore(job)
        for job in sorted(buried, key=attrgetter("tie")):
            engine.restore(job)
        engine.restore_ids(self.last_job_id, self._last_order)
        for tube in self._tubes.values():
            engine.forget_unneeded(tube)
        # Only now: a tube may have been used, and paused, when its last job was deleted.
        for facts in self._pauses.values():
            until_ns = min(facts.until_ns, now_ns + facts.pause_s * NS_PER_S)
            engine.restore_pause(facts.tube, facts.pause_s, until_ns)
        engine.tick(now_ns)

    def _set(self, job: Job, facts: JobFacts) -> None:
        job.state = facts.state
        job.rank = facts.due_ns
        job.tie = facts.order
        job.pri = facts.pri
        job.delay_s = facts.delay_s
        job.reserves = facts.reserves
        if facts.timeouts or facts.releases or facts.buries or facts.kicks:
            detours = job.own_detours()
            detours.timeouts = facts.timeouts
            detours.releases = facts.releases
            detours.buries = facts.buries
            detours.kicks = facts.kicks
        else:
            job.detours = NO_DETOURS
        if facts.order > self._last_order:
            self._last_order = facts.order
