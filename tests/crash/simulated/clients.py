"""Clients that do anything at all, as the server would let them: the load of a simulated run."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from beanrow.engine.engine import KICKABLE, Engine
from beanrow.engine.job import Job
from beanrow.engine.session import Session
from beanrow.journal.base import ADMITTED, BROKEN, FULL, Journal
from beanrow.protocol.limits import NS_PER_S

TUBES: Final = (b"default", b"mail", b"images", b"x" * 200)
PRIS: Final = (0, 7, 1023, 1024, 2**32 - 1)
DELAYS_S: Final = (0, 0, 0, 1, 3, 100)
TTRS_S: Final = (1, 2, 60, 2**32 - 1)

#: How the sizes of bodies are spread, unless a run wants otherwise.
SMALL_BODIES: Final = (0, 1, 20, 100, 300)


class Load:
    """Commands of several clients against an engine and its journal, from one seed.

    A command asks the journal for room before it changes anything, as the dispatcher does.
    """

    def __init__(self, chance: random.Random, body_sizes: tuple[int, ...] = SMALL_BODIES) -> None:
        self._chance = chance
        self._body_sizes = body_sizes
        #: How often the journal has answered what.
        self.answers = {ADMITTED: 0, FULL: 0, BROKEN: 0}
        #: How much each verb is used.
        self.verbs: dict[Callable[[Session], None], int] = {
            self.put: 10,
            self.reserve: 8,
            self.delete: 6,
            self.release: 4,
            self.bury: 4,
            self.reserve_job: 2,
            self.kick: 1,
            self.kick_job: 2,
            self.touch: 1,
            self.pause: 1,
            self.use: 3,
            self.leave: 1,
        }
        #: The jobs that were put and taken since somebody last emptied this.
        self.puts: list[Job] = []

    def begin(self, engine: Engine, journal: Journal) -> None:
        """The server has (re)started: all clients connect anew."""
        self._engine = engine
        self._journal = journal
        self.now_ns = 0
        self._sessions: list[Session] = []
        self.puts.clear()
        for _ in range(4):
            self._connect()

    def command(self) -> None:
        """One command of one client."""
        (verb,) = self._chance.choices(list(self.verbs), list(self.verbs.values()))
        idle = [session for session in self._sessions if not session.waiting]
        if not idle:
            self._connect()
            idle = self._sessions[-1:]
        verb(self._chance.choice(idle))
        self._engine.answers.clear()

    def _connect(self) -> None:
        session = self._engine.open_session()
        for name in TUBES:
            self._engine.watch(session, name)
        self._sessions.append(session)

    def _may(self, answer: int) -> bool:
        self.answers[answer] += 1
        return answer == ADMITTED

    # --- producing ------------------------------------------------------------------------

    def put(self, session: Session) -> None:
        chance = self._chance
        job = self._engine.begin_put(
            session,
            chance.choice(PRIS),
            chance.choice(DELAYS_S),
            chance.choice(TTRS_S),
            self.now_ns,
        )
        body = chance.randbytes(chance.choice(self._body_sizes))
        if self._may(self._journal.admit_put(len(job.tube.name), len(body))):
            self._engine.finish_put(job, body, self.now_ns)
            self.puts.append(job)

    def use(self, session: Session) -> None:
        self._engine.use(session, self._chance.choice(TUBES))

    # --- working --------------------------------------------------------------------------

    def reserve(self, session: Session) -> None:
        wait_s = self._chance.choice((0, 0, 0, 1))
        self._engine.reserve(session, self.now_ns + wait_s * NS_PER_S, self.now_ns)

    def reserve_job(self, session: Session) -> None:
        job = self._any_job()
        if job is None:
            return
        if job.state not in KICKABLE or self._may(self._journal.admit_updates(1)):
            self._engine.reserve_job(session, job.id, self.now_ns)

    def delete(self, session: Session) -> None:
        job = self._held_job(session) or self._any_job()
        if job is not None and self._may(self._journal.admit_deletes()):
            self._engine.delete(session, job.id)

    def release(self, session: Session) -> None:
        job = self._held_job(session)
        if job is not None and self._may(self._journal.admit_updates(1)):
            pri = self._chance.choice(PRIS)
            delay_s = self._chance.choice(DELAYS_S)
            self._engine.release(session, job.id, pri, delay_s, self.now_ns)

    def bury(self, session: Session) -> None:
        job = self._held_job(session)
        if job is not None and self._may(self._journal.admit_updates(1)):
            self._engine.bury(session, job.id, self._chance.choice(PRIS))

    def touch(self, session: Session) -> None:
        job = self._held_job(session)
        if job is not None:
            self._engine.touch(session, job.id, self.now_ns)

    # --- mending --------------------------------------------------------------------------

    def kick(self, session: Session) -> None:
        bound = self._chance.choice((1, 2, 100))
        tube = session.use
        count = min(bound, len(tube.buried) or len(tube.delayed.nodes))
        if count and self._may(self._journal.admit_updates(count)):
            self._engine.kick(session, bound, self.now_ns)

    def kick_job(self, session: Session) -> None:
        job = self._any_job()
        if job is not None and self._may(self._journal.admit_updates(1)):
            self._engine.kick_job(job.id, self.now_ns)

    def pause(self, session: Session) -> None:
        if self._may(self._journal.admit_updates(1)):
            pause_s = self._chance.choice((0, 1, 5, 1000))
            self._engine.pause(self._chance.choice(TUBES), pause_s, self.now_ns)

    def leave(self, session: Session) -> None:
        self._sessions.remove(session)
        self._engine.close_session(session, self.now_ns)
        self._connect()

    # --- choosing -------------------------------------------------------------------------

    def _any_job(self) -> Job | None:
        jobs = self._engine.jobs
        return self._chance.choice(list(jobs.values())) if jobs else None

    def _held_job(self, session: Session) -> Job | None:
        held = session.reserved.nodes
        return self._chance.choice(held) if held else None
