"""Two threads of which one runs at a time, and the seed says which: a slow disk, again and again.

`SlowSyncer` syncs in a thread of its own, as a journal does. But the thread of the loop and that of
the disk pass a turn to each other, at operations of the storage and where one of them would have to
wait for the other. So whatever two threads can do to each other happens, and happens again.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

from beanrow.journal.syncer import Syncer
from tests.crash.faulty_storage import MachineStops

#: How likely the other thread goes on when an operation begins, and while a file is synced.
SWITCH_CHANCE: Final = 0.1
SWITCH_IN_SYNC_CHANCE: Final = 0.7


class Turns:
    """Who may run: one of two threads."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._is_loops = True
        #: The other one has come to its end, and the loop is alone.
        self.has_disk_ended = False

    def pass_on(self) -> None:
        """Let the other thread run until it passes the turn back, or has ended."""
        with self._condition:
            if self.has_disk_ended:
                return
            mine = self._is_loops
            self._is_loops = not mine
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._is_loops == mine)

    def begin_disk(self) -> None:
        with self._condition:
            self._condition.wait_for(lambda: not self._is_loops)

    def end_disk(self) -> None:
        with self._condition:
            self.has_disk_ended = self._is_loops = True
            self._condition.notify_all()


class TurnLock:
    """A lock between the two: whoever would have to wait for it lets the other one run."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._is_held = False

    def __enter__(self) -> None:
        while self._is_held:
            self._turns.pass_on()
        self._is_held = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._is_held = False


class SlowSyncer(Syncer):
    """Syncs some time after it was asked to, and takes its time."""

    def __init__(self, chance: random.Random, most_ticks: int) -> None:
        self._chance = chance
        self._most_ticks = most_ticks
        self._ticks_left = 0
        self._is_asked = False
        self._is_closing = False
        self._turns = Turns()
        #: To be held while a sync is under way.
        self.lock = TurnLock(self._turns)
        #: What went wrong in the thread of the disk.
        self.defect: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, sync: Callable[[], None], interval_ns: int) -> None:
        self._sync = sync
        self._thread.start()

    def request(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            self._ticks_left = self._chance.randint(0, self._most_ticks)

    def tick(self) -> None:
        """A tick of the loop has gone by."""
        self._ticks_left -= 1
        self._turns.pass_on()

    def switch(self) -> None:
        """An operation begins, in either thread."""
        if self._chance.random() < SWITCH_CHANCE:
            self._turns.pass_on()

    def switch_in_sync(self) -> None:
        """A file is being synced; the loop may go on meanwhile."""
        while self._chance.random() < SWITCH_IN_SYNC_CHANCE:
            self._turns.pass_on()

    def close(self) -> None:
        if self._thread.ident is None:
            return
        self._is_closing = True
        while not self._turns.has_disk_ended:
            self._turns.pass_on()
        self._thread.join()

    def _run(self) -> None:
        self._turns.begin_disk()
        try:
            while self._is_asked or not self._is_closing:
                if self._is_asked and (self._ticks_left < 0 or self._is_closing):
                    self._is_asked = False
                    self._sync()
                self._turns.pass_on()
        except MachineStops:
            pass  # the thread of the loop will notice
        except Exception as error:  # noqa: BLE001 - raised again by whoever plays the ticks
            self.defect = error
        finally:
            self._turns.end_disk()
