"""A blocking connection: a socket, a reader, and the rule that keeps replies with their commands.

The rule: once an exchange ends in anything but a whole reply to it, be it a time-out, a closed
socket, garbage, or Ctrl-C in the middle, nothing more is sent. The reply may still arrive, and
would be taken for the answer to the next command. For the same reason nothing is sent when bytes
have come unasked, or while another thread or process speaks on the same connection.
"""

import contextlib
import math
import os
import select
import socket
import threading
from collections.abc import Iterator
from typing import Final, TypeVar

from beanrow.client.address import Address
from beanrow.client.flight import Flight
from beanrow.client.sockets import bounded, check_timeout, connect
from beanrow.errors import (
    BeanrowError,
    ConnectionClosed,
    ConnectionLost,
    ConnectionShared,
    IOTimeout,
    ProtocolError,
    ReplyError,
)
from beanrow.protocol.requests import Request
from beanrow.protocol.responses import Response, ResponseReader

RECEIVE_BYTES: Final = 64 * 1024

Result = TypeVar("Result")


class Stream:
    """Carries one request at a time to the server and its response back.

    Both time-outs are in seconds; None waits for ever. `io_timeout_s` is how long the server may
    show no sign of life while it owes one, on top of what the request allows it.
    """

    def __init__(
        self, address: Address, connect_timeout_s: float | None, io_timeout_s: float | None
    ) -> None:
        check_timeout("connect_timeout", connect_timeout_s)
        check_timeout("io_timeout", io_timeout_s)
        self.address = address
        self._io_timeout_s = io_timeout_s
        self._reader = ResponseReader()
        self._ended_by: str | None = None
        self._owner_pid = os.getpid()
        self._busy_with = "another command"
        self._speaking = threading.Lock()  # held during an exchange, and never waited for
        self._socket = connect(address, connect_timeout_s)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    @property
    def open(self) -> bool:
        """Whether another exchange can begin."""
        return self._ended_by is None

    def exchange(self, request: Request[Result]) -> Result:
        """Send the request, wait for its response and make the result.

        Raises the ReplyError of a refusal, after which the stream is as good as before; and
        ProtocolError, ConnectionLost or IOTimeout, after which it is closed.
        """
        self._begin(request.line)
        try:
            self._expect_silence(request.line)
            self._send(request)
            return request.result(self._receive(request))
        except ReplyError:
            raise
        except BaseException as error:
            told = self._give_up(request.line, error)
            if told is error:
                raise
            raise told from error
        finally:
            self._end()

    @contextlib.contextmanager
    def reserved_for(self, what: str) -> Iterator[None]:
        """Let nobody else speak until the block is left; in it `carry` may be called."""
        self._begin(what)
        self._busy_with = what
        try:
            yield
        finally:
            self._busy_with = "another command"
            self._end()

    def carry(self, flight: Flight, at_most: int) -> None:
        """Send all of `flight`, and read replies until `at_most` of its commands are without one.

        Replies are read while there is still something to send, so that neither side waits for the
        other. Raises ProtocolError, ConnectionLost or IOTimeout, and ConnectionClosed if another
        thread has closed the connection; then, as after Ctrl-C, the connection is closed, and all
        of the flight is settled.
        """
        try:
            if flight.silent and flight.out:
                self._expect_silence("the pipeline")
            while flight.out or len(flight) > at_most:
                self._carry_some(flight)
        except BaseException as error:
            told = self.abandon(flight, error)
            if told is error:
                raise
            raise told from error

    def abandon(self, flight: Flight, error: BaseException) -> BaseException:
        """Close the connection because of `error`, and settle all of the flight.

        Returns how the error is to be told.
        """
        told = self._give_up("the pipeline", error)
        flight.fail(told, f"the connection to {self.address} {self._ended_by}")
        return told

    def _carry_some(self, flight: Flight) -> None:
        """Wait until something can be received or sent, and do that."""
        self._poll.modify(self._socket, select.POLLIN | (select.POLLOUT if flight.out else 0))
        try:
            timeout_s = bounded(self._io_timeout_s)
            ready = self._poll.poll(None if timeout_s is None else math.ceil(timeout_s * 1000))
        finally:
            self._poll.modify(self._socket, select.POLLIN)
        if not ready:
            raise self._timed_out("the pipeline", TimeoutError("timed out"))
        events = ready[0][1]
        if events & ~select.POLLOUT:
            with contextlib.suppress(BlockingIOError):
                flight.feed(self._receive_some("the pipeline", 0))
        if events & select.POLLOUT:
            with contextlib.suppress(BlockingIOError):
                flight.sent(self._send_some("the pipeline", flight.out, 0))

    def quit(self) -> None:
        """Say good-bye, wait until the server has closed the connection, and close it."""
        if not self.open:
            return
        request: Request[None] = Request("quit", {})  # it has no answer
        self._begin(request.line)
        try:
            self._send(request)
            self._set_timeout(self._io_timeout_s)
            while self._socket.recv(RECEIVE_BYTES):
                pass
        except TimeoutError as error:
            raise self._timed_out(request.line, error) from error
        except ConnectionError:
            pass  # a server in a hurry; the connection has ended, which is all that was wanted
        finally:
            self.close()
            self._end()

    def close(self, ended_by: str = "was closed") -> None:
        """Close the socket; closing it twice is fine, and so is closing it in another thread.

        An exchange under way then ends in ConnectionClosed.
        """
        if self._ended_by is not None:
            return
        self._ended_by = ended_by
        if os.getpid() != self._owner_pid:
            self._socket.close()  # this copy; the connection belongs to the parent, and goes on
            return
        with contextlib.suppress(OSError):  # the server was faster
            self._socket.shutdown(socket.SHUT_RDWR)  # which wakes an exchange; close does not
        if not self._speaking.locked():
            self._socket.close()

    def _give_up(self, line: str, error: BaseException) -> BaseException:
        """Close, since an exchange ended in `error`; returns how that is to be told."""
        if self._ended_by is not None and isinstance(error, ConnectionLost):
            return ConnectionClosed(
                f"{line}: the connection to {self.address} {self._ended_by} meanwhile"
            )
        reason = str(error) if isinstance(error, BeanrowError) else type(error).__name__
        self.close(f"was given up after an error ({reason})")
        return error

    def check_open(self, line: str) -> None:
        """Raise ConnectionClosed if the connection has ended."""
        if self._ended_by is not None:
            raise ConnectionClosed(
                f"{line}: not sent, since the connection to {self.address} "
                f"{self._ended_by}; open a new one"
            )

    def _begin(self, line: str) -> None:
        """Make sure that nobody else speaks; `_end` lets others again."""
        self.check_open(line)
        if os.getpid() != self._owner_pid:
            raise ConnectionShared(
                f"{line}: not sent, since the connection to {self.address} belongs to "
                f"process {self._owner_pid}, and this is another; open one in each process"
            )
        if not self._speaking.acquire(blocking=False):
            raise ConnectionShared(
                f"{line}: not sent, since {self._busy_with} is under way on the "
                f"connection to {self.address}; open a connection for each thread"
            )

    def _end(self) -> None:
        self._speaking.release()
        if self._ended_by is not None:  # whoever closed left the socket to the exchange
            self._socket.close()

    def _expect_silence(self, line: str) -> None:
        """Refuse to take what came since the last exchange for the answer to this one."""
        if not self._poll.poll(0):
            return
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            raise ConnectionLost(
                f"{line}: not sent, since the connection to {self.address} ended: {error}"
            ) from error
        if not data:
            raise ConnectionLost(
                f"{line}: not sent, since {self.address} has closed the connection"
            )
        raise ProtocolError(f"{line}: not sent, since {self.address} spoke unasked")

    def _send(self, request: Request[Result]) -> None:
        data = memoryview(request.encode())
        while data:
            data = data[self._send_some(request.line, data, self._io_timeout_s) :]

    def _send_some(self, line: str, data: memoryview | bytearray, timeout_s: float | None) -> int:
        try:
            self._set_timeout(timeout_s)
            return self._socket.send(data)
        except BlockingIOError:
            raise  # with a time-out of 0: nothing has happened
        except TimeoutError as error:
            raise self._timed_out(line, error) from error
        except OSError as error:
            raise ConnectionLost(
                f"{line}: the connection to {self.address} ended while sending: {error}"
            ) from error

    def _receive(self, request: Request[Result]) -> Response:
        io_s, wait_s = self._io_timeout_s, request.server_may_wait_s
        timeout_s = None if io_s is None or wait_s is None else io_s + wait_s
        while (response := self._reader.next()) is None:
            self._reader.feed(self._receive_some(request.line, timeout_s))
            timeout_s = io_s  # the server has begun to answer, and must go on
        if len(self._reader):
            raise ProtocolError(f"{request.line}: more than one reply from {self.address}")
        return response

    def _receive_some(self, line: str, timeout_s: float | None) -> bytes:
        try:
            self._set_timeout(timeout_s)
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            raise  # with a time-out of 0: nothing has happened
        except TimeoutError as error:
            raise self._timed_out(line, error) from error
        except OSError as error:
            raise ConnectionLost(
                f"{line}: the connection to {self.address} ended before the reply: {error}"
            ) from error
        if not data:
            raise ConnectionLost(f"{line}: {self.address} closed the connection before the reply")
        return data

    def _set_timeout(self, timeout_s: float | None) -> None:
        # Setting it is a system call, reading it is none.
        timeout_s = bounded(timeout_s)
        if timeout_s != self._socket.gettimeout():
            self._socket.settimeout(timeout_s)

    def _timed_out(self, line: str, error: TimeoutError) -> IOTimeout:
        return IOTimeout(
            f"{line}: no sign of {self.address}: {error} (io_timeout is {self._io_timeout_s} s)"
        )
