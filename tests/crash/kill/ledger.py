"""What clients have asked a server and what it has acknowledged: what must be there after a crash.

For every job the ledger has a state that is certain and, behind it, the changes that were asked
for since. One that was acknowledged has happened. One that was still under way when the server
was killed may have happened or not, so from there on several states are possible. `Job.possible`
gives all of them; after a restart the audit finds one of them, which is then the certain one.

Which of two commands came first is only known if one was acknowledged before the other was sent,
or if both came on one connection. A job is only ever changed by whoever holds it, or by the one
client that works on it while nobody can hold it; hence its changes are in the order of sending.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

READY, DELAYED, BURIED, ABSENT = "ready", "delayed", "buried", "absent"


@dataclass(eq=False, slots=True)
class Change:
    """A command that was sent to change a job, or the pause of a tube.

    `sent` and `ended` number the moments of a ledger, `sent_s` and `ended_s` are the same by the
    clock. It ends when it is acknowledged, or with the life of the server.
    """

    verb: str
    client: str
    sent: int
    sent_s: float
    pri: int = 0
    delay_s: int = 0
    ended: int = 0
    ended_s: float = 0.0
    acknowledged: bool = False

    def due_s(self) -> tuple[float, float]:
        """The earliest and the latest moment at which its delay can end."""
        return self.sent_s + self.delay_s, self.ended_s + self.delay_s

    def surely_before(self, other: Change) -> bool:
        """Whether the server must have executed this one first."""
        if self.client == other.client:
            return self.sent < other.sent
        return self.ended < other.sent


class State(NamedTuple):
    """What a client can see of a job that nobody holds, as far as it is durable."""

    place: str = ABSENT
    pri: int = 0
    delay_s: int = 0
    due_s: tuple[float, float] = (0.0, 0.0)
    releases: int = 0
    buries: int = 0
    kicks: int = 0
    buried_by: Change | None = None

    def after(self, change: Change) -> State | None:
        """The state that a change leads to; None if it can do nothing here."""
        if (change.verb == "put") != (self.place == ABSENT):
            return None
        place = DELAYED if change.delay_s else READY
        match change.verb:
            case "put":
                return State(place, change.pri, change.delay_s, change.due_s())
            case "release":
                return self._replace(
                    place=place,
                    pri=change.pri,
                    delay_s=change.delay_s,
                    due_s=change.due_s(),
                    releases=self.releases + 1,
                )
            case "bury":
                return self._replace(
                    place=BURIED, pri=change.pri, buries=self.buries + 1, buried_by=change
                )
            case "kick" if self.place in (BURIED, DELAYED):
                return self._replace(place=READY, kicks=self.kicks + 1)
            case "reserve-job":  # whom it is taken from, it does not come back to
                return self._replace(place=READY)
            case _:
                return None


GONE = State()


@dataclass(eq=False, slots=True)
class Job:
    """A job that somebody has put, or has tried to."""

    body: bytes
    tube: bytes
    ttr_s: int
    #: It is to grow old: clients delete it but rarely.
    stays: bool = False
    #: None until somebody was told.
    id: int | None = None
    certain: State = GONE
    changes: list[Change] = field(default_factory=list)
    created: Change | None = None
    deletes_under_way: int = 0

    @property
    def is_settled(self) -> bool:
        return not self.changes and not self.deletes_under_way

    def possible(self) -> set[State]:
        """All states in which it may be. Empty: what was acknowledged cannot have happened."""
        states = {self.certain}
        for change in self.changes:
            after = {new for state in states if (new := state.after(change)) is not None}
            states = after if change.acknowledged else states | after
        if self.deletes_under_way:
            states.add(GONE)
        return states


@dataclass(eq=False, slots=True)
class Tube:
    """The pause of a tube: the last one that is certain, and those that may be."""

    pause: Change | None = None
    pauses: list[Change] = field(default_factory=list)

    def possible(self) -> list[Change | None]:
        """The pauses that may be the last. None: there never was one."""
        possible = [self.pause]
        for change in self.pauses:
            possible = [change] if change.acknowledged else [*possible, change]
        return possible


class Ledger:
    """All jobs and pauses of one server, over all its lives."""

    def __init__(self) -> None:
        #: By the name that their body begins with. Deleted ones are not here.
        self.jobs: dict[bytes, Job] = {}
        self.by_id: dict[int, Job] = {}
        self.deleted_ids: set[int] = set()
        self.tubes: dict[bytes, Tube] = {}
        #: No job that is put from now on may get this id or a smaller one.
        self.last_id = 0
        #: All ids up to this one have been looked at after the last restart.
        self.audited_id = 0
        self._moments = count(1)
        self._open: set[Change] = set()

    def tube(self, name: bytes) -> Tube:
        return self.tubes.setdefault(name, Tube())

    # --- what clients do --------------------------------------------------------------------

    def send(self, verb: str, client: str, pri: int = 0, delay_s: int = 0) -> Change:
        change = Change(verb, client, next(self._moments), time.monotonic(), pri, delay_s)
        self._open.add(change)
        return change

    def send_put(self, job: Job, client: str, pri: int, delay_s: int) -> Change:
        change = self.send("put", client, pri, delay_s)
        job.created = change
        job.changes.append(change)
        self.jobs[name_of(job.body)] = job
        return change

    def acknowledge(self, change: Change, job: Job | None = None) -> None:
        """The server says that it is done."""
        change.acknowledged = True
        self._end(change)
        if job is not None:
            self.settle(job)

    def refuse(self, change: Change, job: Job) -> None:
        """The server says that it has changed nothing."""
        self._open.discard(change)
        job.changes.remove(change)
        self.settle(job)

    def identify(self, job: Job, job_id: int) -> None:
        """Somebody was told the id of a job."""
        if job.id != job_id:
            assert job.id is None, f"job {job.id} is now said to be {job_id}"
            assert job_id not in self.by_id, f"id {job_id} was given to two jobs"
            assert job_id not in self.deleted_ids, f"id {job_id} was given again"
            job.id = job_id
            self.by_id[job_id] = job
            self.last_id = max(self.last_id, job_id)

    def delete(self, job: Job) -> None:
        """The server says that it is deleted, or that it has never been there."""
        if job.id is not None and self.by_id.pop(job.id, None) is not None:
            self.deleted_ids.add(job.id)
        self.jobs.pop(name_of(job.body), None)

    def end_of_life(self) -> None:
        """The server was killed: what was under way will not be acknowledged any more."""
        for change in list(self._open):
            self._end(change)

    def _end(self, change: Change) -> None:
        self._open.discard(change)
        change.ended = next(self._moments)
        change.ended_s = time.monotonic()

    def settle(self, job: Job) -> None:
        """Move what is certain by now from the changes into the state."""
        while job.changes and job.changes[0].acknowledged:
            after = job.certain.after(job.changes[0])
            assert after is not None, f"{job.changes[0]} was acknowledged for {job.certain}"
            job.certain = after
            del job.changes[0]


def name_of(body: bytes) -> bytes:
    """What tells the body of one job from all others: its first word."""
    return body.partition(b" ")[0]
