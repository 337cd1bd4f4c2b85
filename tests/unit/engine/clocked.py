"""An engine with the time beside it, as a server would have it."""

from beanrow.engine.engine import Engine
from beanrow.engine.job import Job
from beanrow.engine.session import NoJob, Session
from beanrow.engine.timers import NEVER_NS
from beanrow.protocol.limits import NS_PER_S

Answer = Job | NoJob


class Clocked:
    """Calls of an engine at the present moment, which only `pass_s` and `go_to` move on."""

    def __init__(self) -> None:
        self.engine = Engine()
        # Any moment but 0, so that none is taken for "not set".
        self.now_ns = 1_000 * NS_PER_S

    def open(self, *watched: bytes, use: bytes = b"default") -> Session:
        """A session that watches these tubes, or the default one."""
        session = self.engine.open_session()
        self.engine.use(session, use)
        for name in watched:
            self.engine.watch(session, name)
        if watched and b"default" not in watched:
            self.engine.ignore(session, b"default")
        return session

    def close(self, session: Session) -> None:
        self.engine.close_session(session, self.now_ns)

    def put(self, session: Session, pri: int = 0, delay_s: int = 0, ttr_s: int = 60) -> Job:
        job = self.engine.begin_put(session, pri, delay_s, ttr_s, self.now_ns)
        self.engine.finish_put(job, b"", self.now_ns)
        return job

    def reserve(self, session: Session, timeout_s: int | None = 0) -> Answer | None:
        """Without a timeout (None) it waits for ever."""
        until_ns = NEVER_NS if timeout_s is None else self.now_ns + timeout_s * NS_PER_S
        return self.engine.reserve(session, until_ns, self.now_ns)

    def reserve_job(self, session: Session, job: Job) -> Job | None:
        return self.engine.reserve_job(session, job.id, self.now_ns)

    def release(self, session: Session, job: Job, pri: int = 0, delay_s: int = 0) -> bool:
        return self.engine.release(session, job.id, pri, delay_s, self.now_ns)

    def bury(self, session: Session, job: Job, pri: int = 0) -> bool:
        return self.engine.bury(session, job.id, pri)

    def touch(self, session: Session, job: Job) -> bool:
        return self.engine.touch(session, job.id, self.now_ns)

    def delete(self, session: Session, job: Job) -> bool:
        return self.engine.delete(session, job.id)

    def kick(self, session: Session, bound: int) -> int:
        return self.engine.kick(session, bound, self.now_ns)

    def kick_job(self, job: Job) -> bool:
        return self.engine.kick_job(job.id, self.now_ns)

    def pause(self, name: bytes, pause_s: int) -> bool:
        return self.engine.pause(name, pause_s, self.now_ns)

    def answers(self) -> list[tuple[Session, Answer]]:
        """The answers that came since the last call."""
        answers = self.engine.answers
        self.engine.answers = []
        return answers

    def go_to(self, moment_ns: int) -> None:
        """Let time pass up to a moment, stopping wherever the engine asks for it."""
        while (next_ns := self.engine.next_tick_ns()) < moment_ns:
            self.now_ns = next_ns
            self.engine.tick(next_ns)
        self.now_ns = moment_ns
        self.engine.tick(moment_ns)

    def pass_s(self, seconds: float) -> None:
        self.go_to(self.now_ns + round(seconds * NS_PER_S))

    def tubes(self) -> list[str]:
        return [tube.name.decode() for tube in self.engine.tubes]
