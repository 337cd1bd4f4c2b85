"""A command to the engine, its result to a reply: one short function a verb.

A verb that would make a change asks the journal first whether there is room for it. Only when the
answer is no, whether there is anything to change at all: what is not there stays `NOT_FOUND`.
"""

from __future__ import annotations

from typing import Final

from beanrow.engine.engine import KICKABLE, Engine
from beanrow.engine.job import Job
from beanrow.engine.session import NoJob, Session
from beanrow.engine.timers import NEVER_NS
from beanrow.journal.base import ADMITTED, BROKEN, FULL, Journal
from beanrow.protocol import commands as verbs
from beanrow.protocol import replies
from beanrow.protocol.commands import Command
from beanrow.protocol.limits import NS_PER_S
from beanrow.protocol.replies import LongReply
from beanrow.server.stats_documents import ServerFacts, job_document, server_document, tube_document

#: By what a journal answers to `admit…`.
_REFUSALS: Final = {FULL: replies.OUT_OF_MEMORY, BROKEN: replies.INTERNAL_ERROR}


def answer_reserve(answer: Job | NoJob) -> bytes | LongReply:
    """The reply to a reserve, be it given at once or after waiting."""
    if isinstance(answer, Job):
        return replies.reserved(answer.id, answer.body)
    return replies.DEADLINE_SOON if answer is NoJob.DEADLINE_SOON else replies.TIMED_OUT


