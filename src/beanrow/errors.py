"""Everything that beanrow raises at its users, one class for each cause.

    BeanrowError
    ├── InvalidArgument       refused here, before anything was sent; also a ValueError
    ├── CodecError            a body that the codec cannot encode or decode; also a ValueError
    ├── ConnectionShared      two threads or processes speak on one; also a RuntimeError
    ├── SomeRefused           of many commands sent together; the others were carried out
    ├── ProtocolError         a reply that cannot be understood
    ├── ConnectionProblem     the way to the server; also an OSError
    │   ├── ConnectionFailed  it could not be opened
    │   ├── ConnectionLost    it ended in the middle of a command
    │   ├── ConnectionClosed  it had ended before, and nothing was sent
    │   └── IOTimeout         the server is silent; also a TimeoutError
    └── ReplyError            the server understood, and said no: one class for each word
        ├── NotFound, NotIgnored, DeadlineSoon, Buried, Draining, JobTooBig
        └── BadFormat, UnknownCommand, ExpectedCRLF, OutOfMemory, InternalError

After a ReplyError the connection is as good as before. After a ProtocolError, ConnectionLost or
IOTimeout it is not: a late reply would be taken for the answer to the next command, so the client
closes it, and the server makes the jobs it had reserved ready again.
"""

# These are outcomes with names of their own, as on the wire, and not all of them are errors.
# ruff: noqa: N818

from collections.abc import Sequence
from typing import ClassVar


class BeanrowError(Exception):
    """The root: catch this to catch all of them."""


class InvalidArgument(BeanrowError, ValueError):
    """An argument that the protocol has no room for; nothing was sent."""


class CodecError(BeanrowError, ValueError):
    """The connection's codec cannot encode or decode this body."""


class ConnectionShared(BeanrowError, RuntimeError):
    """Another thread is using the connection, or it was opened before a fork; nothing was sent.

    Or, with asyncio, another task waits in a reserve on it. Give each thread, each process, and
    each task that waits for jobs, a connection of its own.
    """


class ProtocolError(BeanrowError):
    """The server's reply is no beanstalk reply, or none that this command can have."""


class ConnectionProblem(BeanrowError, OSError):
    """The root of what can happen to a connection."""


class ConnectionFailed(ConnectionProblem, ConnectionError):
    """The server cannot be reached."""


class ConnectionLost(ConnectionProblem, ConnectionError):
    """The connection ended during a command, which the server may or may not have executed.

    The message says "not sent" if it had ended before, and so nothing was executed.
    """


class ConnectionClosed(ConnectionProblem, ConnectionError):
    """The connection was closed, or broken by an earlier error; nothing was sent.

    If another thread closed it "meanwhile", the command may have been executed.
    """


class IOTimeout(ConnectionProblem, TimeoutError):
    """No sign of the server for too long; it may or may not have executed the command."""


class ReplyError(BeanrowError):
    """The server answered the command with a word that means no.

    `command` is the line that was sent, without its CRLF; `job_id` the job that it was about, or
    None.
    """

    word: ClassVar[str]
    advice: ClassVar[str]

    def __init__(self, command: str, job_id: int | None = None) -> None:
        super().__init__(command, job_id)
        self.command = command
        self.job_id = job_id

    def __str__(self) -> str:
        return f"{self.command}: {self.word}: {self.advice}"


class NotFound(ReplyError):
    """No such job or tube, or the job is not in a state that this command is for."""

    word = "NOT_FOUND"
    advice = "no such job or tube, or the job is not in a state for this or not held by this client"


class NotIgnored(ReplyError):
    """The last tube on the watch list cannot be ignored."""

    word = "NOT_IGNORED"
    advice = "a client watches at least one tube; watch another one first"


class DeadlineSoon(ReplyError):
    """Less than a second is left of the time to run of a job that this connection has reserved.

    `job_ids` says which: finish or `touch` them, then reserve again.
    """

    word = "DEADLINE_SOON"

    def __init__(
        self, command: str, job_id: int | None = None, job_ids: tuple[int, ...] = ()
    ) -> None:
        super().__init__(command, job_id)
        self.args = (command, job_id, job_ids)  # what pickle hands to __init__
        self.job_ids = job_ids

    def __str__(self) -> str:
        jobs = f"jobs {', '.join(map(str, self.job_ids))}" if self.job_ids else "a reserved job"
        return f"{self.command}: {self.word}: delete, release, bury or touch {jobs} first"


class Buried(ReplyError):
    """The server had no memory to put or release the job `job_id`, and has buried it instead."""

    word = "BURIED"

    def __str__(self) -> str:
        return (
            f"{self.command}: {self.word}: the server is out of memory and has buried "
            f"job {self.job_id}; kick it when there is room again"
        )


class Draining(ReplyError):
    """The server is in drain mode and takes no new jobs."""

    word = "DRAINING"
    advice = "the server takes no new jobs; put it on another server, or try later"


class JobTooBig(ReplyError):
    """The body is longer than this server allows."""

    word = "JOB_TOO_BIG"
    advice = "shorten the body, or raise the server's limit (its option -z)"


class BadFormat(ReplyError):
    """The server cannot parse the command line."""

    word = "BAD_FORMAT"
    advice = "the server cannot parse this; is it older than the command?"


class UnknownCommand(ReplyError):
    """The server does not know the command."""

    word = "UNKNOWN_COMMAND"
    advice = "the server does not know this; is it older than the command?"


class ExpectedCRLF(ReplyError):
    """The server did not find the end of the body where it was announced."""

    word = "EXPECTED_CRLF"
    advice = "body and announced length differ; this is a defect of the client"


class OutOfMemory(ReplyError):
    """The server has no memory for this."""

    word = "OUT_OF_MEMORY"
    advice = "the server has no memory left; delete jobs, or try later"


class InternalError(ReplyError):
    """The server has found a defect in itself."""

    word = "INTERNAL_ERROR"
    advice = "the server met a defect or a full disk; its log says more"


class SomeRefused(BeanrowError):
    """Of many commands the server has refused `refused`; the others were carried out.

    `first` is the first of the refusals, and also the `__cause__`. `results` has, in order, for
    each item of `put_many` its id, or the ReplyError that refused it; of `delete_many`, None or
    the ReplyError. After a pipeline it is empty, for there each command has its own `Outcome`.
    """

    def __init__(
        self,
        refused: int,
        total: int,
        first: ReplyError,
        results: Sequence[int | ReplyError | None] = (),
    ) -> None:
        super().__init__(refused, total, first, results)
        self.refused = refused
        self.total = total
        self.first = first
        self.results = results

    def __str__(self) -> str:
        return f"{self.refused} of {self.total} commands were refused; the first: {self.first}"
