"""Many commands in one round trip, for asyncio: `pipeline` with another way of waiting."""

from types import TracebackType
from typing import Any, Self, TypeVar

from beanrow.client.codec import Codec, encode_body
from beanrow.client.flight import MAX_COMMANDS, Outcome
from beanrow.client.job import BaseJob, id_of
from beanrow.client.pipeline import Tally
from beanrow.client.reservations import Reservations, job_stats
from beanrow.client.stats import JobStats
from beanrow.client.wire import Wire
from beanrow.errors import BeanrowError, InvalidArgument
from beanrow.protocol import requests
from beanrow.protocol.requests import DEFAULT_PRIORITY, DEFAULT_TTR_S, Request

Result = TypeVar("Result")


class Pipeline:
    """Sends commands without waiting for the replies to those before; made by `pipeline()`.

    Each method takes what the same method of a connection takes. To await it is to wait until there
    is room for the command, not for its reply; it gives an `Outcome`, which has a result when the
    block is left, or after `flush`.
    """

    def __init__(
        self, connected: Wire, codec: Codec, reservations: Reservations, tally: Tally
    ) -> None:
        self._wire = connected
        self._codec = codec
        self._reservations = reservations
        self._tally = tally
        self._last: Outcome[Any] | None = None
        self._state = "has not been entered"

    async def use(self, tube: str) -> Outcome[str]:
        """Choose the tube that the puts after this one are for."""
        return await self._add(requests.use(tube))

    async def put(
        self, body: Any, priority: int = DEFAULT_PRIORITY, delay: int = 0, ttr: int = DEFAULT_TTR_S
    ) -> Outcome[int]:
        """Put a job into the tube in use; the result is its id. Raises CodecError."""
        return await self._add(requests.put(encode_body(self._codec, body), priority, delay, ttr))

    async def delete(self, job: int | BaseJob) -> Outcome[None]:
        """Remove a job."""
        return await self._add(self._reservations.delete(job))

    async def release(self, job: int | BaseJob, priority: int, delay: int = 0) -> Outcome[None]:
        """Give a reserved job back. The priority is to be told, as nobody is asked for it."""
        return await self._add(self._reservations.release(job, priority, delay))

    async def bury(self, job: int | BaseJob, priority: int) -> Outcome[None]:
        """Put a reserved job aside; for the priority see `release`."""
        return await self._add(self._reservations.bury(job, priority))

    async def touch(self, job: int | BaseJob) -> Outcome[None]:
        """Let the time to run of a reserved job begin anew."""
        return await self._add(self._reservations.touch(job))

    async def kick_job(self, job: int | BaseJob) -> Outcome[None]:
        """Make one buried or delayed job ready."""
        return await self._add(requests.kick_job(id_of(job)))

    async def stats_job(self, job: int | BaseJob) -> Outcome[JobStats]:
        """Ask for the state and the numbers of a job."""
        return await self._add(job_stats(job))

    @property
    def results(self) -> list[Any]:
        """The results of all answered commands, if the pipeline was made to keep them."""
        return self._tally.results or []

    async def flush(self) -> None:
        """Wait for all replies; raises what has ended the connection instead."""
        if self._last is not None:
            await self._wire.settled(self._last)
            self._tally.report()
        self._tally.raise_lost()

    async def __aenter__(self) -> Self:
        if self._state != "has not been entered":
            raise InvalidArgument(f"the pipeline {self._state}; make a new one")
        self._state = "is open"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await self.flush()
            else:
                await self._end_by(error)
        finally:
            self._state = "is over"
        if error is None:
            self._tally.finish()

    async def _add(self, request: Request[Result]) -> Outcome[Result]:
        if self._state != "is open":
            raise InvalidArgument(f"{request.line}: the pipeline {self._state}")
        outcome = self._tally.outcome(request)
        await self._wire.send(request, outcome)
        self._tally.given += 1
        self._last = outcome
        self._tally.report(at_least=MAX_COMMANDS // 2)
        return outcome

    async def _end_by(self, error: BaseException) -> None:
        """Leave the block as `error` does, which is the one to tell.

        What was given before is carried out, as in a loop without a pipeline. Who cancels does not
        want to wait for it.
        """
        if isinstance(error, Exception):
            try:
                await self.flush()
            except BeanrowError as second:
                if second is not error:
                    error.add_note(f"the pipeline could not be finished: {second}")
        self._tally.note(error)
