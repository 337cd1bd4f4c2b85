"""What a server that has just been started says, beside what the ledger says it must."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

from tests.crash.kill.ledger import (
    ABSENT,
    BURIED,
    DELAYED,
    GONE,
    READY,
    Change,
    Job,
    Ledger,
    State,
    name_of,
)
from tests.crash.kill.wire import Reply, Wire, document

#: Times are told in whole seconds, cut off.
_ROUNDING_S = 1.1


class Audit:
    """Asks a server for everything it has, and settles the ledger with what it finds."""

    def __init__(self, wire: Wire, ledger: Ledger) -> None:
        self._wire = wire
        self._ledger = ledger
        self.findings: list[str] = []

    def run(self, tubes: Iterable[bytes], rng: random.Random) -> list[str]:
        """Returns what is wrong, each in one line; nothing when all is well.

        The buried jobs of one tube, chosen at random, are kicked out of it and buried again.
        """
        tubes = list(tubes)
        # A tube that nobody watches may vanish, and its pause with it.
        self._wire.ask_all([b"watch " + tube for tube in tubes])
        for tube in tubes:
            self._check_pause(tube)
        self._check_ids()
        self._check_jobs()
        self._check_count()
        if not self.findings:
            self._check_buried(rng.choice(tubes))
        return self.findings

    # --- ids --------------------------------------------------------------------------------

    def _check_ids(self) -> None:
        """Find those new jobs whose put was not acknowledged, by looking at every id in doubt."""
        first = self._ledger.audited_id + 1
        next_id = self._wire.ask(b"put 0 0 1 5\r\nprobe").number
        if next_id <= self._ledger.last_id:
            self.findings.append(f"id {next_id} was given again; {self._ledger.last_id} was told")
        self._wire.ask(b"delete %d" % next_id)
        doubtful = [id_ for id_ in range(first, next_id) if id_ not in self._ledger.by_id]
        for job_id, reply in zip(doubtful, self._peek(doubtful), strict=True):
            if reply.name == b"FOUND":
                self._check_unknown(job_id, reply.body)
        self._ledger.audited_id = self._ledger.last_id = max(next_id, self._ledger.last_id)

    def _check_unknown(self, job_id: int, body: bytes) -> None:
        job = self._ledger.jobs.get(name_of(body))
        if job_id in self._ledger.deleted_ids:
            self.findings.append(f"job {job_id} is back, though its delete was acknowledged")
        elif job is None or job.body != body:
            self.findings.append(f"job {job_id} has a body that is not among those put")
        elif job.id is not None:
            self.findings.append(f"job {job.id} is also there as {job_id}")
        else:
            self._ledger.identify(job, job_id)

    def _peek(self, ids: list[int]) -> list[Reply]:
        return self._wire.ask_all([b"peek %d" % job_id for job_id in ids])

    # --- jobs -------------------------------------------------------------------------------

    def _check_jobs(self) -> None:
        jobs = list(self._ledger.jobs.values())
        ids = [job.id or 0 for job in jobs]
        bodies = self._peek(ids)
        before_s = time.monotonic()
        facts = self._wire.ask_all([b"stats-job %d" % job_id for job_id in ids])
        between_s = (before_s, time.monotonic())
        for job, body, fact in zip(jobs, bodies, facts, strict=True):
            self._check_job(job, body, document(fact), between_s)

    def _check_job(
        self, job: Job, body: Reply, facts: dict[str, str], between_s: tuple[float, float]
    ) -> None:
        possible = job.possible()
        if body.name != b"FOUND":
            if GONE not in possible:
                self.findings.append(f"{_title(job)} is lost; it was {_list(possible)}")
            self._ledger.delete(job)
            return
        assert job.created is not None
        made_s = (job.created.sent_s, job.created.ended_s)
        age_s = [now_s - then_s for now_s, then_s in zip(between_s, reversed(made_s), strict=True)]
        right = {
            "body": body.body == job.body,
            "tube": facts["tube"] == job.tube.decode(),
            "ttr": facts["ttr"] == str(job.ttr_s),
            "age": age_s[0] - _ROUNDING_S <= int(facts["age"]) <= age_s[1] + _ROUNDING_S,
        }
        for what, is_right in right.items():
            if not is_right:
                self.findings.append(f"{_title(job)} has another {what}: {facts}")
        found = [state for state in possible if _agrees(state, facts, between_s)]
        if found:
            # Those that look the same differ in nothing but who buried it; the latest did.
            job.certain = max(
                found, key=lambda state: state.buried_by.sent if state.buried_by else 0
            )
        else:
            self.findings.append(f"{_title(job)} was {_list(possible)}; it is {facts}")
        job.changes.clear()
        job.deletes_under_way = 0

    def _check_count(self) -> None:
        """With every known job found, any other one shows in the sum."""
        stats = document(self._wire.ask(b"stats"))
        places = ("ready", "reserved", "delayed", "buried")
        counts = {place: int(stats[f"current-jobs-{place}"]) for place in places}
        known = len(self._ledger.jobs)
        if sum(counts.values()) == known and not counts["reserved"]:
            return
        self.findings.append(f"there are {counts} jobs; {known} were found")
        deleted = sorted(self._ledger.deleted_ids)
        back = [
            job_id
            for job_id, reply in zip(deleted, self._peek(deleted), strict=True)
            if reply.name == b"FOUND"
        ]
        if back:
            self.findings.append(f"jobs {back} are back, though their delete was acknowledged")

    # --- tubes ------------------------------------------------------------------------------

    def _check_pause(self, name: bytes) -> None:
        tube = self._ledger.tube(name)
        before_s = time.monotonic()
        facts = document(self._wire.ask(b"stats-tube " + name))
        between_s = (before_s, time.monotonic())
        possible = tube.possible()
        found = [pause for pause in possible if _pause_agrees(pause, facts, between_s)]
        if found:
            tube.pause = found[-1]
        else:
            wanted = [pause.delay_s if pause else 0 for pause in possible]
            self.findings.append(
                f"tube {name.decode()} was paused for {wanted} s; it is for {facts['pause']} s "
                f"with {facts['pause-time-left']} s left"
            )
        tube.pauses.clear()

    def _check_buried(self, tube: bytes) -> None:
        """Kick all buried jobs of a tube, one by one, and bury them again in the same order."""
        expected = [
            job
            for job in self._ledger.jobs.values()
            if job.tube == tube and job.certain.place == BURIED
        ]
        self._wire.ask(b"use " + tube)
        replies = self._wire.ask_all([b"peek-buried", b"kick 1"] * len(expected))
        order = [reply.number if reply.name == b"FOUND" else 0 for reply in replies[::2]]
        jobs = [self._ledger.by_id[job_id] for job_id in order if job_id in self._ledger.by_id]
        if sorted(order) != sorted(job.id or 0 for job in expected):
            self.findings.append(f"tube {tube.decode()} has buried jobs {order}")
            return
        for index, job in enumerate(jobs):
            for later in jobs[index + 1 :]:
                if _bury(later).surely_before(_bury(job)):
                    self.findings.append(
                        f"job {later.id} was buried before {job.id}, and now comes after it"
                    )
        for job in jobs:
            self._bury_again(job)

    def _bury_again(self, job: Job) -> None:
        job_id, pri = job.id or 0, job.certain.pri
        change = self._ledger.send("bury", "audit", pri)
        replies = self._wire.ask_all([b"reserve-job %d" % job_id, b"bury %d %d" % (job_id, pri)])
        if [reply.name for reply in replies] != [b"RESERVED", b"BURIED"]:
            self.findings.append(f"{_title(job)} cannot be buried again: {replies[1]}")
        job.certain = job.certain._replace(kicks=job.certain.kicks + 1)
        job.changes.append(change)
        self._ledger.acknowledge(change, job)


def _agrees(state: State, facts: dict[str, str], between_s: tuple[float, float]) -> bool:
    numbers = (state.pri, state.delay_s, state.releases, state.buries, state.kicks)
    told = tuple(int(facts[key]) for key in ("pri", "delay", "releases", "buries", "kicks"))
    if state.place == ABSENT or told != numbers:
        return False
    if state.place == DELAYED:
        return _delay_agrees(state, facts, between_s)
    return facts["state"] == state.place


def _delay_agrees(state: State, facts: dict[str, str], between_s: tuple[float, float]) -> bool:
    left_s = (state.due_s[0] - between_s[1], state.due_s[1] - between_s[0])
    if facts["state"] == READY:
        return left_s[0] <= 0
    return (
        facts["state"] == DELAYED
        and left_s[0] - _ROUNDING_S <= int(facts["time-left"]) <= left_s[1] + 0.1
    )


def _pause_agrees(
    pause: Change | None, facts: dict[str, str], between_s: tuple[float, float]
) -> bool:
    told_s, left_s = int(facts["pause"]), int(facts["pause-time-left"])
    if pause is None or pause.delay_s == 0:
        return told_s == 0
    ends_s = pause.due_s()
    if told_s == 0:
        return ends_s[0] <= between_s[1]
    return (
        told_s == pause.delay_s
        and ends_s[0] - between_s[1] - _ROUNDING_S <= left_s <= ends_s[1] - between_s[0] + 0.1
    )


def _bury(job: Job) -> Change:
    assert job.certain.buried_by is not None
    return job.certain.buried_by


def _title(job: Job) -> str:
    return f"job {job.id} ({name_of(job.body).decode()}, tube {job.tube.decode()})"


def _list(states: Iterable[State]) -> str:
    return " or ".join(str(state._replace(buried_by=None)) for state in states)
