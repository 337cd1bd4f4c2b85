"""A tube: its jobs by state, and the sessions that wait for one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from beanrow.engine.heap import Heap, HeapNode
from beanrow.engine.job import Job

if TYPE_CHECKING:
    from beanrow.engine.session import Session


class Tube(HeapNode):
    """A named queue. As a `HeapNode` its ``rank`` is the moment at which it needs attention.

    ``buried`` and ``waiting`` are first in, first out, and lose members from the middle:
    an `OrderedDict` does both in O(1), which a plain dict does not (finding its first key
    walks over all that were removed before it).
    """

    __slots__ = (
        "buried",
        "delayed",
        "deletes",
        "id",
        "name",
        "pause_s",
        "paused",
        "pauses",
        "ready",
        "reserved",
        "total_jobs",
        "unpause_at_ns",
        "urgent",
        "using",
        "waiting",
        "watching",
    )

    def __init__(self, tube_id: int, name: bytes) -> None:
        super().__init__()
        self.id = tube_id
        self.name = name
        self.ready: Heap[Job] = Heap()
        self.delayed: Heap[Job] = Heap()
        self.buried: OrderedDict[int, Job] = OrderedDict()
        self.waiting: OrderedDict[Session, None] = OrderedDict()
        self.paused = False
        self.pause_s = 0
        self.unpause_at_ns = 0
        # Counters: how many sessions use and watch this tube, how many of its jobs are
        # reserved, how many ready ones are urgent; and what happened since it was made.
        self.using = 0
        self.watching = 0
        self.reserved = 0
        self.urgent = 0
        self.total_jobs = 0
        self.deletes = 0
        self.pauses = 0

    def is_needed(self) -> bool:
        """Whether a job is in it or a session uses or watches it; if not, it may vanish."""
        return bool(
            self.using
            or self.watching
            or self.reserved
            or self.ready.nodes
            or self.delayed.nodes
            or self.buried
        )


class TubeSet:
    """Tubes by name, listed in beanstalkd's order: one removed leaves its place to the last."""

    __slots__ = ("_places", "tubes")

    def __init__(self) -> None:
        #: The members in listing order. For reading only.
        self.tubes: list[Tube] = []
        self._places: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.tubes)

    def __iter__(self) -> Iterator[Tube]:
        return iter(self.tubes)

    def get(self, name: bytes) -> Tube | None:
        place = self._places.get(name)
        return None if place is None else self.tubes[place]

    def add(self, tube: Tube) -> bool:
        """Append a tube; False when it is a member already."""
        if tube.name in self._places:
            return False
        self._places[tube.name] = len(self.tubes)
        self.tubes.append(tube)
        return True

    def remove(self, tube: Tube) -> None:
        place = self._places.pop(tube.name)
        last = self.tubes.pop()
        if last is not tube:
            self.tubes[place] = last
            self._places[last.name] = place
