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

# What the thread is asked.
_END: Final = 0
_SYNC: Final = 1
_HURRY: Final = 2


class Syncer(ABC):
    """Calls a function that syncs, some time after it has been asked to."""

    @abstractmethod
    def start(self, sync: Callable[[], None], interval_ns: int) -> None:
        """From now on, `sync` is called when asked for, and not again within the interval."""

    @abstractmethod
    def request(self) -> None:
        """There is something to sync."""

    def hurry(self) -> None:
        """There is so much to sync that it cannot wait for the end of the interval."""
        self.request()

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
        self._requests: SimpleQueue[int] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._sync: Callable[[], None] | None = None
        self._interval_ns = 0

    def start(self, sync: Callable[[], None], interval_ns: int) -> None:
        self._sync = sync
        self._interval_ns = interval_ns
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def request(self) -> None:
        self._requests.put(_SYNC)

    def hurry(self) -> None:
        self._requests.put(_HURRY)

    def close(self) -> None:
        if self._thread is not None:
            self._requests.put(_END)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        sync = self._sync
        assert sync is not None, "started"
        next_ns = 0
        while request := self._requests.get():
            delay_ns = next_ns - time.monotonic_ns()
            if (
                self._interval_ns
                and request != _HURRY
                and delay_ns > 0
                and not self._wait(delay_ns)
            ):
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
                request = self._requests.get(timeout=left_ns / _NS_PER_S)
            except Empty:
                return True
            if request != _SYNC:
                return request == _HURRY
        return True
