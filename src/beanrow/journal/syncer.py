"""Who waits for the disk: a thread, so that the loop does not have to.

A sync is under way or not. Whatever is written meanwhile waits for the next one, which begins when
this one ends: the slower the disk, the more changes share a sync.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

_NS_PER_S: Final = 1_000_000_000


class Syncer(ABC):
    """Calls a function that syncs, some time after it has been asked to."""

    @abstractmethod
    def start(self, sync: Callable[[], None], interval_ns: int) -> None:
        """From now on, `sync` is called when asked for, and not again within the interval."""

    @abstractmethod
    def request(self) -> None:
        """There is something to sync."""

    @abstractmethod
    def close(self) -> None:
        """Return when no sync is under way and none will follow."""


class InlineSyncer(Syncer):
    """Syncs at once, and keeps the caller waiting."""

    def start(self, sync: Callable[[], None], interval_ns: int) -> None:
        self._sync = sync

    def request(self) -> None:
        self._sync()

    def close(self) -> None:
        pass


class ThreadSyncer(Syncer):
    """Syncs in a thread of its own."""

    def __init__(self) -> None:
        #: True: there is something to sync; False: come to an end.
        self._requests: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._sync: Callable[[], None] | None = None
        self._interval_ns = 0

    def start(self, sync: Callable[[], None], interval_ns: int) -> None:
        self._sync = sync
        self._interval_ns = interval_ns
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def request(self) -> None:
        self._requests.put(True)

    def close(self) -> None:
        if self._thread is not None:
            self._requests.put(False)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        sync = self._sync
        assert sync is not None, "started"
        next_ns = 0
        while self._requests.get():
            delay_ns = next_ns - time.monotonic_ns()
            if self._interval_ns and delay_ns > 0 and not self._wait(delay_ns):
                return
            # One sync serves all who have asked until now.
            while not self._requests.empty():
                if not self._requests.get():
                    return
            next_ns = time.monotonic_ns() + self._interval_ns
            sync()

    def _wait(self, delay_ns: int) -> bool:
        """False: it is time to come to an end."""
        until_ns = time.monotonic_ns() + delay_ns
        while (left_ns := until_ns - time.monotonic_ns()) > 0:
            try:
                if not self._requests.get(timeout=left_ns / _NS_PER_S):
                    return False
            except Empty:
                return True
        return True
