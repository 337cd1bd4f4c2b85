"""The queue once more, as plainly as it can be said: lists, and looking through all of them.

It is written from the rules of the protocol and shares nothing with the engine but the names of
its answers. Nothing in it is fast, and nothing is remembered that can be found out by looking.
Sessions are known by number, in the order in which they came.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

S = 1_000_000_000
FOREVER_NS = (1 << 62) - 1
TIMED_OUT = "TIMED_OUT"
DEADLINE_SOON = "DEADLINE_SOON"

#: The id of a job, or why there is none.
Answer = int | str

T = TypeVar("T")


@dataclass
class ModelJob:
    id: int
    tube: str
    pri: int
    delay_s: int
    ttr_s: int
    created_ns: int
    body: bytes = b""
    state: str = "gone"
    #: When the delay or the reservation ends.
    ends_ns: int = 0
    #: The how manieth delay or reservation that is, of all.
    begun: int = 0
    holder: int | None = None
    reserves: int = 0
    timeouts: int = 0
    releases: int = 0
    buries: int = 0
    kicks: int = 0

    def time_left_ns(self, now_ns: int) -> int:
        return self.ends_ns - now_ns if self.state in ("delayed", "reserved") else 0


@dataclass
class ModelTube:
    name: str
    #: The how manieth tube it is of all that ever were.
    number: int
    #: The ids of its buried jobs, the first buried first.
    buried: list[int] = field(default_factory=list)
    pause_s: int = 0
    unpause_ns: int | None = None
    total_jobs: int = 0
    deletes: int = 0
    pauses: int = 0


@dataclass
class ModelSession:
    number: int
    use: str = "default"
    watch: list[str] = field(default_factory=lambda: ["default"])
    #: The ids of the jobs it holds, the first taken first.
    reserved: list[int] = field(default_factory=list)
    wait_until_ns: int | None = None
    is_producer: bool = False
    is_worker: bool = False


class Model:
    """What an engine must do, for the tests to compare with."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.jobs: dict[int, ModelJob] = {}
        self.tubes = [ModelTube("default", 0)]
        self.sessions: dict[int, ModelSession] = {}
        #: The sessions that wait, the first to come first.
        self.waiting: list[int] = []
        self.answers: list[tuple[int, Answer]] = []
        self.ids_given = 0
        self.tubes_made = 1
        self.sessions_opened = 0
        self.total_jobs = 0
        self.timeouts = 0
        self._begun = count()

    # --- looking ------------------------------------------------------------------------

    def tube(self, name: str) -> ModelTube | None:
        return next((tube for tube in self.tubes if tube.name == name), None)

    def jobs_in(self, state: str, tube: str | None = None) -> list[ModelJob]:
        """The jobs of a state, in the order in which they are taken from it."""
        found = [j for j in self.jobs.values() if j.state == state and tube in (None, j.tube)]
        if state == "ready":
            return sorted(found, key=lambda job: (job.pri, job.id))
        return sorted(found, key=lambda job: (job.ends_ns, job.begun))

    def due_moments(self) -> Iterator[int]:
        """Every moment at which something will happen by itself."""
        yield from (job.ends_ns for job in self.jobs_in("delayed") + self.jobs_in("reserved"))
        yield from (tube.unpause_ns for tube in self.tubes if tube.unpause_ns is not None)
        for number in self.waiting:
            session = self.sessions[number]
            if session.wait_until_ns not in (None, FOREVER_NS):
                yield session.wait_until_ns
            yield from (self.jobs[job_id].ends_ns - S for job_id in session.reserved)

    def next_due_ns(self) -> int:
        return min(self.due_moments(), default=FOREVER_NS)

    def is_deadline_soon(self, session: ModelSession) -> bool:
        return any(self.jobs[job_id].ends_ns - S <= self.now_ns for job_id in session.reserved)

    # --- sessions and their tubes -------------------------------------------------------

    def open_session(self) -> int:
        number = self.sessions_opened
        self.sessions_opened += 1
        self.sessions[number] = ModelSession(number)
        return number

    def close_session(self, number: int) -> None:
        self._wait_no_more(number)
        session = self.sessions[number]
        for job_id in list(session.reserved):
            self._give_back(self.jobs[job_id])
        del self.sessions[number]
        while session.watch:
            # The first goes, the last takes its place.
            name = _remove_from_list(session.watch, session.watch[0])
            self._forget_unneeded(name, also_watched=session.watch, also_used=session.use)
        self._forget_unneeded(session.use)

    def use(self, number: int, name: str) -> None:
        self._make_tube(name)
        session = self.sessions[number]
        left, session.use = session.use, name
        self._forget_unneeded(left)

    def watch(self, number: int, name: str) -> int:
        self._make_tube(name)
        session = self.sessions[number]
        if name not in session.watch:
            session.watch.append(name)
        return len(session.watch)

    def ignore(self, number: int, name: str) -> int:
        session = self.sessions[number]
        if name in session.watch:
            if session.watch == [name]:
                return 0
            _remove_from_list(session.watch, name)
            self._forget_unneeded(name)
        return len(session.watch)

    def _make_tube(self, name: str) -> None:
        if self.tube(name) is None:
            self.tubes.append(ModelTube(name, self.tubes_made))
            self.tubes_made += 1

    def _forget_unneeded(
        self, name: str, also_watched: list[str] | None = None, also_used: str = ""
    ) -> None:
        tube = self.tube(name)
        needed = (
            name == "default"
            or name == also_used
            or name in (also_watched or [])
            or any(job.tube == name for job in self.jobs.values())
            or any(name == s.use or name in s.watch for s in self.sessions.values())
        )
        if tube is not None and not needed:
            _remove_from_list(self.tubes, tube)

    # --- verbs --------------------------------------------------------------------------

    def begin_put(self, number: int, pri: int, delay_s: int, ttr_s: int) -> ModelJob:
        session = self.sessions[number]
        session.is_producer = True
        self.ids_given += 1
        return ModelJob(self.ids_given, session.use, pri, delay_s, max(1, ttr_s), self.now_ns)

    def finish_put(self, job: ModelJob, body: bytes) -> None:
        job.body = body
        self.jobs[job.id] = job
        self.total_jobs += 1
        self._tube_of(job).total_jobs += 1
        self._enqueue(job, job.delay_s)

    def reserve(self, number: int, timeout_s: int | None) -> Answer | None:
        session = self.sessions[number]
        session.is_worker = True
        takeable = [
            job
            for job in self.jobs_in("ready")
            if job.tube in session.watch and self._tube_of(job).unpause_ns is None
        ]
        if takeable:
            self._take(takeable[0], number)
            return takeable[0].id
        if self.is_deadline_soon(session):
            return DEADLINE_SOON
        if timeout_s == 0:
            return TIMED_OUT
        session.wait_until_ns = FOREVER_NS if timeout_s is None else self.now_ns + timeout_s * S
        self.waiting.append(number)
        return None

    def reserve_job(self, number: int, job_id: int) -> int | None:
        job = self.jobs.get(job_id)
        if job is None or job.state == "reserved":
            return None
        self.sessions[number].is_worker = True
        self._take(job, number)
        return job_id

    def delete(self, number: int, job_id: int) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.holder not in (None, number):
            return False
        self._leave(job)
        del self.jobs[job_id]
        self._tube_of(job).deletes += 1
        self._forget_unneeded(job.tube)
        return True

    def release(self, number: int, job_id: int, pri: int, delay_s: int) -> bool:
        if job_id not in self.sessions[number].reserved:
            return False
        job = self.jobs[job_id]
        job.releases += 1
        job.pri = pri
        job.delay_s = delay_s
        self._leave(job)
        self._enqueue(job, delay_s)
        return True

    def bury(self, number: int, job_id: int, pri: int) -> bool:
        if job_id not in self.sessions[number].reserved:
            return False
        job = self.jobs[job_id]
        job.buries += 1
        job.pri = pri
        self._leave(job)
        job.state = "buried"
        self._tube_of(job).buried.append(job_id)
        return True

    def touch(self, number: int, job_id: int) -> bool:
        if job_id not in self.sessions[number].reserved:
            return False
        job = self.jobs[job_id]
        job.ends_ns = self.now_ns + job.ttr_s * S
        return True

    def kick(self, number: int, bound: int) -> int:
        tube = self.tube(self.sessions[number].use)
        assert tube is not None
        ids = tube.buried or [job.id for job in self.jobs_in("delayed", tube.name)]
        ids = ids[:bound]
        for job_id in ids:
            self.kick_job(job_id)
        return len(ids)

    def kick_job(self, job_id: int) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.state not in ("buried", "delayed"):
            return False
        job.kicks += 1
        self._give_back(job)
        return True

    def pause(self, name: str, pause_s: int) -> bool:
        tube = self.tube(name)
        if tube is None:
            return False
        tube.pauses += 1
        tube.pause_s = pause_s
        tube.unpause_ns = self.now_ns + pause_s * S
        if pause_s == 0:
            self._unpause(tube)
        return True

    def stop_waiting(self, number: int) -> None:
        if number in self.waiting:
            self._answer(number, TIMED_OUT)

    # --- time ---------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Tubes before sessions, the older before the younger."""
        self.now_ns = now_ns
        for tube in sorted(self.tubes, key=lambda tube: tube.number):
            for job in self.jobs_in("delayed", tube.name):
                if job.ends_ns <= now_ns:
                    self._give_back(job)
            if tube.unpause_ns is not None and tube.unpause_ns <= now_ns:
                self._unpause(tube)
        for number, session in sorted(self.sessions.items()):
            if session.wait_until_ns is not None:
                if self.is_deadline_soon(session):
                    self._answer(number, DEADLINE_SOON)
                elif session.wait_until_ns <= now_ns:
                    self._answer(number, TIMED_OUT)
            for job in self.jobs_in("reserved"):
                if job.holder == number and job.ends_ns <= now_ns:
                    job.timeouts += 1
                    self.timeouts += 1
                    self._give_back(job)

    def _unpause(self, tube: ModelTube) -> None:
        tube.unpause_ns = None
        tube.pause_s = 0
        for job in self.jobs_in("ready", tube.name):
            self._offer(job)

    # --- where a job goes ---------------------------------------------------------------

    def _tube_of(self, job: ModelJob) -> ModelTube:
        tube = self.tube(job.tube)
        assert tube is not None, "a tube with a job in it stays"
        return tube

    def _enqueue(self, job: ModelJob, delay_s: int) -> None:
        if delay_s:
            job.state = "delayed"
            job.ends_ns = self.now_ns + delay_s * S
            job.begun = next(self._begun)
        else:
            job.state = "ready"
            self._offer(job)

    def _give_back(self, job: ModelJob) -> None:
        self._leave(job)
        self._enqueue(job, 0)

    def _offer(self, job: ModelJob) -> None:
        """A ready job goes to the session that has waited for its tube longest."""
        for number in self.waiting:
            watched = job.tube in self.sessions[number].watch
            if watched and self._tube_of(job).unpause_ns is None:
                self._take(job, number)
                self._answer(number, job.id)
                return

    def _take(self, job: ModelJob, number: int) -> None:
        self._leave(job)
        job.state = "reserved"
        job.reserves += 1
        job.holder = number
        job.ends_ns = self.now_ns + job.ttr_s * S
        job.begun = next(self._begun)
        self.sessions[number].reserved.append(job.id)

    def _leave(self, job: ModelJob) -> None:
        if job.holder is not None:
            self.sessions[job.holder].reserved.remove(job.id)
            job.holder = None
        if job.state == "buried":
            self._tube_of(job).buried.remove(job.id)

    def _answer(self, number: int, answer: Answer) -> None:
        self._wait_no_more(number)
        self.answers.append((number, answer))

    def _wait_no_more(self, number: int) -> None:
        self.sessions[number].wait_until_ns = None
        if number in self.waiting:
            self.waiting.remove(number)


def _remove_from_list(items: list[T], item: T) -> T:
    """Lists close the gap of one that goes with their last."""
    place = items.index(item)
    items[place] = items[-1]
    items.pop()
    return item
