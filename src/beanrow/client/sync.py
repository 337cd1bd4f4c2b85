"""The blocking client: `Connection`, a method for every command.

What commands look like on the wire is `protocol.requests`, what is remembered of jobs is
`reservations`, how bytes travel is `stream`; here is what is left, which is little. `aio` is the
same for asyncio, method for method.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from beanrow.client.address import parse_address
from beanrow.client.codec import Codec, encode_body, find_codec
from beanrow.client.job import Job, id_of
from beanrow.client.pipeline import Pipeline, Progress, check_many
from beanrow.client.reservations import Reservations, Steps, job_stats
from beanrow.client.stats import JobStats, ServerStats, TubeStats
from beanrow.client.stream import Stream
from beanrow.errors import BeanrowError
from beanrow.protocol import requests
from beanrow.protocol.limits import DEFAULT_PORT
from beanrow.protocol.requests import DEFAULT_PRIORITY, DEFAULT_TTR_S, JobFound, Request

Result = TypeVar("Result")


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
        self._reservations = Reservations()

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

    def put_many(
        self,
        bodies: Iterable[Any],
        priority: int = DEFAULT_PRIORITY,
        delay: int = 0,
        ttr: int = DEFAULT_TTR_S,
        *,
        progress: Progress | None = None,
    ) -> list[int]:
        """Put a job for each body, many in one round trip; returns the ids in order.

        `progress` is called now and then with the number of those that are answered. Raises
        SomeRefused, with all results, when all have been tried.
        """
        check_many("bodies", bodies)
        with self._pipeline(progress) as pipeline:
            for body in bodies:
                pipeline.put(body, priority, delay, ttr)
        return pipeline.results

    def pipeline(self, *, check: bool = True, progress: Progress | None = None) -> Pipeline:
        """Make a pipeline, to send commands of several kinds without waiting for each reply.

        Use it in a `with` statement, whose end waits for all replies and raises SomeRefused if
        there are refusals; with `check=False` it is for you to look at the outcomes. Until then the
        connection is for the pipeline alone. `progress` is as in `put_many`.
        """
        return Pipeline(
            self._stream, self._codec, self._reservations, check=check, progress=progress
        )

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
        found = self._run(self._reservations.reserve(timeout))
        return None if found is None else self._job(found)

    def reserve_job(self, job: int | Job) -> Job:
        """Reserve this job, be it ready, delayed or buried. Raises NotFound."""
        return self._job(self._call(self._reservations.reserve_job(job)))

    def delete(self, job: int | Job) -> None:
        """Remove a job: one reserved here, or one that nobody has reserved. Raises NotFound."""
        self._call(self._reservations.delete(job))

    def delete_many(self, jobs: Iterable[int | Job], *, progress: Progress | None = None) -> None:
        """Remove jobs, many in one round trip; `progress` and errors are as in `put_many`."""
        with self._pipeline(progress) as pipeline:
            for job in jobs:
                pipeline.delete(job)

    def release(self, job: int | Job, priority: int | None = None, delay: int = 0) -> None:
        """Give a reserved job back; see `Job.release`."""
        self._run(self._reservations.release_keeping(job, priority, delay))

    def bury(self, job: int | Job, priority: int | None = None) -> None:
        """Put a reserved job aside; see `Job.bury`."""
        self._run(self._reservations.bury_keeping(job, priority))

    def touch(self, job: int | Job) -> None:
        """Let the time to run of a reserved job begin anew. Raises NotFound if it is over."""
        self._call(self._reservations.touch(job))

    # Maintainers.

    def peek(self, job: int | Job) -> Job | None:
        """Look at a job in whatever state; None when there is no such job."""
        return self._peeked(requests.peek(id_of(job)))

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
        self._call(requests.kick_job(id_of(job)))

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
        return self._call(job_stats(job))

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

    def _job(self, found: JobFound, *, reserved: bool = True) -> Job:
        return Job(self, self._codec, found, reserved=reserved)

    def _peeked(self, request: Request[JobFound | None]) -> Job | None:
        found = self._call(request)
        return None if found is None else self._job(found, reserved=False)

    def _pipeline(self, progress: Progress | None) -> Pipeline:
        return Pipeline(
            self._stream, self._codec, self._reservations, progress=progress, keep_results=True
        )

    def _run(self, steps: Steps[Result]) -> Result:
        try:
            request = next(steps)
            while True:
                try:
                    result = self._call(request)
                except BeanrowError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(result)
        except StopIteration as end:
            outcome: Result = end.value
            return outcome
