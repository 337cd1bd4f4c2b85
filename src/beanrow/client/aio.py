"""The asyncio client: `Connection`, a method for every command, to be awaited.

Method for method it is `sync`, where arguments, results and errors are described. What is different
is how commands travel: `wire`.
"""

# The time-out of a reserve is the server's to count, and has a reply of its own.
# ruff: noqa: ASYNC109

from collections.abc import AsyncIterable, Generator, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from beanrow.client.address import parse_address
from beanrow.client.aio_pipeline import Pipeline
from beanrow.client.codec import Codec, encode_body, find_codec
from beanrow.client.job import BaseJob, id_of
from beanrow.client.pipeline import Progress, Tally, check_many
from beanrow.client.reservations import Reservations, Steps, job_stats
from beanrow.client.sockets import check_timeout
from beanrow.client.stats import JobStats, ServerStats, TubeStats
from beanrow.client.wire import Wire, connect
from beanrow.errors import BeanrowError, ConnectionClosed, ConnectionShared
from beanrow.protocol import requests
from beanrow.protocol.limits import DEFAULT_PORT
from beanrow.protocol.requests import DEFAULT_PRIORITY, DEFAULT_TTR_S, JobFound, Request

Result = TypeVar("Result")


class Job(BaseJob):
    """A job that a connection has reserved or found, and what can be done with it.

    As an async context manager, a reserved job is deleted when the block succeeds and released when
    an exception leaves it, a cancellation too; unless the block has itself deleted, released or
    buried it.
    """

    __slots__ = ("_connection",)

    def __init__(
        self, connection: "Connection", codec: Codec, found: JobFound, *, reserved: bool
    ) -> None:
        super().__init__(codec, found, reserved=reserved)
        self._connection = connection

    async def delete(self) -> None:
        """Remove the job: it is done. Raises NotFound."""
        await self._connection.delete(self)

    async def release(self, priority: int | None = None, delay: int = 0) -> None:
        """Give the job back, for anybody to reserve after `delay` seconds.

        Without a priority it keeps the one it has, which takes one more round trip. Raises
        NotFound if it is not reserved by this connection (any more), and Buried.
        """
        await self._connection.release(self, priority, delay)

    async def bury(self, priority: int | None = None) -> None:
        """Put the job aside until somebody kicks it; priority and errors are as in `release`."""
        await self._connection.bury(self, priority)

    async def touch(self) -> None:
        """Let the time to run begin anew. Raises NotFound if it is over."""
        await self._connection.touch(self)

    async def kick(self) -> None:
        """Make the job ready, if it is buried or delayed. Raises NotFound if not."""
        await self._connection.kick_job(self)

    async def stats(self) -> JobStats:
        """Ask for the job's state and numbers. Raises NotFound."""
        return await self._connection.stats_job(self)

    async def __aenter__(self) -> Self:
        self.must_be_reserved()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.reserved:
            return
        if error is None:
            await self.delete()
            return
        try:
            await self.release()
        except BeanrowError as second:
            self.note_not_released(error, second)


