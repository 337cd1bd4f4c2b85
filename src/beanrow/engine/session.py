"""What the engine knows of one client: the tubes it uses and watches, the jobs it holds."""

from __future__ import annotations

import enum

from beanrow.engine.heap import Heap, HeapNode
from beanrow.engine.job import Job
from beanrow.engine.timers import NEVER_NS
from beanrow.engine.tube import Tube, TubeSet


class NoJob(enum.Enum):
    """Why a reserve ended without a job."""

    TIMED_OUT = "TIMED_OUT"
    DEADLINE_SOON = "DEADLINE_SOON"


class Session(HeapNode):
    """One client. As a `HeapNode` its ``rank`` is the moment at which it needs attention.

    While ``waiting``, a reserve of this client is unanswered, until ``wait_until_ns`` at most.
    ``putting`` is the job whose body this client has begun to send.
    """

    __slots__ = (
        "id",
        "is_closed",
        "is_producer",
        "is_worker",
        "putting",
        "reserved",
        "use",
        "wait_until_ns",
        "waiting",
        "watch",
    )

    def __init__(self, session_id: int, tube: Tube) -> None:
        super().__init__()
        self.id = session_id
        self.use = tube
        self.watch = TubeSet()
        self.watch.add(tube)
        self.reserved: Heap[Job] = Heap()
        self.waiting = False
        self.wait_until_ns = NEVER_NS
        self.putting: Job | None = None
        self.is_closed = False
        self.is_producer = False
        self.is_worker = False
