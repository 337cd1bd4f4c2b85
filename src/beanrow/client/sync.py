"""The blocking client: `Connection`, a method for every command.

What commands look like on the wire is `protocol.requests`, how bytes travel is `stream`; here is
what is left, which is little.
"""

from itertools import islice
from types import TracebackType
from typing import Any, Final, Self, overload

from beanrow.client.address import parse_address
from beanrow.client.codec import Codec, encode_body, find_codec
from beanrow.client.job import Job
from beanrow.client.stats import JobStats, ServerStats, TubeStats
from beanrow.client.stream import Stream
from beanrow.errors import Buried, DeadlineSoon, NotFound
from beanrow.protocol import requests
from beanrow.protocol.limits import DEFAULT_PORT
from beanrow.protocol.requests import DEFAULT_PRIORITY, DEFAULT_TTR_S, JobFound, Request

#: How many jobs are asked about, one after the other, when one of them has less than a second left.
DEADLINE_QUESTIONS: Final = 32


class Connection:
    """A connection to a server: one at a time may speak on it, so give each thread its own.

    `host` and `port` say where: names and numbers, or all of it in `host`, as "mail:11300",
    "beanstalk://mail:11300", or the path of a socket, "/run/beanrow.sock".

    `connect_timeout` and `io_timeout` are in seconds, None waits for ever: how long connecting
    may take, and how long the server may be silent when it owes an answer. While `reserve` waits
    for a job the server owes none, so its time-out is added; a server that vanishes without a
    word is then noticed by TCP keepalive.

    `codec` is for bodies: None for bytes, "json", a text encoding as "utf-8", or an object with
    `encode` and `decode`.

    Every method raises ReplyError when the server refuses, IOTimeout, ConnectionLost or
    ProtocolError when no answer came of it, ConnectionClosed when the connection had been closed
    or broken before, and InvalidArgument before anything is sent.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | str = DEFAULT_PORT,
        *,
        connect_timeout: float | None = 10.0,
        io_timeout: float | None = 30.0,
        codec: str | Codec | None = None,
    ) -> None:
        self._codec = find_codec(codec)
        self._stream = Stream(parse_address(host, port), connect_timeout, io_timeout)
        self._call = self._stream.exchange
        # Ids, those first whose time to run began first; some may have timed out unnoticed.
        self._reserved: dict[int, None] = {}

    # Producers.

    def use(self, tube: str) -> str:
        """Choose the tube that `put`, `kick` and the peeks are about; at first it is "default"."""
        return self._call(requests.use(tube))

    def using(self) -> str:
        """Ask which tube is in use."""
        return self._call(requests.list_tube_used())

    def put(
        self, body: Any, priority: int = DEFAULT_PRIORITY, delay: int = 0, ttr: int = DEFAULT_TTR_S
    ) -> int:
        """Put a job into the tube in use and return its id.

        A smaller priority goes first. `delay` is how long to wait before the job is ready, `ttr`
        how long a worker may take for it, in seconds; the server makes a ttr of 0 a 1.

        Raises CodecError, Draining, JobTooBig, OutOfMemory, and Buried.
        """
        data = encode_body(self._codec, body)
        return self._call(requests.put(data, priority, delay, ttr))

    # Workers.

    def watch(self, tube: str) -> int:
        """Reserve from this tube as well; returns how many are watched. At first "default" is."""
        return self._call(requests.watch(tube))

    def ignore(self, tube: str) -> int:
        """Watch this tube no more; returns how many are. Raises NotIgnored for the last one."""
        return self._call(requests.ignore(tube))

    def watching(self) -> list[str]:
        """Ask which tubes are watched."""
        return self._call(requests.list_tubes_watched())

    @overload
    def reserve(self, timeout: None = None) -> Job: ...

    @overload
    def reserve(self, timeout: int) -> Job | None: ...

    def reserve(self, timeout: int | None = None) -> Job | None:
        """Reserve the most urgent job of the watched tubes, waiting until there is one.

        Returns None when there was none for `timeout` seconds. Raises DeadlineSoon when a job
        reserved before has less than a second left; of many jobs only those reserved or touched
        the longest ago are asked about.
        """
        try:
            found = self._call(requests.reserve(timeout))
        except DeadlineSoon as error:
            raise DeadlineSoon(error.command, job_ids=self._near_deadline()) from None
        return None if found is None else self._job(found, reserved=True)

    def reserve_job(self, job: int | Job) -> Job:
        """Reserve this job, be it ready, delayed or buried. Raises NotFound."""
        return self._job(self._call(requests.reserve_job(_id(job))), reserved=True)

    def delete(self, job: int | Job) -> None:
        """Remove a job: one reserved here, or one that nobody has reserved. Raises NotFound."""
        self._finish(job, requests.delete(_id(job)))

    def release(self, job: int | Job, priority: int | None = None, delay: int = 0) -> None:
        """Give a reserved job back; see `Job.release`."""
        priority = self._priority("release", job, priority)
        self._finish(job, requests.release(_id(job), priority, delay))

    def bury(self, job: int | Job, priority: int | None = None) -> None:
        """Put a reserved job aside; see `Job.bury`."""
        priority = self._priority("bury", job, priority)
        self._finish(job, requests.bury(_id(job), priority))

    def touch(self, job: int | Job) -> None:
        """Let the time to run of a reserved job begin anew. Raises NotFound if it is over."""
        self._call(requests.touch(_id(job)))
        self._remember(_id(job))

    # Maintainers.

    def peek(self, job: int | Job) -> Job | None:
        """Look at a job in whatever state; None when there is no such job."""
        return self._peeked(requests.peek(_id(job)))

    def peek_ready(self) -> Job | None:
        """Look at the ready job of the tube in use that is next, if any."""
        return self._peeked(requests.peek_ready())

    def peek_delayed(self) -> Job | None:
        """Look at the delayed job of the tube in use that is ready first, if any."""
        return self._peeked(requests.peek_delayed())

    def peek_buried(self) -> Job | None:
        """Look at the job of the tube in use that was buried first, if any."""
        return self._peeked(requests.peek_buried())

    def kick(self, bound: int = 1) -> int:
        """Make up to `bound` buried jobs of the tube in use ready; delayed ones, if none is buried.

        Returns how many.
        """
        return self._call(requests.kick(bound))

    def kick_job(self, job: int | Job) -> None:
        """Make one buried or delayed job ready. Raises NotFound."""
        self._call(requests.kick_job(_id(job)))

    def pause_tube(self, tube: str, delay: int) -> None:
        """Let no job of the tube be reserved for `delay` seconds. Raises NotFound."""
        self._call(requests.pause_tube(tube, delay))

    def tubes(self) -> list[str]:
        """Ask for the names of all tubes."""
        return self._call(requests.list_tubes())

    def stats(self) -> ServerStats:
        """Ask for the numbers of the server."""
        return self._call(requests.stats().then(ServerStats.from_document))

    def stats_tube(self, tube: str) -> TubeStats:
        """Ask for the numbers of a tube. Raises NotFound."""
        return self._call(requests.stats_tube(tube).then(TubeStats.from_document))

    def stats_job(self, job: int | Job) -> JobStats:
        """Ask for the state and the numbers of a job. Raises NotFound."""
        return self._call(requests.stats_job(_id(job)).then(JobStats.from_document))

    # The end.

    @property
    def closed(self) -> bool:
        """Whether the connection was closed, or given up after an error."""
        return not self._stream.open

    def close(self) -> None:
        """Close the connection; the server makes the jobs it had reserved ready again."""
        self._stream.close()

    def quit(self) -> None:
        """Close the connection by the command `quit`, and wait until the server has done so.

        Then the jobs it had reserved are ready again.
        """
        self._stream.quit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connection {self._stream.address}{', closed' if self.closed else ''}>"

    # What the methods above share.

    def _job(self, found: JobFound, *, reserved: bool) -> Job:
        if reserved:
            self._remember(found.id)
        return Job(self, self._codec, found, reserved=reserved)

    def _peeked(self, request: Request[JobFound | None]) -> Job | None:
        found = self._call(request)
        return None if found is None else self._job(found, reserved=False)

    def _finish(self, job: int | Job, request: Request[None]) -> None:
        """Run a command that ends a reservation, unless the server does not execute it."""
        try:
            self._call(request)
        except (NotFound, Buried):
            self._forget(job)
            raise
        self._forget(job)

    def _remember(self, job_id: int) -> None:
        self._reserved.pop(job_id, None)
        self._reserved[job_id] = None  # as the last one

    def _forget(self, job: int | Job) -> None:
        self._reserved.pop(_id(job), None)
        if isinstance(job, Job):
            job.reserved = False

    def _priority(self, verb: str, job: int | Job, priority: int | None) -> int:
        """Find out the priority that a job keeps when none is given.

        A job that is lost by then is told as `verb` would have told it.
        """
        if priority is not None:
            return priority
        try:
            return self.stats_job(job).pri
        except NotFound:
            self._forget(job)
            raise NotFound(f"{verb} {_id(job)}", _id(job)) from None

    def _near_deadline(self) -> tuple[int, ...]:
        """Find the jobs that a DEADLINE_SOON is about: it does not say, and neither did RESERVED
        say how long their time to run is. One reservation needs no question, several do.
        """
        if len(self._reserved) == 1:
            return tuple(self._reserved)
        oldest = list(islice(self._reserved, DEADLINE_QUESTIONS))
        return tuple(filter(self._is_near_deadline, sorted(oldest)))

    def _is_near_deadline(self, job_id: int) -> bool:
        try:
            stats = self.stats_job(job_id)
        except NotFound:
            stats = None
        if stats is None or stats.state != "reserved":
            self._forget(job_id)  # its time to run ended unnoticed
            return False
        return stats.time_left == 0


def _id(job: int | Job) -> int:
    return job.id if isinstance(job, Job) else job
