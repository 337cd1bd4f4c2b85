"""Every journal there is, in every manner of use: what the contract is tried on."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from beanrow.engine.change import Changes
from beanrow.engine.replay import Replay
from beanrow.journal.base import Journal, NullJournal
from beanrow.journal.local import LocalJournal
from beanrow.journal.storage import LocalStorage
from beanrow.journal.syncer import InlineSyncer
from tests.crash.faulty_storage import FaultyStorage

SEGMENT_BYTES: Final = 4096

#: Opens the same journal at every call, once the one before is closed.
Opener = Callable[[], Journal]


class LateJournal(Journal):
    """Confirms late and out of step with ticks, as one on another machine does.

    What the journal behind it has confirmed is passed on after some ticks, of several ticks
    together, and sometimes between two ticks, from another thread.
    """

    def __init__(self, behind: Journal, chance: random.Random) -> None:
        super().__init__()
        self._behind = behind
        self._chance = chance
        self._ticks_left = 0
        self._threads: list[threading.Thread] = []
        self.facts = behind.facts

    def replay(self, target: Replay, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._behind.replay(target, _nothing)
        self.durable = self._behind.durable

    def admit_put(self, tube_bytes: int, body_bytes: int) -> int:
        return self._behind.admit_put(tube_bytes, body_bytes)

    def admit_updates(self, count: int) -> int:
        return self._behind.admit_updates(count)

    def admit_deletes(self) -> int:
        return self._behind.admit_deletes()

    def append(self, changes: Changes) -> None:
        self._behind.append(changes)

    def commit(self) -> int:
        position = self._behind.commit()
        self.trouble = self._behind.trouble
        self._ticks_left -= 1
        if self._ticks_left < 0:
            self._ticks_left = self._chance.randint(0, 5)
            self.durable = self._behind.durable
        elif self._chance.random() < 0.2:
            thread = threading.Thread(target=self._confirm, args=(self._behind.durable,))
            self._threads.append(thread)
            thread.start()
        return position

    def _confirm(self, position: int) -> None:
        time.sleep(0.001)
        if position > self.durable:
            self.durable = position
            self._wake()

    def retry_ns(self) -> int:
        return 1_000_000  # it wants to be asked again, which makes for a tick

    def close(self) -> None:
        for thread in self._threads:
            thread.join()
        self._behind.close()
        self.durable = self._behind.durable


def null(_: Path) -> Opener:
    return NullJournal


def on_the_disk(sync_interval_ms: int | None) -> Callable[[Path], Opener]:
    """As the server has it, with its thread."""

    def opener(folder: Path) -> Opener:
        return lambda: LocalJournal(
            LocalStorage(folder / "journal"),
            segment_bytes=SEGMENT_BYTES,
            sync_interval_ms=sync_interval_ms,
        )

    return opener


def in_memory(sync_interval_ms: int | None) -> Callable[[Path], Opener]:
    """On the storage that loses what was not synced: the power fails at every reopening."""

    def opener(_: Path) -> Opener:
        last = FaultyStorage()

        def again() -> Journal:
            nonlocal last
            last = last.after_power_loss()
            return LocalJournal(
                last,
                segment_bytes=SEGMENT_BYTES,
                sync_interval_ms=sync_interval_ms,
                syncer=InlineSyncer(),
            )

        return again

    return opener


def late(seed: int) -> Callable[[Path], Opener]:
    def opener(folder: Path) -> Opener:
        chance = random.Random(seed)
        behind = in_memory(0)(folder)
        return lambda: LateJournal(behind(), chance)

    return opener


#: By name; and whether it keeps anything.
JOURNALS: Final[dict[str, tuple[Callable[[Path], Opener], bool]]] = {
    "null": (null, False),
    "-f 0": (on_the_disk(0), True),
    "-f 5": (on_the_disk(5), True),
    "-F": (on_the_disk(None), True),
    "-f 0 in memory": (in_memory(0), True),
    "-f 50 in memory": (in_memory(50), True),
    "-F in memory": (in_memory(None), True),
    "late 1": (late(1), True),
    "late 2": (late(2), True),
    "late 3": (late(3), True),
}


def _nothing() -> None:
    pass
