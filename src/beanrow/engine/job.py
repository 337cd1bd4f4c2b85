"""A job, its states, and the one table of how it moves between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from beanrow.engine.heap import OUTSIDE, HeapNode
from beanrow.native import i64, mypyc_attr, u8

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


@mypyc_attr(acyclic=True)
class Detours:
    """How often a job came back, one way or another, instead of being deleted."""

    __slots__ = ("buries", "kicks", "releases", "timeouts")

    def __init__(self) -> None:
        self.timeouts: i64 = 0
        self.releases: i64 = 0
        self.buries: i64 = 0
        self.kicks: i64 = 0


#: Most jobs make none, and share these.
NO_DETOURS: Final = Detours()


@mypyc_attr(acyclic=True)
class Job(HeapNode):
    """One job. Its ``id`` is unique for the life of a queue.

    ``rank`` (of `HeapNode`) is the priority while the job is ready, and while it is delayed
    or reserved the moment, in nanoseconds, at which that ends. ``tie`` is the id while it is
    ready; in the other states it tells who was so first. ``home`` belongs to the journal: where
    the record of this job is; None while there is none. ``next`` belongs to `Jobs`.

    A million of them should be cheap, so their size is looked after: numbers stand in the order in
    which they leave no gaps, and what most jobs never need is in `Detours`. And they are nothing to
    the cycle collector (*acyclic*), which takes its share of an object too. That is allowed because
    whoever lets go of a job takes it out of all that it refers to and that refers to it.
    """

    __slots__ = (
        "body",
        "created_at_ns",
        "delay_s",
        "detours",
        "holder",
        "home",
        "id",
        "next",
        "pri",
        "reserves",
        "state",
        "ttr_s",
        "tube",
    )

    def __init__(
        self, job_id: int, tube: Tube, pri: int, delay_s: int, ttr_s: int, now_ns: int
    ) -> None:
        # Not by way of super(): jobs are made at every put, and that doubles the price.
        self.rank = 0
        self.tie = 0
        self.heap_index = OUTSIDE
        self.state: u8 = GONE
        self.id: i64 = job_id
        self.tube = tube
        self.body = b""
        self.pri: i64 = pri
        self.delay_s: i64 = delay_s
        self.ttr_s: i64 = ttr_s
        self.created_at_ns: i64 = now_ns
        self.holder: Session | None = None
        self.home: object | None = None
        self.reserves: i64 = 0
        self.next: Job | None = None
        self.detours = NO_DETOURS

    def own_detours(self) -> Detours:
        """Its detours, to be counted on."""
        if self.detours is NO_DETOURS:
            self.detours = Detours()
        return self.detours

    @property
    def timeouts(self) -> int:
        return self.detours.timeouts

    @property
    def releases(self) -> int:
        return self.detours.releases

    @property
    def buries(self) -> int:
        return self.detours.buries

    @property
    def kicks(self) -> int:
        return self.detours.kicks

    def time_left_ns(self, now_ns: int) -> int:
        """How long the delay or the reservation still lasts; 0 in the other states."""
        if self.state == DELAYED or self.state == RESERVED:
            return max(0, self.rank - now_ns)
        return 0
