"""A blocking connection: a socket, a reader, and the rule that keeps replies with their commands.

The rule: once an exchange ends in anything but a whole reply to it, be it a time-out, a closed
socket, garbage, or Ctrl-C in the middle, nothing more is sent. The reply may still arrive, and
would be taken for the answer to the next command. For the same reason nothing is sent when bytes
have come unasked, or while another thread or process speaks on the same connection.
"""

import contextlib
import os
import select
import socket
import threading
from typing import Final, TypeVar

from beanrow.client.address import Address, UnixAddress
from beanrow.errors import (
    BeanrowError,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionLost,
    ConnectionShared,
    InvalidArgument,
    IOTimeout,
    ProtocolError,
    ReplyError,
)
from beanrow.protocol.requests import Request
from beanrow.protocol.responses import Response, ResponseReader

RECEIVE_BYTES: Final = 64 * 1024

#: A server that has vanished is noticed, even by a client that waits for ever, after
#: KEEPALIVE_IDLE_S + KEEPALIVE_PROBES * KEEPALIVE_INTERVAL_S = a minute.
KEEPALIVE_IDLE_S: Final = 30
KEEPALIVE_INTERVAL_S: Final = 10
KEEPALIVE_PROBES: Final = 3

#: Python hands a socket's time-out to poll(2) as 32 bits of milliseconds and cuts off the rest;
#: what is longer than the 24 days that fit is left to keepalive.
MAX_SOCKET_TIMEOUT_S: Final = 2**31 // 1000

Result = TypeVar("Result")