class Connection:
    """A connection to a server, for asyncio.

    It is opened by `async with Connection("mail:11300") as queue:`, which closes it in the end, or
    by `queue = await Connection("mail:11300")`. Arguments, methods and errors are those of the
    blocking `beanrow.Connection`; whatever asks the server is to be awaited.

    Tasks may share it: their commands are sent in the order in which they are given, without
    waiting for each other's replies. Only while a `reserve` waits for a job, another command raises
    ConnectionShared, for the server would read it after that; so give each worker its own.

    A command may be cancelled, by `asyncio.timeout` for example. If it was under way, nobody knows
    whether it has been executed; the connection goes on. But a cancelled `reserve` or `reserve_job`
    closes the connection, and the server gives back all jobs that were reserved on it.
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
        check_timeout("connect_timeout", connect_timeout)
        check_timeout("io_timeout", io_timeout)
        self._codec = find_codec(codec)
        self._address = parse_address(host, port)
        self._connect_timeout_s = connect_timeout
        self._io_timeout_s = io_timeout
        self._reservations = Reservations()
        self._opened: Wire | None = None
        self._opening = False

    def __await__(self) -> Generator[Any, None, Self]:
        """Open the connection, if that has not been done. Raises ConnectionFailed."""
        return self._open().__await__()

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Producers.

    async def use(self, tube: str) -> str:
        """Choose the tube that `put`, `kick` and the peeks are about; at first it is "default"."""
        return await self._call(requests.use(tube))

    async def using(self) -> str:
        """Ask which tube is in use."""
        return await self._call(requests.list_tube_used())

    async def put(
        self, body: Any, priority: int = DEFAULT_PRIORITY, delay: int = 0, ttr: int = DEFAULT_TTR_S
    ) -> int:
        """Put a job into the tube in use and return its id.

        Raises CodecError, Draining, JobTooBig, OutOfMemory, and Buried. If it is cancelled, the job
        may have been put or not.
        """
        data = encode_body(self._codec, body)
        return await self._call(requests.put(data, priority, delay, ttr))

    async def put_many(
        self,
        bodies: Iterable[Any] | AsyncIterable[Any],
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
        async with self._pipeline(progress) as pipeline:
            if isinstance(bodies, AsyncIterable):
                async for body in bodies:
                    await pipeline.put(body, priority, delay, ttr)
            else:
                for body in bodies:
                    await pipeline.put(body, priority, delay, ttr)
        return pipeline.results

    def pipeline(self, *, check: bool = True, progress: Progress | None = None) -> Pipeline:
        """Make a pipeline, to send commands of several kinds without waiting for each reply.

        Use it in an `async with` statement, whose end waits for all replies and raises SomeRefused
        if there are refusals; with `check=False` it is for you to look at the outcomes.
        """
        tally = Tally(check=check, progress=progress, keep_results=False)
        return Pipeline(self._wire, self._codec, self._reservations, tally)

    # Workers.

    async def watch(self, tube: str) -> int:
        """Reserve from this tube as well; returns how many are watched. At first "default" is."""
        return await self._call(requests.watch(tube))

    async def ignore(self, tube: str) -> int:
        """Watch this tube no more; returns how many are. Raises NotIgnored for the last one."""
        return await self._call(requests.ignore(tube))

    async def watching(self) -> list[str]:
        """Ask which tubes are watched."""
        return await self._call(requests.list_tubes_watched())

    @overload
    async def reserve(self, timeout: None = None) -> Job: ...

    @overload
    async def reserve(self, timeout: int) -> Job | None: ...

    async def reserve(self, timeout: int | None = None) -> Job | None:
        """Reserve the most urgent job of the watched tubes, waiting until there is one.

        Returns None when there was none for `timeout` seconds. Raises DeadlineSoon as the blocking
        client does. If it is cancelled, the connection is closed and the job given back; so use
        `timeout` rather than `asyncio.timeout`.
        """
        found = await self._run(self._reservations.reserve(timeout))
        return None if found is None else self._job(found)

    async def reserve_job(self, job: int | Job) -> Job:
        """Reserve this job, be it ready, delayed or buried. Raises NotFound."""
        return self._job(await self._call(self._reservations.reserve_job(job)))

    async def delete(self, job: int | Job) -> None:
        """Remove a job: one reserved here, or one that nobody has reserved. Raises NotFound."""
        await self._call(self._reservations.delete(job))

    async def delete_many(
        self,
        jobs: Iterable[int | Job] | AsyncIterable[int | Job],
        *,
        progress: Progress | None = None,
    ) -> None:
        """Remove jobs, many in one round trip; `progress` and errors are as in `put_many`."""
        async with self._pipeline(progress) as pipeline:
            if isinstance(jobs, AsyncIterable):
                async for job in jobs:
                    await pipeline.delete(job)
            else:
                for job in jobs:
                    await pipeline.delete(job)

    async def release(self, job: int | Job, priority: int | None = None, delay: int = 0) -> None:
        """Give a reserved job back; see `Job.release`."""
        await self._run(self._reservations.release_keeping(job, priority, delay))

    async def bury(self, job: int | Job, priority: int | None = None) -> None:
        """Put a reserved job aside; see `Job.bury`."""
        await self._run(self._reservations.bury_keeping(job, priority))

    async def touch(self, job: int | Job) -> None:
        """Let the time to run of a reserved job begin anew. Raises NotFound if it is over."""
        await self._call(self._reservations.touch(job))

    # Maintainers.

    async def peek(self, job: int | Job) -> Job | None:
        """Look at a job in whatever state; None when there is no such job."""
        return await self._peeked(requests.peek(id_of(job)))

    async def peek_ready(self) -> Job | None:
        """Look at the ready job of the tube in use that is next, if any."""
        return await self._peeked(requests.peek_ready())

    async def peek_delayed(self) -> Job | None:
        """Look at the delayed job of the tube in use that is ready first, if any."""
        return await self._peeked(requests.peek_delayed())

    async def peek_buried(self) -> Job | None:
        """Look at the job of the tube in use that was buried first, if any."""
        return await self._peeked(requests.peek_buried())

    async def kick(self, bound: int = 1) -> int:
        """Make up to `bound` buried jobs of the tube in use ready; delayed ones, if none is buried.

        Returns how many.
        """
        return await self._call(requests.kick(bound))

    async def kick_job(self, job: int | Job) -> None:
        """Make one buried or delayed job ready. Raises NotFound."""
        await self._call(requests.kick_job(id_of(job)))

    async def pause_tube(self, tube: str, delay: int) -> None:
        """Let no job of the tube be reserved for `delay` seconds. Raises NotFound."""
        await self._call(requests.pause_tube(tube, delay))

    async def tubes(self) -> list[str]:
        """Ask for the names of all tubes."""
        return await self._call(requests.list_tubes())

    async def stats(self) -> ServerStats:
        """Ask for the numbers of the server."""
        return await self._call(requests.stats().then(ServerStats.from_document))

    async def stats_tube(self, tube: str) -> TubeStats:
        """Ask for the numbers of a tube. Raises NotFound."""
        return await self._call(requests.stats_tube(tube).then(TubeStats.from_document))

    async def stats_job(self, job: int | Job) -> JobStats:
        """Ask for the state and the numbers of a job. Raises NotFound."""
        return await self._call(job_stats(job))

    # The end.

    @property
    def closed(self) -> bool:
        """Whether the connection is not open: yet, or any more."""
        return self._opened is None or not self._opened.open

    async def close(self) -> None:
        """Close the connection; the server makes the jobs it had reserved ready again.

        What other tasks have under way ends in ConnectionClosed.
        """
        if self._opened is not None:
            await self._opened.close_and_wait()

    async def quit(self) -> None:
        """Close the connection by the command `quit`, and wait until the server has done so.

        Then the jobs it had reserved are ready again.
        """
        if self._opened is not None:
            await self._opened.quit()

    def __repr__(self) -> str:
        return f"<aio.Connection {self._address}{', closed' if self.closed else ''}>"

    # What the methods above share.

    async def _open(self) -> Self:
        if self._opening:
            raise ConnectionShared(f"another task is opening the connection to {self._address}")
        if self._opened is None:
            self._opening = True
            try:
                self._opened = await connect(
                    self._address, self._connect_timeout_s, self._io_timeout_s
                )
            finally:
                self._opening = False
        return self

    @property
    def _wire(self) -> Wire:
        if self._opened is None:
            raise ConnectionClosed(
                f"the connection to {self._address} has not been opened: await it, or use it in an "
                "`async with` statement"
            )
        return self._opened

    async def _call(self, request: Request[Result]) -> Result:
        return await self._wire.exchange(request)

    def _job(self, found: JobFound, *, reserved: bool = True) -> Job:
        return Job(self, self._codec, found, reserved=reserved)

    async def _peeked(self, request: Request[JobFound | None]) -> Job | None:
        found = await self._call(request)
        return None if found is None else self._job(found, reserved=False)

    def _pipeline(self, progress: Progress | None) -> Pipeline:
        tally = Tally(check=True, progress=progress, keep_results=True)
        return Pipeline(self._wire, self._codec, self._reservations, tally)

    async def _run(self, steps: Steps[Result]) -> Result:
        try:
            request = next(steps)
            while True:
                try:
                    result = await self._call(request)
                except BeanrowError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(result)
        except StopIteration as end:
            outcome: Result = end.value
            return outcome
