"""A job, its states, and the one table of how it moves between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from beanrow.engine.heap import OUTSIDE, HeapNode

if TYPE_CHECKING:
    from beanrow.engine.session import Session
    from beanrow.engine.tube import Tube

# Plain integers rather than an enum: they are compared on every command.
READY: Final = 0
DELAYED: Final = 1
RESERVED: Final = 2
BURIED: Final = 3

#: Before its put and after its delete a job is nowhere.
GONE: Final = 4

STATE_NAMES: Final = ("ready", "delayed", "reserved", "buried", "gone")

#: What may happen to a job: event -> state it is found in -> states it can be left in.
#: An event that finds a job in any other state answers NOT_FOUND and changes nothing. The engine
#: takes from it what can be kicked and reserved by id; the tests hold all its verbs to it.
#: RESERVED stands for "reserved by the session that asks", for everyone else it is not found.
TRANSITIONS: Final[dict[str, dict[int, tuple[int, ...]]]] = {
    # a producer's verbs
    "put": {GONE: (READY, DELAYED)},
    # a worker's verbs
    "reserve": {READY: (RESERVED,)},
    "reserve-job": {READY: (RESERVED,), DELAYED: (RESERVED,), BURIED: (RESERVED,)},
    "delete": {READY: (GONE,), DELAYED: (GONE,), RESERVED: (GONE,), BURIED: (GONE,)},
    "release": {RESERVED: (READY, DELAYED)},
    "bury": {RESERVED: (BURIED,)},
    "touch": {RESERVED: (RESERVED,)},
    # a maintainer's verbs
    "kick": {DELAYED: (READY,), BURIED: (READY,)},
    "kick-job": {DELAYED: (READY,), BURIED: (READY,)},
    # what time and the network do
    "delay passed": {DELAYED: (READY,)},
    "ttr passed": {RESERVED: (READY,)},
    "disconnect": {RESERVED: (READY,)},
}


class Job(HeapNode):
    """One job. Its ``id`` is unique for the life of a queue.

    ``rank`` (of `HeapNode`) is the priority while the job is ready, and while it is delayed
    or reserved the moment, in nanoseconds, at which that ends. ``tie`` is the id while it is
    ready; in the other states it tells who was so first. ``home`` belongs to the journal: where
    the record of this job is; None while there is none.
    """

    __slots__ = (
        "body",
        "buries",
        "created_at_ns",
        "delay_s",
        "holder",
        "home",
        "id",
        "kicks",
        "pri",
        "releases",
        "reserves",
        "state",
        "timeouts",
        "ttr_s",
        "tube",
    )

    def __init__(
        self, job_id: int, tube: Tube, pri: int, delay_s: int, ttr_s: int, now_ns: int
    ) -> None:
        # Not by way of super(): jobs are made at every put, and that doubles the price.
        self.id = job_id
        self.rank = 0
        self.tie = 0
        self.heap_index = OUTSIDE
        self.tube = tube
        self.body = b""
        self.pri = pri
        self.delay_s = delay_s
        self.ttr_s = ttr_s
        self.created_at_ns = now_ns
        self.state: int = GONE
        self.holder: Session | None = None
        self.home: object | None = None
        self.reserves = 0
        self.timeouts = 0
        self.releases = 0
        self.buries = 0
        self.kicks = 0

    def time_left_ns(self, now_ns: int) -> int:
        """How long the delay or the reservation still lasts; 0 in the other states."""
        if self.state == DELAYED or self.state == RESERVED:
            return max(0, self.rank - now_ns)
        return 0