class Dispatcher:
    """Executes the commands of all clients on one engine and counts them.

    Which commands count as used, and when, is beanstalkd's: one whose form is right counts,
    whatever its answer; a put counts when its line has come, before its body.
    """

    __slots__ = ("counts", "draining", "engine", "facts", "journal", "now_ns")

    def __init__(self, engine: Engine, facts: ServerFacts, journal: Journal) -> None:
        self.engine = engine
        self.journal = journal
        self.facts = facts
        #: While set, a put is answered DRAINING.
        self.draining = False
        #: How often each verb was used, by its code; the last place is for what does not count.
        self.counts = [0] * (verbs.UNCOUNTED + 1)
        #: The moment of this tick; the caller sets it.
        self.now_ns = 0

    # A table, if a long one; compiled, a list of bound methods takes 2 to 3% more of the time of a
    # command.
    def execute(self, session: Session, command: Command) -> bytes | LongReply | None:  # noqa: C901
        """Do what a client asks. None: there is no reply now (it waits, or it quits)."""
        self.counts[command.counts_as] += 1
        match command.verb:  # the usual ones first
            case verbs.PUT:
                return self._put(session, command)
            case verbs.RESERVE:
                return self._reserve(session, command)
            case verbs.RESERVE_WITH_TIMEOUT:
                return self._reserve_with_timeout(session, command)
            case verbs.DELETE:
                return self._delete(session, command)
            case verbs.RELEASE:
                return self._release(session, command)
            case verbs.TOUCH:
                return self._touch(session, command)
            case verbs.BURY:
                return self._bury(session, command)
            case verbs.PEEK:
                return self._peek(session, command)
            case verbs.PEEK_READY:
                return self._peek_ready(session, command)
            case verbs.PEEK_DELAYED:
                return self._peek_delayed(session, command)
            case verbs.PEEK_BURIED:
                return self._peek_buried(session, command)
            case verbs.RESERVE_JOB:
                return self._reserve_job(session, command)
            case verbs.KICK:
                return self._kick(session, command)
            case verbs.KICK_JOB:
                return self._kick_job(session, command)
            case verbs.STATS:
                return self._stats(session, command)
            case verbs.STATS_JOB:
                return self._stats_job(session, command)
            case verbs.STATS_TUBE:
                return self._stats_tube(session, command)
            case verbs.USE:
                return self._use(session, command)
            case verbs.WATCH:
                return self._watch(session, command)
            case verbs.IGNORE:
                return self._ignore(session, command)
            case verbs.LIST_TUBES:
                return self._list_tubes(session, command)
            case verbs.LIST_TUBE_USED:
                return self._list_tube_used(session, command)
            case verbs.LIST_TUBES_WATCHED:
                return self._list_tubes_watched(session, command)
            case verbs.PAUSE_TUBE:
                return self._pause_tube(session, command)
            case verbs.REFUSED:
                return command.error
            case verbs.QUIT:
                return None
        raise AssertionError(f"no verb has the code {command.verb}")

    def begin(self, session: Session, command: Command) -> None:
        """Note a put whose body has yet to come: it counts, and its job gets id and age.

        Only for one that does not arrive whole; otherwise `execute` does both.
        """
        if command.counts_as != verbs.UNCOUNTED:
            self.counts[command.counts_as] += 1
            command.counts_as = verbs.UNCOUNTED
            if command.verb == verbs.PUT:
                session.putting = self._new_job(session, command)

    def _new_job(self, session: Session, command: Command) -> Job:
        return self.engine.begin_put(
            session, command.pri, command.delay_s, command.ttr_s, self.now_ns
        )

    def _refuse(self, answer: int, command: Command) -> bytes:
        """The reply to a change of a job for which the journal has no room."""
        return _REFUSALS[answer] if command.number in self.engine.jobs else replies.NOT_FOUND

    # --- producing ----------------------------------------------------------------------

    def _put(self, session: Session, command: Command) -> bytes:
        job = session.putting
        if job is None:
            job = self._new_job(session, command)
        else:
            session.putting = None
        if command.error:
            return command.error
        if self.draining:
            return replies.DRAINING
        answer = self.journal.admit_put(len(job.tube.name), len(command.body))
        if answer != ADMITTED:
            return _REFUSALS[answer]
        self.engine.finish_put(job, command.body, self.now_ns)
        return replies.inserted(job.id)

    def _use(self, session: Session, command: Command) -> bytes:
        self.engine.use(session, command.tube)
        return replies.using(command.tube)

    # --- working ------------------------------------------------------------------------

    def _reserve(self, session: Session, command: Command) -> bytes | LongReply | None:
        answer = self.engine.reserve(session, NEVER_NS, self.now_ns)
        return None if answer is None else answer_reserve(answer)

    def _reserve_with_timeout(self, session: Session, command: Command) -> bytes | LongReply | None:
        until_ns = self.now_ns + command.number * NS_PER_S
        answer = self.engine.reserve(session, until_ns, self.now_ns)
        return None if answer is None else answer_reserve(answer)

    def _reserve_job(self, session: Session, command: Command) -> bytes | LongReply:
        found = self.engine.jobs.get(command.number)
        if found is not None and found.state in KICKABLE:  # the only reserve that is a change
            answer = self.journal.admit_updates(1)
            if answer != ADMITTED:
                return _REFUSALS[answer]
        job = self.engine.reserve_job(session, command.number, self.now_ns)
        return replies.NOT_FOUND if job is None else replies.reserved(job.id, job.body)

    def _delete(self, session: Session, command: Command) -> bytes:
        answer = self.journal.admit_deletes()
        if answer != ADMITTED:
            return self._refuse(answer, command)
        deleted = self.engine.delete(session, command.number)
        return replies.DELETED if deleted else replies.NOT_FOUND

    def _release(self, session: Session, command: Command) -> bytes:
        answer = self.journal.admit_updates(1)
        if answer != ADMITTED:
            return self._refuse(answer, command)
        released = self.engine.release(
            session, command.number, command.pri, command.delay_s, self.now_ns
        )
        return replies.RELEASED if released else replies.NOT_FOUND

    def _bury(self, session: Session, command: Command) -> bytes:
        answer = self.journal.admit_updates(1)
        if answer != ADMITTED:
            return self._refuse(answer, command)
        buried = self.engine.bury(session, command.number, command.pri)
        return replies.BURIED if buried else replies.NOT_FOUND

    def _touch(self, session: Session, command: Command) -> bytes:
        touched = self.engine.touch(session, command.number, self.now_ns)
        return replies.TOUCHED if touched else replies.NOT_FOUND

    def _watch(self, session: Session, command: Command) -> bytes:
        return replies.watching(self.engine.watch(session, command.tube))

    def _ignore(self, session: Session, command: Command) -> bytes:
        count = self.engine.ignore(session, command.tube)
        return replies.watching(count) if count else replies.NOT_IGNORED

    # --- looking ------------------------------------------------------------------------

    def _peek(self, session: Session, command: Command) -> bytes | LongReply:
        return _found(self.engine.jobs.get(command.number))

    def _peek_ready(self, session: Session, command: Command) -> bytes | LongReply:
        nodes = session.use.ready.nodes
        return _found(nodes[0] if nodes else None)

    def _peek_delayed(self, session: Session, command: Command) -> bytes | LongReply:
        nodes = session.use.delayed.nodes
        return _found(nodes[0] if nodes else None)

    def _peek_buried(self, session: Session, command: Command) -> bytes | LongReply:
        return _found(next(iter(session.use.buried.values()), None))

    def _stats(self, session: Session, command: Command) -> bytes:
        facts = self.journal.facts
        return replies.ok(
            server_document(self.engine, self.counts, self.facts, facts, self.draining, self.now_ns)
        )

    def _stats_job(self, session: Session, command: Command) -> bytes:
        job = self.engine.jobs.get(command.number)
        if job is None:
            return replies.NOT_FOUND
        return replies.ok(job_document(job, self.journal.segment_of(job), self.now_ns))

    def _stats_tube(self, session: Session, command: Command) -> bytes:
        tube = self.engine.tubes.get(command.tube)
        if tube is None:
            return replies.NOT_FOUND
        return replies.ok(tube_document(tube, self.now_ns))

    def _list_tubes(self, session: Session, command: Command) -> bytes:
        return replies.ok(replies.list_document([tube.name for tube in self.engine.tubes]))

    def _list_tube_used(self, session: Session, command: Command) -> bytes:
        return replies.using(session.use.name)

    def _list_tubes_watched(self, session: Session, command: Command) -> bytes:
        return replies.ok(replies.list_document([tube.name for tube in session.watch]))

    # --- mending ------------------------------------------------------------------------

    def _kick(self, session: Session, command: Command) -> bytes:
        tube = session.use
        count = min(command.number, len(tube.buried) or len(tube.delayed.nodes))
        answer = self.journal.admit_updates(count) if count else ADMITTED
        if answer != ADMITTED:
            return _REFUSALS[answer]
        return replies.kicked(self.engine.kick(session, command.number, self.now_ns))

    def _kick_job(self, session: Session, command: Command) -> bytes:
        answer = self.journal.admit_updates(1)
        if answer != ADMITTED:
            return self._refuse(answer, command)
        kicked = self.engine.kick_job(command.number, self.now_ns)
        return replies.JOB_KICKED if kicked else replies.NOT_FOUND

    def _pause_tube(self, session: Session, command: Command) -> bytes:
        answer = self.journal.admit_updates(1)
        if answer != ADMITTED and self.engine.tubes.get(command.tube) is not None:
            return _REFUSALS[answer]
        paused = self.engine.pause(command.tube, command.number, self.now_ns)
        return replies.PAUSED if paused else replies.NOT_FOUND


def _found(job: Job | None) -> bytes | LongReply:
    return replies.NOT_FOUND if job is None else replies.found(job.id, job.body)
