"""What a server asks of a journal, and the journal that keeps nothing.

The strategy. In a tick the server asks `admit…` before each command that would make a change, and
refuses those for which there is no room. At the end of the tick it hands over what has changed
(`append`), asks for it to be made durable (`commit`), and is told a **position**: the reply to a
command may leave as soon as `durable` has reached the position of its tick. That may be at once,
or many ticks later, when a thread or another machine has confirmed it; the journal then wakes the
loop. Positions only grow, and confirm everything before them.

When a journal cannot do what it was asked, `trouble` says why, and the replies that wait will
never be confirmed: the server answers INTERNAL_ERROR in their place and takes the puts back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from beanrow.engine.change import Changes
from beanrow.engine.job import Job
from beanrow.engine.replay import Replay
from beanrow.native import mypyc_attr

# What `admit…` answers.
ADMITTED: Final = 0
#: No room now; there may be later. The wire says OUT_OF_MEMORY.
FULL: Final = 1
#: The journal is in trouble. The wire says INTERNAL_ERROR.
BROKEN: Final = 2

#: "For ever", in nanoseconds.
NEVER_NS: Final = (1 << 62) - 1


class JournalFacts:
    """What the stats document tells of a journal: the ``binlog-…`` keys."""

    __slots__ = ("current_index", "oldest_index", "records_migrated", "records_written")

    def __init__(self) -> None:
        #: The numbers of the oldest segment that is still there, and of the one written to.
        self.oldest_index = 0
        self.current_index = 0
        #: Records written since the start, and those of them that only moved to another segment.
        self.records_written = 0
        self.records_migrated = 0


@mypyc_attr(allow_interpreted_subclasses=True)  # the tests have one
class Journal(ABC):
    """Keeps the changes of one engine."""

    def __init__(self) -> None:
        #: Everything up to this position is durable, as far as the policy asks for it.
        self.durable = 0
        #: Why changes cannot be made durable now; empty while they can.
        self.trouble = ""
        self.facts = JournalFacts()

    @abstractmethod
    def replay(self, target: Replay, wake: Callable[[], None]) -> None:
        """Give back all that is durable, and be ready for `append`. Called once, first.

        ``wake`` is safe in any thread; the journal calls it when `durable` or `trouble` has
        changed by itself. Raises `JournalError` when the journal cannot be used.
        """

    @abstractmethod
    def admit_put(self, tube_bytes: int, body_bytes: int) -> int:
        """Whether one more job with a tube name and a body of these lengths can be kept."""

    @abstractmethod
    def admit_updates(self, count: int) -> int:
        """Whether so many jobs or tubes may change their state."""

    @abstractmethod
    def admit_deletes(self) -> int:
        """Whether jobs may be deleted. There is always room for that."""

    def segment_of(self, job: Job) -> int:
        """The number of the segment that keeps a job; 0 when none does."""
        return 0

    @abstractmethod
    def append(self, changes: Changes) -> None:
        """Take what has changed, and clear it."""

    @abstractmethod
    def commit(self) -> int:
        """Ask for all that was appended to be made durable; returns its position.

        Called at the end of every tick, also of one that changed nothing.
        """

    @abstractmethod
    def retry_ns(self) -> int:
        """How long the server may sleep before it calls `commit` again; `NEVER_NS`: for ever."""

    @abstractmethod
    def close(self) -> None:
        """Make durable what can be, and let go of everything. No call may follow."""


class NullJournal(Journal):
    """Keeps nothing: every change is as durable as it will ever be."""

    def replay(self, target: Replay, wake: Callable[[], None]) -> None:
        pass

    def admit_put(self, tube_bytes: int, body_bytes: int) -> int:
        return ADMITTED

    def admit_updates(self, count: int) -> int:
        return ADMITTED

    def admit_deletes(self) -> int:
        return ADMITTED

    def append(self, changes: Changes) -> None:
        changes.clear()

    def commit(self) -> int:
        return 0

    def retry_ns(self) -> int:
        return NEVER_NS

    def close(self) -> None:
        pass
