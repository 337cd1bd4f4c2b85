"""What a queue has promised, and whether it keeps it after a crash.

After every tick all jobs and pauses are looked at, and noted is what of them has to be durable:
one more version of each that has changed, under the position that the journal gave the tick. When
the queue comes back, each job must be as it was in its last confirmed version or in one that came
later: those may have become durable, or not. What was never confirmed may be missing.

The engine's jobs are read for this, not `Engine.changes`: so a change that is not passed on is
missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from beanrow.engine.engine import Engine
from beanrow.engine.job import BURIED, DELAYED, READY, STATE_NAMES, Job

#: The position of what was safe before the present process has started.
BEFORE: Final = -1

#: The position of what was handed to the journal and not yet given one.
UNKNOWN: Final = 1 << 62


@dataclass(frozen=True)
class JobView:
    """What of a job is durable: who holds it is not, so a reserved one is ready."""

    tube: bytes
    body: bytes
    pri: int
    ttr_s: int
    created_at_ns: int
    delay_s: int
    state: int
    due_ns: int
    order: int
    releases: int
    buries: int
    kicks: int

    def __str__(self) -> str:
        return (
            f"{STATE_NAMES[self.state]} in {self.tube.decode()}, pri {self.pri}, "
            f"body {len(self.body)} B {self.body[:12]!r}, ttr {self.ttr_s}, "
            f"created {self.created_at_ns}, delay {self.delay_s}, due {self.due_ns}, "
            f"order {self.order}, {self.releases}/{self.buries}/{self.kicks}"
        )

    def may_come_back_as(self, found: JobView, now_ns: int) -> bool:
        if found == self:
            return True
        is_due = self.state == DELAYED and self.due_ns <= now_ns
        return is_due and found == replace(self, state=READY, due_ns=0, order=0)


def view(job: Job) -> JobView:
    """How a job will be after a restart."""
    state = job.state if job.state in (DELAYED, BURIED) else READY
    return JobView(
        job.tube.name,
        job.body,
        job.pri,
        job.ttr_s,
        job.created_at_ns,
        job.delay_s,
        state,
        job.rank if state == DELAYED else 0,
        0 if state == READY else job.tie,
        job.releases,
        job.buries,
        job.kicks,
    )


@dataclass(frozen=True)
class PauseView:
    """A tube is paused for so many seconds, until a moment."""

    pause_s: int
    until_ns: int

    def may_come_back_as(self, found: View | None, now_ns: int) -> bool:
        return found == self or (found is None and self.until_ns <= now_ns)


View = JobView | PauseView
Key = int | bytes


def durable_views(engine: Engine) -> dict[Key, View]:
    """All that has to be durable: jobs by id, pauses by the name of the tube."""
    views: dict[Key, View] = {job.id: view(job) for job in engine.jobs.values()}
    for tube in engine.tubes:
        if tube.paused:
            views[tube.name] = PauseView(tube.pause_s, tube.unpause_at_ns)
    return views


class Versions:
    """What was noted of one job or pause, oldest first; None: there was none."""

    __slots__ = ("noted",)

    def __init__(self, first: View | None) -> None:
        self.noted: list[tuple[int, View | None]] = [(BEFORE, first)]

    @property
    def last(self) -> View | None:
        return self.noted[-1][1]

    def possible(self, confirmed: int) -> list[View | None]:
        """The last one that was confirmed, and all that came later."""
        first = max(i for i, (position, _) in enumerate(self.noted) if position <= confirmed)
        return [found for _, found in self.noted[first:]]

    def restart(self, found: View | None, safe: int) -> None:
        """A process has come to serve what it found. Positions begin anew, what was safe stays."""
        possible = self.possible(safe)
        self.noted = [(BEFORE, possible[0]), *((0, each) for each in (*possible[1:], found))]

    def settle(self, position: int, confirmed: int) -> None:
        """Give the newest its position; drop what was overruled by something confirmed."""
        if self.noted[-1][0] == UNKNOWN:
            self.noted[-1] = (position, self.last)
        while len(self.noted) > 1 and self.noted[1][0] <= confirmed:
            del self.noted[0]


class Promises:
    """What the queue has told its clients, and how sure it was."""

    def __init__(self) -> None:
        self._versions: dict[Key, Versions] = {}
        #: How often each job was reserved and timed out. These are not durable by themselves, but
        #: there are never more of them than there were.
        self._counts: dict[int, tuple[int, int]] = {}
        #: The ids told, with the position of each; the last of them is the highest.
        self._ids: list[tuple[int, int]] = [(BEFORE, 0)]
        #: Up to this position nothing may be lost, whatever happens.
        self.safe = 0

    def begin(self, engine: Engine, confirmed: int, *, is_safe: bool) -> None:
        """A process has come to serve what it found, after `check`.

        What it found is as safe as a journal can make it, unless its policy promises nothing for
        a loss of power: then it may still become what it was.
        """
        found = durable_views(engine)
        last_id_safe, last_id_told = self._last_id(self.safe), self._last_id(confirmed)
        if is_safe:
            self._versions = {key: Versions(one) for key, one in found.items()}
            last_id_safe = last_id_told
        else:
            for key in found.keys() - self._versions.keys():
                self._versions[key] = Versions(None)
            for key, versions in self._versions.items():
                versions.restart(found.get(key), self.safe)
        self._ids = [(BEFORE, last_id_safe), (0, last_id_told)]
        self.safe = 0 if is_safe else BEFORE
        self._count(engine)

    def views(self) -> list[tuple[Key, View | None]]:
        """All that there is, as it was seen last."""
        return sorted(((key, each.last) for key, each in self._versions.items()), key=str)

    def tell_id(self, position: int, job_id: int) -> None:
        """A client knows of this id now, which was given at this position."""
        self._ids.append((position, job_id))

    def _last_id(self, confirmed: int) -> int:
        return max(job_id for position, job_id in self._ids if position <= confirmed)

    def note(self, engine: Engine, now_ns: int) -> None:
        """Look at everything at the end of a tick, before the journal commits it."""
        views = durable_views(engine)
        for key, found in views.items():
            versions = self._versions.get(key)
            if versions is None:
                versions = self._versions[key] = Versions(None)
            if not _is_same(versions.last, found, now_ns):
                versions.noted.append((UNKNOWN, found))
        for key, versions in self._versions.items():
            if key not in views and versions.last is not None:
                versions.noted.append((UNKNOWN, None))
        self._count(engine)

    def settle(self, position: int, safe: int) -> None:
        """The journal gave the tick a position; up to `safe`, nothing may be lost any more."""
        self.safe = safe
        for key, versions in list(self._versions.items()):
            versions.settle(position, safe)
            if len(versions.noted) == 1 and versions.last is None:
                del self._versions[key]

    def check(self, engine: Engine, confirmed: int, now_ns: int) -> None:
        """The queue is back: nothing confirmed is missing, nothing is there that never was."""
        found = durable_views(engine)
        for key, one in found.items():
            assert key in self._versions, f"{key!r} came from nowhere, or from the dead: {one}"
        for key, versions in self._versions.items():
            possible = versions.possible(confirmed)
            assert any(_may_be(each, found.get(key), now_ns) for each in possible), (
                f"{key!r} is {found.get(key)}\nbut may only be one of\n  "
                + "\n  ".join(str(each) for each in possible)
            )
        for job in engine.jobs.values():
            reserves, timeouts = self._counts[job.id]
            assert job.reserves <= reserves, f"{job.id}: {job.reserves} reserves"
            assert job.timeouts <= timeouts, f"{job.id}: {job.timeouts} time-outs"
        for tube in engine.tubes:
            orders = [job.tie for job in tube.buried.values()]
            assert orders == sorted(orders), f"buried jobs of {tube.name!r} in another order"

    def check_new_id(self, job_id: int) -> None:
        assert job_id > self._ids[-1][1], f"job id {job_id} was given before"

    def _count(self, engine: Engine) -> None:
        for job in engine.jobs.values():
            self._counts[job.id] = (job.reserves, job.timeouts)


def _is_same(last: View | None, found: View, now_ns: int) -> bool:
    if isinstance(last, JobView) and isinstance(found, JobView):
        return last.may_come_back_as(found, now_ns)
    return last == found


def _may_be(expected: View | None, found: View | None, now_ns: int) -> bool:
    if isinstance(expected, JobView):
        return isinstance(found, JobView) and expected.may_come_back_as(found, now_ns)
    if isinstance(expected, PauseView):
        return expected.may_come_back_as(found, now_ns)
    return found is None