class Stream:
    """Carries one request at a time to the server and its response back.

    Both time-outs are in seconds; None waits for ever. `io_timeout_s` is how long the server may
    show no sign of life while it owes one, on top of what the request allows it.
    """

    def __init__(
        self, address: Address, connect_timeout_s: float | None, io_timeout_s: float | None
    ) -> None:
        _check_timeout("connect_timeout", connect_timeout_s)
        _check_timeout("io_timeout", io_timeout_s)
        self.address = address
        self._io_timeout_s = io_timeout_s
        self._reader = ResponseReader()
        self._ended_by: str | None = None
        self._owner_pid = os.getpid()
        self._speaking = threading.Lock()  # held during an exchange, and never waited for
        self._socket = _connect(address, connect_timeout_s)
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
        self._begin(request)
        try:
            self._expect_silence(request)
            self._send(request)
            return request.result(self._receive(request))
        except ReplyError:
            raise
        except BaseException as error:
            if self._ended_by is not None and isinstance(error, ConnectionLost):
                raise ConnectionClosed(
                    f"{request.line}: the connection to {self.address} {self._ended_by} meanwhile"
                ) from error
            reason = str(error) if isinstance(error, BeanrowError) else type(error).__name__
            self.close(f"was given up after an error ({reason})")
            raise
        finally:
            self._end()

    def quit(self) -> None:
        """Say good-bye, wait until the server has closed the connection, and close it."""
        if not self.open:
            return
        request: Request[None] = Request("quit", {})  # it has no answer
        self._begin(request)
        try:
            self._send(request)
            self._set_timeout(self._io_timeout_s)
            while self._socket.recv(RECEIVE_BYTES):
                pass
        except TimeoutError as error:
            raise self._timed_out(request, error) from error
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

    def _begin(self, request: Request[Result]) -> None:
        """Make sure that nobody else speaks; `_end` lets others again."""
        if self._ended_by is not None:
            raise ConnectionClosed(
                f"{request.line}: not sent, since the connection to {self.address} "
                f"{self._ended_by}; open a new one"
            )
        if os.getpid() != self._owner_pid:
            raise ConnectionShared(
                f"{request.line}: not sent, since the connection to {self.address} belongs to "
                f"process {self._owner_pid}, and this is another; open one in each process"
            )
        if not self._speaking.acquire(blocking=False):
            raise ConnectionShared(
                f"{request.line}: not sent, since another command is under way on the connection "
                f"to {self.address}; open a connection for each thread"
            )

    def _end(self) -> None:
        self._speaking.release()
        if self._ended_by is not None:  # whoever closed left the socket to the exchange
            self._socket.close()

    def _expect_silence(self, request: Request[Result]) -> None:
        """Refuse to take what came since the last exchange for the answer to this one."""
        if not self._poll.poll(0):
            return
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            raise ConnectionLost(
                f"{request.line}: not sent, since the connection to {self.address} ended: {error}"
            ) from error
        if not data:
            raise ConnectionLost(
                f"{request.line}: not sent, since {self.address} has closed the connection"
            )
        raise ProtocolError(f"{request.line}: not sent, since {self.address} spoke unasked")

    def _send(self, request: Request[Result]) -> None:
        data = memoryview(request.encode())
        try:
            self._set_timeout(self._io_timeout_s)
            while data:
                data = data[self._socket.send(data) :]
        except TimeoutError as error:
            raise self._timed_out(request, error) from error
        except OSError as error:
            raise ConnectionLost(
                f"{request.line}: the connection to {self.address} ended while sending: {error}"
            ) from error

    def _receive(self, request: Request[Result]) -> Response:
        io_s, wait_s = self._io_timeout_s, request.server_may_wait_s
        timeout_s = None if io_s is None or wait_s is None else io_s + wait_s
        while (response := self._reader.next()) is None:
            self._reader.feed(self._receive_some(request, timeout_s))
            timeout_s = io_s  # the server has begun to answer, and must go on
        if len(self._reader):
            raise ProtocolError(f"{request.line}: more than one reply from {self.address}")
        return response

    def _receive_some(self, request: Request[Result], timeout_s: float | None) -> bytes:
        try:
            self._set_timeout(timeout_s)
            data = self._socket.recv(RECEIVE_BYTES)
        except TimeoutError as error:
            raise self._timed_out(request, error) from error
        except OSError as error:
            raise ConnectionLost(
                f"{request.line}: the connection to {self.address} ended before the reply: {error}"
            ) from error
        if not data:
            raise ConnectionLost(
                f"{request.line}: {self.address} closed the connection before the reply"
            )
        return data

    def _set_timeout(self, timeout_s: float | None) -> None:
        # Setting it is a system call, reading it is none.
        timeout_s = _bounded(timeout_s)
        if timeout_s != self._socket.gettimeout():
            self._socket.settimeout(timeout_s)

    def _timed_out(self, request: Request[Result], error: TimeoutError) -> IOTimeout:
        return IOTimeout(
            f"{request.line}: no sign of {self.address}: {error} "
            f"(io_timeout is {self._io_timeout_s} s)"
        )


def _check_timeout(name: str, timeout_s: object) -> None:
    if timeout_s is None or (isinstance(timeout_s, int | float) and timeout_s > 0):
        return
    raise InvalidArgument(f"{name}: {timeout_s!r} is neither above 0 nor None")


def _bounded(timeout_s: float | None) -> float | None:
    """What a socket can count, or None, for ever, instead of more than that."""
    return None if timeout_s is None or timeout_s > MAX_SOCKET_TIMEOUT_S else timeout_s


def _connect(address: Address, timeout_s: float | None) -> socket.socket:
    timeout_s = _bounded(timeout_s)
    try:
        if isinstance(address, UnixAddress):
            return _connect_unix(address, timeout_s)
        connected = socket.create_connection((address.host, address.port), timeout_s)
    except OSError as error:
        why = f"no answer within {timeout_s} s" if isinstance(error, TimeoutError) else error
        raise ConnectionFailed(f"cannot connect to {address}: {why}") from error
    # Commands are short and each waits for its reply: nothing is gained by collecting them.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        if hasattr(socket, name):  # not every system can set these for one socket
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connected


def _connect_unix(address: UnixAddress, timeout_s: float | None) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout_s)
        connected.connect(address.path)
    except BaseException:
        connected.close()
        raise
    return connected
