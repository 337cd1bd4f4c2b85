"""Many commands in one round trip: what pipelines have in common, and the blocking one."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from beanrow.client.codec import Codec, encode_body
from beanrow.client.flight import MAX_COMMANDS, Flight, Outcome
from beanrow.client.job import BaseJob, id_of
from beanrow.client.reservations import Reservations, job_stats
from beanrow.client.stats import JobStats
from beanrow.client.stream import Stream
from beanrow.errors import BeanrowError, InvalidArgument, ReplyError, SomeRefused
from beanrow.protocol import requests
from beanrow.protocol.requests import DEFAULT_PRIORITY, DEFAULT_TTR_S, Request

#: So much is collected before it is sent.
SEND_BYTES: Final = 64 * 1024

Result = TypeVar("Result")

#: Is told how many commands have been answered.
Progress = Callable[[int], object]


def check_many(name: str, items: object) -> None:
    """Refuse one text where many are asked for: its letters are hardly meant."""
    if isinstance(items, str | bytes | bytearray | memoryview):
        raise InvalidArgument(
            f"{name}: {items!r:.60} is one body, not many; put it, or a list of it"
        )


class Tally:
    """Counts what becomes of the commands of a pipeline, and keeps results if told to."""

    def __init__(self, *, check: bool, progress: Progress | None, keep_results: bool) -> None:
        self.given = self.answered = self.refused = 0
        #: The results or refusals of all answered commands, in order, if they are kept.
        self.results: list[Any] | None = [] if keep_results else None
        #: What has ended the connection, told of the first command that it has hit.
        self.lost: BeanrowError | None = None
        self._check = check
        self._progress = progress
        self._told = 0
        self._first: ReplyError | None = None

    def outcome(self, request: Request[Result]) -> Outcome[Result]:
        """Make the outcome of one more command; it is to be counted when it has been `given`."""
        return Outcome(request.line, self._settled)

    def _settled(self, outcome: Outcome[Any]) -> None:
        error = outcome.error
        if error is not None and not isinstance(error, ReplyError):
            self.lost = self.lost or error
            return
        self.answered += 1
        if error is not None:
            self.refused += 1
            self._first = self._first or error
        if self.results is not None:
            self.results.append(outcome.result if error is None else error)

    def report(self, at_least: int = 1) -> None:
        """Tell the user's callback, if the number has grown by so much."""
        if self._progress is not None and self.answered - self._told >= at_least:
            self._told = self.answered
            self._progress(self.answered)

    def finish(self) -> None:
        """Raise SomeRefused if that is so, unless the user looks at each outcome himself."""
        if self._check and self._first is not None:
            raise SomeRefused(
                self.refused, self.given, self._first, tuple(self.results or ())
            ) from self._first

    def raise_lost(self) -> None:
        """Raise what has ended the connection before all were answered, if that is so."""
        if self.lost is not None:
            raise self.lost

    def note(self, error: BaseException) -> None:
        """Tell, with the error that ended a pipeline, how far it came."""
        error.add_note(
            f"of {self.given} commands of the pipeline {self.answered} were answered, "
            f"{self.refused} of them by a refusal"
        )


class Pipeline:
    """Sends commands without waiting for the replies to those before; made by `pipeline()`.

    Each method takes what the same method of a connection takes, and returns an `Outcome`, which
    has a result when the block is left, or after `flush`.
    """

    def __init__(
        self,
        stream: Stream,
        codec: Codec,
        reservations: Reservations,
        *,
        check: bool = True,
        progress: Progress | None = None,
        keep_results: bool = False,
    ) -> None:
        self._stream = stream
        self._codec = codec
        self._reservations = reservations
        self._flight = Flight()
        self._tally = Tally(check=check, progress=progress, keep_results=keep_results)
        self._alone = stream.reserved_for("a pipeline")
        self._state = "has not been entered"

    def use(self, tube: str) -> Outcome[str]:
        """Choose the tube that the puts after this one are for."""
        return self._add(requests.use(tube))

    def put(
        self, body: Any, priority: int = DEFAULT_PRIORITY, delay: int = 0, ttr: int = DEFAULT_TTR_S
    ) -> Outcome[int]:
        """Put a job into the tube in use; the result is its id. Raises CodecError."""
        return self._add(requests.put(encode_body(self._codec, body), priority, delay, ttr))

    def delete(self, job: int | BaseJob) -> Outcome[None]:
        """Remove a job."""
        return self._add(self._reservations.delete(job))

    def release(self, job: int | BaseJob, priority: int, delay: int = 0) -> Outcome[None]:
        """Give a reserved job back. The priority is to be told, as nobody is asked for it."""
        return self._add(self._reservations.release(job, priority, delay))

    def bury(self, job: int | BaseJob, priority: int) -> Outcome[None]:
        """Put a reserved job aside; for the priority see `release`."""
        return self._add(self._reservations.bury(job, priority))

    def touch(self, job: int | BaseJob) -> Outcome[None]:
        """Let the time to run of a reserved job begin anew."""
        return self._add(self._reservations.touch(job))

    def kick_job(self, job: int | BaseJob) -> Outcome[None]:
        """Make one buried or delayed job ready."""
        return self._add(requests.kick_job(id_of(job)))

    def stats_job(self, job: int | BaseJob) -> Outcome[JobStats]:
        """Ask for the state and the numbers of a job."""
        return self._add(job_stats(job))

    @property
    def results(self) -> list[Any]:
        """The results of all answered commands, if the pipeline was made to keep them."""
        return self._tally.results or []

    def flush(self) -> None:
        """Wait for all replies; raises what has ended the connection instead."""
        self._carry(0)
        self._tally.raise_lost()

    def __enter__(self) -> Self:
        if self._state != "has not been entered":
            raise InvalidArgument(f"the pipeline {self._state}; make a new one")
        self._alone.__enter__()
        self._state = "is open"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.flush()
            else:
                self._end_by(error)
        finally:
            self._state = "is over"
            self._alone.__exit__(None, None, None)
        if error is None:
            self._tally.finish()

    def _add(self, request: Request[Result]) -> Outcome[Result]:
        if self._state != "is open":
            raise InvalidArgument(f"{request.line}: the pipeline {self._state}")
        self._stream.check_open(request.line)
        outcome = self._tally.outcome(request)
        flight = self._flight
        try:
            flight.add(request, outcome)
        except BaseException as error:
            self._stream.abandon(flight, error)  # half a command may have joined
            raise
        self._tally.given += 1
        if not flight.has_room:
            self._carry(len(flight) // 2)
        elif len(flight.out) >= SEND_BYTES:
            self._carry(MAX_COMMANDS)
        return outcome

    def _carry(self, at_most: int) -> None:
        if not self._flight.empty:
            self._stream.carry(self._flight, at_most)
        self._tally.report()

    def _end_by(self, error: BaseException) -> None:
        """Leave the block as `error` does, which is the one to tell.

        What was given before an ordinary error is carried out, as in a loop without a pipeline.
        Who interrupts does not want to wait: then the connection is closed, unless nothing is
        under way.
        """
        if isinstance(error, Exception):
            try:
                self._carry(0)
            except BeanrowError as second:
                error.add_note(f"the pipeline could not be finished: {second}")
        elif self._stream.open and not self._flight.empty:
            self._stream.abandon(self._flight, error)
        self._tally.note(error)
