"""Durable facts: what the engine tells a journal, and what a journal tells the engine again.

A change going out is no more than the job or the tube that changed: what becomes durable is how
it stands at the end of the tick, so a journal reads it from there. A job that came and went
within one tick leaves nothing to write.

A change coming back is a `JobFacts` or a `PauseFacts`. Both say how something stands, not what
was done to it, so replaying one needs neither a clock nor what was before, and replaying it twice
does no harm.

What is not durable: a reserve, a touch, a time-out, the passing of a delay. A job whose last fact
says "ready" comes back ready, whoever held it.
"""

from __future__ import annotations

from beanrow.engine.job import Job
from beanrow.engine.tube import Tube


class Changes:
    """What has changed since a journal last took it, in order; whoever takes it calls `clear`."""

    __slots__ = ("jobs", "pauses")

    def __init__(self) -> None:
        #: A job whose state is `GONE` was deleted.
        self.jobs: list[Job] = []
        #: A tube that is not ``paused`` was, and is no more.
        self.pauses: list[Tube] = []

    def clear(self) -> None:
        self.jobs.clear()
        if self.pauses:
            self.pauses.clear()


class JobFacts:
    """How a job stood when a record of it was written.

    ``state`` is READY, DELAYED or BURIED. ``due_ns`` counts while it is delayed. ``order`` tells
    which of two buried jobs was buried first, and which of two delayed ones comes first when both
    are due at the same moment. ``tube`` and ``body`` are None in a record of a change of state,
    which stands on an earlier record of the whole job.
    """

    __slots__ = (
        "body",
        "buries",
        "created_at_ns",
        "delay_s",
        "due_ns",
        "id",
        "kicks",
        "order",
        "pri",
        "releases",
        "reserves",
        "state",
        "timeouts",
        "ttr_s",
        "tube",
    )

    def __init__(self, job_id: int) -> None:
        self.id = job_id
        self.tube: bytes | None = None
        self.body: bytes | None = None
        self.created_at_ns = 0
        self.ttr_s = 0
        self.state = 0
        self.pri = 0
        self.delay_s = 0
        self.due_ns = 0
        self.order = 0
        self.reserves = 0
        self.timeouts = 0
        self.releases = 0
        self.buries = 0
        self.kicks = 0


class PauseFacts:
    """That a tube was paused for so many seconds, until a moment; 0 seconds: no longer."""

    __slots__ = ("pause_s", "tube", "until_ns")

    def __init__(self, tube: bytes, pause_s: int, until_ns: int) -> None:
        self.tube = tube
        self.pause_s = pause_s
        self.until_ns = until_ns
