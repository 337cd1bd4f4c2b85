"""An asyncio connection: how commands and replies travel, and what becomes of them when it ends.

Commands of many tasks are under way together, in the order in which they asked, so a command takes
no lock for the time of its round trip. There is no task here: replies are handed out by the
transport's callbacks, and one timer watches over the server's silence.

Who is cancelled while a command is under way only stops waiting: the reply is still read, by its
place in the order, and dropped. That will not do for a job. A reserve cannot be taken back, and
its reply may bring a job at any time, or have brought one that was not delivered yet. So a
cancelled reserve closes the connection, and the server gives the job to somebody else.
"""

import asyncio
import select
from typing import Any, TypeVar, cast

from beanrow.client.address import Address, TCPAddress
from beanrow.client.flight import Flight, Outcome
from beanrow.client.pipeline import SEND_BYTES
from beanrow.client.sockets import connection_failed, tune
from beanrow.errors import (
    BeanrowError,
    ConnectionClosed,
    ConnectionLost,
    ConnectionShared,
    IOTimeout,
    ProtocolError,
)
from beanrow.protocol.requests import Request

Result = TypeVar("Result")


class Wire(asyncio.Protocol):
    """Carries requests to the server in order, and their responses back.

    `io_timeout_s` is how long the server may show no sign of life while it owes one, on top of what
    the request allows it; None waits for ever.
    """

    def __init__(self, address: Address, io_timeout_s: float | None) -> None:
        self.address = address
        self._io_timeout_s = io_timeout_s
        self._loop = asyncio.get_running_loop()
        self._flight = Flight()
        self._turn = asyncio.Lock()  # who holds it may add the next command
        self._room: asyncio.Future[None] | None = None  # what that one waits for
        self._paused = False
        self._quitting = False
        self._ended_by: str | None = None
        self._untold: BeanrowError | None = None  # what happened when nobody was waiting
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._flush_soon: asyncio.Handle | None = None
        self._sign_of_life_s = 0.0
        self._unsent_bytes = 0  # in the transport, when the timer last looked
        self._poll = select.poll()

    @property
    def open(self) -> bool:
        """Whether commands can be sent."""
        return self._ended_by is None

    async def exchange(self, request: Request[Result]) -> Result:
        """Send the request, wait for its response and make the result.

        Raises what the blocking client raises. Cancelled before the request could join the others,
        nothing was sent; after that, see above.
        """
        answered: asyncio.Future[None] = self._loop.create_future()
        outcome: Outcome[Result] = Outcome(request.line, lambda _: _wake(answered))
        await self.send(request, outcome)
        try:
            await answered
        except (asyncio.CancelledError, GeneratorExit):
            if "RESERVED" in request.expected and not (outcome.done and not _has_job(outcome)):
                self.close("was closed because a reserve was cancelled")
            raise
        return outcome.result

    async def send(self, request: Request[Result], outcome: Outcome[Result]) -> None:
        """Wait for room and send the request; `outcome` will be settled."""
        self._check(request.line)
        async with self._turn:
            await self._wait_for_room()
            self._check(request.line)
            idle = self._flight.empty
            self._flight.add(request, outcome)
            if idle:
                self._sign_of_life_s = self._loop.time()
            self._watch_silence()
            if idle or len(self._flight.out) >= SEND_BYTES:
                self._flush()
            elif self._flush_soon is None:  # with what else is given until then
                self._flush_soon = self._loop.call_soon(self._flush)

    async def settled(self, outcome: Outcome[Any]) -> None:
        """Wait until it is known what became of a command."""
        if not outcome.done:
            settled: asyncio.Future[None] = self._loop.create_future()
            outcome.also_tell(lambda _: _wake(settled))
            await settled

    async def quit(self) -> None:
        """Say good-bye, wait until the server has closed the connection, and close it.

        Raises IOTimeout if it does not.
        """
        if self.open:
            self._check("quit")
            try:
                await self._say_goodbye()
            finally:
                self.close()
        await self.close_and_wait()

    async def _say_goodbye(self) -> None:
        try:
            async with asyncio.timeout(self._io_timeout_s), self._turn:
                self._flush()
                self._transport.write(b"quit\r\n")
                self._quitting = True
                await asyncio.shield(self._gone)
        except TimeoutError as error:
            raise IOTimeout(
                f"quit: no sign of {self.address} (io_timeout is {self._io_timeout_s} s)"
            ) from error

    def close(self, ended_by: str = "was closed") -> None:
        """Close at once; what is under way ends in ConnectionClosed."""
        self._end(ConnectionClosed(f"the connection to {self.address} {ended_by}"), ended_by)

    async def close_and_wait(self) -> None:
        """Close, and wait until the socket is closed as well."""
        self.close()
        if not self._loop.is_closed() and asyncio.get_running_loop() is self._loop:
            await asyncio.shield(self._gone)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        self._sign_of_life_s = self._loop.time()
        try:
            self._flight.feed(data)
        except ProtocolError as error:
            self._end(error)
        else:
            self._watch_silence()
            self._look_for_room()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._look_for_room()

    def connection_lost(self, error: Exception | None) -> None:
        if self._quitting:
            self.close()
        if error is None:
            self._end(ConnectionLost(f"{self.address} has closed the connection"))
        else:
            self._end(ConnectionLost(f"the connection to {self.address} ended ({error})"))
        if not self._gone.done():
            self._gone.set_result(None)

    # What the methods above share.

    def _check(self, line: str) -> None:
        """Raise unless a command may be sent now, as far as is known."""
        if asyncio.get_running_loop() is not self._loop:
            raise ConnectionShared(
                f"{line}: not sent, since the connection to {self.address} belongs to another "
                "event loop; open one in each"
            )
        if self._untold is not None:
            told, self._untold = self._untold, None
            raise type(told)(f"{line}: not sent, since {told}")
        if self._ended_by is not None:
            raise ConnectionClosed(
                f"{line}: not sent, since the connection to {self.address} {self._ended_by}; "
                "open a new one"
            )
        last = self._flight.last
        if last is not None and last.server_may_wait_s != 0:
            raise ConnectionShared(
                f"{line}: not sent, since a reserve is waiting on the connection to "
                f"{self.address}, and the server would read this only after that; open a "
                "connection for each task"
            )

    async def _wait_for_room(self) -> None:
        """Let the server catch up, and the loop read what came unasked."""
        while self.open:
            if self._flight.empty and self._poll.poll(0):
                await asyncio.sleep(0)  # the end of the connection, or nonsense: `_end` will tell
            elif self._paused or not self._flight.has_room:
                self._flush()
                self._room = self._loop.create_future()
                await self._room
            else:
                return

    def _look_for_room(self) -> None:
        # In halves, so that many commands are sent together again.
        if self._room is not None and not self._paused and self._flight.half_empty:
            room, self._room = self._room, None
            _wake(room)

    def _flush(self) -> None:
        if self._flush_soon is not None:
            self._flush_soon.cancel()
            self._flush_soon = None
        if self._flight.out and self.open:
            data = bytes(self._flight.out)
            self._flight.sent(len(data))
            self._transport.write(data)

    def _end(self, error: BeanrowError, ended_by: str | None = None) -> None:
        """Close the socket, and tell all who wait; or else the next who comes."""
        if self._ended_by is not None:
            return
        self._ended_by = ended_by or f"was given up after an error ({error})"
        if self._flight.empty and not isinstance(error, ConnectionClosed):
            self._untold = error
        self._flight.fail(error, str(error))
        for handle in (self._timer, self._flush_soon):
            if handle is not None:
                handle.cancel()
        if self._room is not None:
            _wake(self._room)
        self._poll = select.poll()
        if not self._loop.is_closed():
            self._transport.abort()

    # Silence.

    def _watch_silence(self) -> None:
        if self._timer is None and self._io_timeout_s is not None and not self._flight.empty:
            self._timer = self._loop.call_later(self._io_timeout_s, self._look_at_silence)

    def _look_at_silence(self) -> None:
        """End the connection if the server has been silent for too long, or look again later."""
        self._timer = None
        first, io_s = self._flight.first, self._io_timeout_s
        if first is None or io_s is None:
            return
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes < self._unsent_bytes:  # it reads
            self._sign_of_life_s = self._loop.time()
        self._unsent_bytes = unsent_bytes
        wait_s = 0 if self._flight.listening else first.server_may_wait_s
        if wait_s is None:
            return  # the first bytes of the reply begin the watch anew
        due_s = self._sign_of_life_s + io_s + wait_s
        if self._loop.time() < due_s:
            self._timer = self._loop.call_at(due_s, self._look_at_silence)
            return
        self._end(IOTimeout(f"no sign of {self.address} (io_timeout is {io_s} s)"))


async def connect(
    address: Address, connect_timeout_s: float | None, io_timeout_s: float | None
) -> Wire:
    """Open a connection. Raises ConnectionFailed; cancelled, it leaves nothing behind."""
    loop = asyncio.get_running_loop()

    def make_wire() -> Wire:
        return Wire(address, io_timeout_s)

    try:
        async with asyncio.timeout(connect_timeout_s):
            if isinstance(address, TCPAddress):
                transport, wire = await loop.create_connection(
                    make_wire, address.host, address.port
                )
                tune(transport.get_extra_info("socket"))
            else:
                _, wire = await loop.create_unix_connection(make_wire, address.path)
    except OSError as error:
        raise connection_failed(address, error, connect_timeout_s) from error
    return wire


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _has_job(outcome: Outcome[Any]) -> bool:
    return outcome.error is None and outcome.result is not None
