"""The tick: take all that is ready, execute every complete command, send all replies.

One turn of the loop, in this order:

1. wait until a socket is ready or the engine's next moment has come;
2. let the engine do what is due (`Engine.tick`);
3. read from each ready client, once, and execute the commands that are complete;
4. answer the reserves that got a job, or ran out of time, on the way;
5. send to each client what has been gathered for it, in one call.

Nothing is sent before the end of the tick, so one system call carries all replies of a
client, and whatever must happen before a reply may leave has one place to stand.

No client can make the others wait: what is read from one in a tick is bounded, and one that
does not read its replies is neither read from nor executed until it does.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from beanrow.engine.engine import Engine
from beanrow.protocol import commands
from beanrow.protocol.limits import DEFAULT_MAX_JOB_BYTES, DEFAULT_SEGMENT_BYTES, NS_PER_S
from beanrow.server import clock as steady_clock
from beanrow.server.connection import MAX_UNSENT_BYTES, Connection
from beanrow.server.dispatch import Dispatcher, answer_reserve
from beanrow.server.documents import ServerFacts
from beanrow.server.listeners import address_name
from beanrow.server.loop import GONE, READ, WRITE, Loop

log = logging.getLogger("beanrow")

#: How many clients are let in at each listener in one tick.
ACCEPTS_PER_TICK: Final = 64

#: Out of descriptors, the server looks for new ones at least so often.
ACCEPT_RETRY_NS: Final = NS_PER_S

#: At the stop, clients get this long to take their last replies.
STOP_GRACE_NS: Final = 2 * NS_PER_S

_OUT_OF_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Server:
    """Serves clients of the given listening sockets until `stop`; it closes them then."""

    def __init__(
        self,
        listeners: list[socket.socket],
        *,
        max_job_size: int = DEFAULT_MAX_JOB_BYTES,
        segment_size: int = DEFAULT_SEGMENT_BYTES,
        clock: Callable[[], int] = steady_clock.now_ns,
    ) -> None:
        self._clock = clock
        self._max_job_bytes = max_job_size
        self._engine = Engine()
        self._dispatcher = Dispatcher(
            self._engine, ServerFacts(max_job_size, segment_size, clock())
        )
        self._loop = Loop()
        self._listeners: dict[int, socket.socket] = {}
        for listener in listeners:
            _prepare(listener)
            self._listeners[listener.fileno()] = listener
        self._accepts = False
        self._accept_again_ns = 0
        self._connections: dict[int, Connection] = {}
        self._by_session: dict[int, Connection] = {}
        # Those to send to at the end of this tick, and those with commands left for the next.
        self._flushing: list[Connection] = []
        self._unfinished: list[Connection] = []
        self._stopping = False

    # --- for the process around it ------------------------------------------------------

    def run(self) -> None:
        """Serve until `stop` is called, then send what is left to send, and close all."""
        self._start_accepting()
        try:
            while not self._stopping:
                self._tick()
            self._flush_last_replies()
        finally:
            self._close_all()

    def stop(self) -> None:
        """End `run` soon. Safe in a signal handler."""
        self._stopping = True
        self._loop.wake()

    def set_draining(self, draining: bool) -> None:
        """Refuse every put (DRAINING), or accept them again. Safe in a signal handler."""
        self._dispatcher.draining = draining

    def wakeup_fd(self) -> int:
        """For `signal.set_wakeup_fd`: a signal then reaches its handler without delay."""
        return self._loop.wakeup_fd()

    # --- the tick -----------------------------------------------------------------------

    def _tick(self) -> None:
        events = self._loop.wait(self._timeout_ns())
        now_ns = self._clock()
        self._dispatcher.now_ns = now_ns
        self._engine.tick(now_ns)
        self._deliver_answers()
        if not self._accepts and now_ns >= self._accept_again_ns:
            self._start_accepting()
        unfinished = self._unfinished
        if unfinished:
            self._unfinished = []
            for connection in unfinished:
                self._execute(connection)
        for fd, ready in events:
            ready_connection = self._connections.get(fd)
            if ready_connection is not None:
                self._serve(ready_connection, ready)
            elif fd in self._listeners:
                self._accept(self._listeners[fd])
            else:
                self._loop.clear_wakes()
        # A client that leaves now may have held the job that another one waits for.
        while self._flushing:
            flushing = self._flushing
            self._flushing = []
            for connection in flushing:
                self._flush(connection)

    def _timeout_ns(self) -> int:
        if self._unfinished or self._stopping:
            return 0
        moment_ns = self._engine.next_tick_ns()
        if not self._accepts and self._accept_again_ns < moment_ns:
            moment_ns = self._accept_again_ns
        # Counted from the beginning of this tick: asking the clock again would cost more
        # than the little that this is late.
        return moment_ns - self._dispatcher.now_ns

    def _serve(self, connection: Connection, ready: int) -> None:
        """Do what the readiness of a client's socket asks for."""
        if ready & WRITE:
            self._flush_later(connection)
        if not connection.interest & READ:
            if ready & GONE:
                # What it may still have sent could not be answered any more.
                self._close(connection, "connection lost")
            return
        if ready & (READ | GONE):
            try:
                came = connection.receive()
            except OSError as error:
                self._close(connection, str(error))
                return
            if came:
                self._execute(connection)

    def _execute(self, connection: Connection) -> None:
        """Execute the commands that a client has sent, as far as it may go on."""
        if not (connection.awaits_answer or connection.is_closing or connection.was_stopped):
            self._execute_commands(connection)
        if connection.awaits_answer and connection.at_end:
            self._engine.stop_waiting(connection.session)
        if not connection.is_flushing:
            connection.is_flushing = True
            self._flushing.append(connection)
        if self._engine.answers:
            self._deliver_answers()

    def _execute_commands(self, connection: Connection) -> None:
        session = connection.session
        parser = connection.parser
        execute = self._dispatcher.execute
        while connection.unsent_bytes < MAX_UNSENT_BYTES:
            command = parser.next()
            if command is None:
                if parser.unfinished is not None:
                    self._dispatcher.begin(session, parser.unfinished)
                connection.is_closing = connection.at_end
                return
            reply = execute(session, command)
            if reply is None:
                connection.is_closing = command.verb == commands.QUIT
                connection.awaits_answer = not connection.is_closing
                return
            connection.replies.append(reply)
            connection.unsent_bytes += len(reply)
        connection.was_stopped = True

    def _deliver_answers(self) -> None:
        """Reply to the reserves that the engine has answered; what was sent after them runs."""
        answers = self._engine.answers
        while answers:
            self._engine.answers = []
            for session, answer in answers:
                connection = self._by_session.get(session.id)
                if connection is not None:
                    connection.reply(answer_reserve(answer))
                    connection.awaits_answer = False
                    self._flush_later(connection)
                    if connection.parser.waiting_bytes() or connection.at_end:
                        self._unfinished.append(connection)
            answers = self._engine.answers

    def _flush_later(self, connection: Connection) -> None:
        if not connection.is_flushing:
            connection.is_flushing = True
            self._flushing.append(connection)

    def _flush(self, connection: Connection) -> None:
        """Send a client its replies, and see what to wait for next."""
        connection.is_flushing = False
        if connection.is_closed:
            return
        if connection.unsent_bytes:
            try:
                connection.send()
            except OSError as error:
                self._close(connection, str(error))
                return
        if connection.is_closing and not connection.unsent_bytes:
            self._close(connection, "end")
            return
        if connection.was_stopped and connection.unsent_bytes < MAX_UNSENT_BYTES:
            connection.was_stopped = False
            self._unfinished.append(connection)
        interest = connection.wanted_interest()
        if interest != connection.interest:
            connection.interest = interest
            self._loop.change(connection.fd, interest)

    # --- clients come and go ------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TICK):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                if self._accepts:
                    self._stop_accepting(error)
                return
            sock.setblocking(False)
            self._open(sock, address_name(address))

    def _open(self, sock: socket.socket, name: str) -> None:
        session = self._engine.open_session()
        connection = Connection(sock, name, session, self._max_job_bytes)
        self._connections[connection.fd] = connection
        self._by_session[session.id] = connection
        self._loop.add(connection.fd, READ)
        log.debug("%s: connected", name)

    def _close(self, connection: Connection, why: str) -> None:
        self._loop.remove(connection.fd)
        del self._connections[connection.fd]
        del self._by_session[connection.session.id]
        connection.is_closed = connection.is_closing = True
        connection.socket.close()
        log.debug("%s: closed (%s)", connection.name, why)
        self._engine.close_session(connection.session, self._dispatcher.now_ns)
        self._deliver_answers()
        if not self._accepts:
            self._start_accepting()

    def _start_accepting(self) -> None:
        if not self._accepts and not self._stopping:
            self._accepts = True
            for fd in self._listeners:
                self._loop.add(fd, READ)

    def _stop_accepting(self, error: OSError) -> None:
        """Leave those who knock in the kernel's queue, rather than to be told of them for ever."""
        log.warning(
            "cannot accept more clients: %s (%d are connected; raise the limit of open files)",
            error.strerror,
            len(self._connections),
        )
        self._accepts = False
        self._accept_again_ns = self._dispatcher.now_ns + ACCEPT_RETRY_NS
        for fd in self._listeners:
            self._loop.remove(fd)

    # --- the end ------------------------------------------------------------------------

    def _flush_last_replies(self) -> None:
        """Give clients with unsent replies a moment to take them; nothing more is executed."""
        self._close_listeners()
        until_ns = self._clock() + STOP_GRACE_NS
        for connection in list(self._connections.values()):
            connection.is_closing = True
            self._flush(connection)
        while self._connections and self._clock() < until_ns:
            for fd, _ in self._loop.wait(until_ns - self._clock()):
                connection_or_none = self._connections.get(fd)
                if connection_or_none is not None:
                    self._flush(connection_or_none)
                else:
                    self._loop.clear_wakes()
        if self._connections:
            log.warning("%d clients did not take their last replies", len(self._connections))

    def _close_listeners(self) -> None:
        while self._listeners:
            fd, listener = self._listeners.popitem()
            if self._accepts:
                self._loop.remove(fd)
            listener.close()
        self._accepts = False

    def _close_all(self) -> None:
        self._close_listeners()
        for connection in self._connections.values():
            connection.socket.close()
        self._connections.clear()
        self._loop.close()


def _prepare(listener: socket.socket) -> None:
    """Set what the sockets of its clients inherit."""
    listener.setblocking(False)
    if listener.family != socket.AF_UNIX:
        # A reply must not wait until the client has acknowledged the one before it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A client whose machine vanished gives its jobs back some day.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
