"""An engine with a journal behind it, and the ticks of a server between them."""

from __future__ import annotations

import threading
from typing import Final

from beanrow.engine.engine import Engine
from beanrow.engine.job import Job
from beanrow.engine.replay import Replay
from beanrow.journal.base import ADMITTED, Journal
from beanrow.protocol.limits import NS_PER_S

BEGIN_NS: Final = 1_000 * NS_PER_S
HOUR_S: Final = 3600


class Queue:
    """An engine with one of the journals, and the ticks of a server."""

    def __init__(self, journal: Journal, now_ns: int = BEGIN_NS) -> None:
        self.engine = Engine()
        self.journal = journal
        self.now_ns = now_ns
        self._woken = threading.Event()
        replay = Replay(self.engine)
        journal.replay(replay, self._woken.set)
        replay.finish(now_ns)
        self.session = self.engine.open_session()

    def tick(self) -> int:
        """The end of a tick; returns its position."""
        changes = self.engine.changes
        if changes.jobs or changes.pauses:
            self.journal.append(changes)
        assert not changes.jobs, "taken"
        assert not changes.pauses, "taken"
        return self.journal.commit()

    def wait_for(self, position: int) -> None:
        """Until it is durable: by the journal's own doing, or in the ticks that it asks for."""
        for _ in range(1000):
            assert not self.journal.trouble
            if self.journal.durable >= position:
                return
            self._woken.clear()
            if self.journal.durable < position:
                self._woken.wait(min(self.journal.retry_ns() / NS_PER_S, 10))
            self.tick()
        raise AssertionError("never durable")

    def is_paused(self, tube: bytes) -> bool:
        found = self.engine.tubes.get(tube)
        return found is not None and found.paused

    def end(self) -> None:
        self.journal.close()

    # --- verbs ----------------------------------------------------------------------------

    def put(
        self,
        body: bytes = b"x",
        tube: bytes = b"default",
        pri: int = 0,
        delay_s: int = 0,
        ttr_s: int = 60,
    ) -> Job:
        assert self.journal.admit_put(len(tube), len(body)) == ADMITTED
        return self.insert(body, tube, pri, delay_s, ttr_s)

    def insert(
        self,
        body: bytes,
        tube: bytes = b"default",
        pri: int = 0,
        delay_s: int = 0,
        ttr_s: int = 60,
    ) -> Job:
        """A put that was admitted."""
        self.engine.use(self.session, tube)
        job = self.engine.begin_put(self.session, pri, delay_s, ttr_s, self.now_ns)
        self.engine.finish_put(job, body, self.now_ns)
        return job

    def reserve(self, job: Job) -> None:
        assert self.journal.admit_updates(1) == ADMITTED
        assert self.engine.reserve_job(self.session, job.id, self.now_ns) is job

    def bury(self, job: Job, pri: int = 0) -> None:
        self.reserve(job)
        assert self.journal.admit_updates(1) == ADMITTED
        assert self.engine.bury(self.session, job.id, pri)

    def release(self, job: Job, pri: int = 0, delay_s: int = 0) -> None:
        self.reserve(job)
        assert self.journal.admit_updates(1) == ADMITTED
        assert self.engine.release(self.session, job.id, pri, delay_s, self.now_ns)

    def kick(self, job: Job) -> None:
        assert self.journal.admit_updates(1) == ADMITTED
        assert self.engine.kick_job(job.id, self.now_ns)

    def delete(self, job: Job) -> None:
        assert self.journal.admit_deletes() == ADMITTED
        assert self.engine.delete(self.session, job.id)

    def pause(self, tube: bytes, pause_s: int) -> None:
        assert self.journal.admit_updates(1) == ADMITTED
        assert self.engine.pause(tube, pause_s, self.now_ns)
