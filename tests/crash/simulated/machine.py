"""A machine with a queue on it that is stopped again and again: what it promised must hold.

It plays ticks as the server does: commands, `append`, `commit`; what the journal has confirmed is
acknowledged, and what it has not when it is in trouble is answered INTERNAL_ERROR, and puts are
taken back. Time is virtual. A run is decided by its seed and its plans alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from beanrow.engine.engine import Engine
from beanrow.engine.replay import Replay
from beanrow.journal.local import LocalJournal
from beanrow.journal.syncer import InlineSyncer
from beanrow.protocol.limits import NS_PER_S
from tests.crash.faulty_storage import FaultyStorage, MachineStops, Plan
from tests.crash.simulated.clients import SMALL_BODIES, Load
from tests.crash.simulated.promises import Promises
from tests.crash.simulated.turns import SlowSyncer

#: How a machine stops: its process is killed, or its power fails.
KILL: Final = "kill -9"
POWER: Final = "power loss"


@dataclass(frozen=True)
class Habits:
    """How a run is played, besides what goes wrong in it."""

    seed: int
    #: 0: a sync every tick; a number: now and then; None: never.
    sync_interval_ms: int | None = 0
    segment_bytes: int = 2048
    body_sizes: tuple[int, ...] = SMALL_BODIES
    most_commands: int = 6
    #: Syncs are done in a thread, so many ticks after they were asked for at most; 0: at once.
    sync_ticks: int = 0


class Machine:
    """One disk, and the server's life on it from start to start."""

    def __init__(self, habits: Habits, plan: Plan | None = None) -> None:
        self._habits = habits
        self._chance = random.Random(habits.seed)
        self.load = Load(self._chance, habits.body_sizes)
        self.promises = Promises()
        self.storage = FaultyStorage(plan)
        self.now_ns = 1_000 * NS_PER_S
        #: What of the last run must be there at the next start.
        self._confirmed = 0
        #: Puts whose reply is held, with the position that it waits for.
        self._held: list[tuple[int, int]] = []
        self.ticks = 0
        self.engine = Engine()
        self.journal: LocalJournal
        self._has_journal = False
        self._slow: SlowSyncer | None = None

    # --- the server's life ----------------------------------------------------------------

    def start(self) -> None:
        """Replay, and check that everything is there. Raises `MachineStops` by plan."""
        engine = Engine()
        habits = self._habits
        slow = SlowSyncer(self._chance, habits.sync_ticks) if habits.sync_ticks else None
        journal = LocalJournal(
            self.storage,
            segment_bytes=habits.segment_bytes,
            sync_interval_ms=habits.sync_interval_ms,
            syncer=slow or InlineSyncer(),
        )
        self._slow = slow
        if slow is not None:
            journal._syncing = slow.lock  # type: ignore[assignment]
        replay = Replay(engine)
        journal.replay(replay, _nothing)
        replay.finish(self.now_ns)
        self.promises.check(engine, self._confirmed, self.now_ns)
        self.promises.begin(engine, self._confirmed, is_safe=self._is_safe())
        self.engine, self.journal = engine, journal
        self._has_journal = True
        self._held.clear()
        self._last_durable = 0
        self.load.begin(engine, journal)
        if slow is not None:
            self.storage.during_sync = slow.switch_in_sync
            self.storage.before_operation = slow.switch

    def tick(self) -> None:
        """One turn of the loop. Raises `MachineStops` by plan."""
        if self._slow is not None:
            self._slow.tick()
            if self._slow.defect is not None:
                raise self._slow.defect
        self.ticks += 1
        self.now_ns += self._chance.choice((1, 1_000_000, NS_PER_S // 3))
        self.load.now_ns = self.now_ns
        self.engine.tick(self.now_ns)
        for _ in range(self._chance.randint(0, self._habits.most_commands)):
            self.load.command()
        for job in self.load.puts:
            self.promises.check_new_id(job.id)
        self.promises.note(self.engine, self.now_ns)
        self.commit()

    def commit(self) -> None:
        """The end of a tick."""
        engine, journal = self.engine, self.journal
        if engine.changes.jobs or engine.changes.pauses:
            journal.append(engine.changes)
        position = journal.commit()
        self._held.extend((position, job.id) for job in self.load.puts)
        self.load.puts.clear()
        trouble = journal.trouble
        is_sound = not self.storage.plan.failures and not self.storage.has_stopped
        assert not trouble or not is_sound, trouble
        durable = journal.durable
        assert self._last_durable <= durable <= position
        self._last_durable = durable
        self.promises.settle(position, durable if self._is_safe() else self.promises.safe)
        while self._held and self._held[0][0] <= durable:
            self.promises.tell_id(*self._held.pop(0))
        if trouble:
            for _, job_id in self._held:
                engine.take_back(job_id)
            self._held.clear()

    def close(self) -> None:
        """The server is asked to stop: all is durable then, unless there is trouble."""
        try:
            self.journal.close()
        except MachineStops:
            return
        if not self.journal.trouble:
            self.promises.settle(self.journal.durable, self.journal.durable)

    def stop(self, manner: str, plan: Plan | None = None) -> None:
        """The machine stops here and now; `start` follows."""
        self.storage.stop()
        if self._slow is not None:
            self._slow.close()
            if self._slow.defect is not None:
                raise self._slow.defect
            self._slow = None
        self._confirmed = self.promises.safe
        if self._has_journal and (manner == KILL or self._habits.sync_interval_ms == 0):
            # Whatever the policy, what was confirmed was written.
            self._confirmed = self.journal.durable
        if manner == KILL:
            self.storage = self.storage.after_kill(plan)
        else:
            self.storage = self.storage.after_power_loss(plan)

    def _is_safe(self) -> bool:
        """Whether all that the journal has confirmed would survive a loss of power."""
        return self._habits.sync_interval_ms == 0 or self.storage.directory.is_clean()

    def play(self, ticks: int) -> bool:
        """So many ticks; False if the machine has stopped before."""
        try:
            for _ in range(ticks):
                self.tick()
        except MachineStops:
            return False
        return not self.storage.has_stopped

    def recover(self) -> bool:
        """Start; False if the machine has stopped before the server could serve."""
        self._has_journal = False
        try:
            self.start()
        except MachineStops:
            return False
        return True


def open_journal(storage: FaultyStorage, segment_bytes: int) -> LocalJournal:
    """A journal that syncs every tick and keeps nobody waiting in a thread."""
    return LocalJournal(
        storage, segment_bytes=segment_bytes, sync_interval_ms=0, syncer=InlineSyncer()
    )


def _nothing() -> None:
    pass
