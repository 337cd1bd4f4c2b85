"""A job as a client holds it: what all of them are, and the one of the blocking client."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from beanrow.client.codec import Codec, decode_body
from beanrow.errors import BeanrowError, InvalidArgument
from beanrow.protocol.requests import JobFound

if TYPE_CHECKING:
    from beanrow.client.stats import JobStats
    from beanrow.client.sync import Connection


class BaseJob:
    """A job that some connection has reserved or found."""

    __slots__ = ("_codec", "id", "raw_body", "reserved")

    def __init__(self, codec: Codec, found: JobFound, *, reserved: bool) -> None:
        self._codec = codec
        #: The server's number for the job.
        self.id = found.id
        #: The body as received.
        self.raw_body = found.body
        #: Whether this client is to delete, release or bury the job, as far as it knows: the
        #: server takes the job back when its time to run is over.
        self.reserved = reserved

    @property
    def body(self) -> Any:
        """The body as the connection's codec decodes it: bytes if none was chosen.

        Raises CodecError. The job is yours all the same: bury it, so that somebody can look.
        """
        return decode_body(self._codec, self.id, self.raw_body)

    def must_be_reserved(self) -> None:
        """Raise InvalidArgument for a job that its block could not finish."""
        if not self.reserved:
            raise InvalidArgument(f"job {self.id} is not reserved, so there is nothing to finish")

    def note_not_released(self, error: BaseException, second: BeanrowError) -> None:
        """Add to the error that left a block, which is the one to tell, what followed from it.

        The server gives the job back by itself when its time is over or the connection ends.
        """
        error.add_note(f"job {self.id} could not be released: {second}")

    def __repr__(self) -> str:
        return f"<Job {self.id}{', reserved' if self.reserved else ''}>"


class Job(BaseJob):
    """A job that a connection has reserved or found, and what can be done with it.

    As a context manager, a reserved job is deleted when the block succeeds and released when an
    exception leaves it; unless the block has itself deleted, released or buried it.
    """

    __slots__ = ("_connection",)

    def __init__(
        self, connection: "Connection", codec: Codec, found: JobFound, *, reserved: bool
    ) -> None:
        super().__init__(codec, found, reserved=reserved)
        self._connection = connection

    def delete(self) -> None:
        """Remove the job: it is done. Raises NotFound."""
        self._connection.delete(self)

    def release(self, priority: int | None = None, delay: int = 0) -> None:
        """Give the job back, for anybody to reserve after `delay` seconds.

        Without a priority it keeps the one it has, which takes one more round trip. Raises
        NotFound if it is not reserved by this connection (any more), and Buried.
        """
        self._connection.release(self, priority, delay)

    def bury(self, priority: int | None = None) -> None:
        """Put the job aside until somebody kicks it; priority and errors are as in `release`."""
        self._connection.bury(self, priority)

    def touch(self) -> None:
        """Let the time to run begin anew. Raises NotFound if it is over."""
        self._connection.touch(self)

    def kick(self) -> None:
        """Make the job ready, if it is buried or delayed. Raises NotFound if not."""
        self._connection.kick_job(self)

    def stats(self) -> "JobStats":
        """Ask for the job's state and numbers. Raises NotFound."""
        return self._connection.stats_job(self)

    def __enter__(self) -> Self:
        self.must_be_reserved()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.reserved:
            return
        if error is None:
            self.delete()
            return
        try:
            self.release()
        except BeanrowError as second:
            self.note_not_released(error, second)


def id_of(job: int | BaseJob) -> int:
    """Find the id that a user means, who may give either."""
    return job.id if isinstance(job, BaseJob) else job
