"""A journal in the hands of the test: it confirms when it is told to, however late."""

from __future__ import annotations

import threading
from collections.abc import Callable

from beanrow.engine.change import Changes
from beanrow.engine.job import GONE
from beanrow.engine.replay import Replay
from beanrow.journal.base import ADMITTED, NEVER_NS, Journal


class LateJournal(Journal):
    """Keeps nothing but what it was told; every commit with something new is a position more.

    The server runs in a thread of its own, which calls all that `Journal` has; the rest is for
    the test.
    """

    def __init__(self) -> None:
        super().__init__()
        #: What `admit…` answers.
        self.answer: int = ADMITTED
        #: The id of each job that was put or changed, or, when it is gone, less than 0.
        self.appended: list[int] = []
        self.position = 0
        self.is_closed = threading.Event()
        #: When it is to be asked again.
        self.retry_in_ns = NEVER_NS
        self.commits = 0
        self._has_news = False
        self._wake: Callable[[], None] | None = None

    # --- for the test -------------------------------------------------------------------

    def confirm(self, position: int | None = None) -> None:
        """Everything, or everything up to a position, is durable."""
        self.durable = self.position if position is None else position
        self.wake()

    def set_trouble(self, why: str) -> None:
        self.trouble = why
        self.wake()

    def wake(self) -> None:
        assert self._wake is not None, "the server has not begun"
        self._wake()

    # --- for the server -----------------------------------------------------------------

    def replay(self, target: Replay, wake: Callable[[], None]) -> None:
        self._wake = wake

    def admit_put(self, tube_bytes: int, body_bytes: int) -> int:
        return self.answer

    def admit_updates(self, count: int) -> int:
        return self.answer

    def admit_deletes(self) -> int:
        return self.answer

    def append(self, changes: Changes) -> None:
        self.appended += [-job.id if job.state == GONE else job.id for job in changes.jobs]
        changes.clear()
        self._has_news = True

    def commit(self) -> int:
        self.commits += 1
        if self._has_news:
            self._has_news = False
            self.position += 1
        return self.position

    def retry_ns(self) -> int:
        return self.retry_in_ns

    def close(self) -> None:
        self.is_closed.set()
