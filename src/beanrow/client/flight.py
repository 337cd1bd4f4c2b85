"""Commands under way together, without input and output: bytes to send, and who waits for a reply.

Replies come in the order of the commands; that is all there is to match them by. So a `Flight`
keeps a line of those who wait, hands each reply to the first, and counts bytes: how many were given
to it, have been sent, and are answered. What is answered before it was sent is no answer.

How much may be under way is bounded (`has_room`). Whoever carries a flight must read while writing:
a server may stop reading from a client that does not read its replies.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from beanrow.errors import (
    BeanrowError,
    ConnectionClosed,
    ConnectionLost,
    ConnectionProblem,
    InvalidArgument,
    ProtocolError,
    ReplyError,
)
from beanrow.protocol.requests import Request
from beanrow.protocol.responses import ResponseReader

#: How many commands, and how many bytes of them, may be without a reply. One that is longer goes
#: alone.
MAX_COMMANDS: Final = 1024
MAX_BYTES: Final = 1024 * 1024

Result = TypeVar("Result")


class Outcome(Generic[Result]):
    """What has become of one command among many: its result, or the error instead of it.

    `error` is None while there is no reply; a ReplyError if the server has refused the command;
    ConnectionLost, IOTimeout or ProtocolError if nobody knows what became of it; ConnectionClosed
    with "not sent" if it never left.
    """

    __slots__ = ("_on_settled", "_result", "command", "done", "error")

    def __init__(
        self, command: str, on_settled: "Callable[[Outcome[Any]], object] | None" = None
    ) -> None:
        #: The line of the command.
        self.command = command
        #: Whether it is known what has become of the command, or known that nobody will know.
        self.done = False
        self.error: BeanrowError | None = None
        self._on_settled = on_settled
        self._result: Any = None

    @property
    def result(self) -> Result:
        """What the same method of a connection would have returned, or raised."""
        if not self.done:
            raise InvalidArgument(
                f"{self.command}: has no result yet; leave the pipeline's block, or flush it, first"
            )
        if self.error is not None:
            raise self.error
        result: Result = self._result
        return result

    def settle(self, result: Result | None, error: BeanrowError | None = None) -> None:
        """Be told the end; this is for those who carry the command."""
        self._result, self.error, self.done = result, error, True
        on_settled, self._on_settled = self._on_settled, None
        if on_settled is not None:
            on_settled(self)

    def also_tell(self, on_settled: "Callable[[Outcome[Any]], object]") -> None:
        """Have one more told when this is settled."""
        before = self._on_settled

        def tell_both(outcome: "Outcome[Any]") -> None:
            if before is not None:
                before(outcome)
            on_settled(outcome)

        self._on_settled = tell_both

    def __repr__(self) -> str:
        if not self.done:
            return f"<Outcome of {self.command!r}: none yet>"
        return f"<Outcome of {self.command!r}: {self.error or self._result!r}>"


class Flight:
    """The commands that are under way on one connection."""

    def __init__(self) -> None:
        #: What is still to be sent.
        self.out = bytearray()
        self._reader = ResponseReader()
        # Each with the count of bytes at which it ends.
        self._waiting: deque[tuple[Request[Any], Outcome[Any], int]] = deque()
        self._given_bytes = self._sent_bytes = self._answered_bytes = 0

    def __len__(self) -> int:
        """Count the commands without a reply."""
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether another command may join."""
        return (
            len(self._waiting) < MAX_COMMANDS
            and self._given_bytes - self._answered_bytes < MAX_BYTES
        )

    @property
    def half_empty(self) -> bool:
        """Whether there is room for many commands, which are cheaper together."""
        return (
            len(self._waiting) <= MAX_COMMANDS // 2
            and self._given_bytes - self._answered_bytes <= MAX_BYTES // 2
        )

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send and nothing to receive."""
        return not self._waiting and not self.out

    @property
    def silent(self) -> bool:
        """Whether the server owes nothing: nothing was sent that is not answered."""
        return self._sent_bytes == self._answered_bytes

    @property
    def listening(self) -> bool:
        """Whether a reply has begun to come, and has not come to its end."""
        return len(self._reader) > 0

    @property
    def first(self) -> Request[Any] | None:
        """The command whose reply is next."""
        return self._waiting[0][0] if self._waiting else None

    @property
    def last(self) -> Request[Any] | None:
        """The command that joined last."""
        return self._waiting[-1][0] if self._waiting else None

    def add(self, request: Request[Result], outcome: Outcome[Result]) -> None:
        """Let a command join; `outcome` will be settled."""
        data = request.encode()
        self.out += data
        self._given_bytes += len(data)
        self._waiting.append((request, outcome, self._given_bytes))

    def sent(self, count: int) -> None:
        """Be told that so many bytes of `out` have been sent."""
        del self.out[:count]
        self._sent_bytes += count

    def feed(self, data: bytes) -> None:
        """Take in what was received, and settle what it answers.

        Raises ProtocolError, after which nothing that follows can be trusted.
        """
        self._reader.feed(data)
        while self._sent_bytes > self._answered_bytes:
            response = self._reader.next()
            if response is None:
                return
            request, outcome, end_bytes = self._waiting[0]
            if end_bytes >= self._sent_bytes and len(self._reader):
                raise ProtocolError(f"{request.line}: more than one reply")
            error = result = None
            try:
                result = request.result(response)
            except ReplyError as refusal:
                error = refusal
            outcome.settle(result, error)
            self._waiting.popleft()
            self._answered_bytes = end_bytes
        if len(self._reader):
            raise ProtocolError("the server spoke unasked")

    def fail(self, error: BaseException, why: str) -> None:
        """Settle all that is left, since the connection has ended by `error`.

        `why` is a sentence. What was sent may or may not have been executed.
        """
        kind = type(error) if isinstance(error, ConnectionProblem) else ConnectionLost
        waiting, self._waiting = self._waiting, deque()
        for request, outcome, end_bytes in waiting:
            if outcome.done:
                continue  # an interrupt came between that and leaving the line
            if end_bytes > self._sent_bytes:
                told: BeanrowError = ConnectionClosed(f"{request.line}: not sent, since {why}")
            elif isinstance(error, ProtocolError):
                told, error = error, ConnectionLost()  # which is about the first of them only
            else:
                told = kind(
                    f"{request.line}: {why} before the reply; nobody knows whether it was executed"
                )
            outcome.settle(None, told)
        self.out.clear()
